//! Address lists (RFC 5322 §3.4, obsolete forms of §4.4 included).
//!
//! In: the value of a field such as From or To, folded or not. Out: its addresses and groups in order, each with the octets it was read
//! from. Never fails: what is no address is kept as a name without one. Linear time.

use crate::encoded_word::decode_words;
use crate::header::is_wsp;

/// Addresses and group marks kept of one list; [`AddressList::over_limit`] tells whether there were more.
pub const MAX_ADDRESSES: usize = 100_000;

/// The addresses of one field.
#[derive(Debug, Clone, Default)]
pub struct AddressList<'a> {
    entries: Vec<AddressEntry<'a>>,
    over_limit: bool,
}

/// An item of an address list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressEntry<'a> {
    /// An address, within a group or not.
    Address(Address<'a>),
    /// A group begins: its name, unquoted, encoded words still encoded.
    GroupStart(Vec<u8>),
    /// The group ends.
    GroupEnd,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<'a> {
    phrase: Vec<u8>,
    local: Vec<u8>,
    domain: Option<Vec<u8>>,
    verbatim: &'a [u8],
}

impl<'a> AddressList<'a> {
    /// Reads an address list.
    pub fn parse(value: &'a [u8]) -> Self {
        let mut list = Self::default();
        let mut scan = Scan { value, at: 0, quotes: true, comments: true, angles: true };
        let mut in_group = false;
        while let Some(piece) = scan.piece() {
            if list.entries.len() >= MAX_ADDRESSES {
                list.over_limit = true;
                break;
            }
            match piece.end {
                PieceEnd::Colon => {
                    // A group within a group cannot be (RFC 5322 §3.4): the first one ends.
                    if in_group {
                        list.entries.push(AddressEntry::GroupEnd);
                    }
                    list.entries.push(AddressEntry::GroupStart(piece.outside.text()));
                    in_group = true;
                }
                end => {
                    if let Some(address) = piece.address() {
                        list.entries.push(AddressEntry::Address(address));
                    }
                    if end == PieceEnd::Semicolon && in_group {
                        list.entries.push(AddressEntry::GroupEnd);
                        in_group = false;
                    }
                }
            }
        }
        if in_group {
            list.entries.push(AddressEntry::GroupEnd);
        }
        list
    }

    /// Addresses and group marks in order.
    pub fn entries(&self) -> &[AddressEntry<'a>] {
        &self.entries
    }

    /// The addresses in order, those within groups included.
    pub fn addresses(&self) -> impl Iterator<Item = &Address<'a>> {
        self.entries.iter().filter_map(|entry| match entry {
            AddressEntry::Address(address) => Some(address),
            AddressEntry::GroupStart(_) | AddressEntry::GroupEnd => None,
        })
    }

    /// Whether there were more than [`MAX_ADDRESSES`] entries.
    pub fn over_limit(&self) -> bool {
        self.over_limit
    }
}

impl<'a> Address<'a> {
    /// The display name, decoded; for a bare address the comment beside it; empty when there is neither.
    pub fn name(&self) -> String {
        decode_words(&self.phrase)
    }

    /// The display name unquoted, encoded words still encoded.
    pub fn phrase(&self) -> &[u8] {
        &self.phrase
    }

    /// `local@domain` without blanks, comments and route; quotes of the local part are kept. Octets beyond UTF-8 become U+FFFD, control
    /// characters are dropped. Only a local part when there is no `@`; empty for `<>`.
    pub fn addr_spec(&self) -> String {
        let mut spec = self.local.clone();
        if let Some(domain) = &self.domain {
            spec.push(b'@');
            spec.extend_from_slice(domain);
        }
        String::from_utf8_lossy(&spec).chars().filter(|character| !character.is_control()).collect()
    }

    /// The part before the `@`, quotes kept.
    pub fn local_part(&self) -> &[u8] {
        &self.local
    }

    /// The part after the `@`.
    pub fn domain(&self) -> Option<&[u8]> {
        self.domain.as_deref()
    }

    /// The octets it was read from, without outer blanks and separators.
    pub fn verbatim(&self) -> &'a [u8] {
        self.verbatim
    }
}

