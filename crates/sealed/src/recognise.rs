//! What is this message? Sealed by a pinned sealer or by an unknown one, truly end-to-end encrypted, or plain (format
//! A8, §11). Decided by parsing what is there, never by its label. In: a whole message and pinned public keys; out: a
//! verdict. No secret is needed, nothing is decrypted, nothing is changed.

use std::io::{self, BufRead, Read};

use base64_simd::STANDARD;
use mail::{ContentDisposition, ContentType, HeaderField, HeaderSection, Parameters};

use crate::{
    armor::{ArmorError, Surroundings},
    cms,
    field::{Mark, SealedFields},
    identity::{Encryption, Hash, sha256},
    limit,
    outer::{PREAMBLE, PacketSplitter, read_header_section, scan_body},
    packet::{Length, PacketError, PacketHeader, split_wrapped_keys, tag},
    signature::{Envelope, Trust},
    smime,
};

/// The verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Whole and well-formed, the envelope signature verifies with a pinned key for an account of ours.
    Sealed(Sealed),
    /// Well-formed, and nothing readable beside it, but the sealer is not pinned: nothing about it is proved.
    SealedByUnknown(Sealed),
    /// One encrypted object is the whole body (RFC 3156 with session keys and an encrypted packet, or CMS).
    EndToEnd(EndToEnd),
    /// Anything else, whatever it is labelled.
    Plain(Option<ForgedLabel>),
}

/// What a sealed message says of itself without a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// The mark.
    pub mark: Mark,
    /// How many keys the session key is wrapped to.
    pub wrapped_keys: usize,
    /// Octets of the content C.
    pub content_length: u64,
    /// SHA-256 of K.
    pub key_hash: Hash,
    /// SHA-256 of F.
    pub fields_hash: Hash,
}

/// How a message was encrypted by its author.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndToEnd {
    /// PGP/MIME (RFC 3156).
    OpenPgp,
    /// S/MIME (RFC 8551): EnvelopedData or AuthEnvelopedData.
    Cms,
}

/// A label that claims more than is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForgedLabel {
    /// `Sealed-*` fields without the message that they were made for, or with a signature that does not verify.
    SealedFields,
    /// `multipart/encrypted` around something else.
    MultipartEncrypted,
    /// An S/MIME type or file name around something that is not encrypted.
    Smime,
}

/// Octets of S/MIME content that are looked at as a whole; larger ones count as plain and are sealed.
const MAX_CMS: u64 = 128 * 1024 * 1024;

/// Reads the whole message.
pub fn recognise(message: &mut impl BufRead, trust: &Trust) -> io::Result<What> {
    let Some((header, rest)) = read_header_section(message)? else { return Ok(What::Plain(None)) };
    let section = HeaderSection::parse(&header);
    let content_type = section.first("Content-Type").map(|field| ContentType::parse(field.value()));
    let claims_sealed = section.fields().iter().any(|field| is_own_name(field.name()));
    if claims_sealed && content_type.as_ref().is_some_and(|kind| kind.is("application", "pkcs7-mime")) {
        let sealed = sealed_smime(&section, &rest, message)?;
        return Ok(sealed.map_or(What::Plain(Some(ForgedLabel::SealedFields)), |sealed| judged(sealed, trust)));
    }
    let encrypted = content_type.as_ref().is_some_and(|kind| kind.is("multipart", "encrypted"));
    if claims_sealed || encrypted {
        let body = Body::scan(rest, message)?;
        let exact = content_type.as_ref().zip(body.as_ref()).and_then(|(kind, body)| body.shape(kind));
        let exact = exact.filter(|_| fields_only(&section) && is_as_it_is(&section) && says_once(&section));
        let label = if claims_sealed { ForgedLabel::SealedFields } else { ForgedLabel::MultipartEncrypted };
        let forged = What::Plain(Some(label));
        let (Some(body), Some(exact)) = (body, exact) else { return Ok(forged) };
        let end_to_end = if body.foreign.is_encrypted() { What::EndToEnd(EndToEnd::OpenPgp) } else { forged.clone() };
        if !claims_sealed {
            return Ok(end_to_end);
        }
        return Ok(match sealed(&section, body, exact) {
            Some(sealed) => judged(sealed, trust),
            None => forged,
        });
    }
    if content_type.is_some_and(|kind| is_smime(&kind)) {
        let encrypted = says_once(&section) && fields_only(&section) && is_cms(&section, rest, message)?;
        return Ok(if encrypted { What::EndToEnd(EndToEnd::Cms) } else { What::Plain(Some(ForgedLabel::Smime)) });
    }
    Ok(What::Plain(None))
}

