//! The sealed message, version 1: all that the session key alone can do.
//!
//! In: octets, a session key, a sealer's signing key or a set of pinned sealers. Out: the sealed message written or
//! parsed, piece by piece. Never: a certificate, a secret decryption key, a socket, a file (whoever calls hands in what
//! is read and written). The public specification is `docs/format.md`; section numbers in this crate refer to it.
//!
//! The modules stand in the order of the floors: each imports only from those above it in this list.

pub mod armor;
pub mod cms;
pub mod content;
pub mod field;
pub mod field_blob;
pub mod identity;
pub mod index;
pub mod key_wrap;
pub mod limit;
pub mod literal;
pub mod original;
pub mod outer;
pub mod packet;
pub mod payload;
pub mod recognise;
pub mod session;
pub mod signature;
pub mod spool;
pub mod tag_list;
mod transfer;
