//! The journal: what is being replaced by what, written down before it happens.
//!
//! In: rows of (flow, mailbox, original, copy, expectation), all opaque octets to this file. Out: the rows that are not
//! finished, after a crash as before. Every call is one transaction, durable when it returns. Never looks at a mailbox;
//! never holds a message.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, Row as SqlRow, params};

use crate::clock::UnixSeconds;
use crate::database::Database;

/// Unfinished rows that one flow may have. A caller with more has a batch without an end.
pub const MAX_UNFINISHED: usize = 100_000;

/// The replacements table of a state database.
#[derive(Clone, Copy, Debug)]
pub struct Journal<'d> {
    database: &'d Database,
}

/// One replacement to begin.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// The mailbox both are in.
    pub mailbox: &'a str,
    /// Name of the original in there: what stays when flags change.
    pub original: &'a [u8],
    /// Name that the copy will have; to be chosen before the copy exists, so that litter can be told from mail.
    pub copy: &'a [u8],
    /// What the caller needs to prove the copy again after a crash (hashes). May be empty and told later by [`Journal::expect`].
    pub expectation: &'a [u8],
}

/// The number of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(i64);

/// How far a replacement is. Only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The copy may exist where nobody lists it (Maildir's `tmp/`). The original is untouched.
    Staged,
    /// Both may be seen. The original is untouched.
    Published,
    /// From here on it may have been us who removed the original.
    Retiring,
    /// Nothing left to do.
    Done,
}

/// A replacement as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: RowId,
    /// The mailbox it began in.
    pub mailbox: String,
    /// As in [`Begin`].
    pub original: Vec<u8>,
    /// As in [`Begin`].
    pub copy: Vec<u8>,
    /// How far it is.
    pub state: State,
    /// As in [`Begin`].
    pub expectation: Vec<u8>,
    /// When it began.
    pub begun: UnixSeconds,
    /// When it last moved.
    pub changed: UnixSeconds,
}

/// Says that the journal durably holds "retiring" for a set of copies: without it nothing may be removed.
///
/// Only [`Journal::announce`] makes one. Were an original removed before that, a crash would make our own deletion look
/// like the user's, and recovery would trash the copy.
#[derive(Debug)]
pub struct Announced {
    copies: HashSet<Vec<u8>>,
}

/// The name under which the way back of a flow is journaled: its rows must not be mistaken for the flow's own.
pub fn way_back(flow: &str) -> String {
    format!("back:{flow}")
}

/// Whether that is the name of a way back.
pub fn is_way_back(flow: &str) -> bool {
    flow.starts_with("back:")
}

/// Why the journal did not do it. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The flow already has an unfinished replacement of that original.
    #[error("a replacement of this message is already under way")]
    AlreadyUnderway,
    /// More than [`MAX_UNFINISHED`].
    #[error("more than {MAX_UNFINISHED} unfinished replacements in one flow")]
    TooMany,
    /// No such row, or it is already at that state or beyond.
    #[error("a replacement cannot move back, or is unknown")]
    NotForward,
    /// [`Journal::announce`] inside [`Database::together`]: it would not be durable when it returns.
    #[error("cannot announce inside a larger transaction")]
    NotAlone,
    /// A state number that no version of this file writes.
    #[error("the journal holds a state that does not exist")]
    Corrupt,
    /// SQLite says so.
    #[error("the journal cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
}

