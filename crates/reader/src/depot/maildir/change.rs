//! What a mail program changes in a Maildir: STORE, EXPUNGE, COPY, MOVE (RFC 3501 §6.4, RFC 4315, RFC 6851).
//!
//! In: places of messages in the open mailbox. Out: renamed, copied and removed files; UIDs of what was copied. A sealed message is copied as it is, sealed.
//! Never removes a message that is not flagged as deleted at that moment, but for one that was moved.

use store::{Database, Flags, Mailbox, Maildir, Uids, Unique};
use wire::imap::server::{Flag, StoreKind, number_set};

use super::census::{LookError, census};
use super::opened::Opened;
use crate::depot::contract::{Carried, Leave};
use crate::depot::flags::{of_file, store_keywords, store_letters};
use crate::depot::selected::Selected;
use crate::depot::view::{Trouble, View};

impl Opened {
    /// Stores flags; places that failed.
    pub(crate) fn store(
        &mut self,
        database: &Database,
        selected: &mut Selected,
        places: &[usize],
        kind: StoreKind,
        flags: &[Flag],
    ) -> rusqlite::Result<Vec<usize>> {
        let mut failed = Vec::new();
        let mut keywords = Vec::new();
        for item in places.iter().filter_map(|place| selected.items.get(*place)) {
            let Some((_, filed)) = self.file(item.uid) else { continue };
            let stored = store_keywords(&filed.keywords, kind, flags);
            if stored != filed.keywords {
                keywords.push((item.uid, stored));
            }
        }
        // First what may fail as a whole: whoever is told NO finds no file that is flagged.
        Uids::new(database).set_keywords(self.id, &keywords)?;
        for &place in places {
            let Some(item) = selected.items.get_mut(place) else { continue };
            let Some((mailbox, filed)) = self.file(item.uid) else { continue };
            filed.keywords = store_keywords(&filed.keywords, kind, flags);
            match mailbox.flag(&mut filed.message, |now| store_letters(now, kind, flags)) {
                Ok(true) => {}
                Ok(false) | Err(_) => {
                    failed.push(place);
                    continue;
                }
            }
            item.flags = of_file(&filed.message.flags(), &filed.keywords);
        }
        Ok(failed)
    }

    /// Removes those of these messages that are flagged as deleted; how many could not be.
    pub(crate) fn expunge(&mut self, uids: &[u32]) -> usize {
        let mut failed = 0_usize;
        for &uid in uids {
            let Some((mailbox, filed)) = self.file(uid) else { continue };
            let is_deleted = |flags: &Flags| flags.contains(Flags::TRASHED);
            if is_deleted(&filed.message.flags()) && mailbox.remove(&mut filed.message, is_deleted).is_err() {
                failed = failed.saturating_add(1);
            }
        }
        self.settle();
        failed
    }

    /// Copies or moves messages into a mailbox.
    pub(crate) fn carry(
        &mut self,
        database: &Database,
        selected: &Selected,
        places: &[usize],
        to: &Mailbox,
        maildir: &Maildir,
        leave: Leave,
    ) -> Result<Carried, LookError> {
        let mut carried = Vec::new();
        let mut failed = 0_usize;
        for &place in places {
            let Some(item) = selected.items.get(place) else { continue };
            let Some((from, filed)) = self.file(item.uid) else { continue };
            let done = match leave {
                Leave::Stay => from.copy_to(&mut filed.message, to),
                Leave::Go => from.move_to(&mut filed.message, to),
            };
            match done {
                Ok(Some(unique)) => carried.push((item.uid, unique, filed.keywords.clone(), item.view)),
                Ok(None) | Err(_) => failed = failed.saturating_add(1),
            }
        }
        if to.sync().is_err() {
            failed = failed.max(1);
        }
        if leave == Leave::Stay && failed > 0 {
            take_back(&carried, to);
            carried.clear();
        }
        if leave == Leave::Go {
            self.settle();
        }
        self.forget_look();
        if carried.is_empty() {
            return Ok(Carried { code: None, failed });
        }
        match number(database, &carried, to, maildir) {
            Ok(code) => Ok(Carried { code, failed }),
            Err(error) if leave == Leave::Stay => {
                take_back(&carried, to);
                Err(error)
            }
            // They are there, and no more here: numbers and keywords are all that is not known of them.
            Err(_) => Ok(Carried { code: None, failed }),
        }
    }

    /// Removals become durable; if that fails, they come again, which harms nobody.
    fn settle(&mut self) {
        let _ = self.mailbox.sync();
        self.forget_look();
    }
}

/// A message that was carried: the UID that it had, the name that it has now, its keywords, how it is shown.
type Moved = (u32, Unique, Vec<String>, Option<View>);

/// Copies go again, all of them (RFC 3501 §6.4.7): whoever tries again must not find some of them twice.
fn take_back(copies: &[Moved], to: &Mailbox) {
    let wanted = copies.iter().map(|(_, unique, ..)| unique.clone()).collect();
    for mut copy in to.find_among(&wanted).unwrap_or_default().into_values().flatten() {
        let _ = to.remove(&mut copy, |_| true);
    }
    let _ = to.sync();
}

/// Numbers what was carried; the response code (RFC 4315 §3).
fn number(
    database: &Database,
    carried: &[Moved],
    to: &Mailbox,
    maildir: &Maildir,
) -> Result<Option<String>, LookError> {
    let numbered = census(database, maildir.root(), to)?.numbered;
    let (mut sources, mut targets, mut keywords, mut views) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (uid, unique, words, view) in carried {
        // One that somebody removed in this moment has no number.
        let Some(entry) = numbered.messages.iter().find(|entry| entry.message == unique.as_bytes()) else {
            continue;
        };
        sources.push(*uid);
        targets.push(entry.uid);
        if !words.is_empty() {
            keywords.push((entry.uid, words.clone()));
        }
        views.extend(view.map(|view| (entry.uid, view.number())));
    }
    note(database, numbered.id, &keywords, &views)?;
    let (sources, targets) = (number_set(&sources), number_set(&targets));
    Ok((!sources.is_empty()).then(|| format!("COPYUID {} {sources} {targets}", numbered.validity)))
}

/// Notes keywords and views of new messages.
pub(crate) fn note(
    database: &Database,
    id: i64,
    keywords: &[(u32, Vec<String>)],
    views: &[(u32, u8)],
) -> rusqlite::Result<()> {
    let uids = Uids::new(database);
    uids.set_keywords(id, keywords)?;
    uids.note_views(id, views)
}

impl From<rusqlite::Error> for Trouble {
    fn from(_: rusqlite::Error) -> Self {
        Trouble::Io
    }
}
