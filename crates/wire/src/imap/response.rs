//! Typed responses.
//!
//! In: a frame at the beginning of a response. Out: what it says. RFC 3501 §7, and of the extensions what `imap.rs`
//! names. What is not known is stepped over. Never: a whole message in memory.

use std::io::{self, BufRead, Write};

use super::answer::{Fetched, Listed, Namespace, Namespaces, Status};
use super::frame::{Frame, FrameError};
use super::value::{self, Value};
use crate::limit;
use crate::mailbox_name::MailboxName;
use crate::uid_set::UidSet;

/// The beginning of a response, or all of it.
#[derive(Debug)]
pub(crate) enum Head {
    /// `+`: the server waits for more. With its text.
    Continue(Vec<u8>),
    /// `A7 OK ...`
    Tagged(u32, Reply),
    /// `* OK ...`
    Status(Reply),
    /// `* 7 FETCH`, with the message's number: what was fetched is to be read next, with [`fetched`].
    Fetch(u32),
    /// Anything else.
    Untagged(Untagged),
}

/// How a command ended, or a condition of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    /// The response code: its name in upper case, and what stands behind that.
    pub(crate) code: Option<(String, String)>,
}

impl Reply {
    /// What stands behind the name of this response code.
    pub(crate) fn code(&self, name: &str) -> Option<&str> {
        self.code.as_ref().filter(|(known, _)| known == name).map(|(_, data)| data.as_str())
    }
}

/// See [`Reply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// An untagged response that is no status and no FETCH.
#[derive(Debug)]
pub(crate) enum Untagged {
    Capability(Vec<String>),
    Exists(u32),
    /// The number of the message.
    Expunge(u32),
    /// RFC 7162 §3.2.10: how many; none when they had gone before.
    Vanished(u64),
    List(Listed),
    Status(Status),
    Search(Vec<u32>),
    Namespace(Namespaces),
    Other,
}

/// What our tags begin with; a number follows.
pub(crate) const TAG: &str = "A";

/// Reads the beginning of the next response.
pub(crate) fn head<R: BufRead>(frame: &mut Frame<R>) -> Result<Head, FrameError> {
    frame.start()?;
    if frame.eat(b'+') {
        frame.spaces();
        let text = frame.rest();
        if text.len() > limit::AUTH_LINE {
            return Err(FrameError::Limit("octets of a challenge"));
        }
        return Ok(Head::Continue(text.to_vec()));
    }
    let tag = upper(frame.word());
    frame.spaces();
    let word = upper(frame.word());
    frame.spaces();
    if tag != "*" {
        // quirk: an empty line between responses says nothing.
        if tag.is_empty() && word.is_empty() && frame.peek().is_none() {
            return Ok(Head::Untagged(Untagged::Other));
        }
        let number = tag.strip_prefix(TAG).and_then(|number| value::number(number.as_bytes()));
        let number = number.and_then(|number| u32::try_from(number).ok());
        return match (number, kind(&word)) {
            (Some(number), Some(kind @ (Kind::Ok | Kind::No | Kind::Bad))) => {
                Ok(Head::Tagged(number, reply(frame, kind)?))
            }
            _ => Err(FrameError::Protocol("a response that is none")),
        };
    }
    if let Some(kind) = kind(&word) {
        return Ok(Head::Status(reply(frame, kind)?));
    }
    Ok(Head::Untagged(match word.as_str() {
        "CAPABILITY" => Untagged::Capability(words(&String::from_utf8_lossy(frame.rest()))),
        "LIST" | "LSUB" => listed(frame)?,
        "STATUS" => status(frame)?,
        "SEARCH" => search(frame)?,
        "NAMESPACE" => namespaces(frame)?,
        "VANISHED" => vanished(frame),
        _ => match value::number(word.as_bytes()) {
            Some(number) => return numbered(frame, number),
            None => step_over(frame)?,
        },
    }))
}

