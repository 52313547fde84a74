//! A mailbox that a mail program has selected: its messages by number, and what changed since it was told (RFC 3501 §2.3.1, §7.4.1).
//!
//! In: the Maildir as it is now, the UIDs of the state database. Out: messages by number and UID; changes, in the order in which they are to be told. What
//! cannot be read changes nothing: numbers that were told stay.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use store::maildir::ScanError;
use store::uids::{Entry, Numbered};
use store::{Database, Mailbox, Message, Place, Uids};
use wire::imap::server::{SequenceSet, Which};

use super::flags::Recent;
use super::view::View;

/// A selected mailbox.
pub(crate) struct Selected {
    pub(crate) mailbox: Mailbox,
    /// Its row in the state database.
    pub(crate) id: i64,
    pub(crate) validity: u32,
    pub(crate) next: u32,
    pub(crate) access: Access,
    /// By ascending UID.
    pub(crate) items: Vec<Item>,
    looked: Option<SystemTime>,
}

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// SELECT
    Write,
    /// EXAMINE
    Read,
}

/// A message.
pub(crate) struct Item {
    pub(crate) uid: u32,
    pub(crate) message: Message,
    pub(crate) keywords: Vec<String>,
    /// How it was last shown.
    pub(crate) view: Option<View>,
    pub(crate) recent: Recent,
    /// RFC822.SIZE, once it is known.
    pub(crate) size: Option<u64>,
}

/// What a mail program must be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Numbers of messages that are gone, each after those before it were taken away.
    pub(crate) gone: Vec<usize>,
    /// How many there are now, if more came.
    pub(crate) exists: Option<usize>,
    /// Places of messages whose flags changed.
    pub(crate) flagged: Vec<usize>,
}

/// Why a mailbox is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    State(#[from] rusqlite::Error),
}

/// A directory that was changed so short before we looked may have changed since within the same tick of its clock.
const TICK: Duration = Duration::from_secs(2);

/// What is in a mailbox now, with numbers.
pub(crate) struct Census {
    pub(crate) numbered: Numbered,
    messages: HashMap<Vec<u8>, Message>,
}

/// Counts the messages of a mailbox and numbers those that are new.
pub(crate) fn census(database: &Database, root: &Path, mailbox: &Mailbox) -> Result<Census, LookError> {
    let uids = Uids::new(database);
    let mut messages: HashMap<Vec<u8>, Message> = HashMap::new();
    for message in mailbox.messages()? {
        match message {
            // A copying program may leave it in both directories.
            Ok(message) => drop(messages.insert(message.unique().as_bytes().to_vec(), message)),
            Err(ScanError::Io(error)) => return Err(ScanError::Io(error).into()),
            Err(_) => {}
        }
    }
    let known = uids.known(root, mailbox.name())?;
    let known: Vec<Vec<u8>> = known.into_iter().flat_map(|known| known.messages).map(|entry| entry.message).collect();
    // A file that is renamed while its directory is read may be missed: only several passes prove that it is gone.
    let missing: HashSet<_> = known
        .iter()
        .filter(|name| !messages.contains_key(*name))
        .filter_map(|name| store::Unique::parse(name).ok())
        .collect();
    if !missing.is_empty() {
        for (unique, mut found) in mailbox.find_among(&missing)? {
            if let Some(message) = found.pop() {
                messages.insert(unique.as_bytes().to_vec(), message);
            }
        }
    }
    let before: HashSet<&[u8]> = known.iter().map(Vec::as_slice).collect();
    let mut new = Vec::new();
    for (name, message) in messages.iter().filter(|(name, _)| !before.contains(name.as_slice())) {
        if let Some(stat) = mailbox.stat(message)? {
            new.push((stat.modified(), name.clone()));
        }
    }
    new.sort();
    let there = known.iter().filter(|name| messages.contains_key(*name)).cloned();
    let present: Vec<Vec<u8>> = there.chain(new.into_iter().map(|(_, name)| name)).collect();
    Ok(Census { numbered: uids.number(root, mailbox.name(), &present)?, messages })
}

impl Census {
    /// The messages by UID, each with its file.
    pub(crate) fn entries(self) -> impl Iterator<Item = (Entry, Message)> {
        let mut messages = self.messages;
        self.numbered.messages.into_iter().filter_map(move |entry| {
            let message = messages.remove(&entry.message)?;
            Some((entry, message))
        })
    }
}

