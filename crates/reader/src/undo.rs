//! The way out: every original back in its place, and nothing more is sealed.
//!
//! In: a Maildir, keys, pinned sealers. Out: the originals, octet for octet, with the flags and times that their sealed copies
//! have. First a durable stop, which every sweep of the flow obeys (A15); then the same steps as in sealing, the other way
//! round: open, write, read back, and only when it hashes to what the sealer signed does the sealed message go. May be cut off
//! at any instant and begun again. What does not open stays as it is and is listed.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use open::OpenError;
use sealed::identity::sha256_of;
use serde::Serialize;
use store::database::{OpenDatabaseError, is_full};
use store::journal::{JournalError, Row, RowId, State, way_back};
use store::ledger::{LedgerError, MessageRef};
use store::maildir::{Comparison, ListError as TreeError, LockError, OpenMaildirError, RecoverError};
use store::replace::ReplaceError;
use store::{
    Batch, Database, Ending, Fate, Halt, Job, Journal, Ledger, Maildir, Outcome, Replaced, Replacer, UnixSeconds,
    recover,
};

use crate::progress::Progress;
use crate::restore::{Restore, Restored, Stumble, open_whole};
use crate::settings::Settings;
use crate::walk::{Labelled, LeftOut, Others, Place, WalkError, walk};

