//! After a crash or a lost connection: every unfinished replacement on a server is brought to its end (format §12.3).
//!
//! In: the journal's unfinished rows, the server as it is now, the caller's comparison. Out: what was done about each row;
//! rows that are settled are done in the journal, the others stay for the next time.
//!
//! | original | copy that proves | journal | what is done |
//! | --- | --- | --- | --- |
//! | here | any | before Published | unlock, begin anew |
//! | here | none | Published, Retiring | undelete what we flagged, unlock, begin anew |
//! | here | one | Published, Retiring | carry flags over, remove the original |
//! | here, `\Deleted` or `\Draft` | one | Published | somebody else did that: remove the copy |
//! | gone | one | Retiring | keep the copy: it was us; if it stands elsewhere with our lock: free it, remove the copy |
//! | gone | one | Published | moved: remove the copy; expunged: move the copy to the Trash |
//! | gone | none | any | nothing is left to do |
//! | here | unwanted | Published, Retiring | remove the copy; undelete, unlock |
//!
//! Of several copies that prove the lowest UID stays: an APPEND whose answer was lost may have been obeyed, too. "The original"
//! is the message of that UID, or, after a change of UIDVALIDITY, the one that hashes alike.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use wire::imap::{Code, ImapError, Session, UidSet};

use super::desk::{Desk, DeskError};
use super::find;
use super::flags::{self, Changes};
use super::mailbox::Mailbox;
use super::place::{Key, Whereabouts};
use super::remake::{LOCK, Remake};
use super::remove::{Removal, deleted, ignore, no_body, remaining};
use super::replace::{BatchError, to_trash};
use crate::clock::UnixSeconds;
use crate::database::Database;
use crate::journal::{Journal, Row, State};

/// What recovery works with.
pub struct Recovering<'a> {
    /// Where the journal is.
    pub database: &'a Database,
    /// Whose rows.
    pub flow: &'a str,
    /// The account's.
    pub mailboxes: &'a [Mailbox],
    /// How messages are removed there.
    pub removal: &'a Removal,
    /// For the journal.
    pub now: UnixSeconds,
}

/// A row and what was done about it.
#[derive(Debug)]
pub struct Recovered<E> {
    /// The row as it was found.
    pub row: Row,
    /// What was done; on an error nothing, and the row is still unfinished.
    pub recovery: Result<Recovery, Stuck<E>>,
}

/// What was done about an unfinished replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The original is there and no copy is: it is to be treated anew.
    BeginAnew,
    /// The copy stands in the original's place.
    Replaced {
        /// The copy's mailbox.
        mailbox: String,
        /// The copy.
        copy: Key,
        /// Its mark.
        mark: Vec<u8>,
    },
    /// As in [`Ending`](super::Ending).
    MovedElsewhere,
    /// As in [`Ending`](super::Ending).
    Expunged,
    /// Neither is there.
    BothGone,
}

/// What the caller says of a pair.
#[derive(Debug)]
pub enum Comparison<P> {
    /// The copy is as good as its original, which may go.
    Proved(P),
    /// It is not, or not of that original.
    Other,
    /// It is of that original, which is to stay: the copy goes, as long as the original is there.
    Unwanted,
}

/// Why a row could not be settled. Try again later.
#[derive(Debug)]
pub enum Stuck<E> {
    /// The caller could not tell.
    Undecided(E),
    /// The row is not of a mailbox on a server, or of a newer program.
    Unknown,
    /// The server does not remove the original.
    Stubborn,
}

/// Settles the unfinished replacements of a flow; to be called before anything new is begun.
///
/// `compare` gets the row, the original if it is there, and a copy, both freshly fetched. `is_taken` says that a message is
/// the copy of another row, which is done.
pub fn recover<R: Remake, E>(
    with: &Recovering<'_>,
    desk: &mut Desk,
    how: &R,
    is_taken: &dyn Fn(&str, Key) -> bool,
    mut compare: impl FnMut(&Row, Option<&mut R::Octets>, &mut R::Octets) -> Result<Comparison<R::Proof>, E>,
) -> Result<Vec<Recovered<E>>, BatchError> {
    let rows = Journal::on(with.database).unfinished(with.flow)?;
    let originals =
        rows.iter().filter_map(|row| Some((row.mailbox.clone(), Key::from_octets(&row.original)?))).collect();
    let (claimed, marks) = (HashSet::new(), HashMap::new());
    let mut run = Run { with, desk, how, is_taken, originals, claimed, waited: false, marks, locked: None };
    let mut recovered = Vec::new();
    for row in rows {
        let recovery = run.settle(&row, &mut compare)?;
        if let Ok(Recovery::Replaced { mailbox, copy, .. }) = &recovery {
            how.settled(mailbox, *copy);
        }
        if recovery.is_ok() {
            Journal::on(with.database).advance(&[row.id], State::Done, with.now)?;
        }
        recovered.push(Recovered { row, recovery });
    }
    Ok(recovered)
}

