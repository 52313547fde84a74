//! A note to an owner: that a message for him could not be handed on, or came back.
//!
//! In: which message, when, what the target's server said. Out: a plain message (RFC 5322), to be sealed like any other. It has nothing
//! of the mail itself: the forwarder has only ciphertext by then. It answers nobody and asks for no answer (RFC 3834 §5).

use std::fmt::Write;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Characters kept of what a server said.
const MAX_SAID: usize = 400;

/// What the owner is told.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// What happened.
    pub what: What,
    /// What the forwarder calls the message, as in `sealpost queue list`.
    pub id: &'a str,
    /// When it came in, Unix seconds; none where only the bounce tells of it.
    pub received: Option<u64>,
    /// When it was tried last, or came back, Unix seconds.
    pub last: u64,
    /// What the target's server said: code and text as they came, or why it could not be reached.
    pub said: &'a str,
    /// Whether the sealed message is still there.
    pub copy: Copy,
    /// What the forwarder is called.
    pub host: &'a str,
    /// From whom: the forwarder's own address.
    pub from: &'a str,
    /// To whom: the owner's address.
    pub to: &'a str,
    /// Unix seconds.
    pub now: u64,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was tried until it was too old.
    Expired,
    /// The target's server refused it for good.
    Refused,
    /// The target's server had taken it, and gave it back.
    Returned,
    /// Something came to its return path that is no report of delivery.
    Answered,
}

/// Where the sealed message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// In the queue.
    Here,
    /// Not here any more.
    Gone,
}

/// What becomes of messages that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// They will be removed, the first of them then, Unix seconds.
    Removal(u64),
    /// They stay, and so much of it lies there that no more mail is taken.
    Overfull,
}

/// Many messages that could not be handed on, told of at once.
#[derive(Clone, Debug)]
pub struct Many<'a> {
    /// What becomes of them.
    pub end: End,
    /// How many.
    pub count: usize,
    /// Octets of all.
    pub octets: u64,
    /// When the first and the last of them came, Unix seconds.
    pub came: (u64, u64),
    /// What the forwarder calls the first.
    pub id: &'a str,
    /// What the forwarder is called.
    pub host: &'a str,
    /// From whom: the forwarder's own address.
    pub from: &'a str,
    /// To whom: the owner's address.
    pub to: &'a str,
    /// Unix seconds.
    pub now: u64,
}

/// Writes a note of many: ASCII, CR LF.
pub fn compose_many(note: &Many<'_>) -> Vec<u8> {
    let Many { count, now, .. } = *note;
    let (host, messages) = (word(note.host), if count == 1 { "message" } else { "messages" });
    let (subject, told) = match note.end {
        End::Removal(_) => (
            "Messages that could not be handed on will be removed",
            "could not be handed on, since your provider refused them, gave them back,\r\nor did not take them in time.",
        ),
        End::Overfull => (
            "No more mail is taken for you: your provider refused too much",
            "were refused by your provider, and wait here. As long as there are so many, no\r\nmore is taken: who writes to you is told to come again later.",
        ),
    };
    let mut out = String::with_capacity(1024);
    let id = word(note.id);
    head(&mut out, (note.from, note.to), now, &format!("<note.{now}.{id}@{host}>"), subject);
    line(&mut out, &format!("{count} {messages} for you ({} KiB), sealed here, {told}", note.octets.div_ceil(1024)));
    line(&mut out, "");
    line(&mut out, &format!("Came:      {}", date(note.came.0)));
    line(&mut out, &format!("       to  {}", date(note.came.1)));
    if let End::Removal(at) = note.end {
        line(&mut out, &format!("Removed:   {} at the earliest, the oldest first", date(at)));
    }
    line(&mut out, "");
    line(&mut out, &format!("Whoever runs {host} gets at them by these commands:"));
    line(&mut out, "  sealpost queue list           which there are, and why");
    line(&mut out, "  sealpost queue retry --all    to have all of them tried again; or: -- ID");
    line(&mut out, "  sealpost queue cat -- ID      the sealed copy, which you can open");
    line(&mut out, "  sealpost queue drop -- ID     to remove one");
    line(&mut out, "");
    line(
        &mut out,
        "Who sent them was told nothing, since a sender can be forged. What they say, nobody here can read.",
    );
    out.into_bytes()
}

/// The header section, and the line that ends it.
fn head(out: &mut String, (from, to): (&str, &str), now: u64, id: &str, subject: &str) {
    line(out, &format!("From: Sealpost <{}>", word(from)));
    line(out, &format!("To: <{}>", word(to)));
    line(out, &format!("Date: {}", date(now)));
    line(out, &format!("Message-ID: {id}"));
    line(out, &format!("Subject: {subject}"));
    line(out, "Auto-Submitted: auto-generated");
    line(out, "MIME-Version: 1.0");
    line(out, "Content-Type: text/plain; charset=us-ascii");
    line(out, "");
}

