//! Protocol sessions: a blocking, pipelining IMAP client; SMTP and LMTP on both sides and the milter
//! protocol, asynchronous; TLS.
//!
//! In: an endpoint, what to trust, credentials; or connections that come in. Out: an authenticated session that lists, fetches, stores, appends
//! and waits for news; sessions in which mail is handed over. Never: a sealing or opening key, nor what sealing is. Whole messages pass
//! through as streams and are never held in memory.
//!
//! Start with [`imap::Session`], [`smtp::server::Session`] or [`milter::Session`]. The modules stand in the order of the floors.

pub mod limit;
pub mod mailbox_name;
mod uid_set;
mod deflate;
mod stream;
mod dane;
pub mod tls;
mod sasl;
pub mod imap;
pub mod smtp;
pub mod milter;

pub use dane::{Peer, Tlsa};
pub use mailbox_name::MailboxName;
pub use sasl::Credentials;
pub use stream::Timeouts;
pub use tls::Trust;
pub use uid_set::UidSet;
