//! Originals that their owner moved in the very moment in which they were removed.
//!
//! Between our `\\Deleted` and our EXPUNGE a message can still be moved, and no answer tells who was first: both look as if it
//! had gone by us. The moved one then carries our lock and our `\\Deleted` along, and its copy is one too many. It is found
//! by that lock among what came to other mailboxes meanwhile.
//!
//! In: how far the other mailboxes had filled before. Out: the moved message as it was, its copy gone. Never touches a
//! message that is not, octet for octet, the original of a row that this flow has done.

use std::collections::BTreeMap;

use wire::imap::{MailboxName, UidSet};

use super::desk::{Desk, DeskError};
use super::find;
use super::flags;
use super::mailbox::Mailbox;
use super::place::Whereabouts;
use super::recover::Recovering;
use super::remake::{LOCK, Remake};
use super::remove::{deleted, ignore, no_body, remaining};
use super::replace::BatchError;
use crate::journal::{Journal, Row};

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

/// Looks for originals that were moved away from `source` while they were removed, and gives their rows. To be called where
/// messages of `source` were replaced; afterwards it lies open again.
pub fn follow<R: Remake>(
    with: &Recovering<'_>,
    desk: &mut Desk,
    how: &R,
    source: &Mailbox,
    before: &Fill,
) -> Result<Vec<Row>, BatchError> {
    desk.turn_to(source)?;
    if !desk.can_lock(LOCK) {
        return Ok(Vec::new());
    }
    let now = Fill::of(desk, with.mailboxes)?;
    let mut followed = Vec::new();
    for mailbox in with.mailboxes {
        let (before, now) = (before.0.get(mailbox.name()), now.0.get(mailbox.name()));
        let (Some((validity, from_uid)), Some((same, next))) = (before, now) else { continue };
        if validity != same || next <= from_uid {
            continue;
        }
        match desk.reopen(mailbox) {
            Ok(()) => followed.extend(follow_into(with, desk, how, source, mailbox, *from_uid)?),
            Err(DeskError::Imap(error)) if error.is_refusal() => {}
            Err(error) => return Err(error.into()),
        }
    }
    desk.turn_to(source)?;
    Ok(followed)
}

fn follow_into<R: Remake>(
    with: &Recovering<'_>,
    desk: &mut Desk,
    how: &R,
    source: &Mailbox,
    mailbox: &Mailbox,
    from_uid: u32,
) -> Result<Vec<Row>, BatchError> {
    let mut locked = Vec::new();
    let mut came = UidSet::new();
    came.insert_range(from_uid, u32::MAX);
    desk.session().uid_fetch(&came, "UID FLAGS", no_body, |fetched| {
        // Not always with our \Deleted: a server that moves by copying may have copied it a moment before.
        if fetched.uid >= from_uid && fetched.flags.is_some_and(|flags| flags::has(&flags, LOCK)) {
            locked.push(fetched.uid);
        }
    })?;
    let mut followed = Vec::new();
    for uid in locked {
        desk.turn_to(mailbox)?;
        let one: UidSet = std::iter::once(uid).collect();
        let mut fingerprint = None;
        desk.session().uid_fetch(
            &one,
            "UID BODY.PEEK[]",
            |length| how.scratch(length),
            |fetched| {
                if let Some(Ok(scratch)) = fetched.body {
                    fingerprint = how.finish(scratch).and_then(|mut octets| how.fingerprint(&mut octets)).ok();
                }
            },
        )?;
        let Some(fingerprint) = fingerprint else { continue };
        let rows = Journal::on(with.database).done(with.flow)?;
        let row = rows.into_iter().filter(|row| row.mailbox == source.name()).find_map(|row| {
            let place = Whereabouts::from_octets(&row.copy)?;
            (place.fingerprint == fingerprint).then_some((row, place))
        });
        let Some((row, place)) = row else { continue };
        let ours = [LOCK.to_owned(), deleted()];
        desk.session().uid_store(&one, None, "-FLAGS.SILENT", &ours, ignore)?;
        // It must not go by somebody's EXPUNGE in between.
        if remaining(desk.session(), &one)?.is_empty() {
            continue;
        }
        withdraw(with, desk, how, &place)?;
        followed.push(row);
    }
    Ok(followed)
}

/// Removes the copy of a row, wherever in its mailbox it is.
fn withdraw<R: Remake>(with: &Recovering<'_>, desk: &mut Desk, how: &R, place: &Whereabouts) -> Result<(), BatchError> {
    let Some(target) = with.mailboxes.iter().find(|mailbox| mailbox.name() == place.mailbox) else { return Ok(()) };
    if place.mark.is_empty() {
        return Ok(());
    }
    desk.reopen(target)?;
    if desk.validity()? != place.validity {
        return Ok(());
    }
    let marks = find::marks(desk.session(), place.from_uid, how.fields(), |header| how.mark_of(header))?;
    let copies: UidSet = marks.iter().filter(|(_, mark)| *mark == place.mark).map(|(uid, _)| *uid).collect();
    Ok(with.removal.remove(desk, &copies)?)
}
