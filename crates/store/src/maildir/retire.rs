//! The end of a replacement: the original goes, and only here.
//!
//! In: a durable copy with its proof, the journal's word that it knows. Out: what came of it, once the directories are
//! synced. Changes that others made to the original's flags since publishing are carried over to the copy first; an
//! original that vanished without us decides about the copy. Never removes an original whose copy is not there at that
//! moment; never removes a file that is not the one that was staged.
//!
//! One gap is left, as Maildir has no lock: a copy that somebody expunges between our last look and our unlink, a few
//! microseconds, goes the way they wanted it to go, with its original.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::folder::{CHASES, Mailbox, Message, Place, ScanError};
use super::name::{FileName, Flags};
use super::publish::{Durable, Pair, rename_to_free, sync_once};
use super::stage::Replacer;
use crate::journal::Announced;
use crate::proof::Proof;

/// What became of an original and its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The copy stands in the original's place.
    Replaced,
    /// Somebody moved the original to another mailbox; the copy was removed. The original is to be treated there.
    MovedElsewhere,
    /// Somebody expunged the original; the copy is flagged as trashed: neither risen from the dead nor lost.
    Expunged,
    /// Another file is under the original's name. Both stay.
    OriginalChanged,
    /// Somebody expunged the copy. The original stays, untouched; it is to be treated anew.
    CopyGone,
    /// Somebody expunged both.
    BothGone,
}

/// A replacement whose outcome is not yet durable.
#[derive(Debug)]
#[must_use = "the outcome holds only once the directories are synced"]
pub struct Retired {
    pub(super) outcome: Outcome,
    pub(super) directories: BTreeSet<PathBuf>,
}