/// Which of two types a program believes nobody knows: what is said twice is not believed.
fn says_once(section: &HeaderSection<'_>) -> bool {
    ["Content-Type", "Content-Transfer-Encoding"].iter().all(|name| section.all(name).count() <= 1)
}

/// Whose seal it is: the envelope signature, checked with the pinned keys (format §4.4).
fn judged(sealed: Sealed, trust: &Trust) -> What {
    let Some(sealer) = trust.sealer(sealed.mark.sealer) else { return What::SealedByUnknown(sealed) };
    let verifies = trust.accounts.iter().any(|&account| {
        let envelope = Envelope {
            profile: sealed.mark.profile,
            account,
            id: sealed.mark.id,
            content: &sealed.mark.content_hash,
            key: &sealed.key_hash,
            fields: &sealed.fields_hash,
        };
        sealer.verifies(&envelope.transcript(sealer.id()), &sealed.mark.signature)
    });
    if verifies { What::Sealed(sealed) } else { What::Plain(Some(ForgedLabel::SealedFields)) }
}

/// The three fields belong to this body, and the shape is exactly ours.
fn sealed(section: &HeaderSection<'_>, body: Body, exact: Exact) -> Option<Sealed> {
    let fields = SealedFields::parse(section).ok()?;
    let parts = body.own.finish()?;
    let openpgp = matches!(fields.mark.profile.encryption(), Encryption::OpenPgp(_));
    let own_shape = openpgp && exact.own_preamble && body.surroundings.armor_headers.is_empty();
    if !own_shape || parts.key != fields.key || parts.content_hash != fields.mark.content_hash || parts.marker {
        return None;
    }
    Some(Sealed {
        wrapped_keys: split_wrapped_keys(&fields.key)?.len(),
        content_length: parts.content_length,
        key_hash: sha256(&fields.key),
        fields_hash: sha256(&fields.fields),
        mark: fields.mark,
    })
}

/// The same for S/MIME: the body is one CMS message in base64, and the three fields belong to it.
fn sealed_smime(section: &HeaderSection<'_>, rest: &[u8], message: &mut impl BufRead) -> io::Result<Option<Sealed>> {
    let fields = SealedFields::parse(section).ok().filter(|_| says_once(section) && fields_only(section));
    let Some(fields) = fields.filter(|_| smime::is_base64(section)) else { return Ok(None) };
    let Encryption::Cms(cipher) = fields.mark.profile.encryption() else { return Ok(None) };
    let parts = smime::read_body(section, rest, message, cipher, &mut io::sink())?;
    let parts = parts.filter(|parts| parts.key == fields.key && parts.content_hash == fields.mark.content_hash);
    Ok(parts.zip(cms::recipients(&fields.key)).map(|(parts, wrapped_keys)| Sealed {
        wrapped_keys,
        content_length: parts.content_length,
        key_hash: sha256(&fields.key),
        fields_hash: sha256(&fields.fields),
        mark: fields.mark,
    }))
}

/// A body with one armored message, taken apart in both ways at once.
struct Body {
    surroundings: Surroundings,
    own: PacketSplitter,
    foreign: PacketWalk,
}

/// The body has two parts and nothing readable beside them.
struct Exact {
    /// The preamble is empty or our own.
    own_preamble: bool,
}