/// An address list without display names, comments and groups: `a@x, b@y`. What has no `@` is left out.
pub fn addr_spec_only(value: &[u8]) -> String {
    let list = AddressList::parse(value);
    let specs: Vec<String> =
        list.addresses().filter(|address| address.domain.is_some()).map(Address::addr_spec).collect();
    specs.join(", ")
}

/// What ended a piece of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceEnd {
    Comma,
    Semicolon,
    Colon,
    Value,
}

/// What stands between two separators.
struct Piece<'a> {
    outside: Words,
    angle: Option<Words>,
    comment: Vec<u8>,
    verbatim: &'a [u8],
    end: PieceEnd,
}

impl<'a> Piece<'a> {
    fn address(self) -> Option<Address<'a>> {
        let verbatim = self.verbatim;
        match self.angle {
            Some(angle) => {
                let (local, domain) = angle.addr_spec();
                Some(Address { phrase: self.outside.text(), local, domain, verbatim })
            }
            None if self.outside.words.is_empty() => None,
            None => {
                let (local, domain) = self.outside.addr_spec();
                Some(Address { phrase: self.comment, local, domain, verbatim })
            }
        }
    }
}

/// Words as they stand in a phrase or an address.
#[derive(Default)]
struct Words {
    words: Vec<Word>,
}

struct Word {
    octets: Vec<u8>,
    quoted: bool,
    blank_before: bool,
}

impl Words {
    fn push(&mut self, octets: &[u8], quoted: bool, blank_before: bool) {
        match self.words.last_mut() {
            Some(last) if !quoted && !last.quoted && !blank_before => last.octets.extend_from_slice(octets),
            _ => self.words.push(Word { octets: octets.to_vec(), quoted, blank_before }),
        }
    }

    /// The words with one blank where there were some.
    fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in &self.words {
            if word.blank_before && !out.is_empty() {
                out.push(b' ');
            }
            out.extend_from_slice(&word.octets);
        }
        out
    }

    /// Local part and domain, route dropped (RFC 5322 §4.4).
    fn addr_spec(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let has_at = self.words.iter().any(|word| !word.quoted && word.octets.contains(&b'@'));
        let mut out = Vec::new();
        // The last unquoted `@` parts the two; with none, blanks are kept: it is no address.
        let mut at = None;
        for word in &self.words {
            if !has_at && word.blank_before && !out.is_empty() {
                out.push(b' ');
            }
            if word.quoted {
                out.push(b'"');
                for octet in &word.octets {
                    if matches!(octet, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(*octet);
                }
                out.push(b'"');
            } else {
                at = word
                    .octets
                    .iter()
                    .rposition(|octet| *octet == b'@')
                    .map(|place| place.saturating_add(out.len()))
                    .or(at);
                out.extend_from_slice(&word.octets);
            }
        }
        let Some(at) = at else { return (out, None) };
        let domain = out.get(at.saturating_add(1)..).unwrap_or_default().to_vec();
        out.truncate(at);
        if out.first() == Some(&b'@')
            && let Some(colon) = out.iter().position(|octet| *octet == b':')
        {
            out.drain(..=colon);
        }
        (out, Some(domain))
    }
}

