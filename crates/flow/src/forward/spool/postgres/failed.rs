//! Mail that failed, and lies in the queue until somebody decides or its time is over.
//!
//! In: how long, how much. Out: which, and how much that is. In PostgreSQL.

use sealed::identity::MessageId;
use store::UnixSeconds;

use super::super::item::{Lying, Pile, SpoolError, millis, signed, unsigned};
use super::{NOW, Postgres, id};

impl Postgres {
    pub(in super::super) async fn pile(&self, which: Lying) -> Result<Pile, SpoolError> {
        let client = self.client().await?;
        let (text, beyond, one, other) = match which {
            Lying::Untold(failed) => {
                (format!("AND told = 0 AND due < {NOW} - $2::BIGINT AND $3::BIGINT = 0"), "", millis(failed), 0)
            }
            Lying::Over { failed, told } => (
                format!("AND told > 0 AND due < {NOW} - $2::BIGINT AND told < {NOW} - $3::BIGINT"),
                "",
                millis(failed),
                millis(told),
            ),
            // What its target did not take in time was not refused, and what came back was taken before.
            Lying::Beyond { octets, number } => (
                "AND why NOT IN ('expired', 'returned')".to_owned(),
                "WHERE upto > $2::BIGINT OR nth > $3::BIGINT",
                signed(octets),
                signed(number),
            ),
        };
        let text = format!(
            "SELECT id, length, received FROM (SELECT id, length, received, sum(length) OVER young AS upto,
             row_number() OVER young AS nth FROM sealpost_item WHERE flow = $1 AND state = 1 AND kind = 0 {text}
             WINDOW young AS (ORDER BY due DESC, id)) AS lying {beyond}"
        );
        let mut pile = Pile::default();
        for row in client.query(&text, &[&self.flow, &one, &other]).await? {
            pile.add(id(row.try_get(0)?)?, unsigned(row.try_get(1)?), UnixSeconds(row.try_get(2)?));
        }
        Ok(pile)
    }

    pub(in super::super) async fn told(&self, ids: Vec<MessageId>) -> Result<(), SpoolError> {
        let client = self.client().await?;
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        let text = format!("UPDATE sealpost_item SET told = {NOW} WHERE id = ANY($1) AND state = 1");
        client.execute(&text, &[&ids]).await?;
        Ok(())
    }

    pub(in super::super) async fn remove(&self, ids: Vec<MessageId>) -> Result<(), SpoolError> {
        let client = self.client().await?;
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        let text = "WITH gone AS (DELETE FROM sealpost_item WHERE id = ANY($1) AND state = 1 RETURNING id)
                    DELETE FROM sealpost_piece USING gone WHERE sealpost_piece.id = gone.id";
        client.execute(text, &[&ids]).await?;
        Ok(())
    }
}
