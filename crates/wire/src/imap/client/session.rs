//! stub
use crate::imap::error::ImapError;

/// An authenticated session.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Whether the server offers this capability: any case, the exact word.
    pub fn has(&self, capability: &str) -> bool {
        let _ = capability;
        false
    }

    /// Octets that a message may have (RFC 7889), when the server tells it for all mailboxes alike.
    pub fn append_limit(&self) -> Option<u64> {
        None
    }

    /// How many messages the selected mailbox has, as last told by the server.
    pub fn exists(&self) -> u32 {
        0
    }

    /// NOOP: asks for news.
    pub fn noop(&mut self) -> Result<(), ImapError> {
        Err(ImapError::Unsupported(""))
    }

    /// Says good-bye: best effort, bounded by 2 s.
    pub fn logout(self) {}
}
