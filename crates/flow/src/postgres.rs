//! A PostgreSQL database of ours, reached: a few connections, and tables brought to the present schema.
//!
//! In: its address, the steps of a schema. Out: a pool, or why there is none, in words that hold no value of any row and no password. One that
//! broke is replaced; a server that does not answer is an error, soon.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs as provider};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections of one process.
const CONNECTIONS: usize = 4;
/// How long a connection, or an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a database cannot be used.
#[derive(Debug)]
pub(crate) enum PostgresError {
    /// What it says, or that it says nothing.
    Said(String),
    /// A newer version wrote its tables.
    Newer,
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> PostgresError {
        PostgresError::Said(plain(&error))
    }
}

/// Nothing is connected yet.
pub(crate) fn pool(url: &str) -> Result<Pool, PostgresError> {
    // The address may hold a password: it is in no error.
    let mut config = Config::from_str(url).map_err(|_| said("its address cannot be read"))?;
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
    pool.map_err(|_| said("it cannot be used"))
}

/// A connection.
pub(crate) async fn client(pool: &Pool) -> Result<Client, PostgresError> {
    pool.get().await.map_err(|error| PostgresError::Said(plain(&error)))
}

/// Brings tables to the present schema: one node after the other, and all of it or nothing. `lock`: held by whoever migrates them. `table`: holds
/// the schema's number. Entry k of `migrations` brings schema k to k + 1.
pub(crate) async fn migrate(client: &Client, lock: i64, table: &str, migrations: &[&str]) -> Result<(), PostgresError> {
    client.batch_execute("BEGIN").await?;
    let done = migrate_within(client, lock, table, migrations).await;
    client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

async fn migrate_within(client: &Client, lock: i64, table: &str, migrations: &[&str]) -> Result<(), PostgresError> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&lock]).await?;
    client.batch_execute(&format!("CREATE TABLE IF NOT EXISTS {table} (version BIGINT NOT NULL)")).await?;
    let row = client.query_opt(&format!("SELECT version FROM {table}"), &[]).await?;
    let found: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > migrations.len() {
        return Err(PostgresError::Newer);
    }
    if found < migrations.len() {
        for step in migrations.iter().skip(found) {
            client.batch_execute(step).await?;
        }
        let now = migrations.len();
        client.batch_execute(&format!("DELETE FROM {table}; INSERT INTO {table} VALUES ({now})")).await?;
    }
    Ok(())
}

/// The system's authorities; the server's name must be in its certificate.
fn tls() -> Result<MakeRustlsConnect, PostgresError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| said("TLS cannot be spoken"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn said(what: &str) -> PostgresError {
    PostgresError::Said(what.to_owned())
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
