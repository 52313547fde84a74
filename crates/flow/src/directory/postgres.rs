//! A directory in a PostgreSQL database, which many nodes share.
//!
//! In: names. Out: entries. The table is made, and brought to the present schema, when it is first used; nodes that do so at once wait for each
//! other.

use deadpool_postgres::{Client, Pool};
use tokio::sync::OnceCell;

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry};
use crate::postgres::{self, PostgresError};

/// A database.
pub struct Postgres {
    pool: Pool,
    ready: OnceCell<()>,
}

/// Entry k brings schema k to k + 1. Entries are never changed, only added.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE sealpost_recipient (
        address TEXT PRIMARY KEY COLLATE \"C\",
        enrolment BYTEA,
        alias TEXT,
        CHECK ((enrolment IS NULL) <> (alias IS NULL))
    );
"];
/// "SPdi": whoever migrates holds this lock.
const LOCK: i64 = 0x5350_6469;

impl Postgres {
    pub(crate) fn new(url: &str) -> Result<Postgres, DirectoryError> {
        Ok(Postgres { pool: postgres::pool(url)?, ready: OnceCell::new() })
    }

    pub(crate) async fn find(&self, names: &[String]) -> Result<Option<Entry>, DirectoryError> {
        let client = self.client().await?;
        let text = "SELECT address, enrolment, alias FROM sealpost_recipient WHERE address = ANY($1)";
        let statement = client.prepare_cached(text).await.map_err(said)?;
        let rows = client.query(&statement, &[&names]).await.map_err(said)?;
        // The nearest name counts, whatever order the rows come in.
        for name in names {
            for row in &rows {
                let address: &str = row.try_get(0).map_err(said)?;
                if address == name {
                    let (keys, alias): (Option<Vec<u8>>, Option<String>) =
                        (row.try_get(1).map_err(said)?, row.try_get(2).map_err(said)?);
                    return Ok(keys.map(Entry::Keys).or_else(|| alias.map(Entry::Alias)));
                }
            }
        }
        Ok(None)
    }

    pub(crate) async fn put(&self, name: &Address, entry: &Entry) -> Result<(), DirectoryError> {
        let (keys, alias) = match entry {
            Entry::Keys(keys) => (Some(keys.as_slice()), None),
            Entry::Alias(alias) => (None, Some(alias.as_str())),
        };
        let text = "INSERT INTO sealpost_recipient (address, enrolment, alias) VALUES ($1, $2, $3)
                    ON CONFLICT (address) DO UPDATE SET enrolment = excluded.enrolment, alias = excluded.alias";
        let client = self.client().await?;
        client.execute(text, &[&name.as_str(), &keys, &alias]).await.map_err(said)?;
        Ok(())
    }

    pub(crate) async fn remove(&self, name: &Address) -> Result<bool, DirectoryError> {
        let client = self.client().await?;
        let text = "DELETE FROM sealpost_recipient WHERE address = $1";
        Ok(client.execute(text, &[&name.as_str()]).await.map_err(said)? > 0)
    }

    pub(crate) async fn list(&self, after: &str, most: usize) -> Result<Vec<String>, DirectoryError> {
        let client = self.client().await?;
        let text = "SELECT address FROM sealpost_recipient WHERE address > $1 ORDER BY address LIMIT $2";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = client.query(text, &[&after, &most]).await.map_err(said)?;
        rows.iter().map(|row| row.try_get(0).map_err(said)).collect()
    }

    async fn client(&self) -> Result<Client, DirectoryError> {
        let client = postgres::client(&self.pool).await?;
        self.ready.get_or_try_init(|| postgres::migrate(&client, LOCK, "sealpost_schema", &MIGRATIONS)).await?;
        Ok(client)
    }
}

fn said(error: tokio_postgres::Error) -> DirectoryError {
    PostgresError::from(error).into()
}
