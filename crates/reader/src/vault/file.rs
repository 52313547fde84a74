//! The file: an SQLite database whose records are sealed one by one (AES-256-GCM, a random nonce each; whose mail, which message and whom we trust are bound to each).
//!
//! In: records. Out: the same, as long as key and trust are the same; others are as if they were not there. A crash loses at most the batch that was being written.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sealed::identity::{Hash, random, sha256};
use store::make_private;
use zeroize::Zeroizing;

use super::key::{self, Keys};
use super::schema::{KEPT, Kind, NAMES, VERSION, tables};
use crate::settings::{Settings, Source};

/// Records of one place, open. No `Debug`: it holds the key.
pub(crate) struct Vault {
    file: Rc<Open>,
    kind: Kind,
}

/// The file, with its key: what opens it is asked once for all kinds of records.
pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) key: Keys,
    pub(super) place: Vec<u8>,
    pub(super) trust: Hash,
}

/// Why there are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// None was made, or its key does not open with ours.
    #[error("there is no search index that opens with these keys")]
    None,
    /// The file is damaged, or of a newer version.
    #[error("the search index is damaged, or of a newer version")]
    Damaged,
    /// The file system or the database says so.
    #[error("the search index cannot be read or written")]
    Unavailable,
}

impl From<rusqlite::Error> for VaultError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => VaultError::Damaged,
            _ => VaultError::Unavailable,
        }
    }
}

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(10);
/// The mark of a mailbox of which something is missing, or may be.
const MISSING: &[u8] = b"";
/// Octets of a page: most records lie in one, and a search reads them in long strides.
const PAGE: u32 = 32 << 10;
/// Octets that stand beside the file.
const WAL: i64 = 4 << 20;
/// Octets of the file that are read where they lie, and count as this program's memory.
const MAPPED: i64 = 64 << 20;
/// The name, which no mailbox has, of a record that says under which key and trust all others were made.
const CANARY: &str = "";

/// The files of the database.
const FILES: [&str; 3] = ["index.db", "index.db-wal", "index.db-shm"];

impl Vault {
    /// Opens the records of the place where the mail lies.
    pub(crate) fn open(settings: &Settings, kind: Kind) -> Result<Vault, VaultError> {
        let key = key::read(settings).ok_or(VaultError::None)?;
        let path = settings.state.with_file_name("index.db");
        let mut connection = connect(&path)?;
        if (1..KEPT).contains(&version(&connection)?) {
            // Of an earlier version of this program: it is made again.
            drop(connection);
            remove_files(settings)?;
            connection = connect(&path)?;
        }
        match version(&connection)? {
            0 | KEPT => connection.execute_batch(&tables())?,
            VERSION => {}
            _ => return Err(VaultError::Damaged),
        }
        let file = Open { connection, key, place: place_of(settings)?, trust: trust_of(settings) };
        Self::begin(Rc::new(file), kind)
    }

    /// Records of another kind of the same place.
    pub(crate) fn of(&self, kind: Kind) -> Result<Vault, VaultError> {
        Self::begin(Rc::clone(&self.file), kind)
    }

    /// The file, for what else is kept in it.
    pub(super) fn file(&self) -> Rc<Open> {
        Rc::clone(&self.file)
    }

    /// Whether the records were made under this key, with this trust. If not, they go, and those that come are.
    fn begin(file: Rc<Open>, kind: Kind) -> Result<Vault, VaultError> {
        let vault = Vault { file, kind };
        if vault.octets(CANARY, b"")?.is_none() {
            let Open { connection, place, .. } = &*vault.file;
            connection.execute(&vault.sql("DELETE FROM {table} WHERE place = ?1"), [place])?;
            if kind == Kind::Words {
                connection.execute("DELETE FROM complete WHERE place = ?1", [place])?;
            }
            vault.put(CANARY, b"", Zeroizing::new(vec![0; 16]))?;
        }
        Ok(vault)
    }

