//! Where entries are kept: one of three places, the same words for all.
//!
//! In: names. Out: entries, added, listed, removed, found. All of it may take time, and blocks nobody. Says of a place that does not answer that it
//! does not answer.

use std::path::PathBuf;

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry};
use crate::directory::folder::Folder;
#[cfg(feature = "postgres")]
use crate::directory::postgres::Postgres;
use crate::directory::sqlite::Sqlite;

/// Where entries are kept.
pub enum Source {
    /// A folder of files.
    Folder(Folder),
    /// A SQLite database.
    Sqlite(Sqlite),
    /// A PostgreSQL database, which several nodes may share.
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

impl Source {
    /// Of files named by their addresses.
    pub fn folder(path: PathBuf) -> Source {
        Source::Folder(Folder::new(path))
    }

    /// In a file, which is made if need be.
    pub fn sqlite(path: PathBuf) -> Source {
        Source::Sqlite(Sqlite::new(path))
    }

    /// On a server: `postgres://user@host/database`.
    #[cfg(feature = "postgres")]
    pub fn postgres(url: &str) -> Result<Source, DirectoryError> {
        Postgres::new(url).map(Source::Postgres)
    }

    /// On a server, which this build cannot reach.
    #[cfg(not(feature = "postgres"))]
    pub fn postgres(_: &str) -> Result<Source, DirectoryError> {
        Err(DirectoryError::NoPostgres)
    }

    /// The first of these names that has an entry.
    pub async fn find(&self, names: &[String]) -> Result<Option<Entry>, DirectoryError> {
        match self {
            Source::Folder(folder) => folder.find(names).await,
            Source::Sqlite(database) => database.find(names).await,
            #[cfg(feature = "postgres")]
            Source::Postgres(database) => database.find(names).await,
        }
    }

    /// Puts an entry there; one that stands there goes.
    pub async fn put(&self, name: &Address, entry: &Entry) -> Result<(), DirectoryError> {
        match self {
            Source::Folder(folder) => folder.put(name, entry).await,
            Source::Sqlite(database) => database.put(name, entry).await,
            #[cfg(feature = "postgres")]
            Source::Postgres(database) => database.put(name, entry).await,
        }
    }

    /// Removes an entry; false: there was none.
    pub async fn remove(&self, name: &Address) -> Result<bool, DirectoryError> {
        match self {
            Source::Folder(folder) => folder.remove(name).await,
            Source::Sqlite(database) => database.remove(name).await,
            #[cfg(feature = "postgres")]
            Source::Postgres(database) => database.remove(name).await,
        }
    }

    /// Names after `after`, in order, at most `most`.
    pub async fn list(&self, after: &str, most: usize) -> Result<Vec<String>, DirectoryError> {
        match self {
            Source::Folder(folder) => folder.list(after, most).await,
            Source::Sqlite(database) => database.list(after, most).await,
            #[cfg(feature = "postgres")]
            Source::Postgres(database) => database.list(after, most).await,
        }
    }
}
