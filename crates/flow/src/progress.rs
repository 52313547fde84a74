//! Watching a sweep: for a bar on a terminal, and for tests.
//!
//! In: nothing. Out: calls, on the thread that sweeps. Never names a message.

use store::Step;
use store::ledger::Code;

/// Is told how far it is. Every method may be left as it is.
pub trait Progress {
    /// One more message was looked at, to see what it is.
    fn looked(&mut self) {}

    /// All is listed: so many messages, of so many octets, are to be sealed.
    fn total(&mut self, messages: u64, octets: u64) {
        let _ = (messages, octets);
    }

    /// One more message of so many octets is sealed.
    fn done(&mut self, octets: u64) {
        let _ = octets;
    }

    /// One more that was to be sealed is left alone; it went away or its flags changed.
    fn skipped(&mut self, reason: Code) {
        let _ = reason;
    }

    /// One more could not be sealed.
    fn failed(&mut self, reason: Code) {
        let _ = reason;
    }

    /// Nothing can be done for so many seconds: mail is too young.
    fn waiting(&mut self, seconds: u64) {
        let _ = seconds;
    }

    /// All is sealed that was there; new mail of so many mailboxes is waited for.
    fn watching(&mut self, mailboxes: usize) {
        let _ = mailboxes;
    }

    /// The connection was lost, or could not be made; it is tried again.
    fn lost(&mut self, why: &dyn std::error::Error) {
        let _ = why;
    }

    /// A batch has come so far.
    fn step(&mut self, step: Step) {
        let _ = step;
    }
}

/// Nobody watches.
impl Progress for () {}
