//! The words of a message, as SEARCH and the index look into them. In: a message. Out: its header fields and its text parts, decoded and folded, and the
//! names of what is attached. Text lives in memory that is wiped.

use mail::{BodyPart, ContentDisposition, HeaderSection, PartKind, decode_words, part_text};
use zeroize::Zeroizing;

use super::criteria::fold;
use crate::depot::{MAX_HEADER, Original, Trouble};

/// What BODY and TEXT look into, folded.
pub(crate) struct Words {
    /// The text of the body parts.
    pub(crate) body: Zeroizing<String>,
    /// The header fields of the message and of all parts and messages in it.
    pub(crate) header: Zeroizing<String>,
    /// Names of attachments, a line for each; those without a name are empty lines.
    pub(crate) attachments: Zeroizing<String>,
}

/// Octets of one part that are searched.
const MAX_PART: u64 = 64 << 20;

/// Header fields, decoded and folded, a line for each.
fn header_text(header: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(header.len()));
    for field in HeaderSection::parse(header).fields() {
        text.push_str(&fold(&String::from_utf8_lossy(field.name())));
        text.push_str(": ");
        text.push_str(&fold(&decode_words(&field.unfolded())));
        text.push('\n');
    }
    text
}

/// The words of a message, decoded and folded.
pub(crate) fn words_of(original: &mut Original) -> Result<Words, Trouble> {
    let header = original.header()?;
    let empty = || Zeroizing::new(String::new());
    let mut words = Words { body: empty(), header: header_text(&header), attachments: empty() };
    let structure = original.structure().clone();
    push_words(original, &structure, &mut words)?;
    Ok(words)
}

/// As deep as the structure goes.
fn push_words(original: &mut Original, part: &BodyPart, words: &mut Words) -> Result<(), Trouble> {
    if part.kind() == PartKind::Text {
        let end = part.end_offset().min(part.body_offset().saturating_add(MAX_PART));
        let octets = original.read(part.body_offset()..end)?;
        let decoded = Zeroizing::new(part_text(part, &octets));
        words.body.push_str(&fold(&decoded));
        words.body.push('\n');
    }
    if part.children().is_empty()
        && let Some(name) = attachment_name(part)
    {
        words.attachments.push_str(&fold(&name));
        words.attachments.push('\n');
    }
    for child in part.children() {
        if child.body_offset().saturating_sub(child.header_offset()) <= MAX_HEADER {
            let header = original.read(child.header_offset()..child.body_offset())?;
            words.header.push_str(&header_text(&header));
        }
        push_words(original, child, words)?;
    }
    Ok(())
}

/// The name of a part that is meant to be kept as a file; empty where it has none.
pub(crate) fn attachment_name(part: &BodyPart) -> Option<String> {
    let disposition = part.field("content-disposition").map(|value| ContentDisposition::parse(&value));
    let named = disposition.as_ref().and_then(|disposition| disposition.parameters().get("filename"));
    let name = named.or_else(|| part.content_type().parameters().get("name")).map(|name| decode_words(name.as_bytes()));
    let is_attachment = disposition.is_some_and(|disposition| disposition.kind() == "attachment");
    match name {
        Some(name) => Some(name),
        None => is_attachment.then(String::new),
    }
}
