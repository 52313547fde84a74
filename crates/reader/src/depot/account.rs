//! An account on an IMAP server as a depot of mail. In: one connection upstream. Out: mailboxes, UIDs, flags as the server has them; header sections and bodies when they
//! are asked for. Never an octet of a message in clear on its way up.

mod elsewhere;
mod upstream;
mod head;
mod heads;
mod marks;
mod mirror;
mod names;
mod append;
mod depot;

pub(crate) use depot::AccountDepot;
pub(crate) use heads::uid_of;
