//! Sealed mailboxes, read: [`verify`] them, [`undo`] the sealing, [`restore`] from a backup.
//!
//! In: a Maildir or an account, unlocked keys, pinned sealers. Out: what is in it; or the originals, back in their places.
//! Never: plaintext on disk anywhere but where the original lay, or where the owner asked for it. The modules stand in the
//! order of the floors.

pub mod account;
pub mod progress;
pub mod settings;

mod ciphertext;
mod day;

pub mod reason;

mod place;
mod opening;
mod numbers;
mod backup;

pub mod restored;
pub mod undone;
pub mod verified;

mod maildir;
mod imap;
mod directory;

pub mod restore;
pub mod undo;
pub mod verify;

pub mod bridge;
pub mod shelf;
pub mod export;

pub use account::AccountError;
pub use bridge::{
    Anew, Hit, IndexError, Indexed, Query, QueryError, ReachError, Stand, VaultError, index, search, stand,
};
pub use day::day;
pub use export::{Exported, Form, export};
pub use place::{LeftOut, Place};
pub use progress::Progress;
pub use restore::restore;
pub use restored::{Into, RestoreError, Restored};
pub use settings::{Imap, Sealers, Settings, Source};
pub use shelf::{Found, Line, Shelf, ShelfError};
pub use store::{Fate, Step};
pub use undo::undo;
pub use undone::{UndoError, Undone};
pub use verified::{Gap, Verified, VerifyError};
pub use verify::verify;
