//! By what messages are sorted and put together (RFC 5256 §2.2, §3): dates, mailboxes of addresses, base subjects, ids. In: header fields, as they stand there. Out:
//! values that can be compared. No body is opened for them, but of a message whose list view left the field out.

use std::cmp::Ordering;
use std::collections::VecDeque;

use mail::{AddressEntry, AddressList, unquoted};
use wire::imap::server::{Criterion, Order, SortKey};

use super::subject::{Answers, base, casemap};
use crate::index::sent_moment;

/// References of one message that are looked at.
const MAX_REFERENCES: usize = 200;

/// What a command wants to know of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trait {
    Arrival,
    Cc,
    From,
    To,
    /// The Date field, else when it arrived.
    Sent,
    Size,
    Subject,
    /// Message-ID and References.
    Ids,
}

/// What is known of a message; what was not wanted is empty.
#[derive(Default)]
pub(crate) struct Traits {
    pub(crate) arrival: i64,
    pub(crate) sent: i64,
    pub(crate) size: u64,
    pub(crate) cc: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) answers: Answers,
    pub(crate) id: Option<String>,
    pub(crate) references: Vec<String>,
}

/// What these keys ask for.
pub(crate) fn wanted(keys: &[SortKey]) -> Vec<Trait> {
    let of = |(criterion, _): &SortKey| match criterion {
        Criterion::Arrival => Trait::Arrival,
        Criterion::Cc => Trait::Cc,
        Criterion::Date => Trait::Sent,
        Criterion::From => Trait::From,
        Criterion::Size => Trait::Size,
        Criterion::Subject => Trait::Subject,
        Criterion::To => Trait::To,
    };
    keys.iter().map(of).collect()
}

impl Traits {
    /// By these keys, one after the other. What is alike in all of them stays in the order of the mailbox.
    pub(crate) fn compare(&self, other: &Self, keys: &[SortKey]) -> Ordering {
        keys.iter().fold(Ordering::Equal, |so_far, (criterion, order)| {
            so_far.then_with(|| {
                let found = match criterion {
                    Criterion::Arrival => self.arrival.cmp(&other.arrival),
                    Criterion::Cc => self.cc.cmp(&other.cc),
                    Criterion::Date => self.sent.cmp(&other.sent),
                    Criterion::From => self.from.cmp(&other.from),
                    Criterion::Size => self.size.cmp(&other.size),
                    Criterion::Subject => self.subject.cmp(&other.subject),
                    Criterion::To => self.to.cmp(&other.to),
                };
                if *order == Order::Descending { found.reverse() } else { found }
            })
        })
    }

    pub(crate) fn set_subject(&mut self, decoded: &str) {
        (self.subject, self.answers) = base(decoded);
    }

    /// Without a Date that can be read, when it arrived (RFC 5256 §2.2).
    pub(crate) fn set_sent(&mut self, date: Option<&[u8]>, arrived: i64) {
        let sent = date.and_then(|date| sent_moment(&String::from_utf8_lossy(date)));
        self.sent = sent.unwrap_or(arrived);
    }

    /// Without a valid id in References, the first one of In-Reply-To (RFC 5256 §3).
    pub(crate) fn set_ids(&mut self, id: Option<&[u8]>, references: Option<&[u8]>, in_reply_to: Option<&[u8]>) {
        self.id = id.and_then(|value| ids(value).next());
        // The nearest ones say where it belongs.
        let mut near: VecDeque<String> = VecDeque::new();
        for id in ids(references.unwrap_or_default()) {
            if near.len() >= MAX_REFERENCES {
                near.pop_front();
            }
            near.push_back(id);
        }
        self.references = near.into();
        if self.references.is_empty() {
            self.references = ids(in_reply_to.unwrap_or_default()).take(1).collect();
        }
    }
}

/// The mailbox of the first address: for a group its name, as ENVELOPE has it.
pub(crate) fn first_mailbox(value: &[u8]) -> String {
    let list = AddressList::parse(value);
    let mailbox = match list.entries().first() {
        Some(AddressEntry::Address(address)) => unquoted(address.local_part()),
        Some(AddressEntry::GroupStart(name)) => name.clone(),
        Some(AddressEntry::GroupEnd) | None => Vec::new(),
    };
    casemap(&String::from_utf8_lossy(&mailbox))
}

/// Message ids (RFC 5322 §3.6.4), without brackets, blanks and quotes; what is none is passed over.
fn ids(value: &[u8]) -> impl Iterator<Item = String> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let open = memchr::memchr(b'<', rest)?.checked_add(1)?;
            rest = rest.get(open..)?;
            let close = memchr::memchr(b'>', rest)?;
            let inside = rest.get(..close)?;
            // Where another one begins before the end, this was none.
            let inside = inside.rsplit(|octet| *octet == b'<').next()?;
            rest = rest.get(close..)?;
            let id: Vec<u8> = unquoted(inside).into_iter().filter(|octet| !octet.is_ascii_whitespace()).collect();
            let at = memchr::memchr(b'@', &id);
            if at.is_some_and(|at| at > 0 && at.saturating_add(1) < id.len()) {
                return Some(String::from_utf8_lossy(&id).into_owned());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_mailboxes() {
        for (value, expected) in [
            ("<a@b>", &["a@b"][..]),
            ("<a@b>\r\n <c@d>, text <e@f>", &["a@b", "c@d", "e@f"]),
            ("<\"a\"@b> <x> <@> <a@> <> <<p@q>", &["a@b", "p@q"]),
            ("a@b", &[]),
            ("<a@b", &[]),
        ] {
            assert_eq!(ids(value.as_bytes()).collect::<Vec<_>>(), expected, "{value}");
        }
        for (value, expected) in
            [("Bob <bob@x>, al@y", "BOB"), ("\"Q\" <\"q r\"@x>", "Q R"), ("Group: a@b;", "GROUP"), ("", "")]
        {
            assert_eq!(first_mailbox(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn in_reply_to_stands_in_for_references() {
        let mut traits = Traits::default();
        traits.set_ids(Some(b"<i@x>"), Some(b"none"), Some(b"<a@b> <c@d>"));
        assert_eq!((traits.id.as_deref(), traits.references), (Some("i@x"), vec!["a@b".to_owned()]));
    }
}
