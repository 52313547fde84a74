//! The sealed messages of an account, opened.
//!
//! In: an account. Out: what was found. Header fields are fetched first, then the bodies of those with our label. A lost connection
//! is made anew. Changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::imap::{Key, Mailbox};
use wire::imap::{Access, ImapError};

use super::link::Link;
use super::look::{Labelled, look, messages};
use super::patience::Patience;
use crate::account::AccountError;
use crate::place::{LeftOut, Others, Place, shown};
use crate::progress::Progress;
use crate::reason;
use crate::settings::{Imap, Settings};
use crate::verified::{Tally, Verified, VerifyError};

pub(crate) fn verify(
    settings: &Settings,
    place: &Imap,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Verified, VerifyError> {
    let mut tally = Tally::default();
    let mut patience = Patience::default();
    loop {
        let before = tally.count();
        match pass(settings, place, stop, &mut tally, progress) {
            Ok(others) => return tally.finish(settings, others),
            Err(_) if stop.load(Ordering::Relaxed) => return Err(VerifyError::Stopped),
            Err(error) if error.fate() == store::Fate::Retry => {
                progress.lost();
                if !patience.again(tally.count() > before, stop) {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn pass(
    settings: &Settings,
    place: &Imap,
    stop: &Arc<AtomicBool>,
    tally: &mut Tally,
    progress: &mut impl Progress,
) -> Result<Others, AccountError> {
    let mut link = Link::new(settings, place, stop)?;
    let mut others = Others { left_out: std::mem::take(&mut link.missing), ..Others::default() };
    let mut found: Vec<(Mailbox, u32, Vec<Labelled>)> = Vec::new();
    let (mut count, mut octets) = (0_u64, 0_u64);
    let session = link.desk.session();
    for mailbox in &link.meant {
        let selected = match session.select(mailbox.wire(), Access::Read) {
            Ok(selected) => selected,
            Err(error) if error.is_refusal() => {
                others.left_out.push(left_out(mailbox));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let looked = look(session)?;
        others.unlabelled = others.unlabelled.saturating_add(looked.unlabelled);
        for one in &looked.labelled {
            (count, octets) = (count.saturating_add(1), octets.saturating_add(one.size));
        }
        found.push((mailbox.clone(), selected.uid_validity, looked.labelled));
    }
    progress.total(count, octets);
    let spools = settings.spools();
    for (mailbox, validity, labelled) in found.iter().filter(|(_, _, labelled)| !labelled.is_empty()) {
        if session.select(mailbox.wire(), Access::Read)?.uid_validity != *validity {
            return Err(ImapError::Protocol("the mailbox was made anew meanwhile").into());
        }
        let name = |uid| Key { validity: *validity, uid };
        let open = labelled.iter().filter(|one| !tally.has(mailbox.name(), &name(one.uid).to_octets()));
        let uids: Vec<u32> = open.map(|one| one.uid).collect();
        messages(session, &uids, &spools, |uid, octets| {
            if !tally.is_new(mailbox.name(), &name(uid).to_octets()) {
                return;
            }
            let place = place_of(mailbox, name(uid));
            match octets {
                Some(mut octets) => tally.take(settings, place, octets.length(), &mut octets, progress),
                None => tally.fail(place, reason::UNREADABLE, progress),
            }
        })?;
    }
    link.desk.leave();
    Ok(others)
}

/// It cannot be opened.
pub(crate) fn left_out(mailbox: &Mailbox) -> LeftOut {
    LeftOut { path: shown(mailbox.name()), reason: "cannot be opened" }
}

/// For reports.
pub(crate) fn place_of(mailbox: &Mailbox, key: Key) -> Place {
    Place { mailbox: shown(mailbox.name()), message: key.to_string() }
}
