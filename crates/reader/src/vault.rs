//! What is known of mail, kept encrypted: records in one SQLite file beside the state database, each AES-256-GCM under a key that is only in memory while the mailbox key
//! is unlocked.
//!
//! In: octets, and which message of which place they are of. Out: the same, as long as key and trust are the same. It can be thrown away and made again. Never
//! plaintext on disk.

mod key;
mod schema;
mod file;
mod ids;

pub use file::VaultError;
pub(crate) use file::{Batch, Vault, remove_files};
pub(crate) use ids::{Before, Ids, Mark, Whose};
pub(crate) use key::{make as make_key, read as read_key};
pub(crate) use schema::Kind;
