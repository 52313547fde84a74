//! Why a message is left alone, or could not be sealed: fixed words that go into reports and the state database.
//!
//! In: nothing. Out: codes. Never anything of a message.

use store::ledger::Code;

/// Left alone: a draft, which its owner's mail program must edit.
pub const DRAFT: Code = Code::new("draft");
/// Left alone: flagged as deleted.
pub const DELETED: Code = Code::new("deleted");
/// Left alone for now: it has not been here for the grace period.
pub const TOO_YOUNG: Code = Code::new("too-young");
/// Left alone: it arrived before the flow's `since`.
pub const TOO_OLD: Code = Code::new("too-old");
/// Left alone: larger than the flow's limit.
pub const TOO_LARGE: Code = Code::new("too-large");
/// Left alone: its sender has encrypted it. Its Subject stays visible.
pub const END_TO_END: Code = Code::new("end-to-end");
/// Left alone: sealed, but by a sealer that is not pinned here.
pub const UNKNOWN_SEALER: Code = Code::new("unknown-sealer");
/// Left alone: its owner has put it back with `undo` (A15).
pub const UNSEALED: Code = Code::new("unsealed");
/// Left alone: it went away, or changed, while it was looked at.
pub const GONE: Code = Code::new("gone");

/// Failed: the file cannot be read.
pub const UNREADABLE: Code = Code::new("unreadable");
/// Failed: an entry of the mailbox that is no message file.
pub const NO_MESSAGE: Code = Code::new("no-message");
/// Failed: it changed while it was read.
pub const CHANGED: Code = Code::new("changed");
/// Failed: larger than the format allows.
pub const BEYOND_FORMAT: Code = Code::new("beyond-format");
/// Failed: the sealed copy cannot be written.
pub const UNWRITABLE: Code = Code::new("unwritable");
/// Failed: the sealed copy cannot be given to the original's owner.
pub const OWNER: Code = Code::new("owner");
/// Failed: a recipient's key does not work, or there are too many.
pub const RECIPIENT: Code = Code::new("recipient");
/// Failed: what was sealed did not open to the original. A bug or broken hardware.
pub const SELF_CHECK: Code = Code::new("self-check");
/// Failed: the stored copy, read back, did not open to the original.
pub const NOT_PROVED: Code = Code::new("not-proved");
/// Failed: renamed by others faster than it can be found.
pub const RESTLESS: Code = Code::new("restless");
/// Failed: an earlier replacement of it could not be settled yet.
pub const UNSETTLED: Code = Code::new("unsettled");
/// Failed: another sealer is at work on it.
pub const LOCKED: Code = Code::new("locked");
/// Failed: the sealed copy is larger than the server takes.
pub const APPEND_LIMIT: Code = Code::new("append-limit");
/// Failed: the account is full.
pub const QUOTA: Code = Code::new("quota");
/// Failed: the server does not take the sealed copy.
pub const REJECTED: Code = Code::new("rejected");
/// Failed: the server took the sealed copy and does not show it.
pub const NO_COPY: Code = Code::new("no-copy");
/// Failed: the server put the sealed copy together with another message.
pub const MERGED: Code = Code::new("merged");
/// Failed: the server gave the sealed copy another date.
pub const DATE: Code = Code::new("date");
/// Failed: the server does not keep the flags of the sealed copy.
pub const FLAGS: Code = Code::new("flags");
/// Failed: a bug of this program.
pub const INTERNAL: Code = Code::new("internal");

/// Counted: sealed messages.
pub const SEALED: Code = Code::new("sealed");
/// Counted: failures.
pub const FAILED: Code = Code::new("failed");
