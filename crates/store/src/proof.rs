//! What a caller must hold before an original may go.
//!
//! In: nothing. Out: one marker trait. Never: a proof of its own.
//!
//! # Why a trait, and why the proof travels inside the copy
//!
//! This crate deletes other people's mail, yet must not know what makes a copy as good as its original. So the judgement
//! is the caller's, and the type system only sees to it that it was made, about this very copy:
//!
//! * A copy leaves `tmp/` only as [`Proven<P>`](crate::Proven), and the only way to one is
//!   [`Staged::read_back`](crate::Staged::read_back): the predicate was shown the octets as re-opened from disk and gave back a `P`.
//! * The `P` stays inside `Published<P>` and `Durable<P>`. [`Durable::retire`](crate::Durable::retire) consumes it. A separate
//!   `&P` argument would let the proof of one copy retire the original of another; so would a `Vec` of proofs beside a
//!   `Vec` of copies.
//! * Deleting without a proof does not compile: there is no other function here that unlinks an original.
//!
//! ```
//! struct Compared;
//! impl store::Proof for Compared {}
//! fn careful(staged: store::Staged) {
//!     let _ = staged.read_back(|_file| Ok::<Compared, std::io::Error>(Compared));
//! }
//! ```
//!
//! ```compile_fail,E0277
//! fn hasty(staged: store::Staged) {
//!     // `()` is not a proof.
//!     let _ = staged.read_back(|_file| Ok::<(), std::io::Error>(()));
//! }
//! ```

/// Marks a type whose values exist only where a stored copy was read back and found to be as good as its original.
///
/// Implement it for nothing but the sealing side's receipt (in `flow`, a newtype around what `seal` returns after it has
/// opened the copy and compared it). Such a type has no public constructor, no `Default`, no `Clone`. Every implementation
/// is a place for a reviewer: `grep "Proof for"`.
pub trait Proof {}
