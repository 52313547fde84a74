//! The three header fields `Sealed-Mail`, `Sealed-Key`, `Sealed-Fields` (format §4.3): written folded and split below 900
//! octets each, read back from a header section however it was refolded.

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use mail::HeaderSection;

use crate::{
    identity::{Hash, MessageId, Profile, SealerId},
    limit,
    tag_list::{self, TagList},
};

/// `Sealed-Mail`: the mark and the envelope signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// How the content is encrypted.
    pub profile: Profile,
    /// The sealed message.
    pub id: MessageId,
    /// SHA-256 of the content C.
    pub content_hash: Hash,
    /// Who sealed it, as claimed.
    pub sealer: SealerId,
    /// The envelope signature.
    pub signature: [u8; 64],
}

/// All three fields of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedFields {
    /// `Sealed-Mail`.
    pub mark: Mark,
    /// K: the public-key encrypted session key packets.
    pub key: Vec<u8>,
    /// F: the fields blob.
    pub fields: Vec<u8>,
}

/// Why a header section holds no valid set of the three fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FieldError {
    /// None of our fields stands there.
    #[error("no Sealed-Mail field")]
    Absent,
    /// A field that must stand once is missing or doubled.
    #[error("{0} must stand exactly once")]
    NotOnce(&'static str),
    /// A field is no tag-list, lacks a tag, or a value cannot be decoded.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A version or profile that this program does not know.
    #[error("sealed in a newer way than this version knows")]
    Unknown,
    /// A named limit was passed.
    #[error("{0} is larger than allowed")]
    TooLarge(&'static str),
}

const MAIL: &str = "Sealed-Mail";
const KEY: &str = "Sealed-Key";
const FIELDS: &str = "Sealed-Fields";

impl SealedFields {
    /// Reads the three fields of a header section.
    pub fn parse(header: &HeaderSection<'_>) -> Result<Self, FieldError> {
        let mark = Mark::parse(header)?;
        let key = joined(header, KEY, limit::MAX_KEY_MATERIAL)?;
        let fields = joined(header, FIELDS, limit::MAX_FIELDS_BLOB)?;
        Ok(Self { mark, key, fields })
    }

    /// Appends the three fields, each line ended by CRLF.
    /// Refuses what would pass the limits on our fields (format §10), e.g. very many recipients.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), FieldError> {
        let before = out.len();
        let mark = &self.mark;
        let id = encode_id(&mark.id.0);
        let hash = STANDARD.encode_to_string(mark.content_hash);
        let sealer = encode_id(&mark.sealer.0);
        let signature = STANDARD.encode_to_string(mark.signature);
        let tags =
            [("v", "1"), ("p", mark.profile.word()), ("id", &id), ("bh", &hash), ("s", &sealer), ("sig", &signature)];
        tag_list::write(out, MAIL, &tags);
        write_split(out, KEY, &self.key)?;
        write_split(out, FIELDS, &self.fields)?;
        if out.len() - before > limit::MAX_OWN_FIELDS { Err(FieldError::TooLarge(KEY)) } else { Ok(()) }
    }
}

impl Mark {
    /// Reads `Sealed-Mail`.
    pub fn parse(header: &HeaderSection<'_>) -> Result<Self, FieldError> {
        let malformed = FieldError::Malformed(MAIL);
        let mut found = header.all(MAIL);
        let field = found.next().ok_or(FieldError::Absent)?;
        if found.next().is_some() {
            return Err(FieldError::NotOnce(MAIL));
        }
        let tags = TagList::parse(field.value()).ok_or(malformed)?;
        let tag = |name| tags.get(name).ok_or(malformed);
        if tag("v")? != b"1" || tags.get("a").is_some_and(|algorithm| algorithm != b"ed25519") {
            return Err(FieldError::Unknown);
        }
        Ok(Self {
            profile: Profile::of_word(tag("p")?).ok_or(FieldError::Unknown)?,
            id: MessageId(decode_id(tag("id")?).ok_or(malformed)?),
            content_hash: decode_exact(tag("bh")?).ok_or(malformed)?,
            sealer: SealerId(decode_id(tag("s")?).ok_or(malformed)?),
            signature: decode_exact(tag("sig")?).ok_or(malformed)?,
        })
    }
}

