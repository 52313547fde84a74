//! A Maildir, the way out.
//!
//! In: a Maildir, keys, pinned sealers. Out: the originals, octet for octet, with the flags and times that their sealed copies
//! have. First a durable stop, which every sweep of the flow obeys (A15); then the same steps as in sealing, the other way
//! round: open, write, read back, and only when it hashes to what the sealer signed does the sealed message go. May be cut off
//! at any instant and begun again. What does not open stays as it is and is listed.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use open::OpenError;
use sealed::identity::sha256_of;
use store::journal::{Row, RowId, State, way_back};
use store::ledger::MessageRef;
use store::maildir::{Comparison, LockError};
use store::{
    Batch, Database, Ending, Halt, Job, Journal, Ledger, Maildir, Outcome, Replaced, Replacer, UnixSeconds, recover,
};

use super::put_back::{PutBack, name_of, stumble_of};
use super::walk::{Labelled, WalkError, place_of, walk};
use crate::numbers::Numbers;
use crate::opening::{Restored, Stumble, open_whole};
use crate::place::Others;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::undone::{MAX_LEFT, PATIENCE, Undecided, UndoError, Undone};

/// Stops the flow for good and puts every original back. `stop` is looked at between batches.
pub(crate) fn undo(
    settings: &Settings,
    root: &Path,
    progress: &mut impl Progress,
    stop: &AtomicBool,
) -> Result<Undone, UndoError> {
    let maildir = Maildir::open(root)?;
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
    let counted = walk(&maildir, &settings.mailboxes, stop, |labelled| {
        (messages, octets) = (messages.saturating_add(1), octets.saturating_add(labelled.length));
        Ok::<(), UndoError>(())
    });
    match counted {
        Err(WalkError::Stopped) => run.undone.interrupted = true,
        other => drop(other?),
    }
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
        let walked = walk(maildir, &self.settings.mailboxes, stop, |labelled| {
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
            WalkError::Stopped => End::Interrupted,
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
        let how = PutBack { settings: self.settings, numbers: Numbers::new() };
        let replaced = batch.run(&how, &mut |step| progress.step(step))?;
        let over = replaced.iter().filter(|replaced| replaced.is_over());
        let over: Vec<RowId> = over.map(|replaced| replaced.row).collect();
        Journal::on(self.database).advance(&over, State::Done, now)?;
        self.book(&replaced, &how.numbers, progress)
    }

    fn book(
        &mut self,
        replaced: &[Replaced<u64, Stumble>],
        numbers: &Numbers<(String, Vec<u8>)>,
        progress: &mut impl Progress,
    ) -> Result<(), End> {
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
                Ending::Failed(failure) => match stumble_of(failure) {
                    Stumble::Halt(why) => halt = Some(why),
                    Stumble::Fail(reason) => {
                        progress.failed(reason);
                        let count = self.undone.reasons.entry(reason).or_default();
                        *count = count.saturating_add(1);
                        if self.undone.left.len() < MAX_LEFT {
                            self.undone.left.push((place_of(&job.mailbox, &job.original), reason));
                        }
                    }
                },
            }
        }
        let flow = self.settings.flow.as_str();
        let back: Vec<_> = gone.iter().map(|job| name_of(job)).collect();
        let gone = gone.into_iter().map(|Job { mailbox, original, .. }| {
            let message = original.unique().as_bytes();
            MessageRef { flow, mailbox: mailbox.name(), message }
        });
        let ledger = Ledger::on(self.database);
        self.database.together(|| {
            ledger.forget(&gone.collect::<Vec<_>>())?;
            numbers.note(self.settings, ledger, back.into_iter())?;
            Ok::<(), UndoError>(())
        })?;
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
            // Told apart before.
            WalkError::Stopped => UndoError::Busy,
            WalkError::Work(error) => error,
        }
    }
}
