//! The queue in a SQLite file.
//!
//! In: changes, many at a time. Out: rows. One connection, used on threads of its own; each commit is synced (`synchronous=FULL`), so that a row
//! that was committed is there after power loss. One process hands on from it (it holds the flow's lock); others may look at it and ask for things.

mod room;
mod known;
mod failed;

use std::collections::HashSet;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use sealed::identity::{MessageId, random};
use store::UnixSeconds;
use tempfile::SpooledTempFile;

use self::room::{Disk, may_be_full, shrink};
use super::item::{
    Change, Item, New, PIECE, Room, Row, SpoolError, Tally, Tenure, Turn, Which, Written, addresses, kind, millis,
    number, signed, standing, state, unsigned,
};
use crate::forward::obstacle::Obstacle;
use crate::forward::said::Said;
use crate::sqlite::open;

/// A file.
pub struct Sqlite {
    path: PathBuf,
    flow: String,
    /// This process, among those that were there before.
    node: [u8; 16],
    connection: Arc<Mutex<Option<Connection>>>,
    disk: Disk,
}

/// Octets that the log keeps when all of it is taken over.
const LOG: i64 = 8 * 1024 * 1024;
/// "SPsp": tells this database from others.
const APPLICATION_ID: i64 = 0x5350_7370;
/// Entry k brings schema k to k + 1. Entries are never changed, only added.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE item (
        id BLOB NOT NULL PRIMARY KEY,
        flow TEXT NOT NULL,
        state INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        envelope TEXT NOT NULL,
        expectation BLOB NOT NULL,
        length INTEGER NOT NULL,
        received INTEGER NOT NULL,
        due INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        look INTEGER NOT NULL,
        why TEXT,
        node BLOB
    ) STRICT;
    CREATE INDEX item_due ON item (flow, due) WHERE state = 0 AND node IS NULL;
    CREATE INDEX item_held ON item (flow) WHERE state = 0 AND node IS NOT NULL;
    CREATE INDEX item_waiting ON item (flow, received) WHERE state = 0;
    CREATE INDEX item_failed ON item (flow) WHERE state = 1;
    CREATE INDEX item_arrived ON item (due) WHERE state = 2;
    CREATE TABLE piece (
        id BLOB NOT NULL,
        number INTEGER NOT NULL,
        octets BLOB NOT NULL,
        UNIQUE (id, number)
    ) STRICT;
",
    "
    ALTER TABLE item ADD COLUMN said TEXT;
    CREATE INDEX item_announced ON item (due) WHERE state = 3;
    CREATE INDEX item_kept ON item (flow, due, length) WHERE state = 4;
",
    "
    ALTER TABLE item ADD COLUMN remarked INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX item_told ON item (due) WHERE state = 5;
    UPDATE item SET state = 5 WHERE state = 2 AND why IS 'returned';
",
    "
    ALTER TABLE item ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
",
];

impl Sqlite {
    pub(super) fn new(path: PathBuf, flow: &str) -> Sqlite {
        let disk = Disk::of(&path);
        Sqlite { path, flow: flow.to_owned(), node: random(), connection: Arc::default(), disk }
    }

    pub(super) async fn write(&self, changes: Vec<Change>) -> (Vec<Change>, Result<Vec<Written>, SpoolError>) {
        let (flow, node) = (self.flow.clone(), self.node);
        // Shared, so that they come back also when the work fails.
        let shared = Arc::new(Mutex::new(changes));
        let given = Arc::clone(&shared);
        let written = self
            .with(move |connection| {
                let mut changes = given.lock().unwrap_or_else(PoisonError::into_inner);
                let transaction = connection.unchecked_transaction()?;
                let now = now();
                let each = changes.iter_mut().map(|change| apply(&transaction, &flow, &node, now, change));
                let written = each.collect::<Result<Vec<_>, _>>()?;
                transaction.commit()?;
                Ok(written)
            })
            .await;
        let changes = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
        (changes, written)
    }

