//! Content-Type and Content-Disposition: a kind and its parameters.
//!
//! In: a field value, folded or not. Out: lower-cased type and subtype, and the parameters with quotes, comments and the continuations and
//! charsets of RFC 2231 resolved (RFC 2045 §5.1, RFC 2183 §2). Never fails: what cannot be read is left out. Never judges whether a type
//! makes sense.

use std::borrow::Cow;

use crate::encoded_word::{decode_charset, decode_words};
use crate::header::is_wsp;

/// Parameters kept of one value; more are left out and [`Parameters::over_limit`] tells.
pub const MAX_PARAMETERS: usize = 1_000;

/// A Content-Type value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentType {
    kind: String,
    subtype: String,
    parameters: Parameters,
}

impl ContentType {
    /// Reads a Content-Type value. An empty or unreadable value gives an empty [`ContentType::kind`].
    pub fn parse(value: &[u8]) -> Self {
        let mut rest = Reader { octets: value, at: 0 };
        let kind = rest.kind_token();
        rest.skip_blanks_and_comments();
        let mut subtype = String::new();
        if rest.skip(b'/') {
            subtype = rest.kind_token();
        }
        Self { kind, subtype, parameters: Parameters::read(rest) }
    }

    /// The type, lower-cased: `text`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The subtype, lower-cased: `plain`; empty when the value has none.
    pub fn subtype(&self) -> &str {
        &self.subtype
    }

    /// Whether this is `kind/subtype` (both in lower case).
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The boundary's octets (RFC 2046 §5.1.1: white space at its end does not count); `None` when missing or empty.
    pub fn boundary(&self) -> Option<Cow<'_, [u8]>> {
        let boundary = self.parameters.iter().find(|parameter| parameter.name == "boundary")?;
        let boundary = match boundary.extended {
            false => Cow::Borrowed(boundary.octets.trim_ascii_end()),
            // quirk: Horde wrote boundaries in the extended form; the charset of a boundary means nothing.
            true => Cow::Owned(boundary.percent_decoded().1.trim_ascii_end().to_vec()),
        };
        (!boundary.is_empty()).then_some(boundary)
    }
}

/// A Content-Disposition value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentDisposition {
    kind: String,
    parameters: Parameters,
}

impl ContentDisposition {
    /// Reads a Content-Disposition value.
    pub fn parse(value: &[u8]) -> Self {
        let mut rest = Reader { octets: value, at: 0 };
        Self { kind: rest.kind_token(), parameters: Parameters::read(rest) }
    }

    /// `attachment`, `inline`, ..., lower-cased; empty when unreadable.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// The parameters of a value: in their order, those that were continued after the others, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    list: Vec<Parameter>,
    over_limit: bool,
}

impl Parameters {
    /// The decoded text of a parameter (name in lower case). Of `filename` and `filename*` the extended form wins (RFC 6266 §4.3).
    pub fn get(&self, name: &str) -> Option<String> {
        let named = || self.list.iter().filter(|parameter| parameter.name == name);
        named().find(|parameter| parameter.extended).or_else(|| named().next()).map(Parameter::text)
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.list.iter()
    }

    /// Whether there were more than [`MAX_PARAMETERS`].
    pub fn over_limit(&self) -> bool {
        self.over_limit
    }

    fn read(mut rest: Reader<'_>) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        let mut over_limit = false;
        while let Some((name, value)) = rest.parameter() {
            if segments.len() >= MAX_PARAMETERS {
                over_limit = true;
                break;
            }
            segments.push(Segment::new(&name, value));
        }
        Self { list: join(segments), over_limit }
    }
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    name: String,
    octets: Vec<u8>,
    extended: bool,
}

impl Parameter {
    /// The name, lower-cased, without the `*` of RFC 2231.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value without quotes, continuations joined; of an extended parameter still `charset'language'percent-encoded`.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Whether the value is in the extended form of RFC 2231 §4.
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// The value as text.
    pub fn text(&self) -> String {
        if !self.extended {
            // quirk: Outlook and many others put encoded words into parameters, which RFC 2047 §5 forbids.
            return decode_words(&self.octets);
        }
        let (charset, octets) = self.percent_decoded();
        decode_charset(charset, &octets)
    }

    /// Charset and octets of an extended value.
    fn percent_decoded(&self) -> (&[u8], Vec<u8>) {
        let mut pieces = self.octets.splitn(3, |octet| *octet == b'\'');
        match (pieces.next(), pieces.next(), pieces.next()) {
            (Some(charset), Some(_language), Some(encoded)) => (charset, percent_decode(encoded)),
            _ => (b"utf-8", percent_decode(&self.octets)),
        }
    }
}

/// A parameter as it stands in the value: maybe one of several pieces.
struct Segment {
    name: String,
    number: Option<u32>,
    extended: bool,
    octets: Vec<u8>,
}

