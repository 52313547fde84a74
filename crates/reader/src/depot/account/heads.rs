//! Header sections, taken from the server in batches and kept encrypted (RFC 3501 §6.4.5). In: UIDs that will be asked for. Out: what is known of each. No body is fetched.
//! Never more in memory than one batch.

use std::collections::{HashMap, VecDeque};

use sealed::limit::MAX_HEADER_SECTION;
use wire::UidSet;
use wire::imap::Fetched;

use super::head::Head;
use super::upstream::Upstream;
use crate::depot::contract::Filed;
use crate::depot::selected::Selected;
use crate::depot::view::{Look, Trouble, View, look};
use crate::settings::Settings;
use crate::vault::{Batch, Vault};

/// What is known of the messages of the open mailbox.
pub(crate) struct Heads {
    mailbox: String,
    validity: u32,
    /// Will be asked for, in this order.
    ahead: VecDeque<u32>,
    /// In memory.
    now: HashMap<u32, Head>,
}

/// Messages of one batch.
const BATCH: usize = 256;
/// Octets of their header sections.
const MAX_BATCH: usize = 16 << 20;

impl Heads {
    pub(crate) fn new(mailbox: &str, validity: u32) -> Self {
        Self { mailbox: mailbox.to_owned(), validity, ahead: VecDeque::new(), now: HashMap::new() }
    }

    /// These will be asked for.
    pub(crate) fn prepare(&mut self, uids: &[u32]) {
        self.ahead = uids.iter().copied().collect();
    }

    /// What is known of a message.
    pub(crate) fn head(
        &mut self,
        uid: u32,
        upstream: &mut Upstream,
        kept: Option<&Vault>,
        settings: &Settings,
    ) -> Result<&mut Head, Trouble> {
        if !self.now.contains_key(&uid) {
            if self.now.len() >= BATCH {
                self.now.clear();
            }
            match self.kept(uid, kept) {
                Some(head) => drop(self.now.insert(uid, head)),
                None => self.fetch(uid, upstream, kept, settings)?,
            }
        }
        self.now.get_mut(&uid).ok_or(Trouble::Gone)
    }

    /// BODYSTRUCTURE of a message that is shown as it lies; of those beside it too.
    pub(crate) fn structure(
        &mut self,
        uid: u32,
        upstream: &mut Upstream,
        kept: Option<&Vault>,
        settings: &Settings,
    ) -> Result<Option<String>, Trouble> {
        if let Some(structure) = &self.head(uid, upstream, kept, settings)?.structure {
            return Ok(Some(structure.clone()));
        }
        let lacking = |head: &Head| matches!(head.look, Look::File(..)) && head.structure.is_none();
        let set: UidSet = self.now.iter().filter(|(_, head)| lacking(head)).map(|(uid, _)| *uid).collect();
        let mut told: Vec<(u32, String)> = Vec::new();
        let mut octets = 0_usize;
        let asked = upstream.ask(|session| {
            session.uid_fetch(
                &set,
                "UID BODYSTRUCTURE",
                |_| Ok(std::io::sink()),
                |fetched| {
                    if let Some(structure) = fetched.structure {
                        octets = octets.saturating_add(structure.len());
                        if octets <= MAX_BATCH {
                            told.push((fetched.uid, structure));
                        }
                    }
                },
            )
        });
        asked.map_err(|_| Trouble::Io)?;
        let transaction = kept.and_then(|kept| kept.batch().ok());
        for (uid, structure) in told {
            if let Some(head) = self.now.get_mut(&uid).filter(|head| lacking(head)) {
                head.structure = Some(structure);
                keep(kept, &self.mailbox, self.validity, uid, head);
            }
        }
        let _ = transaction.map(Batch::commit);
        Ok(self.now.get(&uid).and_then(|head| head.structure.clone()))
    }

    /// What is kept of messages that are not there any more goes.
    pub(crate) fn tidy(&self, kept: &Vault, present: &[u32]) {
        let is_there =
            |message: &[u8]| present.binary_search_by(|uid| key(self.validity, *uid).as_slice().cmp(message)).is_ok();
        // It is in nobody's way.
        let _ = kept.tidy(&self.mailbox, is_there);
    }

