//! Trust of a forwarder: what it believes of mail that comes in, and what others may believe of mail that it hands on.
//!
//! In: a session's words, a message, the forwarder's own name and keys. Out: a verdict, fields of the outer message, a signature, a
//! return path, a note to the owner. Never an octet of the original changed, never mail to whoever says he sent one.

pub mod resolver;

mod results;

pub mod verdict;
pub mod evidence;
pub mod checks;
pub mod rewrite;
pub mod dkim;
pub mod return_path;
pub mod note;
