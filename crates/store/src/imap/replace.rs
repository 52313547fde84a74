//! A batch of replacements on a server, every step in its order (format §12.2).
//!
//! In: messages of the selected mailbox, and somebody who writes a copy of one and proves it. Out: what came of each. A
//! step is one command, or one pipelined bundle of them, for the whole batch. Any error of the connection ends the batch;
//! the journal then knows how far it may be, and [`recover`](super::recover) goes on. The last word,
//! [`State::Done`](crate::journal::State), is left to the caller, who has more to note in the same transaction. Never
//! removes an original without a proof that was made from the copy as fetched back; never touches flags of others.

use std::collections::HashMap;
use std::io::{self, Read, Seek};

use wire::imap::{Append, AppendUid, Code, Fetched, ImapError, UidSet};

use super::desk::{Desk, DeskError};
use super::find;
use super::flags;
use super::mailbox::Mailbox;
use super::place::{Key, Whereabouts};
use super::remake::{Ending, Failure, Job, LOCK, Original, Remake, Replaced, Written};
use super::remove::{self, Removal, deleted, ignore, remaining};
use super::stages::{Copy, Counted, Made, Now, Orders, ProvedCopy, Stored, Taken};
use crate::clock::UnixSeconds;
use crate::cores::on_all_cores;
use crate::database::Database;
use crate::journal::{Announced, Begin, Journal, JournalError, RowId};
use crate::special::SpecialUse;
use crate::step::Step;

/// A batch that the journal knows and of which nothing is done yet.
pub struct Batch<'a, T> {
    database: &'a Database,
    source: Mailbox,
    target: Mailbox,
    /// The account's, to find what was moved.
    mailboxes: &'a [Mailbox],
    entries: Vec<Entry<T>>,
    now: UnixSeconds,
}

/// Why a batch was broken off. Nothing is lost: recover.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The server, or the way to it.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The source lives under another UIDVALIDITY now.
    #[error("the mailbox was made anew meanwhile")]
    Validity,
}

impl From<ImapError> for BatchError {
    fn from(error: ImapError) -> BatchError {
        BatchError::Desk(error.into())
    }
}

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

struct Entry<T> {
    job: Job<T>,
    row: RowId,
    validity: u32,
}

struct Run<'r, 'a, R: Remake> {
    batch: &'r Batch<'a, R::Item>,
    desk: &'r mut Desk,
    into: Option<&'r mut Desk>,
    removal: &'r Removal,
    how: &'r R,
    watch: &'r mut dyn FnMut(Step),
    endings: Vec<Option<Ending<R::Error>>>,
    locked: bool,
    conditional: bool,
}

