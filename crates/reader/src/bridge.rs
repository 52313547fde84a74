//! The decrypting bridge: an IMAP server for mail programs on this machine, over a Maildir (RFC 3501, format §14).
//!
//! In: a Maildir, unlocked keys, pinned sealers, connections from loopback. Out: the same mailboxes, in which sealed mail of pinned sealers reads as
//! if it had never been sealed. Never: plaintext on disk; a mail opened that no pinned sealer signed; outer octets of a message that was
//! shown as its original; a log of what is read.

mod settings;
mod password;
mod original;
mod section;
mod view;
mod flags;
mod selected;
mod link;
mod names;
mod criteria;
mod words;
mod index;
mod fetch;
mod search;
mod change;
mod append;
mod session;
mod serve;

pub use index::{Anew, Hit, Index, IndexError, Indexed, Query, QueryError, index, search};
pub(crate) use original::Original;
pub use password::{NewPassword, Password, PasswordError};
pub(crate) use selected::{LookError, census};
pub use serve::{BridgeError, MAX_SESSIONS, serve};
pub use settings::{Bridge, SealWith};
pub(crate) use view::{Look, Trouble, View, look, whole};
pub(crate) use words::attachment_name;
