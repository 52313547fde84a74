//! Whose mail is read, and where it lies.
//!
//! In: values, from whoever reads the configuration. Out: the same. Never reads a file.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use open::Keyring;
use sealed::scratch::NewPlace;
use sealed::signature::Trust;
use store::imap::Account;
use tempfile::SpooledTempFile;

/// Sealed mail, and what opens it. No `Debug`: it holds secrets.
pub struct Settings {
    /// The name of the flow that seals it.
    pub flow: String,
    /// Where the mail lies.
    pub source: Source,
    /// The names of the flow's mailboxes, `*` for any text, as in its configuration; empty: every mailbox.
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

/// Where sealed mail lies.
pub enum Source {
    /// In a Maildir.
    Maildir(PathBuf),
    /// In mailboxes of an IMAP account.
    Imap(Imap),
}

/// Mailboxes of an IMAP account.
pub struct Imap {
    /// How it is reached.
    pub account: Account,
    /// The mailbox that sealed mail was put in; `None`: in place.
    pub sink: Option<String>,
    /// Whether another sealer may come upon what was put back.
    pub sealers: Sealers,
}

/// Other sealers of the same mail: other machines, other programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealers {
    /// One may run: nothing is put back where it cannot be marked as put back (A15).
    #[default]
    MayRun,
    /// The owner confirmed that none runs.
    NoneRuns,
}

/// Octets that a spool keeps in memory before it becomes a file.
pub const SPOOL_IN_MEMORY: usize = 1024 * 1024;

impl Settings {
    /// An empty place for ciphertext.
    pub(crate) fn spool(&self) -> io::Result<SpooledTempFile> {
        Ok(tempfile::spooled_tempfile_in(SPOOL_IN_MEMORY, &self.temporary))
    }

    /// Where messages go that are too large for the memory; nothing in clear reaches it.
    pub(crate) fn spools(&self) -> NewPlace<File> {
        let temporary = self.temporary.clone();
        Arc::new(move || tempfile::tempfile_in(&temporary))
    }
}