    pub(super) async fn adopt(&self, in_hand: Vec<MessageId>, grace: Duration) -> Result<(), SpoolError> {
        let (flow, node) = (self.flow.clone(), self.node);
        self.with(move |connection| {
            let in_hand: HashSet<[u8; 16]> = in_hand.iter().map(|id| id.0).collect();
            let text = "SELECT id, node FROM item WHERE flow = ?1 AND state = 0 AND node IS NOT NULL";
            let mut held = connection.prepare_cached(text)?;
            let rows = held.query_map([&flow], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 16]>(1)?)))?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let gone = |(id, holder): &([u8; 16], [u8; 16])| *holder != node || !in_hand.contains(id);
            let gone: Vec<[u8; 16]> = rows.into_iter().filter(gone).map(|(id, _)| id).collect();
            if !gone.is_empty() {
                let transaction = connection.unchecked_transaction()?;
                let text = "UPDATE item SET look = 1, node = NULL, due = max(due, ?2) WHERE id = ?1";
                let due = now().saturating_add(millis(grace));
                for id in gone {
                    transaction.prepare_cached(text)?.execute(params![id, due])?;
                }
                transaction.commit()?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn take(&self, most: usize) -> Result<Vec<Row>, SpoolError> {
        let (flow, node) = (self.flow.clone(), self.node);
        self.with(move |connection| {
            let text = "SELECT id, kind, envelope, expectation, length, received, tries, look, why FROM item
                        WHERE flow = ?1 AND state = 0 AND node IS NULL AND due <= ?2 ORDER BY due LIMIT ?3";
            let mut due = connection.prepare_cached(text)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = due.query_map(params![flow, now(), most], row)?.collect::<Result<Vec<_>, _>>()?;
            if rows.is_empty() {
                return Ok(rows);
            }
            let transaction = connection.unchecked_transaction()?;
            let mut taken = Vec::new();
            for row in rows {
                // What was dropped meanwhile is not there any more.
                let text = "UPDATE item SET node = ?2 WHERE id = ?1 AND state = 0 AND node IS NULL";
                if transaction.prepare_cached(text)?.execute(params![row.id.0, node])? == 1 {
                    taken.push(row);
                }
            }
            transaction.commit()?;
            Ok(taken)
        })
        .await
    }

    pub(super) async fn read(
        &self,
        id: MessageId,
        length: u64,
        mut to: SpooledTempFile,
    ) -> Result<SpooledTempFile, SpoolError> {
        self.with(move |connection| {
            let mut pieces = connection.prepare_cached("SELECT octets FROM piece WHERE id = ?1 ORDER BY number")?;
            let mut rows = pieces.query([id.0])?;
            let mut copied = 0_u64;
            while let Some(row) = rows.next()? {
                let octets = row.get_ref(0)?.as_blob().map_err(|_| SpoolError::NotWhole)?;
                to.write_all(octets)?;
                copied = copied.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
            }
            to.rewind()?;
            if copied == length { Ok(to) } else { Err(SpoolError::NotWhole) }
        })
        .await
    }

    pub(super) async fn beat(&self) -> Result<(), SpoolError> {
        Ok(())
    }

    /// Is there room for another copy of so many octets?
    pub(super) fn room(&self, octets: u64) -> Room {
        self.disk.room(octets)
    }

    /// Holds room back for what must be written on a full disk; while there is too little, the file gets smaller.
    pub(super) async fn make_room(&self) -> Result<(), SpoolError> {
        let disk = self.disk.clone();
        self.with(move |connection| {
            if disk.room(0) == Room::Short {
                shrink(connection)?;
            }
            disk.hold();
            Ok(())
        })
        .await
    }

    pub(super) fn tenure(&self) -> Tenure {
        Tenure(self.node)
    }

    /// It holds the flow's lock as long as it lives.
    pub(super) fn holds(&self, tenure: Tenure) -> bool {
        tenure == self.tenure()
    }

    pub(super) async fn confirms(&self, tenure: Tenure) -> bool {
        self.holds(tenure)
    }

    pub(super) async fn list(&self, most: usize) -> Result<Vec<Item>, SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let text = "SELECT id, kind, state, node IS NOT NULL, envelope, length, received, due, tries, why, said
                        FROM item WHERE flow = ?1 AND state < 2 ORDER BY received, id LIMIT ?2";
            let mut list = connection.prepare(text)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let items = list.query_map(params![flow, most], |row| {
                let (from, to) = addresses(&row.get::<_, String>(4)?);
                Ok(Item {
                    id: MessageId(row.get(0)?),
                    kind: kind(row.get(1)?),
                    standing: standing(row.get(2)?, row.get(3)?),
                    from,
                    to,
                    length: unsigned(row.get(5)?),
                    received: UnixSeconds(row.get(6)?),
                    due: UnixSeconds(row.get::<_, i64>(7)? / 1000),
                    tries: row.get(8)?,
                    why: row.get(9)?,
                    said: row.get(10)?,
                })
            })?;
            Ok(items.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(super) async fn flows(&self) -> Result<Vec<(String, u64)>, SpoolError> {
        self.with(move |connection| {
            let mut flows =
                connection.prepare("SELECT flow, count(*) FROM item WHERE state < 2 GROUP BY flow ORDER BY flow")?;
            let flows = flows.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
            Ok(flows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(super) async fn tally(&self) -> Result<Tally, SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let text = "SELECT count(*), coalesce(sum(length), 0), min(received) FROM item
                        WHERE flow = ?1 AND state = ?2";
            let of = |state: i64| {
                connection.prepare_cached(text)?.query_row(params![flow, state], |row| {
                    Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), row.get::<_, Option<i64>>(2)?))
                })
            };
            let ((waiting, octets, oldest), (failed, more, _)) = (of(state::WAITING)?, of(state::FAILED)?);
            let octets = octets.saturating_add(more);
            Ok(Tally { waiting, failed, octets, oldest: oldest.map(UnixSeconds) })
        })
        .await
    }

