//! Mail sealed on its way: taken from a mail server's hands, sealed to each recipient's keys, put into the next one's.
//!
//! In: the settings of a delivery flow. Out: every message sealed and handed on, or answered with a reason; never kept, never
//! in clear unless the configuration says so in that word. The next hop's answer is our answer (RFC 2033 §4.2): nothing is
//! queued here, so nothing can be lost here. Never depends on `open`. Start with `carry.rs`: take, seal, put, settle.

pub mod trouble;
pub mod policy;
pub mod counts;
pub mod health;

pub(crate) mod mail;
pub(crate) mod sealing;

pub mod settings;

mod memo;
mod accepted;
mod hold;
mod put;
pub(crate) mod carry;
pub(crate) mod current;
pub(crate) mod connections;
mod transaction;
mod door;
mod milter;
pub(crate) mod serve;

pub use carry::{Hop, Note, Tell};
pub use counts::{Counts, Outcome, Totals};
pub use health::Health;
pub use policy::{OnFailure, Policy};
pub use serve::{Controls, ServeError, serve};
pub use settings::{Door, Hold, Listen, Settings, Sink, Socket};
pub use trouble::Trouble;
