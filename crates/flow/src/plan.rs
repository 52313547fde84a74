//! What a sweep would do, before it does anything.
//!
//! In: settings. Out: counts, and about how large the mail will be. Reads only.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use seal::Compression;
use serde::Serialize;
use store::Ledger;

use crate::look_at::count_all;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::standing::{Sight, Standing};
use crate::survey::{Survey, SurveyError, existing_state};

/// What a sweep would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is there. Of `end-to-end` mail the Subject stays visible.
    #[serde(flatten)]
    pub found: Survey,
    /// About how many octets `to_seal` will have once sealed.
    pub octets_after: u64,
    /// Since when the flow is stopped (Unix seconds): a sweep would refuse.
    pub stopped_since: Option<i64>,
}

/// Looks at every message; changes nothing.
pub fn plan(settings: &Settings, progress: &mut impl Progress, stop: &Arc<AtomicBool>) -> Result<Plan, SurveyError> {
    let database = existing_state(settings)?;
    let ledger = database.as_ref().map(Ledger::on);
    let mut octets_after: u64 = 0;
    let found = count_all(settings, ledger, stop, |sight: &Sight| {
        progress.looked();
        if let Standing::Open(_) = sight.standing {
            octets_after = octets_after.saturating_add(sealed_size(sight.size, settings));
        }
    })?;
    let stopped = ledger.map(|ledger| ledger.stopped_since(&settings.name)).transpose()?;
    let stopped_since = stopped.flatten().map(|since| since.0);
    Ok(Plan { found, octets_after, stopped_since })
}

/// What stands inside beside an original: protected copies, origin, boundaries. An average.
const AROUND: u64 = 1_500;
/// The outer message without its armor, and the packets of the session key. An average.
const OUTSIDE: u64 = 5_000;
/// From here on mail is compressed; attachments in base64 shrink to about three quarters.
const COMPRESSED_FROM: u64 = 256 * 1024;

fn sealed_size(original: u64, settings: &Settings) -> u64 {
    let compressed = settings.compression == Compression::Auto && original >= COMPRESSED_FROM;
    let inside = if compressed { original / 4 * 3 } else { original }.saturating_add(AROUND);
    let padded = match settings.padding {
        seal::Padding::Bucket => sealed::payload::bucket(inside),
        seal::Padding::None => inside,
    };
    // Base64 in lines of 64 and CRLF: 66 octets for 48.
    (padded / 48).saturating_mul(66).saturating_add(OUTSIDE)
}
