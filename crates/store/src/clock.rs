//! Time as the state database keeps it: whole seconds since 1970 in UTC.
//!
//! In: the system's clock. Out: a number. Never measures a duration: the clock may be set back.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01 00:00 UTC; negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// What the system's clock says.
    pub fn now() -> UnixSeconds {
        let since = |passed: std::time::Duration| i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => UnixSeconds(since(after)),
            Err(before) => UnixSeconds(since(before.duration()).saturating_neg()),
        }
    }
}
