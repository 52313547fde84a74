//! Mail that failed, and lies in the queue until somebody decides or its time is over.
//!
//! In: how long, how much. Out: which, and how much that is. In SQLite.

use rusqlite::{Connection, params};
use sealed::identity::MessageId;
use store::UnixSeconds;

use super::super::item::{Lying, Pile, SpoolError, millis, signed, unsigned};
use super::{Sqlite, now};

impl Sqlite {
    pub(in super::super) async fn pile(&self, which: Lying) -> Result<Pile, SpoolError> {
        let flow = self.flow.clone();
        self.with(move |connection| {
            let before = |time| now().saturating_sub(millis(time));
            let (text, one, other) = match which {
                Lying::Untold(failed) => ("AND told = 0 AND due < ?2 AND ?3 = 0", before(failed), 0),
                Lying::Over { failed, told } => {
                    ("AND told > 0 AND due < ?2 AND told < ?3", before(failed), before(told))
                }
                // What its target did not take in time was not refused, and what came back was taken before.
                Lying::Beyond { octets, number } => {
                    ("AND why NOT IN ('expired', 'returned')", signed(octets), signed(number))
                }
            };
            let beyond = if matches!(which, Lying::Beyond { .. }) { "WHERE upto > ?2 OR nth > ?3" } else { "" };
            let text = format!(
                "SELECT id, length, received FROM (SELECT id, length, received, sum(length) OVER young AS upto,
                 row_number() OVER young AS nth FROM item WHERE flow = ?1 AND state = 1 AND kind = 0 {text}
                 WINDOW young AS (ORDER BY due DESC, id)) {beyond}"
            );
            let (mut pile, mut rows) = (Pile::default(), connection.prepare(&text)?);
            let mut rows = rows.query(params![flow, one, other])?;
            while let Some(row) = rows.next()? {
                pile.add(MessageId(row.get(0)?), unsigned(row.get(1)?), UnixSeconds(row.get(2)?));
            }
            Ok(pile)
        })
        .await
    }

    pub(in super::super) async fn told(&self, ids: Vec<MessageId>) -> Result<(), SpoolError> {
        self.with(move |connection| {
            let now = now();
            each(connection, &ids, |connection, id| {
                let text = "UPDATE item SET told = ?2 WHERE id = ?1 AND state = 1";
                connection.prepare_cached(text)?.execute(params![id.0, now]).map(drop)
            })
        })
        .await
    }

    pub(in super::super) async fn remove(&self, ids: Vec<MessageId>) -> Result<(), SpoolError> {
        self.with(move |connection| {
            each(connection, &ids, |connection, id| {
                if connection.prepare_cached("DELETE FROM item WHERE id = ?1 AND state = 1")?.execute([id.0])? > 0 {
                    connection.prepare_cached("DELETE FROM piece WHERE id = ?1")?.execute([id.0])?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// All of them in one transaction.
fn each(
    connection: &Connection,
    ids: &[MessageId],
    change: impl Fn(&Connection, &MessageId) -> rusqlite::Result<()>,
) -> Result<(), SpoolError> {
    let transaction = connection.unchecked_transaction()?;
    for id in ids {
        change(&transaction, id)?;
    }
    transaction.commit()?;
    Ok(())
}
