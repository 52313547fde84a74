//! APPEND into a Maildir (RFC 3501 §6.3.11, RFC 4315 §3). In: a message that has come whole, a mailbox. Out: a sealed message in `cur/` with its UID; or a word why
//! not, and nothing.

use std::fs::File;
use std::io;

use sealed::scratch::Scratched;
use store::{Database, Mailbox, Maildir, UnixSeconds};
use wire::imap::server::AppendOrder;

use super::census::census;
use super::change::note;
use crate::answer::Answer;
use crate::depot::append::{no_sealer, seal};
use crate::depot::flags;
use crate::means::Means;

/// Seals and stores a message.
pub(crate) fn store(
    means: Means<'_>,
    database: &Database,
    maildir: &Maildir,
    mailbox: &Mailbox,
    order: &AppendOrder,
    mut message: Scratched<File>,
) -> Answer {
    let Some(with) = means.seal else { return no_sealer() };
    let arrived = order.date.map_or_else(UnixSeconds::now, |date| UnixSeconds(date.unix()));
    let letters = flags::letters(&order.flags);
    let written = mailbox
        .deposit(&letters, arrived, |to| seal(means.mail, with, mailbox.name(), order, arrived, &mut message, to));
    let unique = match written {
        Ok(unique) => unique,
        Err(error) if error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded => {
            return Answer::no("[OVERQUOTA] the disk is full");
        }
        Err(_) => return Answer::no("[UNAVAILABLE] the message cannot be sealed or written now"),
    };
    let Ok(census) = census(database, maildir.root(), mailbox) else { return Answer::ok("done") };
    let entry = census.numbered.messages.iter().find(|entry| entry.message == unique.as_bytes());
    let Some(uid) = entry.map(|entry| entry.uid) else { return Answer::ok("done") };
    let keywords = flags::keywords(&order.flags);
    if !keywords.is_empty() && note(database, census.numbered.id, &[(uid, keywords)], &[]).is_err() {
        return Answer::state();
    }
    Answer::Ok(format!("[APPENDUID {} {uid}] done", census.numbered.validity))
}
