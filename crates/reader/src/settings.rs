//! Whose mail is read, and where it lies.
//!
//! In: values, from whoever reads the configuration. Out: the same. Never reads a file.

use std::io;
use std::path::PathBuf;

use open::Keyring;
use sealed::signature::Trust;
use tempfile::SpooledTempFile;

/// A Maildir with sealed mail, and what opens it. No `Debug`: it holds secrets.
pub struct Settings {
    /// The name of the flow that seals it.
    pub flow: String,
    /// The Maildir.
    pub maildir: PathBuf,
    /// The names of the flow's mailboxes, `*` for any text, as in its configuration; empty: every mailbox of the Maildir.
    pub mailboxes: Vec<String>,
    /// The state database of the flow. Lock files stand beside it.
    pub state: PathBuf,
    /// A directory for unlinked temporary files, into which only ciphertext is written.
    pub temporary: PathBuf,
    /// Unlocked keys.
    pub keys: Keyring,
    /// Pinned sealers, present and former accounts.
    pub trust: Trust,
}

/// Octets that a spool keeps in memory before it becomes a file.
pub const SPOOL_IN_MEMORY: usize = 1024 * 1024;

impl Settings {
    /// An empty place for ciphertext.
    pub(crate) fn spool(&self) -> io::Result<SpooledTempFile> {
        Ok(tempfile::spooled_tempfile_in(SPOOL_IN_MEMORY, &self.temporary))
    }
}
