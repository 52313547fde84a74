//! A Maildir: its sealed messages shown, opened, put back.
//!
//! In: the path of a Maildir. Out: what came of it. The order of steps on disk is `store`'s.

mod put_back;

pub(crate) mod walk;

pub(crate) mod undo;
pub(crate) mod verify;