    /// Whether something is kept of a message.
    pub(crate) fn has(&self, mailbox: &str, message: &[u8]) -> Result<bool, VaultError> {
        let sql = self.sql("SELECT 1 FROM {table} WHERE place = ?1 AND mailbox = ?2 AND message = ?3");
        let mut statement = self.file.connection.prepare_cached(&sql)?;
        Ok(statement.exists(params![self.file.place, mailbox, message])?)
    }

    /// What was kept of a message; `None` also for what does not open.
    pub(crate) fn octets(&self, mailbox: &str, message: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let sql = self.sql("SELECT sealed FROM {table} WHERE place = ?1 AND mailbox = ?2 AND message = ?3");
        let mut statement = self.file.connection.prepare_cached(&sql)?;
        let sealed: Option<Vec<u8>> =
            statement.query_row(params![self.file.place, mailbox, message], |row| row.get(0)).optional()?;
        Ok(sealed.and_then(|sealed| self.unseal(mailbox, message, sealed)))
    }

    /// Shows what is kept of each message of a mailbox; `None`: it does not open.
    pub(crate) fn each(&self, mailbox: &str, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> Result<(), VaultError> {
        // One view of the file, locked once.
        let _reading = self.file.connection.unchecked_transaction()?;
        let sql = self.sql("SELECT rowid FROM {table} WHERE place = ?1 AND mailbox = ?2");
        let mut statement = self.file.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![self.file.place, mailbox], |row| row.get(0))?;
        let mut rows: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
        // As they lie in the file: each of its pages is read once.
        rows.sort_unstable();
        let mut statement =
            self.file.connection.prepare_cached(&self.sql("SELECT message, sealed FROM {table} WHERE rowid = ?1"))?;
        let mut octets = Zeroizing::new(Vec::new());
        for row in rows {
            let mut found = statement.query([row])?;
            // Gone meanwhile.
            let Some(row) = found.next()? else { continue };
            let message = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let sealed = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            octets.clear();
            octets.extend_from_slice(sealed);
            let opened = self.unseal_in_place(mailbox, message, octets.as_mut_slice());
            each(message, opened);
        }
        Ok(())
    }

    /// The messages of a mailbox of which something is kept.
    pub(crate) fn messages(&self, mailbox: &str) -> Result<Vec<Vec<u8>>, VaultError> {
        let sql = self.sql("SELECT message FROM {table} WHERE place = ?1 AND mailbox = ?2");
        let mut statement = self.file.connection.prepare_cached(&sql)?;
        let messages = statement.query_map(params![self.file.place, mailbox], |row| row.get(0))?;
        Ok(messages.collect::<rusqlite::Result<_>>()?)
    }

