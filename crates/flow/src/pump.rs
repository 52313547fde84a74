//! Take, seal, put, settle: what this program is for.
//!
//! In: a carrier, which knows where mail lies. Out: its mail sealed. A message is *taken* when it lies open and nothing speaks
//! against it; *sealed* to its owner's keys; *put* beside its original and read back from there; and only then, against the
//! receipt, *settled*: the original goes. Between any two of these steps the process may die, and recovery goes on.
//!
//! Never more than a batch is under way, so memory does not grow with the mailbox. One message that fails is noted, tried
//! again later, and hinders no other.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use sealed::identity::{AccountId, Hash};
use store::imap::BatchError;
use store::journal::{JournalError, RowId, State};
use store::ledger::{Code, LedgerError, MessageRef, Verdict};
use store::replace::ReplaceError;
use store::{Database, Halt, Journal, Ledger, UnixSeconds};

use crate::progress::Progress;
use crate::reason;
use crate::settings::Settings;
use crate::survey::Count;

/// Messages of one batch.
pub(crate) const BATCH_MESSAGES: usize = 128;
/// Octets of one batch; a larger message is a batch of its own.
pub(crate) const BATCH_OCTETS: u64 = 4 * 1024 * 1024;

/// Knows where mail lies, how it is read, and how a copy takes its original's place there.
pub(crate) trait Carrier {
    /// A message.
    type Message: PartialEq;
    /// What the journal knows and nothing is done of yet.
    type Batch;

    /// The next message, whatever it is.
    fn next(&mut self) -> Result<Option<Named<Self::Message>>, PumpError>;
    /// Take: its size and its earlier attempts, if it lies open and nothing speaks against it.
    fn look(&mut self, message: &mut Named<Self::Message>) -> Result<Option<Taken>, PumpError>;
    /// Writes a batch, whose mail is of one mailbox if [`is_by_mailbox`](Carrier::is_by_mailbox), into the journal.
    fn begin(
        &mut self,
        batch: Vec<(Named<Self::Message>, Taken)>,
        now: UnixSeconds,
    ) -> Result<Self::Batch, JournalError>;
    /// Seal and put: every step up to the last word in the journal.
    fn carry(&mut self, batch: Self::Batch, progress: &mut dyn Progress) -> Result<Vec<Carried>, PumpError>;
    /// Whether a batch must not reach beyond one mailbox.
    fn is_by_mailbox(&self) -> bool;
}

/// A message with its name: what stays when its flags change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<M> {
    pub(crate) mailbox: String,
    pub(crate) name: Vec<u8>,
    pub(crate) message: M,
}

/// What a message brings along.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// Octets.
    pub(crate) size: u64,
    /// When it arrived.
    pub(crate) modified: UnixSeconds,
    /// How often it failed before.
    pub(crate) attempts: u32,
    /// Its running number, reserved in the ledger (A9).
    pub(crate) sequence: u64,
}

/// One message of a batch, and what came of it.
pub(crate) struct Carried {
    pub(crate) row: RowId,
    pub(crate) mailbox: String,
    pub(crate) name: Vec<u8>,
    pub(crate) taken: Taken,
    pub(crate) came: Came,
}

/// What came of a message.
pub(crate) enum Came {
    /// Its copy stands in its place.
    Sealed(Copy),
    /// It is left alone after all; whether its number went with no copy.
    Left(Code, Gap),
    /// No copy stays; it is tried again later.
    Failed(Code),
    /// Nothing can be written at all.
    Halted(Halt),
    /// Both are there: recovery will settle it.
    Unsettled,
}

/// Whether a running number went with its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Yes,
    No,
}

/// Where a sealed copy is.
pub(crate) struct Copy {
    pub(crate) mailbox: String,
    pub(crate) name: Vec<u8>,
    /// What tells that it needs nothing more.
    pub(crate) digest: Hash,
    /// Its id, where copies are found by it.
    pub(crate) mark: Option<Vec<u8>>,
}

/// What it takes to move mail.
pub(crate) struct Pump<'a, P> {
    pub(crate) settings: &'a Settings,
    pub(crate) database: &'a Database,
    pub(crate) account: AccountId,
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
    Imap(BatchError),
}

/// A message that was taken.
type One<M> = (Named<M>, Taken);
type Batch<M> = Vec<One<M>>;

