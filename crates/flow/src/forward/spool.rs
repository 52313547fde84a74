//! The queue of a forwarder: sealed copies that are to be handed on, and the memory of those that were.
//!
//! In: copies with their envelopes. Out: those whose time has come, each to one node at a time. One of two places, with the same words for both. A
//! copy is there when [`Spool::write`] has returned, also after power loss. What is written: ciphertext, the SMTP envelope, hashes, times, codes.
//! A copy that has arrived leaves its id for a day, so that a sender who was not told 250 and comes again is told so now (RFC 1047).

mod item;

mod sqlite;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(test)]
mod same;

use std::path::PathBuf;
use std::time::Duration;

use sealed::identity::MessageId;
use store::UnixSeconds;
use tempfile::SpooledTempFile;

pub(crate) use self::item::{Announced, Back, Change, End, Lying, New, Origin, Pile, Row, Tenure, Turn, Written};
pub use self::item::{Item, Kind, Room, SpoolError, Standing, Tally, Which};
#[cfg(feature = "postgres")]
use self::postgres::Postgres;
use self::sqlite::Sqlite;

/// The queue of one flow.
pub enum Spool {
    /// In a SQLite file: one process at a time hands on from it.
    Sqlite(Sqlite),
    /// In a PostgreSQL database: several nodes may.
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

/// The same call at whichever place it is.
macro_rules! at_its_place {
    ($spool:expr, $one:ident => $call:expr) => {
        match $spool {
            Spool::Sqlite($one) => $call,
            #[cfg(feature = "postgres")]
            Spool::Postgres($one) => $call,
        }
    };
}

impl Spool {
    /// In a file, which is made if need be.
    pub fn sqlite(path: PathBuf, flow: &str) -> Spool {
        Spool::Sqlite(Sqlite::new(path, flow))
    }

    /// On a server: `postgres://user@host/database`.
    #[cfg(feature = "postgres")]
    pub fn postgres(url: &str, flow: &str) -> Result<Spool, SpoolError> {
        Postgres::new(url, flow).map(Spool::Postgres)
    }

    /// On a server, which this build cannot reach.
    #[cfg(not(feature = "postgres"))]
    pub fn postgres(_: &str, _: &str) -> Result<Spool, SpoolError> {
        Err(SpoolError::NoPostgres)
    }

    /// All of it in one transaction, which is synced when this returns. The changes come back, in the same order.
    pub(crate) async fn write(&self, changes: Vec<Change>) -> (Vec<Change>, Result<Vec<Written>, SpoolError>) {
        at_its_place!(self, place => place.write(changes).await)
    }

    /// Copies that nobody has in hand any more, since whoever had them is gone, are to be looked for at their target, after `grace`. `in_hand`: those
    /// that this node has.
    pub(crate) async fn adopt(&self, in_hand: Vec<MessageId>, grace: Duration) -> Result<(), SpoolError> {
        at_its_place!(self, place => place.adopt(in_hand, grace).await)
    }

    /// Copies whose time has come, at most `most`; from now on they are this node's, as long as its tenure lasts.
    pub(crate) async fn take(&self, most: usize) -> Result<Vec<Row>, SpoolError> {
        at_its_place!(self, place => place.take(most).await)
    }

    /// A message that is not kept here is about to be handed on, and only its id is written, with times. From now on it is this node's, unless it says
    /// otherwise. `grace`: so long after somebody had it, nobody touches it.
    pub(crate) async fn announce(
        &self,
        id: MessageId,
        received: UnixSeconds,
        tenure: Tenure,
        grace: Duration,
    ) -> Result<Announced, SpoolError> {
        at_its_place!(self, place => place.announce(id, received, tenure, grace).await)
    }

    /// Such a message has not arrived.
    pub(crate) async fn withdraw(
        &self,
        id: MessageId,
        end: End,
        tenure: Tenure,
        grace: Duration,
    ) -> Result<(), SpoolError> {
        at_its_place!(self, place => place.withdraw(id, end, tenure, grace).await)
    }

    /// What is known of a copy that came back like this.
    pub(crate) async fn origin(&self, id: MessageId, back: &Back) -> Result<Origin, SpoolError> {
        at_its_place!(self, place => place.origin(id, back).await)
    }

