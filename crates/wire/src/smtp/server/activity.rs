//! What a session is doing, for whoever must choose one that gives way.
//!
//! In: what the session tells. Out: since when it waits for its client; and a word to it that it should end. Shared by the session and by
//! who keeps the list of sessions.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

/// What a session is doing.
#[derive(Debug, Default)]
pub struct Activity {
    /// Milliseconds on a clock of the process since which it waits for its client, plus one; zero: it is at work.
    waits_since: AtomicU64,
    ends: AtomicBool,
    evicted: AtomicBool,
    word: Notify,
}

impl Activity {
    /// It begins to wait for its client, or has heard from it.
    pub(crate) fn waits(&self) {
        self.waits_since.store(now().saturating_add(1), Ordering::Relaxed);
    }

    /// It is at work: nobody may take its place.
    pub(crate) fn works(&self) {
        self.waits_since.store(0, Ordering::Relaxed);
    }

    /// Since when it has waited, the smaller the longer; none: it is at work.
    pub(crate) fn waiting_since(&self) -> Option<u64> {
        self.waits_since.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Asks it to end at once: another one needs the place.
    pub(crate) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.word.notify_one();
    }

    /// Asks it to end as soon as no message is under way.
    pub fn drain(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.word.notify_one();
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Until somebody asks it to end.
    pub(crate) async fn asked(&self) {
        self.word.notified().await;
    }
}

fn now() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}