impl<'d> Journal<'d> {
    /// The journal in that database.
    pub fn on(database: &'d Database) -> Journal<'d> {
        Journal { database }
    }

    /// Writes down what is about to be staged; the ids come in the order of `batch`.
    pub fn begin(&self, flow: &str, batch: &[Begin<'_>], now: UnixSeconds) -> Result<Vec<RowId>, JournalError> {
        self.database.write(|connection| {
            let unfinished: i64 = connection
                .prepare_cached("SELECT count(*) FROM replacement WHERE flow = ?1 AND state < 3")?
                .query_row([flow], |row| row.get(0))?;
            let unfinished = usize::try_from(unfinished).unwrap_or(usize::MAX);
            if unfinished.saturating_add(batch.len()) > MAX_UNFINISHED {
                return Err(JournalError::TooMany);
            }
            let mut insert = connection.prepare_cached(
                "INSERT INTO replacement (flow, mailbox, original, copy, state, expectation, begun, changed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            )?;
            let one = |begin: &Begin<'_>| {
                let Begin { mailbox, original, copy, expectation } = begin;
                insert
                    .insert(params![flow, mailbox, original, copy, State::Staged.number(), expectation, now.0])
                    .map(RowId)
                    .map_err(underway)
            };
            batch.iter().map(one).collect()
        })
    }

    /// Tells what a copy must be, where that was not yet known at [`begin`](Journal::begin). To be called before the copy is published.
    pub fn expect(&self, batch: &[(RowId, &[u8])], now: UnixSeconds) -> Result<(), JournalError> {
        self.database.write(|connection| {
            let mut update = connection
                .prepare_cached("UPDATE replacement SET expectation = ?2, changed = ?3 WHERE id = ?1 AND state = ?4")?;
            for (id, expectation) in batch {
                one_row(update.execute(params![id.0, expectation, now.0, State::Staged.number()])?)?;
            }
            Ok(())
        })
    }

    /// Tells where copies will be and what they must be, and moves the rows to [`State::Published`]: to be called before any
    /// of them can be seen, where that is one step with storing it.
    pub fn publish(&self, batch: &[(RowId, Vec<u8>, Vec<u8>)], now: UnixSeconds) -> Result<(), JournalError> {
        self.database.write(|connection| {
            let mut update = connection.prepare_cached(
                "UPDATE replacement SET state = ?2, copy = ?3, expectation = ?4, changed = ?5 WHERE id = ?1 AND state < ?2",
            )?;
            for (id, copy, expectation) in batch {
                one_row(update.execute(params![id.0, State::Published.number(), copy, expectation, now.0])?)?;
            }
            Ok(())
        })
    }

    /// Moves rows forward; all of them or, on an error, none.
    pub fn advance(&self, rows: &[RowId], to: State, now: UnixSeconds) -> Result<(), JournalError> {
        self.database.write(|connection| {
            let mut update = connection
                .prepare_cached("UPDATE replacement SET state = ?2, changed = ?3 WHERE id = ?1 AND state < ?2")?;
            for id in rows {
                one_row(update.execute(params![id.0, to.number(), now.0])?)?;
            }
            Ok(())
        })
    }

    /// Moves rows to [`State::Retiring`] and hands out the permission to remove their originals.
    ///
    /// Rows that are there already (a recovery that was interrupted) are announced again.
    pub fn announce(&self, rows: &[RowId], now: UnixSeconds) -> Result<Announced, JournalError> {
        if self.database.is_in_transaction() {
            return Err(JournalError::NotAlone);
        }
        let copies = self.database.write(|connection| {
            let mut update = connection.prepare_cached(
                "UPDATE replacement SET state = ?2, changed = ?3 WHERE id = ?1 AND state <= ?2 RETURNING copy",
            )?;
            let mut one = |id: &RowId| {
                update.query_row(params![id.0, State::Retiring.number(), now.0], |row| row.get(0)).map_err(|error| {
                    match error {
                        rusqlite::Error::QueryReturnedNoRows => JournalError::NotForward,
                        other => JournalError::Sqlite(other),
                    }
                })
            };
            rows.iter().map(&mut one).collect::<Result<HashSet<Vec<u8>>, JournalError>>()
        })?;
        Ok(Announced { copies })
    }

    /// Everything of a flow that is not done, oldest first. At most [`MAX_UNFINISHED`] rows exist.
    pub fn unfinished(&self, flow: &str) -> Result<Vec<Row>, JournalError> {
        let mut select = self.database.read().prepare_cached(
            "SELECT id, mailbox, original, copy, state, expectation, begun, changed FROM replacement
             WHERE flow = ?1 AND state < 3 ORDER BY id",
        )?;
        let rows = select.query_map([flow], read_row)?;
        rows.map(|row| row?.ok_or(JournalError::Corrupt)).collect()
    }

    /// Copies of what is done in a mailbox and not [pruned](Journal::prune) yet, as in [`Begin`]; one after the other, for there may be many.
    pub fn each_done(&self, flow: &str, mailbox: &str, mut each: impl FnMut(&[u8])) -> Result<(), JournalError> {
        let mut select = self
            .database
            .read()
            .prepare_cached("SELECT copy FROM replacement WHERE flow = ?1 AND mailbox = ?2 AND state = 3")?;
        let mut rows = select.query(params![flow, mailbox])?;
        while let Some(row) = rows.next()? {
            each(&row.get::<_, Vec<u8>>(0)?);
        }
        Ok(())
    }

    /// Notes in which Maildir a flow has its rows.
    pub fn note_place(&self, flow: &str, maildir: &Path) -> Result<(), JournalError> {
        self.database.write(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO place (flow, maildir) VALUES (?1, ?2)")?
                .execute(params![flow, maildir.as_os_str().as_bytes()])?;
            Ok(())
        })
    }

    /// Flows other than that one, and [ways back](way_back), that have something unfinished in that Maildir.
    pub fn others_at(&self, flow: &str, maildir: &Path) -> Result<Vec<String>, JournalError> {
        let mut select = self.database.read().prepare_cached(
            "SELECT flow FROM place WHERE maildir = ?1 AND flow <> ?2
             AND EXISTS (SELECT 1 FROM replacement WHERE replacement.flow = place.flow AND state < 3) ORDER BY flow",
        )?;
        let rows = select.query_map(params![maildir.as_os_str().as_bytes(), flow], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets rows that were done before `before`; says how many.
    pub fn prune(&self, before: UnixSeconds) -> Result<usize, JournalError> {
        self.database.write(|connection: &Connection| {
            hand_numbers_on(connection, before)?;
            Ok(connection.execute("DELETE FROM replacement WHERE state = 3 AND changed < ?1", [before.0])?)
        })
    }
}

/// Copies whose rows go take over the UIDs of their originals, where those have some: see [`Uids`](crate::Uids).
fn hand_numbers_on(connection: &Connection, before: UnixSeconds) -> rusqlite::Result<()> {
    let mut mailboxes = connection.prepare_cached("SELECT id, mailbox FROM numbered_mailbox")?;
    let mailboxes: Vec<(i64, String)> =
        mailboxes.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut rows = connection.prepare_cached(
        "SELECT original, copy FROM replacement WHERE state = 3 AND changed < ?1 AND mailbox = ?2 ORDER BY id",
    )?;
    let mut update = connection.prepare_cached(
        "UPDATE OR IGNORE numbered SET message = ?3, view = NULL WHERE mailbox = ?1 AND message = ?2",
    )?;
    for (id, mailbox) in mailboxes {
        let mut rows = rows.query(params![before.0, mailbox])?;
        while let Some(row) = rows.next()? {
            let (original, copy): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            update.execute(params![id, original, copy])?;
        }
    }
    Ok(())
}

impl Announced {
    /// Whether it covers the copy of that name.
    pub fn covers(&self, copy: &[u8]) -> bool {
        self.copies.contains(copy)
    }
}

impl State {
    /// Its number on disk; the schema's indexes name 3.
    fn number(self) -> i64 {
        match self {
            State::Staged => 0,
            State::Published => 1,
            State::Retiring => 2,
            State::Done => 3,
        }
    }

    fn from_number(number: i64) -> Option<State> {
        [State::Staged, State::Published, State::Retiring, State::Done]
            .into_iter()
            .find(|state| state.number() == number)
    }
}

fn read_row(row: &SqlRow<'_>) -> rusqlite::Result<Option<Row>> {
    let Some(state) = State::from_number(row.get(4)?) else {
        return Ok(None);
    };
    Ok(Some(Row {
        id: RowId(row.get(0)?),
        mailbox: row.get(1)?,
        original: row.get(2)?,
        copy: row.get(3)?,
        state,
        expectation: row.get(5)?,
        begun: UnixSeconds(row.get(6)?),
        changed: UnixSeconds(row.get(7)?),
    }))
}

fn one_row(changed: usize) -> Result<(), JournalError> {
    if changed == 1 { Ok(()) } else { Err(JournalError::NotForward) }
}

fn underway(error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => JournalError::AlreadyUnderway,
        _ => JournalError::Sqlite(error),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_000);

    fn begin<'a>(original: &'a [u8], copy: &'a [u8]) -> Begin<'a> {
        Begin { mailbox: "INBOX", original, copy, expectation: b"e" }
    }

    fn with_journal(check: impl FnOnce(&Database, Journal<'_>)) {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        check(&database, Journal::on(&database));
    }

    #[test]
    fn rows_survive_in_order_and_finish() {
        with_journal(|_, journal| {
            let ids = journal.begin("f", &[begin(b"a", b"A"), begin(b"b", b"B")], NOW).unwrap();
            journal.expect(&[(ids[0], b"hash")], NOW).unwrap();
            journal.advance(&ids[1..], State::Published, UnixSeconds(1_001)).unwrap();
            let rows = journal.unfinished("f").unwrap();
            assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
            assert_eq!(
                (rows[0].state, &*rows[0].expectation, &*rows[0].copy),
                (State::Staged, &b"hash"[..], &b"A"[..])
            );
            assert_eq!((rows[1].state, rows[1].begun.0, rows[1].changed.0), (State::Published, 1_000, 1_001));
            assert!(journal.unfinished("g").unwrap().is_empty());
            journal.advance(&ids, State::Done, NOW).unwrap();
            assert!(journal.unfinished("f").unwrap().is_empty());
            assert_eq!(journal.prune(NOW).unwrap(), 0);
            assert_eq!(journal.prune(UnixSeconds(1_001)).unwrap(), 2);
        });
    }

    #[test]
    fn a_refused_batch_changes_nothing() {
        with_journal(|database, journal| {
            let ids = journal.begin("f", &[begin(b"a", b"A")], NOW).unwrap();
            let twice = journal.begin("f", &[begin(b"b", b"B"), begin(b"a", b"C")], NOW);
            assert!(matches!(twice, Err(JournalError::AlreadyUnderway)));
            journal.begin("other flow", &[begin(b"a", b"D")], NOW).unwrap();
            let unknown = journal.advance(&[ids[0], RowId(99)], State::Done, NOW);
            assert!(matches!(unknown, Err(JournalError::NotForward)));
            assert_eq!(journal.unfinished("f").unwrap().len(), 1);
            journal.advance(&ids, State::Published, NOW).unwrap();
            assert!(matches!(journal.advance(&ids, State::Staged, NOW), Err(JournalError::NotForward)));
            assert!(matches!(journal.expect(&[(ids[0], b"late")], NOW), Err(JournalError::NotForward)));
            let inside = database.together(|| journal.announce(&ids, NOW).map(drop));
            assert!(matches!(inside, Err(JournalError::NotAlone)));
            let announced = journal.announce(&ids, NOW).unwrap();
            assert!(announced.covers(b"A") && !announced.covers(b"B"));
            assert!(journal.announce(&ids, NOW).unwrap().covers(b"A"));
            journal.advance(&ids, State::Done, NOW).unwrap();
            assert!(matches!(journal.announce(&ids, NOW), Err(JournalError::NotForward)));
            journal.begin("f", &[begin(b"a", b"E")], NOW).unwrap();
        });
    }

    #[test]
    fn a_batch_without_an_end_is_refused() {
        with_journal(|_, journal| {
            let names: Vec<_> = (0..=MAX_UNFINISHED).map(|number| number.to_string().into_bytes()).collect();
            let rows: Vec<_> = names.iter().map(|name| begin(name, name)).collect();
            assert!(matches!(journal.begin("f", &rows, NOW), Err(JournalError::TooMany)));
            journal.begin("f", &rows[1..], NOW).unwrap();
            assert!(matches!(journal.begin("f", &rows[..1], NOW), Err(JournalError::TooMany)));
        });
    }
}
