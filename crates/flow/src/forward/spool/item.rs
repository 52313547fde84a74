//! What lies in the queue, what may be done with it, and why it does not answer.
//!
//! In: nothing. Out: the nouns of both places.

use std::time::Duration;

use sealed::identity::MessageId;
use store::UnixSeconds;

use crate::delivery::sealing::Octets;
use crate::forward::envelope::Envelope;
use crate::forward::met::Met;
use crate::forward::obstacle::Obstacle;
use crate::forward::return_path::VALID_DAYS;
use crate::forward::said::Said;
use crate::sqlite::OpenError;

/// Octets of one piece of a copy: what is in memory at a time.
pub(super) const PIECE: usize = 256 * 1024;
/// How long the id of a copy that arrived is remembered: longer than any sender waits between two tries.
pub(super) const REMEMBERED: Duration = Duration::from_secs(86_400);
/// How long it is remembered that a copy came back: longer than a return path is good, so that its owner is told once.
pub(super) const TOLD: Duration = Duration::from_secs((VALID_DAYS as u64 + 2) * 86_400);
/// Octets of copies that the next server answers for, and that are kept nevertheless; the oldest go first.
pub(super) const MOST_KEPT: u64 = 1024 * 1024 * 1024;

/// Whether there is room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Enough,
    /// What there is, the copies that wait need on their way out.
    Short,
}

/// Why the spool does not answer.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file cannot be made or read.
    #[error("the spool cannot be read or written")]
    Io(#[from] std::io::Error),
    /// SQLite says so.
    #[error("the spool cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// The disk is full, or nearly: nothing more is kept until there is room.
    #[error("there is no room for the spool")]
    NoRoom,
    /// PostgreSQL says so, or does not answer.
    #[error("the spool does not answer: {0}")]
    Postgres(String),
    /// It was written by a newer version.
    #[error("the spool was written by a newer version of this program")]
    Newer,
    /// It is a database of something else.
    #[error("the spool is the database of another program")]
    Foreign,
    /// A copy is not all there.
    #[error("a copy in the spool is not whole")]
    NotWhole,
    /// This build has no PostgreSQL.
    #[error("this build knows no PostgreSQL (feature `postgres`)")]
    NoPostgres,
}

impl From<OpenError> for SpoolError {
    fn from(error: OpenError) -> SpoolError {
        match error {
            OpenError::File(error) => SpoolError::Io(error),
            OpenError::Sqlite(error) => SpoolError::Sqlite(error),
            OpenError::Newer => SpoolError::Newer,
            OpenError::Foreign => SpoolError::Foreign,
        }
    }
}

/// What a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody's mail.
    Mail,
    /// A note of ours to the owner, about mail that was not handed on.
    Note,
}

/// A copy to be kept.
pub(crate) struct New {
    pub(crate) id: MessageId,
    pub(crate) kind: Kind,
    pub(crate) envelope: String,
    pub(crate) expectation: Vec<u8>,
    pub(crate) octets: Octets,
    pub(crate) length: u64,
    pub(crate) received: UnixSeconds,
    pub(crate) turn: Turn,
}

/// In whose name copies are in hand. A node that others may have taken for dead takes another name, and what it had in hand is not its own any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure(pub(super) [u8; 16]);

/// Whose turn it is with a new copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Whoever keeps it hands it on at once.
    Ours(Tenure),
    /// Anybody's, after this time.
    Later(Duration),
}

/// Something to be written.
pub(crate) enum Change {
    Put(Box<New>),
    /// It arrived.
    Done(MessageId),
    /// The next server answers for it, and may give it back: it is kept for some time.
    Relayed(MessageId),
    Later {
        id: MessageId,
        wait: Duration,
        why: Met,
        look: bool,
    },
    Failed(MessageId, Met),
}

/// What is known of a message that is not kept here, since its author encrypted it and its header fields are in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// Nothing so far: it is this node's to hand on.
    New,
    /// It may have been handed on: it is this node's, to be looked for first. When it came the first time.
    Again(UnixSeconds),
    /// It arrived.
    Before,
    /// It is in hand, or was until a moment ago.
    Busy,
}

/// How it ended with such a message, if it did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It may be there.
    Unknown,
    /// It is not there, as far as this try goes.
    NotThere,
}

/// What came to the return path of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// A report that it failed, with the codes of it.
    Failed(Option<Said>),
    /// Something that says nothing of it for certain.
    Unclear,
}

