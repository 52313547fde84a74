//! Looking at all mail of a flow, wherever it lies, without changing anything.
//!
//! In: settings, the ledger if there is one. Out: counts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use store::Ledger;

use crate::settings::{Route, Settings};
use crate::standing::Sight;
use crate::survey::{Survey, SurveyError};
use crate::{imap, maildir};

/// Counts everything, looking only at what changed since the last time.
pub(crate) fn count_all(
    settings: &Settings,
    ledger: Option<Ledger<'_>>,
    stop: &Arc<AtomicBool>,
    each: impl FnMut(&Sight),
) -> Result<Survey, SurveyError> {
    match &settings.route {
        Route::Maildir(path) => maildir::count_all(settings, path, ledger, each),
        Route::Imap(place) => imap::count_all(settings, place, ledger, stop, each),
    }
}
