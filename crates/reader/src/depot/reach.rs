//! The way to the mail: a depot for wherever it lies. In: settings. Out: the depot, or why it is not reached.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use store::database::OpenDatabaseError;
use store::maildir::OpenMaildirError;
use store::{Database, Fate, Maildir};

use super::account::AccountDepot;
use super::contract::Depot;
use super::maildir::MaildirDepot;
use crate::account::AccountError;
use crate::means::Means;
use crate::settings::{Settings, Source};

/// Why mail is not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl ReachError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            ReachError::Maildir(OpenMaildirError::NotAMaildir) => Fate::Refuse,
            ReachError::Maildir(_) | ReachError::Database(_) => Fate::Stop,
            ReachError::Account(error) => error.fate(),
        }
    }
}

/// The way to the mail of some settings, found once and gone as often as wished.
pub(crate) enum Way {
    /// A Maildir that was there; it may be away for a while.
    Maildir(Maildir),
    /// A connection, made anew each time.
    Account,
}

impl Way {
    pub(crate) fn find(settings: &Settings) -> Result<Way, ReachError> {
        Ok(match &settings.source {
            Source::Maildir(root) => Way::Maildir(Maildir::open(root)?),
            Source::Imap(_) => Way::Account,
        })
    }

    /// Opens the depot.
    pub(crate) fn reach<'m>(
        &self,
        means: Means<'m>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Box<dyn Depot + 'm>, ReachError> {
        match (self, &means.mail.source) {
            (Way::Maildir(maildir), _) => {
                Ok(Box::new(MaildirDepot::new(means, maildir.clone(), Database::open(&means.mail.state)?)))
            }
            (Way::Account, Source::Imap(imap)) => {
                let connected = AccountDepot::connect(means, &imap.account, stop);
                Ok(Box::new(connected.map_err(AccountError::from)?))
            }
            (Way::Account, Source::Maildir(_)) => Way::find(means.mail)?.reach(means, stop),
        }
    }
}

/// Opens the depot of these settings.
pub(crate) fn reach<'m>(means: Means<'m>, stop: &Arc<AtomicBool>) -> Result<Box<dyn Depot + 'm>, ReachError> {
    Way::find(means.mail)?.reach(means, stop)
}
