//! Does every sealed message still open?
//!
//! In: sealed mail, keys, pinned sealers, the ledger. Out: what opens and what does not; copies; holes in the sealers' running
//! numbers (A9). Each message is read and decrypted whole, its signatures and hashes checked. Changes nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::progress::Progress;
use crate::settings::{Settings, Source};
use crate::verified::{Verified, VerifyError};
use crate::{imap, maildir};

/// Opens every message that carries our label. `stop` ends it without a verdict.
pub fn verify(
    settings: &Settings,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Verified, VerifyError> {
    match &settings.source {
        Source::Maildir(root) => maildir::verify::verify(settings, root, progress, stop),
        Source::Imap(place) => imap::verify::verify(settings, place, progress, stop),
    }
}