impl Segment {
    /// Takes `name*2*` apart (RFC 2231 §3, §4).
    fn new(name: &str, octets: Vec<u8>) -> Self {
        let whole = name.to_ascii_lowercase();
        let (stem, extended) = whole.strip_suffix('*').map_or((whole.as_str(), false), |stem| (stem, true));
        let numbered = stem.rsplit_once('*').and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
        let (stem, number) = numbered.map_or((stem, None), |(stem, number)| (stem, Some(number)));
        Self { name: stem.to_owned(), number, extended, octets }
    }
}

/// Joins continuations: pieces 0, 1, 2, ... of a name, however they are ordered; a gap ends the value.
fn join(segments: Vec<Segment>) -> Vec<Parameter> {
    let mut list = Vec::with_capacity(segments.len());
    let mut pieces: Vec<Segment> = Vec::new();
    for segment in segments {
        match segment.number {
            None => list.push(Parameter { name: segment.name, octets: segment.octets, extended: segment.extended }),
            Some(_) => pieces.push(segment),
        }
    }
    // Stable: of two pieces with one number the first counts.
    pieces.sort_by(|one, other| (&one.name, one.number).cmp(&(&other.name, other.number)));
    for own in pieces.chunk_by(|one, other| one.name == other.name) {
        let extended = own.iter().any(|piece| piece.extended);
        let mut octets = Vec::new();
        let mut expected = 0u32;
        for piece in own {
            if piece.number != Some(expected) {
                continue;
            }
            match (extended, piece.extended) {
                (true, false) => percent_encode(&piece.octets, expected == 0, &mut octets),
                _ => octets.extend_from_slice(&piece.octets),
            }
            expected = expected.saturating_add(1);
        }
        if let Some(first) = own.first().filter(|_| expected > 0) {
            list.push(Parameter { name: first.name.clone(), octets, extended });
        }
    }
    list
}

/// A plain piece among extended ones; as the first it lacks the charset.
fn percent_encode(octets: &[u8], first: bool, out: &mut Vec<u8>) {
    if first {
        out.extend_from_slice(b"''");
    }
    for octet in octets {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            out.push(*octet);
        } else {
            out.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
}

fn percent_decode(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    out.push((high << 4) | low);
                    rest = after;
                }
                _ => out.push(*first),
            },
            _ => out.push(*first),
        }
    }
    out
}

/// A place in a field value.
struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn skip(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.step();
        }
        found
    }

    /// CFWS (RFC 5322 §3.2.2); an unclosed comment reaches to the end.
    fn skip_blanks_and_comments(&mut self) {
        let mut depth = 0usize;
        while let Some(octet) = self.peek() {
            match octet {
                b'\\' if depth > 0 => self.step(),
                b'(' => depth = depth.saturating_add(1),
                b')' if depth > 0 => depth = depth.saturating_sub(1),
                _ if depth > 0 || is_blank(octet) => {}
                _ => return,
            }
            self.step();
        }
    }

    fn take_until(&mut self, stop: impl Fn(u8) -> bool) -> &[u8] {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|octet| stop(*octet)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(len);
        rest.get(..len).unwrap_or_default()
    }

    /// A type, subtype or disposition.
    fn kind_token(&mut self) -> String {
        self.skip_blanks_and_comments();
        // quirk: some programs quote the type.
        self.skip(b'"');
        let token = self.take_until(|octet| {
            is_blank(octet) || octet.is_ascii_control() || matches!(octet, b'/' | b';' | b'(' | b',' | b'"' | b'=')
        });
        let token = String::from_utf8_lossy(token).to_ascii_lowercase();
        self.skip(b'"');
        token
    }

    /// The next `name=value`. Garbage before it is skipped; so is a missing `;` (quirk: some scanners and MUAs leave it out).
    fn parameter(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            self.skip_blanks_and_comments();
            match self.peek()? {
                b'"' => {
                    self.quoted_string();
                }
                b';' | b'=' | b',' => self.step(),
                _ => {
                    let name =
                        self.take_until(|octet| is_blank(octet) || matches!(octet, b'=' | b';' | b'"' | b'(' | b','));
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.skip_blanks_and_comments();
                    if self.skip(b'=') {
                        self.skip_blanks_and_comments();
                        let value = self.value(&name);
                        return Some((name, value));
                    }
                }
            }
        }
    }

    fn value(&mut self, name: &str) -> Vec<u8> {
        if self.peek() == Some(b'"') {
            return self.quoted_string();
        }
        // quirk: file names with blanks but without quotes are common.
        let may_hold_blanks = name.eq_ignore_ascii_case("name") || name.eq_ignore_ascii_case("filename");
        let value = match may_hold_blanks {
            true => self.take_until(|octet| matches!(octet, b';' | b'\r' | b'\n')),
            false => self.take_until(|octet| is_blank(octet) || matches!(octet, b';' | b'(')),
        };
        value.trim_ascii_end().to_vec()
    }

    /// A quoted string (RFC 5322 §3.2.4), unquoted and unfolded; an unclosed one reaches to the end.
    fn quoted_string(&mut self) -> Vec<u8> {
        self.step();
        let mut out = Vec::new();
        while let Some(octet) = self.peek() {
            self.step();
            match octet {
                b'"' => break,
                b'\\' => {
                    out.extend(self.peek());
                    self.step();
                }
                b'\r' | b'\n' => {}
                _ => out.push(octet),
            }
        }
        out
    }
}

