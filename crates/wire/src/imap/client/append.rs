//! stub
use std::io::Read;

use thiserror::Error;

use super::session::Session;
use crate::imap::error::ImapError;
use crate::imap::response::AppendUid;
use crate::mailbox_name::MailboxName;

/// One message to append.
pub struct Append<'a> {
    /// Its flags.
    pub flags: Vec<String>,
    /// Its internal date, as FETCH gives it; none: now.
    pub internal_date: Option<String>,
    /// How many octets it has.
    pub length: u64,
    /// The octets.
    pub octets: &'a mut dyn Read,
}

/// The connection was lost while messages were appended.
#[derive(Debug, Error)]
#[error("the connection was lost while messages were stored")]
pub struct AppendLost {
    /// What happened.
    #[source]
    pub error: ImapError,
    /// A result for each message; none: in doubt, or never sent.
    pub done: Vec<Option<Result<Option<AppendUid>, ImapError>>>,
}

impl Session {
    /// Appends, pipelined.
    pub fn append(
        &mut self,
        name: &MailboxName,
        messages: &mut [Append<'_>],
    ) -> Result<Vec<Result<Option<AppendUid>, ImapError>>, AppendLost> {
        let _ = (name, messages);
        Err(AppendLost { error: ImapError::Unsupported(""), done: Vec::new() })
    }

    /// Appends all or none (RFC 3502).
    pub fn append_together(
        &mut self,
        name: &MailboxName,
        messages: &mut [Append<'_>],
    ) -> Result<Option<Vec<AppendUid>>, ImapError> {
        let _ = (name, messages);
        Err(ImapError::Unsupported(""))
    }
}
