//! When a copy is tried again, and when no more.
//!
//! In: how often it was tried. Out: a time to wait. RFC 5321 §4.5.4.1 asks for half an hour between tries and four to five days; the first ones
//! are sooner here, as most outages are short.

use std::time::Duration;

/// When a copy is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Waits after the first, second, … try; the last one is repeated. Never empty.
    steps: Vec<Duration>,
    /// After so long it is not tried by itself any more.
    expire: Duration,
    /// A target that broke off may still be at work on what it was given; so long it is left alone before the copy is looked for.
    grace: Duration,
    /// What the next server answers for is kept for so long, since it may come back.
    keep: Duration,
    /// What failed lies in the queue for so long; none: until somebody decides.
    failed: Option<Duration>,
    /// So much of what the target refused lies there at most: octets, messages.
    refused: (u64, u64),
    /// Between two looks at it.
    clearing: Duration,
}

/// For how long it is kept, as a rule: a server that has it tries for hours, and tells soon when it cannot.
const KEEP: Duration = Duration::from_secs(3 * 86_400);
/// For how long what failed lies there, as a rule: whoever is told of it may be away for some weeks.
const FAILED: Duration = Duration::from_secs(30 * 86_400);
/// How much of what the target refused lies there: strangers choose what comes.
const REFUSED: (u64, u64) = (1024 * 1024 * 1024, 10_000);
/// Between two looks at what failed.
const CLEARING: Duration = Duration::from_secs(60);
/// How long before it goes its owner is told, at most.
const NOTICE: Duration = Duration::from_secs(7 * 86_400);
/// The usual grace.
const GRACE: Duration = Duration::from_secs(5);

impl Default for Schedule {
    fn default() -> Schedule {
        let steps = [30, 120, 480, 1800, 7200, 14_400].map(Duration::from_secs).to_vec();
        Schedule {
            steps,
            expire: Duration::from_secs(5 * 86_400),
            grace: GRACE,
            keep: KEEP,
            failed: Some(FAILED),
            refused: REFUSED,
            clearing: CLEARING,
        }
    }
}

impl Schedule {
    /// What is not said is as usual. No steps at all are none said.
    pub fn new(steps: Vec<Duration>, expire: Option<Duration>) -> Schedule {
        let usual = Schedule::default();
        let steps = if steps.is_empty() { usual.steps } else { steps };
        Schedule { steps, expire: expire.unwrap_or(usual.expire), ..usual }
    }

    /// With another grace.
    pub fn with_grace(self, grace: Duration) -> Schedule {
        Schedule { grace, ..self }
    }

    /// With another time for what the next server answers for; none at all: it goes at once.
    pub fn keeping(self, keep: Duration) -> Schedule {
        Schedule { keep, ..self }
    }

    /// With another time for what failed; none: until somebody decides.
    pub fn leaving(self, failed: Option<Duration>) -> Schedule {
        Schedule { failed, ..self }
    }

    /// With another bound for what the target refused: octets, messages.
    pub fn with_most_refused(self, octets: u64, number: u64) -> Schedule {
        Schedule { refused: (octets, number), ..self }
    }

    /// With another time between two looks at what failed.
    pub fn clearing_every(self, clearing: Duration) -> Schedule {
        Schedule { clearing, ..self }
    }

    /// Between two looks at what failed.
    pub(crate) fn clearing(&self) -> Duration {
        self.clearing
    }

    /// For how long what failed lies there, and how long before its end its owner is told.
    pub(crate) fn failed(&self) -> Option<(Duration, Duration)> {
        self.failed.map(|failed| (failed, NOTICE.min(failed / 4)))
    }

    /// How much of what the target refused lies there at most: octets, messages.
    pub(crate) fn most_refused(&self) -> (u64, u64) {
        self.refused
    }

    /// For how long it is kept.
    pub(crate) fn keep(&self) -> Duration {
        self.keep
    }

    /// How long a target that broke off is left alone.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// How long to wait after so many tries.
    pub(crate) fn after(&self, tries: u32) -> Duration {
        let at = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.steps.get(at).or(self.steps.last()).copied().unwrap_or(Duration::from_secs(14_400))
    }

    /// Whether a copy of that age is not tried by itself any more.
    pub(crate) fn is_over(&self, age: Duration) -> bool {
        age >= self.expire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_the_last_one_stays() {
        let schedule = Schedule::default();
        let waits: Vec<u64> = (1..9).map(|tries| schedule.after(tries).as_secs()).collect();
        assert_eq!(waits, [30, 120, 480, 1800, 7200, 14_400, 14_400, 14_400]);
        assert!(schedule.is_over(Duration::from_secs(432_000)) && !schedule.is_over(Duration::from_secs(431_999)));
        let short = Schedule::new(vec![Duration::from_secs(1)], None);
        assert_eq!((short.after(0), short.after(7)), (Duration::from_secs(1), Duration::from_secs(1)));
    }
}
