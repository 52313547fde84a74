//! SMTP (RFC 5321) and LMTP (RFC 2033): mail handed from one server to the next.
//!
//! In: byte streams. Out: sessions of both sides: [`server`] takes mail from whoever hands it in, [`client`] hands it on. Asynchronous, as one
//! process leads thousands of sessions that mostly wait. Never: a queue, a key, or a word of what a message says.

pub mod limit;
pub mod place;
pub mod reply;
pub mod path;
pub mod xforward;
pub mod shape;
mod duplex;
pub(crate) mod lines;
pub mod server;
pub mod listen;
pub mod client;

pub use duplex::Duplex;
pub use path::{Body, MailFrom, Parameter, RcptTo};
pub use place::{Dialect, Place};
pub use reply::Reply;
pub use shape::{Looking, Shape};
pub use xforward::Xforward;
