//! The steps of a batch of replacements, in a Maildir or on a server.
//!
//! In: nothing. Out: their names, in their order.

/// Where a batch is; for whoever watches, and for tests that cut it off there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The journal knows the batch.
    Begun,
    /// On a server: other sealers are kept away.
    Locked,
    /// On a server: the originals are fetched.
    Taken,
    /// All copies are written, but maybe not on disk.
    Written,
    /// They are on disk in `tmp/`.
    Synced,
    /// The journal knows what each copy must be.
    Expected,
    /// They were read back and proven.
    Proven,
    /// One more copy stands beside its original.
    Published,
    /// All of them do, durably.
    Durable,
    /// On a server: what others changed on the originals was carried over.
    Carried,
    /// The journal knows that the originals go now.
    Announced,
    /// On a server: the originals are flagged as deleted.
    Flagged,
    /// One more original is gone.
    Retired,
    /// All are, durably.
    RetiredDurably,
}
