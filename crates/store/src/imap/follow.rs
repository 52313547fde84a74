//! Originals that their owner moved or copied in the very moment in which they were removed.
//!
//! Between our last look and our EXPUNGE a message can still be moved, and no answer tells who was first: both look as if it had gone by us. What
//! was moved or copied carries our lock, and perhaps our `\\Deleted`, along; it is found by that lock among what came to other mailboxes
//! meanwhile, and freed, so that it is treated like any other there.
//!
//! In: how far the other mailboxes had filled before. Out: no message that keeps our marks. Never touches a message that is not, octet for
//! octet, the original of a row that this flow has done; never removes one: nobody knows whether it was moved or copied.

use std::collections::{BTreeMap, HashSet};

use wire::imap::{MailboxName, UidSet};

use super::desk::{Desk, DeskError};
use super::flags;
use super::mailbox::Mailbox;
use super::place::Whereabouts;
use super::recover::{Recovering, fingerprint};
use super::remake::{LOCK, Remake};
use super::remove::{deleted, ignore, no_body};
use super::replace::BatchError;
use crate::journal::Journal;

/// UIDVALIDITY and UIDNEXT of mailboxes.
#[derive(Clone, Debug, Default)]
pub struct Fill(BTreeMap<String, (u32, u32)>);

impl Fill {
    /// As they are now, but for the one that lies open.
    pub fn of(desk: &mut Desk, mailboxes: &[Mailbox]) -> Result<Fill, DeskError> {
        let open = desk.mailbox().cloned();
        let others: Vec<&Mailbox> = mailboxes.iter().filter(|mailbox| Some(*mailbox) != open.as_ref()).collect();
        let names: Vec<MailboxName> = others.iter().map(|mailbox| mailbox.wire().clone()).collect();
        let statuses = desk.session().statuses(&names)?;
        let known = others.iter().zip(statuses).filter_map(|(mailbox, status)| {
            let status = status?;
            Some((mailbox.name().to_owned(), (status.uid_validity?, status.uid_next?)))
        });
        Ok(Fill(known.collect()))
    }
}

/// Frees what was moved or copied away from `source` while its messages were replaced. Afterwards `source` lies open again.
pub fn follow<R: Remake>(
    with: &Recovering<'_>,
    desk: &mut Desk,
    how: &R,
    source: &Mailbox,
    before: &Fill,
) -> Result<(), BatchError> {
    desk.turn_to(source)?;
    if !desk.can_lock(LOCK) {
        return Ok(());
    }
    let now = Fill::of(desk, with.mailboxes)?;
    for mailbox in with.mailboxes {
        let (before, now) = (before.0.get(mailbox.name()), now.0.get(mailbox.name()));
        let (Some((validity, from_uid)), Some((same, next))) = (before, now) else { continue };
        if validity != same || next <= from_uid {
            continue;
        }
        match desk.reopen(mailbox) {
            Ok(()) => free(with, desk, how, source, *from_uid)?,
            Err(DeskError::Imap(error)) if error.is_refusal() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(desk.turn_to(source)?)
}

fn free<R: Remake>(
    with: &Recovering<'_>,
    desk: &mut Desk,
    how: &R,
    source: &Mailbox,
    from_uid: u32,
) -> Result<(), BatchError> {
    let mut locked = Vec::new();
    let mut came = UidSet::new();
    came.insert_range(from_uid, u32::MAX);
    desk.session().uid_fetch(&came, "UID FLAGS", no_body, |fetched| {
        if fetched.uid >= from_uid && fetched.flags.is_some_and(|flags| flags::has(&flags, LOCK)) {
            locked.push(fetched.uid);
        }
    })?;
    if locked.is_empty() {
        return Ok(());
    }
    let mut ours = HashSet::new();
    Journal::on(with.database).each_done(with.flow, source.name(), |copy| {
        ours.extend(Whereabouts::from_octets(copy).map(|place| place.fingerprint));
    })?;
    for uid in locked {
        let one: UidSet = std::iter::once(uid).collect();
        if fingerprint(desk, how, uid)?.is_some_and(|found| ours.contains(&found)) {
            let marks = [LOCK.to_owned(), deleted()];
            desk.session().uid_store(&one, None, "-FLAGS.SILENT", &marks, ignore)?;
        }
    }
    Ok(())
}