    /// What is put and removed from now on is written at once, with its commit.
    pub(crate) fn batch(&self) -> Result<Batch<'_>, VaultError> {
        // Others may write, too: whoever reads first and then writes must not be overtaken.
        Ok(Batch(rusqlite::Transaction::new_unchecked(
            &self.file.connection,
            rusqlite::TransactionBehavior::Immediate,
        )?))
    }

    /// Keeps octets of a message.
    pub(crate) fn put(&self, mailbox: &str, message: &[u8], mut octets: Zeroizing<Vec<u8>>) -> Result<(), VaultError> {
        let nonce: [u8; NONCE_LEN] = random();
        let bound = self.bound(mailbox, message);
        let tag = self
            .file
            .key
            .records
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&bound), octets.as_mut_slice())
            .map_err(|_| VaultError::Unavailable)?;
        let sealed = [nonce.as_slice(), octets.as_slice(), tag.as_ref()].concat();
        self.file
            .connection
            .prepare_cached(
                &self.sql("INSERT OR REPLACE INTO {table} (place, mailbox, message, sealed) VALUES (?1, ?2, ?3, ?4)"),
            )?
            .execute(params![self.file.place, mailbox, message, sealed])?;
        Ok(())
    }

    /// Forgets a message.
    fn remove(&self, mailbox: &str, message: &[u8]) -> Result<(), VaultError> {
        self.file
            .connection
            .prepare_cached(&self.sql("DELETE FROM {table} WHERE place = ?1 AND mailbox = ?2 AND message = ?3"))?
            .execute(params![self.file.place, mailbox, message])?;
        Ok(())
    }

    /// Forgets what is not there any more, all of it or nothing; how much that is.
    pub(crate) fn tidy(&self, mailbox: &str, is_there: impl Fn(&[u8]) -> bool) -> Result<u64, VaultError> {
        let mut gone = self.messages(mailbox)?;
        gone.retain(|message| !is_there(message));
        if gone.is_empty() {
            return Ok(0);
        }
        let batch = self.batch()?;
        for message in &gone {
            self.remove(mailbox, message)?;
        }
        if self.kind == Kind::Words {
            // Whoever took these for all there is may have looked before others did.
            self.note_complete(mailbox, None)?;
        }
        batch.commit()?;
        Ok(gone.len() as u64)
    }

    /// What is kept of mailboxes that are not there any more goes, whatever it is; how many messages of this kind.
    pub(crate) fn keep_mailboxes(&self, there: &HashSet<&str>) -> Result<u64, VaultError> {
        let Open { connection, place, .. } = &*self.file;
        let mut gone: HashSet<String> = HashSet::new();
        for table in NAMES {
            // From name to name: there are many more records than names.
            let sql = format!("SELECT mailbox FROM {table} WHERE place = ?1 AND mailbox > ?2 ORDER BY mailbox LIMIT 1");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut last = CANARY.to_owned();
            while let Some(name) = statement.query_row(params![place, last], |row| row.get(0)).optional()? {
                last = name;
                if !there.contains(last.as_str()) {
                    gone.insert(last.clone());
                }
            }
        }
        let mut removed = 0;
        if gone.is_empty() {
            return Ok(removed);
        }
        let batch = self.batch()?;
        for (name, table) in gone.iter().flat_map(|name| NAMES.iter().map(move |table| (name, *table))) {
            let sql = format!("DELETE FROM {table} WHERE place = ?1 AND mailbox = ?2");
            let count = connection.execute(&sql, params![place, name])? as u64;
            removed = if table == self.kind.table() { removed.saturating_add(count) } else { removed };
        }
        batch.commit()?;
        Ok(removed)
    }

    /// Brings the file back to its size: what was written lies in it, and nothing beside it.
    pub(crate) fn settle(&self) {
        // Whoever reads just now is in the way of that, and does it later.
        let settled: rusqlite::Result<i64> =
            self.file.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        drop(settled);
    }

    /// The mailboxes of which something is kept.
    pub(crate) fn mailboxes(&self) -> Result<Vec<String>, VaultError> {
        let sql = self.sql("SELECT DISTINCT mailbox FROM {table} WHERE place = ?1 AND mailbox <> ?2");
        let mut statement = self.file.connection.prepare_cached(&sql)?;
        let names = statement.query_map(params![self.file.place, CANARY], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    /// How a mailbox stood when something of each of its messages was kept.
    pub(crate) fn complete(&self, mailbox: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let sql = "SELECT mark FROM complete WHERE place = ?1 AND mailbox = ?2";
        let mut statement = self.file.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![self.file.place, mailbox], |row| row.get(0)).optional()?)
    }

    /// Notes that; `None`: something is missing.
    pub(crate) fn note_complete(&self, mailbox: &str, mark: Option<&[u8]>) -> Result<(), VaultError> {
        self.file
            .connection
            .prepare_cached("INSERT OR REPLACE INTO complete (place, mailbox, mark) VALUES (?1, ?2, ?3)")?
            .execute(params![self.file.place, mailbox, mark.unwrap_or(MISSING)])?;
        Ok(())
    }

    /// A mailbox that was seen; what is known of it stays.
    pub(crate) fn note_mailbox(&self, mailbox: &str) -> Result<(), VaultError> {
        self.file
            .connection
            .prepare_cached("INSERT OR IGNORE INTO complete (place, mailbox, mark) VALUES (?1, ?2, ?3)")?
            .execute(params![self.file.place, mailbox, MISSING])?;
        Ok(())
    }

    /// The mailboxes that were seen, and whether something of each of their messages was kept then.
    pub(crate) fn seen(&self) -> Result<Vec<(String, bool)>, VaultError> {
        let sql = "SELECT mailbox, length(mark) > 0 FROM complete WHERE place = ?1";
        let mut statement = self.file.connection.prepare_cached(sql)?;
        let seen = statement.query_map([&self.file.place], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(seen.collect::<rusqlite::Result<_>>()?)
    }

    fn sql(&self, text: &str) -> String {
        text.replace("{table}", self.kind.table())
    }

    fn unseal(&self, mailbox: &str, message: &[u8], sealed: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        let mut octets = Zeroizing::new(sealed);
        let length = self.unseal_in_place(mailbox, message, octets.as_mut_slice())?.len();
        octets.drain(..NONCE_LEN);
        octets.truncate(length);
        Some(octets)
    }

    fn unseal_in_place<'o>(&self, mailbox: &str, message: &[u8], sealed: &'o mut [u8]) -> Option<&'o [u8]> {
        let (nonce, octets) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let bound = self.bound(mailbox, message);
        self.file.key.records.open_in_place(nonce, Aad::from(&bound), octets).ok().map(|octets| &*octets)
    }

    /// What a record is bound to.
    fn bound(&self, mailbox: &str, message: &[u8]) -> Vec<u8> {
        let mut bound = format!("sealpost index 2 {}\0", self.kind.table()).into_bytes();
        bound.extend_from_slice(&self.file.trust);
        for part in [self.file.place.as_slice(), mailbox.as_bytes(), message] {
            bound.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bound.extend_from_slice(part);
        }
        bound
    }
}

