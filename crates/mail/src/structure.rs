//! The MIME structure of a message, found while its octets stream by (RFC 2045, RFC 2046 §5, RFC 5322).
//!
//! In: the octets of a message in pieces of any size. Out: the tree of its body parts with offsets, sizes and line counts as an IMAP server
//! counts them, and each part's Content-* fields. Never decodes a body and never keeps one: what is kept are the fields that describe parts,
//! [`MAX_PART_FIELDS`] octets of them per part and [`MAX_ALL_FIELDS`] in all.
//!
//! The rules are Dovecot's. A delimiter is a line that *begins* with `--boundary` (RFC 2046 §5.1.1); of several boundaries that fit, the
//! longest wins, of equals the innermost. A parent's delimiter ends all parts within it, also within a part's header section. The line end
//! before a delimiter belongs to the delimiter. A missing end delimiter is tolerated, a multipart without a boundary is a leaf. Parts of a
//! multipart/digest are messages unless they say otherwise. Beyond a limit a part is a leaf, and [`BodyPart::truncated`] tells.

use memchr::memmem;

use crate::body_part::{BodyPart, PartKind};
use crate::content_type::ContentType;
use crate::header::{LINE_END_WINDOW, LineEnd, is_wsp, name_and_colon};

/// Nesting of parts that is followed.
pub const MAX_DEPTH: usize = 100;
/// Parts of one message; after the last one no delimiter is looked for.
pub const MAX_PARTS: usize = 10_000;
/// Octets of descriptive fields kept of one part.
pub const MAX_PART_FIELDS: usize = 64 * 1024;
/// Octets of descriptive fields kept of one message.
pub const MAX_ALL_FIELDS: usize = 8 * 1024 * 1024;
/// Longest boundary that is looked for; RFC 2046 allows 70.
pub const MAX_BOUNDARY: usize = 998;

/// Finds the structure of one message.
#[derive(Debug)]
pub struct Scanner {
    /// Octets held back until it is known how lines end.
    undecided: Option<Vec<u8>>,
    line_end: LineEnd,
    /// Finds a line end and `--`.
    dashes: memmem::Finder<'static>,
    /// The open parts, outermost first.
    open: Vec<Open>,
    /// Longest boundary among the open parts; zero when there is none.
    longest_boundary: usize,
    parts: usize,
    all_fields: usize,
    state: State,
    /// Octets and line ends read.
    at: u64,
    lines: u64,
    last_octet: u8,
    /// The beginning of a line whose end has not come yet; of a header line only what may be kept.
    pending: Vec<u8>,
    pending_len: u64,
    /// Length of the line end before the current line.
    line_end_len: u64,
    keep_field: bool,
}

/// Where in the message the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a header section.
    Header,
    /// In a body, in the first octets of a line.
    LineStart,
    /// In a body, in a line that is no delimiter.
    InLine,
    /// In a delimiter line, behind the delimiter; then a part begins, or not.
    AfterDelimiter { part_follows: bool },
}

#[derive(Debug)]
struct Open {
    part: BodyPart,
    /// Empty when no delimiter is looked for.
    boundary: Vec<u8>,
    lines_before_body: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the beginning of a message.
    pub fn new() -> Self {
        let mut scanner = Self {
            undecided: Some(Vec::new()),
            line_end: LineEnd::Lf,
            dashes: memmem::Finder::new(b"\n--"),
            open: Vec::new(),
            longest_boundary: 0,
            parts: 0,
            all_fields: 0,
            state: State::Header,
            at: 0,
            lines: 0,
            last_octet: 0,
            pending: Vec::new(),
            pending_len: 0,
            line_end_len: 0,
            keep_field: false,
        };
        scanner.open_part();
        scanner
    }

    /// Reads on.
    pub fn feed(&mut self, octets: &[u8]) {
        let Some(mut held) = self.undecided.take() else {
            return self.scan(octets);
        };
        let window = LINE_END_WINDOW.saturating_sub(held.len());
        let decided = octets.len() >= window || memchr::memchr(b'\n', octets).is_some();
        if decided && held.is_empty() {
            self.decide(octets);
            self.scan(octets);
        } else {
            held.extend_from_slice(octets);
            if decided {
                self.decide(&held);
                self.scan(&held);
            } else {
                self.undecided = Some(held);
            }
        }
    }

