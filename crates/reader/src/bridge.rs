//! The decrypting bridge: an IMAP server for mail programs on this machine, over a Maildir or an account (RFC 3501, format §14).
//!
//! In: a Maildir or an account, unlocked keys, pinned sealers, connections from loopback. Out: the same mailboxes, in which sealed mail of pinned sealers reads as
//! if it had never been sealed. Never: plaintext on disk; a mail opened that no pinned sealer signed; outer octets of a message that was
//! shown as its original; a log of what is read.

mod settings;
mod password;
mod link;
mod original;
mod selected;
mod criteria;
mod subject;
mod traits;
mod thread;
mod words;
mod depot;
mod listing;
mod view;
mod section;
mod flags;
mod append;
mod maildir;
mod account;
mod index;
mod fetch;
mod search;
mod telling;
mod session;
mod resync;
mod login;
mod selecting;
mod orders;
mod finding;
mod serve;

pub use index::{Anew, Hit, Index, IndexError, Indexed, Query, QueryError, index, search};
pub(crate) use maildir::{LookError, census, look_at_file, whole_file};
pub(crate) use original::Original;
pub use password::{NewPassword, Password, PasswordError};
pub use serve::{BridgeError, MAX_SESSIONS, serve};
pub use settings::{Bridge, SealWith};
pub(crate) use view::{Look, Trouble, View};
pub(crate) use words::attachment_name;
