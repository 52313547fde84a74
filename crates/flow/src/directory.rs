//! Whose keys a recipient's mail is sealed to.
//!
//! In: an address of an SMTP envelope. Out: its owner, ready to be sealed to; that it is not known; or why what is known cannot be used. Owners
//! are in a folder of files, in SQLite or in PostgreSQL ([`Source`]). That the directory does not answer is an error and never "not known": a
//! database that is restarted must change nobody's fate. No address is in an error.

pub mod address;
pub mod entry;
pub mod owner;
mod folder;
mod sqlite;
#[cfg(feature = "postgres")]
mod postgres;
pub mod source;
mod lookup;
pub mod trial;

pub use address::Address;
pub use entry::{DirectoryError, Entry};
pub use lookup::{Directory, Lookup};
pub use owner::{Owner, Unusable};
pub use source::Source;
pub use trial::{Tried, try_all, try_owner};