/// What a dead session had sent is obeyed, or never will be, after this time.
const LATE: Duration = Duration::from_secs(3);

struct Run<'r, R: Remake> {
    with: &'r Recovering<'r>,
    desk: &'r mut Desk,
    how: &'r R,
    is_taken: &'r dyn Fn(&str, Key) -> bool,
    /// Originals of all rows.
    originals: HashSet<(String, Key)>,
    /// Copies that rows of this recovery keep.
    claimed: HashSet<(String, u32)>,
    /// Whether a server was given time to come to the end of what a dead session had sent.
    waited: bool,
    /// Marks of a mailbox, from the lowest UID that was asked for.
    marks: HashMap<String, Marks>,
    /// Messages with our lock that are no row's original, and their fingerprints; looked for once.
    locked: Option<Vec<(Mailbox, u32, Vec<u8>)>>,
}

/// Rounds in which flags are carried over.
const ROUNDS: usize = 5;

/// What came of removing an original.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Removed {
    Gone,
    /// Its owner wants it as it is.
    Refused,
}

/// Marks of messages, from a UID on.
type Marks = (u32, Vec<(u32, Vec<u8>)>);
/// Flags and MODSEQ of a message.
type Flagged = (Vec<String>, Option<u64>);
/// Flags and octets of a message.
type Message<O> = (Vec<String>, O);

/// An original as it is now.
struct Source<O> {
    uid: u32,
    flags: Vec<String>,
    octets: O,
}

/// A copy that proves.
struct Keeper<P> {
    uid: u32,
    proof: P,
    /// Others that prove, too.
    extra: UidSet,
}

/// What was found of a row's copies.
struct Copies<P> {
    keeper: Option<Keeper<P>>,
    unwanted: UidSet,
}

type Settled<E> = Result<Result<Recovery, Stuck<E>>, BatchError>;

