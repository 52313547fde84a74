//! The connection to a mail program, and how answers look (RFC 3501 §7). In: texts. Out: lines. Never content but what a handler writes itself.

use std::io::{self, BufWriter, Write};

use wire::imap::server::{Connection, Leg};

/// A connection.
pub(crate) type Link = Connection<Leg, BufWriter<Leg>>;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok(String),
    No(String),
    Bad(&'static str),
}

impl Answer {
    pub(crate) fn ok(text: &str) -> Self {
        Answer::Ok(text.to_owned())
    }

    pub(crate) fn no(text: &str) -> Self {
        Answer::No(text.to_owned())
    }

    /// The state database failed.
    pub(crate) fn state() -> Self {
        Answer::no("[SERVERBUG] the state cannot be read or written now")
    }

    /// The mailbox cannot be read.
    pub(crate) fn unreadable() -> Self {
        Answer::no("[UNAVAILABLE] the mailbox cannot be read now")
    }

    /// No such mailbox.
    pub(crate) fn nonexistent() -> Self {
        Answer::no("[NONEXISTENT] no such mailbox")
    }
}

/// Writes an untagged response.
pub(crate) fn untagged(out: &mut (impl Write + ?Sized), line: &str) -> io::Result<()> {
    write!(out, "* {line}\r\n")
}

/// Writes the end of a command.
pub(crate) fn tagged(out: &mut impl Write, tag: &str, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Ok(text) => write!(out, "{tag} OK {text}\r\n")?,
        Answer::No(text) => write!(out, "{tag} NO {text}\r\n")?,
        Answer::Bad(text) => write!(out, "{tag} BAD {text}\r\n")?,
    }
    out.flush()
}
