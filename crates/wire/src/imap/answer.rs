//! What a server tells, as callers get it.
//!
//! In: nothing. Out: types. RFC 3501 §7, RFC 2342, RFC 4315, RFC 7162, RFC 7889, RFC 8474, Gmail's extensions. Never:
//! I/O.

use std::io;

use crate::mailbox_name::MailboxName;
use crate::uid_set::UidSet;

/// A mailbox as LIST tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: MailboxName,
    /// What stands between the levels of its name; none when there are no levels.
    pub delimiter: Option<char>,
    /// Its attributes as the server wrote them: `\Noselect`, `\Trash` ...
    pub attributes: Vec<String>,
}

/// Where mailboxes live (RFC 2342).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// One's own.
    pub personal: Vec<Namespace>,
    /// Those of others.
    pub others: Vec<Namespace>,
    /// Those shared by many.
    pub shared: Vec<Namespace>,
}

/// One place where mailboxes live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// What the names in it begin with, as on the wire.
    pub prefix: String,
    /// What stands between the levels.
    pub delimiter: Option<char>,
}

/// What STATUS tells of a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How many messages.
    pub messages: Option<u32>,
    /// How many of them are `\\Recent`.
    pub recent: Option<u32>,
    /// How many of them are not `\\Seen`.
    pub unseen: Option<u32>,
    /// The UID that the next message gets, at least.
    pub uid_next: Option<u32>,
    /// What the UIDs belong to.
    pub uid_validity: Option<u32>,
    /// The highest change number (RFC 7162).
    pub highest_modseq: Option<u64>,
    /// Octets that a message may have (RFC 7889).
    pub append_limit: Option<u64>,
}

/// What FETCH tells of one message.
#[derive(Debug)]
pub struct Fetched<B> {
    /// Its number.
    pub number: u32,
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: Option<Vec<String>>,
    /// Its internal date: the text inside the quotes.
    pub internal_date: Option<String>,
    /// `RFC822.SIZE`.
    pub size: Option<u64>,
    /// Its change number (RFC 7162).
    pub modseq: Option<u64>,
    /// `EMAILID` (RFC 8474).
    pub email_id: Option<String>,
    /// `X-GM-MSGID`.
    pub gm_msgid: Option<u64>,
    /// `X-GM-LABELS`, as on the wire but unquoted.
    pub gm_labels: Option<Vec<String>>,
    /// `BODYSTRUCTURE`, as IMAP writes it.
    pub structure: Option<String>,
    /// Sections of the body other than the whole: what stood in the brackets, upper-cased, and the octets.
    pub sections: Vec<(String, Vec<u8>)>,
    /// The whole message, written to what the caller gave; or why the caller's writer failed.
    pub body: Option<io::Result<B>>,
}

/// Where an appended message lies (RFC 4315).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendUid {
    /// UIDVALIDITY of the mailbox.
    pub validity: u32,
    /// UID of the message.
    pub uid: u32,
}

/// Where copied messages lie (RFC 4315). Both sets ascend and are of one length: the n-th of the one is the n-th of
/// the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyUid {
    /// UIDVALIDITY of the mailbox copied to.
    pub validity: u32,
    /// UIDs of the originals.
    pub from: UidSet,
    /// UIDs of the copies.
    pub to: UidSet,
}

impl<B> Fetched<B> {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Self {
            number: 0,
            uid: 0,
            flags: None,
            internal_date: None,
            size: None,
            modseq: None,
            email_id: None,
            gm_msgid: None,
            gm_labels: None,
            structure: None,
            sections: Vec::new(),
            body: None,
        }
    }
}
