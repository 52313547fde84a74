//! The commands of a mail program. In: nothing. Out: types for what was asked. Never text of the wire but where a client's word must
//! be given back.

use zeroize::Zeroizing;

use super::date::DateTime;
use super::flag::Flag;
use super::list::{ListOrder, StatusItem};
use super::search::SearchKey;
use super::section::FetchItem;
use super::set::SequenceSet;
use super::sort::{Algorithm, ReturnItem, SortKey};
use crate::mailbox_name::MailboxName;

/// What is asked. Secrets in it are wiped; no `Debug`.
pub enum Command {
    /// `CAPABILITY`
    Capability,
    /// `NOOP`
    Noop,
    /// `STARTTLS`
    StartTls,
    /// `COMPRESS DEFLATE` (RFC 4978)
    Compress,
    /// `LOGOUT`
    Logout,
    /// `ID`: what the client says of itself is not kept.
    Id,
    /// `AUTHENTICATE`; the mechanism, and its first response if it came along (RFC 4959).
    Authenticate(String, Option<Zeroizing<Vec<u8>>>),
    /// `LOGIN`: user and password.
    Login(Vec<u8>, Zeroizing<Vec<u8>>),
    /// `ENABLE`: names in upper case.
    Enable(Vec<String>),
    /// `SELECT`
    Select(MailboxName, Resume),
    /// `EXAMINE`
    Examine(MailboxName, Resume),
    /// `CREATE`
    Create(MailboxName),
    /// `DELETE`
    Delete(MailboxName),
    /// `RENAME`
    Rename(MailboxName, MailboxName),
    /// `SUBSCRIBE`
    Subscribe(MailboxName),
    /// `UNSUBSCRIBE`
    Unsubscribe(MailboxName),
    /// `LIST`
    List(ListOrder),
    /// `LSUB`
    Lsub(String),
    /// `NAMESPACE`
    Namespace,
    /// `STATUS`
    Status(MailboxName, Vec<StatusItem>),
    /// `IDLE`
    Idle,
    /// `CHECK`
    Check,
    /// `CLOSE`
    Close,
    /// `UNSELECT`
    Unselect,
    /// `EXPUNGE`, `UID EXPUNGE`
    Expunge(Option<SequenceSet>),
    /// `SEARCH`
    Search(Which, Asked),
    /// `SORT`
    Sort(Which, Vec<SortKey>, Asked),
    /// `THREAD`
    Thread(Which, Algorithm, Asked),
    /// `FETCH`
    Fetch(Which, SequenceSet, Vec<FetchItem>, Option<Since>),
    /// `STORE`; only those not changed since that number, if there is one (RFC 7162 §3.1.3).
    Store(Which, SequenceSet, Option<u64>, StoreKind, Silence, Vec<Flag>),
    /// `COPY`
    Copy(Which, SequenceSet, MailboxName),
    /// `MOVE`
    Move(Which, SequenceSet, MailboxName),
}

/// Which messages SEARCH, SORT or THREAD mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The forms of the result; none: as RFC 3501 has it.
    pub returns: Option<Vec<ReturnItem>>,
    /// In upper case.
    pub charset: Option<String>,
    /// Which messages.
    pub key: SearchKey,
}

/// What a mail program knows of a mailbox from before (RFC 7162 §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing.
    Nothing,
    /// Nothing, but it wants to know of changes (`CONDSTORE`).
    Changes,
    /// `QRESYNC`
    From {
        /// UIDVALIDITY.
        validity: u32,
        /// The highest change number that it knows.
        modseq: u64,
        /// UIDs that it knows; none: all.
        known: Option<SequenceSet>,
    },
}

/// Only what changed since (RFC 7162 §3.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The change number.
    pub modseq: u64,
    /// Whether it is to be told what is gone.
    pub vanished: Vanished,
}

/// See [`Since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vanished {
    /// It is.
    Told,
    /// It is not.
    Untold,
}

/// Whether a set holds message numbers or UIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Message numbers.
    Numbers,
    /// UIDs.
    Uids,
}

/// What STORE does with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// These and no others.
    Replace,
    /// These too.
    Add,
    /// Not these.
    Remove,
}

/// Whether STORE answers with the new flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It does.
    Loud,
    /// `.SILENT`
    Silent,
}

/// An APPEND whose message is about to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendOrder {
    /// Into which mailbox.
    pub mailbox: MailboxName,
    /// With which flags.
    pub flags: Vec<Flag>,
    /// With which internal date.
    pub date: Option<DateTime>,
    /// Octets of the message.
    pub length: u64,
    /// What follows the message.
    pub closing: Closing,
}

/// What follows the message of an APPEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The end of the line.
    Line,
    /// A parenthesis, and that (RFC 6855 §4).
    Parenthesis,
}

/// When a command may be given (RFC 3501 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Always.
    Any,
    /// Before the client has logged in.
    Before,
    /// After it has.
    Authenticated,
    /// While a mailbox is selected.
    Selected,
}

impl Command {
    /// When it may be given.
    pub fn stage(&self) -> Stage {
        match self {
            Command::Capability | Command::Noop | Command::Logout | Command::Id => Stage::Any,
            Command::StartTls | Command::Authenticate(..) | Command::Login(..) => Stage::Before,
            Command::Check
            | Command::Close
            | Command::Unselect
            | Command::Expunge(_)
            | Command::Search(..)
            | Command::Sort(..)
            | Command::Thread(..)
            | Command::Fetch(..)
            | Command::Store(..)
            | Command::Copy(..)
            | Command::Move(..) => Stage::Selected,
            _ => Stage::Authenticated,
        }
    }
}
