//! An account, the way out.
//!
//! In: an account, keys, pinned sealers. Out: the originals, octet for octet, with the flags and dates of arrival that their sealed
//! copies have, and a keyword that keeps other sealers away (A15). First a durable stop, which every sweep of the flow
//! obeys; then the same steps as in sealing, the other way round (format §12.2). A lost connection is made anew. May be cut off
//! at any instant and begun again. What does not open stays as it is and is listed.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealed::scratch::Scratched;
use store::imap::{
    Batch, Comparison, Desk, Ending, FlowLock, Job, Key, Mailbox, Recovering, Recovery, Replaced, Whereabouts,
    is_lockable, recover,
};
use store::journal::{Row, RowId, State, way_back};
use store::ledger::{LedgerError, MessageRef};
use store::{Database, Fate, Halt, Journal, Ledger, UnixSeconds};
use wire::imap::{Fetched, UidSet};

use super::link::Link;
use super::look::{Labelled, headers, look};
use super::patience::Patience;
use super::put_back::{Copies, Item, PutBack, UNSEALED, hash_of, stumble_of};
use super::verify::{left_out, place_of};
use crate::account::AccountError;
use crate::numbers::Numbers;
use crate::opening::{Restored, Stumble, open_whole};
use crate::place::{LeftOut, shown};
use crate::progress::Progress;
use crate::reason;
use crate::settings::{Imap, Sealers, Settings};
use crate::undone::{MAX_LEFT, PATIENCE, Undecided, UndoError, Undone};

pub(crate) fn undo(
    settings: &Settings,
    place: &Imap,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Undone, UndoError> {
    let database = Database::open(&settings.state)?;
    Ledger::on(&database).stop(&settings.flow, UnixSeconds::now())?;
    let _lock = lock(settings)?;
    let mut run = Run {
        settings,
        place,
        database: &database,
        flow: way_back(&settings.flow),
        seen: HashSet::new(),
        waiting: HashSet::new(),
        messages: 0,
        octets: 0,
        undone: Undone::default(),
    };
    let mut patience = Patience::default();
    loop {
        let before = run.messages;
        match run.all(progress, stop) {
            Ok(()) => break,
            Err(End::Interrupted) => {
                run.undone.interrupted = true;
                break;
            }
            Err(End::Error(UndoError::Account(error))) if error.fate() == Fate::Retry => {
                if !patience.again(run.messages > before, stop) {
                    return Err(error.into());
                }
                if stop.load(Ordering::Relaxed) {
                    run.undone.interrupted = true;
                    break;
                }
            }
            Err(End::Error(error)) => return Err(error),
        }
    }
    let journal = Journal::on(&database);
    journal.prune(UnixSeconds(UnixSeconds::now().0.saturating_add(1)))?;
    if journal.unfinished(&run.flow)?.is_empty() {
        Ledger::on(&database).forget_copies(&run.flow)?;
    }
    Ok(run.undone)
}

/// Messages of one batch.
const BATCH_MESSAGES: usize = 128;
/// Octets of one batch, sealed; a larger message is a batch of its own.
const BATCH_OCTETS: u64 = 4 * 1024 * 1024;
/// How often the mailboxes are gone through, when messages were moved meanwhile.
const MOST_ROUNDS: usize = 3;
/// How long another program's lock is respected, in seconds (A13).
const LOCK_TIME: i64 = 15 * 60;

struct Run<'a> {
    settings: &'a Settings,
    place: &'a Imap,
    database: &'a Database,
    /// The name under which the journal knows us.
    flow: String,
    /// What is not to be taken (again): failed, or still under way from an earlier run.
    seen: HashSet<(String, Key)>,
    /// Ids of sealed messages that a sweep has still under way: were they put back now, their originals would be there twice.
    waiting: HashSet<Vec<u8>>,
    /// Done, one way or the other.
    messages: u64,
    octets: u64,
    undone: Undone,
}

/// Messages of one mailbox whose originals go to one mailbox.
struct Group {
    source: Mailbox,
    target: Mailbox,
    validity: u32,
    labelled: Vec<Labelled>,
}

