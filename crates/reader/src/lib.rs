//! Sealed mailboxes, read: [`list`] them, [`verify`] them, [`undo`] the sealing.
//!
//! In: a Maildir, unlocked keys, pinned sealers. Out: what is in it; or the originals, back in their places. Never: a socket;
//! plaintext on disk anywhere but where the original lay. The modules stand in the order of the floors.

pub mod progress;
pub mod settings;

mod ciphertext;

pub mod reason;

mod restore;
mod walk;

pub mod list;
pub mod undo;
pub mod verify;

pub use list::{ListError, Listed, Summary, list};
pub use progress::Progress;
pub use settings::Settings;
pub use store::{Fate, Step};
pub use undo::{UndoError, Undone, undo};
pub use verify::{Verified, VerifyError, verify};
pub use walk::{LeftOut, Place};
