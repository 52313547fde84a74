//! The decrypting bridge: an IMAP server for mail programs on this machine, over a Maildir or an account (RFC 3501, format §14).
//!
//! In: a Maildir or an account, unlocked keys, pinned sealers, connections from loopback. Out: the same mailboxes, in which sealed mail of pinned sealers reads as
//! if it had never been sealed. Never: plaintext on disk; a mail opened that no pinned sealer signed; outer octets of a message that was
//! shown as its original; a log of what is read.

mod password;
mod news;
mod settings;
mod certificate;
mod link;
mod places;
mod subject;
mod traits;
mod thread;
mod listing;
mod section;
mod headers;
mod fetch;
mod search;
mod telling;
mod session;
mod resync;
mod login;
mod shield;
mod selecting;
mod orders;
mod finding;
mod serve;

pub use certificate::{Certificate, CertificateError};
pub use news::{News, Newsroom};
pub use password::{NewPassword, Password, PasswordError};
pub use serve::{BridgeError, MAX_SESSIONS, serve};
pub use settings::{Bridge, Shield};
