//! The owner was at work on the same messages: what was moved or expunged while its batch was under way.
//!
//! In: copies whose originals went, originals whose copies went. Out: one message stands for both, where its owner put it.
//! Never removes an original but against the proof of its copy; never takes a message for deleted that a server only fails
//! to show.

use wire::imap::UidSet;

use super::run::{BatchError, Run, to_trash};
use crate::imap::find::{self, Found};
use crate::imap::flags::{self, Changes};
use crate::imap::mailbox::Mailbox;
use crate::imap::remake::{Ending, Failure, LOCK, Remake};
use crate::imap::remove::{deleted, ignore, remaining};
use crate::imap::stages::{ProvedCopy, Stored};
use crate::journal::Journal;

impl<R: Remake> Run<'_, '_, R> {
    /// Step 9b: somebody moved or expunged the original while we were at work.
    pub(super) fn bury(&mut self, vanished: Vec<ProvedCopy<R::Proof>>) -> Result<(), BatchError> {
        for copy in vanished {
            let (index, one) = (copy.index, std::iter::once(copy.uid).collect());
            let ending = match self.find_original(&copy)? {
                Some(found) => {
                    self.withdraw(&one)?;
                    self.free(&found, copy.flagged)?;
                    Ending::MovedElsewhere
                }
                None => {
                    let mailboxes = self.batch.mailboxes;
                    to_trash(self.target()?, mailboxes, &one)?;
                    Ending::Expunged
                }
            };
            self.end(index, ending);
        }
        Ok(())
    }

    fn find_original(&mut self, copy: &ProvedCopy<R::Proof>) -> Result<Option<Found>, BatchError> {
        let (how, others) = (self.how, all_but(self.batch.mailboxes, &self.batch.source));
        let is_it = |scratch| {
            let octets = how.finish(scratch).and_then(|mut octets| how.fingerprint(&mut octets));
            octets.is_ok_and(|found| found == copy.fingerprint)
        };
        let scratch = |length| how.scratch(length);
        let found = find::elsewhere(self.desk.session(), &others, copy.original_length, scratch, is_it)?;
        self.desk.reopen(&self.batch.source)?;
        Ok(found)
    }

    /// A message that was moved took our lock along, and our `\Deleted` if it was `flagged`.
    fn free(&mut self, found: &Found, flagged: bool) -> Result<(), BatchError> {
        let mut ours = Vec::new();
        ours.extend(self.locked.then(|| LOCK.to_owned()));
        ours.extend(flagged.then(deleted));
        if !ours.is_empty() {
            self.desk.reopen(&found.mailbox)?;
            let one = std::iter::once(found.uid).collect();
            self.desk.session().uid_store(&one, None, "-FLAGS.SILENT", &ours, ignore)?;
            self.desk.reopen(&self.batch.source)?;
        }
        Ok(())
    }

    /// Step 9c: copies that the server stored and does not show. `shows`: it shows others that it stored in the same moment.
    pub(super) fn follow_copies(&mut self, strays: Vec<Stored<R::Kept>>, shows: bool) -> Result<(), BatchError> {
        // Without marks it may have been moved and is not to be found.
        let shows = shows && !self.how.fields().is_empty();
        for stray in strays {
            let index = stray.index;
            let ending = match self.find_copy(&stray)? {
                Some(found) => self.settle_moved(stray, &found)?,
                // Somebody expunged it, and meant the message.
                None if shows => self.bin(index)?,
                None => Ending::Failed(Failure::NoCopy),
            };
            self.end(index, ending);
        }
        Ok(())
    }

    fn find_copy(&mut self, stray: &Stored<R::Kept>) -> Result<Option<Found>, BatchError> {
        let (how, others) = (self.how, all_but(self.batch.mailboxes, &self.batch.target));
        let (fields, mark) = (how.fields(), &stray.written.mark);
        if fields.is_empty() || mark.is_empty() {
            return Ok(None);
        }
        let is_it = |header: &[u8]| how.mark_of(header).as_ref() == Some(mark);
        let found = find::marked_elsewhere(self.desk.session(), &others, stray.length, fields, is_it)?;
        self.desk.reopen(&self.batch.source)?;
        Ok(found)
    }