/// What is known of a copy that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is here. When it came.
    Here(UnixSeconds),
    /// It is not here any more, or never was.
    Gone,
    /// Its owner was told before.
    Told,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is written.
    Now,
    /// That copy was put here before, or has arrived already: nothing was written.
    Before,
}

/// A copy whose time has come.
pub(crate) struct Row {
    pub(crate) id: MessageId,
    pub(crate) kind: Kind,
    pub(crate) envelope: String,
    pub(crate) expectation: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) received: UnixSeconds,
    /// Tries so far.
    pub(crate) tries: u32,
    /// Somebody may have handed it on already.
    pub(crate) look: bool,
    /// What stood in the way the last time.
    pub(crate) why: Option<Obstacle>,
}

/// How a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is to be handed on.
    Waiting,
    /// A node has it in hand.
    UnderWay,
    /// Nobody hands it on until he is asked to.
    Failed,
}

/// A copy, as `queue list` shows it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its id, as in its field `Sealed-Mail`.
    pub id: MessageId,
    /// What it is.
    pub kind: Kind,
    /// How it stands.
    pub standing: Standing,
    /// MAIL FROM; empty: the null sender.
    pub from: String,
    /// RCPT TO.
    pub to: String,
    /// Octets of the sealed copy.
    pub length: u64,
    /// When it came.
    pub received: UnixSeconds,
    /// When it is tried next.
    pub due: UnixSeconds,
    /// Tries so far.
    pub tries: u32,
    /// What stood in the way the last time.
    pub why: Option<String>,
    /// Codes of the target's last answer: `550 5.7.1`, `NO OVERQUOTA`. Never its words.
    pub said: Option<String>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Copies that are to be handed on.
    pub waiting: u64,
    /// Copies that nobody hands on until he is asked to.
    pub failed: u64,
    /// Octets of both.
    pub octets: u64,
    /// When the oldest of those that wait came.
    pub oldest: Option<UnixSeconds>,
}

/// Mail that failed, and lies in the spool until somebody decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pile {
    pub(crate) ids: Vec<MessageId>,
    pub(crate) octets: u64,
    /// When the first and the last of them came.
    pub(crate) came: Option<(UnixSeconds, UnixSeconds)>,
}

impl Pile {
    pub(super) fn add(&mut self, id: MessageId, octets: u64, came: UnixSeconds) {
        self.ids.push(id);
        self.octets = self.octets.saturating_add(octets);
        let (first, last) = self.came.unwrap_or((came, came));
        self.came = Some((first.min(came), last.max(came)));
    }
}

/// Which of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lying {
    /// What failed so long ago, and its owner has not been told that it will go.
    Untold(Duration),
    /// What failed so long ago, and its owner was told so long ago.
    Over { failed: Duration, told: Duration },
    /// What the target refused, beyond so many octets or messages, the oldest.
    Beyond { octets: u64, number: u64 },
}

/// Which copies.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// All of the flow.
    All,
    /// One.
    One(MessageId),
    /// Those that wait because of this.
    Behind(Obstacle),
    /// Notes that were refused.
    Notes,
}

/// How a copy stands, as a number.
pub(super) mod state {
    pub(in super::super) const WAITING: i64 = 0;
    pub(in super::super) const FAILED: i64 = 1;
    /// Only its id is left.
    pub(in super::super) const ARRIVED: i64 = 2;
    /// It is not kept.
    pub(in super::super) const ANNOUNCED: i64 = 3;
    /// The next server answers for it.
    pub(in super::super) const RELAYED: i64 = 4;
    /// Its owner was told that it came back, and that is all that is left. It has not arrived: sent again, it is a new one.
    pub(in super::super) const TOLD: i64 = 5;
}

pub(super) fn kind(number: i64) -> Kind {
    if number == 1 { Kind::Note } else { Kind::Mail }
}

pub(super) fn number(kind: Kind) -> i64 {
    match kind {
        Kind::Mail => 0,
        Kind::Note => 1,
    }
}

pub(super) fn origin(state: i64, received: UnixSeconds, told: bool) -> Origin {
    match state {
        _ if told => Origin::Told,
        state::WAITING | state::FAILED | state::RELAYED => Origin::Here(received),
        _ => Origin::Gone,
    }
}

pub(super) fn standing(state: i64, in_hand: bool) -> Standing {
    match (state, in_hand) {
        (state::FAILED, _) => Standing::Failed,
        (_, true) => Standing::UnderWay,
        _ => Standing::Waiting,
    }
}

/// The addresses of an envelope.
pub(super) fn addresses(envelope: &str) -> (String, String) {
    let read = Envelope::read(envelope).unwrap_or_default();
    (read.from.address, read.to.address)
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
