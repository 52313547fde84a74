//! Take, seal, put, settle: what this program is for.
//!
//! In: the mailboxes of a flow. Out: their mail sealed. A message is *taken* when it lies open and nothing speaks against it;
//! *sealed* to its owner's keys; *put* beside its original and read back from there; and only then, against the receipt,
//! *settled*: the original goes. Between any two of these steps the process may die, and [`recovery`](crate::recovery) goes on.
//!
//! Never more than a batch is under way, so memory does not grow with the mailbox. One message that fails is noted, tried
//! again later, and hinders no other.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use store::journal::{JournalError, RowId, State};
use store::ledger::{Code, LedgerError, MessageRef, Verdict};
use store::replace::ReplaceError;
use store::{
    Batch, Database, Ending, Halt, Job, Journal, Ledger, Mailbox, Message, Outcome, Replaced, Replacer, UnixSeconds,
};

use crate::look::{Looker, Standing};
use crate::progress::Progress;
use crate::reason;
use crate::recovery::{is_gap, note_gap, note_of};
use crate::settings::Settings;
use crate::sink::in_place::{InPlace, Stumble, Taken};
use crate::source::maildir::Source;
use crate::survey::Count;

/// Messages of one batch.
pub(crate) const BATCH_MESSAGES: usize = 128;
/// Octets of one batch; a larger message is a batch of its own.
pub(crate) const BATCH_OCTETS: u64 = 4 * 1024 * 1024;

/// What it takes to move mail.
pub(crate) struct Pump<'a, P> {
    pub(crate) settings: &'a Settings,
    pub(crate) replacer: &'a Replacer,
    pub(crate) database: &'a Database,
    pub(crate) looker: &'a Looker<'a>,
    pub(crate) sink: InPlace<'a>,
    pub(crate) account: sealed::identity::AccountId,
    pub(crate) progress: &'a mut P,
    pub(crate) stop: &'a AtomicBool,
    /// Mailbox and name of what is under way: in this batch, or left over from an earlier one.
    pub(crate) underway: HashSet<(String, Vec<u8>)>,
    pub(crate) moved: Moved,
}

/// What was moved.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) sealed: Count,
    pub(crate) skipped: BTreeMap<String, u64>,
    pub(crate) failed: BTreeMap<String, u64>,
    /// Replacements that were cut off: somebody else was at work on the same message.
    pub(crate) unsettled: u64,
    pub(crate) interrupted: bool,
}

/// Why the pump stands still.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// Asked to stop, or the flow was.
    Interrupted,
    Halt(Halt),
    Ledger(LedgerError),
    Replace(ReplaceError),
}

