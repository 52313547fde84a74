//! The selected mailbox as one session knows it: sequence numbers, and what it was told. Out: the untagged answers that bring it up to date
//! (RFC 9051 §5.2, §7.5).

use super::set::Set;
use super::store::Store;

pub(crate) struct Selected {
    pub(crate) name: String,
    pub(crate) read_only: bool,
    /// In the order of sequence numbers.
    view: Vec<Known>,
}

struct Known {
    uid: u32,
    number: u64,
    /// Flags as last told.
    flags: Vec<String>,
}

/// A message as a command named it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) sequence: u32,
    pub(crate) uid: u32,
    pub(crate) number: u64,
}

impl Selected {
    /// `None` for a mailbox that is not there.
    pub(crate) fn open(store: &Store, name: &str, read_only: bool) -> Option<Selected> {
        let entries = &store.mailboxes.get(name)?.entries;
        let known = |&(uid, number): &(u32, u64)| Known { uid, number, flags: store.messages[&number].flags.clone() };
        Some(Selected { name: name.to_owned(), read_only, view: entries.iter().map(known).collect() })
    }

    /// All messages that are still there.
    pub(crate) fn all(&self, store: &Store) -> Vec<Place> {
        let places =
            (1..).zip(&self.view).map(|(sequence, known)| Place { sequence, uid: known.uid, number: known.number });
        places.filter(|place| store.messages.contains_key(&place.number)).collect()
    }

    /// The messages of a set of UIDs or of sequence numbers; `None` for what is no set.
    pub(crate) fn pick(&self, store: &Store, set: &str, by_uid: bool) -> Option<Vec<Place>> {
        let set = Set::read(set, if by_uid { self.last_uid() } else { self.last_sequence() })?;
        let mut places = self.all(store);
        places.retain(|place| set.has(if by_uid { place.uid } else { place.sequence }));
        Some(places)
    }

    pub(crate) fn last_sequence(&self) -> u32 {
        u32::try_from(self.view.len()).expect("few messages")
    }

    pub(crate) fn last_uid(&self) -> u32 {
        self.view.last().map_or(0, |known| known.uid)
    }

    /// The session was just told, or asked not to be told, the flags of a message.
    pub(crate) fn told(&mut self, store: &Store, uid: u32) {
        for known in self.view.iter_mut().filter(|known| known.uid == uid) {
            known.flags = store.messages.get(&known.number).map(|message| message.flags.clone()).unwrap_or_default();
        }
    }

    /// EXPUNGE, EXISTS and flags that others changed.
    pub(crate) fn news(&mut self, store: &Store, modseqs: bool) -> String {
        let entries = store.mailboxes.get(&self.name).map(|mailbox| mailbox.entries.as_slice()).unwrap_or_default();
        let mut news = String::new();
        let mut at = 0;
        while at < self.view.len() {
            if entries.contains(&(self.view[at].uid, self.view[at].number)) {
                at += 1;
            } else {
                self.view.remove(at);
                news += &format!("* {} EXPUNGE\r\n", at + 1);
            }
        }
        let before = self.view.len();
        let last = self.last_uid();
        for &(uid, number) in entries.iter().filter(|(uid, _)| *uid > last) {
            self.view.push(Known { uid, number, flags: store.messages[&number].flags.clone() });
        }
        if self.view.len() > before {
            news += &format!("* {} EXISTS\r\n", self.view.len());
        }
        for (sequence, known) in (1..).zip(&mut self.view) {
            let message = &store.messages[&known.number];
            if known.flags != message.flags {
                known.flags.clone_from(&message.flags);
                let modseq = if modseqs { format!(" MODSEQ ({})", message.modseq) } else { String::new() };
                news +=
                    &format!("* {sequence} FETCH (UID {} FLAGS ({}){modseq})\r\n", known.uid, known.flags.join(" "));
            }
        }
        news
    }
}
