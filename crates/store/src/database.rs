//! The state database: one SQLite file that must survive power loss.
//!
//! In: a path. Out: an open connection with the current schema, and transactions. Never holds mail, keys or addresses in
//! the clear beyond what its callers name flows and mailboxes; never opens a schema it does not know.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::private_file::make_private;

/// How long a writer waits for another process that holds the database.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The open state database. One connection: share between threads by opening it once a thread.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

/// Why the state database did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenDatabaseError {
    /// The file could not be made or its mode not be set.
    #[error("the state database cannot be created")]
    File(#[source] std::io::Error),
    /// A later version of the program wrote it.
    #[error("the state database has schema {found}, written by a newer version; this version knows up to {known}")]
    Newer {
        /// The schema on disk.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// A database, but of something else.
    #[error("the file is a database of another program")]
    Foreign,
    /// The file system cannot do write-ahead logging (a network share, as a rule).
    #[error("the file system of the state database does not support write-ahead logging")]
    NoWriteAheadLog,
    /// SQLite says so.
    #[error("the state database cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
}

impl Database {
    /// Opens the file, making it (mode 0600) or migrating it if need be.
    pub fn open(path: &Path) -> Result<Database, OpenDatabaseError> {
        make_private(path).map_err(OpenDatabaseError::File)?;
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        refuse_what_is_not_ours(&connection)?;
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(OpenDatabaseError::NoWriteAheadLog);
        }
        // FULL syncs the log at every commit: a row that was committed is there after power loss. NORMAL would not do.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        let database = Database { connection };
        migrate(&database)?;
        Ok(database)
    }

    /// Runs `work` in one transaction: one sync for everything inside, all of it or nothing.
    ///
    /// What `work` calls on [`Journal`](crate::Journal) and [`Ledger`](crate::Ledger) of this database joins in.
    pub fn together<T, E: From<rusqlite::Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.write(|_| work())
    }

    /// Runs `work` in a transaction of its own, or as a savepoint of the one that runs.
    pub(crate) fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.is_in_transaction() {
            return self.write_nested(work);
        }
        // Immediate: a deferred transaction that starts by reading fails with "busy" at its first write, timeout or not.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let value = work(&self.connection)?;
        transaction.commit()?;
        Ok(value)
    }

    pub(crate) fn read(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// A savepoint, so that a caller who swallows the error does not commit half of it.
    fn write_nested<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.connection.execute_batch("SAVEPOINT nested")?;
        match work(&self.connection) {
            Ok(value) => {
                self.connection.execute_batch("RELEASE nested")?;
                Ok(value)
            }
            Err(error) => {
                self.connection.execute_batch("ROLLBACK TO nested; RELEASE nested")?;
                Err(error)
            }
        }
    }
}

/// Whether there was no space left.
pub fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    // SQLite has a code of its own for when not even its index of the log finds room.
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || code == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// "SPst": tells this database from others (SQLite file format §1.3.16).
const APPLICATION_ID: i64 = 0x5350_7374;

