//! A client's command, taken apart. In: its lines and literals. Out: tag, verb, arguments (RFC 9051 §9). `BODY[...]` with all that is in its
//! brackets is one atom.

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Atom(String),
    Quoted(String),
    Literal(Vec<u8>),
    List(Vec<Word>),
}

impl Word {
    /// As a string of the protocol: `None` for a list.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Word::Atom(text) | Word::Quoted(text) => Some(text.clone()),
            Word::Literal(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
            Word::List(_) => None,
        }
    }

    /// The strings of a list, or of the one word that stands for it.
    pub(crate) fn texts(&self) -> Vec<String> {
        match self {
            Word::List(words) => words.iter().filter_map(Word::text).collect(),
            word => word.text().into_iter().collect(),
        }
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Word::Atom(text) if text.eq_ignore_ascii_case(word))
    }

    pub(crate) fn list(&self) -> Option<&[Word]> {
        if let Word::List(words) = self { Some(words) } else { None }
    }
}

/// What a command comes in.
pub(crate) enum Piece {
    /// Without line end and without the announcement of a literal.
    Line(Vec<u8>),
    Literal(Vec<u8>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) tag: String,
    /// In capitals; `UID` belongs to it.
    pub(crate) verb: String,
    pub(crate) words: Vec<Word>,
}

impl Command {
    /// `None` for what is no command.
    pub(crate) fn read(pieces: Vec<Piece>) -> Option<Command> {
        let mut words = words(pieces)?.into_iter();
        let tag = words.next()?.text()?;
        let mut verb = words.next()?.text()?.to_ascii_uppercase();
        if verb == "UID" {
            verb = format!("UID {}", words.next()?.text()?.to_ascii_uppercase());
        }
        Some(Command { tag, verb, words: words.collect() })
    }
}

/// `None` when brackets or quotes are open at the end.
fn words(pieces: Vec<Piece>) -> Option<Vec<Word>> {
    let mut open: Vec<Vec<Word>> = vec![Vec::new()];
    let mut atom: Vec<u8> = Vec::new();
    let mut brackets = 0_usize;
    for piece in pieces {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::Literal(octets) => {
                // The `~` of a literal8 (RFC 3516 §4.4) says nothing more.
                atom.clear();
                open.last_mut()?.push(Word::Literal(octets));
                continue;
            }
        };
        let mut octets = line.into_iter();
        while let Some(octet) = octets.next() {
            match octet {
                b'"' if atom.is_empty() => open.last_mut()?.push(quoted(&mut octets)?),
                b'(' if brackets == 0 => open.push(Vec::new()),
                b' ' | b')' if brackets == 0 => {
                    end_atom(&mut atom, open.last_mut()?);
                    if octet == b')' {
                        let list = open.pop()?;
                        open.last_mut()?.push(Word::List(list));
                    }
                }
                _ => {
                    brackets = brackets + usize::from(octet == b'[') - usize::from(octet == b']' && brackets > 0);
                    atom.push(octet);
                }
            }
        }
    }
    end_atom(&mut atom, open.last_mut()?);
    let words = open.pop()?;
    (open.is_empty() && brackets == 0).then_some(words)
}

fn quoted(octets: &mut impl Iterator<Item = u8>) -> Option<Word> {
    let mut text = Vec::new();
    loop {
        match octets.next()? {
            b'"' => return Some(Word::Quoted(String::from_utf8_lossy(&text).into_owned())),
            b'\\' => text.push(octets.next()?),
            octet => text.push(octet),
        }
    }
}

fn end_atom(atom: &mut Vec<u8>, words: &mut Vec<Word>) {
    if !atom.is_empty() {
        words.push(Word::Atom(String::from_utf8_lossy(&std::mem::take(atom)).into_owned()));
    }
}

/// The standard alphabet (RFC 4648 §4), for AUTHENTICATE.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut octets = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.trim().trim_end_matches('=').bytes() {
        let value = u32::try_from(ALPHABET.iter().position(|&own| own == letter)?).ok()?;
        bits = (bits << 6 | value) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_apart() {
        let check = |line: &str, expected: Option<&str>| {
            let command = Command::read(vec![Piece::Line(line.into())]);
            let shown = command.map(|command| format!("{} {} {:?}", command.tag, command.verb, command.words));
            assert_eq!(shown.as_deref(), expected, "{line}");
        };
        check("a noop", Some("a NOOP []"));
        check(
            "a1 uid store 1:* +FLAGS (\\Seen x)",
            Some("a1 UID STORE [Atom(\"1:*\"), Atom(\"+FLAGS\"), List([Atom(\"\\\\Seen\"), Atom(\"x\")])]"),
        );
        check("a LOGIN \"a \\\"b\" c", Some("a LOGIN [Quoted(\"a \\\"b\"), Atom(\"c\")]"));
        check(
            "a FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (A B)]<0.5>)",
            Some("a FETCH [Atom(\"1\"), List([Atom(\"UID\"), Atom(\"BODY.PEEK[HEADER.FIELDS (A B)]<0.5>\")])]"),
        );
        check("a LIST (", None);
        check("a LIST )", None);
        check("a LIST \"x", None);
        check("DONE", None);
        assert_eq!(base64("AGFsaWNlAGFsaWNlLXB3").as_deref(), Some(&b"\0alice\0alice-pw"[..]));
        assert_eq!(base64("YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(base64("!"), None);
    }
}
