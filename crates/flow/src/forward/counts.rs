//! What a forward flow did, counted.
//!
//! In: one event after the other. Out: totals, for reports and metrics. Never anything of a message.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use store::UnixSeconds;
use store::ledger::Code;

use crate::forward::obstacle::Obstacle;
use crate::forward::refusal::Refusal;

/// What happened to a message, or to a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It was sealed and lies in the spool; its sender was told 250.
    Kept,
    /// It was encrypted already, and was handed on as it came.
    Encrypted,
    /// Its sender had sent it before.
    Repeated,
    /// Its sender was told to keep it.
    Deferred,
    /// Its sender was told no.
    Rejected,
    /// It is at its target.
    Arrived,
    /// It was there already when it was looked for.
    Found,
    /// The target has not got it; it is tried again.
    Retried,
    /// The target may have it without having said so, and gets it again.
    Unknown,
    /// The target will not have it. It stays in the queue.
    Failed,
    /// The owner was written a note.
    Noted,
    /// A copy that had failed was removed: it had lain there too long, or there were too many.
    Removed,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 12] = [
        Event::Kept,
        Event::Encrypted,
        Event::Repeated,
        Event::Deferred,
        Event::Rejected,
        Event::Arrived,
        Event::Found,
        Event::Retried,
        Event::Unknown,
        Event::Failed,
        Event::Noted,
        Event::Removed,
    ];

    /// For reports and counters.
    pub fn code(self) -> Code {
        Code::new(match self {
            Event::Kept => "kept",
            Event::Encrypted => "encrypted",
            Event::Repeated => "repeated",
            Event::Deferred => "deferred",
            Event::Rejected => "rejected",
            Event::Arrived => "arrived",
            Event::Found => "found",
            Event::Retried => "retried",
            Event::Unknown => "unknown-end",
            Event::Failed => "failed",
            Event::Noted => "noted",
            Event::Removed => "removed",
        })
    }
}

/// The totals of a flow since it began. Shared by all that work for it.
#[derive(Debug, Default)]
pub struct Counts {
    events: [AtomicU64; Event::ALL.len()],
    refusals: Refusals,
    plight: Mutex<Option<Plight>>,
    waiting: AtomicU64,
    failed: AtomicU64,
    octets: AtomicU64,
}

/// Counters of refusals, in the order of [`Refusal::all`].
#[derive(Debug)]
struct Refusals([AtomicU64; Refusal::COUNT]);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(std::array::from_fn(|_| AtomicU64::default()))
    }
}

/// What stands in the way of all mail, or of what is tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plight {
    /// What.
    pub obstacle: Obstacle,
    /// Since when.
    pub since: UnixSeconds,
}

/// Totals at one moment.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Events, by name.
    pub events: Vec<(Code, u64)>,
    /// Messages that were not taken, by why.
    pub refusals: Vec<(Code, u64)>,
    /// What stands in the way; none: as far as is known, nothing.
    pub plight: Option<Plight>,
    /// Copies in the spool that are to be handed on, as was last looked.
    pub waiting: u64,
    /// Copies in the spool that nobody hands on until he is asked to.
    pub failed: u64,
    /// Octets of both.
    pub octets: u64,
}

impl Counts {
    pub(crate) fn event(&self, event: Event) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        let at = Refusal::all().position(|one| one == refusal);
        if let Some(counter) = at.and_then(|at| self.refusals.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What stands in the way now.
    pub(crate) fn meets(&self, plight: Option<Plight>) {
        *self.plight.lock().unwrap_or_else(PoisonError::into_inner) = plight;
    }

    /// What lies in the spool.
    pub(crate) fn queue(&self, waiting: u64, failed: u64, octets: u64) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.failed.store(failed, Ordering::Relaxed);
        self.octets.store(octets, Ordering::Relaxed);
    }

    /// Totals.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let events = Event::ALL.iter().zip(&self.events).map(|(event, count)| (event.code(), read(count)));
        let refusals = Refusal::all().zip(&self.refusals.0).map(|(why, count)| (why.code(), read(count)));
        Totals {
            events: events.collect(),
            refusals: refusals.collect(),
            plight: *self.plight.lock().unwrap_or_else(PoisonError::into_inner),
            waiting: read(&self.waiting),
            failed: read(&self.failed),
            octets: read(&self.octets),
        }
    }
}