/// Rounds in which flags are carried over before a message counts as restless.
const ROUNDS: usize = 5;

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
        let proven = self.read_back(stored)?;
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
        self.unlock()
    }

    fn entry(&self, index: usize) -> Option<&Entry<R::Item>> {
        self.batch.entries.get(index)
    }

    fn uid(&self, index: usize) -> u32 {
        self.entry(index).map_or(0, |entry| entry.job.uid)
    }

    fn end(&mut self, index: usize, ending: Ending<R::Error>) {
        if let Some(place) = self.endings.get_mut(index) {
            *place = Some(ending);
        }
    }

    fn fail(&mut self, index: usize, failure: Failure<R::Error>) {
        self.end(index, Ending::Failed(failure));
    }

    /// The desk at which copies are put.
    fn target(&mut self) -> Result<&mut Desk, DeskError> {
        match &mut self.into {
            Some(into) => {
                into.turn_to(&self.batch.target)?;
                Ok(into)
            }
            None => Ok(self.desk),
        }
    }

    fn uids(&self, indexes: impl IntoIterator<Item = usize>) -> UidSet {
        indexes.into_iter().map(|index| self.uid(index)).collect()
    }

    /// Flags and MODSEQ as they are now, by UID.
    fn look(&mut self, uids: &UidSet) -> Result<HashMap<u32, Now>, BatchError> {
        let mut items = String::from("UID FLAGS");
        if self.conditional {
            items.push_str(" MODSEQ");
        }
        if self.desk.has("X-GM-EXT-1") {
            items.push_str(" X-GM-LABELS");
        }
        let mut now = HashMap::new();
        if !uids.is_empty() {
            self.desk.session().uid_fetch(uids, &items, remove::no_body, |fetched| {
                let Fetched { uid, flags, modseq, gm_labels, .. } = fetched;
                if let Some(flags) = flags.filter(|_| uids.contains(uid)) {
                    now.insert(uid, Now { flags, modseq, labels: gm_labels.unwrap_or_default() });
                }
            })?;
        }
        Ok(now)
    }

    /// Step 1: keep other sealers away. Gives the messages that are there and may be replaced.
    fn lock(&mut self) -> Result<Vec<usize>, BatchError> {
        let all: Vec<usize> = (0..self.batch.entries.len()).collect();
        let now = self.look(&self.uids(all.iter().copied()))?;
        let (mut open, mut latest) = (Vec::new(), 0);
        for index in all {
            let Some(entry) = self.batch.entries.get(index) else { continue };
            match now.get(&entry.job.uid) {
                None => self.end(index, Ending::Vanished),
                Some(Now { flags, modseq, .. }) => match self.how.may(&entry.job, flags) {
                    Err(error) => self.fail(index, Failure::Refused(error)),
                    Ok(()) if flags::has(flags, LOCK) && !self.how.insists(&entry.job) => {
                        self.fail(index, Failure::Locked);
                    }
                    Ok(()) => {
                        latest = latest.max(modseq.unwrap_or_default());
                        open.push(index);
                    }
                },
            }
        }
        if self.locked && !open.is_empty() {
            let uids = self.uids(open.iter().copied());
            let session = self.desk.session();
            let beaten = session.uid_store(&uids, Some(latest), "+FLAGS.SILENT", &[LOCK.to_owned()], ignore)?;
            let (others, ours) = open.into_iter().partition(|index| beaten.contains(self.uid(*index)));
            open = ours;
            for index in others {
                self.fail(index, Failure::Locked);
            }
        }
        Ok(open)
    }

    /// Step 2: fetch, without setting `\Seen`.
    fn take(&mut self, open: Vec<usize>) -> Result<Vec<Taken<R::Octets>>, BatchError> {
        let index_of: HashMap<u32, usize> = open.iter().map(|index| (self.uid(*index), *index)).collect();
        let items = "UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]";
        let (how, mut taken, mut bad) = (self.how, Vec::new(), Vec::new());
        let uids = self.uids(open.iter().copied());
        if !uids.is_empty() {
            let scratch = |length| how.scratch(length).map(|scratch| Counted { scratch, length: 0 });
            self.desk.session().uid_fetch(&uids, items, scratch, |fetched| {
                let Some(index) = index_of.get(&fetched.uid).copied() else { return };
                match fetched.body {
                    None => {}
                    Some(Err(_)) => bad.push((index, Failure::Scratch)),
                    Some(Ok(Counted { scratch, length })) => match how.finish(scratch) {
                        Err(_) => bad.push((index, Failure::Scratch)),
                        Ok(octets) => {
                            let flags = flags::to_carry(&fetched.flags.unwrap_or_default(), LOCK);
                            let original = Original { length, flags, internal_date: fetched.internal_date };
                            taken.push(Taken { index, octets, original });
                        }
                    },
                }
            })?;
        }
        for (index, failure) in bad {
            self.fail(index, failure);
        }
        for index in open {
            // It was there when it was locked.
            if self.endings.get(index).is_some_and(Option::is_none) && !taken.iter().any(|one| one.index == index) {
                self.end(index, Ending::Vanished);
            }
        }
        Ok(taken)
    }

    /// Step 3: write the copies, on all cores.
    fn make(&mut self, taken: Vec<Taken<R::Octets>>) -> Vec<Made<R::Kept, R::Octets>> {
        let (how, entries) = (self.how, &self.batch.entries);
        let results = on_all_cores(taken, |one: Taken<R::Octets>| (one.index, make(how, entries, one)));
        let mut made = self.sift(results);
        made.sort_by_key(|one| one.index);
        made
    }

    /// Notes those that failed; the others go on.
    #[expect(clippy::type_complexity, reason = "which message, and what came of it")]
    fn sift<V>(&mut self, results: Vec<(usize, Result<V, Failure<R::Error>>)>) -> Vec<V> {
        let mut on = Vec::new();
        for (index, result) in results {
            match result {
                Ok(value) => on.push(value),
                Err(failure) => self.fail(index, failure),
            }
        }
        on
    }

    fn keep(&mut self, made: &mut Vec<Made<R::Kept, R::Octets>>) {
        let limit = self.target().ok().and_then(|desk| desk.append_limit());
        let (fitting, too_large): (Vec<_>, Vec<_>) =
            std::mem::take(made).into_iter().partition(|one| limit.is_none_or(|limit| one.length <= limit));
        *made = fitting;
        for one in too_large {
            self.fail(one.index, Failure::TooLarge);
        }
        let mut copies: Vec<&mut R::Octets> = made.iter_mut().map(|one| &mut one.octets).collect();
        if let Err(error) = self.how.keep(&mut copies) {
            for one in std::mem::take(made) {
                self.fail(one.index, Failure::Refused(error.clone()));
            }
        }
    }

    /// The journal knows what each copy must be and where, before any is stored.
    fn publish(&mut self, made: &mut [Made<R::Kept, R::Octets>]) -> Result<u32, BatchError> {
        let target = self.target()?;
        let (validity, from_uid) = (target.validity()?, target.next()?);
        for one in made.iter_mut() {
            let place = Whereabouts {
                validity,
                from_uid,
                mark: one.written.mark.clone(),
                fingerprint: one.written.fingerprint.clone(),
                original_length: one.original.length,
                copy_length: one.length,
                flags: one.original.flags.clone(),
                mailbox: self.batch.target.name().to_owned(),
            };
            one.place = place.to_octets();
        }
        let row = |one: &Made<R::Kept, R::Octets>| {
            Some((self.entry(one.index)?.row, one.place.clone(), one.written.expectation.clone()))
        };
        let rows: Vec<(RowId, Vec<u8>, Vec<u8>)> = made.iter().filter_map(row).collect();
        Journal::on(self.batch.database).publish(&rows, self.batch.now)?;
        Ok(from_uid)
    }

    /// Steps 4 and 5: append, find.
    fn store(
        &mut self,
        mut made: Vec<Made<R::Kept, R::Octets>>,
        from_uid: u32,
    ) -> Result<Vec<Stored<R::Kept>>, BatchError> {
        let answers = self.append(&mut made)?;
        let validity = self.target()?.validity()?;
        let (mut stored, mut unknown) = (Vec::new(), Vec::new());
        for (one, answer) in made.into_iter().zip(answers) {
            let Made { index, written, length, original, place, .. } = one;
            let put = |uid| Stored { index, written, length, original, place, uid };
            match answer {
                Ok(Some(AppendUid { validity: said, uid })) if said == validity && uid >= from_uid => {
                    self.target()?.note(uid);
                    stored.push(put(uid));
                }
                // quirk: Gmail answers with the UID of the message that it already had (format §12.6).
                Ok(Some(_)) => self.fail(index, Failure::Merged),
                Ok(None) => unknown.push(put(0)),
                Err(error) => self.fail(index, rejection(&error)),
            }
        }
        let (how, fields) = (self.how, self.how.fields());
        if fields.is_empty() {
            // Without a mark it takes a look at octets: recovery does that.
            for one in std::mem::take(&mut unknown) {
                self.end(one.index, Ending::Unsettled);
            }
        }
        if !unknown.is_empty() {
            let target = self.target()?;
            target.session().noop()?;
            let found = find::marks(target.session(), from_uid, fields, |header| how.mark_of(header))?;
            for mut one in unknown {
                match found.iter().find(|(_, mark)| *mark == one.written.mark && !mark.is_empty()) {
                    Some((uid, _)) => {
                        one.uid = *uid;
                        stored.push(one);
                    }
                    None => self.fail(one.index, Failure::NoCopy),
                }
            }
        }
        Ok(stored)
    }

    /// All in one command where the server can, since it then syncs its disk once; one by one where it cannot or will not.
    fn append(
        &mut self,
        made: &mut [Made<R::Kept, R::Octets>],
    ) -> Result<Vec<Result<Option<AppendUid>, ImapError>>, BatchError> {
        let keywords = self.how.keywords();
        let name = self.batch.target.wire().clone();
        let session = self.target()?.session();
        if made.len() > 1 && session.has("MULTIAPPEND") {
            let count = made.len();
            let mut messages = appends(made, &keywords)?;
            match session.append_together(&name, &mut messages) {
                Ok(Some(uids)) if uids.len() == count => {
                    return Ok(uids.into_iter().map(|uid| Ok(Some(uid))).collect());
                }
                Ok(_) => return Ok((0..count).map(|_| Ok(None)).collect()),
                // None of them was stored (RFC 3502): which one is it?
                Err(error) if error.is_refusal() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut messages = appends(made, &keywords)?;
        session.append(&name, &mut messages).map_err(|lost| lost.error.into())
    }

    /// Step 6: the copies as the server gives them.
    fn read_back(&mut self, stored: Vec<Stored<R::Kept>>) -> Result<Vec<ProvedCopy<R::Proof>>, BatchError> {
        let uids: UidSet = stored.iter().map(|one| one.uid).collect();
        let mut copies = self.fetch_copies(&uids)?;
        if uids.iter().any(|uid| !copies.contains_key(&uid)) {
            self.target()?.session().noop()?;
            let missing: UidSet = uids.iter().filter(|uid| !copies.contains_key(uid)).collect();
            copies.extend(self.fetch_copies(&missing)?);
        }
        let (mut pairs, mut withdrawn) = (Vec::new(), UidSet::new());
        for one in stored {
            match copies.remove(&one.uid) {
                None => self.fail(one.index, Failure::NoCopy),
                Some(copy) if !same_date(&one.original, &copy) => {
                    withdrawn.insert(one.uid);
                    self.fail(one.index, Failure::Date);
                }
                Some(copy) => pairs.push((one, copy)),
            }
        }
        let how = self.how;
        let results = on_all_cores(pairs, |(one, copy)| prove(how, one, copy));
        let mut proven = Vec::new();
        for (index, uid, result) in results {
            match result {
                Ok(copy) => proven.push(copy),
                Err(failure) => {
                    withdrawn.insert(uid);
                    self.fail(index, failure);
                }
            }
        }
        self.withdraw(&withdrawn)?;
        proven.sort_by_key(|copy| copy.index);
        Ok(proven)
    }

    fn fetch_copies(&mut self, uids: &UidSet) -> Result<HashMap<u32, Copy<R::Octets>>, BatchError> {
        let (how, mut copies) = (self.how, HashMap::new());
        if uids.is_empty() {
            return Ok(copies);
        }
        let items = "UID FLAGS INTERNALDATE BODY.PEEK[]";
        self.target()?.session().uid_fetch(
            uids,
            items,
            |length| how.scratch(length),
            |fetched| {
                let Some(Ok(scratch)) = fetched.body else { return };
                if let Ok(octets) = how.finish(scratch) {
                    let (flags, internal_date) = (fetched.flags.unwrap_or_default(), fetched.internal_date);
                    copies.insert(fetched.uid, Copy { octets, flags, internal_date });
                }
            },
        )?;
        Ok(copies)
    }

    /// Copies that will not stay. Each came after [`Whereabouts::from_uid`], so that no older message is hit.
    fn withdraw(&mut self, uids: &UidSet) -> Result<(), BatchError> {
        let removal = self.removal;
        Ok(removal.remove(self.target()?, uids)?)
    }

    /// Where nothing locks: of two sealers' copies the lower UID stays (A7).
    fn give_way(
        &mut self,
        proven: Vec<ProvedCopy<R::Proof>>,
        from_uid: u32,
    ) -> Result<Vec<ProvedCopy<R::Proof>>, BatchError> {
        if self.locked || self.how.fields().is_empty() || proven.is_empty() {
            return Ok(proven);
        }
        let how = self.how;
        let target = self.target()?;
        target.session().noop()?;
        let marks = find::marks(target.session(), from_uid, how.fields(), |header| how.mark_of(header))?;
        let (mut ours, mut withdrawn) = (Vec::new(), UidSet::new());
        for copy in proven {
            // Older ones than this batch are twins: their sealer is long gone.
            let beaten = marks.iter().any(|(uid, mark)| *mark == copy.mark && *uid < copy.uid);
            if beaten {
                withdrawn.insert(copy.uid);
                self.fail(copy.index, Failure::Locked);
            } else {
                ours.push(copy);
            }
        }
        self.withdraw(&withdrawn)?;
        Ok(ours)
    }

    /// Step 7: what others changed on the originals meanwhile goes to the copies. Gives those whose original is there, and
    /// those whose original is gone.
    #[expect(clippy::type_complexity, reason = "two lists of the same")]
    fn carry(
        &mut self,
        copies: Vec<ProvedCopy<R::Proof>>,
    ) -> Result<(Vec<ProvedCopy<R::Proof>>, Vec<ProvedCopy<R::Proof>>), BatchError> {
        let now = self.look(&self.uids(copies.iter().map(|copy| copy.index)))?;
        let (mut here, mut vanished, mut withdrawn) = (Vec::new(), Vec::new(), UidSet::new());
        let mut orders = Orders::default();
        for mut copy in copies {
            let Some(entry) = self.batch.entries.get(copy.index) else { continue };
            let Some(seen) = now.get(&entry.job.uid) else {
                vanished.push(copy);
                continue;
            };
            if let Err(error) = self.how.may(&entry.job, &seen.flags) {
                withdrawn.insert(copy.uid);
                self.fail(copy.index, Failure::Refused(error));
                continue;
            }
            copy.modseq = seen.modseq.unwrap_or_default();
            orders.carry(&mut copy, seen);
            here.push(copy);
        }
        self.withdraw(&withdrawn)?;
        let refused = self.carry_out(orders)?;
        let (kept, lost): (Vec<_>, Vec<_>) = here.into_iter().partition(|copy| !refused.contains(copy.uid));
        self.withdraw(&refused)?;
        for copy in lost {
            self.fail(copy.index, Failure::Flags);
        }
        Ok((kept, vanished))
    }

    /// Gives the copies whose flags could not be set.
    fn carry_out(&mut self, orders: Orders) -> Result<UidSet, BatchError> {
        let orders = orders.into_stores();
        let mut refused = UidSet::new();
        if orders.is_empty() {
            return Ok(refused);
        }
        let mut told: HashMap<u32, Vec<String>> = HashMap::new();
        let results = self.target()?.session().uid_stores(&orders, |fetched| {
            if let Some(flags) = fetched.flags {
                told.insert(fetched.uid, flags);
            }
        })?;
        for (order, result) in orders.iter().zip(results) {
            match result {
                Ok(_) => {}
                Err(error) if error.is_refusal() => order.set.iter().for_each(|uid| refused.insert(uid)),
                Err(error) => return Err(error.into()),
            }
            if order.item == "+FLAGS" {
                // quirk: a server may say OK and keep nothing.
                let lost = |uid: &u32| told.get(uid).is_some_and(|now| !flags::missing(&order.flags, now).is_empty());
                order.set.iter().filter(lost).for_each(|uid| refused.insert(uid));
            }
        }
        Ok(refused)
    }

    /// Step 8: the originals go, each against its proof. Gives those that are gone by us, and those that went by others.
    #[expect(clippy::type_complexity, reason = "two lists of the same")]
    fn remove(
        &mut self,
        copies: Vec<ProvedCopy<R::Proof>>,
        announced: &Announced,
    ) -> Result<(Vec<ProvedCopy<R::Proof>>, Vec<ProvedCopy<R::Proof>>), BatchError> {
        let (covered, uncovered): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| announced.covers(&copy.place));
        for copy in uncovered {
            self.end(copy.index, Ending::Unsettled);
        }
        let (mut flagged, mut late, mut open) = (Vec::new(), Vec::new(), covered);
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            let flags = self.flag(&mut open)?;
            (self.watch)(Step::Flagged);
            let (done, others): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|copy| flags.contains(self.uid(copy.index)));
            flagged.extend(done);
            // Their flags changed since they were read, or they went away.
            let (here, vanished) = match others.is_empty() {
                true => (others, Vec::new()),
                false => self.carry(others)?,
            };
            late.extend(vanished);
            open = here;
        }
        let restless: UidSet = open.iter().map(|copy| copy.uid).collect();
        for copy in open {
            self.fail(copy.index, Failure::Restless);
        }
        self.withdraw(&restless)?;
        let uids = self.uids(flagged.iter().map(|copy| copy.index));
        match self.removal {
            Removal::Expunge if !uids.is_empty() => self.expunge(&uids, &mut flagged)?,
            removal => removal.remove(self.desk, &uids)?,
        }
        (self.watch)(Step::Retired);
        Ok((flagged, late))
    }

    /// The originals go. What others changed on them between our `\Deleted` and their end still goes to the copies.
    fn expunge(&mut self, uids: &UidSet, copies: &mut [ProvedCopy<R::Proof>]) -> Result<(), BatchError> {
        let mut last = HashMap::new();
        self.desk.session().uid_expunge_seen(uids, |fetched| {
            if let Some(flags) = fetched.flags {
                last.insert(fetched.uid, flags);
            }
        })?;
        let mut orders = Orders::default();
        for copy in copies {
            if let Some(flags) = last.remove(&self.uid(copy.index)) {
                let flags = flags.into_iter().filter(|flag| !flag.eq_ignore_ascii_case("\\Deleted")).collect();
                let labels = copy.labels.clone();
                orders.carry(copy, &Now { flags, modseq: None, labels });
            }
        }
        self.carry_out(orders)?;
        Ok(())
    }

    /// Flags the originals as deleted, each only if nothing changed since it was last read. Gives those that are flagged.
    fn flag(&mut self, open: &mut [ProvedCopy<R::Proof>]) -> Result<UidSet, BatchError> {
        let uids = self.uids(open.iter().map(|copy| copy.index));
        if let Removal::Through(_) = self.removal {
            return Ok(uids);
        }
        let (mut flagged, mut now) = (UidSet::new(), HashMap::new());
        if self.conditional {
            let latest = open.iter().map(|copy| copy.modseq).max().unwrap_or_default();
            let session = self.desk.session();
            // RFC 7162 §3.1.3: also a silent one is answered with the new MODSEQ of each message that it changed.
            let told = |fetched: Fetched<Vec<u8>>| flagged.insert(fetched.uid);
            let beaten = session.uid_store(&uids, Some(latest), "+FLAGS.SILENT", &[deleted()], told)?;
            let untold: UidSet = uids.iter().filter(|uid| !flagged.contains(*uid) && !beaten.contains(*uid)).collect();
            for (uid, seen) in self.look(&untold)? {
                if flags::has(&seen.flags, "\\Deleted") {
                    flagged.insert(uid);
                }
            }
            return Ok(flagged.iter().filter(|uid| !beaten.contains(*uid)).collect());
        }
        // The answer tells the flags as they are at this very moment (A13).
        self.desk.session().uid_store(&uids, None, "+FLAGS", &[deleted()], |fetched| {
            if let Some(flags) = fetched.flags.filter(|flags| flags::has(flags, "\\Deleted")) {
                now.insert(fetched.uid, flags);
            }
        })?;
        let mut orders = Orders::default();
        for copy in open.iter_mut() {
            let uid = self.uid(copy.index);
            if let Some(flags) = now.remove(&uid) {
                flagged.insert(uid);
                let flags = flags.into_iter().filter(|flag| !flag.eq_ignore_ascii_case("\\Deleted")).collect();
                let labels = copy.labels.clone();
                orders.carry(copy, &Now { flags, modseq: None, labels });
            }
        }
        self.carry_out(orders)?;
        Ok(flagged)
    }

    /// Step 9: see that they are gone.
    fn settle(&mut self, removed: Vec<ProvedCopy<R::Proof>>) -> Result<(), BatchError> {
        let uids = self.uids(removed.iter().map(|copy| copy.index));
        let stubborn = remaining(self.desk.session(), &uids)?;
        if !stubborn.is_empty() {
            let flags = [deleted()];
            self.desk.session().uid_store(&stubborn, None, "-FLAGS.SILENT", &flags, ignore)?;
        }
        let validity = self.target()?.validity()?;
        for copy in removed {
            let uid = self.uid(copy.index);
            let ending = if stubborn.contains(uid) {
                Ending::Unsettled
            } else {
                let ProvedCopy { mark, length, internal_date, twins, .. } = copy;
                Ending::Replaced { copy: Key { validity, uid: copy.uid }, mark, length, internal_date, twins }
            };
            self.end(copy.index, ending);
        }
        Ok(())
    }

    /// Step 9b: somebody moved or expunged the original while we were at work.
    fn bury(&mut self, vanished: Vec<ProvedCopy<R::Proof>>) -> Result<(), BatchError> {
        for copy in vanished {
            let (index, one) = (copy.index, std::iter::once(copy.uid).collect());
            let ending = match self.is_elsewhere(&copy)? {
                true => {
                    self.withdraw(&one)?;
                    Ending::MovedElsewhere
                }
                false => {
                    let mailboxes = self.batch.mailboxes;
                    to_trash(self.target()?, mailboxes, &one)?;
                    Ending::Expunged
                }
            };
            self.end(index, ending);
        }
        Ok(())
    }

    fn is_elsewhere(&mut self, copy: &ProvedCopy<R::Proof>) -> Result<bool, BatchError> {
        let how = self.how;
        let others: Vec<&Mailbox> =
            self.batch.mailboxes.iter().filter(|mailbox| **mailbox != self.batch.source).collect();
        let is_it = |scratch| {
            let octets = how.finish(scratch).and_then(|mut octets| how.fingerprint(&mut octets));
            octets.is_ok_and(|found| found == copy.fingerprint)
        };
        let scratch = |length| how.scratch(length);
        let found = find::elsewhere(self.desk.session(), &others, copy.original_length, scratch, is_it)?;
        self.desk.reopen(&self.batch.source)?;
        Ok(found)
    }

    /// Messages that stay as they were are nobody's any more.
    fn unlock(&mut self) -> Result<(), BatchError> {
        if !self.locked {
            return Ok(());
        }
        let stays = |ending: &Option<Ending<R::Error>>| match ending {
            Some(Ending::Failed(Failure::Locked)) => false,
            Some(Ending::Failed(_)) => true,
            _ => false,
        };
        let failed: Vec<usize> =
            self.endings.iter().enumerate().filter(|(_, ending)| stays(ending)).map(|(index, _)| index).collect();
        let uids = self.uids(failed);
        if !uids.is_empty() {
            self.desk.session().uid_store(&uids, None, "-FLAGS.SILENT", &[LOCK.to_owned()], ignore)?;
        }
        Ok(())
    }
}

