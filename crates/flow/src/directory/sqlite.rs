//! A directory in a SQLite database.
//!
//! In: names. Out: entries. The file is made, and brought to the present schema, when it is first used. One connection, used on threads of its own:
//! lookups take microseconds, and the cache in front takes most of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry, aside};

/// A database.
pub struct Sqlite {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// "SPdi": tells this database from others.
const APPLICATION_ID: i64 = 0x5350_6469;
/// How long another process may hold it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Entry k brings schema k to k + 1. Entries are never changed, only added.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE recipient (
        address TEXT NOT NULL PRIMARY KEY,
        enrolment BLOB,
        alias TEXT,
        CHECK ((enrolment IS NULL) <> (alias IS NULL))
    ) STRICT, WITHOUT ROWID;
"];

impl Sqlite {
    pub(crate) fn new(path: PathBuf) -> Sqlite {
        Sqlite { path, connection: Arc::default() }
    }

    pub(crate) async fn find(&self, names: &[String]) -> Result<Option<Entry>, DirectoryError> {
        let names = names.to_vec();
        self.with(move |connection| {
            let mut find = connection.prepare_cached("SELECT enrolment, alias FROM recipient WHERE address = ?1")?;
            for name in &names {
                let row = find.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                match row {
                    Some((Some(keys), None)) => return Ok(Some(Entry::Keys(keys))),
                    Some((None, Some(alias))) => return Ok(Some(Entry::Alias(alias))),
                    _ => {}
                }
            }
            Ok(None)
        })
        .await
    }

    pub(crate) async fn put(&self, name: &Address, entry: &Entry) -> Result<(), DirectoryError> {
        let (name, entry) = (name.as_str().to_owned(), entry.clone());
        self.with(move |connection| {
            let (keys, alias) = match &entry {
                Entry::Keys(keys) => (Some(keys), None),
                Entry::Alias(alias) => (None, Some(alias)),
            };
            let text = "INSERT OR REPLACE INTO recipient (address, enrolment, alias) VALUES (?1, ?2, ?3)";
            connection.execute(text, params![name, keys, alias])?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn remove(&self, name: &Address) -> Result<bool, DirectoryError> {
        let name = name.as_str().to_owned();
        self.with(move |connection| Ok(connection.execute("DELETE FROM recipient WHERE address = ?1", [name])? > 0))
            .await
    }

    pub(crate) async fn list(&self, after: &str, most: usize) -> Result<Vec<String>, DirectoryError> {
        let after = after.to_owned();
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.with(move |connection| {
            let text = "SELECT address FROM recipient WHERE address > ?1 ORDER BY address LIMIT ?2";
            let mut list = connection.prepare_cached(text)?;
            let rows = list.query_map(params![after, most], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DirectoryError> + Send + 'static,
    ) -> Result<T, DirectoryError> {
        let (shared, path) = (Arc::clone(&self.connection), self.path.clone());
        aside(move || {
            let mut connection: MutexGuard<'_, Option<Connection>> =
                shared.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match connection.take() {
                Some(open) => open,
                None => open(&path)?,
            };
            let done = work(&open);
            // After an error it is opened anew: the file may have been replaced.
            *connection = done.is_ok().then_some(open);
            done
        })
        .await
    }
}

fn open(path: &PathBuf) -> Result<Connection, DirectoryError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(DirectoryError::Foreign);
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(DirectoryError::Newer);
    }
    let from = usize::try_from(version).unwrap_or_default();
    if from < MIGRATIONS.len() {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let steps: String = MIGRATIONS.iter().skip(from).copied().collect();
        let numbers = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};");
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
