//! Which news may be told with the answer to a command (RFC 3501 §7.4.1). In: a command. Out: whether the numbers of messages may change.

use wire::imap::server::{Command, Which};

/// What may be told while a command is answered (RFC 3501 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// All that changed.
    All,
    /// Not what is gone: the numbers of messages must not change now.
    WhatStays,
}

impl Telling {
    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::Fetch(Which::Numbers, ..)
            | Command::Store(Which::Numbers, ..)
            | Command::Search(Which::Numbers, ..)
            | Command::Sort(Which::Numbers, ..)
            | Command::Thread(Which::Numbers, ..) => Telling::WhatStays,
            _ => Telling::All,
        }
    }
}
