//! What a batch of replacements is made of: jobs in, endings out, and somebody who writes copies and proves them.
//!
//! In: nothing. Out: types. Never: what a copy means.

use std::io::{self, Read, Seek, Write};

use super::place::Key;
use crate::journal::RowId;
use crate::proof::Proof;

/// The keyword that keeps other sealers away from a message while one works on it (format §12.2, A13).
pub const LOCK: &str = "$Sealing";

/// Makes the copies of a batch.
pub trait Remake: Sync {
    /// What the caller wants to have at hand for each message.
    type Item: Send + Sync;
    /// Takes octets once: originals as they are fetched, copies as they are written.
    type Scratch: Write + Send;
    /// Gives them, as often as needed.
    type Octets: Read + Seek + Send;
    /// What is kept between writing a copy and proving it. It may be secret: it is dropped right after the proof.
    type Kept: Send;
    /// What a proven copy carries.
    type Proof: Proof + Send;
    /// Why a copy was not made.
    type Error: Clone + Send;

    /// An empty place for about so many octets.
    fn scratch(&self, length: u64) -> io::Result<Self::Scratch>;
    /// All was written.
    fn finish(&self, scratch: Self::Scratch) -> io::Result<Self::Octets>;
    /// Whether a message with these flags may be replaced. Asked before it is fetched, and again before it goes.
    fn may(&self, job: &Job<Self::Item>, flags: &[String]) -> Result<(), Self::Error>;
    /// Whether to go on although another sealer's lock or copy is there: it had time enough.
    fn insists(&self, job: &Job<Self::Item>) -> bool;
    /// Reads the original, writes its copy.
    fn write(
        &self,
        job: &Job<Self::Item>,
        original: &mut Self::Octets,
        fetched: &Original,
        to: &mut Self::Scratch,
    ) -> Result<Written<Self::Kept>, Self::Error>;
    /// Keeps the copies of a batch elsewhere, durably, before anything is stored.
    fn keep(&self, copies: &mut [&mut Self::Octets]) -> Result<(), Self::Error>;
    /// The copy as the server gives it: is it as good as its original?
    fn prove(&self, kept: Self::Kept, copy: &mut Self::Octets) -> Result<Self::Proof, Self::Error>;
    /// The header fields that a copy's mark stands in, as FETCH names them; empty if copies have no mark.
    fn fields(&self) -> &'static str;
    /// The mark, from these fields.
    fn mark_of(&self, header: &[u8]) -> Option<Vec<u8>>;
    /// What tells one original from all others.
    fn fingerprint(&self, octets: &mut Self::Octets) -> io::Result<Vec<u8>>;
    /// Keywords that copies get besides the flags of their originals.
    fn keywords(&self) -> Vec<String> {
        Vec::new()
    }
    /// [`recover`](super::recover) has put this copy in its original's place, and will say so in the journal next.
    fn settled(&self, mailbox: &str, copy: Key) {
        let _ = (mailbox, copy);
    }
}

/// A copy that is written.
pub struct Written<K> {
    /// As in [`Remake::Kept`].
    pub kept: K,
    /// As in [`Remake::mark_of`].
    pub mark: Vec<u8>,
    /// What the journal needs to prove the copy after a crash.
    pub expectation: Vec<u8>,
    /// As in [`Remake::fingerprint`].
    pub fingerprint: Vec<u8>,
    /// UIDs of older copies of the same original in the target. They stay: of several the lowest UID is the one that no sealer ever
    /// removes (A7), so that two sealers cannot remove each other's.
    pub twins: Vec<u32>,
}

/// What the server says of an original.
#[derive(Clone, Debug, Default)]
pub struct Original {
    /// Octets.
    pub length: u64,
    /// Its flags and keywords.
    pub flags: Vec<String>,
    /// As IMAP writes it (RFC 9051 §9, `date-time`, without the quotes).
    pub internal_date: Option<String>,
}

/// One message to be replaced.
#[derive(Clone, Debug)]
pub struct Job<T> {
    /// Which, in the source.
    pub uid: u32,
    /// What the journal holds until the copy is written.
    pub note: Vec<u8>,
    /// The caller's.
    pub item: T,
}

/// What came of one message of a batch.
#[derive(Debug)]
pub struct Replaced<T, E> {
    /// As it came.
    pub job: Job<T>,
    /// The journal's row.
    pub row: RowId,
    /// What came of it.
    pub ending: Ending<E>,
}

/// What came of one message.
#[derive(Debug)]
pub enum Ending<E> {
    /// No copy stays: the original is untouched, nothing is left behind.
    Failed(Failure<E>),
    /// It went away before its copy was stored.
    Vanished,
    /// The copy stands in the original's place.
    Replaced {
        /// Where the copy is.
        copy: Key,
        /// Its mark.
        mark: Vec<u8>,
        /// What the server says of it: octets.
        length: u64,
        /// Its date of arrival.
        internal_date: Option<String>,
        /// As in [`Written::twins`].
        twins: Vec<u32>,
    },
    /// Somebody moved the original to another mailbox; the copy was removed. It is to be treated there.
    MovedElsewhere,
    /// Somebody expunged the original; the copy lies in the Trash: neither risen from the dead nor lost.
    Expunged,
    /// Somebody moved the copy to another mailbox, and it was proven there; the original is gone.
    MovedAlong,
    /// Somebody expunged the copy, and meant the message; the original lies in the Trash.
    CopyExpunged,
    /// Both are there: [`recover`](super::recover) will settle it. The row must stay as it is.
    Unsettled,
}

/// Why no copy stays.
#[derive(Clone, Debug)]
pub enum Failure<E> {
    /// The caller did not want it, did not write it, or did not find it good.
    Refused(E),
    /// Another sealer is at work on it.
    Locked,
    /// It could not be fetched.
    Unreadable,
    /// No place for it here.
    Scratch,
    /// Larger than the server takes.
    TooLarge,
    /// The account is full.
    Quota,
    /// The server does not take it.
    Rejected,
    /// The server took it, and does not show it.
    NoCopy,
    /// The server put it together with a message that was there before.
    Merged,
    /// The server gave it another date.
    Date,
    /// The server does not keep its flags.
    Flags,
    /// Its flags change faster than they can be carried over.
    Restless,
}

impl<T, E> Replaced<T, E> {
    /// Whether the journal's row may be done.
    pub fn is_over(&self) -> bool {
        !matches!(self.ending, Ending::Unsettled)
    }
}
