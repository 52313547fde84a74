//! What is known of copies that are not in the queue: those that arrived, those that the next server answers for, those that were never kept.
//!
//! In: ids. Out: whether they were here, and what may be done. In SQLite.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use sealed::identity::MessageId;
use store::UnixSeconds;

use super::super::item::{
    Announced, Back, End, MOST_KEPT, Origin, REMEMBERED, SpoolError, TOLD, Tenure, millis, origin, signed, state,
};
use super::{Sqlite, now};
use crate::forward::said::Said;

impl Sqlite {
    pub(in super::super) async fn forget(&self, keep: Duration) -> Result<(), SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let before = |time: Duration| now().saturating_sub(millis(time));
            let transaction = connection.unchecked_transaction()?;
            let text = "SELECT id FROM (SELECT id, due, sum(length) OVER (ORDER BY due DESC, id) AS upto FROM item
                        WHERE flow = ?1 AND state = 4) WHERE due < ?2 OR upto > ?3";
            let over = {
                let mut over = transaction.prepare_cached(text)?;
                let values = params![flow, before(keep), signed(MOST_KEPT)];
                over.query_map(values, |row| row.get::<_, [u8; 16]>(0))?.collect::<Result<Vec<_>, _>>()?
            };
            for id in over {
                let text = "UPDATE item SET state = 2, envelope = '', expectation = x'' WHERE id = ?1";
                transaction.prepare_cached(text)?.execute([id])?;
                transaction.prepare_cached("DELETE FROM piece WHERE id = ?1")?.execute([id])?;
            }
            for (state, time) in [(state::ARRIVED, REMEMBERED), (state::ANNOUNCED, REMEMBERED), (state::TOLD, TOLD)] {
                let text = format!("DELETE FROM item WHERE state = {state} AND due < ?1");
                transaction.execute(&text, [before(time)])?;
            }
            transaction.commit()?;
            Ok(())
        })
        .await
    }

    pub(in super::super) async fn announce(
        &self,
        id: MessageId,
        received: UnixSeconds,
        _tenure: Tenure,
        grace: Duration,
    ) -> Result<Announced, SpoolError> {
        let (flow, node) = (self.flow.clone(), self.node);
        self.with(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            // That its owner was told of it when it came back does not make it known.
            let text = "INSERT INTO item
                        (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, node)
                        VALUES (?1, ?2, 3, 0, '', x'', 0, ?3, ?4, 0, 0, ?5)
                        ON CONFLICT (id) DO UPDATE SET state = 3, received = excluded.received, due = excluded.due,
                        look = 0, node = excluded.node, why = NULL, said = NULL, remarked = 0 WHERE state = 5";
            let known = transaction.execute(text, params![id.0, flow, received.0, now(), node])? == 0;
            let said = if known { claim(&transaction, id, node, grace)? } else { Announced::New };
            transaction.commit()?;
            Ok(said)
        })
        .await
    }

    pub(in super::super) async fn withdraw(
        &self,
        id: MessageId,
        end: End,
        _tenure: Tenure,
        grace: Duration,
    ) -> Result<(), SpoolError> {
        let node = self.node;
        self.with(move |connection| {
            let ours = "WHERE id = ?1 AND state = 3 AND node = ?2";
            if end == End::NotThere {
                connection.execute(&format!("DELETE FROM item {ours} AND look = 0"), params![id.0, node])?;
            }
            // It is there after the first try at the earliest: only a look says that it is not.
            let due = if end == End::Unknown { now().saturating_add(millis(grace)) } else { now() };
            let text = format!("UPDATE item SET node = NULL, look = 1, due = ?3 {ours}");
            connection.execute(&text, params![id.0, node, due])?;
            Ok(())
        })
        .await
    }

    pub(in super::super) async fn origin(&self, id: MessageId, back: &Back) -> Result<Origin, SpoolError> {
        let flow = self.flow.clone();
        let told = if *back == Back::Unclear { "remarked OR why IS 'returned'" } else { "why IS 'returned'" };
        self.with(move |connection| {
            let text = &format!("SELECT state, received, {told} FROM item WHERE id = ?1 AND flow = ?2");
            let row = connection.query_row(text, params![id.0, flow], |row| {
                Ok(origin(row.get(0)?, UnixSeconds(row.get(1)?), row.get(2)?))
            });
            Ok(row.optional()?.unwrap_or(Origin::Gone))
        })
        .await
    }

    pub(in super::super) async fn give_back(&self, id: MessageId, said: Option<Said>) -> Result<(), SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let said = said.as_ref().map(Said::text);
            // What is in hand at this moment fails when it is out of hand.
            let text = "INSERT INTO item
                        (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, node, why, said)
                        VALUES (?1, ?2, 5, 0, '', x'', 0, ?3 / 1000, ?3, 0, 0, NULL, 'returned', ?4)
                        ON CONFLICT (id) DO UPDATE SET why = excluded.why, said = excluded.said, due = excluded.due,
                        state = CASE WHEN state = 4 OR (state = 0 AND node IS NULL) THEN 1
                                     WHEN state = 2 THEN 5 ELSE state END";
            connection.execute(text, params![id.0, flow, now(), said])?;
            Ok(())
        })
        .await
    }

    pub(in super::super) async fn remark(&self, id: MessageId) -> Result<(), SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let text = "INSERT INTO item
                        (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, remarked)
                        VALUES (?1, ?2, 5, 0, '', x'', 0, ?3 / 1000, ?3, 0, 0, 1)
                        ON CONFLICT (id) DO UPDATE SET remarked = 1";
            connection.execute(text, params![id.0, flow, now()])?;
            Ok(())
        })
        .await
    }
}

/// A message that is known: who may hand it on now.
fn claim(
    connection: &Connection,
    id: MessageId,
    node: [u8; 16],
    grace: Duration,
) -> Result<Announced, rusqlite::Error> {
    let text = "SELECT state, node, due, look, received FROM item WHERE id = ?1";
    let (state, holder, due, look, received) = connection.query_row(text, [id.0], |row| {
        let (state, due): (i64, i64) = (row.get(0)?, row.get(2)?);
        Ok((state, row.get::<_, Option<[u8; 16]>>(1)?, due, row.get::<_, bool>(3)?, UnixSeconds(row.get(4)?)))
    })?;
    Ok(match (state, holder) {
        (state::ARRIVED, _) => Announced::Before,
        (state::ANNOUNCED, Some(holder)) if holder != node => {
            // Whoever had it is gone, and its target may still be at work on it.
            let text = "UPDATE item SET node = NULL, look = 1, due = ?2 WHERE id = ?1";
            connection.execute(text, params![id.0, now().saturating_add(millis(grace))])?;
            Announced::Busy
        }
        (state::ANNOUNCED, None) if due <= now() => {
            connection.execute("UPDATE item SET node = ?2 WHERE id = ?1", params![id.0, node])?;
            if look { Announced::Again(received) } else { Announced::New }
        }
        _ => Announced::Busy,
    })
}