/// How many octets of decoded data one part of a field carries, and how many parts `octets` therefore need.
pub fn parts_needed(field_name: &str, octets: usize) -> usize {
    octets.div_ceil(part_capacity(field_name)).max(1)
}

/// Octets of decoded data that `parts` parts of `Sealed-Fields` carry.
pub fn fields_capacity(parts: usize) -> usize {
    part_capacity(FIELDS) * parts
}

/// base64url without padding, for ids.
pub fn encode_id(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(octets)
}

/// The octets of an id of exactly `N` octets.
pub fn decode_id<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()?.try_into().ok()
}

/// The octets of a base64 value of exactly `N` octets.
pub fn decode_exact<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    STANDARD.decode_to_vec(text).ok()?.try_into().ok()
}

/// What `v=1; n=10/10; d=` takes of a field, beside its name and `: `.
const TAGS_BEFORE_DATA: usize = "v=1; n=10/10; d=".len();

fn part_capacity(field_name: &str) -> usize {
    let characters = limit::MAX_FIELD_UNFOLDED - field_name.len() - ": ".len() - TAGS_BEFORE_DATA;
    characters / 4 * 3
}

fn write_split(out: &mut Vec<u8>, name: &'static str, octets: &[u8]) -> Result<(), FieldError> {
    let parts = parts_needed(name, octets.len());
    if parts > limit::MAX_FIELD_PARTS {
        return Err(FieldError::TooLarge(name));
    }
    for (position, part) in octets.chunks(part_capacity(name)).enumerate() {
        let data = STANDARD.encode_to_string(part);
        if parts == 1 {
            tag_list::write(out, name, &[("v", "1"), ("d", &data)]);
        } else {
            let number = format!("{}/{parts}", position + 1);
            tag_list::write(out, name, &[("v", "1"), ("n", &number), ("d", &data)]);
        }
    }
    Ok(())
}

/// Joins the parts of a split field: every one of 1..=m exactly once, each decoded alone.
fn joined(header: &HeaderSection<'_>, name: &'static str, most: usize) -> Result<Vec<u8>, FieldError> {
    let malformed = FieldError::Malformed(name);
    let mut parts: Vec<Option<Vec<u8>>> = Vec::new();
    for field in header.all(name) {
        let tags = TagList::parse(field.value()).ok_or(malformed)?;
        if tags.get("v") != Some(b"1") {
            return Err(FieldError::Unknown);
        }
        let (number, of) = match tags.get("n") {
            None => (1, 1),
            Some(text) => part_number(text).ok_or(malformed)?,
        };
        if parts.is_empty() {
            parts.resize(of, None);
        }
        let slot = parts.get_mut(number - 1).filter(|slot| slot.is_none()).ok_or(FieldError::NotOnce(name))?;
        let data = STANDARD.decode_to_vec(tags.get("d").ok_or(malformed)?).map_err(|_| malformed)?;
        *slot = Some(data);
        if parts.len() != of {
            return Err(malformed);
        }
    }
    if parts.is_empty() {
        return Err(FieldError::NotOnce(name));
    }
    let mut whole = Vec::new();
    for part in parts {
        whole.extend_from_slice(&part.ok_or(FieldError::NotOnce(name))?);
        if whole.len() > most {
            return Err(FieldError::TooLarge(name));
        }
    }
    if whole.is_empty() { Err(malformed) } else { Ok(whole) }
}

/// `i/m` with 1 <= i <= m <= the limit, in plain decimal.
fn part_number(text: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(text).ok()?;
    let (number, of) = text.split_once('/')?;
    let plain = |digits: &str| !digits.starts_with('0') && digits.bytes().all(|octet| octet.is_ascii_digit());
    if !plain(number) || !plain(of) {
        return None;
    }
    let (number, of): (usize, usize) = (number.parse().ok()?, of.parse().ok()?);
    (number >= 1 && number <= of && of <= limit::MAX_FIELD_PARTS).then_some((number, of))
}
