//! What came of a sweep, or why there was none.
//!
//! In: errors of everything below. Out: one type for each, with its [`Fate`]. Never names a message.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use store::database::{OpenDatabaseError, is_full};
use store::imap::{BatchError, ConnectError, DeskError};
use store::journal::JournalError;
use store::ledger::LedgerError;
use store::maildir::{LockError, RecoverError};
use store::replace::ReplaceError;
use store::{Fate, Halt};
use wire::imap::ImapError;

use crate::pump::PumpError;
use crate::survey::{Count, Survey, SurveyError};

/// What came of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// What was there before.
    pub found: Survey,
    /// Sealed now; octets of the originals.
    pub sealed: Count,
    /// Was to be sealed and was left alone, by [reason](crate::reason).
    pub skipped: BTreeMap<String, u64>,
    /// Could not be sealed now, by [reason](crate::reason).
    pub failed: BTreeMap<String, u64>,
    /// Replacements of an earlier run that was cut off, settled now.
    pub recovered: u64,
    /// Replacements that could not be settled; the next sweep tries again. Nothing is lost, but mail may be there twice.
    pub unsettled: u64,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

/// What came of watching.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Watching {
    /// Sealed; octets of the originals.
    pub sealed: Count,
    /// Could not be sealed, by [reason](crate::reason); one that is tried again counts again.
    pub failed: BTreeMap<String, u64>,
    /// Connections that were lost.
    pub losses: u64,
}

/// Why a pair could not be compared. Both stay.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// Either cannot be read.
    #[error("the original or its copy cannot be read")]
    Read(#[from] io::Error),
    /// The journal does not say, in words of this version, what the copy must be.
    #[error("the journal does not tell what the copy must be")]
    Unknown,
}

/// Why a sweep did not begin, or was broken off. Nothing is lost by it, and the next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// An `undo` has stopped the flow.
    #[error("the flow is stopped: its mail was put back, and nothing more is sealed")]
    Stopped,
    /// An `undo` was cut off, and the stop was taken away.
    #[error("an undo of this flow was cut off; it must be finished first")]
    UndoUnfinished,
    /// Another process works on that Maildir, or for that flow.
    #[error("another process is at work here")]
    Busy,
    /// There is nobody to seal to.
    #[error("no certificate to seal to")]
    NoCertificate,
    /// No space left, for the sealed mail, for temporary files or for the state database.
    #[error("the disk is full: nothing more can be sealed")]
    Full,
    /// No space left on the server.
    #[error("the account is full: the server takes no more mail")]
    AccountFull,
    /// The Maildir, or the directory for temporary files, may not be written.
    #[error("no permission to write: nothing can be sealed")]
    Forbidden,
    /// The mail could not be looked at.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The lock file.
    #[error(transparent)]
    Lock(LockError),
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
    /// The server has no way to remove one message and no other.
    #[error("the server offers no safe way to remove a single message (UIDPLUS, RFC 4315)")]
    NoSafeRemoval,
    /// What the server does to sealed mail makes it unsafe to replace any (format §12.7).
    #[error("sealed mail does not survive on this server: {0}")]
    Provider(&'static str),
    /// The backup could not be kept.
    #[error("the backup of the originals cannot be written")]
    Backup(#[source] io::Error),
}

impl SweepError {
    /// Whether a new connection may mend it.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            SweepError::Survey(SurveyError::Server(_)) => true,
            SweepError::Survey(SurveyError::Connect(_)) => self.fate() == Fate::Retry,
            _ => false,
        }
    }

    /// Whether the server said no, which a new connection alone does not change.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, SweepError::Survey(SurveyError::Server(error)) if error.is_refusal())
    }

    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            SweepError::Busy | SweepError::AccountFull | SweepError::Recover(_) => Fate::Retry,
            SweepError::Stopped
            | SweepError::UndoUnfinished
            | SweepError::NoCertificate
            | SweepError::NoSafeRemoval
            | SweepError::Provider(_) => Fate::Refuse,
            SweepError::Survey(error) => error.fate(),
            SweepError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

impl From<PumpError> for SweepError {
    fn from(error: PumpError) -> SweepError {
        match error {
            // The pump ends well when it is interrupted.
            PumpError::Interrupted => SweepError::Stopped,
            PumpError::Halt(Halt::Full) => SweepError::Full,
            PumpError::Halt(Halt::Forbidden) => SweepError::Forbidden,
            PumpError::Ledger(error) => error.into(),
            PumpError::Replace(ReplaceError::Journal(error)) => error.into(),
            PumpError::Replace(error) => SweepError::Replace(error),
            PumpError::Imap(error) => error.into(),
        }
    }
}

impl From<BatchError> for SweepError {
    fn from(error: BatchError) -> SweepError {
        match error {
            BatchError::Journal(error) => error.into(),
            BatchError::Desk(error) => error.into(),
            _ => ImapError::Protocol("the mailbox was made anew meanwhile").into(),
        }
    }
}

impl From<DeskError> for SweepError {
    fn from(error: DeskError) -> SweepError {
        SweepError::Survey(error.into())
    }
}

impl From<ImapError> for SweepError {
    fn from(error: ImapError) -> SweepError {
        SweepError::Survey(error.into())
    }
}

impl From<ConnectError> for SweepError {
    fn from(error: ConnectError) -> SweepError {
        SweepError::Survey(error.into())
    }
}

impl From<LedgerError> for SweepError {
    fn from(error: LedgerError) -> SweepError {
        match error {
            LedgerError::Sqlite(error) => of_sqlite(error),
            other => SweepError::State(other.into()),
        }
    }
}

impl From<JournalError> for SweepError {
    fn from(error: JournalError) -> SweepError {
        match error {
            JournalError::Sqlite(error) => of_sqlite(error),
            other => SweepError::State(other.into()),
        }
    }
}

impl From<LockError> for SweepError {
    fn from(error: LockError) -> SweepError {
        match error {
            LockError::Held => SweepError::Busy,
            other => SweepError::Lock(other),
        }
    }
}

impl From<RecoverError<Undecided>> for SweepError {
    fn from(error: RecoverError<Undecided>) -> SweepError {
        match error {
            RecoverError::Journal(error) => error.into(),
            other => SweepError::Recover(other),
        }
    }
}

impl From<OpenDatabaseError> for SweepError {
    fn from(error: OpenDatabaseError) -> SweepError {
        match error {
            OpenDatabaseError::Sqlite(error) if is_full(&error) => SweepError::Full,
            other => SweepError::Database(other),
        }
    }
}

fn of_sqlite(error: rusqlite::Error) -> SweepError {
    if is_full(&error) { SweepError::Full } else { SweepError::State(error.into()) }
}
