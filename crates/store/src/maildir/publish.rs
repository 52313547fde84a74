//! The middle of a replacement: the proven copy takes its place beside the original.
//!
//! In: a proven copy in `tmp/`. Out: the copy in `cur/` or `new/` with the flags the original has at that moment, made
//! durable a batch at a time. Standard: maildir(5), a rename within one file system is atomic. Never overwrites a file,
//! never touches the original.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::folder::{Identity, Mailbox, Message, Place, ScanError, sync_directory};
use super::name::{FileName, Flags};
use super::stage::Proven;
use crate::proof::Proof;

/// What came of publishing.
#[derive(Debug)]
pub enum Publish<P: Proof> {
    /// Both are in the mailbox now.
    Published(Published<P>),
    /// The original is no longer in this mailbox. The copy was removed: whoever took the original away has it, or wanted it gone.
    OriginalGone,
    /// Another file is under the original's name. The copy was removed.
    OriginalChanged,
}

/// A copy beside its original. Dropped here, it stays in the mailbox until [`recover`](super::recover) sees to it.
#[derive(Debug)]
#[must_use = "a published copy that is not retired is a duplicate until the next recovery"]
pub struct Published<P: Proof> {
    pub(super) pair: Box<Pair>,
    pub(super) proof: P,
}

/// A copy beside its original that power loss cannot take back.
#[derive(Debug)]
#[must_use = "a published copy that is not retired is a duplicate until the next recovery"]
pub struct Durable<P: Proof> {
    pub(super) pair: Box<Pair>,
    pub(super) proof: P,
}

/// Why a copy was not published. The original is untouched, the copy is removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The original could not be found again.
    #[error("the original cannot be looked at")]
    Scan(#[from] ScanError),
    /// The file system says so.
    #[error("the copy cannot be moved into the mailbox")]
    Io(#[from] io::Error),
}

impl<P: Proof> Proven<P> {
    /// Moves the copy out of `tmp/`, to where the original is and with the original's flags as they are now.
    pub fn publish(self) -> Result<Publish<P>, PublishError> {
        let Proven { mut staged, proof } = self;
        if staged.mailbox.refresh_file(&mut staged.original, staged.original_file)?.is_none() {
            let another = staged.mailbox.find(staged.original.unique())?.is_some();
            return Ok(if another { Publish::OriginalChanged } else { Publish::OriginalGone });
        }
        let (place, flags) = (staged.original.place(), staged.original.flags());
        // Fields after the letters say something of the original's octets (`,S=`): not taken over.
        let name = match place {
            Place::New if flags == Flags::default() => FileName::plain(staged.copy),
            _ => FileName::flagged(staged.copy, flags.clone()),
        };
        let copy = Message::named(place, name);
        let tmp = staged.litter.path.as_deref().ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        rename_to_free(tmp, &staged.mailbox.path(&copy))?;
        staged.litter.path = None;
        let pair = Box::new(Pair {
            copy_mailbox: staged.mailbox.clone(),
            mailbox: staged.mailbox,
            original: staged.original,
            original_file: staged.original_file,
            copy,
            copy_file: staged.copy_file,
            base: (place, flags),
        });
        Ok(Publish::Published(Published { pair, proof }))
    }
}

impl<P: Proof> Published<P> {
    /// Syncs each directory that the batch touches, once. After an error, drop everything and recover.
    pub fn make_durable(batch: Vec<Published<P>>) -> io::Result<Vec<Durable<P>>> {
        sync_once(batch.iter().map(|published| published.pair.copy_mailbox.place(published.pair.copy.place())))?;
        Ok(batch.into_iter().map(|Published { pair, proof }| Durable { pair, proof }).collect())
    }

    /// The caller's proof.
    pub fn proof(&self) -> &P {
        &self.proof
    }
}

/// An original and its copy, each as it was last found.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) mailbox: Mailbox,
    pub(super) original: Message,
    pub(super) original_file: Identity,
    pub(super) copy_mailbox: Mailbox,
    pub(super) copy: Message,
    pub(super) copy_file: Identity,
    /// Where both were, with which flags, when they were last alike.
    pub(super) base: (Place, Flags),
}

/// Syncs each of the directories once.
pub(super) fn sync_once(directories: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    directories.collect::<BTreeSet<PathBuf>>().iter().try_for_each(|path| sync_directory(path))
}

/// A rename that fails where the new name is taken.
pub(super) fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Kernels and file systems without the flag (NFS, some FUSE): unique names are all that maildir(5) itself relies on.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match to.symlink_metadata() {
            Ok(_) => Err(io::Error::from(ErrorKind::AlreadyExists)),
            Err(_) => std::fs::rename(from, to),
        },
        other => Ok(other?),
    }
}
