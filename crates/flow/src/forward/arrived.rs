//! What must be held before a copy leaves the queue, and before a sender is told 250.
//!
//! In: the next server's word, a file that is on disk, a copy that was fetched back; what the spool has written. Out: receipts. The functions here
//! are the only places that make them.

use store::maildir::Delivered;
use wire::smtp::Reply;

use crate::forward::likeness::Nameless;
use crate::forward::parcel::Shown;
use crate::forward::spool::{Announced, Written};

/// The copy is at its target: the queue may let it go.
#[derive(Debug)]
#[must_use = "without it, the copy stays in the queue"]
pub(crate) struct Arrived(());

/// Somebody answers for the message now: its sender may forget it.
#[derive(Debug)]
#[must_use = "without it, the sender must be told to keep the message"]
pub(crate) struct Kept(());

impl Arrived {
    /// The next server's final answer was positive (RFC 5321 §4.2.5).
    pub(crate) fn by_hop(reply: &Reply) -> Option<Arrived> {
        reply.is_positive().then_some(Arrived(()))
    }

    /// It lies in a Maildir, where it would survive power loss.
    pub(crate) fn filed(_: Delivered) -> Arrived {
        Arrived(())
    }

    /// The account's server has taken it (the tagged OK of APPEND) and does not say where, and there is no name to look for it by.
    pub(crate) fn by_word(_: Nameless) -> Arrived {
        Arrived(())
    }

    /// It was fetched back from the owner's account, and is the one, as far as that can be asked.
    pub(crate) fn seen(_: Shown) -> Arrived {
        Arrived(())
    }
}

impl Kept {
    /// It lies in the spool, synced, now or from an earlier time.
    pub(crate) fn written(_: Written) -> Kept {
        Kept(())
    }

    /// It need not: it arrived when it came before.
    pub(crate) fn before(announced: Announced) -> Option<Kept> {
        (announced == Announced::Before).then_some(Kept(()))
    }

    /// It need not: it has arrived.
    pub(crate) fn arrived(_: Arrived) -> Kept {
        Kept(())
    }
}
