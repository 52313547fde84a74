//! What is answered, and what is changed.
//!
//! In: answers and changes. Out: packets. What could add a line to a header section, or be read in two ways, is not written.

use crate::milter::agreement::Actions;
use crate::milter::limit;
use crate::milter::packet;
use crate::smtp::Reply;

/// An answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// The message is good, nothing more of it is of interest.
    Accept,
    /// No, for ever: the recipient, or the message.
    Reject,
    /// Not now: the recipient, or the message.
    TempFail,
    /// The message is taken, and vanishes.
    Discard,
    /// No more of the body; to [`Event::Body`](crate::milter::Event::Body) only.
    Skip,
    /// No, in these words; 4xx or 5xx.
    Reply(Reply),
}

/// A change of a message; said between its end and the answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A header field behind all others.
    AddHeader {
        /// Before the colon.
        name: &'a str,
        /// All that is behind the colon, as a rule with a blank first; lines parted by CRLF.
        value: &'a [u8],
    },
    /// A header field at a place.
    InsertHeader {
        /// So many fields stand before it; the mail server's own Received counts in Postfix.
        index: u32,
        /// Before the colon.
        name: &'a str,
        /// All that is behind the colon.
        value: &'a [u8],
    },
    /// Another value for a header field.
    ChangeHeader {
        /// Before the colon.
        name: &'a str,
        /// Which one of those of this name, from 1.
        index: u32,
        /// All that is behind the colon; empty: the field goes.
        value: &'a [u8],
    },
    /// The next octets of another body; not empty. The first ones replace the old body, others follow them.
    ReplaceBody(&'a [u8]),
    /// Another recipient, without brackets.
    AddRecipient(&'a str),
    /// One recipient less, without brackets.
    DeleteRecipient(&'a str),
    /// Another sender, without brackets; may be empty.
    ChangeSender(&'a str),
    /// The message is held by the mail server, for this reason.
    Quarantine(&'a str),
}

/// Why an answer or a change cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsayable(&'static str);

impl Answer {
    /// The packet.
    pub(crate) fn write(&self, to: &mut Vec<u8>) -> Result<(), Unsayable> {
        let command = match self {
            Answer::Continue => b'c',
            Answer::Accept => b'a',
            Answer::Reject => b'r',
            Answer::TempFail => b't',
            Answer::Discard => b'd',
            Answer::Skip => b's',
            Answer::Reply(reply) => {
                packet::write(b'y', &[&words(reply)?, b"\0"], to);
                return Ok(());
            }
        };
        packet::write(command, &[], to);
        Ok(())
    }
}

/// A reply as mail servers want it: each line with a status code of its own; `%` doubled, as Sendmail prints by it (and Postfix undoes it).
fn words(reply: &Reply) -> Result<Vec<u8>, Unsayable> {
    let class = match reply.code() {
        400..500 => 4,
        500..600 => 5,
        _ => return Err(Unsayable("a milter refuses with 4xx or 5xx")),
    };
    let status = reply.enhanced().filter(|(own, _, _)| *own == class).unwrap_or((class, 0, 0));
    let lines = reply.texts();
    if lines.len() > limit::REPLY_LINES {
        return Err(Unsayable("the reply has too many lines"));
    }
    let last = lines.len().saturating_sub(1);
    let mut words = String::new();
    for (at, text) in lines.iter().enumerate() {
        if text.len() > limit::REPLY_LINE || text.chars().any(char::is_control) {
            return Err(Unsayable("a line of the reply cannot be sent"));
        }
        let (mark, end) = if at == last { (' ', "") } else { ('-', "\r\n") };
        let (subject, detail) = (status.1, status.2);
        let text = text.replace('%', "%%");
        words.push_str(&format!("{}{mark}{class}.{subject}.{detail} {text}{end}", reply.code()));
    }
    Ok(words.into_bytes())
}

/// Who writes the blank behind a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blank {
    /// We do.
    Ours,
    /// The mail server does.
    Theirs,
}

impl Change<'_> {
    /// What must have been agreed upon.
    pub(crate) fn needs(&self) -> Actions {
        match self {
            Change::AddHeader { .. } | Change::InsertHeader { .. } => Actions::ADD_HEADERS,
            Change::ChangeHeader { .. } => Actions::CHANGE_HEADERS,
            Change::ReplaceBody(_) => Actions::REPLACE_BODY,
            Change::AddRecipient(_) => Actions::ADD_RECIPIENTS,
            Change::DeleteRecipient(_) => Actions::DELETE_RECIPIENTS,
            Change::ChangeSender(_) => Actions::CHANGE_SENDER,
            Change::Quarantine(_) => Actions::QUARANTINE,
        }
    }

    /// The packets.
    pub(crate) fn write(&self, blank: Blank, to: &mut Vec<u8>) -> Result<(), Unsayable> {
        match *self {
            Change::AddHeader { name, value } => field(b'h', None, name, value, blank, to),
            Change::InsertHeader { index, name, value } => field(b'i', Some(index), name, value, blank, to),
            Change::ChangeHeader { index: 0, .. } => Err(Unsayable("header fields are counted from 1")),
            Change::ChangeHeader { name, index, value } => field(b'm', Some(index), name, value, blank, to),
            Change::ReplaceBody([]) => Err(Unsayable("a body is not replaced by nothing")),
            Change::ReplaceBody(octets) => {
                octets.chunks(limit::CHUNK).for_each(|chunk| packet::write(b'b', &[chunk], to));
                Ok(())
            }
            Change::AddRecipient("") | Change::DeleteRecipient("") => Err(Unsayable("a recipient has an address")),
            Change::AddRecipient(address) => line(b'+', "<", address, ">", to),
            Change::DeleteRecipient(address) => line(b'-', "<", address, ">", to),
            Change::ChangeSender(address) => line(b'e', "<", address, ">", to),
            Change::Quarantine(reason) => line(b'q', "", reason, "", to),
        }
    }
}

fn line(command: u8, before: &str, text: &str, after: &str, to: &mut Vec<u8>) -> Result<(), Unsayable> {
    if text.chars().any(char::is_control) || text.len() > limit::REPLY_LINE {
        return Err(Unsayable("the text cannot be sent"));
    }
    packet::write(command, &[before.as_bytes(), text.as_bytes(), after.as_bytes(), b"\0"], to);
    Ok(())
}

fn field(
    command: u8,
    index: Option<u32>,
    name: &str,
    value: &[u8],
    blank: Blank,
    to: &mut Vec<u8>,
) -> Result<(), Unsayable> {
    // RFC 5322 §2.2.
    if name.is_empty() || !name.bytes().all(|octet| (b'!'..=b'~').contains(&octet) && octet != b':') {
        return Err(Unsayable("this is no name of a header field"));
    }
    let value = match blank {
        Blank::Ours => value,
        Blank::Theirs => value.strip_prefix(b" ").unwrap_or(value),
    };
    let value = folded(value).ok_or(Unsayable("this is no value of a header field"))?;
    let index = index.map(u32::to_be_bytes);
    let index = index.as_ref().map_or(&[][..], |index| index.as_slice());
    let length = [index.len(), name.len(), value.len(), 2].iter().fold(0, |sum: usize, part| sum.saturating_add(*part));
    if length > limit::CHUNK {
        return Err(Unsayable("the header field is too long for a milter"));
    }
    packet::write(command, &[index, name.as_bytes(), b"\0", &value, b"\0"], to);
    Ok(())
}

/// Lines parted by LF, as mail servers want them; none: it is not one field.
fn folded(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut octets = value.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            0 | b'\n' => return None,
            // What follows belongs to the same field only after a blank.
            b'\r' => match (octets.next(), octets.peek()) {
                (Some(b'\n'), Some(b' ' | b'\t')) => out.push(b'\n'),
                _ => return None,
            },
            octet => out.push(octet),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(answer: &Answer) -> Result<Vec<u8>, Unsayable> {
        let mut octets = Vec::new();
        answer.write(&mut octets).map(|()| octets)
    }

    fn change(change: Change<'_>, blank: Blank) -> Option<Vec<u8>> {
        let mut octets = Vec::new();
        change.write(blank, &mut octets).ok().map(|()| octets)
    }

    #[test]
    fn answers_are_written() {
        assert_eq!(answer(&Answer::Continue), Ok(b"\0\0\0\x01c".to_vec()));
        for (reply, words) in [
            (Reply::new(451, (4, 7, 5), "later, 100%"), Some("451 4.7.5 later, 100%%")),
            (Reply::bare(550, vec!["no".to_owned()]), Some("550 5.0.0 no")),
            (Reply::bare(550, vec!["4.1.1 no".to_owned()]), Some("550 5.0.0 no")),
            (
                Reply::bare(550, vec!["5.7.1 one".to_owned(), "two".to_owned(), "5.7.1 three".to_owned()]),
                Some("550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three"),
            ),
            (Reply::bare(451, Vec::new()), Some("451 4.0.0 ")),
            (Reply::new(250, (2, 0, 0), "ok"), None),
            (Reply::new(550, (5, 0, 0), "a\r\n250 ok"), None),
            (Reply::new(550, (5, 0, 0), &"x".repeat(limit::REPLY_LINE + 1)), None),
            (Reply::bare(550, vec!["x".to_owned(); limit::REPLY_LINES + 1]), None),
        ] {
            let octets = answer(&Answer::Reply(reply.clone())).ok();
            let expected = words.map(|words| {
                let mut packet = Vec::new();
                packet::write(b'y', &[words.as_bytes(), b"\0"], &mut packet);
                packet
            });
            assert_eq!(octets, expected, "{reply:?}");
        }
    }

    #[test]
    fn changes_are_written_and_add_no_line_that_is_not_theirs() {
        let add = |value: &'static str| Change::AddHeader { name: "X-A", value: value.as_bytes() };
        for (asked, blank, octets) in [
            (add(" b"), Blank::Ours, Some(&b"\0\0\0\x08hX-A\0 b\0"[..])),
            (add(" b"), Blank::Theirs, Some(b"\0\0\0\x07hX-A\0b\0")),
            (add("b"), Blank::Theirs, Some(b"\0\0\0\x07hX-A\0b\0")),
            (add("b\r\n\tc"), Blank::Ours, Some(b"\0\0\0\x0ahX-A\0b\n\tc\0")),
            (add("b\r\nc: d"), Blank::Ours, None),
            (add("b\r\n"), Blank::Ours, None),
            (add("b\n c"), Blank::Ours, None),
            (add("b\rc"), Blank::Ours, None),
            (add("b\0"), Blank::Ours, None),
            (
                Change::InsertHeader { index: 1, name: "A", value: b"" },
                Blank::Ours,
                Some(b"\0\0\0\x08i\0\0\0\x01A\0\0"),
            ),
            (
                Change::ChangeHeader { index: 2, name: "A", value: b"" },
                Blank::Ours,
                Some(b"\0\0\0\x08m\0\0\0\x02A\0\0"),
            ),
            (Change::ChangeHeader { index: 0, name: "A", value: b"" }, Blank::Ours, None),
            (Change::AddHeader { name: "", value: b"" }, Blank::Ours, None),
            (Change::AddHeader { name: "A:", value: b"" }, Blank::Ours, None),
            (Change::AddHeader { name: "A B", value: b"" }, Blank::Ours, None),
            (Change::AddRecipient("a@b"), Blank::Ours, Some(b"\0\0\0\x07+<a@b>\0")),
            (Change::DeleteRecipient("a@b"), Blank::Ours, Some(b"\0\0\0\x07-<a@b>\0")),
            (Change::DeleteRecipient(""), Blank::Ours, None),
            (Change::ChangeSender(""), Blank::Ours, Some(b"\0\0\0\x04e<>\0")),
            (Change::ChangeSender("a\0b"), Blank::Ours, None),
            (Change::Quarantine("why"), Blank::Ours, Some(b"\0\0\0\x05qwhy\0")),
            (Change::ReplaceBody(b""), Blank::Ours, None),
            (Change::ReplaceBody(b"\r\n"), Blank::Ours, Some(b"\0\0\0\x03b\r\n")),
        ] {
            assert_eq!(change(asked, blank).as_deref(), octets, "{asked:?}");
        }
        let long = vec![b'x'; limit::CHUNK];
        assert_eq!(change(Change::AddHeader { name: "A", value: &long }, Blank::Ours), None);
        let body = vec![b'x'; 2 * limit::CHUNK + 1];
        let octets = change(Change::ReplaceBody(&body), Blank::Ours).unwrap_or_default();
        assert_eq!(octets.len(), body.len() + 3 * 5);
        assert_eq!(octets.get(..5), Some(&b"\0\x01\0\0b"[..]));
        assert_eq!(octets.get(octets.len() - 6..), Some(&b"\0\0\0\x02bx"[..]));
    }
}
