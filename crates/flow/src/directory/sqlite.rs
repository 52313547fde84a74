//! A directory in a SQLite database.
//!
//! In: names. Out: entries. The file is made, and brought to the present schema, when it is first used. One connection, used on threads of its own:
//! lookups take microseconds, and the cache in front takes most of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry, aside};
use crate::sqlite::open;

/// A database.
pub struct Sqlite {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// "SPdi": tells this database from others.
const APPLICATION_ID: i64 = 0x5350_6469;
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
                None => open(&path, APPLICATION_ID, &MIGRATIONS)?,
            };
            let done = work(&open);
            // After an error it is opened anew: the file may have been replaced.
            *connection = done.is_ok().then_some(open);
            done
        })
        .await
    }
}
