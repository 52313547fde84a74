//! Source, seal, sink: mail moved and sealed, and only then settled.
//!
//! In: the settings of a flow. Out: its mail sealed in place, and what can be said of it before and after: [`plan`],
//! [`sweep`], [`status`]. Never: a secret decryption key. This crate does not depend on `open`, so that whoever seals
//! cannot open.
//!
//! Start with `pump.rs`: take, seal, put, settle. The modules stand in the order of the floors.

pub mod progress;
pub mod reason;
pub mod settings;

mod receipt;
mod look;
mod sink;
mod source;

pub mod survey;

mod recovery;
mod pump;

pub mod plan;
pub mod status;
pub mod sweep;

pub use plan::{Plan, plan};
pub use progress::Progress;
pub use recovery::Undecided;
pub use settings::Settings;
pub use status::{Status, status};
pub use store::{Fate, Step};
pub use survey::{Count, LeftOut, SurveyError};
pub use sweep::{SweepError, Swept, sweep};
