//! What is known of copies that are not in the queue: those that arrived, those that the next server answers for, those that were never kept.
//!
//! In: ids. Out: whether they were here, and what may be done. In PostgreSQL.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use sealed::identity::MessageId;
use store::UnixSeconds;

use super::super::item::{
    Announced, Back, End, MOST_KEPT, Origin, REMEMBERED, SpoolError, TOLD, Tenure, millis, origin, signed, state,
};
use super::{NOW, Postgres};
use crate::forward::said::Said;

impl Postgres {
    pub(in super::super) async fn forget(&self, keep: Duration) -> Result<(), SpoolError> {
        let client = self.client().await?;
        let text = format!(
            "WITH gone AS (
                 UPDATE sealpost_item SET state = 2, envelope = '', expectation = '' WHERE state = 4 AND id IN (
                     SELECT id FROM (SELECT id, due, sum(length) OVER (ORDER BY due DESC, id) AS upto
                                     FROM sealpost_item WHERE flow = $1 AND state = 4) AS kept
                     WHERE due < {NOW} - $2 OR upto > $3::BIGINT)
                 RETURNING id)
             DELETE FROM sealpost_piece USING gone WHERE sealpost_piece.id = gone.id"
        );
        client.execute(&text, &[&self.flow, &millis(keep), &signed(MOST_KEPT)]).await?;
        for (state, time) in [(state::ARRIVED, REMEMBERED), (state::ANNOUNCED, REMEMBERED), (state::TOLD, TOLD)] {
            let text = format!("DELETE FROM sealpost_item WHERE state = {state} AND due < {NOW} - $1");
            client.execute(&text, &[&millis(time)]).await?;
        }
        let text = format!("DELETE FROM sealpost_node WHERE until < {NOW} - $1");
        client.execute(&text, &[&millis(REMEMBERED)]).await?;
        Ok(())
    }

    pub(in super::super) async fn announce(
        &self,
        id: MessageId,
        received: UnixSeconds,
        tenure: Tenure,
        grace: Duration,
    ) -> Result<Announced, SpoolError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        // That its owner was told of it when it came back does not make it known.
        let text = format!(
            "INSERT INTO sealpost_item AS item
             (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, node)
             VALUES ($1, $2, 3, 0, '', '', 0, $3, {NOW}, 0, FALSE, $4)
             ON CONFLICT (id) DO UPDATE SET state = 3, received = excluded.received, due = excluded.due,
             look = FALSE, node = excluded.node, why = NULL, said = NULL, remarked = FALSE WHERE item.state = 5"
        );
        let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&id.0.as_slice(), &self.flow, &received.0, &tenure.0.as_slice()];
        let known = transaction.execute(&text, values).await? == 0;
        let said = if known { claim(&transaction, id, tenure, grace).await? } else { Announced::New };
        transaction.commit().await?;
        Ok(said)
    }

    pub(in super::super) async fn withdraw(
        &self,
        id: MessageId,
        end: End,
        tenure: Tenure,
        grace: Duration,
    ) -> Result<(), SpoolError> {
        let client = self.client().await?;
        let (id, node) = (id.0.as_slice(), tenure.0.as_slice());
        let ours = "WHERE id = $1 AND state = 3 AND node = $2";
        if end == End::NotThere {
            client.execute(&format!("DELETE FROM sealpost_item {ours} AND NOT look"), &[&id, &node]).await?;
        }
        // It is there after the first try at the earliest: only a look says that it is not.
        let wait = if end == End::Unknown { millis(grace) } else { 0 };
        let text = format!("UPDATE sealpost_item SET node = NULL, look = TRUE, due = {NOW} + $3 {ours}");
        client.execute(&text, &[&id, &node, &wait]).await?;
        Ok(())
    }

    pub(in super::super) async fn origin(&self, id: MessageId, back: &Back) -> Result<Origin, SpoolError> {
        let client = self.client().await?;
        let remarked = if *back == Back::Unclear { "remarked OR" } else { "" };
        let text = format!(
            "SELECT state, received, {remarked} why IS NOT DISTINCT FROM 'returned' FROM sealpost_item
             WHERE id = $1 AND flow = $2"
        );
        let Some(row) = client.query_opt(&text, &[&id.0.as_slice(), &self.flow]).await? else {
            return Ok(Origin::Gone);
        };
        Ok(origin(row.try_get::<_, i16>(0)?.into(), UnixSeconds(row.try_get(1)?), row.try_get(2)?))
    }

    pub(in super::super) async fn give_back(&self, id: MessageId, said: Option<Said>) -> Result<(), SpoolError> {
        let client = self.client().await?;
        // What is in hand at this moment fails when it is out of hand.
        let text = format!(
            "INSERT INTO sealpost_item AS item
             (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, node, why, said)
             VALUES ($1, $2, 5, 0, '', '', 0, {NOW} / 1000, {NOW}, 0, FALSE, NULL, 'returned', $3)
             ON CONFLICT (id) DO UPDATE SET why = excluded.why, said = excluded.said, due = excluded.due,
             state = CASE WHEN item.state = 4 OR (item.state = 0 AND item.node IS NULL) THEN 1
                          WHEN item.state = 2 THEN 5 ELSE item.state END"
        );
        client.execute(&text, &[&id.0.as_slice(), &self.flow, &said.as_ref().map(Said::text)]).await?;
        Ok(())
    }

    pub(in super::super) async fn remark(&self, id: MessageId) -> Result<(), SpoolError> {
        let client = self.client().await?;
        let text = format!(
            "INSERT INTO sealpost_item
             (id, flow, state, kind, envelope, expectation, length, received, due, tries, look, remarked)
             VALUES ($1, $2, 5, 0, '', '', 0, {NOW} / 1000, {NOW}, 0, FALSE, TRUE)
             ON CONFLICT (id) DO UPDATE SET remarked = TRUE"
        );
        client.execute(&text, &[&id.0.as_slice(), &self.flow]).await?;
        Ok(())
    }
}

/// A message that is known: who may hand it on now.
async fn claim(
    on: &impl GenericClient,
    id: MessageId,
    tenure: Tenure,
    grace: Duration,
) -> Result<Announced, SpoolError> {
    let text = format!(
        "SELECT state, node, due <= {NOW}, look, received, EXISTS (SELECT FROM sealpost_node AS live
             WHERE live.id = item.node AND live.until > {NOW})
         FROM sealpost_item AS item WHERE id = $1 FOR UPDATE OF item"
    );
    let row = on.query_one(&text, &[&id.0.as_slice()]).await?;
    let holder: Option<&[u8]> = row.try_get(1)?;
    let (over, look, lives): (bool, bool, bool) = (row.try_get(2)?, row.try_get(3)?, row.try_get(5)?);
    Ok(match (i64::from(row.try_get::<_, i16>(0)?), holder) {
        (state::ARRIVED, _) => Announced::Before,
        (state::ANNOUNCED, Some(holder)) if holder != tenure.0 && !lives => {
            // Whoever had it is gone, and its target may still be at work on it.
            let text = format!("UPDATE sealpost_item SET node = NULL, look = TRUE, due = {NOW} + $2 WHERE id = $1");
            on.execute(&text, &[&id.0.as_slice(), &millis(grace)]).await?;
            Announced::Busy
        }
        (state::ANNOUNCED, None) if over => {
            let text = "UPDATE sealpost_item SET node = $2 WHERE id = $1";
            on.execute(text, &[&id.0.as_slice(), &tenure.0.as_slice()]).await?;
            if look { Announced::Again(UnixSeconds(row.try_get(4)?)) } else { Announced::New }
        }
        _ => Announced::Busy,
    })
}