/// Entry k brings schema k to schema k + 1. Entries are never changed once released, only added.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE replacement (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        flow TEXT NOT NULL,
        mailbox TEXT NOT NULL,
        original BLOB NOT NULL,
        copy BLOB NOT NULL,
        state INTEGER NOT NULL,
        expectation BLOB NOT NULL,
        begun INTEGER NOT NULL,
        changed INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX replacement_unfinished ON replacement (flow, id) WHERE state < 3;
    CREATE UNIQUE INDEX replacement_underway ON replacement (flow, mailbox, original) WHERE state < 3;
    CREATE INDEX replacement_done ON replacement (changed) WHERE state = 3;

    CREATE TABLE sequence (
        key BLOB NOT NULL,
        account BLOB NOT NULL,
        next INTEGER NOT NULL,
        PRIMARY KEY (key, account)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE gap (
        key BLOB NOT NULL,
        account BLOB NOT NULL,
        first INTEGER NOT NULL,
        after INTEGER NOT NULL,
        PRIMARY KEY (key, account, first)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE memory (
        flow TEXT NOT NULL,
        mailbox TEXT NOT NULL,
        message BLOB NOT NULL,
        first_seen INTEGER NOT NULL,
        verdict INTEGER NOT NULL,
        digest BLOB,
        reason TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        retry_at INTEGER,
        PRIMARY KEY (flow, mailbox, message)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX memory_retry ON memory (flow, retry_at) WHERE retry_at IS NOT NULL;

    CREATE TABLE stop (flow TEXT NOT NULL PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE counter (
        flow TEXT NOT NULL,
        name TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (flow, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE activity (flow TEXT NOT NULL PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE place (flow TEXT NOT NULL PRIMARY KEY, maildir BLOB NOT NULL) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE copy (
        flow TEXT NOT NULL,
        mailbox TEXT NOT NULL,
        mark BLOB NOT NULL,
        message BLOB NOT NULL,
        PRIMARY KEY (flow, mailbox, mark)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE provider (
        account TEXT NOT NULL PRIMARY KEY,
        verdict TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE numbered_mailbox (
        id INTEGER PRIMARY KEY,
        maildir BLOB NOT NULL,
        mailbox TEXT NOT NULL,
        validity INTEGER NOT NULL,
        next INTEGER NOT NULL,
        UNIQUE (maildir, mailbox)
    ) STRICT;
    CREATE TABLE numbered (
        mailbox INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        message BLOB NOT NULL,
        view INTEGER,
        keywords TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (mailbox, uid)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX numbered_message ON numbered (mailbox, message);
",
    // Whose the numbers were that are gone already is not known; where there were several flows, none can say that one is missing.
    "
    CREATE TABLE spent (
        key BLOB NOT NULL,
        account BLOB NOT NULL,
        first INTEGER NOT NULL,
        after INTEGER NOT NULL,
        flow TEXT NOT NULL,
        PRIMARY KEY (key, account, first)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO spent (key, account, first, after, flow)
        SELECT key, account, 1, next, '' FROM sequence WHERE next > 1 AND (SELECT count(*) FROM activity) > 1;
",
];

/// Before anything is written: not even the switch to WAL happens to a file that is not ours to touch.
fn refuse_what_is_not_ours(connection: &Connection) -> Result<(), OpenDatabaseError> {
    let version = schema(connection)?;
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0) {
        return Err(OpenDatabaseError::Foreign);
    }
    match usize::try_from(version) {
        Ok(known) if known <= MIGRATIONS.len() => Ok(()),
        _ => Err(OpenDatabaseError::Newer { found: version, known: newest() }),
    }
}

fn migrate(database: &Database) -> Result<(), OpenDatabaseError> {
    if schema(database.read())? == newest() {
        return Ok(());
    }
    database.write(|connection| {
        // Read again under the write lock: another process may have migrated while we waited.
        let version = schema(connection)?;
        let steps = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done..));
        for step in steps.ok_or(OpenDatabaseError::Newer { found: version, known: newest() })? {
            connection.execute_batch(step)?;
        }
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", newest())?;
        Ok(())
    })
}

fn schema(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    /// Locks of this process on a file (proc_locks(5)).
    fn locks(path: &Path) -> usize {
        let (process, file) = (std::process::id().to_string(), format!(":{}", fs::metadata(path).unwrap().ino()));
        let all = fs::read_to_string("/proc/locks").unwrap();
        let of = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(4) == Some(&process.as_str()) && words.get(5).is_some_and(|word| word.ends_with(&file))
        };
        all.lines().filter(of).count()
    }

    #[test]
    fn a_connection_more_takes_no_lock_from_those_that_are() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.db");
        let first = Database::open(&path).unwrap();
        assert!(schema(first.read()).unwrap() > 0);
        let held = locks(&path);
        assert!(held > 0, "an open database holds a lock");
        let second = Database::open(&path).unwrap();
        assert!(locks(&path) >= held, "without it another process takes itself for the last one");
        drop(second);
        assert!(locks(&path) >= held);
    }

    #[test]
    fn opens_twice_privately_and_durably() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.db");
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let first = Database::open(&path).unwrap();
        let second = Database::open(&path).unwrap();
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let mode = fs::metadata(home.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        for database in [&first, &second] {
            let full: i64 = database.read().pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            assert_eq!(full, 2);
            assert_eq!(schema(database.read()).unwrap(), newest());
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.db");
        drop(Database::open(&path).unwrap());
        let change =
            |name: &str, value: i64| Connection::open(&path).unwrap().pragma_update(None, name, value).unwrap();
        change("user_version", newest() + 1);
        let newer = Database::open(&path).unwrap_err();
        assert!(matches!(newer, OpenDatabaseError::Newer { found, known } if found == known + 1));
        change("user_version", -1);
        assert!(matches!(Database::open(&path).unwrap_err(), OpenDatabaseError::Newer { found: -1, .. }));
        change("user_version", newest());
        change("application_id", 7);
        assert!(matches!(Database::open(&path).unwrap_err(), OpenDatabaseError::Foreign));
        fs::write(&path, [b'x'; 4096]).unwrap();
        assert!(matches!(Database::open(&path).unwrap_err(), OpenDatabaseError::Sqlite(_)));
    }

    #[test]
    fn a_failed_part_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        let put = |flow: &'static str| {
            move |connection: &Connection| connection.execute("INSERT INTO stop VALUES (?1, 1)", [flow]).map(drop)
        };
        let fail = |_: &Connection| Err::<(), _>(rusqlite::Error::InvalidQuery);
        let swallowed = database.together(|| {
            database.write(put("a"))?;
            let _ = database.write(|connection| put("b")(connection).and_then(|()| fail(connection)));
            Ok::<_, rusqlite::Error>(())
        });
        assert!(swallowed.is_ok());
        let failed = database.together(|| database.write(put("c")).and_then(|()| database.write(fail)));
        assert!(failed.is_err());
        let mut rows = database.read().prepare("SELECT flow FROM stop").unwrap();
        let flows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(flows, ["a"]);
    }
}
