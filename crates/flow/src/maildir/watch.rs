//! New mail of a Maildir sealed as it comes.
//!
//! In: settings, the path of a Maildir. Out: sealed mail, until it is asked to stop. A Maildir tells nobody that mail came: it is
//! swept again and again, which costs little, since what is known is not read again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::sweep::sweep;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::swept::{SweepError, Watching};

/// Seals what comes.
pub(crate) fn watch(
    settings: &Settings,
    path: &Path,
    every: Duration,
    progress: &mut impl Progress,
    stop: &AtomicBool,
) -> Result<Watching, SweepError> {
    const BLINK: Duration = Duration::from_millis(100);
    let mut watching = Watching::default();
    let mut told = false;
    while !stop.load(Ordering::Relaxed) {
        match sweep(settings, path, progress, stop) {
            Ok(swept) => {
                watching.sealed.messages = watching.sealed.messages.saturating_add(swept.sealed.messages);
                watching.sealed.octets = watching.sealed.octets.saturating_add(swept.sealed.octets);
                if !std::mem::replace(&mut told, true) {
                    progress.watching(usize::try_from(swept.found.mailboxes).unwrap_or(usize::MAX));
                }
            }
            // Somebody sweeps by hand, or undoes another flow.
            Err(SweepError::Busy) => {}
            Err(error) => return Err(error),
        }
        let mut waited = Duration::ZERO;
        while waited < every && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(BLINK);
            waited = waited.saturating_add(BLINK);
        }
    }
    Ok(watching)
}
