//! Whether a flow can do its work at this moment.
//!
//! In: what sessions meet. Out: well, or what is not. Never anything of a message.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by all that work for a flow.
#[derive(Debug, Default)]
pub struct Health {
    listens: AtomicBool,
    directory_down: AtomicBool,
    drains: AtomicBool,
}

impl Health {
    /// Connections are taken from now on.
    pub(crate) fn listens(&self) {
        self.listens.store(true, Ordering::Relaxed);
    }

    /// Are connections taken, or were they?
    pub fn has_listened(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    /// No more connections are taken.
    pub(crate) fn drains(&self) {
        self.drains.store(true, Ordering::Relaxed);
    }

    /// The directory answered, or did not.
    pub(crate) fn directory(&self, answered: Answered) {
        self.directory_down.store(answered == Answered::No, Ordering::Relaxed);
    }

    /// What is not well.
    pub fn ill(&self) -> Option<&'static str> {
        if self.drains.load(Ordering::Relaxed) {
            Some("it is ending")
        } else if !self.listens.load(Ordering::Relaxed) {
            Some("it has not begun to listen")
        } else if self.directory_down.load(Ordering::Relaxed) {
            Some("the recipient directory does not answer")
        } else {
            None
        }
    }
}

/// Whether somebody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Yes,
    No,
}
