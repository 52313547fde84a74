//! Mailboxes of an IMAP account: their sealed messages opened, put back, restored.
//!
//! In: an account. Out: what came of it. The order of steps on the server is `store`'s. Never: a server name or an address in
//! an error.

mod patience;
mod link;
mod look;
mod put_back;

pub(crate) mod restore;
pub(crate) mod verify;
pub(crate) mod undo;