/// Reads what was fetched. The whole message goes where `body` says. A UID of 0: none was told, and it belongs to no
/// message that a caller of UID commands could know.
pub(crate) fn fetched<R: BufRead, B: Write>(
    frame: &mut Frame<R>,
    body: &mut dyn FnMut(u64) -> io::Result<B>,
) -> Result<Fetched<B>, FrameError> {
    let mut uid = None;
    let mut fetched = Fetched::new();
    if !frame.eat(b'(') {
        return Err(FrameError::Protocol("FETCH without a list"));
    }
    loop {
        frame.spaces();
        if frame.eat(b')') {
            break;
        }
        let name = upper(frame.bracketed_word());
        frame.spaces();
        match name.as_str() {
            "" => return Err(FrameError::Protocol("FETCH of an item without a name")),
            "UID" => uid = Some(small(&frame.value()?)?),
            "FLAGS" => fetched.flags = Some(atoms(texts(&frame.value()?)?)),
            "INTERNALDATE" => fetched.internal_date = frame.value()?.text(),
            "RFC822.SIZE" => fetched.size = frame.value()?.number(),
            "MODSEQ" => fetched.modseq = first(&frame.value()?).and_then(Value::number),
            "BODYSTRUCTURE" => {
                let value = frame.value()?;
                fetched.structure = matches!(value, Value::List(_)).then(|| value.written());
            }
            "EMAILID" => fetched.email_id = first(&frame.value()?).and_then(Value::text),
            "X-GM-MSGID" => fetched.gm_msgid = frame.value()?.number(),
            "X-GM-LABELS" => fetched.gm_labels = Some(texts(&frame.value()?)?),
            _ => match section(&name) {
                Some("") if fetched.body.is_some() => return Err(FrameError::Protocol("one message fetched twice")),
                Some("") => fetched.body = whole(frame, body)?,
                Some(section) => {
                    let octets = frame.value()?.octets().map(<[u8]>::to_vec);
                    // NIL: there is no such section.
                    fetched.sections.extend(octets.map(|octets| (section.replace('"', ""), octets)));
                }
                None => drop(frame.value()?),
            },
        }
    }
    fetched.uid = uid.unwrap_or_default();
    Ok(fetched)
}

/// The words of a list divided by spaces.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The whole message: a literal as a rule, a string from some.
fn whole<R: BufRead, B: Write>(
    frame: &mut Frame<R>,
    body: &mut dyn FnMut(u64) -> io::Result<B>,
) -> Result<Option<io::Result<B>>, FrameError> {
    let Some(length) = frame.literal()? else {
        let value = frame.value()?;
        return Ok(value.octets().map(|octets| {
            let mut sink = body(octets.len() as u64)?;
            sink.write_all(octets)?;
            Ok(sink)
        }));
    };
    // Asked before, so that an absurd length never reaches the caller.
    if length > limit::BODY {
        return Err(FrameError::Limit("octets of a message"));
    }
    let mut sink = body(length);
    let written = frame.stream(length, sink.as_mut().ok().map(|sink| sink as &mut dyn Write))?;
    Ok(Some(sink.and_then(|sink| written.map(|()| sink))))
}

/// What stands in the brackets of `BODY[...]`. Where a part begins (`<0>`) does not matter: who asks for parts knows.
fn section(name: &str) -> Option<&str> {
    let (section, _) = name.strip_prefix("BODY[")?.split_once(']')?;
    Some(section)
}

