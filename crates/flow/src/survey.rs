//! Counting a flow's mail: what is sealed, what is to be sealed, what is left alone.
//!
//! In: settings, the state database if there is one. Out: counts. Reads mail only as far as it must to tell what it is;
//! changes nothing in the Maildir.

use std::collections::BTreeMap;

use serde::Serialize;
use store::Database;
use store::database::OpenDatabaseError;
use store::imap::{ConnectError, DeskError};
use store::journal::JournalError;
use store::ledger::LedgerError;
use store::maildir::{ListError, OpenMaildirError};
use wire::imap::ImapError;

use crate::settings::Settings;
use crate::standing::{Sight, Standing};
use store::Fate;

/// Messages and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub messages: u64,
    /// How large together.
    pub octets: u64,
}

/// A place with mail that is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its path, for showing.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

/// What a flow's mailboxes hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// How many mailboxes.
    pub mailboxes: u64,
    /// Lying open, to be sealed by the next sweep.
    pub to_seal: Count,
    /// Of those, mail with a label that claims to be sealed or encrypted and is not.
    pub forged: Count,
    /// Sealed by a sealer that is believed here.
    pub sealed: Count,
    /// Left alone, by [reason](crate::reason).
    pub skipped: BTreeMap<String, Count>,
    /// Failed, by [reason](crate::reason): those that are tried again by the next sweep are also in `to_seal`.
    pub failed: BTreeMap<String, Count>,
    /// Of those, mail that is not tried yet again.
    pub waiting: Count,
    /// Places with mail that is not looked at.
    pub left_out: Vec<LeftOut>,
}

/// Why a flow's mail could not be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// Its mailboxes cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The configuration names a mailbox that is not there.
    #[error("there is no mailbox {0:?}")]
    NoMailbox(String),
    /// The account could not be reached, or not logged in to.
    #[error("cannot log in to the account")]
    Connect(#[source] ConnectError),
    /// The server said no, or the connection was lost again and again.
    #[error("the server does not do what it must")]
    Server(#[source] ImapError),
    /// A mailbox may only be read.
    #[error("a mailbox may only be read")]
    ReadOnly,
    /// The server does not say which mailboxes are for drafts, junk and trash (A13).
    #[error("the server does not tell what its mailboxes are for")]
    NoSpecialUse,
    /// Asked to stop.
    #[error("stopped, as asked")]
    Interrupted,
    /// The state database.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// What is in it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl SurveyError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            SurveyError::Server(_) | SurveyError::Interrupted => Fate::Retry,
            SurveyError::Connect(ConnectError::Imap(error)) if !is_ours_to_mend(error) => Fate::Retry,
            SurveyError::NoMailbox(_)
            | SurveyError::Connect(_)
            | SurveyError::NoSpecialUse
            | SurveyError::Maildir(OpenMaildirError::NotAMaildir)
            | SurveyError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

/// Waiting does not help: the configuration must be mended.
fn is_ours_to_mend(error: &ImapError) -> bool {
    matches!(
        error,
        ImapError::Authentication | ImapError::NoMechanism | ImapError::Plaintext | ImapError::Certificate(_)
    )
}

impl From<DeskError> for SurveyError {
    fn from(error: DeskError) -> SurveyError {
        match error {
            DeskError::Imap(error) => error.into(),
            DeskError::ReadOnly => SurveyError::ReadOnly,
            _ => SurveyError::Server(ImapError::Protocol("no mailbox is selected")),
        }
    }
}

impl From<ImapError> for SurveyError {
    fn from(error: ImapError) -> SurveyError {
        match error {
            ImapError::Stopped => SurveyError::Interrupted,
            error => SurveyError::Server(error),
        }
    }
}

impl From<ConnectError> for SurveyError {
    fn from(error: ConnectError) -> SurveyError {
        match error {
            ConnectError::Imap(ImapError::Stopped) => SurveyError::Interrupted,
            error => SurveyError::Connect(error),
        }
    }
}

impl Count {
    /// One more message.
    pub(crate) fn add(&mut self, octets: u64) {
        self.messages = self.messages.saturating_add(1);
        self.octets = self.octets.saturating_add(octets);
    }
}

impl Survey {
    /// How many are left alone for that reason.
    pub fn skipped_for(&self, reason: store::ledger::Code) -> Count {
        self.skipped.get(reason.as_str()).copied().unwrap_or_default()
    }

    /// Adds one message.
    pub(crate) fn count(&mut self, sight: &Sight) {
        let size = sight.size;
        match &sight.standing {
            Standing::Open(open) => {
                self.to_seal.add(size);
                if open.forged {
                    self.forged.add(size);
                }
                if let Some(reason) = &open.failed {
                    self.failed.entry(reason.clone()).or_default().add(size);
                }
            }
            Standing::Waiting(reason) => {
                self.waiting.add(size);
                self.failed.entry(reason.clone()).or_default().add(size);
            }
            Standing::Sealed => self.sealed.add(size),
            Standing::Skipped(reason) => self.skipped.entry(reason.as_str().to_owned()).or_default().add(size),
            Standing::Failed(reason) => self.failed.entry(reason.as_str().to_owned()).or_default().add(size),
        }
    }
}

/// The state database, where there is one already: a survey makes none.
pub(crate) fn existing_state(settings: &Settings) -> Result<Option<Database>, SurveyError> {
    match settings.state.exists() {
        true => Ok(Some(Database::open(&settings.state)?)),
        false => Ok(None),
    }
}
