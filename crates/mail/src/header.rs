//! The header section of a message and its fields, as views over the message's octets.
//!
//! In: a whole message, or the beginning of one. Out: [`HeaderSection`], the fields in their order, each with its exact octets, and the
//! offset at which the body begins. Never fails, never changes an octet, never decodes (RFC 5322 §2.2, §3.6.8, §4.5).
//!
//! The rule for odd lines is the one that Dovecot and Thunderbird share: **only an empty line ends the header section.** A line that is
//! no field (no colon, or nothing before it) is skipped together with its continuation lines; the section goes on after it. A message
//! without an empty line is all header. A message that begins with an empty line has no header.
//!
//! quirk: `From ` or `>From ` at the very top (mbox, Sendmail) is no field although it often holds a colon.
//! quirk: files from old Macs end their lines with a bare CR. A message with a CR but no LF in its first [`LINE_END_WINDOW`] octets is
//! read that way; everywhere else a bare CR is an ordinary octet.

use std::borrow::Cow;

/// Fields kept of one header section; [`HeaderSection::over_limit`] tells whether there were more.
pub const MAX_FIELDS: usize = 100_000;

/// Octets at the beginning of a message that decide how its lines end.
pub const LINE_END_WINDOW: usize = 64 * 1024;

/// The fields of a message, in order, and where its body begins.
#[derive(Debug, Clone)]
pub struct HeaderSection<'a> {
    octets: &'a [u8],
    fields: Vec<HeaderField<'a>>,
    body_offset: usize,
    complete: bool,
    over_limit: bool,
}

impl<'a> HeaderSection<'a> {
    /// Reads the header section at the beginning of `message`. Linear time; what follows the section is not looked at.
    pub fn parse(message: &'a [u8]) -> Self {
        Self::parse_lines(message, LineEnd::of_window(message))
    }

    /// Reads lines that are known to end in one way.
    pub(crate) fn parse_lines(message: &'a [u8], line_end: LineEnd) -> Self {
        let mut section = Self {
            octets: message,
            fields: Vec::new(),
            body_offset: message.len(),
            complete: false,
            over_limit: false,
        };
        let mut at = 0;
        while at < message.len() {
            let line = line_end.line(message, at);
            if line_end.is_empty_line(line) {
                section.octets = message.get(..at).unwrap_or_default();
                section.body_offset = at.saturating_add(line.len());
                section.complete = true;
                break;
            }
            let end = line_end.folded_end(message, at.saturating_add(line.len()));
            let raw = message.get(at..end).unwrap_or_default();
            if let Some(name_and_colon) = (!is_envelope_line(raw, at)).then(|| name_and_colon(line)).flatten() {
                if section.fields.len() < MAX_FIELDS {
                    let (name_len, colon) = name_and_colon;
                    section.fields.push(HeaderField { raw, offset: at, name_len, colon, line_end });
                } else {
                    section.over_limit = true;
                }
            }
            at = end;
        }
        section
    }

    /// The octets of the section: fields and skipped lines, without the empty line that ends it.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Offset of the first octet after the empty line; the message's length when there is no empty line.
    pub fn body_offset(&self) -> usize {
        self.body_offset
    }

    /// Whether an empty line ended the section. When only a prefix of a message was given, false means: there may be more fields.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// Whether the section has more than [`MAX_FIELDS`] fields, so that [`HeaderSection::fields`] lacks the last ones.
    pub fn over_limit(&self) -> bool {
        self.over_limit
    }

    /// All fields in their order.
    pub fn fields(&self) -> &[HeaderField<'a>] {
        &self.fields
    }

    /// The first field of that name (ASCII case does not matter).
    pub fn first(&self, name: &str) -> Option<&HeaderField<'a>> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// All fields of that name in their order (ASCII case does not matter).
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s HeaderField<'a>> + 's {
        self.fields.iter().filter(move |field| field.is(name))
    }
}

/// One header field with its continuation lines.
#[derive(Debug, Clone, Copy)]
pub struct HeaderField<'a> {
    raw: &'a [u8],
    offset: usize,
    name_len: usize,
    colon: usize,
    line_end: LineEnd,
}

