//! IMAP as a server (RFC 3501; parts of RFC 2595, 2971, 3516, 3691, 4315, 4731, 4978, 5032, 5161, 5256, 5258, 5819, 6154, 6851, 6855, 7162, 7888, 7889, 8970, and the words that RFC 9051 shares with them).
//!
//! In: a byte stream that a mail program writes. Out: its commands, typed, and the octets of answers. Never: what a mailbox or a
//! message is; a literal of a message in memory; a command beyond a named limit.

mod limit;
mod cursor;
mod set;
mod date;
mod flag;
mod write;
mod section;
mod search;
mod sort;
mod list;
mod command;
mod parse;
mod leg;
mod connection;

pub use command::{AppendOrder, Asked, Closing, Command, Resume, Silence, Since, Stage, StoreKind, Vanished, Which};
pub use connection::{Connection, Incoming, Literal};
pub use cursor::Names;
pub use date::{Date, DateTime};
pub use flag::Flag;
pub use leg::Leg;
pub use limit::{MAX_APPEND, MAX_BAD, MAX_COMMAND, MAX_LINE, MAX_NESTING, MAX_SET_RANGES};
pub use list::{Form, ListOrder, Return, Selection, StatusItem};
pub use search::SearchKey;
pub use section::{FetchItem, Haste, Part, Partial, Section};
pub use set::{Bound, SequenceSet};
pub use sort::{Algorithm, Criterion, Order, ReturnItem, SortKey};
pub use write::{number_set, push_astring, push_mailbox, push_nstring, push_string};
