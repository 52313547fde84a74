//! A query as people type it. In: `from:bob subject:"blue pot" after:2024-01-31 has:attachment word "some words"`. Out: conditions that must all hold. An operator
//! that is not known is an error, not a word.

use super::record::Record;
use crate::index::criteria::{fold, holds};

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// Anywhere: sender, recipients, subject, text, names of attachments.
    Anywhere(String),
    From(String),
    To(String),
    Subject(String),
    /// Sent earlier than this day.
    Before(i64),
    /// Sent on this day or later.
    After(i64),
    Attachment,
}

/// Why a query is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is nothing in it.
    #[error("the query is empty")]
    Empty,
    /// `from:` and nothing behind, or `""`.
    #[error("the query asks for nothing somewhere: a value is missing")]
    Value,
    /// A quotation mark without its second one.
    #[error("a quotation mark is missing in the query")]
    Quote,
    /// Not one of `from:`, `to:`, `subject:`, `before:`, `after:`, `has:`.
    #[error("the query has an operator that is not known: {0}:")]
    Operator(String),
    /// A day is written `2024-01-31`.
    #[error("a day is written 2024-01-31")]
    Day,
    /// Only `has:attachment`.
    #[error("only has:attachment is known")]
    Has,
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        let mut conditions = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (operator, after) = operator(rest);
            let operator = operator.map(str::to_ascii_lowercase);
            let (value, after) = value(after)?;
            rest = after.trim_start();
            if value.is_empty() {
                return Err(QueryError::Value);
            }
            conditions.push(match operator.as_deref() {
                None => Condition::Anywhere(fold(value)),
                Some("from") => Condition::From(fold(value)),
                Some("to") => Condition::To(fold(value)),
                Some("subject") => Condition::Subject(fold(value)),
                Some("before") => Condition::Before(day(value)?),
                Some("after") => Condition::After(day(value)?),
                Some("has") if value.eq_ignore_ascii_case("attachment") => Condition::Attachment,
                Some("has") => return Err(QueryError::Has),
                Some(other) => return Err(QueryError::Operator(other.to_owned())),
            });
        }
        if conditions.is_empty() { Err(QueryError::Empty) } else { Ok(Query(conditions)) }
    }

    /// Whether a message is meant.
    pub(crate) fn means(&self, record: &Record<'_>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Anywhere(text) => {
                let [to, cc, bcc] = [record.to, record.cc, record.bcc];
                [record.subject, record.from, to, cc, bcc, record.attachments, record.body]
                    .into_iter()
                    .any(|place| holds(place, text))
            }
            Condition::From(text) => holds(record.from, text),
            Condition::To(text) => [record.to, record.cc, record.bcc].into_iter().any(|place| holds(place, text)),
            Condition::Subject(text) => holds(record.subject, text),
            Condition::Before(day) => record.sent < *day,
            Condition::After(day) => record.sent >= *day,
            Condition::Attachment => !record.attachments.is_empty(),
        })
    }
}

/// Words that are operators whatever comes behind.
pub const OPERATORS: [&str; 6] = ["from", "to", "subject", "before", "after", "has"];

/// Letters and a colon at the beginning of a word, with something behind.
fn operator(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((word, after)) if !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_alphabetic()) => {
            let known = OPERATORS.iter().any(|known| known.eq_ignore_ascii_case(word));
            let something = after.chars().next().is_some_and(|next| !next.is_whitespace() && next != '/');
            if known || something { (Some(word), after) } else { (None, text) }
        }
        _ => (None, text),
    }
}

/// Up to the next blank, or between quotation marks.
fn value(text: &str) -> Result<(&str, &str), QueryError> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(QueryError::Quote),
        None => Ok(text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))),
    }
}

fn day(text: &str) -> Result<i64, QueryError> {
    let numbers: Option<Vec<u16>> = text.split('-').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some([year @ 1..=9999, month @ 1..=12, day @ 1..=31]) => {
            let (month, day) = (u8::try_from(*month).unwrap_or(1), u8::try_from(*day).unwrap_or(1));
            Ok(wire::imap::server::Date { year: *year, month, day }.days())
        }
        _ => Err(QueryError::Day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_mean_what_they_say() {
        let record = Record {
            sent: 11_016,
            from: b"bob <bob@example.net>",
            to: b"alice@example.org",
            subject: b"the blue pot",
            attachments: b"plan.pdf\n",
            body: b"under the key",
            ..Record::default()
        };
        for (text, expected) in [
            ("pot", true),
            ("POT Bob", true),
            ("pot nowhere", false),
            ("\"blue pot\"", true),
            ("\"pot blue\"", false),
            ("from:bob subject:\"the blue\"", true),
            ("from:alice", false),
            ("to:alice", true),
            ("before:2000-02-29", false),
            ("before:2000-03-01 after:2000-02-29", true),
            ("has:attachment plan.pdf", true),
            ("http://x", false),
            ("Subject:blue FROM:bob", true),
            ("note: bob", false),
        ] {
            assert_eq!(Query::parse(text).map(|query| query.means(&record)), Ok(expected), "{text}");
        }
        for (text, error) in [
            (" ", QueryError::Empty),
            ("\"x", QueryError::Quote),
            ("form:bob", QueryError::Operator("form".to_owned())),
            ("Form:bob", QueryError::Operator("form".to_owned())),
            ("from:", QueryError::Value),
            ("to: bob", QueryError::Value),
            ("subject:\"\"", QueryError::Value),
            ("\"\"", QueryError::Value),
            ("before:yesterday", QueryError::Day),
            ("has:cake", QueryError::Has),
        ] {
            assert_eq!(Query::parse(text), Err(error), "{text}");
        }
    }
}
