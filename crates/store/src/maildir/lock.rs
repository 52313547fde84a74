//! One replacer a Maildir: an advisory lock in the program's own state directory.
//!
//! In: a state directory, a Maildir's root. Out: the lock, held until dropped or until the process dies in any way. Never
//! writes into the Maildir: other programs would take a lock file there for something else, and do not need to obey it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held: no other replacer with the same state directory works on that Maildir.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process, or another replacer in this one, has it.
    #[error("another process works on this Maildir")]
    Held,
    /// The file system says so.
    #[error("the lock file of the Maildir cannot be used")]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock or says at once that it is held.
    ///
    /// The file is named by the root's device and inode, so that two paths to one Maildir are one lock. It stays: removing
    /// it would let two processes hold "the" lock on two files.
    pub(super) fn take(state: &Path, root: &Path) -> Result<Lock, LockError> {
        let root = root.metadata()?;
        let name = format!("maildir-{:x}-{:x}.lock", root.dev(), root.ino());
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(state.join(name))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Held),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}
