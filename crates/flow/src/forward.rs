//! Mail forwarded: taken as a mail exchanger takes it, sealed to one owner, handed to the mailbox he has elsewhere.
//!
//! In: the settings of a forward flow. Out: every message that was answered 250 at its target, once, or in the queue, sealed. Two halves that meet
//! in the spool: `intake.rs` takes, seals and keeps; `runner.rs` puts and settles. Nobody is ever sent a bounce: what cannot be handed on stays,
//! and the owner is told. What is believed of mail that comes in: `checks.rs`; what others may believe of what goes out: `rewrite.rs`, `dkim.rs`,
//! `return_path.rs`. Never depends on `open`; nothing in clear touches the disk.

pub mod obstacle;
mod refusal;
pub mod resolver;

mod results;

pub mod verdict;
pub mod evidence;
pub mod checks;
pub mod rewrite;
pub mod dkim;
pub mod return_path;
pub mod note;

pub mod mx;
mod link;
pub mod schedule;
pub mod counts;

mod said;
mod report;
mod met;

mod envelope;
mod recipients;
mod rate;
mod trace;

pub mod spool;
pub mod settings;

mod lease;
mod likeness;
mod parcel;
mod record;
mod arrived;
mod group;
mod hop;
mod append;
mod target;
mod probe;
mod sealing;
mod runner;
mod intake;
mod door;
mod desk;
mod serve;

pub use counts::{Counts, Event, Plight, Totals};
pub use obstacle::Obstacle;
pub use probe::{Hitch, Likely, Ready, probe};
pub use rate::Rates;
pub use recipients::Recipients;
pub use refusal::Refusal;
pub use runner::{Tell, Told};
pub use schedule::Schedule;
pub use serve::{Controls, ForwardError, is_free, serve};
pub use settings::{Own, Settings, Sink};
pub use spool::{Item, Kind, Room, Spool, SpoolError, Standing, Tally, Which};
