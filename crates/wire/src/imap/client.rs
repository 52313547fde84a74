//! The client: one connection, one authenticated user.
//!
//! In: orders. Out: answers, in order. Never: more than one mailbox selected at a time, a bare EXPUNGE.

mod tidings;
mod session;
mod connect;
mod mailboxes;
mod names;
mod fetch;
mod store;
mod append;
mod idle;

pub use append::{Append, AppendLost, Ask, Leave, Moment};
pub use connect::{Endpoint, Security};
pub use idle::{Idling, News};
pub use mailboxes::{Access, Selected};
pub use session::Session;
pub use store::StoreOrder;
pub use tidings::{Tiding, Tidings};
