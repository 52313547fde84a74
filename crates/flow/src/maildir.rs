//! A Maildir sealed in place.
//!
//! In: the path of a Maildir. Out: its mail carried through the pump. Never: a socket.

mod look;
mod source;
mod in_place;
mod recovery;
mod survey;
mod carrier;

pub(crate) mod sweep;
pub(crate) mod watch;

pub(crate) use survey::count_all;