impl Body {
    /// None when there is no single armored message.
    fn scan(rest: Vec<u8>, message: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut own = PacketSplitter::new();
        let mut foreign = PacketWalk::default();
        let scanned = scan_body(rest, message, &mut |octets| {
            foreign.take(octets);
            own.take(octets, &mut io::sink())
        });
        match scanned {
            Ok(surroundings) => Ok(Some(Self { surroundings, own, foreign })),
            Err(ArmorError::Sink(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// RFC 3156 §4: two parts, the first says `Version: 1`, the second is the armored message, and nothing else.
    fn shape(&self, kind: &ContentType) -> Option<Exact> {
        let boundary = kind.is("multipart", "encrypted").then(|| kind.boundary()).flatten()?;
        let delimiter = [b"--", boundary.as_ref()].concat();
        let mut lines = self.surroundings.before.split_inclusive(|&octet| octet == b'\n').map(<[u8]>::trim_ascii_end);
        let mut preamble: Vec<&[u8]> = Vec::new();
        loop {
            match lines.next()? {
                line if line == delimiter => break,
                line => preamble.push(line),
            }
        }
        preamble.retain(|line| !line.is_empty());
        part_header(&mut lines, "application", "pgp-encrypted")?;
        let mut version = Vec::new();
        loop {
            match lines.next()? {
                line if line == delimiter => break,
                b"" => {}
                line => version.push(line),
            }
        }
        part_header(&mut lines, "application", "octet-stream")?;
        let closing = [&delimiter, &b"--"[..]].concat();
        let after = self.surroundings.after.split(|&octet| octet == b'\n').map(<[u8]>::trim_ascii_end);
        let after: Vec<&[u8]> = after.filter(|line| !line.is_empty()).collect();
        let blank_to_armor = lines.all(<[u8]>::is_empty);
        let known_preamble = preamble.iter().all(|line| is_known_preamble(line));
        let armor_headers = self.surroundings.armor_headers.split(|&octet| octet == b'\n').map(<[u8]>::trim_ascii_end);
        let armor_headers: Vec<&[u8]> = armor_headers.filter(|line| !line.is_empty()).collect();
        let known_armor =
            armor_headers.len() <= MAX_ARMOR_HEADERS && armor_headers.iter().all(|line| is_known_armor_header(line));
        let exact = version == [b"Version: 1"] && after == [closing] && blank_to_armor && known_preamble && known_armor;
        exact.then(|| Exact { own_preamble: preamble.is_empty() || preamble == [PREAMBLE.as_bytes()] })
    }
}

/// Armor headers: a version, a comment or two, a character set.
const MAX_ARMOR_HEADERS: usize = 4;
/// Octets that a part's header may have.
const MAX_PART_HEADER: usize = 1024;
/// Octets that the value of one field in it may have: a file name and little else.
const MAX_PART_FIELD: usize = 160;

/// A part's header: of the given type, without transfer encoding, and nothing in it that could carry a text. Senders write
/// these fields, and a mail program may show them.
fn part_header<'a>(lines: &mut impl Iterator<Item = &'a [u8]>, kind: &str, subtype: &str) -> Option<()> {
    let mut header = Vec::new();
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        header.extend_from_slice(line);
        header.extend_from_slice(b"\r\n");
        if header.len() > MAX_PART_HEADER {
            return None;
        }
    }
    let section = HeaderSection::parse(&header);
    let mut fields = section.fields().iter();
    let harmless = fields.all(|field| is_harmless(field) && section.all(&name_of(field)).count() == 1);
    let fits = ContentType::parse(section.first("Content-Type")?.value()).is(kind, subtype);
    (fields_only(&section) && harmless && is_as_it_is(&section) && fits).then_some(())
}

fn name_of(field: &HeaderField<'_>) -> String {
    String::from_utf8_lossy(field.name()).into_owned()
}

/// A field of a part that says nothing but what kind of part it is.
fn is_harmless(field: &HeaderField<'_>) -> bool {
    let value = field.unfolded();
    // A comment (RFC 5322 §3.2.2) is text that the parsers below drop.
    if value.len() > MAX_PART_FIELD || value.contains(&b'(') {
        return false;
    }
    // No white space but between parameters: a file name cannot be a sentence, and nothing stands there unparsed.
    let tight = value.split(|&octet| octet == b';').all(|part| !part.trim_ascii().iter().any(u8::is_ascii_whitespace));
    let only = |parameters: &Parameters, allowed: &[&str]| {
        tight && !parameters.over_limit() && parameters.iter().all(|parameter| allowed.contains(&parameter.name()))
    };
    match name_of(field).to_ascii_lowercase().as_str() {
        "content-type" => only(ContentType::parse(field.value()).parameters(), &["name", "charset"]),
        "content-disposition" => {
            let disposition = ContentDisposition::parse(field.value());
            ["inline", "attachment"].contains(&disposition.kind()) && only(disposition.parameters(), &["filename"])
        }
        "content-description" => is_one_of(value.trim_ascii(), &KNOWN_DESCRIPTIONS),
        "content-id" => !value.trim_ascii().iter().any(u8::is_ascii_whitespace),
        "content-transfer-encoding" => true,
        _ => false,
    }
}

/// Nothing in the section but fields. Programs that end the header at the first other line would show what follows.
fn fields_only(section: &HeaderSection<'_>) -> bool {
    let fields: usize = section.fields().iter().map(|field| field.raw().len()).sum();
    // quirk: mbox and Sendmail put an envelope line at the very top.
    let first = section.fields().first().map_or(section.octets().len(), |field| field.offset());
    let top = section.octets().get(..first).unwrap_or_default();
    let envelope = top.starts_with(b"From ") || top.starts_with(b">From ");
    let envelope_line =
        if envelope && top.iter().filter(|&&octet| octet == b'\n').count() == 1 { top.len() } else { 0 };
    !section.over_limit() && fields + envelope_line == section.octets().len()
}

/// No transfer encoding: what is decoded is what stands there.
fn is_as_it_is(section: &HeaderSection<'_>) -> bool {
    section
        .all("Content-Transfer-Encoding")
        .all(|field| is_one_of(field.unfolded().trim_ascii(), &["7bit", "8bit", "binary"]))
}

fn is_one_of(value: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(value))
}

/// What well-known programs write; any other text there is readable mail.
const KNOWN_DESCRIPTIONS: [&str; 4] = [
    "PGP/MIME version identification",
    "PGP/MIME Versions Identification",
    "OpenPGP encrypted message",
    "OpenPGP encrypted data",
];

/// Armor headers of well-known programs (RFC 9580 §6.2.2). A comment of any other wording is readable mail.
fn is_known_armor_header(line: &[u8]) -> bool {
    const MAX_VERSION: usize = 48;
    const MAX_WORDS: usize = 4;
    let Some((key, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(": ")) else {
        return false;
    };
    let programs =
        ["GnuPG v", "GnuPG/MacGPG2 v", "OpenPGP.js v", "Mailvelope v", "BCPG v", "ProtonMail", "PGP ", "APG v"];
    let comments = [
        "Using GnuPG with Mozilla - http://enigmail.mozdev.org/",
        "Using GnuPG with Mozilla - https://enigmail.mozdev.org/",
        "Using GnuPG with Thunderbird - http://www.enigmail.net/",
        "Using GnuPG with Thunderbird - https://www.enigmail.net/",
        "Using GnuPG with Icedove - http://www.enigmail.net/",
        "GPGTools - http://gpgtools.org",
        "GPGTools - https://gpgtools.org",
        "http://openpgpjs.org",
        "https://openpgpjs.org",
        "https://www.mailvelope.com",
        "https://protonmail.com",
    ];
    match key {
        "Version" => {
            let word = |letter: char| letter.is_ascii_alphanumeric() || " .()/_-".contains(letter);
            value.len() <= MAX_VERSION
                && value.split(' ').count() <= MAX_WORDS
                && value.chars().all(word)
                && programs.iter().any(|program| value.starts_with(program))
        }
        "Comment" => comments.contains(&value),
        "Charset" => is_one_of(value.as_bytes(), &["us-ascii", "utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"]),
        _ => false,
    }
}

/// Preambles of well-known programs; any other text there is readable mail.
fn is_known_preamble(line: &[u8]) -> bool {
    // quirk: Enigmail, Mutt, Apple Mail and others each have their own.
    let known = [
        PREAMBLE,
        "This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)",
        "This is an OpenPGP/MIME encrypted message (RFC 2440 and 3156)",
        "This is a MIME-encapsulated message",
        "This is a multi-part message in MIME format.",
        "This is a MIME-formatted message.  If you see this text it means that your",
        "E-mail software does not support MIME-formatted messages.",
    ];
    known.iter().any(|known| known.as_bytes() == line)
}

/// Is this the name of one of our fields?
fn is_own_name(name: &[u8]) -> bool {
    ["Sealed-Mail", "Sealed-Key", "Sealed-Fields"].iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

/// The packets of somebody else's encrypted message: session keys, then one encrypted packet up to the end. Partial
/// lengths (RFC 9580 §4.2.1.4) are usual there.
#[derive(Default)]
struct PacketWalk {
    pending: Vec<u8>,
    skip: u64,
    session_keys: usize,
    stage: Stage,
}

#[derive(Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Keys,
    /// In the encrypted packet, another partial length follows.
    Partial,
    /// The last part of the encrypted packet.
    LastPart,
    Invalid,
}

impl PacketWalk {
    fn take(&mut self, octets: &[u8]) {
        let mut octets = octets;
        while self.stage != Stage::Invalid {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(octets.len());
            self.skip -= skipped as u64;
            octets = octets.get(skipped..).unwrap_or_default();
            if octets.is_empty() {
                return;
            }
            if self.stage == Stage::LastPart {
                self.stage = Stage::Invalid;
                return;
            }
            let (first, rest) = octets.split_at_checked(1).unwrap_or((octets, b""));
            self.pending.extend_from_slice(first);
            octets = rest;
            self.step();
        }
    }

    /// One more octet of a header is there.
    fn step(&mut self) {
        // A partial length's continuation is a length without a tag: it reads like a header with one.
        let mut header = if self.stage == Stage::Partial { vec![0xc0 | tag::SEIPD] } else { Vec::new() };
        header.extend_from_slice(&self.pending);
        let parsed = match PacketHeader::parse(&header) {
            Err(PacketError::Truncated) => return,
            Err(PacketError::NotAPacket) => {
                self.stage = Stage::Invalid;
                return;
            }
            Ok(parsed) => parsed,
        };
        self.pending.clear();
        self.stage = match (parsed.tag, parsed.body) {
            (tag::PKESK, Length::Definite(..LEAST_PKESK)) | (tag::SKESK, Length::Definite(..LEAST_SKESK)) => {
                Stage::Invalid
            }
            (tag::PKESK | tag::SKESK, Length::Definite(length)) if self.stage == Stage::Keys => {
                self.skip = length;
                self.session_keys += 1;
                if self.session_keys > limit::MAX_WRAPPED_KEYS { Stage::Invalid } else { Stage::Keys }
            }
            (tag::MARKER, Length::Definite(length)) if self.stage == Stage::Keys && length == 3 => {
                self.skip = length;
                Stage::Keys
            }
            (tag::SEIPD | tag::GNUPG_OCB, length) if self.session_keys > 0 => match length {
                Length::Definite(length) if length >= LEAST_ENCRYPTED || self.stage == Stage::Partial => {
                    self.skip = length;
                    Stage::LastPart
                }
                Length::Partial(length) => {
                    self.skip = length;
                    Stage::Partial
                }
                _ => Stage::Invalid,
            },
            _ => Stage::Invalid,
        };
    }

    fn is_encrypted(&self) -> bool {
        self.stage == Stage::LastPart && self.skip == 0
    }
}

/// Octets of the smallest session key packets and encrypted packet that can be what they say (RFC 9580 §5.1, §5.3, §5.13).
const LEAST_PKESK: u64 = 40;
const LEAST_SKESK: u64 = 4;
const LEAST_ENCRYPTED: u64 = 41;

fn is_smime(kind: &ContentType) -> bool {
    let typed = kind.is("application", "pkcs7-mime") || kind.is("application", "x-pkcs7-mime");
    let named = kind.is("application", "octet-stream")
        && kind.parameters().get("name").is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7m"));
    typed || named
}

/// Is the whole body CMS encrypted content, in base64 or as it is?
fn is_cms(section: &HeaderSection<'_>, rest: Vec<u8>, message: &mut impl BufRead) -> io::Result<bool> {
    let mut body = rest;
    message.take(MAX_CMS).read_to_end(&mut body)?;
    if body.len() as u64 >= MAX_CMS {
        return Ok(false);
    }
    // Every S/MIME program writes base64; as it is, the "ciphertext" could be a text for all to read.
    let encoding = section.first("Content-Transfer-Encoding").map(|field| field.unfolded()).unwrap_or_default();
    if !encoding.trim_ascii().eq_ignore_ascii_case(b"base64") {
        return Ok(false);
    }
    body.retain(|octet| !octet.is_ascii_whitespace());
    Ok(STANDARD.decode_to_vec(&body).is_ok_and(|octets| cms::is_enveloped(&octets)))
}
