//! Sealed messages that lie twice (A17): a server may show an old one again, as a new one. In: ids of messages that are looked at, with their header sections. Out: which
//! ones are copies that nobody made through us. Nothing is fetched for it.
//!
//! Within a mailbox the message with the lowest UID is the first, the others are its copies. Across mailboxes the one that was seen first is, as long as it is certain
//! without opening its mailbox that it is still there; mailboxes in which a server shows what lies in others are left out.

use std::collections::{HashMap, HashSet};

use sealed::identity::MessageId;
use wire::MailboxName;

use super::contract::{Depot, Filed};
use super::selected::{Selected, Standing};
use crate::vault::{Before, Ids, Mark, Whose};

/// What is known of the messages of the open mailbox.
#[derive(Default)]
pub(crate) struct Copies {
    /// What is known from before; none without a key for it.
    ids: Option<Ids>,
    mailbox: String,
    known: HashMap<u32, (Name, Whose)>,
    /// UIDs of messages that are the same one, ascending.
    same: HashMap<Name, Vec<u32>>,
    /// UIDs of messages that lie in another mailbox besides.
    besides: HashSet<u32>,
    /// Not written down yet.
    new: Vec<(Vec<u8>, Mark, Whose)>,
}

/// What a message is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Kept(Mark),
    /// For this session.
    Now(MessageId),
}

/// Messages that are written down at once.
const TOGETHER: usize = 256;

impl Copies {
    /// What is known of the mailbox that was just opened.
    pub(crate) fn open(ids: Option<Ids>, depot: &mut dyn Depot, selected: &Selected) -> Self {
        let filed: Vec<(u32, Filed)> =
            selected.items.iter().filter_map(|item| Some((item.uid, depot.filed(item.uid)?))).collect();
        let Some((_, Filed { mailbox, .. })) = filed.first() else { return Self { ids, ..Self::default() } };
        let mut copies = Self { ids, mailbox: mailbox.clone(), ..Self::default() };
        let uids: HashMap<Vec<u8>, u32> = filed.into_iter().map(|(uid, filed)| (filed.message, uid)).collect();
        let Some(ids) = &copies.ids else { return copies };
        let (mut known, mut gone) = (Vec::new(), Vec::new());
        // What cannot be read now is found out again.
        for (message, mark, whose) in ids.of(&copies.mailbox).unwrap_or_default() {
            match uids.get(&message) {
                Some(uid) => known.push((*uid, mark, whose)),
                None => gone.push(message),
            }
        }
        // They are in nobody's way until the next time.
        let _ = ids.remove(&copies.mailbox, &gone);
        let before = ids.seen_before(&copies.mailbox).unwrap_or_default();
        known.sort_unstable_by_key(|(uid, ..)| *uid);
        for (uid, mark, whose) in known {
            copies.put(uid, Name::Kept(mark), whose);
        }
        for Before { own, mailbox, message } in before {
            if let Some(uid) = uids.get(&own)
                && copies.lies_there(depot, &mailbox, &message)
            {
                copies.besides.insert(*uid);
            }
        }
        copies.note_stand(depot, selected);
        copies
    }

    /// Whether a message is known, or would not be kept in mind.
    pub(crate) fn knows(&self, uid: u32) -> bool {
        self.ids.is_none() || self.known.contains_key(&uid)
    }

    /// Takes in that a message was seen; the UIDs of those that stand otherwise now.
    pub(crate) fn see(&mut self, depot: &mut dyn Depot, uid: u32, id: MessageId) -> Vec<u32> {
        let name = self.ids.as_ref().map_or(Name::Now(id), |ids| Name::Kept(ids.mark(id)));
        match self.known.get(&uid) {
            Some((known, _)) if *known == name => return Vec::new(),
            // Another message has come in its place.
            Some(_) => drop(self.forget(&[uid])),
            None => {}
        }
        let mut whose = Whose::Found;
        if let (Some(ids), Name::Kept(mark), Some(filed)) = (&self.ids, name, depot.filed(uid)) {
            if ids.was_expected(&filed.mailbox, mark).unwrap_or_default() {
                whose = Whose::Ours;
            }
            self.mailbox = filed.mailbox;
            let others = ids.elsewhere(&self.mailbox, mark).unwrap_or_default();
            let is_besides = others.iter().any(|(mailbox, message)| self.lies_there(depot, mailbox, message));
            if is_besides && whose == Whose::Found {
                self.besides.insert(uid);
            }
            self.new.push((filed.message, mark, whose));
            if self.new.len() >= TOGETHER {
                self.write();
            }
        }
        let first = self.same.get(&name).and_then(|same| same.first()).copied();
        self.put(uid, name, whose);
        first.into_iter().chain([uid]).collect()
    }

    /// Messages are gone; the UIDs of those that stand otherwise now.
    pub(crate) fn forget(&mut self, gone: &[u32]) -> Vec<u32> {
        let mut others = Vec::new();
        for uid in gone {
            self.besides.remove(uid);
            let Some((name, _)) = self.known.remove(uid) else { continue };
            if let Some(same) = self.same.get_mut(&name) {
                same.retain(|other| other != uid);
                others.extend(same.first());
                if same.is_empty() {
                    self.same.remove(&name);
                }
            }
        }
        others
    }

    /// How a message stands.
    pub(crate) fn standing(&self, uid: u32) -> Standing {
        let Some((name, Whose::Found)) = self.known.get(&uid) else { return Standing::Only };
        let is_first = self.same.get(name).is_none_or(|same| same.first() == Some(&uid));
        if is_first && !self.besides.contains(&uid) { Standing::Only } else { Standing::Copy }
    }

    /// A message of the open mailbox is about to be put into a mailbox through us.
    pub(crate) fn expect(&self, uid: u32, to: &MailboxName) {
        if let (Some(ids), Some((Name::Kept(mark), _))) = (&self.ids, self.known.get(&uid)) {
            let _ = ids.expect(to.wire(), *mark);
        }
    }

    /// It was not.
    pub(crate) fn give_up(&self, uid: u32, to: &MailboxName) {
        if let (Some(ids), Some((Name::Kept(mark), _))) = (&self.ids, self.known.get(&uid)) {
            let _ = ids.was_expected(to.wire(), *mark);
        }
    }

    /// Writes down what was seen.
    pub(crate) fn write(&mut self) {
        if let Some(ids) = &self.ids
            && !self.new.is_empty()
        {
            // What cannot be written now is seen again.
            let _ = ids.note(&self.mailbox, &self.new);
        }
        self.new.clear();
    }

    /// The mailbox is left.
    pub(crate) fn close(&mut self, depot: &dyn Depot, selected: &Selected) {
        self.write();
        self.note_stand(depot, selected);
    }

    fn note_stand(&self, depot: &dyn Depot, selected: &Selected) {
        if let (Some(ids), Some(stand)) = (&self.ids, depot.stand(selected)) {
            let _ = ids.note_stand(&self.mailbox, &stand);
        }
    }

    fn lies_there(&self, depot: &mut dyn Depot, mailbox: &str, message: &[u8]) -> bool {
        let stand = self.ids.as_ref().and_then(|ids| ids.stand(mailbox).ok().flatten());
        depot.holds_its_own(&self.mailbox) && depot.holds_its_own(mailbox) && depot.lies_there(mailbox, message, stand)
    }

    fn put(&mut self, uid: u32, name: Name, whose: Whose) {
        self.known.insert(uid, (name, whose));
        let same = self.same.entry(name).or_default();
        if let Err(at) = same.binary_search(&uid) {
            same.insert(at, uid);
        }
    }
}
