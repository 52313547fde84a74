//! What a session must hold before it tells a sender that his message was taken.
//!
//! In: the next hop's word, or a file that is on disk. Out: the receipt. Whoever answers 250 must show one; the functions here are the
//! only places that make them. A mailbox never settles with it: there, nobody else keeps the message meanwhile.

use store::maildir::Delivered;
use wire::smtp::Reply;

use crate::delivery::memo::Remembered;

/// Somebody else answers for the copy now.
#[derive(Debug)]
#[must_use = "without it, the sender must be told to keep the message"]
pub(crate) struct Accepted(());

impl Accepted {
    /// The next hop's final answer was positive (RFC 5321 §4.2.5).
    pub(crate) fn by_hop(reply: &Reply) -> Option<Accepted> {
        reply.is_positive().then_some(Accepted(()))
    }

    /// It lies in a Maildir, where it would survive power loss.
    pub(crate) fn kept(_: Delivered) -> Accepted {
        Accepted(())
    }

    /// It was accepted when the message came the time before.
    pub(crate) fn before(_: Remembered) -> Accepted {
        Accepted(())
    }
}
