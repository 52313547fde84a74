//! Who has had his copy already, when a message is sent once more because another recipient's copy failed.
//!
//! SMTP has one answer for all recipients of a message (RFC 5321 §4.1.1.4). If some copies were taken and one was not, the sender must
//! keep the message, and sends it again, octet by octet, to all. What was taken is remembered here, so that nobody gets it twice. In: sender,
//! recipient, message. Out: whether that copy was taken. Bounded; in memory: after a restart, a repeated copy is possible, as SMTP allows.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sealed::identity::{Hash, sha256};

/// Copies that are remembered, the newest ones.
const MOST: usize = 50_000;

/// Who had his copy.
#[derive(Debug, Default)]
pub(crate) struct Memo(Mutex<Remembering>);

#[derive(Debug, Default)]
struct Remembering {
    known: HashSet<Hash>,
    order: VecDeque<Hash>,
}

/// One copy: of which message, from whom, for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Which(Hash);

/// It was taken.
#[derive(Debug)]
pub(crate) struct Remembered(());

impl Which {
    pub(crate) fn new(message: &Hash, from: &str, to: &str) -> Which {
        let lengths = [from.len(), to.len()].map(|length| (length as u64).to_be_bytes());
        let [from_length, to_length] = &lengths;
        Which(sha256(&[&message[..], from_length, from.as_bytes(), to_length, to.as_bytes()].concat()))
    }
}

impl Memo {
    /// Is there anything to remember? If not, nobody needs the hash of his message.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().known.is_empty()
    }

    /// Was this copy taken?
    pub(crate) fn recall(&self, which: Which) -> Option<Remembered> {
        self.lock().known.contains(&which.0).then_some(Remembered(()))
    }

    /// This copy was taken, and another of the same message was not.
    pub(crate) fn remember(&self, which: Which) {
        let mut memo = self.lock();
        if memo.known.insert(which.0) {
            memo.order.push_back(which.0);
        }
        while memo.order.len() > MOST {
            if let Some(oldest) = memo.order.pop_front() {
                memo.known.remove(&oldest);
            }
        }
    }

    /// All copies of the message were taken: its sender will not send it again.
    pub(crate) fn forget(&self, which: Which) {
        let mut memo = self.lock();
        if memo.known.remove(&which.0) {
            memo.order.retain(|one| *one != which.0);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembering> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_apart_and_their_number_is_bounded() {
        let memo = Memo::default();
        let which = |message: u32, from: &str, to: &str| Which::new(&sha256(&message.to_be_bytes()), from, to);
        assert!(memo.is_empty() && memo.recall(which(1, "a", "b")).is_none());
        memo.remember(which(1, "a", "b"));
        for other in [which(2, "a", "b"), which(1, "", "ab"), which(1, "ab", ""), which(1, "a", "c")] {
            assert!(memo.recall(other).is_none());
        }
        assert!(memo.recall(which(1, "a", "b")).is_some() && !memo.is_empty());
        memo.forget(which(1, "a", "b"));
        assert!(memo.is_empty());
        let most = u32::try_from(MOST).unwrap_or(u32::MAX);
        (0..most + 10).for_each(|number| memo.remember(which(number, "a", "b")));
        assert!(memo.recall(which(9, "a", "b")).is_none() && memo.recall(which(10, "a", "b")).is_some());
    }
}