impl Selected {
    /// Selects a mailbox. With [`Access::Write`], what is in `new/` is taken from there.
    pub(crate) fn open(
        database: &Database,
        root: &Path,
        mailbox: Mailbox,
        access: Access,
    ) -> Result<Selected, LookError> {
        let mut selected = Selected { mailbox, id: 0, validity: 0, next: 1, access, items: Vec::new(), looked: None };
        selected.refresh(database, root)?;
        Ok(selected)
    }

    /// Looks whether anything changed. Cheap while nothing did.
    pub(crate) fn refresh(&mut self, database: &Database, root: &Path) -> Result<Changes, LookError> {
        let now = SystemTime::now();
        if self.is_as_it_was() {
            return Ok(Changes::default());
        }
        let census = census(database, root, &self.mailbox)?;
        self.id = census.numbered.id;
        self.next = census.numbered.next;
        if self.validity == 0 {
            self.validity = census.numbered.validity;
        }
        let mut fresh: Vec<Item> = Vec::with_capacity(census.numbered.messages.len());
        let validity = census.numbered.validity;
        for (entry, mut message) in census.entries() {
            let recent = if message.place() == Place::New { Recent::Yes } else { Recent::No };
            if recent == Recent::Yes && self.access == Access::Write {
                self.mailbox.flag(&mut message, Clone::clone)?;
            }
            let view = entry.view.and_then(View::of_number);
            fresh.push(Item { uid: entry.uid, message, keywords: entry.keywords, view, recent, size: None });
        }
        let changes = self.compare(&mut fresh, validity);
        self.items = fresh;
        self.looked = Some(now);
        Ok(changes)
    }

    /// The next look is a real one.
    pub(crate) fn forget_look(&mut self) {
        self.looked = None;
    }

    /// Places of the messages that a set means; `None`: it names a number that no message has (RFC 3501 §9 `seq-number`).
    pub(crate) fn places(&self, which: Which, set: &SequenceSet) -> Option<Vec<usize>> {
        let largest = match which {
            Which::Numbers => u32::try_from(self.items.len()).unwrap_or(u32::MAX),
            Which::Uids => self.items.last().map_or(0, |item| item.uid),
        };
        if which == Which::Numbers && (set.largest_named() > largest || largest == 0) {
            return None;
        }
        let mut places = Vec::new();
        for (low, high) in set.ranges(largest) {
            let (from, to) = match which {
                Which::Numbers => (place(low).saturating_sub(1), place(high)),
                Which::Uids => (
                    self.items.partition_point(|item| item.uid < low),
                    self.items.partition_point(|item| item.uid <= high),
                ),
            };
            places.extend(from..to.min(self.items.len()));
        }
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    fn is_as_it_was(&self) -> bool {
        let Some(looked) = self.looked else { return false };
        ["new", "cur"].iter().all(|place| {
            let changed = self.mailbox.dir().join(place).metadata().and_then(|metadata| metadata.modified());
            match changed {
                Ok(changed) => changed.checked_add(TICK).is_some_and(|quiet| quiet < looked),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound && *place == "new",
            }
        })
    }

    /// What differs; what is known of those that stay is carried over.
    fn compare(&mut self, fresh: &mut [Item], validity: u32) -> Changes {
        let mut changes = Changes::default();
        let mut stays = 0_usize;
        let same_numbers = validity == self.validity;
        for old in &self.items {
            let at = fresh.binary_search_by_key(&old.uid, |item| item.uid).ok().filter(|_| same_numbers);
            match at.and_then(|at| Some((at, fresh.get_mut(at)?))) {
                None => changes.gone.push(stays.saturating_add(1)),
                Some((at, item)) => {
                    stays = stays.saturating_add(1);
                    let differs = item.message.flags() != old.message.flags() || item.keywords != old.keywords;
                    if differs {
                        changes.flagged.push(at);
                    }
                    item.recent = old.recent;
                    item.size = old.size;
                    if item.message.unique() == old.message.unique() {
                        item.view = item.view.or(old.view);
                    }
                }
            }
        }
        if fresh.len() != stays {
            changes.exists = Some(fresh.len());
        }
        changes
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