    /// The tree, once all octets were fed.
    pub fn finish(mut self) -> BodyPart {
        if let Some(held) = self.undecided.take() {
            self.decide(&held);
            self.scan(&held);
        }
        // The last line may lack its line end. No part follows a delimiter without one.
        let line = std::mem::take(&mut self.pending);
        match self.state {
            State::Header if self.pending_len > 0 => {
                self.header_line(&line, self.at.saturating_sub(self.pending_len), 0)
            }
            State::LineStart => {
                if let Some((owner, last)) = self.delimiter(&line) {
                    self.meet_delimiter(owner, last, self.at.saturating_sub(line.len() as u64), self.lines);
                }
            }
            State::Header | State::AfterDelimiter { .. } | State::InLine => {}
        }
        while self.state == State::Header {
            self.end_header(self.at);
        }
        self.close_down_to(1, self.at, self.lines);
        match self.open.pop() {
            Some(root) => close(root, self.at, self.lines),
            None => BodyPart::begin(0, self.line_end),
        }
    }

    /// Fixes how lines end.
    fn decide(&mut self, beginning: &[u8]) {
        self.line_end = LineEnd::of_window(beginning);
        if self.line_end == LineEnd::Cr {
            self.dashes = memmem::Finder::new(b"\r--");
        }
        if let Some(root) = self.open.first_mut() {
            root.part.line_end = self.line_end;
        }
    }

