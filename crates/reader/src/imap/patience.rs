//! How often a lost connection is made anew.
//!
//! In: losses. Out: waits that get longer, and an end. A stop ends a wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connections in a row that may be lost without anything done.
const MOST_LOSSES: u32 = 8;
/// After the first loss.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Between two looks at the stop sign.
const BLINK: Duration = Duration::from_millis(50);

/// Counts losses in a row.
#[derive(Default)]
pub(crate) struct Patience(u32);

impl Patience {
    /// A connection was lost; `done`: something was done with it. Waits, and says whether to try again.
    pub(crate) fn again(&mut self, done: bool, stop: &AtomicBool) -> bool {
        if done {
            self.0 = 0;
        }
        if self.0 >= MOST_LOSSES {
            return false;
        }
        let mut left = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.0));
        self.0 = self.0.saturating_add(1);
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            let step = left.min(BLINK);
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
        true
    }
}
