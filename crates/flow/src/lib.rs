//! Source, seal, sink: mail moved and sealed, and only then settled.
//!
//! In: the settings of a flow. Out: its mail sealed, in place or in another folder, and what can be said of it before and
//! after: [`plan`], [`sweep`], [`watch`], [`status`]. Never: a secret decryption key. This crate does not depend on `open`, so
//! that whoever seals cannot open.
//!
//! Start with `pump.rs`: take, seal, put, settle. The modules stand in the order of the floors.

pub mod progress;
pub mod reason;
pub mod settings;

mod sqlite;
#[cfg(feature = "postgres")]
mod postgres;

mod receipt;
mod standing;
mod stumble;
mod owner;

pub mod survey;

mod pump;

pub mod swept;

mod memory;
mod maildir;
mod imap;
mod look_at;

pub mod plan;
pub mod status;
pub mod sweep;
pub mod watch;

pub mod directory;
pub mod delivery;
#[cfg(feature = "forward")]
pub mod forward;

pub use plan::{Plan, plan};
pub use progress::Progress;
pub use settings::{Backup, Imap, Route, Settings, Sink};
pub use status::{Status, status, stopped_since};
pub use store::{Fate, Step};
pub use survey::{Count, LeftOut, SurveyError};
pub use sweep::sweep;
pub use swept::{SweepError, Swept, Undecided, Watching};
pub use watch::watch;
