//! A batch while its steps are taken: what they share.
//!
//! In: a batch. Out: which messages it still has to do with, and what came of the others. Never decides about one.

use std::collections::HashMap;

use wire::imap::{Fetched, ImapError, UidSet};

use crate::clock::UnixSeconds;
use crate::database::Database;
use crate::imap::desk::{Desk, DeskError};
use crate::imap::mailbox::Mailbox;
use crate::imap::remake::{Ending, Failure, Job, LOCK, Remake};
use crate::imap::remove::{self, Removal, ignore};
use crate::imap::stages::Now;
use crate::journal::{JournalError, RowId};
use crate::special::SpecialUse;
use crate::step::Step;

/// A batch that the journal knows and of which nothing is done yet.
pub struct Batch<'a, T> {
    pub(super) database: &'a Database,
    pub(super) source: Mailbox,
    pub(super) target: Mailbox,
    /// The account's, to find what was moved.
    pub(super) mailboxes: &'a [Mailbox],
    pub(super) entries: Vec<Entry<T>>,
    pub(super) now: UnixSeconds,
}

/// Why a batch was broken off. Nothing is lost: recover.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The server, or the way to it.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The source lives under another UIDVALIDITY now.
    #[error("the mailbox was made anew meanwhile")]
    Validity,
}

impl From<ImapError> for BatchError {
    fn from(error: ImapError) -> BatchError {
        BatchError::Desk(error.into())
    }
}

pub(super) struct Entry<T> {
    pub(super) job: Job<T>,
    pub(super) row: RowId,
    pub(super) validity: u32,
}

pub(super) struct Run<'r, 'a, R: Remake> {
    pub(super) batch: &'r Batch<'a, R::Item>,
    pub(super) desk: &'r mut Desk,
    pub(super) into: Option<&'r mut Desk>,
    pub(super) removal: &'r Removal,
    pub(super) how: &'r R,
    pub(super) watch: &'r mut dyn FnMut(Step),
    pub(super) endings: Vec<Option<Ending<R::Error>>>,
    pub(super) locked: bool,
    pub(super) conditional: bool,
}

impl<R: Remake> Run<'_, '_, R> {
    pub(super) fn entry(&self, index: usize) -> Option<&Entry<R::Item>> {
        self.batch.entries.get(index)
    }

    pub(super) fn uid(&self, index: usize) -> u32 {
        self.entry(index).map_or(0, |entry| entry.job.uid)
    }

    pub(super) fn end(&mut self, index: usize, ending: Ending<R::Error>) {
        if let Some(place) = self.endings.get_mut(index) {
            *place = Some(ending);
        }
    }

    pub(super) fn fail(&mut self, index: usize, failure: Failure<R::Error>) {
        self.end(index, Ending::Failed(failure));
    }

    /// The desk at which copies are put.
    pub(super) fn target(&mut self) -> Result<&mut Desk, DeskError> {
        match &mut self.into {
            Some(into) => {
                into.turn_to(&self.batch.target)?;
                Ok(into)
            }
            None => Ok(self.desk),
        }
    }

    pub(super) fn uids(&self, indexes: impl IntoIterator<Item = usize>) -> UidSet {
        indexes.into_iter().map(|index| self.uid(index)).collect()
    }

    /// Flags and MODSEQ as they are now, by UID.
    pub(super) fn look(&mut self, uids: &UidSet) -> Result<HashMap<u32, Now>, BatchError> {
        let mut items = String::from("UID FLAGS");
        if self.conditional {
            items.push_str(" MODSEQ");
        }
        if self.desk.has("X-GM-EXT-1") {
            items.push_str(" X-GM-LABELS");
        }
        let mut now = HashMap::new();
        if !uids.is_empty() {
            self.desk.session().uid_fetch(uids, &items, remove::no_body, |fetched| {
                let Fetched { uid, flags, modseq, gm_labels, .. } = fetched;
                if let Some(flags) = flags.filter(|_| uids.contains(uid)) {
                    now.insert(uid, Now { flags, modseq, labels: gm_labels.unwrap_or_default() });
                }
            })?;
        }
        Ok(now)
    }

    /// Messages that stay as they were are nobody's any more.
    pub(super) fn unlock(&mut self) -> Result<(), BatchError> {
        if !self.locked {
            return Ok(());
        }
        let stays = |ending: &Option<Ending<R::Error>>| match ending {
            Some(Ending::Failed(Failure::Locked)) => false,
            Some(Ending::Failed(_)) => true,
            _ => false,
        };
        let failed: Vec<usize> =
            self.endings.iter().enumerate().filter(|(_, ending)| stays(ending)).map(|(index, _)| index).collect();
        let uids = self.uids(failed);
        if !uids.is_empty() {
            self.desk.session().uid_store(&uids, None, "-FLAGS.SILENT", &[LOCK.to_owned()], ignore)?;
        }
        Ok(())
    }
}

/// Moves messages of the desk's mailbox to the Trash; where there is none, they stay.
pub(in crate::imap) fn to_trash(desk: &mut Desk, mailboxes: &[Mailbox], uids: &UidSet) -> Result<(), DeskError> {
    let Some(trash) = mailboxes.iter().find(|mailbox| mailbox.special_use() == Some(SpecialUse::Trash)) else {
        return Ok(());
    };
    if desk.mailbox() == Some(trash) {
        return Ok(());
    }
    if desk.has("MOVE") {
        desk.session().uid_move(uids, trash.wire())?;
    } else {
        desk.session().uid_copy(uids, trash.wire())?;
        Removal::Expunge.remove(desk, uids)?;
    }
    Ok(())
}
