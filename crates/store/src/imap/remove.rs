//! How a message is removed for good, and no other with it.
//!
//! In: UIDs of the selected mailbox. Out: they are gone. Where the server has UIDPLUS (RFC 4315), `\Deleted` and UID
//! EXPUNGE; on Gmail, where that takes away a label only, by way of the Trash (format §12.6). Never a bare EXPUNGE, which
//! removes what others have flagged.

use wire::imap::{Fetched, ImapError, Session, UidSet};

use super::desk::{Desk, DeskError};
use super::mailbox::{Listing, Mailbox};
use crate::special::SpecialUse;

/// How messages are removed on that server.
#[derive(Clone, Debug)]
pub enum Removal {
    /// By UID.
    Expunge,
    /// Moved to the Trash, found there by its Gmail id, removed there by UID.
    Through(Mailbox),
}

impl Removal {
    /// `None` if the server offers no way that spares other messages.
    pub fn of(session: &Session, listing: &Listing) -> Option<Removal> {
        if !session.has("UIDPLUS") {
            return None;
        }
        if !session.has("X-GM-EXT-1") {
            return Some(Removal::Expunge);
        }
        let mut mailboxes = listing.mailboxes.iter();
        let trash = mailboxes.find(|mailbox| mailbox.special_use() == Some(SpecialUse::Trash))?;
        session.has("MOVE").then(|| Removal::Through(trash.clone()))
    }

    /// Removes messages of the desk's mailbox for good. Some may be gone already.
    pub fn remove(&self, desk: &mut Desk, uids: &UidSet) -> Result<(), DeskError> {
        if uids.is_empty() {
            return Ok(());
        }
        match self {
            Removal::Expunge => {
                desk.session().uid_store(uids, None, "+FLAGS.SILENT", &[deleted()], ignore)?;
                desk.session().uid_expunge(uids)?;
            }
            Removal::Through(trash) => {
                let back = desk.mailbox().ok_or(DeskError::Nothing)?.clone();
                if back == *trash {
                    return Removal::Expunge.remove(desk, uids);
                }
                let ids = gmail_ids(desk.session(), uids)?;
                desk.session().uid_move(uids, trash.wire())?;
                desk.turn_to(trash)?;
                let there = find_gmail_ids(desk.session(), &ids)?;
                Removal::Expunge.remove(desk, &there)?;
                desk.turn_to(&back)?;
            }
        }
        Ok(())
    }
}

/// Which of these messages are still there.
pub(super) fn remaining(session: &mut Session, uids: &UidSet) -> Result<UidSet, ImapError> {
    let mut left = Vec::new();
    if !uids.is_empty() {
        session.uid_fetch(uids, "UID", no_body, |fetched| left.push(fetched.uid))?;
    }
    Ok(left.into_iter().filter(|uid| uids.contains(*uid)).collect())
}

/// `\Deleted`.
pub(super) fn deleted() -> String {
    "\\Deleted".to_owned()
}

pub(super) fn ignore(_: Fetched<Vec<u8>>) {}

pub(super) fn no_body(_: u64) -> std::io::Result<std::io::Sink> {
    Ok(std::io::sink())
}

fn gmail_ids(session: &mut Session, uids: &UidSet) -> Result<Vec<u64>, ImapError> {
    let mut ids = Vec::new();
    session.uid_fetch(uids, "UID X-GM-MSGID", no_body, |fetched| ids.extend(fetched.gm_msgid))?;
    Ok(ids)
}

fn find_gmail_ids(session: &mut Session, ids: &[u64]) -> Result<UidSet, ImapError> {
    let mut found = UidSet::new();
    for id in ids {
        let uids = session.uid_search(&format!("X-GM-MSGID {id}"))?;
        uids.iter().for_each(|uid| found.insert(uid));
    }
    Ok(found)
}
