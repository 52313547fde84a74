//! The search index: what can be searched of each message, encrypted on disk.
//!
//! In: mail of a depot, opened. Out: a record for each message in the vault; hits of a query. It can be thrown away and made again.

mod criteria;
mod words;
mod record;
mod query;
mod entry;
mod build;
mod find;

pub use build::{Anew, Indexed, index};
pub(crate) use criteria::{fold, holds, sent_day, sent_moment, shown_day};
pub use entry::IndexError;
pub(crate) use entry::{Holding, Index, Needles, Place};
pub use find::{Hit, Stand, mailboxes, search, stand};
pub use query::{OPERATORS, Query, QueryError};
pub(crate) use words::{Words, attachment_name, words_of};
