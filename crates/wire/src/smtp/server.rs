//! The receiving side of a session.
//!
//! In: a stream, and how it is led. Out: requests, one after the other; whoever asks answers them. Order, syntax, limits and the octets of a
//! message are seen to here (RFC 5321, 2033, 1870, 2034, 2920, 3030, 3207, 3461, 6152, 6531). A request that is out of order is answered here and
//! never shown. Anything that could be read in two ways ends the session: bare line ends in commands, commands sent before TLS and read after it.

mod settings;
mod unstuff;
mod command;
mod activity;
mod session;

pub use activity::Activity;
pub use session::{Client, Received, Request, Session, SessionError};
pub use settings::{Extension, Hears, Network, NoNetwork, Refused, Settings, TlsError, tls};
