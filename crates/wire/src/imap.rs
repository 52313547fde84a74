//! IMAP (RFC 3501 with RFC 2177, 2342, 3502, 4315, 5161, 6154, 6851, 7162, 7888, 7889).
//!
//! In: an authenticated user's orders. Out: typed answers. Never: a whole message in memory, a server's text in an
//! error.

mod answer;
mod value;
mod frame;
mod error;
mod response;
pub mod client;
pub mod server;

pub use answer::{AppendUid, CopyUid, Fetched, Listed, Namespace, Namespaces, Status};
pub use client::{
    Access, Append, AppendLost, Ask, Endpoint, Idling, Leave, Moment, News, Security, Selected, Session, StoreOrder,
    Tiding, Tidings,
};
pub use error::{Code, ImapError};

pub use crate::mailbox_name::MailboxName;
pub use crate::sasl::Credentials;
pub use crate::stream::Timeouts;
pub use crate::tls::Trust;
pub use crate::uid_set::UidSet;
