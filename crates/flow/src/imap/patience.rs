//! Waiting for better times.
//!
//! In: nothing. Out: waits that get longer, and that a stop ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;

/// First wait after a lost connection.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait after a lost connection.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// A batch that is under way has so long to come to its end after a stop was asked for.
pub(crate) const MERCY: Duration = Duration::from_secs(3);
/// Between two looks at the stop sign.
const BLINK: Duration = Duration::from_millis(100);

/// Waits that get longer, with jitter, so that many sealers do not come back at once.
pub(crate) struct Patience {
    losses: u32,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { losses: 0 }
    }

    /// Something was done: from the beginning.
    pub(crate) fn renew(&mut self) {
        self.losses = 0;
    }

    /// How often in a row.
    pub(crate) fn losses(&self) -> u32 {
        self.losses
    }

    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.losses)).min(LONGEST_WAIT);
        self.losses = self.losses.saturating_add(1);
        longest.mul_f64(rand::thread_rng().gen_range(0.5..=1.0))
    }
}

/// Waits, unless asked to stop.
pub(crate) fn wait(time: Duration, stop: &AtomicBool) {
    let mut left = time;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        let step = left.min(BLINK);
        thread::sleep(step);
        left = left.saturating_sub(step);
    }
}

/// Cuts off what waits when a stop is asked for at once, and what works after some time.
pub(crate) fn guard(stop: &AtomicBool, cut: &AtomicBool, busy: &AtomicBool, over: &AtomicBool, mercy: Duration) {
    const EVERY: Duration = Duration::from_millis(50);
    let mut asked: Option<Instant> = None;
    while !over.load(Ordering::Relaxed) {
        if stop.load(Ordering::Relaxed) {
            let asked = *asked.get_or_insert_with(Instant::now);
            if !busy.load(Ordering::Relaxed) || asked.elapsed() > mercy {
                cut.store(true, Ordering::Relaxed);
            }
        }
        thread::sleep(EVERY);
    }
}

/// Tells the guard that there is nothing left to guard, also when a panic ends the work.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
