//! What must be held before an original may go.
//!
//! In: a stored copy, read back. Out: the receipt, which `store` demands before it removes an original. A mailbox settles
//! with [`Proved`] and nothing else; another hop's word that it has taken a message is a receipt of another kind
//! (`delivery/accepted.rs`), which no mailbox accepts. Never made without a proof of `seal`: the two functions here are the only places.

use std::io::{BufReader, Read, Seek, Write};

use seal::{Expectation, ProofError, Sealing};
use sealed::identity::{AccountId, Hash};
use sealed::signature::SealerPublic;

/// The stored copy was read back: it is ours, whole, and as good as its original.
#[derive(Debug)]
pub(crate) struct Proved(#[expect(dead_code, reason = "held, not looked at")] seal::Proved);

impl store::Proof for Proved {}

impl Proved {
    /// The copy opens, with the session key that is still in memory, to the original (A3).
    pub(crate) fn with_key(
        sealing: &Sealing,
        copy: impl Read,
        spool: &mut (impl Read + Write + Seek),
    ) -> Result<Proved, ProofError> {
        sealing.prove(&mut BufReader::with_capacity(READ_BUFFER, copy), spool).map(Proved)
    }

    /// After a restart: the copy is, hash by hash, what was opened before it was stored, and `original` is what it was made of (A6).
    pub(crate) fn after_restart(
        expectation: &Expectation,
        original: &Hash,
        copy: impl Read,
        account: AccountId,
        sealer: &SealerPublic,
    ) -> Result<Proved, ProofError> {
        let mut copy = BufReader::with_capacity(READ_BUFFER, copy);
        expectation.prove(&mut copy, original, account, sealer).map(Proved)
    }
}

/// Octets read at a time.
pub(crate) const READ_BUFFER: usize = 64 * 1024;
