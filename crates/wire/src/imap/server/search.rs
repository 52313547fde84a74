//! What SEARCH asks for (RFC 3501 §6.4.4). In: text. Out: a tree of keys. Never evaluates one.

use super::cursor::{Cursor, Why};
use super::date::Date;
use super::flag::Flag;
use super::limit::MAX_NESTING;
use super::set::SequenceSet;

/// A search key. Texts are octets in the command's charset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these.
    And(Vec<SearchKey>),
    /// One of these or both.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// Message numbers.
    Numbers(SequenceSet),
    /// UIDs.
    Uids(SequenceSet),
    /// A flag or keyword is set.
    Flag(Flag),
    /// `BEFORE`: the internal date is earlier.
    Before(Date),
    /// `ON`
    On(Date),
    /// `SINCE`
    Since(Date),
    /// `SENTBEFORE`: the Date field is earlier.
    SentBefore(Date),
    /// `SENTON`
    SentOn(Date),
    /// `SENTSINCE`
    SentSince(Date),
    /// The internal date is at least so many seconds ago (RFC 5032).
    Older(u32),
    /// It is at most so many seconds ago.
    Younger(u32),
    /// The change number is this or more (RFC 7162 §3.1.5).
    ModSeq(u64),
    /// More octets than this.
    Larger(u32),
    /// Fewer octets than this.
    Smaller(u32),
    /// A field of that name holds the text; any, if the text is empty.
    Header(Vec<u8>, Vec<u8>),
    /// The body holds the text.
    Body(Vec<u8>),
    /// Header section or body hold the text.
    Text(Vec<u8>),
}

impl SearchKey {
    /// Keys up to the end of the command: all must hold.
    pub(crate) fn parse_all(from: &mut Cursor<'_>, depth: usize) -> Result<Self, Why> {
        let mut keys = vec![Self::parse(from, depth)?];
        while from.eat(b' ') {
            keys.push(Self::parse(from, depth)?);
        }
        Ok(match keys.len() {
            1 => keys.pop().ok_or("a search key is missing")?,
            _ => Self::And(keys),
        })
    }

    fn parse(from: &mut Cursor<'_>, depth: usize) -> Result<Self, Why> {
        let deeper = depth.checked_add(1).filter(|deeper| *deeper <= MAX_NESTING).ok_or("search keys nest too deep")?;
        if from.eat(b'(') {
            let key = Self::parse_all(from, deeper)?;
            from.expect(b')')?;
            return Ok(key);
        }
        if from.peek().is_some_and(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'$')) {
            return Ok(Self::Numbers(SequenceSet::parse(from)?));
        }
        let word = from.word()?;
        let not = |flag| Ok(Self::Not(Box::new(Self::Flag(flag))));
        match word.as_str() {
            "ALL" => Ok(Self::All),
            "ANSWERED" => Ok(Self::Flag(Flag::Answered)),
            "DELETED" => Ok(Self::Flag(Flag::Deleted)),
            "DRAFT" => Ok(Self::Flag(Flag::Draft)),
            "FLAGGED" => Ok(Self::Flag(Flag::Flagged)),
            "RECENT" => Ok(Self::Flag(Flag::Recent)),
            "SEEN" => Ok(Self::Flag(Flag::Seen)),
            "NEW" => Ok(Self::And(vec![Self::Flag(Flag::Recent), not(Flag::Seen)?])),
            "OLD" => not(Flag::Recent),
            "UNANSWERED" => not(Flag::Answered),
            "UNDELETED" => not(Flag::Deleted),
            "UNDRAFT" => not(Flag::Draft),
            "UNFLAGGED" => not(Flag::Flagged),
            "UNSEEN" => not(Flag::Seen),
            "NOT" => {
                from.space()?;
                Ok(Self::Not(Box::new(Self::parse(from, deeper)?)))
            }
            "OR" => {
                from.space()?;
                let first = Self::parse(from, deeper)?;
                from.space()?;
                Ok(Self::Or(Box::new(first), Box::new(Self::parse(from, deeper)?)))
            }
            _ => {
                from.space()?;
                Self::parse_argument(&word, from)
            }
        }
    }

    fn parse_argument(word: &str, from: &mut Cursor<'_>) -> Result<Self, Why> {
        let keyword = |from: &mut Cursor<'_>| match Flag::parse(from)? {
            Flag::Keyword(word) => Ok(Self::Flag(Flag::Keyword(word))),
            _ => Err("a keyword is missing"),
        };
        match word {
            "UID" => Ok(Self::Uids(SequenceSet::parse(from)?)),
            "KEYWORD" => keyword(from),
            "UNKEYWORD" => Ok(Self::Not(Box::new(keyword(from)?))),
            "BEFORE" => Ok(Self::Before(Date::parse(from)?)),
            "ON" => Ok(Self::On(Date::parse(from)?)),
            "SINCE" => Ok(Self::Since(Date::parse(from)?)),
            "SENTBEFORE" => Ok(Self::SentBefore(Date::parse(from)?)),
            "SENTON" => Ok(Self::SentOn(Date::parse(from)?)),
            "SENTSINCE" => Ok(Self::SentSince(Date::parse(from)?)),
            "OLDER" => Ok(Self::Older(interval(from)?)),
            "YOUNGER" => Ok(Self::Younger(interval(from)?)),
            "MODSEQ" => {
                // Servers that count each flag by itself are asked for one; we do not (RFC 7162 §3.1.5).
                if from.peek() == Some(b'"') {
                    drop(from.string()?);
                    from.space()?;
                    if !matches!(from.word()?.as_str(), "PRIV" | "SHARED" | "ALL") {
                        return Err("no such kind of flag");
                    }
                    from.space()?;
                }
                Ok(Self::ModSeq(from.modseq()?))
            }
            "LARGER" => Ok(Self::Larger(from.number()?)),
            "SMALLER" => Ok(Self::Smaller(from.number()?)),
            "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => {
                Ok(Self::Header(word.to_ascii_lowercase().into_bytes(), from.astring()?))
            }
            "HEADER" => {
                let name = from.astring()?;
                from.space()?;
                Ok(Self::Header(name, from.astring()?))
            }
            "BODY" => Ok(Self::Body(from.astring()?)),
            "TEXT" => Ok(Self::Text(from.astring()?)),
            _ => Err("no such search key"),
        }
    }
}

/// RFC 5032 §5: `nz-number`.
fn interval(from: &mut Cursor<'_>) -> Result<u32, Why> {
    from.number().and_then(|seconds| if seconds == 0 { Err("an interval is missing") } else { Ok(seconds) })
}