/// Changes that are written together; dropped, none of them is.
pub(crate) struct Batch<'v>(rusqlite::Transaction<'v>);

impl Batch<'_> {
    pub(crate) fn commit(self) -> Result<(), VaultError> {
        Ok(self.0.commit()?)
    }
}

/// Octets that no other place has.
fn place_of(settings: &Settings) -> Result<Vec<u8>, VaultError> {
    match &settings.source {
        Source::Maildir(root) => {
            let root = std::fs::canonicalize(root).map_err(|_| VaultError::Unavailable)?;
            Ok(root.as_os_str().as_bytes().to_vec())
        }
        Source::Imap(imap) => {
            let endpoint = &imap.account.endpoint;
            Ok(format!("imap {} {} {}", settings.flow, endpoint.host, endpoint.port).into_bytes())
        }
    }
}

/// Throws everything away.
pub(crate) fn remove_files(settings: &Settings) -> Result<(), VaultError> {
    for name in FILES {
        match std::fs::remove_file(settings.state.with_file_name(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(VaultError::Unavailable),
            _ => {}
        }
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, VaultError> {
    make_private(path).map_err(|_| VaultError::Unavailable)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "page_size", PAGE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // What was written stands beside the file until it is this much, and is cut off again.
    connection.pragma_update(None, "wal_autocheckpoint", WAL / i64::from(PAGE))?;
    connection.pragma_update(None, "journal_size_limit", WAL)?;
    // As much of it may be in memory as the system likes to keep there anyway.
    connection.pragma_update(None, "mmap_size", MAPPED)?;
    // Power loss may cost the last records: they are made again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Accounts and sealers that are believed: when they change, other mail opens, and every record is made anew.
fn trust_of(settings: &Settings) -> Hash {
    let mut sealers: Vec<[u8; 32]> = settings.trust.sealers.iter().map(|sealer| *sealer.octets()).collect();
    let mut accounts: Vec<[u8; 16]> = settings.trust.accounts.iter().map(|account| account.0).collect();
    sealers.sort_unstable();
    sealers.dedup();
    accounts.sort_unstable();
    accounts.dedup();
    let mut octets: Vec<u8> = sealers.concat();
    octets.push(0);
    octets.extend(accounts.concat());
    sha256(&octets)
}
