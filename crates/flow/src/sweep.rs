//! One pass over a flow's mailboxes: everything that lies open is sealed.
//!
//! In: settings. Out: sealed mail, and what came of it. May be cut off at any instant and begun again: what was begun is
//! settled first. Refuses a flow that an `undo` has stopped (A15).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use store::database::{OpenDatabaseError, is_full};
use store::journal::{JournalError, is_way_back, way_back};
use store::ledger::{LedgerError, MessageRef};
use store::maildir::{LockError, RecoverError};
use store::replace::ReplaceError;
use store::{Database, Halt, Journal, Ledger, Maildir, Replacer, UnixSeconds};

use crate::look::{Looker, News};
use crate::progress::Progress;
use crate::pump::{Moved, Pump, PumpError};
use crate::recovery::{self, Undecided};
use crate::settings::Settings;
use crate::sink::in_place::InPlace;
use crate::survey::{Count, Survey, SurveyError, source_of, survey};
use store::Fate;

/// What came of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// What was there before.
    pub found: Survey,
    /// Sealed now; octets of the originals.
    pub sealed: Count,
    /// Was to be sealed and was left alone, by [reason](crate::reason).
    pub skipped: BTreeMap<String, u64>,
    /// Could not be sealed now, by [reason](crate::reason).
    pub failed: BTreeMap<String, u64>,
    /// Replacements of an earlier run that was cut off, settled now.
    pub recovered: u64,
    /// Replacements that could not be settled; the next sweep tries again. Nothing is lost, but mail may be there twice.
    pub unsettled: u64,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

/// Why a sweep did not begin, or was broken off. Nothing is lost by it, and the next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// An `undo` has stopped the flow.
    #[error("the flow is stopped: its mail was put back, and nothing more is sealed")]
    Stopped,
    /// An `undo` was cut off, and the stop was taken away.
    #[error("an undo of this flow was cut off; it must be finished first")]
    UndoUnfinished,
    /// Another process works on that Maildir.
    #[error("another process works on this Maildir")]
    Busy,
    /// There is nobody to seal to.
    #[error("no certificate to seal to")]
    NoCertificate,
    /// No space left, for the sealed mail, for temporary files or for the state database.
    #[error("the disk is full: nothing more can be sealed")]
    Full,
    /// The Maildir, or the directory for temporary files, may not be written.
    #[error("no permission to write: nothing can be sealed")]
    Forbidden,
    /// The mail could not be looked at.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The lock file.
    #[error(transparent)]
    Lock(LockError),
    /// The state database.
    #[error(transparent)]
    Database(OpenDatabaseError),
    /// What is in it.
    #[error("the state database cannot be used")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A batch was broken off.
    #[error(transparent)]
    Replace(ReplaceError),
    /// What an earlier run began could not be settled.
    #[error("what an earlier run began cannot be settled")]
    Recover(#[source] RecoverError<Undecided>),
}

