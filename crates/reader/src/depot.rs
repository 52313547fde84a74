//! Mail wherever it lies, shown as its originals: mailboxes, UIDs, flags, header sections, bodies.
//!
//! In: a Maildir or an account, keys, pinned sealers. Out: a [`Depot`], the one thing that a mail program's session, the index and the terminal know of the mail. Never: a
//! mail opened that no pinned sealer signed; plaintext on disk, or on its way up.

mod original;
mod view;
mod selected;
pub(crate) mod flags;
mod contract;
mod bodies;
mod copies;
pub(crate) mod append;
mod maildir;
mod account;
mod reach;

pub(crate) use account::uid_of;
pub(crate) use bodies::Bodies;
pub(crate) use contract::{Arrangement, Arrived, Depot, Filed, Leave, Listing, Pace, Stored, TICK};
pub(crate) use copies::Copies;
pub(crate) use maildir::name_on_disk;
pub(crate) use original::{MAX_HEADER, Original};
pub use reach::ReachError;
pub(crate) use reach::{Way, reach};
pub(crate) use selected::{Access, Changes, Item, Selected, Standing};
pub(crate) use view::{Look, Trouble, View, holds_all, whole};
