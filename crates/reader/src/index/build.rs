//! The index brought up to date: messages that it lacks are opened and put in, those that are gone go. In: a Maildir or an account, keys. Out: counts, progress. What does
//! not open is left out and counted. It may be stopped between any two messages, and goes on the next time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::MailboxName;
use zeroize::Zeroizing;

use super::entry::{Index, IndexError};
use super::record::record_of;
use crate::depot::{Access, Bodies, Depot, Trouble, View, Way, whole};
use crate::means::{Means, SealWith};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::vault::{VaultError, make_key, read_key, remove_files};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Indexed {
    /// Messages put in.
    pub added: u64,
    /// Messages that were there.
    pub kept: u64,
    /// Messages taken out.
    pub removed: u64,
    /// Messages that do not open, or cannot be read.
    pub failed: u64,
    /// Of those that were put in now: sealed by nobody who is trusted, or not to our key. Only their outer header fields can be searched.
    pub foreign: u64,
    /// Mailboxes that cannot be opened.
    pub left_out: Vec<String>,
}

/// Whether everything is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// It is.
    Yes,
    /// Only what is missing.
    No,
}

/// The mark of a mailbox of which everything was put in, but that is looked into again.
const RESTLESS: &[u8] = b"?";
/// Messages of one transaction.
const BATCH: usize = 128;

/// Brings the index up to date; makes it, if there is none and `with` can seal its key. `anew`: everything is made again.
pub fn index(
    settings: &Settings,
    with: Option<&SealWith>,
    anew: Anew,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Indexed, IndexError> {
    // Where there is no mail, nothing is made for it.
    let way = Way::find(settings)?;
    if anew == Anew::Yes || read_key(settings).is_none() {
        let with = with.ok_or(IndexError::NoSealer)?;
        remove_files(settings)?;
        make_key(settings, with).map_err(|_| VaultError::Unavailable)?;
    }
    let index = Index::open(settings)?;
    let depot = way.reach(Means { mail: settings, seal: with }, stop)?;
    let mut builder = Builder { index, settings, depot, bodies: Bodies::default(), indexed: Indexed::default(), stop };
    let work = builder.survey()?;
    progress.total(work.iter().map(|mailbox| mailbox.missing.len() as u64).sum(), 0);
    for mailbox in work {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        builder.fill(mailbox, progress)?;
    }
    builder.index.vault.settle();
    Ok(builder.indexed)
}

struct Builder<'s> {
    index: Index,
    settings: &'s Settings,
    depot: Box<dyn Depot + 's>,
    bodies: Bodies,
    indexed: Indexed,
    stop: &'s AtomicBool,
}

/// A mailbox of which messages are missing.
struct Lacking {
    name: MailboxName,
    mark: Option<Vec<u8>>,
    /// Messages that are there.
    present: usize,
    missing: Vec<u32>,
}

impl Builder<'_> {
    /// What is missing; what is too much goes.
    fn survey(&mut self) -> Result<Vec<Lacking>, IndexError> {
        let names = self.depot.mailboxes().map_err(|_| IndexError::Mail)?;
        let present: HashSet<&str> = names.iter().map(MailboxName::wire).collect();
        let removed = self.index.vault.keep_mailboxes(&present)?;
        self.indexed.removed = self.indexed.removed.saturating_add(removed);
        let batch = self.index.vault.batch()?;
        for name in &names {
            self.index.vault.note_mailbox(name.wire())?;
        }
        batch.commit()?;
        let mut work = Vec::new();
        let marks = self.depot.marks(&names);
        for (name, mark) in names.into_iter().zip(marks) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if mark.is_some() && mark == self.index.vault.complete(name.wire())? {
                let kept = self.index.vault.messages(name.wire())?.len() as u64;
                self.indexed.kept = self.indexed.kept.saturating_add(kept);
                continue;
            }
            match self.depot.open(&name, Access::Read) {
                Ok(selected) => {
                    let missing = self.missing(name.wire(), selected.items.iter().map(|item| item.uid))?;
                    work.push(Lacking { name, mark, present: selected.items.len(), missing });
                }
                Err(_) if self.depot.is_over() => return Err(IndexError::Mail),
                Err(_) => self.indexed.left_out.push(name.utf8()),
            }
        }
        Ok(work)
    }

    fn missing(&mut self, mailbox: &str, uids: impl Iterator<Item = u32>) -> Result<Vec<u32>, IndexError> {
        let there: HashSet<Vec<u8>> = self.index.vault.messages(mailbox)?.into_iter().collect();
        let (mut missing, mut present) = (Vec::new(), HashSet::new());
        for uid in uids {
            let Some(filed) = self.depot.filed(uid) else { continue };
            if there.contains(&filed.message) {
                self.indexed.kept = self.indexed.kept.saturating_add(1);
            } else {
                missing.push(uid);
            }
            // Another process may put in meanwhile what was missing here.
            present.insert(filed.message);
        }
        let removed = self.index.vault.tidy(mailbox, |message| present.contains(message))?;
        self.indexed.removed = self.indexed.removed.saturating_add(removed);
        Ok(missing)
    }

    fn fill(&mut self, lacking: Lacking, progress: &mut impl Progress) -> Result<(), IndexError> {
        // A mailbox that went meanwhile is seen by the next survey.
        if !lacking.missing.is_empty() && self.depot.open(&lacking.name, Access::Read).is_err() {
            return if self.depot.is_over() { Err(IndexError::Mail) } else { Ok(()) };
        }
        self.depot.prepare(&lacking.missing);
        self.bodies.expect(lacking.missing.clone());
        let mut ahead: VecDeque<u32> = lacking.missing.iter().copied().collect();
        while !ahead.is_empty() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.transaction(&mut ahead, progress)?;
            if self.depot.is_over() {
                return Err(IndexError::Mail);
            }
        }
        // What failed is tried again; what another process took out meanwhile is put in again.
        let batch = self.index.vault.batch()?;
        let whole = self.index.vault.messages(lacking.name.wire())?.len() == lacking.present;
        let mark = lacking.mark.as_deref().unwrap_or(RESTLESS);
        self.index.vault.note_complete(lacking.name.wire(), whole.then_some(mark))?;
        Ok(batch.commit()?)
    }

    fn transaction(&mut self, ahead: &mut VecDeque<u32>, progress: &mut impl Progress) -> Result<(), IndexError> {
        let mut records = Vec::new();
        while records.len() < BATCH
            && !self.stop.load(Ordering::Relaxed)
            && let Some(uid) = ahead.pop_front()
        {
            match self.record(uid) {
                Ok(record) => {
                    records.extend(self.depot.filed(uid).map(|filed| (filed, record)));
                    progress.done(0);
                }
                Err(Trouble::Gone) => progress.done(0),
                Err(_) => {
                    self.indexed.failed = self.indexed.failed.saturating_add(1);
                    progress.failed("damaged");
                }
            }
        }
        let batch = self.index.vault.batch()?;
        for (filed, record) in records {
            self.index.vault.put(&filed.mailbox, &filed.message, record)?;
            self.indexed.added = self.indexed.added.saturating_add(1);
        }
        batch.commit()?;
        Ok(())
    }

    fn record(&mut self, uid: u32) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let look = self.depot.look(uid)?;
        let arrived = self.depot.arrived(uid)?.unix;
        let body = self.bodies.take(uid, self.depot.as_mut())?;
        let record = record_of(&mut whole(self.settings, body, &look)?, arrived)?;
        self.indexed.foreign = self.indexed.foreign.saturating_add(u64::from(look.view() == View::Foreign));
        Ok(record)
    }
}