/// Seals everything that lies open. `stop` is looked at between batches.
pub fn sweep(settings: &Settings, progress: &mut impl Progress, stop: &AtomicBool) -> Result<Swept, SweepError> {
    let account = settings.account().ok_or(SweepError::NoCertificate)?;
    let maildir = Maildir::open(&settings.maildir).map_err(SurveyError::from)?;
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
    let mut pump = Pump {
        settings,
        replacer: &replacer,
        database: &database,
        looker: &looker,
        sink: InPlace::new(settings, now).ok_or(SweepError::NoCertificate)?,
        account,
        progress,
        stop,
        underway: settled.underway,
        moved: Moved::default(),
    };
    let ended = pump.run(&mut source_of(settings, replacer.maildir())?);
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

impl SweepError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            SweepError::Busy | SweepError::Recover(_) => Fate::Retry,
            SweepError::Stopped | SweepError::UndoUnfinished | SweepError::NoCertificate => Fate::Refuse,
            SweepError::Survey(error) => error.fate(),
            SweepError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

fn count_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Verdicts that are written together.
const NEWS: usize = 512;

/// Counts everything and remembers what was learned by it.
fn look_at_all(
    settings: &Settings,
    database: &Database,
    replacer: &Replacer,
    looker: &Looker<'_>,
    progress: &mut impl Progress,
) -> Result<Survey, SweepError> {
    let mut source = source_of(settings, replacer.maildir())?;
    let mut learned = Vec::new();
    let found = survey(looker, &mut source, |mailbox, message, sight| {
        progress.looked();
        if let Some(news) = &sight.news {
            let name = (mailbox.name().to_owned(), message.unique().clone());
            match news {
                News::Seen => learned.push((name, None)),
                News::Verdict(verdict) => learned.push((name, Some(*verdict))),
            }
        }
        if learned.len() >= NEWS {
            remember(settings, database, &mut learned)?;
        }
        Ok(())
    })?;
    remember(settings, database, &mut learned)?;
    Ok(found)
}

type Learned = ((String, store::Unique), Option<store::ledger::Verdict>);

fn remember(settings: &Settings, database: &Database, learned: &mut Vec<Learned>) -> Result<(), LedgerError> {
    let (ledger, now) = (Ledger::on(database), UnixSeconds::now());
    let flow = settings.name.as_str();
    let of = |(mailbox, unique): &'_ (String, store::Unique)| (mailbox.clone(), unique.as_bytes().to_vec());
    let names: Vec<(String, Vec<u8>)> = learned.iter().map(|(name, _)| of(name)).collect();
    let subjects = names.iter().map(|(mailbox, message)| MessageRef { flow, mailbox, message });
    let both = || subjects.clone().zip(learned.iter());
    let seen: Vec<_> = both().filter(|(_, (_, verdict))| verdict.is_none()).map(|(subject, _)| subject).collect();
    let verdicts: Vec<_> = both().filter_map(|(subject, (_, verdict))| Some((subject, (*verdict)?))).collect();
    database.together(|| {
        ledger.note_seen(&seen, now)?;
        ledger.remember(&verdicts, now)
    })?;
    learned.clear();
    Ok(())
}

/// Also while we waited for the lock an undo may have begun.
fn refuse_if_stopped(settings: &Settings, database: &Database) -> Result<(), SweepError> {
    if Ledger::on(database).stopped_since(&settings.name)?.is_some() {
        return Err(SweepError::Stopped);
    }
    // A restored message beside its sealed one would be sealed as if it had just come.
    match Journal::on(database).unfinished(&way_back(&settings.name))?.as_slice() {
        [] => Ok(()),
        _ => Err(SweepError::UndoUnfinished),
    }
}

impl From<PumpError> for SweepError {
    fn from(error: PumpError) -> SweepError {
        match error {
            // The pump ends well when it is interrupted.
            PumpError::Interrupted => SweepError::Stopped,
            PumpError::Halt(Halt::Full) => SweepError::Full,
            PumpError::Halt(Halt::Forbidden) => SweepError::Forbidden,
            PumpError::Ledger(error) => error.into(),
            PumpError::Replace(ReplaceError::Journal(error)) => error.into(),
            PumpError::Replace(error) => SweepError::Replace(error),
        }
    }
}

impl From<LedgerError> for SweepError {
    fn from(error: LedgerError) -> SweepError {
        match error {
            LedgerError::Sqlite(error) => of_sqlite(error),
            other => SweepError::State(other.into()),
        }
    }
}

impl From<JournalError> for SweepError {
    fn from(error: JournalError) -> SweepError {
        match error {
            JournalError::Sqlite(error) => of_sqlite(error),
            other => SweepError::State(other.into()),
        }
    }
}

impl From<LockError> for SweepError {
    fn from(error: LockError) -> SweepError {
        match error {
            LockError::Held => SweepError::Busy,
            other => SweepError::Lock(other),
        }
    }
}

impl From<RecoverError<Undecided>> for SweepError {
    fn from(error: RecoverError<Undecided>) -> SweepError {
        match error {
            RecoverError::Journal(error) => error.into(),
            other => SweepError::Recover(other),
        }
    }
}

impl From<OpenDatabaseError> for SweepError {
    fn from(error: OpenDatabaseError) -> SweepError {
        match error {
            OpenDatabaseError::Sqlite(error) if is_full(&error) => SweepError::Full,
            other => SweepError::Database(other),
        }
    }
}

fn of_sqlite(error: rusqlite::Error) -> SweepError {
    if is_full(&error) { SweepError::Full } else { SweepError::State(error.into()) }
}