    /// Under which names records of a message are kept.
    pub(crate) fn filed(&self, uid: u32) -> Filed {
        Filed { mailbox: self.mailbox.clone(), message: key(self.validity, uid).to_vec() }
    }

    /// UIDVALIDITY, UIDNEXT, MESSAGES: as `Depot::marks` has them.
    pub(crate) fn stand(&self, selected: &Selected) -> Vec<u8> {
        let next = selected.items.last().map_or(1, |item| item.uid.saturating_add(1)).max(selected.next);
        let count = u32::try_from(selected.items.len()).unwrap_or(u32::MAX);
        [self.validity, next, count].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn kept(&self, uid: u32, kept: Option<&Vault>) -> Option<Head> {
        Head::read(&kept?.octets(&self.mailbox, &key(self.validity, uid)).ok()??)
    }

    /// Fetches the message's header section, and those that will be asked for after it.
    fn fetch(
        &mut self,
        uid: u32,
        upstream: &mut Upstream,
        kept: Option<&Vault>,
        settings: &Settings,
    ) -> Result<(), Trouble> {
        let mut set = UidSet::new();
        set.insert(uid);
        if self.ahead.contains(&uid) {
            while self.ahead.pop_front().is_some_and(|before| before != uid) {}
            // Those of which something is kept are not asked for.
            let lacking = self.ahead.iter().filter(|uid| self.kept(**uid, kept).is_none());
            for next in lacking.take(BATCH - 1) {
                set.insert(*next);
            }
        }
        self.now.clear();
        let (mut heads, mut octets) = (Vec::new(), 0_usize);
        // Of a header section that is longer than one of ours can be no more than shows that it is: somebody else's mail must not end the session.
        let items =
            format!("UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER]<0.{}>", MAX_HEADER_SECTION.saturating_add(1));
        let asked = upstream.ask(|session| {
            session.uid_fetch(
                &set,
                &items,
                |_| Ok(std::io::sink()),
                |fetched| {
                    let told = fetched.uid;
                    let Some((head, length)) = head_of(fetched, settings) else { return };
                    octets = octets.saturating_add(length);
                    // The one that is wanted is taken in any case; others are asked for again.
                    if set.contains(told) && (told == uid || octets <= MAX_BATCH) {
                        heads.push((told, head));
                    }
                },
            )
        });
        asked.map_err(|_| Trouble::Io)?;
        let transaction = kept.and_then(|kept| kept.batch().ok());
        for (uid, head) in heads {
            keep(kept, &self.mailbox, self.validity, uid, &head);
            self.now.insert(uid, head);
        }
        let _ = transaction.map(Batch::commit);
        Ok(())
    }
}

/// What cannot be kept is asked for again the next time.
fn keep(kept: Option<&Vault>, mailbox: &str, validity: u32, uid: u32, head: &Head) {
    if let Some(kept) = kept {
        let _ = kept.put(mailbox, &key(validity, uid), head.write());
    }
}

/// The UID of the message whose records have that name.
pub(crate) fn uid_of(message: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*message.last_chunk::<4>()?))
}

/// Under which a message's head is kept.
fn key(validity: u32, uid: u32) -> [u8; 8] {
    ((u64::from(validity) << 32) | u64::from(uid)).to_be_bytes()
}

fn head_of(fetched: Fetched<std::io::Sink>, settings: &Settings) -> Option<(Head, usize)> {
    let (arrived, size) = (fetched.internal_date?, fetched.size?);
    let (_, header) = fetched.sections.into_iter().find(|(name, _)| name == "HEADER")?;
    let length = header.len();
    let look = match length {
        ..=MAX_HEADER_SECTION => look(settings, Some(header)),
        // It cannot be sealed; it is looked into when it is whole.
        _ => Look::File(View::AsItLies, None),
    };
    Some((Head { arrived, size, structure: None, look }, length))
}
