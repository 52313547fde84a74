//! The handing-over side of a session.
//!
//! In: where the next server is; an envelope and the octets of a message. Out: its answers, one for each recipient; or why there are none, and
//! whether the message may have been taken all the same. Whoever is told "not sent" may try again at once, whoever is told "unknown" must
//! reckon with two copies (RFC 5321 §4.5.3.2.6).

mod stuff;
mod session;
mod pool;

pub use pool::Pool;
pub use session::{Capabilities, Content, DeliverError, Login, NextHop, ReadSeek, Security};
