//! A directory in a PostgreSQL database, which many nodes share.
//!
//! In: names. Out: entries. The table is made, and brought to the present schema, when it is first used; nodes that do so at once wait for each
//! other. A few connections; one that broke is replaced. A server that does not answer is an error, soon.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs as provider};
use tokio::sync::OnceCell;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry};

/// A database.
pub struct Postgres {
    pool: Pool,
    ready: OnceCell<()>,
}

/// Connections of one process.
const CONNECTIONS: usize = 4;
/// How long a connection, or an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);
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
        // The address may hold a password: it is in no error.
        let mut config =
            Config::from_str(url).map_err(|_| DirectoryError::Postgres("its address cannot be read".into()))?;
        config.connect_timeout(PATIENCE).application_name("sealpost");
        config.options(format!("-c statement_timeout={}", PATIENCE.as_millis()));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if config.get_ssl_mode() == SslMode::Disable {
            Manager::from_config(config, NoTls, recycling)
        } else {
            Manager::from_config(config, tls()?, recycling)
        };
        let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
        let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1).timeouts(timeouts).build();
        Ok(Postgres {
            pool: pool.map_err(|_| DirectoryError::Postgres("it cannot be used".into()))?,
            ready: OnceCell::new(),
        })
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
        let client = self.pool.get().await.map_err(|error| DirectoryError::Postgres(plain(&error)))?;
        self.ready.get_or_try_init(|| migrate(&client)).await?;
        Ok(client)
    }
}

async fn migrate(client: &Client) -> Result<(), DirectoryError> {
    // One after the other, and all of it or nothing. The tables are this user's own, in his schema.
    client.batch_execute("BEGIN").await.map_err(said)?;
    let done = migrate_within(client).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(said)?;
    done
}

async fn migrate_within(client: &Client) -> Result<(), DirectoryError> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(said)?;
    let version = "CREATE TABLE IF NOT EXISTS sealpost_schema (version BIGINT NOT NULL)";
    client.batch_execute(version).await.map_err(said)?;
    let row = client.query_opt("SELECT version FROM sealpost_schema", &[]).await.map_err(said)?;
    let found: i64 = row.map_or(Ok(0), |row| row.try_get(0)).map_err(said)?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(DirectoryError::Newer);
    }
    if found < MIGRATIONS.len() {
        for step in MIGRATIONS.iter().skip(found) {
            client.batch_execute(step).await.map_err(said)?;
        }
        let now = MIGRATIONS.len();
        let text = format!("DELETE FROM sealpost_schema; INSERT INTO sealpost_schema VALUES ({now})");
        client.batch_execute(&text).await.map_err(said)?;
    }
    Ok(())
}

/// The system's authorities; the server's name must be in its certificate.
fn tls() -> Result<MakeRustlsConnect, DirectoryError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| DirectoryError::Postgres("TLS cannot be spoken".into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn said(error: tokio_postgres::Error) -> DirectoryError {
    DirectoryError::Postgres(plain(&error))
}

/// What it says, without the values of a row: an address may be among them.
fn plain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(database) = one.downcast_ref::<tokio_postgres::error::DbError>() {
            return format!("SQLSTATE {}", database.code().code());
        }
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            return io.kind().to_string();
        }
        cause = one.source();
    }
    "it cannot be used".to_owned()
}
