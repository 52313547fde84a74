//! What is in a mailbox of a Maildir now, with numbers.
//!
//! In: the Maildir as it is, the UIDs of the state database. Out: messages by UID. What cannot be read changes nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use store::maildir::ScanError;
use store::uids::{Entry, Numbered};
use store::{Database, Mailbox, Message, Uids};

/// Why a mailbox is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    State(#[from] rusqlite::Error),
}

/// What is in a mailbox now, with numbers.
pub(crate) struct Census {
    pub(crate) numbered: Numbered,
    messages: HashMap<Vec<u8>, Message>,
}

/// Counts the messages of a mailbox and numbers those that are new.
pub(crate) fn census(database: &Database, root: &Path, mailbox: &Mailbox) -> Result<Census, LookError> {
    let uids = Uids::new(database);
    let mut messages: HashMap<Vec<u8>, Message> = HashMap::new();
    for message in mailbox.messages()? {
        match message {
            // A copying program may leave it in both directories.
            Ok(message) => drop(messages.insert(message.unique().as_bytes().to_vec(), message)),
            Err(ScanError::Io(error)) => return Err(ScanError::Io(error).into()),
            Err(_) => {}
        }
    }
    let known = uids.known(root, mailbox.name())?;
    let known: Vec<Vec<u8>> = known.into_iter().flat_map(|known| known.messages).map(|entry| entry.message).collect();
    // A file that is renamed while its directory is read may be missed: only several passes prove that it is gone.
    let missing: HashSet<_> = known
        .iter()
        .filter(|name| !messages.contains_key(*name))
        .filter_map(|name| store::Unique::parse(name).ok())
        .collect();
    if !missing.is_empty() {
        for (unique, mut found) in mailbox.find_among(&missing)? {
            if let Some(message) = found.pop() {
                messages.insert(unique.as_bytes().to_vec(), message);
            }
        }
    }
    let before: HashSet<&[u8]> = known.iter().map(Vec::as_slice).collect();
    let mut new = Vec::new();
    for (name, message) in messages.iter().filter(|(name, _)| !before.contains(name.as_slice())) {
        if let Some(stat) = mailbox.stat(message)? {
            new.push((stat.modified(), name.clone()));
        }
    }
    new.sort();
    let there = known.iter().filter(|name| messages.contains_key(*name)).cloned();
    let present: Vec<Vec<u8>> = there.chain(new.into_iter().map(|(_, name)| name)).collect();
    Ok(Census { numbered: uids.number(root, mailbox.name(), &present)?, messages })
}

impl Census {
    /// The messages by UID, each with its file.
    pub(crate) fn entries(self) -> impl Iterator<Item = (Entry, Message)> {
        let mut messages = self.messages;
        self.numbered.messages.into_iter().filter_map(move |entry| {
            let message = messages.remove(&entry.message)?;
            Some((entry, message))
        })
    }
}
