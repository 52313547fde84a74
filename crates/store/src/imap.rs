//! A mailbox on an IMAP server: list, read, put, replace with a journal.
//!
//! In: an account, authenticated sessions of `wire`. Out: its mailboxes, and the replacement of messages in them that
//! survives `kill -9`, a lost connection and other clients at any instant. Standards: RFC 3501/9051, UIDPLUS (4315),
//! CONDSTORE (7162), MOVE (6851), SPECIAL-USE (6154). Never removes a message whose copy was not fetched back and proved;
//! never issues an EXPUNGE that could hit what others have flagged.

mod account;

mod mailbox;

mod place;

mod flags;

mod desk;

mod remove;

mod find;

mod remake;

mod stages;

mod replace;

mod recover;

mod follow;

pub use account::{Account, Compress, ConnectError, CredentialsError, FlowLock};
pub use desk::{Desk, DeskError};
pub use find::{Found, elsewhere, marks};
pub use flags::{Changes, is_lockable, parse_date};
pub use follow::{Fill, follow};
pub use mailbox::{Listing, Mailbox, list};
pub use place::{Key, Whereabouts};
pub use recover::{Comparison, Recovered, Recovering, Recovery, Stuck, recover};
pub use remake::{Ending, Failure, Job, LOCK, Original, Remake, Replaced, Written};
pub use remove::Removal;
pub use replace::{Batch, BatchError};
