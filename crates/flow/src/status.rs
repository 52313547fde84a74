//! How a flow stands.
//!
//! In: settings. Out: what still lies open, what is sealed, what failed and why, when anything last happened. Reads only.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use store::{Journal, Ledger};

use crate::look_at::count_all;
use crate::reason;
use crate::settings::Settings;
use crate::survey::{Count, Survey, SurveyError, existing_state};

/// How a flow stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Everything whose text the server can read: to be sealed, failed, or left alone for now. Neither sealed mail nor mail
    /// that its sender encrypted is in it.
    pub plaintext: Count,
    /// What is there.
    #[serde(flatten)]
    pub found: Survey,
    /// Messages that this flow has sealed since its beginning.
    pub sealed_ever: u64,
    /// Replacements that were cut off and will be settled by the next sweep.
    pub unfinished: u64,
    /// When it last sealed something or failed to, Unix seconds.
    pub last_activity: Option<i64>,
    /// When the next failed message is tried again, Unix seconds.
    pub next_retry: Option<i64>,
    /// Since when it is stopped, Unix seconds.
    pub stopped_since: Option<i64>,
}

/// Looks at every message; changes nothing.
pub fn status(settings: &Settings, stop: &Arc<AtomicBool>) -> Result<Status, SurveyError> {
    let database = existing_state(settings)?;
    let ledger = database.as_ref().map(Ledger::on);
    let found = count_all(settings, ledger, stop, |_| {})?;
    let mut status = Status { plaintext: plaintext(&found), found, ..Status::default() };
    if let (Some(database), Some(ledger)) = (&database, ledger) {
        let activity = ledger.activity(&settings.name)?;
        let sealed_ever = activity.counters.get(reason::SEALED.as_str());
        status.sealed_ever = sealed_ever.copied().unwrap_or_default();
        status.last_activity = activity.last.map(|at| at.0);
        status.next_retry = ledger.next_retry(&settings.name)?.map(|at| at.0);
        status.stopped_since = ledger.stopped_since(&settings.name)?.map(|at| at.0);
        let unfinished = Journal::on(database).unfinished(&settings.name)?;
        status.unfinished = u64::try_from(unfinished.len()).unwrap_or(u64::MAX);
    }
    Ok(status)
}

/// Since when a flow is stopped by an undo, Unix seconds. That is final.
pub fn stopped_since(settings: &Settings) -> Result<Option<i64>, SurveyError> {
    let database = existing_state(settings)?;
    let stopped = database.as_ref().map(|database| Ledger::on(database).stopped_since(&settings.name)).transpose()?;
    Ok(stopped.flatten().map(|at| at.0))
}

fn plaintext(found: &Survey) -> Count {
    let encrypted = [reason::END_TO_END, reason::UNKNOWN_SEALER].map(|reason| reason.as_str());
    let skipped = found.skipped.iter().filter(|(reason, _)| !encrypted.contains(&reason.as_str()));
    let unreadable = found.failed.get(reason::UNREADABLE.as_str());
    let counts = skipped.map(|(_, count)| count).chain([&found.to_seal, &found.waiting]);
    counts.chain(unreadable).fold(Count::default(), |sum, count| Count {
        messages: sum.messages.saturating_add(count.messages),
        octets: sum.octets.saturating_add(count.octets),
    })
}
