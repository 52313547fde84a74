//! The queue in a PostgreSQL database, which several nodes share.
//!
//! In: changes, many at a time. Out: rows, each to one node (`FOR UPDATE SKIP LOCKED`). A node says every few seconds that it lives; what a node has
//! in hand that has said so for half a minute no more, the others take over, and look first whether it was handed on. All times are the
//! database's. COMMIT answers when the row would survive power loss (`synchronous_commit`, on unless the server's owner chose otherwise).

mod reign;

mod known;
mod failed;

use std::io::{Seek, Write};
use std::sync::Mutex;
use std::time::Duration;

use deadpool_postgres::{Client, GenericClient, Pool};
use futures_util::future::try_join_all;
use sealed::identity::MessageId;
use store::UnixSeconds;
use tempfile::SpooledTempFile;
use tokio::sync::OnceCell;

use self::reign::Reign;
use super::item::{
    Change, Item, New, PIECE, Row, SpoolError, Tally, Turn, Which, Written, addresses, kind, millis, number, signed,
    standing, unsigned,
};
use super::sqlite::fill;
use crate::forward::obstacle::Obstacle;
use crate::forward::said::Said;
use crate::postgres::{self, PostgresError};

/// A database.
pub struct Postgres {
    pool: Pool,
    flow: String,
    /// This process, among the nodes.
    reign: Mutex<Reign>,
    ready: OnceCell<()>,
}

/// Entry k brings schema k to k + 1. Entries are never changed, only added.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE sealpost_item (
        id BYTEA PRIMARY KEY,
        flow TEXT NOT NULL,
        state SMALLINT NOT NULL,
        kind SMALLINT NOT NULL,
        envelope TEXT NOT NULL,
        expectation BYTEA NOT NULL,
        length BIGINT NOT NULL,
        received BIGINT NOT NULL,
        due BIGINT NOT NULL,
        tries INT NOT NULL,
        look BOOLEAN NOT NULL,
        why TEXT,
        node BYTEA
    );
    CREATE INDEX sealpost_item_due ON sealpost_item (flow, due) WHERE state = 0 AND node IS NULL;
    CREATE INDEX sealpost_item_held ON sealpost_item (flow) WHERE state = 0 AND node IS NOT NULL;
    CREATE INDEX sealpost_item_failed ON sealpost_item (flow) WHERE state = 1;
    CREATE INDEX sealpost_item_arrived ON sealpost_item (due) WHERE state = 2;
    CREATE TABLE sealpost_piece (
        id BYTEA NOT NULL,
        number INT NOT NULL,
        octets BYTEA NOT NULL,
        PRIMARY KEY (id, number)
    );
    -- Ciphertext does not shrink.
    ALTER TABLE sealpost_piece ALTER COLUMN octets SET STORAGE EXTERNAL;
    CREATE TABLE sealpost_node (id BYTEA PRIMARY KEY, until BIGINT NOT NULL);
",
    "
    ALTER TABLE sealpost_item ADD COLUMN said TEXT;
    CREATE INDEX sealpost_item_announced ON sealpost_item (due) WHERE state = 3;
    CREATE INDEX sealpost_item_kept ON sealpost_item (flow, due, length) WHERE state = 4;
",
    "
    ALTER TABLE sealpost_item ADD COLUMN remarked BOOLEAN NOT NULL DEFAULT FALSE;
    CREATE INDEX sealpost_item_told ON sealpost_item (due) WHERE state = 5;
    UPDATE sealpost_item SET state = 5 WHERE state = 2 AND why = 'returned';
",
    "
    ALTER TABLE sealpost_item ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
",
];
/// "SPsp": whoever migrates holds this lock.
const LOCK: i64 = 0x5350_7370;
/// Unix milliseconds, the database's.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";

impl From<PostgresError> for SpoolError {
    fn from(error: PostgresError) -> SpoolError {
        match error {
            PostgresError::Said(what) => SpoolError::Postgres(what),
            PostgresError::Newer => SpoolError::Newer,
        }
    }
}

impl From<tokio_postgres::Error> for SpoolError {
    fn from(error: tokio_postgres::Error) -> SpoolError {
        PostgresError::from(error).into()
    }
}

