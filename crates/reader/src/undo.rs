//! The way out: every original back in its place, and nothing more is sealed.
//!
//! In: sealed mail, keys, pinned sealers. Out: the originals, octet for octet, with the flags and times that their sealed copies
//! have. First a durable stop, which every sweep of the flow obeys (A15). May be cut off at any instant and begun again. What
//! does not open stays as it is and is listed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::progress::Progress;
use crate::settings::{Settings, Source};
use crate::undone::{UndoError, Undone};
use crate::{imap, maildir};

/// Stops the flow for good and puts every original back. `stop` is looked at between batches.
pub fn undo(settings: &Settings, progress: &mut impl Progress, stop: &Arc<AtomicBool>) -> Result<Undone, UndoError> {
    match &settings.source {
        Source::Maildir(root) => maildir::undo::undo(settings, root, progress, stop),
        Source::Imap(place) => imap::undo::undo(settings, place, progress, stop),
    }
}