impl<P: Progress> Pump<'_, P> {
    /// Moves everything that is to be moved.
    pub(crate) fn run<C: Carrier>(&mut self, carrier: &mut C) -> Result<(), PumpError> {
        match self.all(carrier) {
            Err(PumpError::Interrupted) => {
                self.moved.interrupted = true;
                Ok(())
            }
            other => other,
        }
    }

    fn all<C: Carrier>(&mut self, carrier: &mut C) -> Result<(), PumpError> {
        let mut batch = Vec::new();
        while let Some(message) = carrier.next()? {
            // The journal knows a message by its name: twins one after the other.
            let crosses = |(other, _): &(Named<C::Message>, Taken)| {
                (carrier.is_by_mailbox() && other.mailbox != message.mailbox) || is_twin(other, &message)
            };
            if batch.iter().any(crosses) {
                self.move_on(carrier, &mut batch)?;
            }
            if let Some((message, taken)) = self.take(carrier, message)? {
                if !has_room(&batch, &taken) {
                    self.move_on(carrier, &mut batch)?;
                }
                batch.push((message, taken));
            }
        }
        self.move_on(carrier, &mut batch)
    }

    /// Take: the message, if it lies open and nothing speaks against it.
    fn take<C: Carrier>(
        &mut self,
        carrier: &mut C,
        mut message: Named<C::Message>,
    ) -> Result<Option<One<C::Message>>, PumpError> {
        let name = (message.mailbox.clone(), message.name.clone());
        if self.underway.contains(&name) {
            return Ok(None);
        }
        let Some(taken) = carrier.look(&mut message)? else {
            return Ok(None);
        };
        self.underway.insert(name);
        Ok(Some((message, taken)))
    }

    /// Seal, put and settle a batch.
    fn move_on<C: Carrier>(&mut self, carrier: &mut C, batch: &mut Batch<C::Message>) -> Result<(), PumpError> {
        self.check_stops()?;
        if batch.is_empty() {
            return Ok(());
        }
        let now = UnixSeconds::now();
        // The journal knows of everything before it exists.
        let begun = self.begin(carrier, std::mem::take(batch), now)?;
        // Sealed on all cores, put, read back, opened with the session key; the originals removed against the receipts.
        let carried = carrier.carry(begun, self.progress)?;
        self.settle(&carried, now)
    }

    /// Gives each message its running number and writes the batch into the journal, in one transaction.
    fn begin<C: Carrier>(
        &self,
        carrier: &mut C,
        mut batch: Batch<C::Message>,
        now: UnixSeconds,
    ) -> Result<C::Batch, PumpError> {
        let (settings, database) = (self.settings, self.database);
        let sealer = settings.sealer.public().octets();
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        database.together(|| {
            let numbers = Ledger::on(database).reserve(sealer, &self.account.0, &settings.name, count)?;
            for ((_, taken), number) in batch.iter_mut().zip(numbers) {
                taken.sequence = number;
            }
            Ok(carrier.begin(batch, now)?)
        })
    }

    /// Settle: what came of each message goes into the journal and the ledger, in one transaction.
    fn settle(&mut self, carried: &[Carried], now: UnixSeconds) -> Result<(), PumpError> {
        let mut book = Book::default();
        let mut halt = None;
        for one in carried {
            let Carried { row, mailbox, name, taken, came } = one;
            if !matches!(came, Came::Unsettled) {
                book.over.push(*row);
                self.underway.remove(&(mailbox.clone(), name.clone()));
            }
            match came {
                Came::Sealed(copy) => {
                    self.moved.sealed.add(taken.size);
                    self.progress.done(taken.size);
                    book.sealed.push((one, copy));
                }
                Came::Left(reason, gap) => {
                    if *gap == Gap::Yes {
                        book.gaps.push(taken.sequence);
                    }
                    self.skip(*reason);
                }
                Came::Failed(reason) => {
                    book.gaps.push(taken.sequence);
                    book.failed.push((one, *reason, retry_at(*reason, taken.attempts, now)));
                    self.fail(*reason);
                }
                Came::Halted(why) => {
                    book.gaps.push(taken.sequence);
                    halt = Some(*why);
                }
                Came::Unsettled => self.moved.unsettled = self.moved.unsettled.saturating_add(1),
            }
        }
        self.database.together(|| book.write(self.settings, self.database, self.account, now))?;
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
    sealed: Vec<(&'a Carried, &'a Copy)>,
    failed: Vec<(&'a Carried, Code, UnixSeconds)>,
    gaps: Vec<u64>,
}

impl Book<'_> {
    fn write(
        &self,
        settings: &Settings,
        database: &Database,
        account: AccountId,
        now: UnixSeconds,
    ) -> Result<(), PumpError> {
        let ledger = Ledger::on(database);
        let flow = settings.name.as_str();
        Journal::on(database).advance(&self.over, State::Done, now)?;
        let originals = self.sealed.iter().map(|(carried, _)| original_of(flow, carried));
        ledger.forget(&originals.collect::<Vec<_>>())?;
        let copies: Vec<(MessageRef<'_>, &Copy)> = self
            .sealed
            .iter()
            .map(|(_, copy)| (MessageRef { flow, mailbox: &copy.mailbox, message: &copy.name }, *copy))
            .collect();
        let sealed = copies.iter().map(|(message, copy)| (*message, Verdict::Sealed(copy.digest)));
        let failed = self
            .failed
            .iter()
            .map(|(carried, reason, retry_at)| (original_of(flow, carried), Verdict::Failed(*reason, *retry_at)));
        ledger.remember(&sealed.chain(failed).collect::<Vec<_>>(), now)?;
        let marked = copies.iter().filter_map(|(message, copy)| Some((*message, copy.mark.as_deref()?)));
        ledger.note_copies(&marked.collect::<Vec<_>>())?;
        for number in &self.gaps {
            note_gap(settings, database, account, *number)?;
        }
        let counts = [(reason::SEALED, self.sealed.len()), (reason::FAILED, self.failed.len())];
        ledger.count(flow, &counts.map(|(code, count)| (code, u64::try_from(count).unwrap_or(u64::MAX))), now)?;
        Ok(())
    }
}

/// What a row of the journal holds before its copy is written: the number that was reserved for it.
pub(crate) fn note_of(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The number in a row of the journal.
pub(crate) fn number_of(expectation: &[u8]) -> Option<u64> {
    match expectation.try_into() {
        Ok(octets) => Some(u64::from_be_bytes(octets)),
        Err(_) => Some(seal::Expectation::from_octets(expectation)?.sequence),
    }
}

/// Notes that no message carries that number.
pub(crate) fn note_gap(
    settings: &Settings,
    database: &Database,
    account: AccountId,
    number: u64,
) -> Result<(), LedgerError> {
    let gap = number..number.saturating_add(1);
    Ledger::on(database).note_gap(settings.sealer.public().octets(), &account.0, gap)
}

fn original_of<'a>(flow: &'a str, carried: &'a Carried) -> MessageRef<'a> {
    MessageRef { flow, mailbox: &carried.mailbox, message: &carried.name }
}

/// Whether both have the name that only one should have: `new/1` and `cur/1:2,S`.
fn is_twin<M: PartialEq>(one: &Named<M>, other: &Named<M>) -> bool {
    one.mailbox == other.mailbox && one.name == other.name && one.message != other.message
}

fn has_room<M>(batch: &[(Named<M>, Taken)], one_more: &Taken) -> bool {
    let octets = batch.iter().map(|(_, taken)| taken.size).fold(one_more.size, u64::saturating_add);
    batch.is_empty() || (batch.len() < BATCH_MESSAGES && octets <= BATCH_OCTETS)
}

/// First wait after a failure, seconds.
const FIRST_WAIT: i64 = 5 * 60;
/// Longest wait, seconds.
const LONGEST_WAIT: i64 = 24 * 60 * 60;
/// What another sealer has locked is looked at again after this time (A13), seconds.
pub(crate) const LOCK_WAIT: i64 = 15 * 60;

/// Five minutes, then four times as long each time, at most a day.
fn retry_at(reason: Code, attempts_before: u32, now: UnixSeconds) -> UnixSeconds {
    let factor = 4_i64.saturating_pow(attempts_before);
    let wait = match reason == reason::LOCKED {
        true => LOCK_WAIT,
        false => FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT),
    };
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

impl From<BatchError> for PumpError {
    fn from(error: BatchError) -> PumpError {
        match error {
            BatchError::Journal(error) => error.into(),
            error => PumpError::Imap(error),
        }
    }
}