/// Moves messages of the desk's mailbox to the Trash; where there is none, they stay.
pub(super) fn to_trash(desk: &mut Desk, mailboxes: &[Mailbox], uids: &UidSet) -> Result<(), DeskError> {
    let Some(trash) = mailboxes.iter().find(|mailbox| mailbox.special_use() == Some(SpecialUse::Trash)) else {
        return Ok(());
    };
    if desk.mailbox() == Some(trash) {
        return Ok(());
    }
    if desk.has("MOVE") {
        desk.session().uid_move(uids, trash.wire())?;
    } else {
        desk.session().uid_copy(uids, trash.wire())?;
        Removal::Expunge.remove(desk, uids)?;
    }
    Ok(())
}

#[expect(clippy::type_complexity, reason = "the types are the caller's")]
fn make<R: Remake>(
    how: &R,
    entries: &[Entry<R::Item>],
    taken: Taken<R::Octets>,
) -> Result<Made<R::Kept, R::Octets>, Failure<R::Error>> {
    let Taken { index, mut octets, original } = taken;
    let entry = entries.get(index).ok_or(Failure::Unreadable)?;
    let mut scratch = how.scratch(original.length).map_err(|_| Failure::Scratch)?;
    let written = how.write(&entry.job, &mut octets, &original, &mut scratch).map_err(Failure::Refused)?;
    drop(octets);
    let mut octets = how.finish(scratch).map_err(|_| Failure::Scratch)?;
    let length = octets.seek(io::SeekFrom::End(0)).map_err(|_| Failure::Scratch)?;
    Ok(Made { index, written, octets, length, original, place: Vec::new() })
}

