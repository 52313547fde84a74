//! What a directory holds, and why it does not answer.
//!
//! In: nothing. Out: the nouns of all places in which entries are kept.

use tokio::sync::Semaphore;

use crate::sqlite::OpenError;

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An enrolment, or a bare certificate.
    Keys(Vec<u8>),
    /// Another name.
    Alias(String),
}

/// Why the directory does not answer.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file or folder cannot be used.
    #[error("the recipient directory cannot be read")]
    Io(#[from] std::io::Error),
    /// SQLite says so.
    #[error("the recipient directory cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL says so, or does not answer.
    #[error("the recipient directory does not answer: {0}")]
    Postgres(String),
    /// It was written by a newer version.
    #[error("the recipient directory was written by a newer version of this program")]
    Newer,
    /// It is a database of something else.
    #[error("this is the database of another program")]
    Foreign,
    /// It did not answer in time.
    #[error("the recipient directory did not answer in time")]
    TimedOut,
    /// Such a name cannot stand here.
    #[error("this address cannot be kept here")]
    Name,
    /// This build has no PostgreSQL.
    #[error("this build knows no PostgreSQL (feature `postgres`)")]
    NoPostgres,
}

impl From<OpenError> for DirectoryError {
    fn from(error: OpenError) -> DirectoryError {
        match error {
            OpenError::File(error) => DirectoryError::Io(error),
            OpenError::Sqlite(error) => DirectoryError::Sqlite(error),
            OpenError::Newer => DirectoryError::Newer,
            OpenError::Foreign => DirectoryError::Foreign,
        }
    }
}

#[cfg(feature = "postgres")]
impl From<crate::postgres::PostgresError> for DirectoryError {
    fn from(error: crate::postgres::PostgresError) -> DirectoryError {
        match error {
            crate::postgres::PostgresError::Said(what) => DirectoryError::Postgres(what),
            crate::postgres::PostgresError::Newer => DirectoryError::Newer,
        }
    }
}

/// Octets of one entry.
pub const MAX_ENTRY: u64 = 1024 * 1024;

/// Threads that wait for a disk at once. A disk that hangs must not take every thread there is.
static ASIDE: Semaphore = Semaphore::const_new(32);

/// Work that waits for a disk, on a thread of its own.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, DirectoryError> {
    let permit = ASIDE.acquire().await.map_err(std::io::Error::other)?;
    let done = tokio::task::spawn_blocking(move || {
        // Held until the disk has answered, even if nobody waits for it any more.
        let _permit = permit;
        work()
    })
    .await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