/// A place in the list. Once a quote, comment or angle is found to be unclosed, no later one of its sort is looked for: linear time.
struct Scan<'a> {
    value: &'a [u8],
    at: usize,
    quotes: bool,
    comments: bool,
    angles: bool,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or_default()
    }

    /// Reads up to and over the next separator; `None` at the end.
    fn piece(&mut self) -> Option<Piece<'a>> {
        if self.at >= self.value.len() {
            return None;
        }
        let start = self.at;
        let mut piece =
            Piece { outside: Words::default(), angle: None, comment: Vec::new(), verbatim: &[], end: PieceEnd::Value };
        let mut in_angle = false;
        let mut unclosed = false;
        let mut seen_at = false;
        let mut blank = false;
        let mut stop = self.value.len();
        while let Some(octet) = self.rest().first().copied() {
            let here = self.at;
            let separator = match octet {
                b',' if !in_angle => Some(PieceEnd::Comma),
                b';' if !in_angle => Some(PieceEnd::Semicolon),
                b':' if !in_angle && !seen_at && piece.angle.is_none() => Some(PieceEnd::Colon),
                _ => None,
            };
            if let Some(end) = separator {
                piece.end = end;
                stop = here;
                self.at = here.saturating_add(1);
                break;
            }
            if octet == b'(' && self.comments {
                if let Some(comment) = self.comment() {
                    if piece.comment.is_empty() {
                        piece.comment = comment;
                    }
                    blank = true;
                    continue;
                }
            } else if octet == b'"' && self.quotes {
                if let Some(quoted) = self.quoted() {
                    words(&mut piece, in_angle || unclosed).push(&quoted, true, blank);
                    blank = false;
                    continue;
                }
            } else if octet == b'<' && !in_angle && self.angles && self.angle_closes() {
                in_angle = true;
                blank = false;
                piece.angle = Some(Words::default());
                self.at = here.saturating_add(1);
                continue;
            }
            self.at = here.saturating_add(1);
            match octet {
                b'>' if in_angle => in_angle = false,
                // An angle without its partner: what follows is the address all the same.
                b'<' if !in_angle && piece.angle.is_none() => {
                    unclosed = true;
                    piece.angle = Some(Words::default());
                }
                b'<' | b'>' => {}
                _ if is_wsp(octet) || matches!(octet, b'\r' | b'\n' | b'\0') => blank = true,
                _ => {
                    seen_at |= octet == b'@';
                    // The rest of a plain word at once.
                    let run = self
                        .rest()
                        .iter()
                        .take_while(|octet| octet.is_ascii_alphanumeric() || !octet.is_ascii())
                        .count();
                    self.at = self.at.saturating_add(run);
                    let word = self.value.get(here..self.at).unwrap_or_default();
                    words(&mut piece, in_angle || unclosed).push(word, false, blank);
                    blank = false;
                }
            }
        }
        piece.verbatim = self.value.get(start..stop).unwrap_or_default().trim_ascii();
        Some(piece)
    }

    /// A comment, nested ones included, without its outer parentheses. `None`, and nothing read, when it is unclosed.
    fn comment(&mut self) -> Option<Vec<u8>> {
        let mut depth = 0usize;
        let mut out = Vec::new();
        let mut rest = self.rest().iter().enumerate();
        while let Some((place, octet)) = rest.next() {
            match octet {
                b'\\' => {
                    out.extend(rest.next().map(|(_, escaped)| *escaped));
                    continue;
                }
                b'(' => {
                    depth = depth.saturating_add(1);
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.at = self.at.saturating_add(place).saturating_add(1);
                        return Some(out.trim_ascii().to_vec());
                    }
                }
                b'\r' | b'\n' => continue,
                _ => {}
            }
            out.push(*octet);
        }
        self.comments = false;
        None
    }

    /// A quoted string without its quotes, unfolded. `None`, and nothing read, when it is unclosed.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = self.rest().iter().enumerate().skip(1);
        while let Some((place, octet)) = rest.next() {
            match octet {
                b'"' => {
                    self.at = self.at.saturating_add(place).saturating_add(1);
                    return Some(out);
                }
                b'\\' => out.extend(rest.next().map(|(_, escaped)| *escaped)),
                b'\r' | b'\n' => {}
                _ => out.push(*octet),
            }
        }
        self.quotes = false;
        None
    }

    /// Whether the angle that opens here closes before the next one opens.
    fn angle_closes(&mut self) -> bool {
        let inside = self.rest().get(1..).unwrap_or_default();
        match memchr::memchr2(b'<', b'>', inside) {
            Some(place) => inside.get(place) == Some(&b'>'),
            None => {
                self.angles = false;
                false
            }
        }
    }
}

