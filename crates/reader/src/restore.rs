//! Originals from the backup that a flow kept, for when mail was lost.
//!
//! In: a directory with backup files, keys, pinned sealers. Out: the originals, in a directory or in the account, each read back
//! and compared. What is there already is left alone, so that it may be cut off and begun again. Changes nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::UnixSeconds;

use crate::backup::{Messages, files};
use crate::directory;
use crate::imap::restore::Returner;
use crate::opening::{Stumble, open_whole};
use crate::place::{Place, shown};
use crate::progress::Progress;
use crate::restored::{Came, Into, MAX_FAILED, RestoreError, Restored, came_of};
use crate::settings::{Settings, Source};

/// Restores what was sealed since then. `stop` is looked at between messages.
pub fn restore(
    settings: &Settings,
    backup: &Path,
    since: Option<UnixSeconds>,
    into: &Into,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Restored, RestoreError> {
    let mut returner = match (into, &settings.source) {
        (Into::Directory(directory), _) => {
            directory::prepare(directory)?;
            None
        }
        (Into::Account, Source::Imap(place)) => Some(Returner::new(settings, place)),
        (Into::Account, Source::Maildir(_)) => return Err(RestoreError::NoAccount),
    };
    let since = since.map(|since| u64::try_from(since.0).unwrap_or_default()).unwrap_or_default();
    let spools = settings.spools();
    let mut restored = Restored::default();
    for file in files(backup).map_err(RestoreError::Backup)? {
        let mut messages = Messages::of(&file).map_err(RestoreError::Backup)?;
        let mut number = 0_u64;
        while let Some(mut sealed) = messages.next(&spools).map_err(RestoreError::Backup)? {
            if stop.load(Ordering::Relaxed) {
                restored.interrupted = true;
                return Ok(restored);
            }
            number = number.saturating_add(1);
            let length = sealed.length();
            let came = match open_whole(settings, &mut sealed) {
                Err(error) => came_of(Stumble::of(&error, &mut sealed))?,
                Ok(opened) if opened.index.time < since => {
                    restored.older = restored.older.saturating_add(1);
                    progress.done(length);
                    continue;
                }
                Ok(opened) => match (into, &mut returner) {
                    (Into::Directory(directory), _) => directory::put(directory, opened, &mut sealed)?,
                    (Into::Account, Some(returner)) => match returner.put(opened, &mut sealed, stop)? {
                        Some(came) => came,
                        None => {
                            restored.interrupted = true;
                            return Ok(restored);
                        }
                    },
                    (Into::Account, None) => return Err(RestoreError::NoAccount),
                },
            };
            match came {
                Came::Back => restored.restored = restored.restored.saturating_add(1),
                Came::Already => restored.there = restored.there.saturating_add(1),
                Came::Failed(reason) => {
                    let count = restored.reasons.entry(reason).or_default();
                    *count = count.saturating_add(1);
                    if restored.failed.len() < MAX_FAILED {
                        let name = file.file_name().unwrap_or_default().to_string_lossy();
                        let place = Place { mailbox: shown(&name), message: number.to_string() };
                        restored.failed.push((place, reason));
                    }
                    progress.failed(reason);
                    continue;
                }
            }
            progress.done(length);
        }
    }
    if let Some(returner) = returner {
        returner.leave();
    }
    Ok(restored)
}