impl Postgres {
    pub(super) fn new(url: &str, flow: &str) -> Result<Postgres, SpoolError> {
        Ok(Postgres {
            pool: postgres::pool(url)?,
            flow: flow.to_owned(),
            reign: Mutex::default(),
            ready: OnceCell::new(),
        })
    }

    pub(super) async fn write(&self, mut changes: Vec<Change>) -> (Vec<Change>, Result<Vec<Written>, SpoolError>) {
        let written = self.write_all(&mut changes).await;
        (changes, written)
    }

    async fn write_all(&self, changes: &mut [Change]) -> Result<Vec<Written>, SpoolError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        // All at once over one connection: none waits for the answer to another. No two of them are about one copy.
        let each = changes.iter_mut().map(|change| self.apply(&transaction, change));
        let written = try_join_all(each).await?;
        transaction.commit().await?;
        Ok(written)
    }

    async fn apply(&self, on: &impl GenericClient, change: &mut Change) -> Result<Written, SpoolError> {
        match change {
            Change::Put(new) => return self.put(on, new).await,
            Change::Done(id) => {
                let text = format!(
                    "UPDATE sealpost_item SET state = CASE WHEN why = 'returned' THEN 5 ELSE 2 END, envelope = '',
                     expectation = '', node = NULL, due = {NOW} WHERE id = $1"
                );
                on.execute(&on.prepare_cached(&text).await?, &[&id.0.as_slice()]).await?;
                let gone = on.prepare_cached("DELETE FROM sealpost_piece WHERE id = $1").await?;
                on.execute(&gone, &[&id.0.as_slice()]).await?;
            }
            Change::Relayed(id) => {
                // It may have come back already.
                let text = format!(
                    "UPDATE sealpost_item SET state = CASE WHEN why = 'returned' THEN 1 ELSE 4 END, tries = tries + 1,
                     why = CASE WHEN why = 'returned' THEN why END, node = NULL, due = {NOW}
                     WHERE id = $1 AND state < 2"
                );
                on.execute(&on.prepare_cached(&text).await?, &[&id.0.as_slice()]).await?;
            }
            Change::Later { id, wait, why, look } => {
                let text = format!(
                    "UPDATE sealpost_item SET due = {NOW} + $2, tries = tries + 1, why = $3, said = $6,
                     look = look OR $4, node = NULL WHERE id = $1 AND state = 0 AND node = $5"
                );
                let statement = on.prepare_cached(&text).await?;
                let said = why.said.as_ref().map(Said::text);
                let code = why.obstacle.code();
                let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
                    &[&id.0.as_slice(), &millis(*wait), &code.as_str(), look, &self.node(), &said];
                on.execute(&statement, values).await?;
            }
            Change::Failed(id, why) => {
                let text = format!(
                    "UPDATE sealpost_item SET state = 1, tries = tries + 1, why = $2, said = $4, node = NULL, due = {NOW},
                     told = 0 WHERE id = $1 AND state = 0 AND node = $3"
                );
                let statement = on.prepare_cached(&text).await?;
                let said = why.said.as_ref().map(Said::text);
                let code = why.obstacle.code();
                on.execute(&statement, &[&id.0.as_slice(), &code.as_str(), &self.node(), &said]).await?;
                // Where notes are refused, too, one of them tells enough.
                let text = "WITH gone AS (
                                DELETE FROM sealpost_item AS other USING sealpost_item AS item
                                WHERE item.id = $1 AND item.kind = 1 AND other.flow = item.flow AND other.state = 1
                                AND other.kind = 1 AND other.id <> item.id RETURNING other.id)
                            DELETE FROM sealpost_piece USING gone WHERE sealpost_piece.id = gone.id";
                on.execute(&on.prepare_cached(text).await?, &[&id.0.as_slice()]).await?;
            }
        }
        Ok(Written::Now)
    }

    async fn put(&self, on: &impl GenericClient, new: &mut New) -> Result<Written, SpoolError> {
        let (node, wait) = match new.turn {
            Turn::Ours(tenure) => (Some(tenure.0.to_vec()), 0),
            Turn::Later(wait) => (None, millis(wait)),
        };
        // That its owner was told of one that is gone does not make this one known.
        let text = format!(
            "INSERT INTO sealpost_item AS item
             (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, node)
             VALUES ($1, $2, 0, $3, $4, $5, $6, $7, {NOW} + $8, 0, FALSE, $9)
             ON CONFLICT (id) DO UPDATE SET state = 0, kind = excluded.kind, envelope = excluded.envelope,
             expectation = excluded.expectation, length = excluded.length, received = excluded.received,
             due = excluded.due, tries = 0, look = FALSE, node = excluded.node, why = NULL, said = NULL,
             remarked = FALSE, told = 0 WHERE item.state = 5"
        );
        let statement = on.prepare_cached(&text).await?;
        let length = signed(new.length);
        let kind = i16::try_from(number(new.kind)).unwrap_or_default();
        let id = new.id.0.as_slice();
        let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&id, &self.flow, &kind, &new.envelope, &new.expectation, &length, &new.received.0, &wait, &node];
        if on.execute(&statement, values).await? == 0 {
            return Ok(Written::Before);
        }
        let insert = on.prepare_cached("INSERT INTO sealpost_piece (id, number, octets) VALUES ($1, $2, $3)").await?;
        new.octets.rewind()?;
        let room = usize::try_from(new.length).unwrap_or(PIECE).clamp(1, PIECE);
        let (mut piece, mut copied) = (vec![0; room], 0_u64);
        for at in 0_i32.. {
            let count = fill(&mut new.octets, &mut piece)?;
            if count == 0 {
                break;
            }
            on.execute(&insert, &[&id, &at, &piece.get(..count).unwrap_or_default()]).await?;
            copied = copied.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        if copied == new.length { Ok(Written::Now) } else { Err(SpoolError::NotWhole) }
    }

    pub(super) async fn adopt(&self, in_hand: Vec<MessageId>, grace: Duration) -> Result<(), SpoolError> {
        let client = self.client().await?;
        let text = format!(
            "UPDATE sealpost_item SET look = TRUE, node = NULL, due = greatest(due, {NOW} + $4) WHERE id IN (
                 SELECT id FROM sealpost_item AS item WHERE flow = $2 AND state = 0
                 AND ((node = $1 AND NOT id = ANY($3))
                      OR (node <> $1 AND NOT EXISTS (SELECT FROM sealpost_node AS live
                                     WHERE live.id = item.node AND live.until > {NOW})))
                 FOR UPDATE SKIP LOCKED)"
        );
        let in_hand: Vec<&[u8]> = in_hand.iter().map(|id| id.0.as_slice()).collect();
        let statement = client.prepare_cached(&text).await?;
        client.execute(&statement, &[&self.node(), &self.flow, &in_hand, &millis(grace)]).await?;
        Ok(())
    }

    pub(super) async fn take(&self, most: usize) -> Result<Vec<Row>, SpoolError> {
        let client = self.client().await?;
        let text = format!(
            "UPDATE sealpost_item SET node = $1 WHERE id IN (
                 SELECT id FROM sealpost_item WHERE flow = $2 AND state = 0 AND due <= {NOW} AND node IS NULL
                 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING id, kind, envelope, expectation, length, received, tries, look, why"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let statement = client.prepare_cached(&text).await?;
        let rows = client.query(&statement, &[&self.node(), &self.flow, &most]).await?;
        rows.iter()
            .map(|row| {
                Ok(Row {
                    id: id(row.try_get(0)?)?,
                    kind: kind(row.try_get::<_, i16>(1)?.into()),
                    envelope: row.try_get(2)?,
                    expectation: row.try_get(3)?,
                    length: unsigned(row.try_get(4)?),
                    received: UnixSeconds(row.try_get(5)?),
                    tries: u32::try_from(row.try_get::<_, i32>(6)?).unwrap_or_default(),
                    look: row.try_get(7)?,
                    why: row.try_get::<_, Option<&str>>(8)?.and_then(Obstacle::of),
                })
            })
            .collect()
    }

    pub(super) async fn read(
        &self,
        id: MessageId,
        length: u64,
        mut to: SpooledTempFile,
    ) -> Result<SpooledTempFile, SpoolError> {
        let client = self.client().await?;
        let text = "SELECT octets FROM sealpost_piece WHERE id = $1 AND number = $2";
        let statement = client.prepare_cached(text).await?;
        let mut copied = 0_u64;
        for at in 0_i32.. {
            let Some(row) = client.query_opt(&statement, &[&id.0.as_slice(), &at]).await? else { break };
            let octets: &[u8] = row.try_get(0)?;
            to.write_all(octets)?;
            copied = copied.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        }
        to.rewind()?;
        if copied == length { Ok(to) } else { Err(SpoolError::NotWhole) }
    }

    pub(super) async fn list(&self, most: usize) -> Result<Vec<Item>, SpoolError> {
        let client = self.client().await?;
        let text = "SELECT id, kind, state, node IS NOT NULL, envelope, length, received, due, tries, why, said
                    FROM sealpost_item WHERE flow = $1 AND state < 2 ORDER BY received, id LIMIT $2";
        let rows = client.query(text, &[&self.flow, &i64::try_from(most).unwrap_or(i64::MAX)]).await?;
        rows.iter()
            .map(|row| {
                let (from, to) = addresses(row.try_get(4)?);
                Ok(Item {
                    id: id(row.try_get(0)?)?,
                    kind: kind(row.try_get::<_, i16>(1)?.into()),
                    standing: standing(row.try_get::<_, i16>(2)?.into(), row.try_get(3)?),
                    from,
                    to,
                    length: unsigned(row.try_get(5)?),
                    received: UnixSeconds(row.try_get(6)?),
                    due: UnixSeconds(row.try_get::<_, i64>(7)? / 1000),
                    tries: u32::try_from(row.try_get::<_, i32>(8)?).unwrap_or_default(),
                    why: row.try_get(9)?,
                    said: row.try_get(10)?,
                })
            })
            .collect()
    }

    pub(super) async fn flows(&self) -> Result<Vec<(String, u64)>, SpoolError> {
        let client = self.client().await?;
        let text = "SELECT flow, count(*) FROM sealpost_item WHERE state < 2 GROUP BY flow ORDER BY flow";
        let rows = client.query(text, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, unsigned(row.try_get(1)?)))).collect()
    }

    pub(super) async fn tally(&self) -> Result<Tally, SpoolError> {
        let client = self.client().await?;
        let text = "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1),
                    coalesce(sum(length), 0)::BIGINT, min(received) FILTER (WHERE state = 0)
                    FROM sealpost_item WHERE flow = $1 AND state < 2";
        let row = client.query_one(text, &[&self.flow]).await?;
        let count = |at: usize| Ok::<u64, SpoolError>(unsigned(row.try_get(at)?));
        let oldest: Option<i64> = row.try_get(3)?;
        Ok(Tally { waiting: count(0)?, failed: count(1)?, octets: count(2)?, oldest: oldest.map(UnixSeconds) })
    }

    pub(super) async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        let client = self.client().await?;
        let set = format!(
            "UPDATE sealpost_item SET state = 0, due = {NOW}, look = look OR state = 1, told = 0,
             why = CASE WHEN state = 1 THEN NULL ELSE why END
             WHERE flow = $1 AND node IS NULL AND state < 2"
        );
        Ok(match which {
            Which::All => client.execute(&set, &[&self.flow]).await?,
            Which::One(id) => client.execute(&format!("{set} AND id = $2"), &[&self.flow, &id.0.as_slice()]).await?,
            Which::Notes => client.execute(&format!("{set} AND state = 1 AND kind = 1"), &[&self.flow]).await?,
            Which::Behind(why) => {
                let text = format!("{set} AND state = 0 AND (why = $2 OR why IS NULL)");
                client.execute(&text, &[&self.flow, &why.code().as_str()]).await?
            }
        })
    }

    pub(super) async fn discard(&self, id: MessageId) -> Result<bool, SpoolError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let text = "DELETE FROM sealpost_item WHERE flow = $1 AND id = $2 AND state < 2 AND node IS NULL";
        let gone = transaction.execute(text, &[&self.flow, &id.0.as_slice()]).await? > 0;
        if gone {
            transaction.execute("DELETE FROM sealpost_piece WHERE id = $1", &[&id.0.as_slice()]).await?;
        }
        transaction.commit().await?;
        Ok(gone)
    }

    async fn client(&self) -> Result<Client, SpoolError> {
        let client = postgres::client(&self.pool).await?;
        self.ready.get_or_try_init(|| postgres::migrate(&client, LOCK, "sealpost_spool_schema", &MIGRATIONS)).await?;
        Ok(client)
    }
}

fn id(octets: &[u8]) -> Result<MessageId, SpoolError> {
    octets.try_into().map(MessageId).map_err(|_| SpoolError::NotWhole)
}
