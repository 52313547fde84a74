//! Counting a Maildir's mail.
//!
//! In: settings, the ledger if there is one. Out: counts. Reads mail only as far as it must to tell what it is; changes
//! nothing in the Maildir.

use std::path::Path;

use store::{Ledger, Mailbox, Maildir, Message};

use super::look::Looker;
use super::source::{NotThere, Source};
use crate::settings::Settings;
use crate::standing::Sight;
use crate::survey::{LeftOut, Survey, SurveyError};

/// The mailboxes of a flow.
pub(crate) fn source_of(settings: &Settings, maildir: &Maildir) -> Result<Source, SurveyError> {
    Source::pick(maildir.list()?, &settings.mailboxes).map_err(|NotThere(name)| SurveyError::NoMailbox(name))
}

/// Counts everything, looking only at what changed since the last time.
pub(crate) fn count_all(
    settings: &Settings,
    maildir: &Path,
    ledger: Option<Ledger<'_>>,
    mut each: impl FnMut(&Sight),
) -> Result<Survey, SurveyError> {
    let mut source = source_of(settings, &Maildir::open(maildir)?)?;
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
    for (mailbox, message) in source.walk() {
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
    }
    survey.mailboxes = u64::try_from(source.mailboxes.len()).unwrap_or(u64::MAX);
    let left_out = source.left_out.drain(..);
    survey.left_out = left_out.map(|(path, reason)| LeftOut { path, reason }).collect();
    Ok(survey)
}