fn words<'p>(piece: &'p mut Piece<'_>, in_angle: bool) -> &'p mut Words {
    match &mut piece.angle {
        Some(angle) if in_angle => angle,
        _ => &mut piece.outside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Entries as `name|addr-spec|verbatim`, `{group` and `}`.
    fn check(value: &str, expected: &[&str]) {
        let list = AddressList::parse(value.as_bytes());
        let found: Vec<String> = list
            .entries()
            .iter()
            .map(|entry| match entry {
                AddressEntry::Address(address) => {
                    format!(
                        "{}|{}|{}",
                        address.name(),
                        address.addr_spec(),
                        String::from_utf8_lossy(address.verbatim())
                    )
                }
                AddressEntry::GroupStart(name) => format!("{{{}", String::from_utf8_lossy(name)),
                AddressEntry::GroupEnd => "}".to_owned(),
            })
            .collect();
        assert_eq!(found, expected, "{value:?}");
    }

    #[test]
    fn lists() {
        check("a@x.org", &["|a@x.org|a@x.org"]);
        check("A B <a@x.org>, c@y", &["A B|a@x.org|A B <a@x.org>", "|c@y|c@y"]);
        check("\"B, A\" <a@x>", &["B, A|a@x|\"B, A\" <a@x>"]);
        check("\"q \\\" q\" <a@x>", &["q \" q|a@x|\"q \\\" q\" <a@x>"]);
        check("John Q. Public <j@x>", &["John Q. Public|j@x|John Q. Public <j@x>"]);
        check("a@x (Al (the) B)", &["Al (the) B|a@x|a@x (Al (the) B)"]);
        check("=?utf-8?Q?J=C3=B6rg?= <j@x>", &["Jörg|j@x|=?utf-8?Q?J=C3=B6rg?= <j@x>"]);
        check("\"=?utf-8?Q?J=C3=B6rg?=\" <j@x>", &["Jörg|j@x|\"=?utf-8?Q?J=C3=B6rg?=\" <j@x>"]);
        check("=?utf-8?Q?J?= =?utf-8?Q?K?=\r\n <j@x>", &["JK|j@x|=?utf-8?Q?J?= =?utf-8?Q?K?=\r\n <j@x>"]);
        check("G: a@x, B <b@y>; c@z", &["{G", "|a@x|a@x", "B|b@y|B <b@y>", "}", "|c@z|c@z"]);
        check("undisclosed-recipients:;", &["{undisclosed-recipients", "}"]);
        check("<@r1,@r2:a@x>", &["|a@x|<@r1,@r2:a@x>"]);
        check("\"a b\"@x", &["|\"a b\"@x|\"a b\"@x"]);
        check("a . b @ x (c) . y", &["c|a.b@x.y|a . b @ x (c) . y"]);
        check("\"x@y\" <a@b>", &["x@y|a@b|\"x@y\" <a@b>"]);
        check("x@y <a@b>", &["x@y|a@b|x@y <a@b>"]);
        check("a@[IPv6:::1]", &["|a@[IPv6:::1]|a@[IPv6:::1]"]);
        check("<>", &["||<>"]);
        check("", &[]);
        check(" , ,, ", &[]);
        check("root", &["|root|root"]);
        check("no address here", &["|no address here|no address here"]);
        check("A <a@x, b@y", &["A|a@x|A <a@x", "|b@y|b@y"]);
        check("\"A <a@x>, b@y", &["\"A|a@x|\"A <a@x>", "|b@y|b@y"]);
        check("(unclosed a@x", &["|(uncloseda@x|(unclosed a@x"]);
        check("A <a@x> <b@y>", &["A|b@y|A <a@x> <b@y>"]);
    }

    #[test]
    fn names_are_left_out() {
        assert_eq!(addr_spec_only(b"A <a@x>, G: \"b c\"@y (d);, nobody, <>"), "a@x, \"b c\"@y");
        assert_eq!(addr_spec_only(b"a@x\r\n.org, b\0c@y"), "a@x.org, bc@y");
    }

    proptest! {
        #[test]
        fn entries_are_pieces_of_the_value(value in proptest::collection::vec(prop_oneof![
            Just(b"\"".to_vec()), Just(b"(".to_vec()), Just(b")".to_vec()), Just(b"<".to_vec()), Just(b">".to_vec()), Just(b",".to_vec()),
            Just(b"@".to_vec()), Just(b":".to_vec()), Just(b";".to_vec()), Just(b"\\".to_vec()), Just(b" a".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4)], 0..30).prop_map(|pieces| pieces.concat())) {
            let list = AddressList::parse(&value);
            let mut from = 0;
            for address in list.addresses() {
                let found = memchr::memmem::find(&value[from..], address.verbatim());
                prop_assert!(found.is_some());
                from += found.unwrap_or(0) + address.verbatim().len();
                prop_assert!(!address.addr_spec().chars().any(char::is_control));
                address.name();
            }
            addr_spec_only(&value);
        }
    }
}
