//! What came of restoring from a backup, or why nothing did.
//!
//! In: errors of everything below. Out: one type for each, with its [`Fate`]. Never names a message but by its place.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use store::{Fate, Halt};

use crate::account::AccountError;
use crate::opening::Stumble;
use crate::place::Place;

/// Where originals are restored to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Into {
    /// The account that they came from.
    Account,
    /// A directory, one file each.
    Directory(PathBuf),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Originals put there.
    pub restored: u64,
    /// Messages that are there already, sealed or not.
    pub there: u64,
    /// Messages sealed before the time asked for.
    pub older: u64,
    /// Messages of the backup that were not restored, by file and number (from 1), with the [reason](crate::reason); at most
    /// [`MAX_FAILED`].
    pub failed: Vec<(Place, &'static str)>,
    /// All of them, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

/// Entries in the list of what was not restored.
pub const MAX_FAILED: usize = 10_000;

/// Why restoring did not begin, or was broken off. The next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The mail lies in a Maildir, of which no backups are kept.
    #[error("there is no account to restore to")]
    NoAccount,
    /// The backup cannot be read.
    #[error("the backup cannot be read")]
    Backup(#[source] io::Error),
    /// The directory cannot be made or written.
    #[error("the directory cannot be written")]
    Directory(#[source] io::Error),
    /// No space left.
    #[error("the disk is full: nothing more can be restored")]
    Full,
    /// No permission to write.
    #[error("no permission to write: nothing can be restored")]
    Forbidden,
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl RestoreError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            RestoreError::Account(error) => error.fate(),
            RestoreError::NoAccount => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

/// What became of one original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Back,
    Already,
    Failed(&'static str),
}

/// A word for the report, unless it would meet every other message too.
pub(crate) fn came_of(stumble: Stumble) -> Result<Came, RestoreError> {
    match stumble {
        Stumble::Fail(reason) => Ok(Came::Failed(reason)),
        Stumble::Halt(Halt::Full) => Err(RestoreError::Full),
        Stumble::Halt(Halt::Forbidden) => Err(RestoreError::Forbidden),
    }
}
