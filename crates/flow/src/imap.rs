//! Mailboxes of an IMAP account, sealed in place or into another folder.
//!
//! In: an account. Out: its mail carried through the pump. The order of steps on the server is `store`'s. Never: a server name
//! or an address in an error.

mod patience;
mod mailboxes;
mod mark;
mod look;
mod backup;
mod sink;
mod probe;
mod carrier;
mod worker;

pub(crate) mod sweep;
pub(crate) mod watch;

#[cfg(feature = "forward")]
pub(crate) use mark::mark_of;
pub(crate) use worker::count_all;