/// Writes the note: ASCII, CR LF.
pub fn compose(note: &Note<'_>) -> Vec<u8> {
    let (subject, told) = match note.what {
        What::Expired => (
            "A message for you could not be handed on in time",
            "A message for you was sealed here, and could not be handed on to your provider. It is not tried any more.",
        ),
        What::Refused => (
            "Your provider has refused a message",
            "A message for you was sealed here, and your provider's server has refused it for good.",
        ),
        What::Returned => (
            "Your provider has given a message back",
            "A message for you was sealed here and handed on. Your provider's server had taken it, and gave it back.",
        ),
        What::Answered => (
            "Something came back for a message that was handed on",
            "A message for you was sealed here and handed on. Mail without a sender came to its return path, and is no report\r\n\
             that can be read. Perhaps the message was not delivered.",
        ),
    };
    let host = word(note.host);
    let id = word(note.id);
    let mut out = String::with_capacity(1024);
    // The same note, written again after a crash, is the same message.
    let name = format!("<note.{}.{id}@{host}>", note.last);
    head(&mut out, (note.from, note.to), note.now, &name, subject);
    line(&mut out, told);
    line(&mut out, "");
    line(&mut out, &format!("Message:   {id}"));
    if let Some(received) = note.received {
        line(&mut out, &format!("Received:  {}", date(received)));
    }
    let came_back = matches!(note.what, What::Returned | What::Answered);
    let last = if came_back { "Came back:" } else { "Last try: " };
    line(&mut out, &format!("{last} {}", date(note.last)));
    for (position, said) in wrapped(note.said).into_iter().enumerate() {
        line(&mut out, &format!("{} {said}", if position == 0 { "Reply:    " } else { "          " }));
    }
    line(&mut out, "");
    line(&mut out, "Who sent it was told nothing, since a sender can be forged. What it says, nobody here can read.");
    line(
        &mut out,
        &match note.copy {
            Copy::Here if note.what != What::Answered => {
                format!("Whoever runs {host} finds it with `sealpost queue list`, and can have it tried again.")
            }
            Copy::Here => format!("It is kept at {host} for some days, in case a report of its failure follows."),
            Copy::Gone => format!(
                "It is not kept at {host} any more, or never was, since its author had encrypted it.\r\n\
                 Whoever sent it has to send it again; it is taken then."
            ),
        },
    );
    out.into_bytes()
}

fn line(out: &mut String, text: &str) {
    let _ = write!(out, "{text}\r\n");
}

/// What may stand within a header field: printable, without what ends an address.
fn word(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_ascii_graphic() && !matches!(letter, '<' | '>' | ',' | ';'))
        .take(320)
        .collect()
}

/// A server's words, harmless: printable ASCII in short lines. Nothing that it says can become a header field, or end the message.
fn wrapped(said: &str) -> Vec<String> {
    let said: String = said
        .chars()
        .take(MAX_SAID)
        .map(|letter| match letter {
            ' '..='~' => letter,
            letter if letter.is_whitespace() => ' ',
            _ => '?',
        })
        .collect();
    let mut lines = vec![String::new()];
    for word in said.split(' ').filter(|word| !word.is_empty()) {
        // Words are ASCII: they may be cut anywhere.
        for piece in word.as_bytes().chunks(60).map(String::from_utf8_lossy) {
            match lines.last_mut() {
                Some(last) if last.is_empty() => last.push_str(&piece),
                Some(last) if last.len() + 1 + piece.len() <= 60 => {
                    last.push(' ');
                    last.push_str(&piece);
                }
                _ => lines.push(piece.into_owned()),
            }
        }
    }
    lines
}

fn date(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment
        .and_then(|moment| moment.format(&Rfc2822).ok())
        .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned())
}

#[cfg(test)]
mod tests {
    use mail::HeaderSection;
    use proptest::prelude::*;

    use super::*;

    fn note<'a>(what: What, said: &'a str, to: &'a str) -> Note<'a> {
        Note {
            what,
            id: "4bX1yz",
            received: Some(1_795_426_830),
            last: 1_795_430_430,
            said,
            host: "mx.example.net",
            from: "forward@example.net",
            to,
            now: 1_795_430_430,
            copy: Copy::Here,
        }
    }

    #[test]
    fn it_says_what_the_owner_needs() {
        for what in [What::Expired, What::Refused, What::Returned, What::Answered] {
            let text = compose(&note(what, "552 5.2.2 mailbox full", "alice@example.net"));
            let text = String::from_utf8(text).expect("ASCII");
            for part in
                ["4bX1yz", "552 5.2.2 mailbox full", "Mon, 23 Nov 2026", "To: <alice@example.net>", "auto-generated"]
            {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }

    #[test]
    fn a_note_of_many_says_how_many_and_how_to_get_at_them() {
        let (id, host, from, to) = ("4bX1yz", "mx.example.net", "forward@example.net", "alice@example.net\r\nBcc: x@y");
        let (came, now) = ((1_795_426_830, 1_795_430_430), 1_797_000_000);
        for (end, says) in [(End::Removal(1_798_000_000), "Removed: "), (End::Overfull, "come again later")] {
            let text = compose_many(&Many { end, count: 12, octets: 5000, came, id, host, from, to, now });
            assert_eq!(HeaderSection::parse(&text).fields().len(), 8);
            let text = String::from_utf8(text).expect("ASCII");
            assert!(text.is_ascii() && !text.contains("\nBcc"), "{text}");
            for part in ["12 messages for you (5 KiB)", "Mon, 23 Nov 2026", "queue cat -- ID", "queue list", says] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }

    #[test]
    fn what_a_server_says_stays_in_the_body() {
        let said = "550 no\r\nBcc: eve@example.com\r\n\r\n.\r\nQUIT \u{202e}\0";
        let text = compose(&note(What::Refused, said, "a@b\r\nBcc: eve@example.com"));
        let section = HeaderSection::parse(&text);
        assert!(section.first("Bcc").is_none());
        assert_eq!(section.fields().len(), 8);
        assert!(text.is_ascii());
    }

    proptest! {
        #[test]
        fn it_is_always_a_message(said: String, id: String, to: String, last: u64, now: u64) {
            let text = compose(&Note { id: &id, last, now, ..note(What::Expired, &said, &to) });
            let section = HeaderSection::parse(&text);
            prop_assert_eq!(section.fields().len(), 8);
            prop_assert!(text.is_ascii());
            prop_assert!(text.split(|&octet| octet == b'\n').all(|line| line.len() < 998));
            prop_assert!(!text.windows(3).any(|octets| octets == b"\n.\r"));
        }
    }
}
