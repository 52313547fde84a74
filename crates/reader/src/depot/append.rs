//! APPEND: what a mail program stores is sealed before it is written anywhere (RFC 3501 §6.3.11, format §4.7).
//!
//! In: the message as it came, a mailbox, flags, a date. Out: a sealed message. Never writes the message itself anywhere but into memory and an encrypted spool; never
//! writes one that is neither sealed nor encrypted already.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

use mail::HeaderSection;
use seal::SealError;
use sealed::field::SealedFields;
use sealed::identity::MessageId;
use sealed::outer::read_header_section;
use sealed::recognise::{What, recognise};
use sealed::scratch::{Scratch, Scratched};
use store::UnixSeconds;
use wire::imap::server::{AppendOrder, DateTime};

use crate::answer::Answer;
use crate::means::SealWith;
use crate::settings::Settings;

/// Octets read at a time.
const READ_BUFFER: usize = 64 << 10;

/// A place for the message.
pub(crate) fn place(mail: &Settings, order: &AppendOrder) -> Scratch<File> {
    Scratch::new(order.length, mail.spools())
}

/// Without a sealer nothing is stored: it would lie there in clear.
pub(crate) fn no_sealer() -> Answer {
    Answer::no("[CANNOT] there is no key here to seal it with, and it is not stored in clear")
}

/// The id of a message that is sealed already, as it says itself; it is read from its beginning again.
pub(crate) fn id_of(message: &mut Scratched<File>) -> io::Result<Option<MessageId>> {
    let header = read_header_section(&mut BufReader::with_capacity(READ_BUFFER, &mut *message))?;
    message.rewind()?;
    let fields = header.and_then(|(header, _)| SealedFields::parse(&HeaderSection::parse(&header)).ok());
    Ok(fields.map(|fields| fields.mark.id))
}

/// Writes the message sealed; as it is, if it is sealed or encrypted already.
pub(crate) fn seal(
    mail: &Settings,
    with: &SealWith,
    mailbox: &str,
    order: &AppendOrder,
    arrived: UnixSeconds,
    message: &mut Scratched<File>,
    to: &mut dyn Write,
) -> io::Result<()> {
    // What its author encrypted, and what was copied here sealed, goes as it is (A8).
    let what = recognise(&mut BufReader::with_capacity(READ_BUFFER, &mut *message), &mail.trust)?;
    message.rewind()?;
    if matches!(what, What::Sealed(_) | What::SealedByUnknown(_) | What::EndToEnd(_)) {
        return copy(message, to);
    }
    let place = seal::Place {
        internal_date: Some(DateTime::text_of_unix(arrived.0)),
        mailbox: Some(mailbox.to_owned()),
        flags: order.flags.iter().map(|flag| flag.text().to_owned()).collect(),
        ..seal::Place::default()
    };
    let settings = with.how(with.policy, place);
    let mut to = to;
    seal::seal(message, || mail.spool(), &mut to, &settings).map(drop).map_err(|error| match error {
        SealError::Read(error) | SealError::Spool(error) | SealError::Write(error) => error,
        _ => io::ErrorKind::InvalidData.into(),
    })
}

fn copy(from: &mut impl Read, to: &mut dyn Write) -> io::Result<()> {
    io::copy(from, to).map(drop)
}