fn reply<R: BufRead>(frame: &mut Frame<R>, kind: Kind) -> Result<Reply, FrameError> {
    let rest = String::from_utf8_lossy(frame.rest());
    let code = rest.strip_prefix('[').and_then(|rest| {
        // quirk: Gmail has keywords with a bracket in them, so a list ends where its parenthesis does.
        let list = rest.find(" (").filter(|at| !rest.get(..*at).unwrap_or_default().contains(']'));
        let end = match list.and_then(|_| rest.find(')')) {
            Some(closed) => closed.saturating_add(rest.get(closed..)?.find(']')?),
            None => rest.find(']')?,
        };
        let code = rest.get(..end)?;
        let (name, data) = code.split_once(' ').unwrap_or((code, ""));
        Some((name.to_ascii_uppercase(), data.trim().to_owned()))
    });
    // quirk: Gmail says `[OVERQUOTA] Account exceeded command or bandwidth limits` and `[ALERT] Too many simultaneous
    // connections`: it is the account's pace that is too much, not its mail.
    let vague = code.as_ref().is_none_or(|(name, _)| matches!(name.as_str(), "OVERQUOTA" | "ALERT"));
    let code = match kind {
        Kind::No if vague && speaks_of_pace(&rest) => Some(("THROTTLED".to_owned(), String::new())),
        _ => code,
    };
    Ok(Reply { kind, code })
}

fn speaks_of_pace(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["bandwidth", "throttl", "rate limit", "too many", "command limit"].iter().any(|words| text.contains(words))
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "OK" => Kind::Ok,
        "NO" => Kind::No,
        "BAD" => Kind::Bad,
        "PREAUTH" => Kind::PreAuth,
        "BYE" => Kind::Bye,
        _ => return None,
    })
}

/// `* 7 EXISTS` and its kind.
fn numbered<R: BufRead>(frame: &mut Frame<R>, number: u64) -> Result<Head, FrameError> {
    let number = u32::try_from(number).map_err(|_| FrameError::Protocol("a number too large"))?;
    let word = upper(frame.word());
    frame.spaces();
    Ok(Head::Untagged(match word.as_str() {
        "FETCH" => return Ok(Head::Fetch(number)),
        "EXISTS" => Untagged::Exists(number),
        "EXPUNGE" => Untagged::Expunge(number),
        _ => step_over(frame)?,
    }))
}

/// RFC 3501 §7.2.2; RFC 5258 §4 may add to it.
fn listed<R: BufRead>(frame: &mut Frame<R>) -> Result<Untagged, FrameError> {
    let attributes = atoms(texts(&frame.value()?)?);
    frame.spaces();
    let delimiter = delimiter(&frame.value()?);
    frame.spaces();
    // A mailbox called NIL is no NIL here.
    let name = match frame.value()? {
        Value::Nil => "NIL".to_owned(),
        value => value.text().ok_or(FrameError::Protocol("LIST without a name"))?,
    };
    step_over(frame)?;
    Ok(Untagged::List(Listed { name: MailboxName::from_wire(&name), delimiter, attributes }))
}

fn delimiter(value: &Value) -> Option<char> {
    value.octets().and_then(|octets| octets.first()).map(|octet| char::from(*octet))
}

/// RFC 3501 §7.2.4. quirk: Outlook.com puts no list where a mailbox cannot be opened.
fn status<R: BufRead>(frame: &mut Frame<R>) -> Result<Untagged, FrameError> {
    drop(frame.value()?);
    frame.spaces();
    let mut status = Status::default();
    if frame.peek() != Some(b'(') {
        return Ok(Untagged::Status(status));
    }
    let list = frame.value()?;
    let mut values = list.list().unwrap_or_default().iter();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        let number = value.number();
        let short = number.and_then(|number| u32::try_from(number).ok());
        match upper(name.octets().unwrap_or_default()).as_str() {
            "MESSAGES" => status.messages = short,
            "RECENT" => status.recent = short,
            "UNSEEN" => status.unseen = short,
            "UIDNEXT" => status.uid_next = short,
            "UIDVALIDITY" => status.uid_validity = short,
            "HIGHESTMODSEQ" => status.highest_modseq = number,
            "APPENDLIMIT" => status.append_limit = number,
            _ => {}
        }
    }
    Ok(Untagged::Status(status))
}

