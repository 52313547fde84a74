//! New mail of a flow sealed as it comes.
//!
//! In: settings. Out: nothing but sealed mail, until it is asked to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::progress::Progress;
use crate::settings::{Route, Settings};
use crate::swept::{SweepError, Watching};
use crate::{imap, maildir};

/// Between two sweeps of a Maildir.
const EVERY: Duration = Duration::from_secs(5);

/// Seals what comes, until `stop` is set.
pub fn watch(
    settings: &Settings,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Watching, SweepError> {
    match &settings.route {
        Route::Maildir(path) => maildir::watch::watch(settings, path, EVERY, progress, stop),
        Route::Imap(place) => imap::watch::watch(settings, place, progress, stop),
    }
}