    pub(super) async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            // What is tried once more has not come back so far.
            let set = "UPDATE item SET state = 0, due = ?2, look = look OR state = 1, told = 0,
                       why = CASE WHEN state = 1 THEN NULL ELSE why END WHERE flow = ?1 AND node IS NULL";
            let changed = match which {
                Which::All => connection.execute(&format!("{set} AND state < 2"), params![flow, now()])?,
                Which::One(id) => {
                    connection.execute(&format!("{set} AND state < 2 AND id = ?3"), params![flow, now(), id.0])?
                }
                Which::Behind(why) => {
                    let text = format!("{set} AND state = 0 AND (why = ?3 OR why IS NULL)");
                    connection.execute(&text, params![flow, now(), why.code().as_str()])?
                }
                Which::Notes => {
                    connection.execute(&format!("{set} AND state = 1 AND kind = 1"), params![flow, now()])?
                }
            };
            Ok(u64::try_from(changed).unwrap_or(u64::MAX))
        })
        .await
    }

    pub(super) async fn discard(&self, id: MessageId) -> Result<bool, SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            let text = "DELETE FROM item WHERE flow = ?1 AND id = ?2 AND state < 2 AND (node IS NULL OR state = 1)";
            let gone = transaction.execute(text, params![flow, id.0])? > 0;
            if gone {
                transaction.execute("DELETE FROM piece WHERE id = ?1", [id.0])?;
            }
            transaction.commit()?;
            Ok(gone)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (shared, path, disk) = (Arc::clone(&self.connection), self.path.clone(), self.disk.clone());
        let done = tokio::task::spawn_blocking(move || {
            let mut connection: MutexGuard<'_, Option<Connection>> =
                shared.lock().unwrap_or_else(PoisonError::into_inner);
            let usable = match connection.take() {
                Some(usable) => usable,
                // The log and its index are made anew, which takes room.
                None => connect(&path).or_else(|error| match may_be_full(&error) {
                    true => {
                        disk.give_up();
                        connect(&path)
                    }
                    false => Err(error),
                })?,
            };
            let done = work(&usable);
            let is_full = done.as_ref().err().is_some_and(may_be_full);
            if is_full {
                disk.give_up();
            }
            // After an error it is opened anew: nothing of a transaction is left, and the file may have been replaced. On a full disk it stays open,
            // since the room that its log has would be somebody else's.
            let stays = done.is_ok() || is_full && usable.is_autocommit();
            *connection = stays.then_some(usable);
            done
        });
        done.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }
}

fn connect(path: &std::path::Path) -> Result<Connection, SpoolError> {
    let connection = open(path, APPLICATION_ID, &MIGRATIONS)?;
    // FULL syncs the log at every commit. NORMAL would lose the last ones with the power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // After one large copy, the log does not keep its room for ever; what it keeps, it can write into on a full disk.
    connection.pragma_update(None, "journal_size_limit", LOG)?;
    Ok(connection)
}

