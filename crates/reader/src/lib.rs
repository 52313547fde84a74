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

mod answer;
mod place;
mod opening;
mod means;
mod vault;
mod depot;
mod index;
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

pub mod shelf;
pub mod export;
pub mod bridge;

pub use account::AccountError;
pub use day::day;
pub use depot::ReachError;
pub use export::{Exported, Form, export};
pub use index::{Anew, Hit, IndexError, Indexed, OPERATORS, Query, QueryError, Stand, index, mailboxes, search, stand};
pub use means::SealWith;
pub use place::{LeftOut, Place};
pub use progress::Progress;
pub use restore::restore;
pub use restored::{Into, RestoreError, Restored};
pub use settings::{Imap, Sealers, Settings, Source};
pub use shelf::{Found, Line, Shelf, ShelfError};
pub use store::{Fate, Step};
pub use undo::undo;
pub use undone::{UndoError, Undone};
pub use vault::VaultError;
pub use verified::{Gap, Verified, VerifyError};
pub use verify::verify;