    /// A copy came back, and its owner has been told. If that was a report of its failure and it is here, it has failed; if it is not here, it has not
    /// arrived, and is taken when it is sent again.
    pub(crate) async fn give_back(&self, id: MessageId, back: Back) -> Result<(), SpoolError> {
        at_its_place!(self, place => match back {
            Back::Failed(said) => place.give_back(id, said).await,
            Back::Unclear => place.remark(id).await,
        })
    }

    /// The octets of a copy, written to `to`, which comes back.
    pub(crate) async fn read(&self, row: &Row, to: SpooledTempFile) -> Result<SpooledTempFile, SpoolError> {
        at_its_place!(self, place => place.read(row.id, row.length, to).await)
    }

    /// Is there room for another copy of so many octets? On a server, that is the server's to say.
    pub fn room(&self, octets: u64) -> Room {
        match self {
            Spool::Sqlite(file) => file.room(octets),
            #[cfg(feature = "postgres")]
            Spool::Postgres(_) => Room::Enough,
        }
    }

    /// Sees to it that what waits can be handed on when the disk is full. To be done now and then.
    pub(crate) async fn make_room(&self) -> Result<(), SpoolError> {
        match self {
            Spool::Sqlite(file) => file.make_room().await,
            #[cfg(feature = "postgres")]
            Spool::Postgres(_) => Ok(()),
        }
    }

    /// This node lives. To be said more often than a tenure lasts without it.
    pub(crate) async fn beat(&self) -> Result<(), SpoolError> {
        at_its_place!(self, place => place.beat().await)
    }

    /// In whose name this node takes copies in hand now.
    pub(crate) fn tenure(&self) -> Tenure {
        at_its_place!(self, place => place.tenure())
    }

    /// Whether what was taken in hand in this name is still this node's, by its own clock: nobody has taken it for dead.
    pub(crate) fn holds(&self, tenure: Tenure) -> bool {
        at_its_place!(self, place => place.holds(tenure))
    }

    /// The same, asked where the spool is: a machine that was stopped as a whole has a clock that was stopped, too.
    pub(crate) async fn confirms(&self, tenure: Tenure) -> bool {
        at_its_place!(self, place => place.confirms(tenure).await)
    }

    /// Whether other nodes may work on it.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self, Spool::Sqlite(_))
    }

    /// What is in it, the oldest first, at most `most`.
    pub async fn list(&self, most: usize) -> Result<Vec<Item>, SpoolError> {
        at_its_place!(self, place => place.list(most).await)
    }

    /// The octets of a copy that [`Spool::list`] has shown, written to `to`, which comes back.
    pub async fn copy(&self, item: &Item, to: SpooledTempFile) -> Result<SpooledTempFile, SpoolError> {
        at_its_place!(self, place => place.read(item.id, item.length, to).await)
    }

    /// All flows that have copies in the same place, and how many.
    pub async fn flows(&self) -> Result<Vec<(String, u64)>, SpoolError> {
        at_its_place!(self, place => place.flows().await)
    }

    /// How much is in it.
    pub async fn tally(&self) -> Result<Tally, SpoolError> {
        at_its_place!(self, place => place.tally().await)
    }

    /// Copies that wait or have failed are tried as soon as can be; how many.
    pub async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        at_its_place!(self, place => place.retry(which).await)
    }

    /// Removes a copy that nobody has in hand; false: there is none.
    pub async fn discard(&self, id: MessageId) -> Result<bool, SpoolError> {
        at_its_place!(self, place => place.discard(id).await)
    }

    /// Mail that failed, and that nobody has asked for.
    pub(crate) async fn pile(&self, which: Lying) -> Result<Pile, SpoolError> {
        at_its_place!(self, place => place.pile(which).await)
    }

    /// The owner knows that these will go.
    pub(crate) async fn told(&self, ids: Vec<MessageId>) -> Result<(), SpoolError> {
        at_its_place!(self, place => place.told(ids).await)
    }

    /// Removes copies that failed; those that somebody asked for meanwhile stay.
    pub(crate) async fn remove(&self, ids: Vec<MessageId>) -> Result<(), SpoolError> {
        at_its_place!(self, place => place.remove(ids).await)
    }

    /// Forgets what arrived long ago. `keep`: for how long copies are kept that the next server answers for.
    pub(crate) async fn forget(&self, keep: Duration) -> Result<(), SpoolError> {
        at_its_place!(self, place => place.forget(keep).await)
    }
}
