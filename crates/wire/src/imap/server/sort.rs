//! What SORT and THREAD ask for, and in which form results are wanted (RFC 5256 §5, RFC 4731, RFC 5267 §3). In: text. Out: keys, an algorithm, items. Never sorts
//! anything.

use super::cursor::{Cursor, Why};

/// By what messages are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The internal date.
    Arrival,
    /// The mailbox of the first address in Cc.
    Cc,
    /// The Date field, in UTC.
    Date,
    /// The mailbox of the first address in From.
    From,
    /// Octets.
    Size,
    /// The base subject.
    Subject,
    /// The mailbox of the first address in To.
    To,
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the smallest.
    Ascending,
    /// `REVERSE`
    Descending,
}

/// One key of SORT.
pub type SortKey = (Criterion, Order);

/// How THREAD finds what belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// By subject alone.
    OrderedSubject,
    /// By References, then by subject.
    References,
}

/// A form in which a result is wanted (RFC 4731 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnItem {
    /// The lowest number.
    Min,
    /// The highest one.
    Max,
    /// All of them, as a set.
    All,
    /// How many.
    Count,
    /// They are what `$` means from now on (RFC 5182).
    Save,
}

/// Sort keys of one command.
const MAX_KEYS: usize = 16;

/// Keys in parentheses.
pub(crate) fn parse_keys(from: &mut Cursor<'_>) -> Result<Vec<SortKey>, Why> {
    from.expect(b'(')?;
    let mut keys = Vec::new();
    loop {
        let mut word = from.word()?;
        let mut order = Order::Ascending;
        if word == "REVERSE" {
            from.space()?;
            word = from.word()?;
            order = Order::Descending;
        }
        let criterion = match word.as_str() {
            "ARRIVAL" => Criterion::Arrival,
            "CC" => Criterion::Cc,
            "DATE" => Criterion::Date,
            "FROM" => Criterion::From,
            "SIZE" => Criterion::Size,
            "SUBJECT" => Criterion::Subject,
            "TO" => Criterion::To,
            _ => return Err("no such sort key"),
        };
        if keys.len() >= MAX_KEYS {
            return Err("too many sort keys");
        }
        keys.push((criterion, order));
        if !from.eat(b' ') {
            break;
        }
    }
    from.expect(b')')?;
    Ok(keys)
}

pub(crate) fn parse_algorithm(from: &mut Cursor<'_>) -> Result<Algorithm, Why> {
    match from.word()?.as_str() {
        "ORDEREDSUBJECT" => Ok(Algorithm::OrderedSubject),
        "REFERENCES" => Ok(Algorithm::References),
        _ => Err("no such way of threading"),
    }
}

/// `RETURN (…)` and the blank behind it, if it stands there. Without an item ALL is meant (RFC 4731 §3.1).
pub(crate) fn parse_returns(from: &mut Cursor<'_>) -> Result<Option<Vec<ReturnItem>>, Why> {
    let before = from.rest();
    if !from.word().is_ok_and(|word| word == "RETURN") {
        from.back_to(before);
        return Ok(None);
    }
    from.space()?;
    from.expect(b'(')?;
    let mut items = Vec::new();
    while !from.eat(b')') {
        if !items.is_empty() {
            from.space()?;
        }
        let item = match from.word()?.as_str() {
            "MIN" => ReturnItem::Min,
            "MAX" => ReturnItem::Max,
            "ALL" => ReturnItem::All,
            "COUNT" => ReturnItem::Count,
            "SAVE" => ReturnItem::Save,
            _ => return Err("no such form of a result"),
        };
        if items.contains(&item) {
            return Err("a form of a result named twice");
        }
        items.push(item);
    }
    from.space()?;
    Ok(Some(if items.is_empty() { vec![ReturnItem::All] } else { items }))
}
