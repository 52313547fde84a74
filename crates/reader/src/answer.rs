//! How commands of mail programs end, in the words of IMAP (RFC 3501 §7.1): by whom the mail lies, and whoever leads a session, say the same. In: texts. Out: lines.

use std::io::{self, Write};

use wire::imap::server::push_string;

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

/// What stands between the levels of names.
pub(crate) fn push_delimiter(to: &mut Vec<u8>, delimiter: Option<char>) {
    match delimiter {
        None => to.extend_from_slice(b"NIL"),
        Some(delimiter) => push_string(to, delimiter.to_string().as_bytes()),
    }
}
