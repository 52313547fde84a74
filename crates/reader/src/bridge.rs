//! The decrypting bridge: an IMAP server for mail programs on this machine, over a Maildir or an account (RFC 3501, format §14).
//!
//! In: a Maildir or an account, unlocked keys, pinned sealers, connections from loopback. Out: the same mailboxes, in which sealed mail of pinned sealers reads as
//! if it had never been sealed. Never: plaintext on disk; a mail opened that no pinned sealer signed; outer octets of a message that was
//! shown as its original; a log of what is read.

mod settings;
mod password;
mod certificate;
mod link;
mod original;
mod selected;
mod criteria;
mod subject;
mod traits;
mod thread;
mod words;
mod vault;
mod view;
mod depot;
mod listing;
mod section;
mod flags;
mod append;
mod maildir;
mod account;
mod reach;
mod index;
mod bodies;
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
pub(crate) use depot::Depot;
pub(crate) use flags::letters_of;
pub use index::{Anew, Hit, IndexError, Indexed, Query, QueryError, Stand, index, search, stand};
pub(crate) use original::Original;
pub use password::{NewPassword, Password, PasswordError};
pub use reach::ReachError;
pub(crate) use reach::reach;
pub(crate) use selected::{Access, Selected};
pub use serve::{BridgeError, MAX_SESSIONS, serve};
pub(crate) use settings::Means;
pub use settings::{Bridge, SealWith, Shield};
pub use vault::VaultError;
pub(crate) use view::{Look, Trouble, View, whole};
pub(crate) use words::attachment_name;