impl<'a, P: Progress> Pump<'a, P> {
    /// Moves everything that is to be moved.
    pub(crate) fn run(&mut self, source: &mut Source) -> Result<(), PumpError> {
        let mut batch = Vec::new();
        let ended = source.each(|mailbox, message| {
            let Ok(message) = message else { return Ok(()) };
            if batch.iter().any(|job| is_twin(job, mailbox, &message)) {
                // The journal knows a message by its name: one after the other.
                self.move_on(&mut batch)?;
            }
            if let Some(taken) = self.take(mailbox, message)? {
                if !has_room(&batch, &taken) {
                    self.move_on(&mut batch)?;
                }
                batch.push(taken);
            }
            Ok(())
        });
        match ended.and_then(|()| self.move_on(&mut batch)) {
            Err(PumpError::Interrupted) => {
                self.moved.interrupted = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Take: the message, if it lies open and nothing speaks against it.
    fn take(&mut self, mailbox: &Mailbox, mut original: Message) -> Result<Option<Job<Taken>>, PumpError> {
        let name = (mailbox.name().to_owned(), original.unique().as_bytes().to_vec());
        if self.underway.contains(&name) {
            return Ok(None);
        }
        let Some(sight) = self.looker.look(mailbox, &mut original)? else {
            return Ok(None);
        };
        let Standing::Open(open) = sight.standing else {
            return Ok(None);
        };
        self.underway.insert(name);
        let item = Taken { size: sight.size, modified: sight.modified, attempts: open.attempts, sequence: 0 };
        Ok(Some(Job { mailbox: mailbox.clone(), original, note: Vec::new(), item }))
    }

    /// Seal, put and settle a batch.
    fn move_on(&mut self, batch: &mut Vec<Job<Taken>>) -> Result<(), PumpError> {
        self.check_stops()?;
        if batch.is_empty() {
            return Ok(());
        }
        let now = UnixSeconds::now();
        // The journal knows of everything before it exists.
        let begun = self.begin(std::mem::take(batch), now)?;
        // Sealed on all cores, put into `tmp/`, read back, opened with the session key; published beside the originals; the
        // originals removed against the receipts.
        let (sink, progress) = (&self.sink, &mut *self.progress);
        let replaced = begun.run(sink, &mut |step| progress.step(step))?;
        self.settle(replaced, now)
    }

    /// Gives each message its running number and writes the batch into the journal, in one transaction.
    fn begin(&self, mut jobs: Vec<Job<Taken>>, now: UnixSeconds) -> Result<Batch<'a, Taken>, PumpError> {
        let (settings, replacer, database) = (self.settings, self.replacer, self.database);
        let sealer = settings.sealer.public().octets();
        let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        database.together(|| {
            let numbers = Ledger::on(database).reserve(sealer, &self.account.0, count)?;
            for (job, number) in jobs.iter_mut().zip(numbers) {
                job.item.sequence = number;
                job.note = note_of(number);
            }
            Ok(Batch::begin(replacer, database, &settings.name, jobs, now)?)
        })
    }

    /// Settle: what came of each message goes into the journal and the ledger, in one transaction.
    fn settle(&mut self, replaced: Vec<Replaced<Taken, Stumble>>, now: UnixSeconds) -> Result<(), PumpError> {
        let database = self.database;
        let mut book = Book::default();
        let mut halt = None;
        for replaced in &replaced {
            let Replaced { job, ending, .. } = replaced;
            if replaced.is_over() {
                book.over.push(replaced.row);
                self.underway.remove(&(job.mailbox.name().to_owned(), job.original.unique().as_bytes().to_vec()));
            }
            match ending {
                Ending::Settled { outcome: Outcome::Replaced, length } => {
                    self.moved.sealed.add(job.item.size);
                    self.progress.done(job.item.size);
                    book.sealed.push((replaced, self.looker.digest(*length, job.item.modified)));
                }
                Ending::Settled { outcome, .. } => {
                    if is_gap(*outcome) {
                        book.gaps.push(job.item.sequence);
                    }
                    self.skip(reason::GONE);
                }
                Ending::Vanished => {
                    book.gaps.push(job.item.sequence);
                    self.skip(reason::GONE);
                }
                Ending::Failed(failure) => {
                    book.gaps.push(job.item.sequence);
                    match Stumble::of(failure) {
                        Stumble::Leave(reason) => self.skip(reason),
                        Stumble::Halt(why) => halt = Some(why),
                        Stumble::Fail(reason) => {
                            book.failed.push((replaced, reason, retry_at(job.item.attempts, now)));
                            self.fail(reason);
                        }
                    }
                }
                Ending::Unsettled(_) => self.moved.unsettled = self.moved.unsettled.saturating_add(1),
            }
        }
        database.together(|| book.write(self.settings, database, self.account, now))?;
        halt.map_or(Ok(()), |why| Err(PumpError::Halt(why)))
    }

    fn check_stops(&self) -> Result<(), PumpError> {
        let stopped = Ledger::on(self.database).stopped_since(&self.settings.name)?;
        if self.stop.load(Ordering::Relaxed) || stopped.is_some() {
            return Err(PumpError::Interrupted);
        }
        Ok(())
    }

    fn skip(&mut self, reason: Code) {
        let count = self.moved.skipped.entry(reason.as_str().to_owned()).or_default();
        *count = count.saturating_add(1);
        self.progress.skipped(reason);
    }

    fn fail(&mut self, reason: Code) {
        let count = self.moved.failed.entry(reason.as_str().to_owned()).or_default();
        *count = count.saturating_add(1);
        self.progress.failed(reason);
    }
}

/// What a batch leaves in the state database.
#[derive(Default)]
struct Book<'a> {
    over: Vec<RowId>,
    sealed: Vec<(&'a Replaced<Taken, Stumble>, [u8; 32])>,
    failed: Vec<(&'a Replaced<Taken, Stumble>, Code, UnixSeconds)>,
    gaps: Vec<u64>,
}

impl Book<'_> {
    fn write(
        &self,
        settings: &Settings,
        database: &Database,
        account: sealed::identity::AccountId,
        now: UnixSeconds,
    ) -> Result<(), PumpError> {
        let ledger = Ledger::on(database);
        let flow = settings.name.as_str();
        Journal::on(database).advance(&self.over, State::Done, now)?;
        let originals = self.sealed.iter().map(|(replaced, _)| original_of(flow, replaced));
        ledger.forget(&originals.collect::<Vec<_>>())?;
        let sealed = self.sealed.iter().map(|(replaced, digest)| {
            let message = replaced.copy.as_bytes();
            let copy = MessageRef { message, ..original_of(flow, replaced) };
            (copy, Verdict::Sealed(*digest))
        });
        let failed = self
            .failed
            .iter()
            .map(|(replaced, reason, retry_at)| (original_of(flow, replaced), Verdict::Failed(*reason, *retry_at)));
        ledger.remember(&sealed.chain(failed).collect::<Vec<_>>(), now)?;
        for number in &self.gaps {
            note_gap(settings, database, account, *number)?;
        }
        let counts = [(reason::SEALED, self.sealed.len()), (reason::FAILED, self.failed.len())];
        ledger.count(flow, &counts.map(|(code, count)| (code, u64::try_from(count).unwrap_or(u64::MAX))), now)?;
        Ok(())
    }
}

fn original_of<'a>(flow: &'a str, replaced: &'a Replaced<Taken, Stumble>) -> MessageRef<'a> {
    let Job { mailbox, original, .. } = &replaced.job;
    MessageRef { flow, mailbox: mailbox.name(), message: original.unique().as_bytes() }
}

/// Whether both have the name that only one should have: `new/1` and `cur/1:2,S`.
fn is_twin(job: &Job<Taken>, mailbox: &Mailbox, message: &Message) -> bool {
    let same = job.mailbox.name() == mailbox.name() && job.original.unique() == message.unique();
    same && job.original != *message
}

fn has_room(batch: &[Job<Taken>], one_more: &Job<Taken>) -> bool {
    let octets = batch.iter().chain([one_more]).fold(0_u64, |sum, job| sum.saturating_add(job.item.size));
    batch.is_empty() || (batch.len() < BATCH_MESSAGES && octets <= BATCH_OCTETS)
}

/// First wait after a failure, seconds.
const FIRST_WAIT: i64 = 5 * 60;
/// Longest wait, seconds.
const LONGEST_WAIT: i64 = 24 * 60 * 60;

/// Five minutes, then four times as long each time, at most a day.
fn retry_at(attempts_before: u32, now: UnixSeconds) -> UnixSeconds {
    let factor = 4_i64.saturating_pow(attempts_before);
    let wait = FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
    UnixSeconds(now.0.saturating_add(wait))
}

impl From<rusqlite::Error> for PumpError {
    fn from(error: rusqlite::Error) -> PumpError {
        PumpError::Ledger(error.into())
    }
}

impl From<LedgerError> for PumpError {
    fn from(error: LedgerError) -> PumpError {
        PumpError::Ledger(error)
    }
}

impl From<JournalError> for PumpError {
    fn from(error: JournalError) -> PumpError {
        PumpError::Replace(error.into())
    }
}

impl From<ReplaceError> for PumpError {
    fn from(error: ReplaceError) -> PumpError {
        PumpError::Replace(error)
    }
}
