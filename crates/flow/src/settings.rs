//! What a flow is: where mail is taken, to whom it is sealed, what is left alone.
//!
//! In: values, from whoever reads the configuration. Out: the same, and what follows from them. Never reads a file.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use seal::RecipientKey;
use seal::{Compression, Enrolment, Padding};
use sealed::identity::AccountId;
use sealed::signature::{SealerKey, Trust};
use store::UnixSeconds;
use store::imap::Account;
use tempfile::SpooledTempFile;

/// A flow. No `Debug`: it holds secrets.
pub struct Settings {
    /// Its name, as in `[flow.NAME]`.
    pub name: String,
    /// Where mail is taken, and where it is put.
    pub route: Route,
    /// Mailboxes by name; `*` stands for anything. Empty: all but Drafts, Junk and Trash, which a `*` does not match either.
    pub mailboxes: Vec<String>,
    /// How long a message must have been here, so that filters and other programs come first.
    pub grace: Duration,
    /// Mail that arrived earlier is left alone.
    pub since: Option<UnixSeconds>,
    /// Larger mail is left alone; octets.
    pub max_size: Option<u64>,
    /// Whose mail it is.
    pub enrolment: Enrolment,
    /// Who seals.
    pub sealer: SealerKey,
    /// Other sealers whose mail counts as sealed, and former accounts of the owner. This sealer and the enrolment's account
    /// need not be in it. A former account that is missing here is sealed once more.
    pub trust: Trust,
    /// The account's dedup secret (A7).
    pub dedup: [u8; 32],
    /// Whether large mail is compressed.
    pub compression: Compression,
    /// How sizes are hidden.
    pub padding: Padding,
    /// The state database. Lock files stand beside it.
    pub state: PathBuf,
    /// A directory for unlinked temporary files, into which only ciphertext is written.
    pub temporary: PathBuf,
}

/// Where mail is taken, and where it is put.
#[expect(clippy::large_enum_variant, reason = "there is one a flow")]
pub enum Route {
    /// A Maildir, sealed in place.
    Maildir(PathBuf),
    /// Mailboxes of an IMAP account.
    Imap(Imap),
}

/// Mailboxes of an IMAP account.
pub struct Imap {
    /// Its name, as in `[account.NAME]`.
    pub name: String,
    /// How it is reached.
    pub account: Account,
    /// Where sealed mail is put.
    pub sink: Sink,
    /// Where originals are kept for a while, encrypted to the owner.
    pub backup: Option<Backup>,
    /// After so many lost connections in a row, with nothing done between them, a sweep gives up; watching never does.
    pub most_losses: u32,
}

/// The usual [`Imap::most_losses`]: with the waits between them, about a minute without a server.
pub const MOST_LOSSES: u32 = 8;

/// Where sealed mail is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Beside the original, in its mailbox.
    InPlace,
    /// In one mailbox.
    Folder(String),
}

/// Originals, encrypted to the owner, outside the mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// A directory for this flow.
    pub directory: PathBuf,
    /// For how long.
    pub keep: Duration,
}

/// Octets that a spool keeps in memory before it becomes a file.
pub const SPOOL_IN_MEMORY: usize = 1024 * 1024;

impl Settings {
    /// Who is believed: besides those named, this flow's own sealer and account.
    pub(crate) fn pinned(&self) -> Trust {
        let mut trust = self.trust.clone();
        if trust.sealer(self.sealer.public().id()).is_none() {
            trust.sealers.push(self.sealer.public().clone());
        }
        if let Some(account) = self.account().filter(|account| !trust.accounts.contains(account)) {
            trust.accounts.push(account);
        }
        trust
    }

    /// Whose mail it is; `None` without a certificate.
    pub(crate) fn account(&self) -> Option<AccountId> {
        self.enrolment.account()
    }

    /// The keys that mail is sealed to.
    pub(crate) fn recipients(&self) -> Vec<RecipientKey> {
        self.enrolment.recipients()
    }

    /// An empty place for ciphertext.
    pub(crate) fn spool(&self) -> io::Result<SpooledTempFile> {
        Ok(tempfile::spooled_tempfile_in(SPOOL_IN_MEMORY, &self.temporary))
    }
}
