//! The index brought up to date: messages that it lacks are opened and put in, those that are gone go. In: a Maildir, keys. Out: counts, progress. What does not open is
//! left out and counted. It may be stopped between any two messages, and goes on the next time.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::{HeaderSection, decode_words};
use store::{Database, Mailbox, Maildir, Message};

use super::file::{Index, IndexError};
use super::key;
use super::record::Record;
use crate::bridge::criteria::{fold, sent_day};
use crate::bridge::maildir::{census, look_at_file, whole_file};
use crate::bridge::settings::SealWith;
use crate::bridge::view::Trouble;
use crate::bridge::words::words_of;
use crate::progress::Progress;
use crate::settings::{Settings, Source};

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Indexed {
    /// Messages put in.
    pub added: u64,
    /// Messages that were there.
    pub kept: u64,
    /// Messages taken out.
    pub removed: u64,
    /// Messages that do not open, or cannot be read.
    pub failed: u64,
}

/// Messages of one transaction.
const BATCH: usize = 128;

/// Brings the index up to date; makes it, if there is none and `with` can seal its key. `anew`: everything is made again.
pub fn index(
    settings: &Settings,
    with: Option<&SealWith>,
    anew: Anew,
    progress: &mut impl Progress,
    stop: &AtomicBool,
) -> Result<Indexed, IndexError> {
    let Source::Maildir(root) = &settings.source else { return Err(IndexError::NoMaildir) };
    if anew == Anew::Yes || key::read(settings).is_none() {
        let with = with.ok_or(IndexError::NoSealer)?;
        for name in ["index.db", "index.db-wal", "index.db-shm"] {
            match std::fs::remove_file(settings.state.with_file_name(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(IndexError::Unavailable),
                _ => {}
            }
        }
        key::make(settings, with).map_err(|_| IndexError::Unavailable)?;
    }
    let index = Index::open(settings)?;
    let maildir = Maildir::open(root).map_err(|_| IndexError::Mail)?;
    let database = Database::open(&settings.state).map_err(|_| IndexError::Unavailable)?;
    let mut indexed = Indexed::default();
    index.begin()?;
    let work = survey(&index, &maildir, &database, &mut indexed)?;
    progress.total(work.len() as u64, 0);
    for batch in work.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let transaction = index.connection.unchecked_transaction()?;
        for (mailbox, message) in batch {
            match add(&index, settings, mailbox, message.clone()) {
                Ok(()) => {
                    indexed.added = indexed.added.saturating_add(1);
                    progress.done(0);
                }
                Err(Failure::Message(Trouble::Gone)) => progress.done(0),
                Err(Failure::Message(_)) => {
                    indexed.failed = indexed.failed.saturating_add(1);
                    progress.failed("damaged");
                }
                Err(Failure::Index(error)) => return Err(error),
            }
        }
        transaction.commit()?;
    }
    Ok(indexed)
}

/// Whether everything is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// It is.
    Yes,
    /// Only what is missing.
    No,
}

enum Failure {
    Message(Trouble),
    Index(IndexError),
}

/// What is missing; what is too much goes.
fn survey(
    index: &Index,
    maildir: &Maildir,
    database: &Database,
    indexed: &mut Indexed,
) -> Result<Vec<(Mailbox, Message)>, IndexError> {
    let root: &Path = maildir.root();
    let mut missing = Vec::new();
    let mailboxes = maildir.list().map_err(|_| IndexError::Mail)?.mailboxes;
    let names: HashSet<&str> = mailboxes.iter().map(Mailbox::name).collect();
    let mut gone: Vec<(String, Vec<u8>)> = Vec::new();
    for name in index.mailboxes()?.into_iter().filter(|name| !names.contains(name.as_str())) {
        gone.extend(index.messages(&name)?.into_iter().map(|message| (name.clone(), message)));
    }
    for mailbox in &mailboxes {
        let there: HashSet<Vec<u8>> = index.messages(mailbox.name())?.into_iter().collect();
        let census = census(database, root, mailbox).map_err(|_| IndexError::Mail)?;
        let mut present = HashSet::new();
        for (entry, message) in census.entries() {
            if there.contains(&entry.message) {
                indexed.kept = indexed.kept.saturating_add(1);
            } else {
                missing.push((mailbox.clone(), message));
            }
            present.insert(entry.message);
        }
        let left = there.into_iter().filter(|message| !present.contains(message));
        gone.extend(left.map(|message| (mailbox.name().to_owned(), message)));
    }
    let transaction = index.connection.unchecked_transaction()?;
    for (mailbox, message) in &gone {
        index.remove(mailbox, message)?;
    }
    transaction.commit()?;
    indexed.removed = gone.len() as u64;
    Ok(missing)
}

fn add(index: &Index, settings: &Settings, mailbox: &Mailbox, mut message: Message) -> Result<(), Failure> {
    let of_message = Failure::Message;
    let seen = look_at_file(settings, mailbox, &mut message).map_err(of_message)?;
    let mut original = whole_file(settings, mailbox, &mut message, &seen).map_err(of_message)?;
    let stat = mailbox.refresh(&mut message).map_err(|error| of_message(error.into()))?;
    let arrived = stat.ok_or(Failure::Message(Trouble::Gone))?.modified().0;
    let words = words_of(&mut original).map_err(of_message)?;
    let header = original.header().map_err(|error| of_message(error.into()))?;
    let section = HeaderSection::parse(&header);
    let text = |names: &[&str]| {
        let fields = section.fields().iter().filter(|field| names.iter().any(|name| field.is(name)));
        fields.map(|field| decode_words(&field.unfolded())).collect::<Vec<_>>().join("\n")
    };
    let (from, subject) = (text(&["from"]), text(&["subject"]));
    let record = Record {
        sent: section.first("date").and_then(|field| sent_day(&field.unfolded_text())).unwrap_or_default(),
        arrived,
        shown_from: &from,
        shown_subject: &subject,
        from: &fold(&from),
        to: &fold(&text(&["to", "cc", "bcc"])),
        subject: &fold(&subject),
        attachments: &words.attachments,
        header: &words.header,
        body: &words.body,
    };
    index.put(mailbox.name(), message.unique().as_bytes(), &record).map_err(Failure::Index)
}
