//! Which octets of a message `BODY[…]` means (RFC 3501 §6.4.5). In: a section, a message. Out: a range of it, or fields of a header section; nothing where
//! there is no such part.

use std::io::{self, Write};
use std::ops::Range;

use mail::{BodyPart, ContentType, HeaderSection, PartKind, part_octets};
use wire::imap::server::{Part, Partial, Section};
use zeroize::Zeroizing;

use crate::depot::{MAX_HEADER, Original, Trouble};

/// Octets that were asked for.
pub(crate) enum Octets {
    /// As they stand in the message.
    Range(Range<u64>),
    /// Fields that were picked, or a part that was decoded.
    Fields(Zeroizing<Vec<u8>>),
}

/// Finds a section; `None`: there is no such part.
pub(crate) fn find(original: &mut Original, section: &Section) -> io::Result<Option<Octets>> {
    let Some(part) = descend(original.structure(), &section.path) else { return Ok(None) };
    let found = match &section.part {
        Part::All if section.path.is_empty() => Octets::Range(0..original.length()),
        Part::All => Octets::Range(part.body_offset()..part.end_offset()),
        Part::Mime => Octets::Range(part.header_offset()..part.body_offset()),
        of_message => {
            let message = if section.path.is_empty() {
                part
            } else {
                match (part.kind(), part.children()) {
                    (PartKind::Message, [message, ..]) => message,
                    _ => return Ok(None),
                }
            };
            let header = message.header_offset()..message.body_offset();
            match of_message {
                Part::Header => Octets::Range(header),
                Part::Fields(names) => Octets::Fields(pick_from(original, header, Rest::Named, names)?),
                Part::FieldsNot(names) => Octets::Fields(pick_from(original, header, Rest::Others, names)?),
                _ => Octets::Range(message.body_offset()..message.end_offset()),
            }
        }
    };
    Ok(Some(match section.partial {
        Some(partial) => found.clip(partial),
        None => found,
    }))
}

/// Octets of a part that are decoded at once; more of one is refused.
const MAX_DECODED: u64 = 128 << 20;

/// A part without its transfer encoding.
pub(crate) enum Decoded {
    /// There is no such part.
    Nothing,
    Octets(Octets),
    /// It has an encoding that nobody knows.
    Unknown,
}

/// The same of a part without its transfer encoding (RFC 3516 §4.2). What holds other parts, and the whole message, has none.
pub(crate) fn decoded(original: &mut Original, section: &Section) -> Result<Decoded, Trouble> {
    let Some(part) = descend(original.structure(), &section.path) else { return Ok(Decoded::Nothing) };
    let encoding = part.field("content-transfer-encoding").map(|value| ContentType::parse(&value).kind().to_owned());
    let is_leaf = !section.path.is_empty() && part.children().is_empty();
    let encoding = encoding.filter(|_| is_leaf);
    match encoding.as_deref() {
        None | Some("" | "7bit" | "8bit" | "binary") => {
            return Ok(find(original, section)?.map_or(Decoded::Nothing, Decoded::Octets));
        }
        Some("base64" | "quoted-printable") => {}
        Some(_) => return Ok(Decoded::Unknown),
    }
    let (part, range) = (part.clone(), part.body_offset()..part.end_offset());
    if range.end.saturating_sub(range.start) > MAX_DECODED {
        return Err(Trouble::Io);
    }
    let octets = original.read(range)?;
    let found = Octets::Fields(Zeroizing::new(part_octets(&part, &octets).into_owned()));
    Ok(Decoded::Octets(match section.partial {
        Some(partial) => found.clip(partial),
        None => found,
    }))
}

impl Octets {
    /// Whether NULs may be among them: in the message itself there are none.
    pub(crate) fn may_hold_nul(&self) -> bool {
        matches!(self, Octets::Fields(octets) if memchr::memchr(0, octets).is_some())
    }

    /// How many.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Octets::Range(range) => range.end.saturating_sub(range.start),
            Octets::Fields(fields) => fields.len() as u64,
        }
    }

    /// Writes them.
    pub(crate) fn write(&self, original: &mut Original, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        match self {
            Octets::Range(range) => original.copy(range.clone(), to),
            Octets::Fields(fields) => to.write_all(fields),
        }
    }

    /// Writes what was picked.
    pub(crate) fn write_fields(&self, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        match self {
            Octets::Range(_) => Err(io::ErrorKind::InvalidInput.into()),
            Octets::Fields(fields) => to.write_all(fields),
        }
    }

    pub(crate) fn clip(self, partial: Partial) -> Self {
        match self {
            Octets::Range(range) => {
                let start = range.start.saturating_add(partial.first).min(range.end);
                Octets::Range(start..start.saturating_add(partial.count).min(range.end))
            }
            Octets::Fields(fields) => {
                let from = usize::try_from(partial.first).unwrap_or(usize::MAX).min(fields.len());
                let count = usize::try_from(partial.count).unwrap_or(usize::MAX);
                let to = from.saturating_add(count).min(fields.len());
                Octets::Fields(Zeroizing::new(fields.get(from..to).unwrap_or_default().to_vec()))
            }
        }
    }
}

/// Part 2.1 is the first part in the second one; a message that is no multipart has one part, its body. quirk: a part of a multipart that holds no others is its
/// own first part, as Dovecot has it.
fn descend<'p>(root: &'p BodyPart, path: &[u32]) -> Option<&'p BodyPart> {
    let mut part = root;
    let mut stands_for_message = true;
    let mut is_own_body = false;
    for &number in path {
        let container = match part.kind() {
            PartKind::Message if !stands_for_message => part.children().first()?,
            _ => part,
        };
        let next = match container.kind() {
            PartKind::Multipart => container.children().get(usize::try_from(number).ok()?.checked_sub(1)?)?,
            _ if number == 1 && !(is_own_body && std::ptr::eq(container, part)) => container,
            _ => return None,
        };
        is_own_body = container.kind() != PartKind::Multipart && stands_for_message;
        stands_for_message = false;
        part = next;
    }
    Some(part)
}

fn is_among(names: &[Vec<u8>], name: &[u8]) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Which fields are picked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Those that are named.
    Named,
    /// All others.
    Others,
}

/// Picked fields, as they stand there, and the empty line.
fn pick_from(
    original: &mut Original,
    header: Range<u64>,
    rest: Rest,
    names: &[Vec<u8>],
) -> io::Result<Zeroizing<Vec<u8>>> {
    if header.end.saturating_sub(header.start) > MAX_HEADER {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(pick(&original.read(header)?, rest, names))
}

/// Fields of a header section, and the empty line.
pub(crate) fn pick(octets: &[u8], rest: Rest, names: &[Vec<u8>]) -> Zeroizing<Vec<u8>> {
    let mut picked = Zeroizing::new(Vec::with_capacity(octets.len().saturating_add(4)));
    let section = HeaderSection::parse(octets);
    let wanted = |name: &[u8]| is_among(names, name) == (rest == Rest::Named);
    for field in section.fields().iter().filter(|field| wanted(field.name())) {
        picked.extend_from_slice(field.raw());
        if !field.raw().ends_with(b"\n") {
            picked.extend_from_slice(b"\r\n");
        }
    }
    // quirk: a message that ends within its header section has no empty line to be among all but some; Dovecot has it so.
    if rest == Rest::Named || section.complete() {
        picked.extend_from_slice(b"\r\n");
    }
    picked
}
