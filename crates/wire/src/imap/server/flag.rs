//! Flags as a client writes them (RFC 3501 §2.3.2). In: text. Out: system flags and keywords. Never knows what a keyword means.

use super::cursor::{Cursor, Why, is_atom};

/// A flag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// `\Recent`: for the server to set.
    Recent,
    /// A keyword, an atom in ASCII.
    Keyword(String),
}

/// Octets of one keyword.
const MAX_KEYWORD: usize = 200;

impl Flag {
    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            Flag::Answered => "\\Answered",
            Flag::Flagged => "\\Flagged",
            Flag::Deleted => "\\Deleted",
            Flag::Seen => "\\Seen",
            Flag::Draft => "\\Draft",
            Flag::Recent => "\\Recent",
            Flag::Keyword(word) => word,
        }
    }

    pub(crate) fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        if from.eat(b'\\') {
            return match from.word()?.as_str() {
                "ANSWERED" => Ok(Flag::Answered),
                "FLAGGED" => Ok(Flag::Flagged),
                "DELETED" => Ok(Flag::Deleted),
                "SEEN" => Ok(Flag::Seen),
                "DRAFT" => Ok(Flag::Draft),
                "RECENT" => Ok(Flag::Recent),
                _ => Err("no such system flag"),
            };
        }
        let word = from.run(|octet| is_atom(octet) && octet.is_ascii())?;
        if word.len() > MAX_KEYWORD {
            return Err("a keyword is too long");
        }
        Ok(Flag::Keyword(String::from_utf8_lossy(word).into_owned()))
    }

    /// `(\Seen $Forwarded)`, or the same without parentheses.
    pub(crate) fn parse_list(from: &mut Cursor<'_>) -> Result<Vec<Self>, Why> {
        let mut flags = Vec::new();
        let listed = from.eat(b'(');
        if listed && from.eat(b')') {
            return Ok(flags);
        }
        loop {
            flags.push(Self::parse(from)?);
            if !from.eat(b' ') {
                break;
            }
        }
        if listed {
            from.expect(b')')?;
        }
        Ok(flags)
    }
}