impl<R: Remake> Run<'_, R> {
    fn settle<E>(
        &mut self,
        row: &Row,
        compare: &mut impl FnMut(&Row, Option<&mut R::Octets>, &mut R::Octets) -> Result<Comparison<R::Proof>, E>,
    ) -> Settled<E> {
        let Some(key) = Key::from_octets(&row.original) else { return Ok(Err(Stuck::Unknown)) };
        if row.state == State::Staged {
            self.unlock(row, key)?;
            return Ok(Ok(Recovery::BeginAnew));
        }
        let Some(place) = Whereabouts::from_octets(&row.copy) else { return Ok(Err(Stuck::Unknown)) };
        let mut source = self.source(row, key, &place)?;
        let mut copies = match self.copies(row, &place, source.as_mut(), compare)? {
            Ok(copies) => copies,
            Err(error) => return Ok(Err(Stuck::Undecided(error))),
        };
        if copies.keeper.is_none() && place.mark.is_empty() && !std::mem::replace(&mut self.waited, true) {
            // The server may still be at work on what a dead session has sent, and a copy without a mark is never found later.
            std::thread::sleep(LATE);
            self.desk.session().noop()?;
            copies = match self.copies(row, &place, source.as_mut(), compare)? {
                Ok(copies) => copies,
                Err(error) => return Ok(Err(Stuck::Undecided(error))),
            };
        }
        let Copies { keeper, unwanted } = copies;
        match (source, keeper) {
            (Some(source), None) => {
                self.remove_unwanted(row, &place, &source, &unwanted)?;
                self.begin_anew(row, source)
            }
            (Some(source), Some(keeper)) => self.finish(row, &place, source, keeper),
            (None, Some(keeper)) => self.without_source(row, &place, keeper),
            (None, None) => Ok(Ok(Recovery::BothGone)),
        }
    }

    fn mailbox(&self, name: &str) -> Option<&Mailbox> {
        self.with.mailboxes.iter().find(|mailbox| mailbox.name() == name)
    }

    /// Opens a mailbox; `false` if it is not there any more.
    fn open(&mut self, name: &str) -> Result<bool, BatchError> {
        let Some(mailbox) = self.mailbox(name).cloned() else { return Ok(false) };
        match self.desk.turn_to(&mailbox) {
            Ok(()) => Ok(true),
            // Any other refusal is for now: what looks gone must be gone (RFC 5530 §3).
            Err(DeskError::Imap(ImapError::No(Some(Code::NonExistent)))) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The original, fetched again.
    fn source(&mut self, row: &Row, key: Key, place: &Whereabouts) -> Result<Option<Source<R::Octets>>, BatchError> {
        if !self.open(&row.mailbox)? {
            return Ok(None);
        }
        let candidates: UidSet = match self.desk.validity()? == key.validity {
            true => std::iter::once(key.uid).collect(),
            false => of_size(self.desk.session(), place.original_length)?,
        };
        for uid in candidates.iter() {
            let Some((flags, mut octets)) = self.fetch(uid)? else { continue };
            let is_it = self.how.fingerprint(&mut octets).map_err(ImapError::Io)? == place.fingerprint;
            if is_it {
                return Ok(Some(Source { uid, flags, octets }));
            }
        }
        Ok(None)
    }

    fn fetch(&mut self, uid: u32) -> Result<Option<Message<R::Octets>>, BatchError> {
        let (how, mut found) = (self.how, None);
        let one: UidSet = std::iter::once(uid).collect();
        let mut failed = None;
        self.desk.session().uid_fetch(
            &one,
            "UID FLAGS BODY.PEEK[]",
            |length| how.scratch(length),
            |fetched| {
                if fetched.uid != uid {
                    return;
                }
                match fetched.body.map(|body| body.and_then(|scratch| how.finish(scratch))) {
                    Some(Ok(octets)) => found = Some((fetched.flags.unwrap_or_default(), octets)),
                    Some(Err(error)) => failed = Some(error),
                    None => {}
                }
            },
        )?;
        match failed {
            // Not knowing what it is must not look like its absence.
            Some(error) => Err(ImapError::Io(error).into()),
            None => Ok(found),
        }
    }

    /// The copy with the lowest UID that proves, and those that are not wanted.
    fn copies<E>(
        &mut self,
        row: &Row,
        place: &Whereabouts,
        mut source: Option<&mut Source<R::Octets>>,
        compare: &mut impl FnMut(&Row, Option<&mut R::Octets>, &mut R::Octets) -> Result<Comparison<R::Proof>, E>,
    ) -> Result<Result<Copies<R::Proof>, E>, BatchError> {
        let mut unwanted = UidSet::new();
        if !self.open(&place.mailbox)? {
            return Ok(Ok(Copies { keeper: None, unwanted }));
        }
        let validity = self.desk.validity()?;
        let from_uid = if validity == place.validity { place.from_uid } else { 1 };
        let candidates = self.candidates(place, from_uid)?;
        let mut keeper: Option<Keeper<R::Proof>> = None;
        for uid in candidates {
            let is_source = place.mailbox == row.mailbox && source.as_ref().is_some_and(|source| source.uid == uid);
            let is_claimed = self.claimed.contains(&(place.mailbox.clone(), uid));
            if is_source || is_claimed || (self.is_taken)(&place.mailbox, Key { validity, uid }) {
                continue;
            }
            let Some((_, mut copy)) = self.fetch(uid)? else { continue };
            let original = source.as_mut().map(|source| &mut source.octets);
            match (compare(row, original, &mut copy), &mut keeper) {
                (Err(error), _) => return Ok(Err(error)),
                (Ok(Comparison::Other), _) => {}
                (Ok(Comparison::Unwanted), _) => unwanted.insert(uid),
                (Ok(Comparison::Proved(proof)), None) => keeper = Some(Keeper { uid, proof, extra: UidSet::new() }),
                // Without a mark a second one may be another row's.
                (Ok(Comparison::Proved(_)), Some(keeper)) if !place.mark.is_empty() => keeper.extra.insert(uid),
                (Ok(Comparison::Proved(_)), Some(_)) => break,
            }
        }
        if let Some(keeper) = &keeper {
            self.claimed.insert((place.mailbox.clone(), keeper.uid));
        }
        Ok(Ok(Copies { keeper, unwanted }))
    }

    /// UIDs of the open mailbox that may be the copy, lowest first.
    fn candidates(&mut self, place: &Whereabouts, from_uid: u32) -> Result<Vec<u32>, BatchError> {
        if place.mark.is_empty() {
            let alike = of_size(self.desk.session(), place.copy_length)?;
            return Ok(alike.iter().filter(|uid| *uid >= from_uid).collect());
        }
        let known = self.marks.get(&place.mailbox).is_some_and(|(from, _)| *from <= from_uid);
        if !known {
            let how = self.how;
            let marks = find::marks(self.desk.session(), from_uid, how.fields(), |header| how.mark_of(header))?;
            self.marks.insert(place.mailbox.clone(), (from_uid, marks));
        }
        let marks = self.marks.get(&place.mailbox).map(|(_, marks)| marks.as_slice()).unwrap_or_default();
        let fitting = marks.iter().filter(|(uid, mark)| *uid >= from_uid && *mark == place.mark);
        Ok(fitting.map(|(uid, _)| *uid).collect())
    }

    fn unlock(&mut self, row: &Row, key: Key) -> Result<(), BatchError> {
        if self.open(&row.mailbox)? && self.desk.validity()? == key.validity && self.desk.can_lock(LOCK) {
            let one = std::iter::once(key.uid).collect();
            self.desk.session().uid_store(&one, None, "-FLAGS.SILENT", &[LOCK.to_owned()], ignore)?;
        }
        Ok(())
    }

    /// The original, which was just read, stays; its copies go.
    fn remove_unwanted(
        &mut self,
        row: &Row,
        place: &Whereabouts,
        source: &Source<R::Octets>,
        unwanted: &UidSet,
    ) -> Result<(), BatchError> {
        if unwanted.is_empty() {
            return Ok(());
        }
        self.open(&row.mailbox)?;
        let one: UidSet = std::iter::once(source.uid).collect();
        // Somebody may have been faster; then the copy is all there is.
        if !remaining(self.desk.session(), &one)?.is_empty() {
            self.open(&place.mailbox)?;
            self.with.removal.remove(self.desk, unwanted)?;
        }
        Ok(())
    }

    /// The original stays; what we did to it is taken back.
    fn begin_anew<E>(&mut self, row: &Row, source: Source<R::Octets>) -> Settled<E> {
        self.open(&row.mailbox)?;
        let one: UidSet = std::iter::once(source.uid).collect();
        let mut ours = Vec::new();
        if self.desk.can_lock(LOCK) {
            ours.push(LOCK.to_owned());
        }
        if row.state == State::Retiring && flags::has(&source.flags, "\\Deleted") {
            ours.push(deleted());
        }
        if !ours.is_empty() {
            self.desk.session().uid_store(&one, None, "-FLAGS.SILENT", &ours, ignore)?;
        }
        Ok(Ok(Recovery::BeginAnew))
    }

    /// Both are there: steps 7 to 9 (format §12.2).
    fn finish<E>(
        &mut self,
        row: &Row,
        place: &Whereabouts,
        source: Source<R::Octets>,
        keeper: Keeper<R::Proof>,
    ) -> Settled<E> {
        let copy: UidSet = std::iter::once(keeper.uid).collect();
        let others_did = row.state == State::Published && flags::has(&source.flags, "\\Deleted");
        if others_did || flags::has(&source.flags, "\\Draft") {
            self.open(&place.mailbox)?;
            self.with.removal.remove(self.desk, &copy)?;
            return self.begin_anew(row, source);
        }
        self.open(&place.mailbox)?;
        let validity = self.desk.validity()?;
        let now = place.flags.clone();
        Journal::on(self.with.database).announce(&[row.id], self.with.now)?;
        let removed = self.remove_source(row, place, source.uid, &copy, now)?;
        drop(keeper.proof);
        if removed == Removed::Refused {
            self.open(&place.mailbox)?;
            self.with.removal.remove(self.desk, &copy)?;
            return self.begin_anew(row, source);
        }
        let one: UidSet = std::iter::once(source.uid).collect();
        if !remaining(self.desk.session(), &one)?.is_empty() {
            self.desk.session().uid_store(&one, None, "-FLAGS.SILENT", &[deleted()], ignore)?;
            return Ok(Err(Stuck::Stubborn));
        }
        self.open(&place.mailbox)?;
        self.with.removal.remove(self.desk, &keeper.extra)?;
        let copy = Key { validity, uid: keeper.uid };
        Ok(Ok(Recovery::Replaced { mailbox: place.mailbox.clone(), copy, mark: place.mark.clone() }))
    }

    /// Against the proof, which is held meanwhile, and only after the journal says so. `known`: the flags that the copy has.
    fn remove_source(
        &mut self,
        row: &Row,
        place: &Whereabouts,
        uid: u32,
        copy: &UidSet,
        mut known: Vec<String>,
    ) -> Result<Removed, BatchError> {
        let one: UidSet = std::iter::once(uid).collect();
        self.open(&row.mailbox)?;
        if let Removal::Through(_) = self.with.removal {
            self.with.removal.remove(self.desk, &one)?;
            return Ok(Removed::Gone);
        }
        for _ in 0..ROUNDS {
            let conditional = self.desk.is_conditional();
            let Some((flags, modseq)) = self.flags(&one)? else { return Ok(Removed::Gone) };
            let others_did = row.state == State::Published && flags::has(&flags, "\\Deleted");
            if others_did || flags::has(&flags, "\\Draft") {
                return Ok(Removed::Refused);
            }
            self.carry(place, copy, &mut known, &flags)?;
            self.open(&row.mailbox)?;
            let since = modseq.filter(|_| conditional);
            let beaten = self.desk.session().uid_store(&one, since, "+FLAGS.SILENT", &[deleted()], ignore)?;
            if beaten.contains(uid) {
                continue;
            }
            self.desk.session().noop()?;
            let mut last = None;
            self.desk.session().uid_expunge_seen(&one, |fetched| last = fetched.flags)?;
            if let Some(flags) = last {
                self.carry(place, copy, &mut known, &flags)?;
                self.open(&row.mailbox)?;
            }
            return Ok(Removed::Gone);
        }
        Ok(Removed::Gone)
    }

    fn flags(&mut self, one: &UidSet) -> Result<Option<Flagged>, BatchError> {
        let items = if self.desk.is_conditional() { "UID FLAGS MODSEQ" } else { "UID FLAGS" };
        let mut found = None;
        self.desk.session().uid_fetch(one, items, no_body, |fetched| {
            if let Some(flags) = fetched.flags.filter(|_| one.contains(fetched.uid)) {
                found = Some((flags, fetched.modseq));
            }
        })?;
        Ok(found)
    }

    /// What the original's flags are now, the copy's become.
    fn carry(
        &mut self,
        place: &Whereabouts,
        copy: &UidSet,
        known: &mut Vec<String>,
        flags: &[String],
    ) -> Result<(), BatchError> {
        let mut now = flags::to_carry(flags, LOCK);
        now.retain(|flag| !flag.eq_ignore_ascii_case("\\Deleted"));
        let Changes { added, removed } = Changes::between(known, &now);
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        self.open(&place.mailbox)?;
        for (item, flags) in [("+FLAGS.SILENT", added), ("-FLAGS.SILENT", removed)] {
            if !flags.is_empty() {
                self.desk.session().uid_store(copy, None, item, &flags, ignore)?;
            }
        }
        *known = now;
        Ok(())
    }

    fn without_source<E>(&mut self, row: &Row, place: &Whereabouts, keeper: Keeper<R::Proof>) -> Settled<E> {
        let one: UidSet = std::iter::once(keeper.uid).collect();
        let validity = self.desk.validity()?;
        self.with.removal.remove(self.desk, &keeper.extra)?;
        if row.state == State::Retiring {
            // It went by us; or by its owner before we came to it, and then it stands elsewhere with our lock.
            if let Some((mailbox, uid)) = self.locked_elsewhere(&place.fingerprint)? {
                self.desk.turn_to(&mailbox)?;
                let marks = [LOCK.to_owned(), deleted()];
                let moved = std::iter::once(uid).collect();
                self.desk.session().uid_store(&moved, None, "-FLAGS.SILENT", &marks, ignore)?;
                self.open(&place.mailbox)?;
                self.with.removal.remove(self.desk, &one)?;
                return Ok(Ok(Recovery::MovedElsewhere));
            }
            let copy = Key { validity, uid: keeper.uid };
            return Ok(Ok(Recovery::Replaced { mailbox: place.mailbox.clone(), copy, mark: place.mark.clone() }));
        }
        let moved = self.is_elsewhere(row, place)?;
        self.open(&place.mailbox)?;
        if moved {
            self.with.removal.remove(self.desk, &one)?;
            Ok(Ok(Recovery::MovedElsewhere))
        } else {
            to_trash(self.desk, self.with.mailboxes, &one)?;
            Ok(Ok(Recovery::Expunged))
        }
    }

    /// A message of any mailbox that carries our lock and is that original; not one of the rows that are still to be settled.
    fn locked_elsewhere(&mut self, original: &[u8]) -> Result<Option<(Mailbox, u32)>, BatchError> {
        if self.locked.is_none() {
            let mut locked = Vec::new();
            for mailbox in self.with.mailboxes {
                match self.desk.reopen(mailbox) {
                    Ok(()) => {}
                    Err(DeskError::Imap(error)) if error.is_refusal() => continue,
                    Err(error) => return Err(error.into()),
                }
                if !self.desk.can_lock(LOCK) {
                    continue;
                }
                let validity = self.desk.validity()?;
                let found = self.desk.session().uid_search(&format!("KEYWORD {LOCK}"))?;
                for uid in found.iter() {
                    let is_original = self.originals.contains(&(mailbox.name().to_owned(), Key { validity, uid }));
                    if let (false, Some(found)) = (is_original, fingerprint(self.desk, self.how, uid)?) {
                        locked.push((mailbox.clone(), uid, found));
                    }
                }
            }
            self.locked = Some(locked);
        }
        let locked = self.locked.get_or_insert_default();
        let at = locked.iter().position(|(_, _, found)| found == original);
        Ok(at.map(|at| locked.swap_remove(at)).map(|(mailbox, uid, _)| (mailbox, uid)))
    }

    fn is_elsewhere(&mut self, row: &Row, place: &Whereabouts) -> Result<bool, BatchError> {
        let how = self.how;
        let others: Vec<&Mailbox> =
            self.with.mailboxes.iter().filter(|mailbox| mailbox.name() != row.mailbox).collect();
        let is_it = |scratch| {
            let octets = how.finish(scratch).and_then(|mut octets| how.fingerprint(&mut octets));
            octets.is_ok_and(|found| found == place.fingerprint)
        };
        let scratch = |length| how.scratch(length);
        let found = find::elsewhere(self.desk.session(), &others, place.original_length, scratch, is_it)?;
        // Another mailbox is selected now.
        if let Some(mailbox) = self.mailbox(&place.mailbox).cloned() {
            self.desk.reopen(&mailbox)?;
        }
        Ok(found.is_some())
    }
}

/// Messages of exactly that size.
fn of_size(session: &mut Session, size: u64) -> Result<UidSet, ImapError> {
    let query = format!("LARGER {} SMALLER {}", size.saturating_sub(1), size.saturating_add(1));
    let found = session.uid_search(&query)?;
    let mut exact = UidSet::new();
    if !found.is_empty() {
        session.uid_fetch(&found, "UID RFC822.SIZE", no_body, |fetched| {
            if fetched.size == Some(size) {
                exact.insert(fetched.uid);
            }
        })?;
    }
    Ok(exact)
}

/// The fingerprint of a message of the open mailbox.
pub(super) fn fingerprint<R: Remake>(desk: &mut Desk, how: &R, uid: u32) -> Result<Option<Vec<u8>>, BatchError> {
    let mut found = None;
    let one: UidSet = std::iter::once(uid).collect();
    let scratch = |length| how.scratch(length);
    desk.session().uid_fetch(&one, "UID BODY.PEEK[]", scratch, |fetched| {
        if let Some(Ok(scratch)) = fetched.body.filter(|_| fetched.uid == uid) {
            found = how.finish(scratch).and_then(|mut octets| how.fingerprint(&mut octets)).ok();
        }
    })?;
    Ok(found)
}
