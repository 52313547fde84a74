//! One pass over a flow's mailboxes: everything that lies open is sealed.
//!
//! In: settings. Out: sealed mail, and what came of it. May be cut off at any instant and begun again: what was begun is
//! settled first. Refuses a flow that an `undo` has stopped (A15).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::progress::Progress;
use crate::settings::{Route, Settings};
use crate::swept::{SweepError, Swept};
use crate::{imap, maildir};

/// Seals everything that lies open. `stop` is looked at between batches.
pub fn sweep(settings: &Settings, progress: &mut impl Progress, stop: &Arc<AtomicBool>) -> Result<Swept, SweepError> {
    match &settings.route {
        Route::Maildir(path) => maildir::sweep::sweep(settings, path, progress, stop),
        Route::Imap(place) => imap::sweep::sweep(settings, place, progress, stop),
    }
}