/// Why putting back ended early.
enum End {
    Interrupted,
    Error(UndoError),
}

impl Run<'_> {
    /// Everything, over one connection.
    fn all(&mut self, progress: &mut impl Progress, stop: &AtomicBool) -> Result<(), End> {
        // A batch that is under way is brought to its end.
        let never = Arc::<AtomicBool>::default();
        let mut link = Link::new(self.settings, self.place, &never).map_err(UndoError::from)?;
        if link.removal.is_none() {
            return Err(UndoError::NoSafeRemoval.into());
        }
        self.settle(&mut link)?;
        let mut into = None;
        for _ in 0..MOST_ROUNDS {
            let skipped = self.undone.skipped;
            let groups = self.survey(&mut link, progress)?;
            for group in groups {
                self.put_back(&mut link, &mut into, group, progress, stop)?;
            }
            if self.undone.skipped == skipped {
                break;
            }
        }
        if self.undone.unsettled > 0 {
            // Others were faster than we; by now they have done what they wanted.
            self.settle(&mut link)?;
        }
        link.desk.leave();
        into.into_iter().for_each(Desk::leave);
        Ok(())
    }

    /// What earlier runs had begun: first a sweep's, then our own.
    fn settle(&mut self, link: &mut Link) -> Result<(), UndoError> {
        self.undone.unsettled = 0;
        let settings = self.settings;
        let keep_the_original = |_: &Row, original: Option<&mut Scratched<File>>, copy: &mut Scratched<File>| {
            let opened = match open_whole(settings, copy) {
                Ok(opened) => opened,
                // Not that one; it is put back like any other, or listed.
                Err(open::OpenError::NotSealed(_)) => return Ok(Comparison::Other),
                Err(error) => return Err(Undecided::from(error)),
            };
            Ok(match original {
                // The copy is all there is.
                None => Comparison::Proved(Restored),
                // It goes only if it holds nothing else.
                Some(original) => match hash_of(original)? == *opened.hash() {
                    true => Comparison::Unwanted,
                    false => Comparison::Other,
                },
            })
        };
        self.settle_rows(link, &settings.flow, Copies::Sealed, keep_the_original)?;
        let prove_again = |row: &Row, _: Option<&mut Scratched<File>>, copy: &mut Scratched<File>| {
            // That the original is the sealed message which was opened, its fingerprint tells.
            Ok(match hash_of(copy)?.as_slice() == row.expectation {
                true => Comparison::Proved(Restored),
                false => Comparison::Other,
            })
        };
        let own = self.flow.clone();
        self.settle_rows(link, &own, Copies::Originals, prove_again)
    }

    fn settle_rows(
        &mut self,
        link: &mut Link,
        flow: &str,
        copies: Copies,
        compare: impl FnMut(
            &Row,
            Option<&mut Scratched<File>>,
            &mut Scratched<File>,
        ) -> Result<Comparison<Restored>, Undecided>,
    ) -> Result<(), UndoError> {
        if Journal::on(self.database).unfinished(flow)?.is_empty() {
            return Ok(());
        }
        let Some(removal) = link.removal.clone() else { return Err(UndoError::NoSafeRemoval) };
        let how = self.how(copies, Vec::new())?;
        let ledger = Ledger::on(self.database);
        let own = self.flow.as_str();
        let is_taken = |mailbox: &str, key: Key| {
            let known = || ledger.copy_of(own, mailbox, &key.to_octets());
            copies == Copies::Originals && known().is_ok_and(|known| known.is_some())
        };
        let now = UnixSeconds::now();
        let with = Recovering { database: self.database, flow, mailboxes: &link.mailboxes, removal: &removal, now };
        for recovered in recover(&with, &mut link.desk, &how, &is_taken, compare)? {
            let Row { mailbox, original, copy, .. } = recovered.row;
            match recovered.recovery {
                Ok(recovery) => {
                    self.undone.recovered = self.undone.recovered.saturating_add(1);
                    self.messages = self.messages.saturating_add(1);
                    if copies == Copies::Originals && matches!(recovery, Recovery::Replaced { .. }) {
                        let flow = self.settings.flow.as_str();
                        let message = MessageRef { flow, mailbox: &mailbox, message: &original };
                        ledger.forget(&[message])?;
                    }
                }
                Err(_) => {
                    self.undone.unsettled = self.undone.unsettled.saturating_add(1);
                    match copies {
                        Copies::Sealed => {
                            self.waiting.extend(Whereabouts::from_octets(&copy).map(|place| place.mark));
                        }
                        Copies::Originals => {
                            self.seen.extend(Key::from_octets(&original).map(|key| (mailbox, key)));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn how(&self, copies: Copies, keywords: Vec<String>) -> Result<PutBack<'_>, UndoError> {
        Ok(PutBack {
            settings: self.settings,
            database: Mutex::new(Database::open(&self.settings.state)?),
            flow: self.flow.clone(),
            copies,
            place: self.settings.spools(),
            keywords,
            numbers: Numbers::new(),
        })
    }

    /// What is to be put back, and where.
    fn survey(&mut self, link: &mut Link, progress: &mut impl Progress) -> Result<Vec<Group>, UndoError> {
        self.undone.left_out = link.missing.clone();
        let (mut groups, mut count, mut octets) = (Vec::new(), self.messages, self.octets);
        for mailbox in link.meant.clone() {
            let reopened = link.desk.reopen(&mailbox);
            match reopened.map_err(AccountError::from) {
                Ok(()) => {}
                Err(AccountError::Server(error)) if error.is_refusal() => {
                    self.undone.left_out.push(left_out(&mailbox));
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let validity = link.desk.validity().map_err(AccountError::from)?;
            let mut labelled = look(link.desk.session()).map_err(AccountError::from)?.labelled;
            labelled.retain(|one| {
                let key = Key { validity, uid: one.uid };
                let waits = one.id.is_some_and(|id| self.waiting.contains(&id[..]));
                !waits && !self.seen.contains(&(mailbox.name().to_owned(), key))
            });
            if labelled.is_empty() {
                continue;
            }
            if link.desk.selected().is_ok_and(|selected| selected.read_only) {
                let path = shown(mailbox.name());
                self.undone.left_out.push(LeftOut { path, reason: "may only be read" });
                continue;
            }
            for one in &labelled {
                (count, octets) = (count.saturating_add(1), octets.saturating_add(one.size));
            }
            groups.extend(self.by_target(link, &mailbox, validity, labelled)?);
        }
        progress.total(count, octets);
        Ok(groups)
    }

    /// From the folder that sealed mail was put in, each original goes back to where it was; from elsewhere it does not move.
    fn by_target(
        &self,
        link: &mut Link,
        source: &Mailbox,
        validity: u32,
        labelled: Vec<Labelled>,
    ) -> Result<Vec<Group>, UndoError> {
        let group =
            |target: &Mailbox, labelled| Group { source: source.clone(), target: target.clone(), validity, labelled };
        if self.place.sink.as_deref() != Some(source.name()) {
            return Ok(vec![group(source, labelled)]);
        }
        let mut homes: BTreeMap<u32, String> = BTreeMap::new();
        let uids: Vec<u32> = labelled.iter().map(|one| one.uid).collect();
        headers(link.desk.session(), &uids, |uid, header| {
            let index = open::headers(header, &self.settings.keys, &self.settings.trust);
            homes.extend(index.ok().and_then(|index| index.mailbox).map(|mailbox| (uid, mailbox)));
        })
        .map_err(AccountError::from)?;
        let mut groups: Vec<Group> = Vec::new();
        for one in labelled {
            let home = homes.get(&one.uid).and_then(|name| link.mailbox(name));
            let target = home.or_else(|| link.mailbox("INBOX")).unwrap_or(source);
            match groups.iter_mut().find(|group| group.target == *target) {
                Some(group) => group.labelled.push(one),
                None => groups.push(group(target, vec![one])),
            }
        }
        Ok(groups)
    }

    fn put_back(
        &mut self,
        link: &mut Link,
        into: &mut Option<Desk>,
        group: Group,
        progress: &mut impl Progress,
        stop: &AtomicBool,
    ) -> Result<(), End> {
        let elsewhere = group.target != group.source;
        if elsewhere && into.is_none() {
            let session = self.place.account.connect(&Arc::default()).map_err(AccountError::from)?;
            *into = Some(Desk::new(session));
        }
        let keywords = {
            let desk = into.as_mut().filter(|_| elsewhere).unwrap_or(&mut link.desk);
            desk.turn_to(&group.target).map_err(AccountError::from)?;
            let selected = desk.selected().map_err(AccountError::from)?;
            match is_lockable(&selected.permanent_flags, selected.new_keywords, UNSEALED) {
                true => vec![UNSEALED.to_owned()],
                false if self.place.sealers == Sealers::NoneRuns => Vec::new(),
                false => return Err(UndoError::NoKeywords.into()),
            }
        };
        let mut labelled = group.labelled.iter().peekable();
        while labelled.peek().is_some() {
            if stop.load(Ordering::Relaxed) {
                return Err(End::Interrupted);
            }
            let (mut jobs, mut octets) = (Vec::new(), 0_u64);
            while let Some(one) = labelled.next_if(|one| {
                let fits = octets.saturating_add(one.size) <= BATCH_OCTETS;
                jobs.is_empty() || (fits && jobs.len() < BATCH_MESSAGES)
            }) {
                octets = octets.saturating_add(one.size);
                let insists = self.insists(&group, one.uid).map_err(UndoError::from)?;
                jobs.push(Job { uid: one.uid, note: Vec::new(), item: Item { size: one.size, insists } });
            }
            let into = into.as_mut().filter(|_| elsewhere);
            self.batch(link, into, &group, jobs, &keywords, progress)?;
        }
        Ok(())
    }

    /// Whether another program's lock was there long enough.
    fn insists(&self, group: &Group, uid: u32) -> Result<bool, LedgerError> {
        let message = Key { validity: group.validity, uid }.to_octets();
        let message = MessageRef { flow: &self.flow, mailbox: group.source.name(), message: &message };
        let memory = Ledger::on(self.database).recall(message)?;
        let now = UnixSeconds::now().0;
        Ok(memory.is_some_and(|memory| now.saturating_sub(memory.first_seen.0) >= LOCK_TIME))
    }

    fn batch(
        &mut self,
        link: &mut Link,
        mut into: Option<&mut Desk>,
        group: &Group,
        jobs: Vec<Job<Item>>,
        keywords: &[String],
        progress: &mut impl Progress,
    ) -> Result<(), End> {
        let now = UnixSeconds::now();
        let Some(removal) = link.removal.clone() else { return Err(UndoError::NoSafeRemoval.into()) };
        let how = self.how(Copies::Originals, keywords.to_vec())?;
        let Group { source, target, validity, .. } = group;
        let batch = Batch::begin(self.database, &self.flow, source, target, &link.mailboxes, *validity, jobs, now)?;
        let watch = &mut |step| progress.step(step);
        let replaced = batch.run(&mut link.desk, into.as_deref_mut(), &removal, &how, watch)?;
        let PutBack { numbers, .. } = how;
        let halt = self.book(group, &replaced, &numbers, progress)?;
        let copies = replaced.iter().filter_map(|one| match one.ending {
            Ending::Replaced { copy, .. } => Some(copy.uid),
            _ => None,
        });
        let copies: UidSet = copies.collect();
        if !keywords.is_empty() && !copies.is_empty() {
            // quirk: a server may keep at APPEND only the keywords that it knows already.
            let desk = into.unwrap_or(&mut link.desk);
            desk.turn_to(target).map_err(AccountError::from)?;
            let ignore = |_: Fetched<Vec<u8>>| {};
            desk.session().uid_store(&copies, None, "+FLAGS.SILENT", keywords, ignore).map_err(AccountError::from)?;
        }
        match halt {
            Some(Halt::Full) => Err(UndoError::Full.into()),
            Some(Halt::Forbidden) => Err(UndoError::Forbidden.into()),
            None => Ok(()),
        }
    }

    /// Gives what stops all that would come after, too.
    fn book(
        &mut self,
        group: &Group,
        replaced: &[Replaced<Item, Stumble>],
        numbers: &Numbers<u32>,
        progress: &mut impl Progress,
    ) -> Result<Option<Halt>, UndoError> {
        let over: Vec<RowId> = replaced.iter().filter(|one| one.is_over()).map(|one| one.row).collect();
        let (mut gone, mut copies, mut locked) = (Vec::new(), Vec::new(), Vec::new());
        let mut back = Vec::new();
        let mut halt = None;
        for Replaced { job, ending, .. } in replaced {
            let key = Key { validity: group.validity, uid: job.uid };
            self.messages = self.messages.saturating_add(1);
            self.octets = self.octets.saturating_add(job.item.size);
            match ending {
                Ending::Replaced { copy, .. } => {
                    self.undone.restored = self.undone.restored.saturating_add(1);
                    gone.push(key.to_octets());
                    back.push(job.uid);
                    copies.push(copy.to_octets());
                    progress.done(job.item.size);
                    continue;
                }
                Ending::Vanished
                | Ending::MovedElsewhere
                | Ending::Expunged
                | Ending::MovedAlong
                | Ending::CopyExpunged => {
                    self.undone.skipped = self.undone.skipped.saturating_add(1);
                }
                Ending::Unsettled => self.undone.unsettled = self.undone.unsettled.saturating_add(1),
                Ending::Failed(failure) => match stumble_of(failure) {
                    Stumble::Halt(why) => halt = Some(why),
                    Stumble::Fail(reason) => {
                        if reason == reason::LOCKED {
                            locked.push(key.to_octets());
                        }
                        progress.failed(reason);
                        let count = self.undone.reasons.entry(reason).or_default();
                        *count = count.saturating_add(1);
                        if self.undone.left.len() < MAX_LEFT {
                            self.undone.left.push((place_of(&group.source, key), reason));
                        }
                    }
                },
            }
            self.seen.insert((group.source.name().to_owned(), key));
        }
        let (flow, own) = (self.settings.flow.as_str(), self.flow.as_str());
        let in_source = |flow, message| MessageRef { flow, mailbox: group.source.name(), message };
        let in_target = |message| MessageRef { flow: own, mailbox: group.target.name(), message };
        let forget: Vec<MessageRef<'_>> =
            gone.iter().flat_map(|key| [in_source(flow, &key[..]), in_source(own, &key[..])]).collect();
        let taken: Vec<(MessageRef<'_>, &[u8])> = copies.iter().map(|key| (in_target(&key[..]), &key[..])).collect();
        let locked: Vec<MessageRef<'_>> = locked.iter().map(|key| in_source(own, &key[..])).collect();
        let (ledger, now) = (Ledger::on(self.database), UnixSeconds::now());
        self.database.together(|| {
            Journal::on(self.database).advance(&over, State::Done, now)?;
            ledger.forget(&forget)?;
            ledger.note_copies(&taken)?;
            numbers.note(self.settings, ledger, back.into_iter())?;
            ledger.note_seen(&locked, now)?;
            Ok::<(), UndoError>(())
        })?;
        Ok(halt)
    }
}

/// A sweep that is running sees the stop and ends.
fn lock(settings: &Settings) -> Result<FlowLock, UndoError> {
    const EVERY: Duration = Duration::from_millis(200);
    let state = settings.state.parent().unwrap_or(Path::new("."));
    let mut waited = Duration::ZERO;
    loop {
        match FlowLock::take(state, &settings.flow) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) if waited < PATIENCE => {
                std::thread::sleep(EVERY);
                waited = waited.saturating_add(EVERY);
            }
            Ok(None) => return Err(UndoError::Busy),
            Err(error) => return Err(UndoError::FlowLock(error)),
        }
    }
}

impl<E: Into<UndoError>> From<E> for End {
    fn from(error: E) -> End {
        End::Error(error.into())
    }
}