    fn scan(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let used = match self.state {
                State::Header => self.read_header_line(octets),
                State::LineStart => self.read_line_start(octets),
                State::InLine => self.read_body(octets),
                State::AfterDelimiter { part_follows } => self.read_delimiter_rest(octets, part_follows),
            };
            octets = octets.get(used..).unwrap_or_default();
        }
    }

    /// Counts octets as read.
    fn advance(&mut self, octets: &[u8], lines: usize) {
        self.at = self.at.saturating_add(octets.len() as u64);
        self.lines = self.lines.saturating_add(lines as u64);
        if let Some(last) = octets.last() {
            self.last_octet = *last;
        }
    }

    /// Length of the line end that `octets` end with.
    fn line_end_len(&self, octets: &[u8]) -> u64 {
        let before = match octets {
            [.., before, _] => *before,
            _ => self.last_octet,
        };
        if self.line_end == LineEnd::Lf && before == b'\r' { 2 } else { 1 }
    }

    fn read_header_line(&mut self, octets: &[u8]) -> usize {
        let Some(end) = memchr::memchr(self.line_end.octet(), octets) else {
            self.hold(octets);
            self.advance(octets, 0);
            return octets.len();
        };
        let line = octets.get(..=end).unwrap_or(octets);
        let line_end_len = self.line_end_len(line);
        let start = self.at.saturating_sub(self.pending_len);
        self.advance(line, 1);
        if self.pending_len == 0 {
            self.header_line(line, start, line_end_len);
        } else {
            self.hold(line);
            let mut held = std::mem::take(&mut self.pending);
            self.pending_len = 0;
            self.header_line(&held, start, line_end_len);
            held.clear();
            self.pending = held;
        }
        line.len()
    }

    /// Keeps the beginning of a header line that is not whole yet.
    fn hold(&mut self, octets: &[u8]) {
        let room = MAX_PART_FIELDS.saturating_add(2).saturating_sub(self.pending.len());
        self.pending.extend_from_slice(octets.get(..room).unwrap_or(octets));
        self.pending_len = self.pending_len.saturating_add(octets.len() as u64);
    }

    /// A whole header line, or as much of it as may be kept; all of it is counted as read.
    fn header_line(&mut self, line: &[u8], start: u64, line_end_len: u64) {
        if self.line_end.is_empty_line(line) {
            self.line_end_len = line_end_len;
            self.end_header(self.at);
            return;
        }
        if let Some((owner, last)) = self.delimiter(self.line_end.without_line_end(line)) {
            let lines = self.lines.saturating_sub(u64::from(line_end_len > 0));
            self.meet_delimiter(owner, last, start, lines);
            self.line_end_len = line_end_len;
            if line_end_len > 0 {
                self.after_delimiter(!last);
            }
            return;
        }
        self.line_end_len = line_end_len;
        let first_is_blank = line.first().is_some_and(|octet| is_wsp(*octet));
        if !first_is_blank {
            let name = name_and_colon(line).and_then(|(name_len, _)| line.get(..name_len));
            self.keep_field =
                name.is_some_and(|name| is_descriptive(name) || (self.in_inner_message() && is_envelope(name)));
        }
        if !self.keep_field {
            return;
        }
        let Some(open) = self.open.last_mut() else { return };
        let part_fields = open.part.fields.len().saturating_add(line.len());
        let all_fields = self.all_fields.saturating_add(line.len());
        if part_fields > MAX_PART_FIELDS || all_fields > MAX_ALL_FIELDS {
            open.part.cut = true;
            self.keep_field = false;
        } else {
            open.part.fields.extend_from_slice(line);
            self.all_fields = all_fields;
        }
    }

    /// The innermost open part's header section ends; its body, if any, begins at `body_offset`.
    fn end_header(&mut self, body_offset: u64) {
        let digest = self.parent().is_some_and(|parent| parent.content_type.is("multipart", "digest"));
        let depth = self.open.len();
        let Some(open) = self.open.last_mut() else { return };
        open.part.body_offset = body_offset;
        open.lines_before_body = self.lines;
        if let Some(field) = open.part.header().first("content-type") {
            let content_type = ContentType::parse(field.value());
            open.part.content_type = content_type;
        }
        let content_type = &open.part.content_type;
        open.part.kind = match (content_type.kind(), content_type.subtype()) {
            ("", _) if digest => PartKind::Message,
            ("" | "text", _) => PartKind::Text,
            ("message", "rfc822" | "global") => PartKind::Message,
            ("multipart", _) if content_type.boundary().is_some() => PartKind::Multipart,
            _ => PartKind::Other,
        };
        let boundary = content_type.boundary().unwrap_or_default().into_owned();
        let holds_parts = matches!(open.part.kind, PartKind::Multipart | PartKind::Message);
        let beyond = depth >= MAX_DEPTH
            || self.parts >= MAX_PARTS
            || (open.part.kind == PartKind::Multipart && boundary.len() > MAX_BOUNDARY);
        if holds_parts && beyond {
            open.part.cut = true;
            open.part.kind = PartKind::Other;
        }
        self.state = State::LineStart;
        match open.part.kind {
            PartKind::Multipart => {
                self.longest_boundary = self.longest_boundary.max(boundary.len());
                open.boundary = boundary;
            }
            PartKind::Message => self.open_part(),
            PartKind::Text | PartKind::Other => {}
        }
    }

    /// A part begins here, with its header section.
    fn open_part(&mut self) {
        self.parts = self.parts.saturating_add(1);
        self.keep_field = false;
        self.state = State::Header;
        let part = BodyPart::begin(self.at, self.line_end);
        self.open.push(Open { part, boundary: Vec::new(), lines_before_body: self.lines });
    }

    /// The delimiter line is read; a part follows, or the epilogue does.
    fn after_delimiter(&mut self, part_follows: bool) {
        if !part_follows {
            self.state = State::LineStart;
        } else if self.parts < MAX_PARTS {
            self.open_part();
        } else {
            // The rest of the message belongs to the multipart that has room for no more.
            if let Some(open) = self.open.last_mut() {
                open.part.cut = true;
            }
            for open in &mut self.open {
                open.boundary.clear();
            }
            self.longest_boundary = 0;
            self.state = State::InLine;
        }
    }

    /// Which open part a line delimits, as its place in `open`, and whether it is the end delimiter. `line` is without line end, or its
    /// first octets.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--").filter(|_| self.longest_boundary > 0)?;
        let mut best: Option<(usize, &[u8])> = None;
        for (place, open) in self.open.iter().enumerate().rev() {
            let boundary = open.boundary.as_slice();
            let Some(rest) = line.strip_prefix(boundary).filter(|_| !boundary.is_empty()) else { continue };
            if best.is_none_or(|(_, best_rest)| rest.len() < best_rest.len()) {
                best = Some((place, rest));
                // Nothing fits better than the whole line, with or without the dashes of an end delimiter.
                if rest.is_empty() || rest == b"--" {
                    break;
                }
            }
        }
        best.map(|(place, rest)| (place, rest.starts_with(b"--")))
    }

    /// Closes all parts within `open[owner]`: a delimiter line of it begins at `start`, with `lines` line ends before it.
    fn meet_delimiter(&mut self, owner: usize, last: bool, start: u64, lines: u64) {
        let before = start.saturating_sub(self.line_end_len);
        let (at, lines_now) = (self.at, self.lines);
        // A header section that the delimiter cuts off. The line end before the delimiter is not its own.
        self.at = before.max(self.open.last().map_or(before, |open| open.part.header_offset));
        self.lines = lines.saturating_sub(u64::from(self.at < start));
        while self.state == State::Header {
            self.end_header(self.at);
        }
        (self.at, self.lines) = (at, lines_now);
        // Unless that line end is the header section's of an empty part: then it is within all parts around it, too.
        let innermost = self.open.last().map_or(0, |open| open.part.body_offset);
        let end = if innermost >= start { start } else { before };
        self.close_down_to(owner.saturating_add(1), end, lines.saturating_sub(u64::from(end < start)));
        if last && let Some(open) = self.open.get_mut(owner) {
            open.boundary.clear();
        }
        self.longest_boundary = self.open.iter().map(|open| open.boundary.len()).max().unwrap_or(0);
    }

    /// Closes the innermost parts until `count` are left.
    fn close_down_to(&mut self, count: usize, end: u64, lines: u64) {
        while self.open.len() > count.max(1) {
            let Some(inner) = self.open.pop() else { return };
            let part = close(inner, end, lines);
            if let Some(outer) = self.open.last_mut() {
                outer.part.children.push(part);
            }
        }
    }

    /// Octets that decide whether a line is a delimiter: `--`, the boundary, `--`, a line end.
    fn decisive_len(&self) -> usize {
        self.longest_boundary.saturating_add(6)
    }

    fn read_line_start(&mut self, octets: &[u8]) -> usize {
        if self.longest_boundary == 0 {
            self.state = State::InLine;
            return 0;
        }
        let like_a_delimiter = matches!(
            (self.pending.as_slice(), octets),
            ([], [b'-'] | [b'-', b'-', ..]) | ([b'-'], [b'-', ..]) | ([_, _, ..], _)
        );
        if !like_a_delimiter {
            self.pending.clear();
            self.state = State::InLine;
            return 0;
        }
        let room = self.decisive_len().saturating_sub(self.pending.len());
        let reach = octets.get(..room).unwrap_or(octets);
        let line_len = memchr::memchr(self.line_end.octet(), reach).map(|end| end.saturating_add(1));
        let piece = reach.get(..line_len.unwrap_or(reach.len())).unwrap_or(reach);
        let whole = line_len.is_some();
        let held_len = self.pending.len() as u64;
        if !whole && piece.len() < room {
            self.pending.extend_from_slice(piece);
            self.advance(piece, 0);
            return piece.len();
        }
        let start = self.at.saturating_sub(held_len);
        let line_end_len = if whole { self.line_end_len(piece) } else { 0 };
        let found = if self.pending.is_empty() {
            self.delimiter(self.line_end.without_line_end(piece))
        } else {
            self.pending.extend_from_slice(piece);
            let mut line = std::mem::take(&mut self.pending);
            let found = self.delimiter(self.line_end.without_line_end(&line));
            line.clear();
            self.pending = line;
            found
        };
        let lines_before = self.lines;
        self.advance(piece, usize::from(whole));
        match found {
            Some((owner, last)) => {
                self.meet_delimiter(owner, last, start, lines_before);
                if whole {
                    self.line_end_len = line_end_len;
                    self.after_delimiter(!last);
                } else {
                    self.state = State::AfterDelimiter { part_follows: !last };
                }
            }
            None if whole => self.line_end_len = line_end_len,
            None => self.state = State::InLine,
        }
        piece.len()
    }

    fn read_body(&mut self, octets: &[u8]) -> usize {
        let line_end = self.line_end.octet();
        let found = match self.longest_boundary {
            0 => None,
            _ => self.dashes.find(octets).or(match octets {
                [.., last] if *last == line_end => octets.len().checked_sub(1),
                [.., before, b'-'] if *before == line_end => octets.len().checked_sub(2),
                _ => None,
            }),
        };
        let used = found.and_then(|place| octets.get(..=place)).unwrap_or(octets);
        if found.is_some() {
            self.line_end_len = self.line_end_len(used);
            self.state = State::LineStart;
        }
        self.advance(used, memchr::memchr_iter(line_end, used).count());
        used.len()
    }

    fn read_delimiter_rest(&mut self, octets: &[u8], part_follows: bool) -> usize {
        let Some(end) = memchr::memchr(self.line_end.octet(), octets) else {
            self.advance(octets, 0);
            return octets.len();
        };
        let line = octets.get(..=end).unwrap_or(octets);
        self.line_end_len = self.line_end_len(line);
        self.advance(line, 1);
        self.after_delimiter(part_follows);
        line.len()
    }

    fn parent(&self) -> Option<&BodyPart> {
        self.open.iter().rev().nth(1).map(|open| &open.part)
    }

    /// Whether the innermost open part is a message within the message: BODYSTRUCTURE shows its envelope.
    fn in_inner_message(&self) -> bool {
        self.parent().is_some_and(|parent| parent.kind == PartKind::Message)
    }
}

