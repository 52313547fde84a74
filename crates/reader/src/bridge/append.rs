//! APPEND: what a mail program stores is sealed before it is written (RFC 3501 §6.3.11, RFC 4315 §3, format §4.7).
//!
//! In: the message as it comes, a mailbox, flags, a date. Out: a sealed message in `cur/` with its UID; or a word why not, and nothing. Never writes the message
//! itself anywhere but into memory and an encrypted spool; never writes one that is neither sealed nor encrypted already.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

use seal::{NewId, OuterId, Padding, SealError};
use sealed::index::Way;
use sealed::recognise::{What, recognise};
use sealed::scratch::{Scratch, Scratched};
use store::{Database, Mailbox, Maildir, UnixSeconds};
use wire::imap::server::{AppendOrder, DateTime};

use super::change::note;
use super::flags;
use super::link::Answer;
use super::selected::census;
use super::settings::{Bridge, SealWith};

/// Octets read at a time.
const READ_BUFFER: usize = 64 << 10;

/// A place for the message.
pub(crate) fn place(bridge: &Bridge, order: &AppendOrder) -> Scratch<File> {
    Scratch::new(order.length, bridge.mail.spools())
}

/// Seals and stores a message that has come whole.
pub(crate) fn store(
    bridge: &Bridge,
    database: &Database,
    maildir: &Maildir,
    mailbox: &Mailbox,
    order: &AppendOrder,
    message: Scratch<File>,
) -> Answer {
    let Some(with) = &bridge.seal else { return no_sealer() };
    let Ok(mut message) = message.finish() else { return Answer::no("[UNAVAILABLE] the message cannot be kept now") };
    let arrived = order.date.map_or_else(UnixSeconds::now, |date| UnixSeconds(date.unix()));
    let letters = flags::letters(&order.flags);
    let written =
        mailbox.deposit(&letters, arrived, |to| write(bridge, with, mailbox, order, arrived, &mut message, to));
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

/// Without a sealer nothing is stored: it would lie there in clear.
pub(crate) fn no_sealer() -> Answer {
    Answer::no("[CANNOT] there is no key here to seal it with, and it is not stored in clear")
}

fn write(
    bridge: &Bridge,
    with: &SealWith,
    mailbox: &Mailbox,
    order: &AppendOrder,
    arrived: UnixSeconds,
    message: &mut Scratched<File>,
    to: &mut dyn Write,
) -> io::Result<()> {
    // What its author encrypted, and what was copied here sealed, goes as it is (A8).
    let what = recognise(&mut BufReader::with_capacity(READ_BUFFER, &mut *message), &bridge.mail.trust)?;
    message.rewind()?;
    if matches!(what, What::Sealed(_) | What::SealedByUnknown(_) | What::EndToEnd(_)) {
        return copy(message, to);
    }
    let place = seal::Place {
        internal_date: Some(DateTime::text_of_unix(arrived.0)),
        mailbox: Some(mailbox.name().to_owned()),
        flags: order.flags.iter().map(|flag| flag.text().to_owned()).collect(),
        ..seal::Place::default()
    };
    let settings = seal::Settings {
        account: with.account,
        recipients: &with.recipients,
        sealer: &with.sealer,
        profile: with.profile,
        policy: with.policy,
        outer_id: OuterId::Kept,
        outer_from: None,
        compression: with.compression,
        padding: Padding::Bucket,
        id: NewId::Random,
        // It takes no original's place, and comes in no order: not counted (A9).
        sequence: 0,
        time: u64::try_from(UnixSeconds::now().0).unwrap_or_default(),
        way: Way::Client,
        place,
    };
    let mut to = to;
    seal::seal(message, || bridge.mail.spool(), &mut to, &settings).map(drop).map_err(|error| match error {
        SealError::Read(error) | SealError::Spool(error) | SealError::Write(error) => error,
        _ => io::ErrorKind::InvalidData.into(),
    })
}

fn copy(from: &mut impl Read, to: &mut dyn Write) -> io::Result<()> {
    io::copy(from, to).map(drop)
}
