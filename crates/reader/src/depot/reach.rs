//! The way to the mail: a depot for wherever it lies. In: settings. Out: the depot, or why it is not reached.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use store::database::OpenDatabaseError;
use store::imap::Account;
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
pub(crate) enum Way<'s> {
    /// A Maildir that was there; it may be away for a while.
    Maildir(Maildir),
    /// A connection, made anew each time.
    Account(&'s Account),
}

impl<'s> Way<'s> {
    pub(crate) fn find(settings: &'s Settings) -> Result<Way<'s>, ReachError> {
        Ok(match &settings.source {
            Source::Maildir(root) => Way::Maildir(Maildir::open(root)?),
            Source::Imap(imap) => Way::Account(&imap.account),
        })
    }

    /// Opens the depot.
    pub(crate) fn reach(&self, means: Means<'s>, stop: &Arc<AtomicBool>) -> Result<Box<dyn Depot + 's>, ReachError> {
        Ok(match self {
            Way::Maildir(maildir) => {
                Box::new(MaildirDepot::new(means, maildir.clone(), Database::open(&means.mail.state)?))
            }
            Way::Account(account) => Box::new(AccountDepot::connect(means, account, stop).map_err(AccountError::from)?),
        })
    }
}

/// Opens the depot of these settings.
pub(crate) fn reach<'m>(means: Means<'m>, stop: &Arc<AtomicBool>) -> Result<Box<dyn Depot + 'm>, ReachError> {
    Way::find(means.mail)?.reach(means, stop)
}
