//! Every message of a Maildir that carries our label.
//!
//! In: a Maildir. Out: its messages with a `Sealed-Mail` field, whatever their flags and in whatever mailbox, with their header
//! sections. Of each file only the beginning is read. Never decides whether the label is true.

use std::fs::File;
use std::io::{self, BufReader};

use mail::HeaderSection;
use sealed::outer::read_header_section;
use serde::Serialize;
use store::maildir::{ListError, ScanError};
use store::{Mailbox, Maildir, Message};

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// Its mailbox.
    pub mailbox: String,
    /// Its file name without flags, for showing.
    pub message: String,
}

/// A message with our label.
pub(crate) struct Labelled<'a> {
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) message: Message,
    pub(crate) header: Vec<u8>,
    /// Octets of the file.
    pub(crate) length: u64,
}

/// What was seen beside those messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// Messages without our label.
    pub(crate) unlabelled: u64,
    /// Files that cannot be read, entries that are no files, mailboxes that cannot be listed.
    pub(crate) unreadable: u64,
}

/// Why the mailboxes were not walked to the end.
#[derive(Debug)]
pub(crate) enum WalkError<E> {
    List(ListError),
    /// From the caller's work.
    Work(E),
}

impl Place {
    pub(crate) fn of(mailbox: &Mailbox, message: &Message) -> Place {
        Place { mailbox: mailbox.name().to_owned(), message: message.unique().as_bytes().escape_ascii().to_string() }
    }
}

/// Shows each labelled message to `work`. One that moves on meanwhile may be shown twice.
pub(crate) fn walk<E>(
    maildir: &Maildir,
    mut work: impl FnMut(Labelled<'_>) -> Result<(), E>,
) -> Result<Others, WalkError<E>> {
    let listing = maildir.list().map_err(WalkError::List)?;
    let mut others = Others::default();
    for mailbox in &listing.mailboxes {
        let messages = match mailbox.messages() {
            Ok(messages) => messages,
            Err(error) => {
                others.unreadable = others.unreadable.saturating_add(u64::from(!is_gone(&error)));
                continue;
            }
        };
        for message in messages {
            match look(mailbox, message) {
                Ok(Some(labelled)) => work(labelled).map_err(WalkError::Work)?,
                Ok(None) => others.unlabelled = others.unlabelled.saturating_add(1),
                Err(error) if is_gone(&error) => {}
                Err(_) => others.unreadable = others.unreadable.saturating_add(1),
            }
        }
    }
    Ok(others)
}

/// Octets read at first: the header section of a usual sealed message.
const READ_BUFFER: usize = 8 * 1024;

fn look(mailbox: &Mailbox, message: Result<Message, ScanError>) -> Result<Option<Labelled<'_>>, ScanError> {
    let mut message = message?;
    let file: File = mailbox.open(&mut message)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let length = file.metadata()?.len();
    let Some((header, _)) = read_header_section(&mut BufReader::with_capacity(READ_BUFFER, file))? else {
        return Ok(None);
    };
    let labelled = HeaderSection::parse(&header).first("Sealed-Mail").is_some();
    Ok(labelled.then_some(Labelled { mailbox, message, header, length }))
}

fn is_gone(error: &ScanError) -> bool {
    matches!(error, ScanError::Io(error) if error.kind() == io::ErrorKind::NotFound)
}