fn close(open: Open, end: u64, lines: u64) -> BodyPart {
    let mut part = open.part;
    part.end_offset = end.max(part.body_offset);
    part.body_lines = lines.saturating_sub(open.lines_before_body);
    part
}

/// Whether a field says something about a part.
fn is_descriptive(name: &[u8]) -> bool {
    name.get(..8).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"content-"))
}

/// Whether a field is part of a message's envelope (RFC 9051 §7.5.2).
fn is_envelope(name: &[u8]) -> bool {
    const NAMES: [&str; 10] =
        ["date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(message: &[u8], chunk: usize) -> BodyPart {
        let mut scanner = Scanner::new();
        message.chunks(chunk.max(1)).for_each(|piece| scanner.feed(piece));
        scanner.finish()
    }

    /// The tree as `kind[body]lines(children)`.
    fn draw(message: &[u8], part: &BodyPart) -> String {
        let kind = match part.kind() {
            PartKind::Multipart => "multi",
            PartKind::Message => "msg",
            PartKind::Text => "text",
            PartKind::Other => "other",
        };
        let mut out = kind.to_owned();
        if part.children().is_empty() {
            let body = &message[part.body_offset() as usize..part.end_offset() as usize];
            out += &format!("[{}]{}", String::from_utf8_lossy(body).escape_debug(), part.body_lines());
        } else {
            let children: Vec<String> = part.children().iter().map(|child| draw(message, child)).collect();
            out += &format!("({})", children.join(" "));
        }
        out
    }

    fn check(message: &str, tree: &str) {
        for chunk in [usize::MAX, 1, 2, 3, 7] {
            let root = scan(message.as_bytes(), chunk);
            assert_eq!(draw(message.as_bytes(), &root), tree, "{message:?} in pieces of {chunk}");
        }
    }

    const X: &str = "Content-Type: multipart/mixed; boundary=x\n\n";
    const Y: &str = "Content-Type: multipart/mixed; boundary=y\n\n";

    #[test]
    fn trees() {
        check("", "text[]0");
        check("A: 1", "text[]0");
        check("A: 1\r\n\r\nb\r\nc\r\n", "text[b\\r\\nc\\r\\n]2");
        check("A: 1\n\nb\n--x\n", "text[b\\n--x\\n]2");
        check("A: 1\r\rb\rc\r", "text[b\\rc\\r]2");
        check("Content-Type: image/png\n\nb", "other[b]0");
        check("Content-Type: multipart/mixed\n\n--\n", "other[--\\n]1");
        check(&format!("{X}--x\n\na\n--x\n\nb\n--x--\n"), "multi(text[a]0 text[b]0)");
        check(&format!("{X}pre\n--x\nA: b\n\na\n\n--x  \n\nb\n--x-- \nepi\n--x\n\nno"), "multi(text[a\\n]1 text[b]0)");
        check(&format!("{X}--x\r\n\r\na\r\n--x--"), "multi(text[a]0)");
        check(&format!("{X}--x\n\na\n--x"), "multi(text[a]0)");
        check(&format!("{X}--x\n\na\n--x\n"), "multi(text[a]0 text[]0)");
        check(&format!("{X}--x\n\na\n"), "multi(text[a\\n]1)");
        check(&format!("{X}none"), "multi[none]0");
        check(&format!("{X}--x\n--x\nA: b\n--x\n\n--x--\n"), "multi(text[]0 text[]0 text[]0)");
        check(&format!("{X}--x\n{Y}--y\n\na\n--y--\nepi\n--x\n\nb\n--x--\n"), "multi(multi(text[a]0) text[b]0)");
        check(&format!("{X}--x\n{Y}--y\n\na\n--x\n\nb\n--x--\n"), "multi(multi(text[a]0) text[b]0)");
        check(&format!("{X}--x\n{Y}--y--\n--y\n\n--x--\n"), "multi(multi[--y--\\n--y\\n]2)");
        check(&format!("{X}--x\nContent-Type: message/rfc822\n\nS: t\n\nbody\n--x--"), "multi(msg(text[body]0))");
        check(&format!("{X}--x\nContent-Type: message/rfc822\n\n{Y}--y\n\na\n--x--"), "multi(msg(multi(text[a]0)))");
        check(&format!("{X}--x\nContent-Type: message/rfc822\n--x--"), "multi(msg(text[]0))");
        check(&format!("{X}--x\n{Y}--y\n--x\n{Y}--y\n\n--x--"), "multi(multi(text[]0) multi(text[]0))");
        check("Content-Type: message/rfc822\n\n", "msg(text[]0)");
        check("Content-Type: multipart/digest; boundary=x\n\n--x\n\nS: t\n\nb\n--x--", "multi(msg(text[b]0))");
        check("Content-Type: multipart/mixed; boundary=x\r\r--x\r\ra\rb\r--x--\r", "multi(text[a\\rb]1)");
        // A boundary that begins like another one.
        check(
            "Content-Type: multipart/a; boundary=xy\n\n--xy\nContent-Type: multipart/b; boundary=x\n\n--x\n\na\n--xy\n\nb\n--xy--",
            "multi(multi(text[a]0) text[b]0)",
        );
        // Lines that only look like delimiters.
        check(&format!("{X}--x\n\n-\n--\n--y\n -x\n-x\n--x--\n"), "multi(text[-\\n--\\n--y\\n -x\\n-x]4)");
    }

    #[test]
    fn offsets_are_those_of_the_message() {
        let message =
            b"A: b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nC: d\r\n\r\none\r\ntwo\r\n--x--\r\n";
        let root = scan(message, 5);
        let child = &root.children()[0];
        assert_eq!((root.header_offset(), root.body_offset(), root.end_offset()), (0, 51, message.len() as u64));
        assert_eq!((child.header_offset(), child.body_offset(), child.end_offset()), (56, 64, 72));
        assert_eq!((child.body_size(), child.body_lines(), root.body_lines()), (8, 1, 6));
    }

    #[test]
    fn only_descriptive_fields_are_kept() {
        let message = format!(
            "Subject: no\n{X}--x\nSubject: no\nContent-ID : <a>\nContent-Type: message/rfc822\n\nReceived: no\nSubject: s\n t\n\n--x--"
        );
        let root = scan(message.as_bytes(), 3);
        let part = &root.children()[0];
        let inner = &part.children()[0];
        assert_eq!((root.field("subject"), part.field("subject"), inner.field("received")), (None, None, None));
        assert_eq!(part.field("content-id").as_deref(), Some(&b"<a>"[..]));
        assert_eq!(inner.field("subject").as_deref(), Some(&b"s t"[..]));
    }

    #[test]
    fn limits_are_reported() {
        let nested: String = (0..MAX_DEPTH + 5)
            .map(|level| format!("Content-Type: multipart/mixed; boundary=b{level:03}\n\n--b{level:03}\n"))
            .collect();
        let many = X.to_owned() + &"--x\n\na\n".repeat(MAX_PARTS + 5);
        let long_field = format!("Content-Description: {}\n{X}--x\n\n", "d".repeat(MAX_PART_FIELDS));
        let long_boundary = format!("Content-Type: multipart/mixed; boundary={}\n\n", "b".repeat(MAX_BOUNDARY + 1));
        for (message, truncated) in
            [(&nested, true), (&many, true), (&long_field, true), (&long_boundary, true), (&X.to_owned(), false)]
        {
            let whole = scan(message.as_bytes(), usize::MAX);
            assert_eq!(whole.truncated(), truncated);
            assert!(whole == scan(message.as_bytes(), 1000));
        }
        assert_eq!(scan(many.as_bytes(), usize::MAX).children().len(), MAX_PARTS - 1);
    }

    /// Messages of the pieces that matter.
    fn messages() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\r"), 3 => Just("--x\n"), 1 => Just("--x--\n"), 2 => Just("--xx\r\n"), 1 => Just("--xx--"),
            1 => Just("-"), 1 => Just("--"), 1 => Just("a"), 1 => Just(" "), 1 => Just("Subject: s\n"),
            2 => Just("\nContent-Type: multipart/mixed; boundary=x\n\n"), 2 => Just("\nContent-Type: multipart/digest; boundary=xx\r\n\r\n"),
            1 => Just("\nContent-Type: message/rfc822\n\n"), 1 => Just("\nContent-Type: image/png\n\n"),
        ];
        (any::<bool>(), proptest::collection::vec(piece, 0..40)).prop_map(|(mac, pieces)| {
            let message = format!("Content-Type: multipart/mixed; boundary=x\n{}", pieces.concat());
            if mac { message.replace("\r\n", "\r").replace('\n', "\r").into_bytes() } else { message.into_bytes() }
        })
    }

    /// Offsets are in order, within the message and within the parent; lines are those of the body.
    fn hold_together(message: &[u8], part: &BodyPart, end: u64, line_end: u8) -> Result<(), TestCaseError> {
        prop_assert!(
            part.header_offset() <= part.body_offset()
                && part.body_offset() <= part.end_offset()
                && part.end_offset() <= end
        );
        let body = &message[part.body_offset() as usize..part.end_offset() as usize];
        prop_assert_eq!(part.body_lines(), memchr::memchr_iter(line_end, body).count() as u64);
        prop_assert_eq!(
            part.kind() == PartKind::Message,
            part.children().len() == 1 && part.children()[0].header_offset() == part.body_offset()
        );
        let mut from = part.body_offset();
        for child in part.children() {
            prop_assert!(child.header_offset() >= from);
            hold_together(message, child, part.end_offset(), line_end)?;
            from = child.end_offset();
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_chunking_gives_the_same_tree(message in messages(), cuts in proptest::collection::vec(1usize..20, 1..20)) {
            let whole = scan(&message, usize::MAX);
            hold_together(&message, &whole, message.len() as u64, LineEnd::of_window(&message).octet())?;
            let mut scanner = Scanner::new();
            let mut rest = &message[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                scanner.feed(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(scanner.finish(), whole);
        }

        #[test]
        fn arbitrary_octets_do_no_harm(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let whole = scan(&octets, usize::MAX);
            prop_assert_eq!(scan(&octets, 1), whole);
        }
    }
}
