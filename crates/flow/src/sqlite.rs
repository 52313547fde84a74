//! A SQLite file of ours, opened: made and brought to the present schema if need be.
//!
//! In: a path, what tells our file from others, the steps of its schema. Out: a connection in WAL mode, or why there is none. Whoever writes
//! decides when a commit is synced.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use store::make_private;

/// How long another process may hold it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be made.
    #[error("the file cannot be made")]
    File(#[from] std::io::Error),
    /// SQLite says so.
    #[error("the database cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// It was written by a newer version.
    #[error("the database was written by a newer version of this program")]
    Newer,
    /// It is a database of something else.
    #[error("this is the database of another program")]
    Foreign,
}

/// Opens the file. `application_id`: tells it from others (SQLite file format §1.3.16). Entry k of `migrations` brings schema k to k + 1.
pub(crate) fn open(path: &Path, application_id: i64, migrations: &[&str]) -> Result<Connection, OpenError> {
    make_private(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != application_id && (application != 0 || tables > 0) {
        return Err(OpenError::Foreign);
    }
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(OpenError::Newer);
    }
    let from = usize::try_from(version).unwrap_or_default();
    if from < migrations.len() {
        if tables == 0 {
            // What is free in it can be given back to the disk later. Only before anything is in it.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let steps: String = migrations.iter().skip(from).copied().collect();
        let numbers = format!("PRAGMA application_id = {application_id}; PRAGMA user_version = {known};");
        // Another process may do the same at this moment: whoever is second finds it done.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let now: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if now == version {
            connection.execute_batch(&format!("{steps}{numbers}"))?;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(connection)
}