/// What came of an undo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Messages put back.
    pub restored: u64,
    /// Messages that stay sealed because they do not open or could not be put back, with the [reason](crate::reason); at most
    /// [`MAX_LEFT`].
    pub left: Vec<(Place, &'static str)>,
    /// All of them, by reason. What merely carries the label lies open already.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Entries that cannot be read; who knows what they are.
    pub unreadable: u64,
    /// The files among them; at most [`MAX_LEFT`].
    pub unread: Vec<Place>,
    /// Mailboxes that were not looked at.
    pub left_out: Vec<LeftOut>,
    /// Went away, or was at work by others, meanwhile.
    pub skipped: u64,
    /// Replacements of an earlier run that was cut off, settled now.
    pub recovered: u64,
    /// Replacements that could not be settled; the next undo tries again. Nothing is lost, but mail may be there twice.
    pub unsettled: u64,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

/// Entries in the list of what is left.
pub const MAX_LEFT: usize = 10_000;
/// How long a sweep that is still running has to come to the end of its batch.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why an undo did not begin, or was broken off. Nothing is lost by it, and the next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// Another process works on that Maildir, and did not end in [`PATIENCE`].
    #[error("another process works on this Maildir")]
    Busy,
    /// No space left.
    #[error("the disk is full: nothing more can be put back")]
    Full,
    /// The Maildir, or the directory for temporary files, may not be written.
    #[error("no permission to write: nothing can be put back")]
    Forbidden,
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// Its mailboxes cannot be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
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

/// Why a pair could not be compared. Both stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Undecided {
    /// Either cannot be read.
    #[error("the original or its copy cannot be read")]
    Read(#[from] io::Error),
    /// The sealed copy does not open.
    #[error("the sealed copy does not open")]
    Open(#[from] OpenError),
}

/// Stops the flow for good and puts every original back. `stop` is looked at between batches.
pub fn undo(settings: &Settings, progress: &mut impl Progress, stop: &AtomicBool) -> Result<Undone, UndoError> {
    let maildir = Maildir::open(&settings.maildir)?;
    let database = Database::open(&settings.state)?;
    Ledger::on(&database).stop(&settings.flow, UnixSeconds::now())?;
    let replacer = lock(&maildir, settings)?;
    let mut run = Run {
        settings,
        replacer: &replacer,
        database: &database,
        flow: way_back(&settings.flow),
        seen: HashSet::new(),
        undone: Undone::default(),
    };
    run.settle_sweep()?;
    run.settle_own()?;

    let (mut messages, mut octets) = (0_u64, 0_u64);
    walk(&maildir, &settings.mailboxes, |labelled| {
        (messages, octets) = (messages.saturating_add(1), octets.saturating_add(labelled.length));
        Ok::<(), UndoError>(())
    })?;
    progress.total(messages, octets);

    run.restore_all(&maildir, progress, stop)?;
    if run.undone.unsettled > 0 {
        // Others were faster than we; by now they have done what they wanted.
        run.undone.unsettled = 0;
        run.settle_sweep()?;
        run.settle_own()?;
    }
    Journal::on(&database).prune(UnixSeconds(UnixSeconds::now().0.saturating_add(1)))?;
    Ok(run.undone)
}

impl UndoError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            UndoError::Busy | UndoError::Recover(_) => Fate::Retry,
            UndoError::Maildir(OpenMaildirError::NotAMaildir)
            | UndoError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

/// Messages of one batch.
const BATCH_MESSAGES: usize = 128;
/// Octets of one batch, sealed; a larger message is a batch of its own.
const BATCH_OCTETS: u64 = 4 * 1024 * 1024;

struct Run<'a> {
    settings: &'a Settings,
    replacer: &'a Replacer,
    database: &'a Database,
    /// The name under which the journal knows us.
    flow: String,
    /// Mailbox and name of what is not to be taken (again): failed, or still under way from an earlier run.
    seen: HashSet<(String, Vec<u8>)>,
    undone: Undone,
}

impl Run<'_> {
    /// What a sweep had begun: where both are there the original is kept, so that there is nothing to put back.
    fn settle_sweep(&mut self) -> Result<(), UndoError> {
        let settings = self.settings;
        let now = UnixSeconds::now();
        let keep_the_original = |_: &Row, original: File, copy: File| -> Result<Comparison<Restored>, Undecided> {
            // The copy goes only if it holds nothing else; otherwise it is put back like any other.
            Ok(match *open_whole(settings, copy)?.hash() == sha256_of(original)? {
                true => Comparison::BadCopy,
                false => Comparison::OtherOriginal,
            })
        };
        for recovered in recover(self.replacer, self.database, &settings.flow, now, keep_the_original)? {
            if recovered.recovery.is_ok() {
                self.undone.recovered = self.undone.recovered.saturating_add(1);
            } else {
                self.undone.unsettled = self.undone.unsettled.saturating_add(1);
                // The sealed copy: were it put back now, its original would be there twice.
                self.seen.insert((recovered.row.mailbox, recovered.row.copy));
            }
        }
        Ok(())
    }

    /// What an earlier undo had begun.
    fn settle_own(&mut self) -> Result<(), UndoError> {
        let now = UnixSeconds::now();
        let settings = self.settings;
        let prove_again = |row: &Row, sealed: File, restored: File| -> Result<Comparison<Restored>, Undecided> {
            let holds = match open_whole(settings, sealed) {
                Ok(opened) => opened.hash().as_slice() == row.expectation,
                Err(OpenError::NotSealed(_)) => false,
                Err(error) => return Err(error.into()),
            };
            Ok(match (holds, sha256_of(restored)?.as_slice() == row.expectation) {
                (false, _) => Comparison::OtherOriginal,
                (true, true) => Comparison::Proved(Restored),
                // Not what we wrote: put back anew from the sealed message, which is there.
                (true, false) => Comparison::BadCopy,
            })
        };
        for recovered in recover(self.replacer, self.database, &self.flow, now, prove_again)? {
            if recovered.recovery.is_ok() {
                self.undone.recovered = self.undone.recovered.saturating_add(1);
            } else {
                self.undone.unsettled = self.undone.unsettled.saturating_add(1);
                self.seen.insert((recovered.row.mailbox, recovered.row.original));
            }
        }
        Ok(())
    }

    fn restore_all(
        &mut self,
        maildir: &Maildir,
        progress: &mut impl Progress,
        stop: &AtomicBool,
    ) -> Result<(), UndoError> {
        let mut batch: Vec<Job<u64>> = Vec::new();
        let walked = walk(maildir, &self.settings.mailboxes, |labelled| {
            let Labelled { mailbox, message, length, .. } = labelled;
            let name = (mailbox.name().to_owned(), message.unique().as_bytes().to_vec());
            if !self.seen.insert(name) {
                return Ok::<(), End>(());
            }
            let octets = batch.iter().fold(length, |sum, job| sum.saturating_add(job.item));
            if batch.len() >= BATCH_MESSAGES || octets > BATCH_OCTETS {
                self.restore(&mut batch, progress, stop)?;
            }
            batch.push(Job { mailbox: mailbox.clone(), original: message, note: Vec::new(), item: length });
            Ok(())
        });
        let walked = walked.map_err(|error| match error {
            WalkError::List(error) => UndoError::from(error).into(),
            WalkError::Work(end) => end,
        });
        let walked = walked.map(|Others { unreadable, unread, left_out, .. }| {
            (self.undone.unreadable, self.undone.unread, self.undone.left_out) = (unreadable, unread, left_out);
        });
        match walked.and_then(|()| self.restore(&mut batch, progress, stop)) {
            Err(End::Interrupted) => {
                self.undone.interrupted = true;
                Ok(())
            }
            Err(End::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    fn restore(
        &mut self,
        batch: &mut Vec<Job<u64>>,
        progress: &mut impl Progress,
        stop: &AtomicBool,
    ) -> Result<(), End> {
        if stop.load(Ordering::Relaxed) {
            return Err(End::Interrupted);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let now = UnixSeconds::now();
        let jobs = std::mem::take(batch);
        let batch = Batch::begin(self.replacer, self.database, &self.flow, jobs, now)?;
        let replaced = batch.run(&Restore { settings: self.settings }, &mut |step| progress.step(step))?;
        let over = replaced.iter().filter(|replaced| replaced.is_over());
        let over: Vec<RowId> = over.map(|replaced| replaced.row).collect();
        Journal::on(self.database).advance(&over, State::Done, now)?;
        self.book(&replaced, progress)
    }

    fn book(&mut self, replaced: &[Replaced<u64, Stumble>], progress: &mut impl Progress) -> Result<(), End> {
        let mut gone = Vec::new();
        let mut halt = None;
        for Replaced { job, ending, .. } in replaced {
            match ending {
                Ending::Settled { outcome: Outcome::Replaced, .. } => {
                    self.undone.restored = self.undone.restored.saturating_add(1);
                    gone.push(job);
                    progress.done(job.item);
                }
                Ending::Settled { .. } | Ending::Vanished => {
                    self.undone.skipped = self.undone.skipped.saturating_add(1)
                }
                Ending::Unsettled(_) => self.undone.unsettled = self.undone.unsettled.saturating_add(1),
                Ending::Failed(failure) => match Stumble::of_failure(failure) {
                    Stumble::Halt(why) => halt = Some(why),
                    Stumble::Fail(reason) => {
                        progress.failed(reason);
                        let count = self.undone.reasons.entry(reason).or_default();
                        *count = count.saturating_add(1);
                        if self.undone.left.len() < MAX_LEFT {
                            self.undone.left.push((Place::of(&job.mailbox, &job.original), reason));
                        }
                    }
                },
            }
        }
        let flow = self.settings.flow.as_str();
        let gone = gone.into_iter().map(|Job { mailbox, original, .. }| {
            let message = original.unique().as_bytes();
            MessageRef { flow, mailbox: mailbox.name(), message }
        });
        Ledger::on(self.database).forget(&gone.collect::<Vec<_>>())?;
        match halt {
            Some(Halt::Full) => Err(UndoError::Full.into()),
            Some(Halt::Forbidden) => Err(UndoError::Forbidden.into()),
            None => Ok(()),
        }
    }
}

/// Why restoring ended early.
enum End {
    Interrupted,
    Error(UndoError),
}

/// A sweep that is running sees the stop and ends.
fn lock(maildir: &Maildir, settings: &Settings) -> Result<Replacer, UndoError> {
    const EVERY: Duration = Duration::from_millis(200);
    let state = settings.state.parent().unwrap_or(Path::new("."));
    let mut waited = Duration::ZERO;
    loop {
        match Replacer::open(maildir.clone(), state) {
            Err(LockError::Held) if waited < PATIENCE => {
                std::thread::sleep(EVERY);
                waited = waited.saturating_add(EVERY);
            }
            Err(LockError::Held) => return Err(UndoError::Busy),
            other => return other.map_err(UndoError::Lock),
        }
    }
}

impl<E: Into<UndoError>> From<E> for End {
    fn from(error: E) -> End {
        End::Error(error.into())
    }
}

impl From<WalkError<UndoError>> for UndoError {
    fn from(error: WalkError<UndoError>) -> UndoError {
        match error {
            WalkError::List(error) => error.into(),
            WalkError::Work(error) => error,
        }
    }
}

impl From<ReplaceError> for UndoError {
    fn from(error: ReplaceError) -> UndoError {
        match error {
            ReplaceError::Journal(error) => error.into(),
            other => UndoError::Replace(other),
        }
    }
}

impl From<JournalError> for UndoError {
    fn from(error: JournalError) -> UndoError {
        match error {
            JournalError::Sqlite(error) if is_full(&error) => UndoError::Full,
            other => UndoError::State(other.into()),
        }
    }
}

impl From<LedgerError> for UndoError {
    fn from(error: LedgerError) -> UndoError {
        match error {
            LedgerError::Sqlite(error) if is_full(&error) => UndoError::Full,
            other => UndoError::State(other.into()),
        }
    }
}

impl From<OpenDatabaseError> for UndoError {
    fn from(error: OpenDatabaseError) -> UndoError {
        match error {
            OpenDatabaseError::Sqlite(error) if is_full(&error) => UndoError::Full,
            other => UndoError::Database(other),
        }
    }
}

impl From<RecoverError<Undecided>> for UndoError {
    fn from(error: RecoverError<Undecided>) -> UndoError {
        match error {
            RecoverError::Journal(error) => error.into(),
            other => UndoError::Recover(other),
        }
    }
}
