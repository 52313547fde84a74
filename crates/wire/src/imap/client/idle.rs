//! stub
use std::time::Duration;

use super::session::Session;
use crate::imap::error::ImapError;

/// What IDLE brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The selected mailbox changed.
    Changed,
    /// Nothing happened.
    Quiet,
    /// The caller asked to stop.
    Stopped,
}

impl Session {
    /// Waits for news of the selected mailbox (RFC 2177), for `most` at most.
    pub fn idle(&mut self, most: Duration) -> Result<News, ImapError> {
        let _ = most;
        Err(ImapError::Unsupported(""))
    }
}
