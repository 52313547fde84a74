//! A batch of replacements on a server, every step in its order (format §12.2).
//!
//! In: messages of the selected mailbox, and somebody who writes a copy of one and proves it. Out: what came of each. A
//! step is one command, or one pipelined bundle of them, for the whole batch. Any error of the connection ends the batch;
//! the journal then knows how far it may be, and [`recover`](super::recover) goes on. The last word,
//! [`State::Done`](crate::journal::State), is left to the caller, who has more to note in the same transaction. Never
//! removes an original without a proof that was made from the copy as fetched back; never touches flags of others.

mod run;

mod put;
mod settle;
mod astray;

use super::desk::Desk;
use super::mailbox::Mailbox;
use super::place::Key;
use super::remake::{Ending, Job, LOCK, Remake, Replaced};
use super::remove::Removal;
use crate::clock::UnixSeconds;
use crate::database::Database;
use crate::journal::{Begin, Journal, JournalError, RowId};
use crate::step::Step;
use run::{Entry, Run};

pub(super) use run::to_trash;
pub use run::{Batch, BatchError};

impl<'a, T: Send + Sync> Batch<'a, T> {
    /// Writes the batch into the journal. `validity` is the source's UIDVALIDITY.
    #[expect(clippy::too_many_arguments, reason = "each is one thing that a batch is made of")]
    pub fn begin(
        database: &'a Database,
        flow: &str,
        source: &Mailbox,
        target: &Mailbox,
        mailboxes: &'a [Mailbox],
        validity: u32,
        jobs: Vec<Job<T>>,
        now: UnixSeconds,
    ) -> Result<Batch<'a, T>, JournalError> {
        let keys: Vec<[u8; 8]> = jobs.iter().map(|job| Key { validity, uid: job.uid }.to_octets()).collect();
        let rows: Vec<Begin<'_>> = jobs
            .iter()
            .zip(&keys)
            .map(|(job, key)| Begin { mailbox: source.name(), original: key, copy: b"", expectation: &job.note })
            .collect();
        let rows = Journal::on(database).begin(flow, &rows, now)?;
        let entries = jobs.into_iter().zip(rows).map(|(job, row)| Entry { job, row, validity }).collect();
        let (source, target) = (source.clone(), target.clone());
        Ok(Batch { database, source, target, mailboxes, entries, now })
    }

    /// Takes every step. `desk` works in the source; `into` in the target, when that is another mailbox. The results come in
    /// the order of the jobs.
    pub fn run<R: Remake<Item = T>>(
        self,
        desk: &mut Desk,
        into: Option<&mut Desk>,
        removal: &Removal,
        how: &R,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Vec<Replaced<T, R::Error>>, BatchError> {
        let endings = (0..self.entries.len()).map(|_| None).collect();
        desk.turn_to(&self.source)?;
        if self.entries.iter().any(|entry| desk.validity().ok() != Some(entry.validity)) {
            return Err(BatchError::Validity);
        }
        let locked = desk.can_lock(LOCK);
        let conditional = desk.is_conditional();
        let mut run = Run { batch: &self, desk, into, removal, how, watch, endings, locked, conditional };
        run.all()?;
        let endings = run.endings;
        let ended = self.entries.into_iter().zip(endings);
        Ok(ended
            .map(|(Entry { job, row, .. }, ending)| Replaced { job, row, ending: ending.unwrap_or(Ending::Unsettled) })
            .collect())
    }
}

impl<R: Remake> Run<'_, '_, R> {
    fn all(&mut self) -> Result<(), BatchError> {
        (self.watch)(Step::Begun);
        let open = self.lock()?;
        (self.watch)(Step::Locked);
        let taken = self.take(open)?;
        (self.watch)(Step::Taken);
        let mut made = self.make(taken);
        (self.watch)(Step::Written);
        self.keep(&mut made);
        let from_uid = self.publish(&mut made)?;
        (self.watch)(Step::Expected);
        let stored = self.store(made, from_uid)?;
        (self.watch)(Step::Published);
        let (proven, strays) = self.read_back(stored)?;
        let shows = !proven.is_empty();
        (self.watch)(Step::Proven);
        let proven = self.give_way(proven, from_uid)?;
        let (here, vanished) = self.carry(proven)?;
        (self.watch)(Step::Carried);
        let rows: Vec<RowId> = here.iter().filter_map(|copy| Some(self.entry(copy.index)?.row)).collect();
        let announced = Journal::on(self.batch.database).announce(&rows, self.batch.now)?;
        (self.watch)(Step::Announced);
        let (removed, late) = self.remove(here, &announced)?;
        (self.watch)(Step::RetiredDurably);
        self.settle(removed)?;
        self.bury(vanished.into_iter().chain(late).collect())?;
        self.follow_copies(strays, shows)?;
        self.unlock()
    }
}