/// Why an original could not be retired. The copy exists, the original may; recover.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// The journal does not hold "retiring" for this copy.
    #[error("the removal was not announced in the journal")]
    NotAnnounced,
    /// A message could not be found again.
    #[error("the original or its copy cannot be looked at")]
    Scan(#[from] ScanError),
    /// Renamed by others at every one of our attempts.
    #[error("the original is renamed faster than it can be removed")]
    Restless,
    /// The file system says so.
    #[error("the original cannot be removed")]
    Io(#[from] io::Error),
}

impl<P: Proof> Durable<P> {
    /// Removes the original under whatever name it has now, after its latest flags went over to the copy.
    pub fn retire(self, replacer: &Replacer, announced: &Announced) -> Result<Retired, RetireError> {
        let mut pair = self.pair;
        if !announced.covers(pair.copy.unique().as_bytes()) {
            return Err(RetireError::NotAnnounced);
        }
        let mut directories = BTreeSet::new();
        for _ in 0..CHASES {
            if let Some(outcome) = pair.attempt(replacer, &mut directories)? {
                return Ok(Retired { outcome, directories });
            }
        }
        Err(RetireError::Restless)
    }

    /// The caller's proof.
    pub fn proof(&self) -> &P {
        &self.proof
    }
}

impl Retired {
    /// Syncs each directory that the batch touched, once; the outcomes come in the batch's order. Only then is a journal row done.
    pub fn make_durable(batch: Vec<Retired>) -> io::Result<Vec<Outcome>> {
        sync_once(batch.iter().flat_map(|retired| retired.directories.iter().cloned()))?;
        Ok(batch.into_iter().map(|retired| retired.outcome).collect())
    }
}

impl Pair {
    /// One look at both and one try; `None` if something moved under us.
    fn attempt(
        &mut self,
        replacer: &Replacer,
        directories: &mut BTreeSet<PathBuf>,
    ) -> Result<Option<Outcome>, RetireError> {
        if self.mailbox.refresh_file(&mut self.original, self.original_file)?.is_none() {
            return self.settle_vanished(replacer, directories);
        }
        if !self.find_copy(replacer)? {
            return Ok(Some(Outcome::CopyGone));
        }
        let theirs = (self.original.place(), self.original.flags());
        let (place, flags) =
            (merge_place(theirs.0, self.copy.place()), Flags::merge(&self.base.1, &theirs.1, &self.copy.flags()));
        if !move_copy(&self.copy_mailbox, &mut self.copy, place, flags, directories)? {
            return Ok(None);
        }
        self.base = theirs;
        // Finding and moving the copy took its time.
        if !self.mailbox.stat(&self.original)?.is_some_and(|stat| stat.identity() == self.original_file) {
            return Ok(None);
        }
        // By exactly this name: whoever changes a flag now renames the file, and we come by again to carry the flag over.
        let removed = remove(&self.mailbox, &self.original, directories)?;
        Ok(removed.then_some(Outcome::Replaced))
    }

    /// The original is not in its mailbox, and it was not us.
    fn settle_vanished(
        &mut self,
        replacer: &Replacer,
        directories: &mut BTreeSet<PathBuf>,
    ) -> Result<Option<Outcome>, RetireError> {
        let unique = self.original.unique().clone();
        let elsewhere = replacer.maildir().locate(self.original_file).map_err(|error| error.into_scan())?;
        if let Some((mailbox, message)) = &elsewhere
            && mailbox.dir() == self.mailbox.dir()
            && *message.unique() == unique
        {
            return Ok(None);
        }
        // Rewritten, or a second message of that name: whose end it was that we see is not known.
        if elsewhere.is_none() && self.mailbox.find(&unique)?.is_some() {
            return Ok(Some(Outcome::OriginalChanged));
        }
        if !self.find_copy(replacer)? {
            // Both went. Found elsewhere it is still one message; expunged, both were.
            return Ok(Some(if elsewhere.is_some() { Outcome::MovedElsewhere } else { Outcome::BothGone }));
        }
        if elsewhere.is_some() {
            let removed = remove(&self.copy_mailbox, &self.copy, directories)?;
            return Ok(removed.then_some(Outcome::MovedElsewhere));
        }
        let trashed = trash(&self.copy_mailbox, &mut self.copy, directories)?;
        Ok(trashed.then_some(Outcome::Expunged))
    }

    /// Brings the copy up to date, in its mailbox or wherever in the tree it was moved; the proof is about that very file.
    fn find_copy(&mut self, replacer: &Replacer) -> Result<bool, RetireError> {
        let mut stat = self.copy_mailbox.refresh_file(&mut self.copy, self.copy_file)?;
        if stat.is_none()
            && let Some((mailbox, message)) =
                replacer.maildir().locate(self.copy_file).map_err(|error| error.into_scan())?
        {
            (self.copy_mailbox, self.copy) = (mailbox, message);
            stat = self.copy_mailbox.stat(&self.copy)?;
        }
        Ok(stat.is_some_and(|stat| stat.identity() == self.copy_file))
    }
}

/// Flags a copy as trashed; `false` if it was renamed under us.
pub(super) fn trash(mailbox: &Mailbox, copy: &mut Message, directories: &mut BTreeSet<PathBuf>) -> io::Result<bool> {
    let flags = copy.flags().with(Flags::TRASHED);
    move_copy(mailbox, copy, Place::Cur, flags, directories)
}

/// Removes a message under exactly the name it was found by; `false` if it has another one by now.
pub(super) fn remove(mailbox: &Mailbox, message: &Message, directories: &mut BTreeSet<PathBuf>) -> io::Result<bool> {
    directories.insert(mailbox.place(message.place()));
    match fs::remove_file(mailbox.path(message)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

/// Renames a copy where place or flags differ; `false` if it was renamed under us.
fn move_copy(
    mailbox: &Mailbox,
    copy: &mut Message,
    place: Place,
    flags: Flags,
    directories: &mut BTreeSet<PathBuf>,
) -> io::Result<bool> {
    if place == copy.place() && flags == copy.flags() {
        return Ok(true);
    }
    let name: FileName = copy.name.with_flags(flags);
    let moved = Message::named(place, name);
    directories.extend([mailbox.place(copy.place()), mailbox.place(place)]);
    match rename_to_free(&mailbox.path(copy), &mailbox.path(&moved)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        other => {
            other?;
            *copy = moved;
            Ok(true)
        }
    }
}

/// Once a mail program took either, the message is taken; nothing goes back to `new/`.
fn merge_place(theirs: Place, ours: Place) -> Place {
    match (theirs, ours) {
        (Place::New, Place::New) => Place::New,
        (Place::Cur, _) | (_, Place::Cur) => Place::Cur,
    }
}
