//! What LIST and STATUS ask for (RFC 3501 §6.3.8, §6.3.10, RFC 5258, RFC 5819, RFC 6154). In: text. Out: patterns and options. Never knows which mailboxes there are.

use super::cursor::{Cursor, Names, Why, is_atom};
use crate::mailbox_name::encode;

/// A LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOrder {
    /// Reference and pattern joined, for each pattern.
    pub patterns: Vec<String>,
    /// Only such.
    pub select: Vec<Selection>,
    /// What is told of each beside its name, if that was said.
    pub returns: Vec<Return>,
    /// Whether it is more than RFC 3501 knows.
    pub form: Form,
}

impl ListOrder {
    /// Whether every mailbox is named that there is.
    pub fn is_of_all(&self) -> bool {
        self.select.is_empty() && self.patterns.iter().any(|pattern| pattern == "*")
    }
}

/// In which form LIST was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As in RFC 3501.
    Plain,
    /// With options, or several patterns.
    Extended,
}

/// Which mailboxes are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those that are subscribed.
    Subscribed,
    /// Those on other servers too.
    Remote,
    /// Those too that have such below them.
    Recursive,
    /// Those with a special use.
    SpecialUse,
}

/// What is told of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Return {
    /// Whether it is subscribed.
    Subscribed,
    /// Whether there are some below it.
    Children,
    /// Its special use.
    SpecialUse,
    /// Its numbers.
    Status(Vec<StatusItem>),
}

/// A number that STATUS tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// Messages.
    Messages,
    /// Those with `\Recent`.
    Recent,
    /// The next UID.
    UidNext,
    /// The UIDVALIDITY.
    UidValidity,
    /// Those without `\Seen`.
    Unseen,
    /// The highest change number (RFC 7162).
    HighestModSeq,
    /// Octets that a message may have (RFC 7889).
    AppendLimit,
}

/// Patterns of one command.
const MAX_PATTERNS: usize = 100;

impl ListOrder {
    pub(crate) fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        let mut order = Self { patterns: Vec::new(), select: Vec::new(), returns: Vec::new(), form: Form::Plain };
        if from.eat(b'(') {
            order.form = Form::Extended;
            order.select = selection(from)?;
            from.space()?;
        }
        let reference = reference(from)?;
        from.space()?;
        if from.eat(b'(') {
            order.form = Form::Extended;
            loop {
                if order.patterns.len() >= MAX_PATTERNS {
                    return Err("too many patterns");
                }
                order.patterns.push(reference.clone() + &pattern(from)?);
                if !from.eat(b' ') {
                    break;
                }
            }
            from.expect(b')')?;
        } else {
            order.patterns.push(reference + &pattern(from)?);
        }
        if from.eat(b' ') {
            order.form = Form::Extended;
            if from.word()? != "RETURN" {
                return Err("no such option");
            }
            from.space()?;
            from.expect(b'(')?;
            order.returns = returns(from)?;
        }
        Ok(order)
    }
}

/// In parentheses.
pub(crate) fn status_items(from: &mut Cursor<'_>) -> Result<Vec<StatusItem>, Why> {
    from.expect(b'(')?;
    let mut items = Vec::new();
    loop {
        items.push(match from.word()?.as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            _ => return Err("no such item of a mailbox"),
        });
        if !from.eat(b' ') {
            break;
        }
    }
    from.expect(b')')?;
    Ok(items)
}

/// A pattern (RFC 3501 §9 `list-mailbox`).
pub(crate) fn pattern(from: &mut Cursor<'_>) -> Result<String, Why> {
    let octets = match from.peek() {
        Some(b'"' | b'{') => from.string()?,
        _ => from.run(|octet| is_atom(octet) || matches!(octet, b'%' | b'*' | b']'))?.to_vec(),
    };
    text(octets, from.names())
}

/// What a pattern begins with.
pub(crate) fn reference(from: &mut Cursor<'_>) -> Result<String, Why> {
    text(from.astring()?, from.names())
}

/// In modified UTF-7, which leaves `%` and `*` as they are.
fn text(octets: Vec<u8>, names: Names) -> Result<String, Why> {
    let text = String::from_utf8(octets).map_err(|_| "a mailbox name is not text")?;
    Ok(if names == Names::Utf8 { encode(&text) } else { text })
}

fn selection(from: &mut Cursor<'_>) -> Result<Vec<Selection>, Why> {
    let mut all = Vec::new();
    while !from.eat(b')') {
        if !all.is_empty() {
            from.space()?;
        }
        let one = match from.word()?.as_str() {
            "SUBSCRIBED" => Selection::Subscribed,
            "REMOTE" => Selection::Remote,
            "RECURSIVEMATCH" => Selection::Recursive,
            "SPECIAL-USE" => Selection::SpecialUse,
            _ => return Err("no such option"),
        };
        if !all.contains(&one) {
            all.push(one);
        } else {
            return Err("an option named twice");
        }
    }
    // RFC 5258 §3.1: it says nothing by itself.
    let is_base = |one: &Selection| matches!(one, Selection::Subscribed | Selection::SpecialUse);
    if all.contains(&Selection::Recursive) && !all.iter().any(is_base) {
        return Err("RECURSIVEMATCH says nothing by itself");
    }
    Ok(all)
}

fn returns(from: &mut Cursor<'_>) -> Result<Vec<Return>, Why> {
    let mut all = Vec::new();
    while !from.eat(b')') {
        if !all.is_empty() {
            from.space()?;
        }
        let one = match from.word()?.as_str() {
            "SUBSCRIBED" => Return::Subscribed,
            "CHILDREN" => Return::Children,
            "SPECIAL-USE" => Return::SpecialUse,
            "STATUS" => {
                from.space()?;
                Return::Status(status_items(from)?)
            }
            _ => return Err("no such option"),
        };
        if all.contains(&one) {
            return Err("an option named twice");
        }
        all.push(one);
    }
    Ok(all)
}