#[expect(clippy::type_complexity, reason = "which message, which copy, what came of it")]
fn prove<R: Remake>(
    how: &R,
    stored: Stored<R::Kept>,
    mut copy: Copy<R::Octets>,
) -> (usize, u32, Result<ProvedCopy<R::Proof>, Failure<R::Error>>) {
    let Stored { index, written, length, original, place, uid, .. } = stored;
    let Written { kept, mark, fingerprint, twins, .. } = written;
    let proved = how.prove(kept, &mut copy.octets).map_err(Failure::Refused).map(|proof| {
        // What the server did not take over at APPEND is set again.
        let has = |flag: &&String| flags::has(&copy.flags, flag);
        let flags = original.flags.iter().filter(has).cloned().collect();
        ProvedCopy {
            index,
            _proof: proof,
            mark,
            fingerprint,
            twins,
            uid,
            length,
            internal_date: copy.internal_date,
            original_length: original.length,
            place,
            flags,
            // They cannot be given at APPEND.
            labels: Vec::new(),
            modseq: 0,
        }
    });
    (index, uid, proved)
}

fn appends<'m, K, O: Read + Seek>(
    made: &'m mut [Made<K, O>],
    keywords: &[String],
) -> Result<Vec<Append<'m>>, BatchError> {
    let one = |one: &'m mut Made<K, O>| {
        one.octets.rewind().map_err(ImapError::Io)?;
        let flags = one.original.flags.iter().chain(keywords).cloned().collect();
        let internal_date = one.original.internal_date.clone();
        Ok(Append { flags, internal_date, length: one.length, octets: &mut one.octets })
    };
    made.iter_mut().map(one).collect()
}

fn rejection<E>(error: &ImapError) -> Failure<E> {
    match error {
        ImapError::No(Some(Code::OverQuota)) => Failure::Quota,
        ImapError::No(Some(Code::TooBig | Code::Limit)) => Failure::TooLarge,
        _ => Failure::Rejected,
    }
}

fn same_date<O>(original: &Original, copy: &Copy<O>) -> bool {
    let instant = |text: &Option<String>| text.as_deref().and_then(flags::parse_date);
    match instant(&original.internal_date) {
        None => true,
        date => date == instant(&copy.internal_date),
    }
}
