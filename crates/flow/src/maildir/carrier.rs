//! Carries the mail of a Maildir for the pump.
//!
//! In: the mailboxes of a flow. Out: each message, and batches brought to their end by `store`. Never decides what is sealed.

use store::journal::JournalError;
use store::{Batch, Database, Ending, Job, Mailbox, Message, Outcome, Replaced, Replacer, UnixSeconds};

use super::in_place::{InPlace, stumble_of};
use super::look::Looker;
use super::recovery::is_gap;
use super::source::Walk;
use crate::progress::Progress;
use crate::pump::{Came, Carried, Carrier, Copy, Gap, Named, PumpError, Taken, note_of};
use crate::reason;
use crate::standing::Standing;
use crate::stumble::Stumble;

/// A Maildir under the pump.
pub(crate) struct MaildirCarrier<'a> {
    pub(crate) flow: &'a str,
    pub(crate) replacer: &'a Replacer,
    pub(crate) database: &'a Database,
    pub(crate) looker: &'a Looker<'a>,
    pub(crate) sink: InPlace<'a>,
    pub(crate) walk: Walk<'a>,
}

impl<'a> Carrier for MaildirCarrier<'a> {
    type Message = (Mailbox, Message);
    type Batch = Batch<'a, Taken>;

    fn next(&mut self) -> Result<Option<Named<(Mailbox, Message)>>, PumpError> {
        loop {
            match self.walk.next() {
                None => return Ok(None),
                Some((_, Err(_))) => {}
                Some((mailbox, Ok(message))) => {
                    let name = message.unique().as_bytes().to_vec();
                    let (mailbox, message) = (mailbox.name().to_owned(), (mailbox.clone(), message));
                    return Ok(Some(Named { mailbox, name, message }));
                }
            }
        }
    }

    fn look(&mut self, message: &mut Named<(Mailbox, Message)>) -> Result<Option<Taken>, PumpError> {
        let (mailbox, message) = &mut message.message;
        let Some(sight) = self.looker.look(mailbox, message)? else {
            return Ok(None);
        };
        let Standing::Open(open) = sight.standing else {
            return Ok(None);
        };
        Ok(Some(Taken { size: sight.size, modified: sight.modified, attempts: open.attempts, sequence: 0 }))
    }

    fn begin(
        &mut self,
        batch: Vec<(Named<(Mailbox, Message)>, Taken)>,
        now: UnixSeconds,
    ) -> Result<Batch<'a, Taken>, JournalError> {
        let job = |(Named { message: (mailbox, original), .. }, item): (_, Taken)| Job {
            mailbox,
            original,
            note: note_of(item.sequence),
            item,
        };
        let jobs = batch.into_iter().map(job).collect();
        Batch::begin(self.replacer, self.database, self.flow, jobs, now)
    }

    fn carry(&mut self, batch: Batch<'a, Taken>, progress: &mut dyn Progress) -> Result<Vec<Carried>, PumpError> {
        let replaced = batch.run(&self.sink, &mut |step| progress.step(step))?;
        Ok(replaced.into_iter().map(|one| self.carried(one)).collect())
    }

    fn is_by_mailbox(&self) -> bool {
        false
    }
}

impl MaildirCarrier<'_> {
    fn carried(&self, replaced: Replaced<Taken, Stumble>) -> Carried {
        let Replaced { job, row, copy, ending } = replaced;
        let (mailbox, name) = (job.mailbox.name().to_owned(), job.original.unique().as_bytes().to_vec());
        let came = match ending {
            Ending::Settled { outcome: Outcome::Replaced, length } => Came::Sealed(Copy {
                mailbox: mailbox.clone(),
                name: copy.as_bytes().to_vec(),
                digest: self.looker.digest(length, job.item.modified),
                mark: None,
            }),
            Ending::Settled { outcome, .. } if is_gap(outcome) => Came::Left(reason::GONE, Gap::Yes),
            Ending::Settled { .. } => Came::Left(reason::GONE, Gap::No),
            Ending::Vanished => Came::Left(reason::GONE, Gap::Yes),
            Ending::Failed(failure) => match stumble_of(&failure) {
                Stumble::Leave(reason) => Came::Left(reason, Gap::Yes),
                Stumble::Fail(reason) => Came::Failed(reason),
                Stumble::Halt(why) => Came::Halted(why),
            },
            Ending::Unsettled(_) => Came::Unsettled,
        };
        Carried { row, mailbox, name, taken: job.item, came }
    }
}