fn apply(
    connection: &Connection,
    flow: &str,
    node: &[u8; 16],
    now: i64,
    change: &mut Change,
) -> Result<Written, SpoolError> {
    match change {
        Change::Put(new) => return put(connection, flow, node, now, new),
        Change::Done(id) => {
            let text =
                "UPDATE item SET state = CASE WHEN why IS 'returned' THEN 5 ELSE 2 END, envelope = '', expectation = x'',
                 node = NULL, due = ?2 WHERE id = ?1";
            connection.prepare_cached(text)?.execute(params![id.0, now])?;
            connection.prepare_cached("DELETE FROM piece WHERE id = ?1")?.execute([id.0])?;
        }
        Change::Relayed(id) => {
            // It may have come back already.
            let text = "UPDATE item SET state = CASE WHEN why IS 'returned' THEN 1 ELSE 4 END, tries = tries + 1,
                        why = CASE WHEN why IS 'returned' THEN why END, node = NULL, due = ?2
                        WHERE id = ?1 AND state < 2";
            connection.prepare_cached(text)?.execute(params![id.0, now])?;
        }
        Change::Later { id, wait, why, look } => {
            let text =
                "UPDATE item SET due = ?2, tries = tries + 1, why = ?3, said = ?5, look = look OR ?4, node = NULL
                        WHERE id = ?1 AND state = 0";
            let due = now.saturating_add(millis(*wait));
            let said = why.said.as_ref().map(Said::text);
            connection.prepare_cached(text)?.execute(params![id.0, due, why.obstacle.code().as_str(), *look, said])?;
        }
        Change::Failed(id, why) => {
            let text =
                "UPDATE item SET state = 1, tries = tries + 1, why = ?2, said = ?3, node = NULL, due = ?4, told = 0
                        WHERE id = ?1 AND state = 0";
            let said = why.said.as_ref().map(Said::text);
            connection.prepare_cached(text)?.execute(params![id.0, why.obstacle.code().as_str(), said, now])?;
            // Where notes are refused, too, one of them tells enough.
            let others = "SELECT other.id FROM item JOIN item AS other ON other.flow = item.flow AND other.state = 1
                          AND other.kind = 1 AND other.id <> item.id WHERE item.id = ?1 AND item.kind = 1";
            for table in ["DELETE FROM piece", "DELETE FROM item"] {
                connection.prepare_cached(&format!("{table} WHERE id IN ({others})"))?.execute([id.0])?;
            }
        }
    }
    Ok(Written::Now)
}

fn put(connection: &Connection, flow: &str, node: &[u8; 16], now: i64, new: &mut New) -> Result<Written, SpoolError> {
    let (node, due) = match new.turn {
        Turn::Ours(_) => (Some(node), now),
        Turn::Later(wait) => (None, now.saturating_add(millis(wait))),
    };
    // That its owner was told of one that is gone does not make this one known.
    let text = "INSERT INTO item
                (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, node)
                VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9)
                ON CONFLICT (id) DO UPDATE SET state = 0, kind = excluded.kind, envelope = excluded.envelope,
                expectation = excluded.expectation, length = excluded.length, received = excluded.received,
                due = excluded.due, tries = 0, look = 0, node = excluded.node, why = NULL, said = NULL, remarked = 0,
                told = 0
                WHERE state = 5";
    let (kind, received) = (number(new.kind), new.received.0);
    let row = params![new.id.0, flow, kind, new.envelope, new.expectation, signed(new.length), received, due, node];
    if connection.prepare_cached(text)?.execute(row)? == 0 {
        return Ok(Written::Before);
    }
    let mut insert = connection.prepare_cached("INSERT INTO piece (id, number, octets) VALUES (?1, ?2, ?3)")?;
    new.octets.rewind()?;
    let room = usize::try_from(new.length).unwrap_or(PIECE).clamp(1, PIECE);
    let (mut piece, mut copied) = (vec![0; room], 0_u64);
    for at in 0_i64.. {
        let count = fill(&mut new.octets, &mut piece)?;
        if count == 0 {
            break;
        }
        insert.execute(params![new.id.0, at, piece.get(..count).unwrap_or_default()])?;
        copied = copied.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    if copied == new.length { Ok(Written::Now) } else { Err(SpoolError::NotWhole) }
}

/// As much as there is, up to a whole piece.
pub(super) fn fill(from: &mut impl Read, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest)? {
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(filled)
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: MessageId(row.get(0)?),
        kind: kind(row.get(1)?),
        envelope: row.get(2)?,
        expectation: row.get(3)?,
        length: unsigned(row.get(4)?),
        received: UnixSeconds(row.get(5)?),
        tries: row.get(6)?,
        look: row.get(7)?,
        why: row.get::<_, Option<String>>(8)?.as_deref().and_then(Obstacle::of),
    })
}

/// Unix milliseconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
