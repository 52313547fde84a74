//! Counting a flow's mail: what is sealed, what is to be sealed, what is left alone.
//!
//! In: settings, the state database if there is one. Out: counts. Reads mail only as far as it must to tell what it is;
//! changes nothing in the Maildir.

use std::collections::BTreeMap;

use serde::Serialize;
use store::database::OpenDatabaseError;
use store::journal::JournalError;
use store::ledger::LedgerError;
use store::maildir::{ListError, OpenMaildirError};
use store::{Database, Ledger, Mailbox, Maildir, Message};

use crate::look::{Looker, Sight, Standing};
use crate::settings::Settings;
use crate::source::maildir::{NotThere, Source};
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
            SurveyError::NoMailbox(_)
            | SurveyError::Maildir(OpenMaildirError::NotAMaildir)
            | SurveyError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
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
    fn count(&mut self, sight: &Sight) {
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

/// The mailboxes of a flow.
pub(crate) fn source_of(settings: &Settings, maildir: &Maildir) -> Result<Source, SurveyError> {
    Source::pick(maildir.list()?, &settings.mailboxes).map_err(|NotThere(name)| SurveyError::NoMailbox(name))
}

/// The state database, where there is one already: a survey makes none.
pub(crate) fn existing_state(settings: &Settings) -> Result<Option<Database>, SurveyError> {
    match settings.state.exists() {
        true => Ok(Some(Database::open(&settings.state)?)),
        false => Ok(None),
    }
}

/// Counts everything, looking only at what changed since the last time.
pub(crate) fn count_all(
    settings: &Settings,
    ledger: Option<Ledger<'_>>,
    mut each: impl FnMut(&Sight),
) -> Result<Survey, SurveyError> {
    let mut source = source_of(settings, &Maildir::open(&settings.maildir)?)?;
    survey(&Looker::new(settings, ledger), &mut source, |_, _, sight| {
        each(sight);
        Ok(())
    })
}

/// Looks at every message and counts it.
pub(crate) fn survey(
    looker: &Looker<'_>,
    source: &mut Source,
    mut each: impl FnMut(&Mailbox, &Message, &Sight) -> Result<(), SurveyError>,
) -> Result<Survey, SurveyError> {
    let mut survey = Survey::default();
    source.each(|mailbox, message| {
        match message {
            Err(reason) => {
                survey.failed.entry(reason.as_str().to_owned()).or_default().add(0);
            }
            Ok(mut message) => {
                if let Some(sight) = looker.look(mailbox, &mut message)? {
                    survey.count(&sight);
                    each(mailbox, &message, &sight)?;
                }
            }
        }
        Ok::<(), SurveyError>(())
    })?;
    survey.mailboxes = u64::try_from(source.mailboxes.len()).unwrap_or(u64::MAX);
    let left_out = source.left_out.drain(..);
    survey.left_out = left_out.map(|(path, reason)| LeftOut { path, reason }).collect();
    Ok(survey)
}