    /// The copy was moved: proven where it is now, it is as good as in its place.
    fn settle_moved(&mut self, stray: Stored<R::Kept>, found: &Found) -> Result<Ending<R::Error>, BatchError> {
        let Stored { index, written, original, place, .. } = stray;
        let copy: UidSet = std::iter::once(found.uid).collect();
        let one = self.uids([index]);
        let Some(entry) = self.batch.entries.get(index) else { return Ok(Ending::Unsettled) };
        self.desk.reopen(&found.mailbox)?;
        let fetched = self.fetch_copy(found.uid)?;
        let proof = fetched.and_then(|mut octets| self.how.prove(written.kept, &mut octets).ok());
        self.desk.reopen(&self.batch.source)?;
        let Some(proof) = proof else { return Ok(Ending::Failed(Failure::NoCopy)) };
        let Some(now) = self.look(&one)?.remove(&self.uid(index)) else { return Ok(Ending::MovedAlong) };
        if let Err(error) = self.how.may(&entry.job, &now.flags) {
            return Ok(Ending::Failed(Failure::Refused(error)));
        }
        let Changes { added, removed } = Changes::between(&original.flags, &flags::to_carry(&now.flags, LOCK));
        if !added.is_empty() || !removed.is_empty() {
            self.desk.reopen(&found.mailbox)?;
            for (item, flags) in [("+FLAGS.SILENT", added), ("-FLAGS.SILENT", removed)] {
                if !flags.is_empty() {
                    self.desk.session().uid_store(&copy, None, item, &flags, ignore)?;
                }
            }
            self.desk.reopen(&self.batch.source)?;
        }
        let announced = Journal::on(self.batch.database).announce(&[entry.row], self.batch.now)?;
        if !announced.covers(&place) {
            return Ok(Ending::Unsettled);
        }
        self.removal.remove(self.desk, &one)?;
        drop(proof);
        if remaining(self.desk.session(), &one)?.is_empty() {
            return Ok(Ending::MovedAlong);
        }
        self.desk.session().uid_store(&one, None, "-FLAGS.SILENT", &[deleted()], ignore)?;
        Ok(Ending::Unsettled)
    }

    /// What its owner deleted in the shape of its copy goes to the Trash: neither risen from the dead nor lost.
    fn bin(&mut self, index: usize) -> Result<Ending<R::Error>, BatchError> {
        let one = self.uids([index]);
        let Some(entry) = self.batch.entries.get(index) else { return Ok(Ending::Unsettled) };
        let Some(now) = self.look(&one)?.remove(&self.uid(index)) else { return Ok(Ending::Vanished) };
        if let Err(error) = self.how.may(&entry.job, &now.flags) {
            return Ok(Ending::Failed(Failure::Refused(error)));
        }
        if self.locked {
            self.desk.session().uid_store(&one, None, "-FLAGS.SILENT", &[LOCK.to_owned()], ignore)?;
        }
        let mailboxes = self.batch.mailboxes;
        to_trash(self.desk, mailboxes, &one)?;
        let stays = !remaining(self.desk.session(), &one)?.is_empty();
        Ok(if stays { Ending::Failed(Failure::NoCopy) } else { Ending::CopyExpunged })
    }

    fn fetch_copy(&mut self, uid: u32) -> Result<Option<R::Octets>, BatchError> {
        let (how, mut octets) = (self.how, None);
        let one: UidSet = std::iter::once(uid).collect();
        let scratch = |length| how.scratch(length);
        self.desk.session().uid_fetch(&one, "UID BODY.PEEK[]", scratch, |fetched| {
            if let Some(Ok(scratch)) = fetched.body.filter(|_| fetched.uid == uid) {
                octets = how.finish(scratch).ok();
            }
        })?;
        Ok(octets)
    }
}

fn all_but<'m>(mailboxes: &'m [Mailbox], mailbox: &Mailbox) -> Vec<&'m Mailbox> {
    mailboxes.iter().filter(|other| *other != mailbox).collect()
}