impl<'a> HeaderField<'a> {
    /// The whole octets, with continuation lines and the final line end (which the last line of a message may lack).
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Offset of [`HeaderField::raw`] in the message.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The name as written, without the white space that obsolete syntax allows before the colon (RFC 5322 §4.5).
    pub fn name(&self) -> &'a [u8] {
        self.raw.get(..self.name_len).unwrap_or_default()
    }

    /// Whether the field has this name (ASCII case does not matter).
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// The octets between the colon and the final line end, still folded.
    pub fn value(&self) -> &'a [u8] {
        let value = self.raw.get(self.colon.saturating_add(1)..).unwrap_or_default();
        self.line_end.without_line_end(value)
    }

    /// The value on one line: line ends removed (RFC 5322 §2.2.3), leading white space trimmed. Nothing is decoded.
    pub fn unfolded(&self) -> Vec<u8> {
        let value = self.value();
        let mut out = Vec::with_capacity(value.len());
        let mut at = 0;
        while at < value.len() {
            let line = self.line_end.line(value, at);
            out.extend_from_slice(self.line_end.without_line_end(line));
            at = at.saturating_add(line.len());
        }
        let blank = out.iter().take_while(|octet| is_wsp(**octet)).count();
        out.drain(..blank);
        out
    }

    /// [`HeaderField::unfolded`] as text; octets that are not UTF-8 become U+FFFD. Encoded words stay encoded.
    pub fn unfolded_text(&self) -> String {
        match String::from_utf8_lossy(&self.unfolded()) {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        }
    }
}

/// Where the header section at the beginning of `prefix` ends: the offset of the first octet after its empty line. `None`: not within
/// `prefix`, read on (for a message that is complete, [`HeaderSection::parse`] decides).
///
/// Each call starts at the front: a caller that reads in pieces should let `prefix` double between calls.
pub fn header_section_end(prefix: &[u8]) -> Option<usize> {
    let undecided = prefix.len() < LINE_END_WINDOW && memchr::memchr(b'\n', prefix).is_none();
    if undecided {
        return None;
    }
    let line_end = LineEnd::of_window(prefix);
    let mut at = 0;
    while at < prefix.len() {
        let line = line_end.line(prefix, at);
        let next = at.saturating_add(line.len());
        if line_end.is_empty_line(line) {
            return Some(next);
        }
        at = next;
    }
    None
}

/// How the lines of one message end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// LF or CRLF.
    Lf,
    /// A bare CR: no LF near the beginning of the message.
    Cr,
}

impl LineEnd {
    /// Decides from the first [`LINE_END_WINDOW`] octets.
    pub(crate) fn of_window(message: &[u8]) -> Self {
        let window = message.get(..LINE_END_WINDOW).unwrap_or(message);
        if memchr::memchr(b'\n', window).is_none() && memchr::memchr(b'\r', window).is_some() {
            Self::Cr
        } else {
            Self::Lf
        }
    }

    /// The octet that ends a line.
    pub(crate) fn octet(self) -> u8 {
        match self {
            Self::Lf => b'\n',
            Self::Cr => b'\r',
        }
    }

    /// The line that begins at `at`, with its line end.
    pub(crate) fn line(self, octets: &[u8], at: usize) -> &[u8] {
        let rest = octets.get(at..).unwrap_or_default();
        let len = memchr::memchr(self.octet(), rest).map_or(rest.len(), |end| end.saturating_add(1));
        rest.get(..len).unwrap_or(rest)
    }

    /// Whether a line holds nothing but its line end.
    pub(crate) fn is_empty_line(self, line: &[u8]) -> bool {
        match self {
            Self::Lf => line == b"\n" || line == b"\r\n",
            Self::Cr => line == b"\r",
        }
    }

    /// A line, or the end of several, without one final line end.
    pub(crate) fn without_line_end(self, line: &[u8]) -> &[u8] {
        match (self, line) {
            (Self::Lf, [rest @ .., b'\r', b'\n'] | [rest @ .., b'\n']) | (Self::Cr, [rest @ .., b'\r']) => rest,
            _ => line,
        }
    }

    /// Where the continuation lines end that may begin at `at`.
    fn folded_end(self, octets: &[u8], mut at: usize) -> usize {
        while octets.get(at).is_some_and(|octet| is_wsp(*octet)) {
            at = at.saturating_add(self.line(octets, at).len());
        }
        at
    }
}

