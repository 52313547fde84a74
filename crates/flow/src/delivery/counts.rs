//! What became of every copy, counted.
//!
//! In: one outcome for each recipient of each message. Out: totals, for reports and metrics. Never anything of a message.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::ledger::Code;

use crate::delivery::trouble::Trouble;
use crate::reason;

/// What became of one recipient's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Sealed, and taken by the next hop.
    Sealed,
    /// It was encrypted already, and went on as it came.
    Encrypted,
    /// Sealed to the holding certificate, and kept.
    Held,
    /// It went on in clear, as the configuration says.
    Passed,
    /// It had been taken before, by a try that failed for another recipient.
    Repeated,
    /// It stays with the server that has it.
    Deferred,
    /// Its sender gets it back.
    Rejected,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 7] = [
        Outcome::Sealed,
        Outcome::Encrypted,
        Outcome::Held,
        Outcome::Passed,
        Outcome::Repeated,
        Outcome::Deferred,
        Outcome::Rejected,
    ];

    /// For reports and counters.
    pub fn code(self) -> Code {
        match self {
            Outcome::Sealed => reason::SEALED,
            Outcome::Encrypted => Code::new("encrypted"),
            Outcome::Held => Code::new("held"),
            Outcome::Passed => Code::new("passed"),
            Outcome::Repeated => Code::new("repeated"),
            Outcome::Deferred => Code::new("deferred"),
            Outcome::Rejected => Code::new("rejected"),
        }
    }
}

/// The totals of a flow since it began. Shared by all that work for it.
#[derive(Debug, Default)]
pub struct Counts {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    troubles: [AtomicU64; Trouble::ALL.len()],
    octets: AtomicU64,
    sealings: AtomicU64,
    sealing_micros: AtomicU64,
    refused_by_hop: AtomicU64,
    hop_lost: AtomicU64,
    unknown_ends: AtomicU64,
    sessions: AtomicU64,
}

impl Counts {
    /// One copy's outcome.
    pub(crate) fn outcome(&self, outcome: Outcome) {
        add(self.outcomes.get(outcome as usize), 1);
    }

    /// Why one copy could not be sealed.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        add(self.troubles.get(trouble as usize), 1);
    }

    /// One original, octets.
    pub(crate) fn took(&self, octets: u64) {
        add(Some(&self.octets), octets);
    }

    /// One sealing.
    pub(crate) fn sealing(&self, lasted: Duration) {
        add(Some(&self.sealings), 1);
        add(Some(&self.sealing_micros), u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX));
    }

    /// The next hop did not take a copy.
    pub(crate) fn refused_by_hop(&self) {
        add(Some(&self.refused_by_hop), 1);
    }

    /// The next hop could not be reached, or the connection broke before it had everything.
    pub(crate) fn hop_lost(&self) {
        add(Some(&self.hop_lost), 1);
    }

    /// The connection broke after the next hop had everything and before it said so: it may have the copy, and gets another.
    pub(crate) fn unknown_end(&self) {
        add(Some(&self.unknown_ends), 1);
    }

    /// Another session.
    pub(crate) fn session(&self) {
        add(Some(&self.sessions), 1);
    }

    /// Totals, by name; the outcomes, then the troubles.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let outcomes = Outcome::ALL.iter().zip(&self.outcomes).map(|(outcome, count)| (outcome.code(), read(count)));
        let troubles = Trouble::ALL.iter().zip(&self.troubles).map(|(trouble, count)| (trouble.code(), read(count)));
        Totals {
            outcomes: outcomes.collect(),
            troubles: troubles.collect(),
            octets: read(&self.octets),
            sealings: read(&self.sealings),
            sealing: Duration::from_micros(read(&self.sealing_micros)),
            refused_by_hop: read(&self.refused_by_hop),
            hop_lost: read(&self.hop_lost),
            unknown_ends: read(&self.unknown_ends),
            sessions: read(&self.sessions),
        }
    }
}

/// Totals at one moment.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Copies, by what became of them.
    pub outcomes: Vec<(Code, u64)>,
    /// Copies that could not be sealed, by why.
    pub troubles: Vec<(Code, u64)>,
    /// Octets of originals.
    pub octets: u64,
    /// Sealings.
    pub sealings: u64,
    /// Time spent sealing, all cores together.
    pub sealing: Duration,
    /// Copies that the next hop refused.
    pub refused_by_hop: u64,
    /// Copies that did not reach the next hop.
    pub hop_lost: u64,
    /// Copies of which nobody knows whether the next hop has them; their originals are tried again.
    pub unknown_ends: u64,
    /// Sessions that were begun.
    pub sessions: u64,
}

fn add(counter: Option<&AtomicU64>, number: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_under_its_own_name() {
        let counts = Counts::default();
        for (times, outcome) in (1..).zip(Outcome::ALL) {
            (0..times).for_each(|_| counts.outcome(outcome));
        }
        for (times, trouble) in (1..).zip(Trouble::ALL) {
            (0..times).for_each(|_| counts.trouble(trouble));
        }
        let totals = counts.totals();
        let names =
            |list: &[(Code, u64)]| list.iter().map(|(code, n)| format!("{}={n}", code.as_str())).collect::<Vec<_>>();
        assert_eq!(
            names(&totals.outcomes),
            ["sealed=1", "encrypted=2", "held=3", "passed=4", "repeated=5", "deferred=6", "rejected=7"]
        );
        assert_eq!(totals.troubles.len(), 8);
        assert_eq!(names(&totals.troubles)[4], "directory-down=5");
    }
}
