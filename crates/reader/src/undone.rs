//! What came of an undo, or why there was none.
//!
//! In: errors of everything below. Out: one type for each, with its [`Fate`]. Never names a message but by its place.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use open::OpenError;
use serde::Serialize;
use store::Fate;
use store::database::{OpenDatabaseError, is_full};
use store::imap::BatchError;
use store::journal::JournalError;
use store::ledger::LedgerError;
use store::maildir::{ListError as TreeError, LockError, OpenMaildirError, RecoverError};
use store::replace::ReplaceError;

use crate::account::AccountError;
use crate::place::{LeftOut, Place};

/// What came of an undo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Messages put back.
    pub restored: u64,
    /// Messages that stay sealed because they do not open or could not be put back, with the [reason](crate::reason); at most
    /// [`MAX_LEFT`].
    pub left: Vec<(Place, &'static str)>,
    /// All of them, by reason. What merely carries the label lies open already.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Entries that cannot be read; who knows what they are.
    pub unreadable: u64,
    /// The files among them; at most [`MAX_LEFT`].
    pub unread: Vec<Place>,
    /// Mailboxes that were not looked at.
    pub left_out: Vec<LeftOut>,
    /// Went away, or was at work by others, meanwhile.
    pub skipped: u64,
    /// Replacements of an earlier run that was cut off, settled now.
    pub recovered: u64,
    /// Replacements that could not be settled; the next undo tries again. Nothing is lost, but mail may be there twice.
    pub unsettled: u64,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

/// Entries in the list of what is left.
pub const MAX_LEFT: usize = 10_000;
/// How long a sweep that is still running has to come to the end of its batch.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why an undo did not begin, or was broken off. Nothing is lost by it, and the next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// Another process works for that flow, and did not end in [`PATIENCE`].
    #[error("another process works for this flow")]
    Busy,
    /// What is put back could not be marked (A15), and nobody confirmed that no other sealer runs.
    #[error("the server keeps no keywords: another sealer would seal what is put back")]
    NoKeywords,
    /// The server has no way to remove one message and no other.
    #[error("the server offers no safe way to remove a single message (UIDPLUS, RFC 4315)")]
    NoSafeRemoval,
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No space left.
    #[error("the disk is full: nothing more can be put back")]
    Full,
    /// The Maildir, or the directory for temporary files, may not be written.
    #[error("no permission to write: nothing can be put back")]
    Forbidden,
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// Its mailboxes cannot be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The lock file.
    #[error(transparent)]
    Lock(LockError),
    /// The flow's lock file.
    #[error("the lock file of the flow cannot be used")]
    FlowLock(#[source] io::Error),
    /// The state database.
    #[error(transparent)]
    Database(OpenDatabaseError),
    /// What is in it.
    #[error("the state database cannot be used")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A batch was broken off.
    #[error(transparent)]
    Replace(ReplaceError),
    /// What an earlier run began could not be settled.
    #[error("what an earlier run began cannot be settled")]
    Recover(#[source] RecoverError<Undecided>),
}

/// Why a pair could not be compared. Both stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Undecided {
    /// Either cannot be read.
    #[error("the original or its copy cannot be read")]
    Read(#[from] io::Error),
    /// The sealed copy does not open.
    #[error("the sealed copy does not open")]
    Open(#[from] OpenError),
}

impl UndoError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            UndoError::Busy | UndoError::Recover(_) => Fate::Retry,
            UndoError::Account(error) => error.fate(),
            UndoError::NoKeywords | UndoError::NoSafeRemoval => Fate::Refuse,
            UndoError::Maildir(OpenMaildirError::NotAMaildir)
            | UndoError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

impl From<ReplaceError> for UndoError {
    fn from(error: ReplaceError) -> UndoError {
        match error {
            ReplaceError::Journal(error) => error.into(),
            other => UndoError::Replace(other),
        }
    }
}

impl From<JournalError> for UndoError {
    fn from(error: JournalError) -> UndoError {
        match error {
            JournalError::Sqlite(error) if is_full(&error) => UndoError::Full,
            other => UndoError::State(other.into()),
        }
    }
}

impl From<LedgerError> for UndoError {
    fn from(error: LedgerError) -> UndoError {
        match error {
            LedgerError::Sqlite(error) if is_full(&error) => UndoError::Full,
            other => UndoError::State(other.into()),
        }
    }
}

impl From<OpenDatabaseError> for UndoError {
    fn from(error: OpenDatabaseError) -> UndoError {
        match error {
            OpenDatabaseError::Sqlite(error) if is_full(&error) => UndoError::Full,
            other => UndoError::Database(other),
        }
    }
}

impl From<RecoverError<Undecided>> for UndoError {
    fn from(error: RecoverError<Undecided>) -> UndoError {
        match error {
            RecoverError::Journal(error) => error.into(),
            other => UndoError::Recover(other),
        }
    }
}

impl From<BatchError> for UndoError {
    fn from(error: BatchError) -> UndoError {
        match error {
            BatchError::Journal(error) => error.into(),
            other => UndoError::Account(other.into()),
        }
    }
}

impl From<rusqlite::Error> for UndoError {
    fn from(error: rusqlite::Error) -> UndoError {
        LedgerError::from(error).into()
    }
}