fn is_blank(octet: u8) -> bool {
    is_wsp(octet) || matches!(octet, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `kind/subtype name=text name=text`, extended names with a star.
    fn check(value: &str, expected: &str) {
        let content_type = ContentType::parse(value.as_bytes());
        let mut found = format!("{}/{}", content_type.kind(), content_type.subtype());
        for parameter in content_type.parameters().iter() {
            found += &format!(
                "|{}{}={}",
                parameter.name(),
                if parameter.is_extended() { "*" } else { "" },
                parameter.text()
            );
        }
        assert_eq!(found, expected, "{value:?}");
    }

    #[test]
    fn values() {
        check("text/plain", "text/plain");
        check(" Text/HTML ; Charset = \"UTF-8\"", "text/html|charset=UTF-8");
        check("text/plain; charset=us-ascii (Plain text)", "text/plain|charset=us-ascii");
        check("text (c)/ (d) plain (e); (f) a=b", "text/plain|a=b");
        check("multipart/mixed;\r\n boundary=\"a \\\"b\\\" c\"", "multipart/mixed|boundary=a \"b\" c");
        check("multipart/mixed; boundary=----=_Part_1", "multipart/mixed|boundary=----=_Part_1");
        check("multipart/mixed; boundary=\"x\" charset=utf-8", "multipart/mixed|boundary=x|charset=utf-8");
        check("text", "text/");
        check("", "/");
        check(";;; = ;", "/");
        check("text/plain; \"junk\"; x; charset=a", "text/plain|charset=a");
        check("application/pdf; name=my file.pdf; x=y", "application/pdf|name=my file.pdf|x=y");
        check("a/b; name=\"=?utf-8?Q?=C3=A9?=\"", "a/b|name=é");
        check("a/b; name=\"unclosed; x=y", "a/b|name=unclosed; x=y");
        check("a/b; f*=utf-8'de'%C3%A9x", "a/b|f*=éx");
        check("a/b; f*=iso-8859-1''%E9", "a/b|f*=é");
        check("a/b; f*=%zz", "a/b|f*=%zz");
        check("a/b; f*1=b; f*0=a; f*2=c", "a/b|f=abc");
        check("a/b; f*0=a; f*2=c", "a/b|f=a");
        check("a/b; f*0*=utf-8''%C3; f*1*=%A9; f*2=\" %\"", "a/b|f*=é %");
        check("a/b; f*0=\"x y\"; f*1*=%C3%A9", "a/b|f*=x yé");
        check("a/b; =x; (", "a/b");
    }

    #[test]
    fn the_extended_form_wins_and_boundaries_are_octets() {
        let both = ContentDisposition::parse(b"Attachment; filename=\"a?.txt\"; filename*=utf-8''a%C3%A9.txt");
        assert_eq!((both.kind(), both.parameters().get("filename").as_deref()), ("attachment", Some("aé.txt")));
        assert_eq!(ContentType::parse(b"multipart/x; boundary=\"\xe9  \"").boundary().as_deref(), Some(&b"\xe9"[..]));
        assert_eq!(
            ContentType::parse(b"multipart/x; boundary*0*=us-ascii''%3Da; boundary*1=b").boundary().as_deref(),
            Some(&b"=ab"[..])
        );
        assert_eq!(ContentType::parse(b"multipart/x; boundary=\"\"").boundary(), None);
    }

    #[test]
    fn the_parameter_limit_is_reported() {
        let value = "a/b".to_owned() + &"; x=y".repeat(MAX_PARAMETERS + 1);
        let parameters = ContentType::parse(value.as_bytes()).parameters().clone();
        assert!(parameters.over_limit());
        assert_eq!(parameters.iter().count(), MAX_PARAMETERS);
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_parser(value in r#"[a-z/;=*0-2'%"\\( )\r\n]{0,60}"#, octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            for value in [value.as_bytes(), &octets] {
                ContentDisposition::parse(value);
                for parameter in ContentType::parse(value).parameters().iter() {
                    parameter.text();
                }
            }
        }
    }
}
