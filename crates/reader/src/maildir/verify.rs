//! The sealed messages of a Maildir, opened.
//!
//! In: a Maildir. Out: what was found. Changes nothing.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use store::Maildir;

use super::walk::{Labelled, WalkError, place_of, walk};
use crate::progress::Progress;
use crate::reason;
use crate::settings::Settings;
use crate::verified::{Tally, Verified, VerifyError};

pub(crate) fn verify(
    settings: &Settings,
    root: &Path,
    progress: &mut impl Progress,
    stop: &AtomicBool,
) -> Result<Verified, VerifyError> {
    let maildir = Maildir::open(root)?;
    let (mut messages, mut octets) = (0_u64, 0_u64);
    walk(&maildir, &settings.mailboxes, stop, |labelled| {
        (messages, octets) = (messages.saturating_add(1), octets.saturating_add(labelled.length));
        Ok::<(), VerifyError>(())
    })?;
    progress.total(messages, octets);

    let mut tally = Tally::default();
    let others = walk(&maildir, &settings.mailboxes, stop, |labelled| {
        take(&mut tally, settings, labelled, progress);
        Ok::<(), VerifyError>(())
    })?;
    tally.finish(settings, others)
}

/// One that moves on meanwhile is seen twice.
fn take(tally: &mut Tally, settings: &Settings, mut labelled: Labelled<'_>, progress: &mut impl Progress) {
    let Labelled { mailbox, message, length, .. } = &mut labelled;
    if !tally.is_new(mailbox.name(), message.unique().as_bytes()) {
        return;
    }
    let place = place_of(mailbox, message);
    match mailbox.open(message) {
        Ok(Some(mut file)) => tally.take(settings, place, *length, &mut file, progress),
        Ok(None) => {}
        Err(_) => tally.fail(place, reason::UNREADABLE, progress),
    }
}

impl From<WalkError<VerifyError>> for VerifyError {
    fn from(error: WalkError<VerifyError>) -> VerifyError {
        match error {
            WalkError::List(error) => error.into(),
            WalkError::Stopped => VerifyError::Stopped,
            WalkError::Work(error) => error,
        }
    }
}
