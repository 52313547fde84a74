//! Watching long work: for a bar on a terminal, and for tests.
//!
//! In: nothing. Out: calls, on the thread that works. Never names a message.

use store::Step;

/// Is told how far it is. Every method may be left as it is.
pub trait Progress {
    /// All is listed: so many sealed messages, of so many octets.
    fn total(&mut self, messages: u64, octets: u64) {
        let _ = (messages, octets);
    }

    /// One more message of so many octets is done.
    fn done(&mut self, octets: u64) {
        let _ = octets;
    }

    /// One more could not be opened, or not be put back; the reason is one of [these](crate::reason).
    fn failed(&mut self, reason: &'static str) {
        let _ = reason;
    }

    /// The server cannot be reached; it is tried again.
    fn lost(&mut self) {}

    /// A batch has come so far.
    fn step(&mut self, step: Step) {
        let _ = step;
    }
}

/// Nobody watches.
impl Progress for () {}
