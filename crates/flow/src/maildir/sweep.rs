//! One pass over a Maildir.
//!
//! In: settings, the path of a Maildir. Out: sealed mail, and what came of it. What was begun by an earlier run is settled
//! first. Refuses a flow that an `undo` has stopped (A15).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use store::journal::is_way_back;
use store::{Database, Journal, Ledger, Maildir, Replacer, UnixSeconds};

use super::carrier::MaildirCarrier;
use super::in_place::InPlace;
use super::look::Looker;
use super::recovery;
use super::survey::{source_of, survey};
use crate::memory::{Learned, refuse_if_stopped};
use crate::owner::Owner;
use crate::progress::Progress;
use crate::pump::{Moved, Pump};
use crate::settings::Settings;
use crate::survey::{Survey, SurveyError};
use crate::swept::{SweepError, Swept};

/// Seals everything that lies open. `stop` is looked at between batches.
pub(crate) fn sweep(
    settings: &Settings,
    path: &Path,
    progress: &mut impl Progress,
    stop: &AtomicBool,
) -> Result<Swept, SweepError> {
    let account = settings.account().ok_or(SweepError::NoCertificate)?;
    let maildir = Maildir::open(path).map_err(SurveyError::from)?;
    let database = Database::open(&settings.state)?;
    refuse_if_stopped(settings, &database)?;
    let replacer = Replacer::open(maildir, settings.state.parent().unwrap_or(Path::new(".")))?;
    refuse_if_stopped(settings, &database)?;
    // The same for the undo of another flow in this Maildir.
    if Journal::on(&database).others_at(&settings.name, replacer.maildir().root())?.iter().any(|flow| is_way_back(flow))
    {
        return Err(SweepError::UndoUnfinished);
    }

    let settled = recovery::settle(settings, &replacer, &database, account, UnixSeconds::now())?;
    let mut swept = Swept { recovered: settled.rows, unsettled: count_of(settled.underway.len()), ..Swept::default() };

    let looker = Looker::new(settings, Some(Ledger::on(&database)));
    swept.found = look_at_all(settings, &database, &replacer, &looker, progress)?;
    progress.total(swept.found.to_seal.messages, swept.found.to_seal.octets);

    let now = UnixSeconds::now();
    let mut source = source_of(settings, replacer.maildir())?;
    let mut carrier = MaildirCarrier {
        flow: &settings.name,
        replacer: &replacer,
        database: &database,
        looker: &looker,
        sink: InPlace { owner: Owner::of(settings, now).ok_or(SweepError::NoCertificate)? },
        walk: source.walk(),
    };
    let underway = settled.underway;
    let moved = Moved::default();
    let mut pump = Pump { settings, database: &database, account, progress, stop, underway, moved };
    let ended = pump.run(&mut carrier);
    let moved = pump.moved;
    ended?;
    if moved.unsettled > 0 {
        // Others were faster than we; by now they have done what they wanted.
        let settled = recovery::settle(settings, &replacer, &database, account, UnixSeconds::now())?;
        swept.unsettled = count_of(settled.underway.len());
    }
    // What is done is of no use to anybody, and says which mail there was.
    Journal::on(&database).prune(UnixSeconds(now.0.saturating_add(1)))?;
    let Moved { sealed, skipped, failed, interrupted, .. } = moved;
    Ok(Swept { sealed, skipped, failed, interrupted, ..swept })
}

fn count_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Counts everything and remembers what was learned by it.
fn look_at_all(
    settings: &Settings,
    database: &Database,
    replacer: &Replacer,
    looker: &Looker<'_>,
    progress: &mut impl Progress,
) -> Result<Survey, SweepError> {
    let mut source = source_of(settings, replacer.maildir())?;
    let mut learned = Learned::new(&settings.name, database);
    let found = survey(looker, &mut source, |mailbox, message, sight| {
        progress.looked();
        if let Some(news) = &sight.news {
            learned.add(mailbox.name(), message.unique().as_bytes(), news)?;
        }
        Ok(())
    })?;
    learned.write()?;
    Ok(found)
}
