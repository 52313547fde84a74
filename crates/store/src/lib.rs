//! A mailbox wherever it lies: list, read, put, replace with a journal.
//!
//! In: the path of a Maildir, the path of a state database. Out: mailboxes and messages as they are on disk now, and an
//! in-place replacement that survives `kill -9` at any instant. Never: what a replacement means, a key, a network.
//!
//! The life of one replacement, each step a type of its own, so that the steps cannot be taken out of order:
//!
//! ```text
//! Journal::begin ─ Replacer::stage ─ Staging ─ Unsynced ─ Staged ─ read_back ─ Proven<P>
//!       │            (write)         finish    sync        the caller's predicate │
//!       │                                                                  publish│ tmp/ -> cur/ or new/
//! Journal::announce ─ Announced ──────────────┐        Published<P> ──────────────┘
//!                                             │             │ Published::make_durable (one fsync a directory, a batch)
//!                                             └─ retire ─ Durable<P>
//!                                                  │
//! Journal::advance(Done) ── Retired::make_durable ─┘  (one fsync a directory, a batch) -> Outcome
//! ```
//!
//! A caller that holds many messages at the same step shares the directory syncs and the journal's transactions between
//! them; [`Batch`] does so with all of the above. After a crash, or after any error from `publish` on, [`recover`] brings every unfinished replacement to its end.

pub mod fate;

mod cores;

pub mod clock;
mod private_file;
pub mod database;
pub mod journal;
pub mod ledger;
pub mod uids;
pub mod proof;
pub mod special;
pub mod pattern;
pub mod step;

pub mod maildir;
pub mod imap;

pub mod replace;

pub use clock::UnixSeconds;
pub use database::Database;
pub use fate::Fate;
pub use journal::{Announced, Journal};
pub use ledger::Ledger;
pub use maildir::{
    Durable, Flags, Mailbox, Maildir, Message, Outcome, Place, Proven, Published, Replacer, Retired, Staged, Staging,
    Unique, Unsynced, recover,
};
pub use private_file::make_private;
pub use proof::Proof;
pub use replace::{Batch, Ending, Halt, Job, Replace, Replaced};
pub use special::SpecialUse;
pub use step::Step;
pub use uids::Uids;
