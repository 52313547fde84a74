//! Every message of a Maildir that carries our label.
//!
//! In: a Maildir, the flow's mailbox patterns. Out: the messages in those mailboxes with any of our three fields (format §4.3),
//! whatever their flags; and what could not be looked at. Of each file only the beginning is
//! read. Never decides whether the label is true.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::HeaderSection;
use sealed::outer::read_header_section;
use store::maildir::{ListError, Reason, ScanError};
use store::pattern::{is_named, may_hold, missing};
use store::{Mailbox, Maildir, Message};

use crate::place::{LeftOut, Others, Place, shown};

/// A message with our label.
pub(crate) struct Labelled<'a> {
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) message: Message,
    /// Octets of the file.
    pub(crate) length: u64,
}

/// Why the mailboxes were not walked to the end.
#[derive(Debug)]
pub(crate) enum WalkError<E> {
    List(ListError),
    /// As the caller wished.
    Stopped,
    /// From the caller's work.
    Work(E),
}

pub(crate) fn place_of(mailbox: &Mailbox, message: &Message) -> Place {
    Place { mailbox: mailbox.name().to_owned(), message: message.unique().as_bytes().escape_ascii().to_string() }
}

/// Shows each labelled message to `work`. One that moves on meanwhile may be shown twice.
pub(crate) fn walk<E>(
    maildir: &Maildir,
    patterns: &[String],
    stop: &AtomicBool,
    mut work: impl FnMut(Labelled<'_>) -> Result<(), E>,
) -> Result<Others, WalkError<E>> {
    let listing = maildir.list().map_err(WalkError::List)?;
    let mut others = Others::default();
    let names: Vec<&str> = listing.mailboxes.iter().map(Mailbox::name).collect();
    for name in missing(patterns, &names) {
        others.left_out.push(LeftOut { path: shown(name), reason: "no such mailbox" });
    }
    for left in &listing.left_out {
        if may_hold(patterns, &name_of(maildir, &left.path)) {
            others.left_out.push(LeftOut { path: shown_path(&left.path), reason: left.reason.word() });
        }
    }
    // Without patterns every mailbox is meant, also Junk and Trash: sealed mail is moved there.
    let meant = |mailbox: &&Mailbox| patterns.is_empty() || is_named(patterns, mailbox.name(), mailbox.special_use());
    for mailbox in listing.mailboxes.iter().filter(meant) {
        let messages = match mailbox.messages() {
            Ok(messages) => messages,
            Err(error) => {
                leave_out(&mut others, mailbox, &error);
                continue;
            }
        };
        for message in messages {
            if stop.load(Ordering::Relaxed) {
                return Err(WalkError::Stopped);
            }
            let message = match message {
                Ok(message) => message,
                // The directory ends here, and what else it holds is not known.
                Err(error @ ScanError::Io(_)) => {
                    leave_out(&mut others, mailbox, &error);
                    continue;
                }
                Err(_) => {
                    others.unreadable = others.unreadable.saturating_add(1);
                    continue;
                }
            };
            let place = place_of(mailbox, &message);
            match look(mailbox, message) {
                Ok(Some(labelled)) => work(labelled).map_err(WalkError::Work)?,
                Ok(None) => others.unlabelled = others.unlabelled.saturating_add(1),
                Err(error) if is_gone(&error) => {}
                Err(_) => others.cannot_read(place),
            }
        }
    }
    Ok(others)
}

/// A mailbox that merely went away is nothing to report.
fn leave_out(others: &mut Others, mailbox: &Mailbox, error: &ScanError) {
    if !is_gone(error) {
        others.left_out.push(LeftOut { path: shown_path(mailbox.dir()), reason: Reason::Unreadable.word() });
    }
}

/// Octets read at first: the header section of a usual sealed message.
const READ_BUFFER: usize = 8 * 1024;

/// Octets in which a label is looked for where the header section is larger than a sealed message's: somebody may have added
/// fields to one of ours.
const MAX_LOOK: u64 = 1024 * 1024;

fn look(mailbox: &Mailbox, mut message: Message) -> Result<Option<Labelled<'_>>, ScanError> {
    let file: File = mailbox.open(&mut message)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let length = file.metadata()?.len();
    let mut file = BufReader::with_capacity(READ_BUFFER, file);
    let header = match read_header_section(&mut file)? {
        Some((header, _)) => header,
        None => {
            let mut beginning = Vec::new();
            file.rewind()?;
            file.take(MAX_LOOK).read_to_end(&mut beginning)?;
            beginning
        }
    };
    let section = HeaderSection::parse(&header);
    // Any of them: a server that drops one must not hide the message.
    let labelled = ["Sealed-Mail", "Sealed-Key", "Sealed-Fields"].iter().any(|name| section.first(name).is_some());
    Ok(labelled.then_some(Labelled { mailbox, message, length }))
}

fn is_gone(error: &ScanError) -> bool {
    matches!(error, ScanError::Io(error) if error.kind() == io::ErrorKind::NotFound)
}

/// The mailbox name that a directory would have.
fn name_of(maildir: &Maildir, dir: &Path) -> String {
    let path = dir.strip_prefix(maildir.root()).unwrap_or(dir).to_string_lossy();
    match path.strip_prefix('.') {
        // Maildir++: dots part the levels.
        Some(levels) => levels.replace('.', "/"),
        None => path.into_owned(),
    }
}

fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}
