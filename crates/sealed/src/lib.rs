//! The sealed message, version 1: all that the session key alone can do.
//!
//! In: octets, a session key, a sealer's signing key or a set of pinned sealers. Out: the sealed message written or
//! parsed, piece by piece. Never: a certificate, a secret decryption key, a socket, a file (whoever calls hands in what
//! is read and written). The public specification is `docs/format.md`; section numbers in this crate refer to it.
//!
//! The modules stand in the order of the floors: each imports only from those above it in this list.

pub mod limit;
pub mod identity;
pub mod tag_list;
pub mod signature;
pub mod field;
pub mod index;
pub mod session;
pub mod field_blob;
pub mod packet;
mod base64_lines;
pub mod armor;
mod transfer;
pub mod key_wrap;
pub mod cms_key_wrap;
pub mod content;
pub mod cms_content;
pub mod literal;
pub mod spool;
pub mod scratch;
pub mod payload;
pub mod original;
pub mod cms;
mod cms_split;
pub mod smime;
pub mod outer;
pub mod recognise;
