//! What a double keeps: mailboxes, and messages that lie in one or, at a Gmail, in several. Knows no protocol; every rule of storage of a
//! character is here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use super::character::{ALL_MAIL, Character, Dedup, SPAM, TRASH};
use super::message::{Stored, now, rewrite};

pub(crate) struct Mailbox {
    pub(crate) special: &'static str,
    pub(crate) validity: u32,
    pub(crate) next: u32,
    /// UID and message, ascending.
    pub(crate) entries: Vec<(u32, u64)>,
}

/// All mail of alice.
pub(crate) struct Store {
    pub(crate) character: Character,
    pub(crate) mailboxes: BTreeMap<String, Mailbox>,
    pub(crate) messages: HashMap<u64, Stored>,
    pub(crate) modseq: u64,
    validities: u32,
    numbers: u64,
    /// Verbs in the order in which they came.
    pub(crate) commands: Vec<String>,
    /// What is refused from now on: verb or `*`, and the answer.
    pub(crate) refused: Vec<(String, String)>,
    /// A late APPEND is none any more.
    pub(crate) is_prompt: bool,
}

/// Where a message lies now.
pub(crate) struct Placed {
    pub(crate) validity: u32,
    pub(crate) uid: u32,
}

pub(crate) fn locked(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Store {
    pub(crate) fn new(character: Character) -> Store {
        let mut store = Store {
            character,
            mailboxes: BTreeMap::new(),
            messages: HashMap::new(),
            modseq: 1,
            validities: 100,
            numbers: 1_278_455_344_230_334_000,
            commands: Vec::new(),
            refused: Vec::new(),
            is_prompt: false,
        };
        for (name, special) in character.mailboxes() {
            store.create(name, special);
        }
        store
    }

    pub(crate) fn create(&mut self, name: &str, special: &'static str) {
        self.validities += 1;
        let mailbox = Mailbox { special, validity: self.validities, next: 1, entries: Vec::new() };
        self.mailboxes.insert(name.to_owned(), mailbox);
    }

    /// A new UIDVALIDITY and new UIDs for the same messages (RFC 9051 §2.3.1.1).
    pub(crate) fn renumber(&mut self, name: &str) {
        self.validities += 1;
        let validity = self.validities;
        let mailbox = self.mailboxes.get_mut(name).expect("a mailbox of the double");
        mailbox.validity = validity;
        let shift = mailbox.next;
        for (at, entry) in mailbox.entries.iter_mut().enumerate() {
            entry.0 = shift + u32::try_from(at).expect("few messages");
            mailbox.next = entry.0 + 1;
        }
    }

    /// Octets of all messages.
    pub(crate) fn size(&self) -> u64 {
        self.messages.values().map(|message| message.octets.len() as u64).sum()
    }

    /// Stores as a server does that is given a message. `None` for a mailbox that is not there.
    pub(crate) fn append(&mut self, name: &str, octets: &[u8], flags: &[String], date: Option<&str>) -> Option<Placed> {
        self.mailboxes.get(name)?;
        let octets = if self.character == Character::Exchange { rewrite(octets) } else { octets.to_vec() };
        let flags = if self.character == Character::FlagLoser { Vec::new() } else { self.permitted(flags) };
        let date = date.filter(|_| self.character != Character::DateLoser).map_or_else(now, str::to_owned);
        self.numbers += 1;
        let new = Stored { number: self.numbers, octets, flags, date, modseq: 0 };
        let known = self.known(&new);
        let number = match (self.character, known) {
            (Character::Gmail { dedup: Dedup::Ignore }, Some(old)) => old,
            (character, known) => {
                if let (Character::Gmail { dedup: Dedup::Replace }, Some(old)) = (character, known) {
                    self.destroy(old);
                }
                let number = new.number;
                self.messages.insert(number, new);
                number
            }
        };
        Some(self.put(name, number))
    }

    /// Stores exactly this; a Gmail's own delivery knows no duplicates either.
    pub(crate) fn deliver(&mut self, name: &str, octets: &[u8], flags: &[&str], date: &str) -> u32 {
        self.numbers += 1;
        let number = self.numbers;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.messages
            .insert(number, Stored { number, octets: octets.to_vec(), flags, date: date.to_owned(), modseq: 0 });
        self.put(name, number).uid
    }

    /// COPY: another message, or at a Gmail another label. MOVE does the same and takes away.
    pub(crate) fn copy(&mut self, number: u64, name: &str) -> Placed {
        if self.character.is_gmail() {
            return self.put(name, number);
        }
        self.numbers += 1;
        let copy = Stored { number: self.numbers, ..self.messages[&number].clone() };
        let number = copy.number;
        self.messages.insert(number, copy);
        self.put(name, number)
    }

    /// What EXPUNGE does to one message.
    pub(crate) fn expunge(&mut self, name: &str, number: u64) {
        match self.character {
            Character::ExpungeLiar => {}
            Character::Gmail { .. } => {
                if let Some(message) = self.messages.get_mut(&number) {
                    message.remove(&["\\Deleted".to_owned()]);
                }
                match name {
                    TRASH | SPAM => self.destroy(number),
                    // quirk: Gmail: out of All Mail is into Trash.
                    ALL_MAIL => drop(self.put(TRASH, number)),
                    _ => self.take(name, number),
                }
            }
            _ => self.destroy(number),
        }
    }

    /// Out of one mailbox; for good where it lies in no other.
    pub(crate) fn take(&mut self, name: &str, number: u64) {
        if let Some(mailbox) = self.mailboxes.get_mut(name) {
            mailbox.entries.retain(|entry| entry.1 != number);
        }
        if !self.mailboxes.values().any(|mailbox| mailbox.entries.iter().any(|entry| entry.1 == number)) {
            self.messages.remove(&number);
        }
        self.touch(number);
    }

    /// A flag, a label or a place of it changed.
    pub(crate) fn touch(&mut self, number: u64) {
        self.modseq += 1;
        if let Some(message) = self.messages.get_mut(&number) {
            message.modseq = self.modseq;
        }
    }

    /// Flags that this server keeps.
    pub(crate) fn permitted(&self, flags: &[String]) -> Vec<String> {
        let keeps = |flag: &&String| flag.starts_with('\\') || self.character.keeps_keywords();
        let mut kept = Vec::new();
        for flag in flags.iter().filter(keeps) {
            if !kept.contains(flag) {
                kept.push(flag.clone());
            }
        }
        kept
    }

    /// Of a Gmail: the mailboxes it is in, in Gmail's words.
    pub(crate) fn labels(&self, number: u64) -> Vec<String> {
        let within = |mailbox: &Mailbox| mailbox.entries.iter().any(|entry| entry.1 == number);
        let shown = self.mailboxes.iter().filter(|(name, _)| ![ALL_MAIL, TRASH, SPAM].contains(&name.as_str()));
        shown.filter(|(_, mailbox)| within(mailbox)).map(|(name, _)| label(name)).collect()
    }

    /// Puts a stored message in a mailbox as well; where it already is, it stays what it is.
    pub(crate) fn put(&mut self, name: &str, number: u64) -> Placed {
        if self.character.is_gmail() {
            match name {
                TRASH | SPAM => self.leave(number, |other| other != name),
                _ => {
                    self.leave(number, |other| [TRASH, SPAM].contains(&other));
                    if name != ALL_MAIL {
                        self.enter(ALL_MAIL, number);
                    }
                }
            }
        }
        self.enter(name, number)
    }

    fn enter(&mut self, name: &str, number: u64) -> Placed {
        let mailbox = self.mailboxes.get_mut(name).expect("a mailbox that was looked up");
        let validity = mailbox.validity;
        if let Some(entry) = mailbox.entries.iter().find(|entry| entry.1 == number) {
            return Placed { validity, uid: entry.0 };
        }
        let uid = mailbox.next;
        mailbox.next += 1;
        mailbox.entries.push((uid, number));
        self.touch(number);
        Placed { validity, uid }
    }

    fn leave(&mut self, number: u64, which: impl Fn(&str) -> bool) {
        for (_, mailbox) in self.mailboxes.iter_mut().filter(|(name, _)| which(name)) {
            mailbox.entries.retain(|entry| entry.1 != number);
        }
    }

    fn destroy(&mut self, number: u64) {
        self.leave(number, |_| true);
        self.messages.remove(&number);
        self.modseq += 1;
    }

    fn known(&self, new: &Stored) -> Option<u64> {
        let id = new.field("Message-ID")?;
        self.messages.values().find(|old| old.field("Message-ID").as_ref() == Some(&id)).map(|old| old.number)
    }
}

const LABELS: [(&str, &str); 5] = [
    ("INBOX", "\\Inbox"),
    ("[Gmail]/Drafts", "\\Draft"),
    ("[Gmail]/Important", "\\Important"),
    ("[Gmail]/Sent Mail", "\\Sent"),
    ("[Gmail]/Starred", "\\Starred"),
];

fn label(mailbox: &str) -> String {
    LABELS.iter().find(|(name, _)| *name == mailbox).map_or(mailbox, |(_, label)| label).to_owned()
}

/// The mailbox that a label means.
pub(crate) fn labelled(label: &str) -> String {
    LABELS.iter().find(|(_, own)| own.eq_ignore_ascii_case(label)).map_or(label, |(name, _)| name).to_owned()
}
