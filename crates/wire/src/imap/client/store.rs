//! stub
use super::session::Session;
use crate::imap::error::ImapError;
use crate::imap::response::{CopyUid, Fetched};
use crate::mailbox_name::MailboxName;
use crate::uid_set::UidSet;

/// One STORE of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOrder {
    /// The messages.
    pub set: UidSet,
    /// Only those not changed since (RFC 7162).
    pub unchanged_since: Option<u64>,
    /// `+FLAGS.SILENT`, `-FLAGS`, `+X-GM-LABELS` ...
    pub item: String,
    /// The flags or labels.
    pub flags: Vec<String>,
}

impl Session {
    /// `UID STORE`. The answer: those that were not changed because someone else had changed them (MODIFIED).
    pub fn uid_store(
        &mut self,
        set: &UidSet,
        unchanged_since: Option<u64>,
        item: &str,
        flags: &[String],
        each: impl FnMut(Fetched<Vec<u8>>),
    ) -> Result<UidSet, ImapError> {
        let _ = (set, unchanged_since, item, flags, each);
        Err(ImapError::Unsupported(""))
    }

    /// Many STOREs in one go, pipelined. A refusal of one is its own result.
    pub fn uid_stores(
        &mut self,
        stores: &[StoreOrder],
        each: impl FnMut(Fetched<Vec<u8>>),
    ) -> Result<Vec<Result<UidSet, ImapError>>, ImapError> {
        let _ = (stores, each);
        Err(ImapError::Unsupported(""))
    }

    /// `UID EXPUNGE` (RFC 4315). Never a bare EXPUNGE in its place.
    pub fn uid_expunge(&mut self, set: &UidSet) -> Result<(), ImapError> {
        let _ = set;
        Err(ImapError::Unsupported(""))
    }

    /// `UID COPY`.
    pub fn uid_copy(&mut self, set: &UidSet, to: &MailboxName) -> Result<Option<CopyUid>, ImapError> {
        let _ = (set, to);
        Err(ImapError::Unsupported(""))
    }

    /// `UID MOVE` (RFC 6851).
    pub fn uid_move(&mut self, set: &UidSet, to: &MailboxName) -> Result<Option<CopyUid>, ImapError> {
        let _ = (set, to);
        Err(ImapError::Unsupported(""))
    }
}
