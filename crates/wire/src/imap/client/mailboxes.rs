//! stub
use super::session::Session;
use crate::imap::error::ImapError;
use crate::imap::response::{Listed, Namespaces, Status};
use crate::mailbox_name::MailboxName;

/// What is to be done in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is changed: EXAMINE.
    Read,
    /// SELECT.
    Write,
}

/// A mailbox just selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// How many messages it has.
    pub exists: u32,
    /// What its UIDs belong to.
    pub uid_validity: u32,
    /// The UID that the next message gets, at least.
    pub uid_next: Option<u32>,
    /// Its highest change number (RFC 7162); none without CONDSTORE.
    pub highest_modseq: Option<u64>,
    /// The flags that last, without `\*`.
    pub permanent_flags: Vec<String>,
    /// Whether new keywords may be made (`\*`).
    pub new_keywords: bool,
    /// Whether it cannot be changed in this session.
    pub read_only: bool,
    /// Octets that a message appended to it may have (RFC 7889).
    pub append_limit: Option<u64>,
}

impl Session {
    /// Where mailboxes live. Without NAMESPACE: one personal namespace without prefix.
    pub fn namespaces(&mut self) -> Result<Namespaces, ImapError> {
        Err(ImapError::Unsupported(""))
    }

    /// The mailboxes whose names fit: `*` any, `%` any within a level.
    pub fn list(&mut self, reference: &str, pattern: &str) -> Result<Vec<Listed>, ImapError> {
        let _ = (reference, pattern);
        Err(ImapError::Unsupported(""))
    }

    /// STATUS of a mailbox that is not selected.
    pub fn status(&mut self, name: &MailboxName) -> Result<Status, ImapError> {
        let _ = name;
        Err(ImapError::Unsupported(""))
    }

    /// Makes a mailbox.
    pub fn create(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        let _ = name;
        Err(ImapError::Unsupported(""))
    }

    /// Removes a mailbox.
    pub fn delete(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        let _ = name;
        Err(ImapError::Unsupported(""))
    }

    /// Subscribes to a mailbox.
    pub fn subscribe(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        let _ = name;
        Err(ImapError::Unsupported(""))
    }

    /// Selects a mailbox.
    pub fn select(&mut self, name: &MailboxName, access: Access) -> Result<Selected, ImapError> {
        let _ = (name, access);
        Err(ImapError::Unsupported(""))
    }

    /// Leaves the selected mailbox without expunging anything. Does nothing where UNSELECT is not offered.
    pub fn unselect(&mut self) -> Result<(), ImapError> {
        Err(ImapError::Unsupported(""))
    }
}