/// RFC 3501 §7.2.5. `(MODSEQ 7)` may follow (RFC 7162 §3.1.5).
fn search<R: BufRead>(frame: &mut Frame<R>) -> Result<Untagged, FrameError> {
    let numbers = frame.rest().split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let numbers = numbers.take_while(|word| !word.starts_with(b"("));
    let numbers = numbers.map(|word| value::number(word).and_then(|number| u32::try_from(number).ok()));
    let numbers = numbers.collect::<Option<Vec<_>>>().ok_or(FrameError::Protocol("SEARCH with what is no number"))?;
    Ok(Untagged::Search(numbers))
}

/// RFC 2342 §6.
fn namespaces<R: BufRead>(frame: &mut Frame<R>) -> Result<Untagged, FrameError> {
    let mut kinds = [Vec::new(), Vec::new(), Vec::new()];
    for kind in &mut kinds {
        let value = frame.value()?;
        frame.spaces();
        for namespace in value.list().unwrap_or_default() {
            let mut parts = namespace.list().unwrap_or_default().iter();
            if let (Some(prefix), Some(mark)) = (parts.next(), parts.next()) {
                let prefix = prefix.text().unwrap_or_default();
                kind.push(Namespace { prefix, delimiter: delimiter(mark) });
            }
        }
    }
    let [personal, others, shared] = kinds;
    Ok(Untagged::Namespace(Namespaces { personal, others, shared }))
}

fn vanished<R: BufRead>(frame: &mut Frame<R>) -> Untagged {
    let gone = std::str::from_utf8(frame.rest()).ok().and_then(UidSet::parse);
    // `(EARLIER) 7:9` is no set: those messages were not counted any more.
    Untagged::Vanished(gone.map_or(0, |gone| gone.len()))
}

/// Steps over what is not known, with its literals.
fn step_over<R: BufRead>(frame: &mut Frame<R>) -> Result<Untagged, FrameError> {
    loop {
        frame.spaces();
        match frame.peek() {
            None => return Ok(Untagged::Other),
            // A parenthesis too many is nobody's harm here.
            Some(b')') => drop(frame.eat(b')')),
            Some(_) => drop(frame.value()?),
        }
    }
}

fn upper(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).to_ascii_uppercase()
}

fn small(value: &Value) -> Result<u32, FrameError> {
    let number = value.number().and_then(|number| u32::try_from(number).ok()).filter(|number| *number != 0);
    number.ok_or(FrameError::Protocol("a UID that is none"))
}

fn texts(value: &Value) -> Result<Vec<String>, FrameError> {
    value.texts().ok_or(FrameError::Protocol("a list of words that is none"))
}

/// Those that are flags or attributes of mailboxes (RFC 3501 §9 `flag`, `mbx-list-flags`): others cannot be written as one, and might be taken for more than a word.
fn atoms(mut words: Vec<String>) -> Vec<String> {
    words.retain(|word| is_word(word));
    words
}

/// An atom, with a backslash before it or not; or `\*`.
pub(crate) fn is_word(word: &str) -> bool {
    let atom = word.strip_prefix('\\').unwrap_or(word);
    let is_atom = |octet: u8| matches!(octet, b'!'..=b'~') && !b"(){%*\"\\".contains(&octet);
    word == "\\*" || (!atom.is_empty() && atom.bytes().all(is_atom))
}

