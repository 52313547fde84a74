//! Carries the mail of an account for the pump.
//!
//! In: a session, what was found to lie open. Out: batches brought to their end by `store`. Never decides what is sealed.

use std::collections::VecDeque;

use sealed::identity::Hash;
use store::imap::{Batch, Desk, Ending, Failure, Job, Key, Mailbox, Removal, Replaced, parse_date};
use store::journal::JournalError;
use store::{Database, UnixSeconds};

use super::look::Candidate;
use super::sink::{Item, Sink};
use crate::progress::Progress;
use crate::pump::{Came, Carried, Carrier, Copy, Gap, Named, PumpError, Taken, note_of};
use crate::reason;
use crate::standing::Judge;
use crate::stumble::Stumble;

/// One mailbox of an account under the pump.
pub(crate) struct ImapCarrier<'a> {
    pub(crate) flow: &'a str,
    pub(crate) database: &'a Database,
    pub(crate) judge: &'a Judge<'a>,
    pub(crate) desk: &'a mut Desk,
    /// Works in the target, where that is another mailbox.
    pub(crate) into: Option<&'a mut Desk>,
    pub(crate) removal: &'a Removal,
    pub(crate) mailboxes: &'a [Mailbox],
    pub(crate) source: Mailbox,
    pub(crate) target: Mailbox,
    pub(crate) validity: u32,
    pub(crate) sink: Sink<'a>,
    pub(crate) open: VecDeque<Candidate>,
}

impl<'a> Carrier for ImapCarrier<'a> {
    type Message = Candidate;
    type Batch = Batch<'a, Item>;

    fn next(&mut self) -> Result<Option<Named<Candidate>>, PumpError> {
        let next = self.open.pop_front();
        Ok(next.map(|message| {
            let name = self.name_of(message.uid);
            Named { mailbox: self.source.name().to_owned(), name, message }
        }))
    }

    fn look(&mut self, message: &mut Named<Candidate>) -> Result<Option<Taken>, PumpError> {
        // It was looked at when it was listed, and is again when it is locked.
        let Candidate { size, modified, attempts, .. } = message.message;
        Ok(Some(Taken { size, modified, attempts, sequence: 0 }))
    }

    fn begin(
        &mut self,
        batch: Vec<(Named<Candidate>, Taken)>,
        now: UnixSeconds,
    ) -> Result<Batch<'a, Item>, JournalError> {
        let job = |(Named { message, .. }, taken): (Named<Candidate>, Taken)| Job {
            uid: message.uid,
            note: note_of(taken.sequence),
            item: Item { taken, insists: message.insists },
        };
        let jobs = batch.into_iter().map(job).collect();
        let (database, mailboxes) = (self.database, self.mailboxes);
        Batch::begin(database, self.flow, &self.source, &self.target, mailboxes, self.validity, jobs, now)
    }

    fn carry(&mut self, batch: Batch<'a, Item>, progress: &mut dyn Progress) -> Result<Vec<Carried>, PumpError> {
        let into = self.into.as_deref_mut();
        let replaced = batch.run(self.desk, into, self.removal, &self.sink, &mut |step| progress.step(step))?;
        Ok(replaced.into_iter().map(|one| self.carried(one)).collect())
    }

    fn is_by_mailbox(&self) -> bool {
        true
    }
}

impl ImapCarrier<'_> {
    fn name_of(&self, uid: u32) -> Vec<u8> {
        Key { validity: self.validity, uid }.to_octets().to_vec()
    }

    fn carried(&self, replaced: Replaced<Item, Stumble>) -> Carried {
        let Replaced { job, row, ending } = replaced;
        let came = match ending {
            Ending::Replaced { copy, mark, length, internal_date, twins } => {
                // Not remembered where there is an older one: the next look finds both, and the lower UID stays.
                let is_alone = twins.is_empty();
                let digest = self.digest(length, internal_date.as_deref());
                Came::Sealed(Copy {
                    mailbox: self.target.name().to_owned(),
                    name: copy.to_octets().to_vec(),
                    digest: if is_alone { digest } else { Hash::default() },
                    mark: is_alone.then_some(mark),
                })
            }
            Ending::MovedElsewhere => Came::Left(reason::GONE, Gap::Yes),
            Ending::Expunged | Ending::MovedAlong => Came::Left(reason::GONE, Gap::No),
            Ending::CopyExpunged => Came::Left(reason::GONE, Gap::Yes),
            Ending::Vanished => Came::Left(reason::GONE, Gap::Yes),
            Ending::Failed(failure) => came_of(&failure),
            Ending::Unsettled => Came::Unsettled,
        };
        let (mailbox, name) = (self.source.name().to_owned(), self.name_of(job.uid));
        Carried { row, mailbox, name, taken: job.item.taken, came }
    }

    fn digest(&self, length: u64, internal_date: Option<&str>) -> Hash {
        self.judge.digest(length, internal_date.and_then(parse_date).unwrap_or(UnixSeconds(0)))
    }
}

fn came_of(failure: &Failure<Stumble>) -> Came {
    let reason = match failure {
        Failure::Refused(Stumble::Leave(reason)) => return Came::Left(*reason, Gap::Yes),
        Failure::Refused(Stumble::Halt(why)) => return Came::Halted(*why),
        Failure::Refused(Stumble::Fail(reason)) => *reason,
        Failure::Locked => reason::LOCKED,
        Failure::Unreadable => reason::UNREADABLE,
        Failure::Scratch => reason::UNWRITABLE,
        Failure::TooLarge => reason::APPEND_LIMIT,
        Failure::Quota => reason::QUOTA,
        Failure::Rejected => reason::REJECTED,
        Failure::NoCopy => reason::NO_COPY,
        Failure::Merged => reason::MERGED,
        Failure::Date => reason::DATE,
        Failure::Flags => reason::FLAGS,
        Failure::Restless => reason::RESTLESS,
    };
    Came::Failed(reason)
}
