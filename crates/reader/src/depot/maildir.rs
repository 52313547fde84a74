//! A Maildir as a depot of mail. In: its path, the state database. Out: mailboxes, UIDs for good, messages as files. Never plaintext on disk.

mod census;
mod look;
mod names;
mod opened;
mod change;
mod append;
mod depot;

pub(crate) use depot::MaildirDepot;
pub(crate) use names::name_on_disk;