/// The only value of a list, or the value itself where no list stands.
fn first(value: &Value) -> Option<&Value> {
    match value {
        Value::List(values) => values.first(),
        Value::Nil => None,
        value => Some(value),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail loudly")]
mod tests {
    use std::fmt::Write as _;
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// Everything that these octets say, as text; and at last why there is no more.
    fn told(source: impl BufRead) -> String {
        let mut frame = Frame::new(source);
        let mut text = String::new();
        loop {
            let head = head(&mut frame);
            let end = head.is_err();
            let fetch = matches!(head, Ok(Head::Fetch(_)));
            let _ = writeln!(text, "{head:?}");
            if fetch {
                let fetched = fetched(&mut frame, &mut |_| Ok(Vec::new()));
                let _ = writeln!(text, "{fetched:?}");
                if fetched.is_err() {
                    return text;
                }
            }
            if end {
                return text;
            }
        }
    }

    fn check(octets: &[u8]) -> Result<(), TestCaseError> {
        let whole = told(octets);
        for room in [1, 2, 7] {
            prop_assert_eq!(&told(BufReader::with_capacity(room, octets)), &whole);
        }
        Ok(())
    }

    const PIECES: &[&str] = &[
        "* ",
        "A1 ",
        "+ ",
        "OK ",
        "NO ",
        "BAD ",
        "BYE ",
        "[",
        "]",
        "UIDVALIDITY 7",
        "PERMANENTFLAGS (\\Seen a]b \\*)",
        "CAPABILITY IMAP4rev1",
        "1 FETCH (",
        "2 EXISTS",
        "3 EXPUNGE",
        "LIST ",
        "(\\A \\B) ",
        "\"/\" ",
        "STATUS ",
        "SEARCH ",
        "NAMESPACE ",
        "VANISHED ",
        "(EARLIER) ",
        "1:4294967295",
        "UID ",
        "7 ",
        "FLAGS ",
        "BODY[] ",
        "BODY[HEADER.FIELDS (X)] ",
        "INTERNALDATE ",
        "MODSEQ (9) ",
        "EMAILID (M1) ",
        "X-GM-LABELS (\"\\\\Inbox\" x) ",
        "RFC822.SIZE ",
        "(",
        ")",
        "()",
        "NIL ",
        "\"a \\\" b\" ",
        "\"",
        "\\",
        "{3}\r\nabc",
        "{5}\r\n)\r\n* ",
        "{0}\r\n",
        "~{2}\r\n\0\x01",
        "{9}",
        "{99999999999}\r\n",
        "\r\n",
        "\r\n",
        "\n",
        " ",
        "x",
        "18446744073709551616 ",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_octets_are_told_alike_however_they_come(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            check(&octets)?;
        }

        #[test]
        fn any_pieces_are_told_alike_however_they_come(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)
        ) {
            check(pieces.concat().as_bytes())?;
        }

        #[test]
        fn any_message_comes_through(octets in prop::collection::vec(any::<u8>(), 0..500), more in 0_usize..3) {
            let mut response = format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n", octets.len()).into_bytes();
            response.extend_from_slice(&octets);
            response.extend_from_slice(b" FLAGS (a))\r\n* 2 EXISTS\r\n");
            let mut frame = Frame::new(BufReader::with_capacity(1 + more * 100, response.as_slice()));
            prop_assert!(matches!(head(&mut frame), Ok(Head::Fetch(1))));
            let one = fetched(&mut frame, &mut |_| Ok(Vec::new())).unwrap();
            prop_assert_eq!(one.body.unwrap().unwrap(), octets);
            prop_assert_eq!(one.flags.unwrap(), ["a"]);
            prop_assert!(matches!(head(&mut frame), Ok(Head::Untagged(Untagged::Exists(2)))));
        }
    }

    #[test]
    fn codes_are_found() {
        for (line, code) in [
            ("* OK [UIDNEXT 5] x", Some(("UIDNEXT", "5"))),
            ("* OK [uidnext 5] x ] y", Some(("UIDNEXT", "5"))),
            ("* NO [ALERT] (x) y", Some(("ALERT", ""))),
            ("* OK [PERMANENTFLAGS (a]b c)] x", Some(("PERMANENTFLAGS", "(a]b c)"))),
            ("* OK [PERMANENTFLAGS (a", None),
            ("* OK [", None),
            ("* OK x [UIDNEXT 5]", None),
            ("* OK", None),
        ] {
            let line = format!("{line}\r\n");
            let mut frame = Frame::new(line.as_bytes());
            let Head::Status(reply) = head(&mut frame).unwrap() else { panic!("{line}") };
            let found = reply.code.as_ref().map(|(name, data)| (name.as_str(), data.as_str()));
            assert_eq!(found, code, "{line}");
        }
    }
}
