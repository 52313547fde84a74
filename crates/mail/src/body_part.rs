//! A body part (RFC 2045, RFC 2046): where it lies within its message, what stands in it, the parts within it.
//!
//! Offsets and sizes are octets, counted as an IMAP server counts them. No octet of a body is in here; the few fields that are kept describe parts. Who finds
//! them is [`Scanner`](crate::Scanner).

use crate::content_type::ContentType;
use crate::header::{HeaderSection, LineEnd};

/// A body part; the root of the tree is the message itself. All offsets are octets from the beginning of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyPart {
    pub(crate) header_offset: u64,
    pub(crate) body_offset: u64,
    pub(crate) end_offset: u64,
    pub(crate) body_lines: u64,
    pub(crate) content_type: ContentType,
    pub(crate) fields: Vec<u8>,
    pub(crate) line_end: LineEnd,
    pub(crate) kind: PartKind,
    pub(crate) cut: bool,
    pub(crate) children: Vec<BodyPart>,
}

/// What stands in a body part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Other parts.
    Multipart,
    /// A message: one child.
    Message,
    /// Text.
    Text,
    /// Anything else.
    Other,
}

impl BodyPart {
    /// Where the part's header section begins.
    pub fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Where the part's body begins: after the empty line.
    pub fn body_offset(&self) -> u64 {
        self.body_offset
    }

    /// Where the body ends: before the line end that belongs to the next delimiter.
    pub fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// Octets of the body, still encoded.
    pub fn body_size(&self) -> u64 {
        self.end_offset.saturating_sub(self.body_offset)
    }

    /// Line ends within the body.
    pub fn body_lines(&self) -> u64 {
        self.body_lines
    }

    /// The type as written, empty when the part has none that can be read; see [`BodyPart::kind`] for what that means.
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// What stands in the part.
    pub fn kind(&self) -> PartKind {
        self.kind
    }

    /// The parts within this one; a [`PartKind::Message`] has exactly one.
    pub fn children(&self) -> &[BodyPart] {
        &self.children
    }

    /// The first field of that name, among those kept: Content-* and, of a message within the message, those of its envelope (RFC 9051
    /// §7.5.2). The fields of the message itself are [`HeaderSection`]'s.
    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        self.header().first(name).map(|field| field.unfolded())
    }

    /// Whether a limit made the tree, at or below this part, poorer than the message.
    pub fn truncated(&self) -> bool {
        self.cut || self.children.iter().any(BodyPart::truncated)
    }

    /// An empty part whose header section begins there.
    pub(crate) fn begin(header_offset: u64, line_end: LineEnd) -> Self {
        Self {
            header_offset,
            body_offset: header_offset,
            end_offset: header_offset,
            body_lines: 0,
            content_type: ContentType::default(),
            fields: Vec::new(),
            line_end,
            kind: PartKind::Text,
            cut: false,
            children: Vec::new(),
        }
    }

    /// The kept fields.
    pub(crate) fn header(&self) -> HeaderSection<'_> {
        HeaderSection::parse_lines(&self.fields, self.line_end)
    }
}
