//! Finding a message again: a copy by its mark, an original that was moved.
//!
//! In: a desk, what is looked for. Out: UIDs. Never uses SEARCH HEADER, which some servers refuse, some scan for minutes and
//! some get wrong (format §12.1): header fields are fetched and looked at here.

use std::io::Write;

use wire::imap::{Access, ImapError, Session, UidSet};

use super::mailbox::Mailbox;

/// Octets of header fields that are asked for: a mark is short, and what others write into such a field may be long.
const MOST_FIELDS: usize = 16 * 1024;

/// Fetches header fields of the messages of the selected mailbox from a UID on; `mark_of` says what each is marked with.
pub fn marks(
    session: &mut Session,
    from_uid: u32,
    fields: &str,
    mark_of: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Vec<(u32, Vec<u8>)>, ImapError> {
    let mut found = Vec::new();
    let mut all = UidSet::new();
    all.insert_range(from_uid.max(1), u32::MAX);
    let items = format!("UID BODY.PEEK[HEADER.FIELDS ({fields})]<0.{MOST_FIELDS}>");
    session.uid_fetch(&all, &items, no_body, |fetched| {
        let mark = fetched.sections.first().and_then(|(_, header)| mark_of(header));
        // quirk: RFC 9051 §9 "*" means the last message, also when its UID is below the range.
        found.extend(mark.filter(|_| fetched.uid >= from_uid).map(|mark| (fetched.uid, mark)));
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Messages of one size that are looked at; more of exactly one size in one mailbox are no coincidence but a flood.
const MOST_ALIKE: usize = 64;

/// A message that was found in another mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which mailbox.
    pub mailbox: Mailbox,
    /// The message.
    pub uid: u32,
}

/// Looks for a message of that size in other mailboxes; `is_it` reads the candidates. Afterwards another mailbox is
/// selected.
pub fn elsewhere<S: Write>(
    session: &mut Session,
    mailboxes: &[&Mailbox],
    size: u64,
    mut scratch: impl FnMut(u64) -> std::io::Result<S>,
    mut is_it: impl FnMut(S) -> bool,
) -> Result<Option<Found>, ImapError> {
    among_alike(session, mailboxes, size, |session, uid| {
        let mut found = false;
        let one: UidSet = std::iter::once(uid).collect();
        session.uid_fetch(&one, "UID BODY.PEEK[]", &mut scratch, |fetched| {
            if let Some(Ok(body)) = fetched.body {
                found |= is_it(body);
            }
        })?;
        Ok(found)
    })
}

/// Looks for a message of that size and that mark in other mailboxes, as [`marks`] does in one. Afterwards another mailbox
/// is selected.
pub(super) fn marked_elsewhere(
    session: &mut Session,
    mailboxes: &[&Mailbox],
    size: u64,
    fields: &str,
    is_it: impl Fn(&[u8]) -> bool,
) -> Result<Option<Found>, ImapError> {
    let items = format!("UID BODY.PEEK[HEADER.FIELDS ({fields})]<0.{MOST_FIELDS}>");
    among_alike(session, mailboxes, size, |session, uid| {
        let mut found = false;
        let one: UidSet = std::iter::once(uid).collect();
        session.uid_fetch(&one, &items, no_body, |fetched| {
            found |= fetched.uid == uid && fetched.sections.first().is_some_and(|(_, header)| is_it(header));
        })?;
        Ok(found)
    })
}

/// Messages of one size, the newest first: what was moved has just come.
fn among_alike(
    session: &mut Session,
    mailboxes: &[&Mailbox],
    size: u64,
    mut is_it: impl FnMut(&mut Session, u32) -> Result<bool, ImapError>,
) -> Result<Option<Found>, ImapError> {
    for mailbox in mailboxes {
        match session.select(mailbox.wire(), Access::Read) {
            Ok(_) => {}
            Err(error) if error.is_refusal() => continue,
            Err(error) => return Err(error),
        }
        // RFC 9051 §6.4.4: LARGER and SMALLER are exclusive.
        let alike = format!("LARGER {} SMALLER {}", size.saturating_sub(1), size.saturating_add(1));
        let candidates = match session.uid_search(&alike) {
            Ok(candidates) => candidates,
            Err(error) if error.is_refusal() => continue,
            Err(error) => return Err(error),
        };
        let mut candidates: Vec<u32> = candidates.iter().collect();
        candidates.reverse();
        for uid in candidates.into_iter().take(MOST_ALIKE) {
            if is_it(session, uid)? {
                return Ok(Some(Found { mailbox: (*mailbox).clone(), uid }));
            }
        }
    }
    Ok(None)
}

fn no_body(_: u64) -> std::io::Result<std::io::Sink> {
    Ok(std::io::sink())
}
