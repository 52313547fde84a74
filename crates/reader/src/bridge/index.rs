//! The search index: what can be searched of each message, encrypted on disk.
//!
//! In: the mail of a Maildir, opened. Out: an SQLite file in which each record is AES-256-GCM under a key that is only in memory while the mailbox key is unlocked; hits of
//! a query. It can be thrown away and made again. Never plaintext on disk: not a word, not a name of an attachment.

mod key;
mod record;
mod file;
mod query;
mod build;
mod find;

pub use build::{Anew, Indexed, index};
pub use file::{Index, IndexError};
pub use find::{Hit, search};
pub(crate) use key::{make as make_key, read as read_key};
pub use query::{Query, QueryError};
pub(crate) use record::Record;