/// White space within a line (RFC 5234 WSP).
pub(crate) fn is_wsp(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Length of the trimmed name and place of the colon, or `None` when the line is no field.
pub(crate) fn name_and_colon(line: &[u8]) -> Option<(usize, usize)> {
    if line.first().is_none_or(|octet| is_wsp(*octet)) {
        return None;
    }
    let colon = memchr::memchr(b':', line)?;
    let name_len = line.get(..colon)?.iter().rposition(|octet| !is_wsp(*octet))?.checked_add(1)?;
    Some((name_len, colon))
}

/// Whether this is the line that mbox files have before each message.
pub(crate) fn is_envelope_line(line: &[u8], offset: usize) -> bool {
    offset == 0 && (line.starts_with(b"From ") || line.starts_with(b">From "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each field as `name|unfolded`, then the body.
    fn check(message: &str, fields: &[&str], body: &str, complete: bool) {
        let section = HeaderSection::parse(message.as_bytes());
        let found: Vec<String> = section
            .fields()
            .iter()
            .map(|field| format!("{}|{}", String::from_utf8_lossy(field.name()), field.unfolded_text()))
            .collect();
        assert_eq!(found, fields, "fields of {message:?}");
        assert_eq!(&message[section.body_offset()..], body, "body of {message:?}");
        assert_eq!(section.complete(), complete, "completeness of {message:?}");
    }

    #[test]
    fn odd_header_sections() {
        check("A: 1\r\nB: 2\r\n\r\nbody\r\n", &["A|1", "B|2"], "body\r\n", true);
        check("A: 1\nB: 2\n\nbody\n", &["A|1", "B|2"], "body\n", true);
        check("A: 1\r\nB: 2\n\r\nbody", &["A|1", "B|2"], "body", true);
        check("A: 1\n\tx\r\n y\nB:2\n\nb", &["A|1\tx y", "B|2"], "b", true);
        check("Subject : x\n\n", &["Subject|x"], "", true);
        check("Subject:\n x\n\n", &["Subject|x"], "", true);
        check("A: 1", &["A|1"], "", false);
        check("A: 1\n", &["A|1"], "", false);
        check("", &[], "", false);
        check("\nA: 1\n\nbody", &[], "A: 1\n\nbody", true);
        check("From x Mon Jan 1 00:00:00 2024\nA: 1\n\nb", &["A|1"], "b", true);
        check(">From x Mon Jan 1 00:00:00 2024\r\nA: 1\r\n\r\nb", &["A|1"], "b", true);
        check("A: 1\nno colon here\n cont: inued\nB: 2\n\nb", &["A|1", "B|2"], "b", true);
        check(" leading: fold\nA: 1\n\nb", &["A|1"], "b", true);
        check(": no name\n \nA: 1\n\nb", &["A|1"], "b", true);
        check("A: 1\n \nB: 2\n\nb", &["A|1 ", "B|2"], "b", true);
        check("A: 1\rB: 2\r x\r\rbody\r", &["A|1", "B|2 x"], "body\r", true);
        check("A: 1\rB: 2\n\nbody", &["A|1\rB: 2"], "body", true);
        check("just text\nno header\n", &[], "", false);
    }

    #[test]
    fn raw_and_value_are_exact() {
        let section = HeaderSection::parse(b"To : a,\r\n b\r\nto:c\r\n\r\n");
        let raw: Vec<_> = section.all("TO").map(HeaderField::raw).collect();
        assert_eq!(raw, [&b"To : a,\r\n b\r\n"[..], b"to:c\r\n"]);
        assert_eq!(section.first("to").map(HeaderField::value), Some(&b" a,\r\n b"[..]));
        assert!(section.first("cc").is_none());
    }

    #[test]
    fn the_field_limit_is_reported() {
        let message = "R: x\n".repeat(MAX_FIELDS + 1) + "\nbody";
        let section = HeaderSection::parse(message.as_bytes());
        assert_eq!(section.fields().len(), MAX_FIELDS);
        assert!(section.over_limit());
        assert_eq!(&message[section.body_offset()..], "body");
    }

    #[test]
    fn the_end_is_found_in_a_prefix() {
        for (prefix, end) in [
            ("", None),
            ("A: 1\r\n", None),
            ("A: 1\r\n\r\nx", Some(8)),
            ("A: 1\r\rx", None),
            ("\nx", Some(1)),
            ("A: 1\n\r", None),
        ] {
            assert_eq!(header_section_end(prefix.as_bytes()), end, "{prefix:?}");
        }
        let mac = format!("A: 1\r\r{}", "x".repeat(LINE_END_WINDOW));
        assert_eq!(header_section_end(mac.as_bytes()), Some(6));
    }

    /// Text made of the pieces that matter, and arbitrary octets.
    pub(crate) fn messages() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b":".to_vec()),
            Just(b" ".to_vec()),
            Just(b"From ".to_vec()),
            Just(b"Subject: x".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn fields_and_skipped_lines_are_the_section(message in messages()) {
            let section = HeaderSection::parse(&message);
            let line_end = LineEnd::of_window(&message);
            let mut at = 0;
            let mut skipped = Vec::new();
            for field in section.fields() {
                prop_assert_eq!(field.raw(), &message[field.offset()..][..field.raw().len()]);
                prop_assert!(field.offset() >= at);
                skipped.push(at..field.offset());
                at = field.offset() + field.raw().len();
                prop_assert!(!field.name().is_empty());
            }
            skipped.push(at..section.octets().len());
            for gap in skipped {
                let mut from = gap.start;
                while from < gap.end {
                    let line = line_end.line(&message, from);
                    prop_assert!(!line_end.is_empty_line(line));
                    prop_assert!(name_and_colon(line).is_none() || is_envelope_line(line, from), "field skipped: {:?}", line);
                    from += line.len();
                }
            }
            let rest = &message[section.octets().len()..section.body_offset()];
            prop_assert!(rest.is_empty() || line_end.is_empty_line(rest));
            if let Some(end) = header_section_end(&message) {
                prop_assert_eq!(end, section.body_offset());
                prop_assert!(section.complete());
            }
        }
    }
}
