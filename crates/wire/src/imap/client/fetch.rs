//! stub
use std::io::{self, Write};

use super::session::Session;
use crate::imap::error::ImapError;
use crate::imap::response::Fetched;
use crate::uid_set::UidSet;

impl Session {
    /// `UID FETCH set (items)`.
    pub fn uid_fetch<B: Write>(
        &mut self,
        set: &UidSet,
        items: &str,
        body: impl FnMut(u64) -> io::Result<B>,
        each: impl FnMut(Fetched<B>),
    ) -> Result<(), ImapError> {
        let _ = (set, items, body, each);
        Err(ImapError::Unsupported(""))
    }

    /// `UID SEARCH query`.
    pub fn uid_search(&mut self, query: &str) -> Result<UidSet, ImapError> {
        let _ = query;
        Err(ImapError::Unsupported(""))
    }
}
