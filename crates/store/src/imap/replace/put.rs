//! The first half of a batch: originals locked and fetched, copies written, stored, fetched back and proven.
//!
//! In: the jobs of a run. Out: proven copies, each beside its original. Never changes an original but for its lock.

use std::collections::HashMap;
use std::io::{self, Read, Seek};

use wire::imap::{Append, AppendUid, Code, ImapError, UidSet};

use super::run::{BatchError, Entry, Run};
use crate::cores::on_all_cores;
use crate::imap::find;
use crate::imap::flags;
use crate::imap::place::Whereabouts;
use crate::imap::remake::{Ending, Failure, LOCK, Original, Remake, Written};
use crate::imap::remove::ignore;
use crate::imap::stages::{Copy, Counted, Made, Now, ProvedCopy, Stored, Taken};
use crate::journal::{Journal, RowId};

impl<R: Remake> Run<'_, '_, R> {
    /// Step 1: keep other sealers away. Gives the messages that are there and may be replaced.
    pub(super) fn lock(&mut self) -> Result<Vec<usize>, BatchError> {
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
    pub(super) fn take(&mut self, open: Vec<usize>) -> Result<Vec<Taken<R::Octets>>, BatchError> {
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
                    // Cut short, or another message's body: RFC 2180 §4.1 lets a server give nothing for what somebody expunged. And without
                    // a date its copy would get another one.
                    Some(Ok(Counted { length, .. }))
                        if fetched.size != Some(length) || fetched.internal_date.is_none() =>
                    {
                        bad.push((index, Failure::Unreadable));
                    }
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
    pub(super) fn make(&mut self, taken: Vec<Taken<R::Octets>>) -> Vec<Made<R::Kept, R::Octets>> {
        let (how, entries) = (self.how, &self.batch.entries);
        let results = on_all_cores(taken, |one: Taken<R::Octets>| (one.index, make(how, entries, one)));
        let mut made = self.sift(results);
        made.sort_by_key(|one| one.index);
        made
    }

    /// Notes those that failed; the others go on.
    #[expect(clippy::type_complexity, reason = "which message, and what came of it")]
    pub(super) fn sift<V>(&mut self, results: Vec<(usize, Result<V, Failure<R::Error>>)>) -> Vec<V> {
        let mut on = Vec::new();
        for (index, result) in results {
            match result {
                Ok(value) => on.push(value),
                Err(failure) => self.fail(index, failure),
            }
        }
        on
    }

    pub(super) fn keep(&mut self, made: &mut Vec<Made<R::Kept, R::Octets>>) {
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
    pub(super) fn publish(&mut self, made: &mut [Made<R::Kept, R::Octets>]) -> Result<u32, BatchError> {
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
    pub(super) fn store(
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
    pub(super) fn append(
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

    /// Step 6: the copies as the server gives them. Gives those that are proven, and those that the server stored and does not
    /// show.
    #[expect(clippy::type_complexity, reason = "two lists")]
    pub(super) fn read_back(
        &mut self,
        stored: Vec<Stored<R::Kept>>,
    ) -> Result<(Vec<ProvedCopy<R::Proof>>, Vec<Stored<R::Kept>>), BatchError> {
        let uids: UidSet = stored.iter().map(|one| one.uid).collect();
        let mut copies = self.fetch_copies(&uids)?;
        if uids.iter().any(|uid| !copies.contains_key(&uid)) {
            self.target()?.session().noop()?;
            let missing: UidSet = uids.iter().filter(|uid| !copies.contains_key(uid)).collect();
            copies.extend(self.fetch_copies(&missing)?);
        }
        let (mut pairs, mut strays) = (Vec::new(), Vec::new());
        for one in stored {
            match copies.remove(&one.uid) {
                None => strays.push(one),
                Some(copy) => pairs.push((one, copy)),
            }
        }
        let how = self.how;
        let results = on_all_cores(pairs, |(one, copy)| prove(how, one, copy));
        let (mut proven, mut withdrawn) = (Vec::new(), UidSet::new());
        for (index, uid, result) in results {
            match result {
                Proving::Proved(copy) => proven.push(*copy),
                // It is ours: it says so, or it was proven.
                Proving::Ours(failure) => {
                    withdrawn.insert(uid);
                    self.fail(index, failure);
                }
                // The server named somebody else's message. Recovery looks for ours by its mark.
                Proving::Strange => self.end(index, Ending::Unsettled),
            }
        }
        self.withdraw(&withdrawn)?;
        proven.sort_by_key(|copy| copy.index);
        Ok((proven, strays))
    }

    pub(super) fn fetch_copies(&mut self, uids: &UidSet) -> Result<HashMap<u32, Copy<R::Octets>>, BatchError> {
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
    pub(super) fn withdraw(&mut self, uids: &UidSet) -> Result<(), BatchError> {
        let removal = self.removal;
        Ok(removal.remove(self.target()?, uids)?)
    }

    /// Where nothing locks: of two sealers' copies the lower UID stays (A7).
    pub(super) fn give_way(
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

/// What came of proving a copy.
enum Proving<P, E> {
    Proved(Box<ProvedCopy<P>>),
    /// It cannot stay, and is ours.
    Ours(Failure<E>),
    /// It is not known to be ours.
    Strange,
}

fn prove<R: Remake>(
    how: &R,
    stored: Stored<R::Kept>,
    mut copy: Copy<R::Octets>,
) -> (usize, u32, Proving<R::Proof, R::Error>) {
    let Stored { index, written, length, original, place, uid, .. } = stored;
    let is_dated = same_date(&original, &copy);
    let Written { kept, mark, fingerprint, twins, .. } = written;
    let proved = how.prove(kept, &mut copy.octets);
    let proving = match proved {
        Ok(_) if !is_dated => Proving::Ours(Failure::Date),
        Ok(proof) => {
            // What the server did not take over at APPEND is set again.
            let has = |flag: &&String| flags::has(&copy.flags, flag);
            let flags = original.flags.iter().filter(has).cloned().collect();
            Proving::Proved(Box::new(ProvedCopy {
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
                flagged: false,
                modseq: 0,
            }))
        }
        Err(error) if bears(how, &mark, &mut copy.octets) => Proving::Ours(Failure::Refused(error)),
        Err(_) => Proving::Strange,
    };
    (index, uid, proving)
}

/// Whether a message bears that mark.
fn bears<R: Remake>(how: &R, mark: &[u8], octets: &mut R::Octets) -> bool {
    let mut head = Vec::new();
    let read = octets.rewind().and_then(|()| octets.take(MOST_HEADER).read_to_end(&mut head));
    read.is_ok() && !mark.is_empty() && how.mark_of(&head).as_deref() == Some(mark)
}

/// Octets in which a header section of ours ends.
const MOST_HEADER: u64 = 64 * 1024;

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
