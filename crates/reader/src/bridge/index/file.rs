//! The index's file: an SQLite database whose records are sealed one by one (AES-256-GCM, a random nonce each; whose mail, which message and whom we trust are bound to each).
//!
//! In: records. Out: the same, as long as key and trust are the same; others are as if they were not there. A crash loses at most the batch that was being written.

use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sealed::identity::{Hash, random, sha256};
use zeroize::Zeroizing;

use super::key;
use super::record::Record;
use crate::bridge::words::Words;
use crate::settings::{Settings, Source};

/// The open index. No `Debug`: it holds the key.
pub struct Index {
    pub(super) connection: Connection,
    key: LessSafeKey,
    maildir: Vec<u8>,
    trust: Hash,
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// None was made, or its key does not open with ours.
    #[error("there is no search index that opens with these keys")]
    None,
    /// Only a Maildir is indexed.
    #[error("only a Maildir is indexed")]
    NoMaildir,
    /// There is nothing to seal its key with.
    #[error("there is no sealer key or owner here to seal the index's key with")]
    NoSealer,
    /// The file is damaged, or of a newer version.
    #[error("the search index is damaged, or of a newer version")]
    Damaged,
    /// The file system or the database says so.
    #[error("the search index cannot be read or written")]
    Unavailable,
    /// The mail cannot be read.
    #[error("the mailboxes cannot be read")]
    Mail,
}

impl From<rusqlite::Error> for IndexError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => IndexError::Damaged,
            _ => IndexError::Unavailable,
        }
    }
}

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(10);
const VERSION: i64 = 1;
/// The name, which no mailbox has, of a record that says under which key and trust all others were made.
const MARK: &str = "";

impl Index {
    /// Opens the index beside the state database.
    pub fn open(settings: &Settings) -> Result<Index, IndexError> {
        let Source::Maildir(root) = &settings.source else { return Err(IndexError::NoMaildir) };
        let root = std::fs::canonicalize(root).map_err(|_| IndexError::Mail)?;
        Self::open_for(settings, root.as_os_str().as_bytes().to_vec())
    }

    /// The same file, for what is known of the messages of a place.
    pub(crate) fn open_for(settings: &Settings, maildir: Vec<u8>) -> Result<Index, IndexError> {
        let key = key::read(settings).ok_or(IndexError::None)?;
        let path = settings.state.with_file_name("index.db");
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        made.map_err(|_| IndexError::Unavailable)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Power loss may cost the last records: they are made again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 => connection.execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS record (
                    maildir BLOB NOT NULL,
                    mailbox TEXT NOT NULL,
                    message BLOB NOT NULL,
                    sealed BLOB NOT NULL,
                    PRIMARY KEY (maildir, mailbox, message)
                 ) STRICT;
                 PRAGMA user_version = 1;
                 COMMIT;",
            )?,
            VERSION => {}
            _ => return Err(IndexError::Damaged),
        }
        Ok(Index { connection, key, maildir, trust: trust_of(settings) })
    }

    /// What SEARCH looks into, if it is there.
    pub(crate) fn words(&self, mailbox: &str, message: &[u8]) -> Option<Words> {
        let octets = self.octets(mailbox, message)?;
        Record::parse(&octets).map(|record| record.words())
    }

    /// What [`Index::put_octets`] kept.
    pub(crate) fn octets(&self, mailbox: &str, message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let sealed: Vec<u8> = self
            .connection
            .prepare_cached("SELECT sealed FROM record WHERE maildir = ?1 AND mailbox = ?2 AND message = ?3")
            .ok()?
            .query_row(params![self.maildir, mailbox, message], |row| row.get(0))
            .optional()
            .ok()??;
        self.unseal(mailbox, message, sealed)
    }

    /// Shows every record of a mailbox that can be read, with the message it is of.
    pub(crate) fn each(
        &self,
        mailbox: &str,
        mut each: impl FnMut(&[u8], Option<Record<'_>>),
    ) -> Result<(), IndexError> {
        let sql = "SELECT message, sealed FROM record WHERE maildir = ?1 AND mailbox = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![self.maildir, mailbox])?;
        while let Some(row) = rows.next()? {
            let message: Vec<u8> = row.get(0)?;
            let octets = self.unseal(mailbox, &message, row.get(1)?);
            each(&message, octets.as_ref().and_then(|octets| Record::parse(octets)));
        }
        Ok(())
    }

    /// The messages of a mailbox that have records.
    pub(crate) fn messages(&self, mailbox: &str) -> Result<Vec<Vec<u8>>, IndexError> {
        let sql = "SELECT message FROM record WHERE maildir = ?1 AND mailbox = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let messages = statement.query_map(params![self.maildir, mailbox], |row| row.get(0))?;
        Ok(messages.collect::<rusqlite::Result<_>>()?)
    }

    /// What is put and removed from now on is written at once, with its commit.
    pub(crate) fn begin_batch(&self) -> rusqlite::Result<rusqlite::Transaction<'_>> {
        self.connection.unchecked_transaction()
    }

    /// Whether the records were made under this key, with this trust. If not, they go, and those that come are.
    pub(crate) fn begin(&self) -> Result<(), IndexError> {
        let mut holds = false;
        self.each(MARK, |_, record| holds = record.is_some())?;
        if !holds {
            self.connection.execute("DELETE FROM record WHERE maildir = ?1", [&self.maildir])?;
            self.put(MARK, b"", &Record::default())?;
        }
        Ok(())
    }

    /// Keeps a record.
    pub(crate) fn put(&self, mailbox: &str, message: &[u8], record: &Record<'_>) -> Result<(), IndexError> {
        self.put_octets(mailbox, message, record.write())
    }

    /// Keeps octets.
    pub(crate) fn put_octets(
        &self,
        mailbox: &str,
        message: &[u8],
        mut octets: Zeroizing<Vec<u8>>,
    ) -> Result<(), IndexError> {
        let nonce: [u8; NONCE_LEN] = random();
        let bound = self.bound(mailbox, message);
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&bound), octets.as_mut_slice())
            .map_err(|_| IndexError::Unavailable)?;
        let sealed = [nonce.as_slice(), octets.as_slice(), tag.as_ref()].concat();
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO record (maildir, mailbox, message, sealed) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.maildir, mailbox, message, sealed])?;
        Ok(())
    }

    /// Forgets a message.
    pub(crate) fn remove(&self, mailbox: &str, message: &[u8]) -> Result<(), IndexError> {
        self.connection
            .prepare_cached("DELETE FROM record WHERE maildir = ?1 AND mailbox = ?2 AND message = ?3")?
            .execute(params![self.maildir, mailbox, message])?;
        Ok(())
    }

    /// The mailboxes that have records.
    pub(crate) fn mailboxes(&self) -> Result<Vec<String>, IndexError> {
        let sql = "SELECT DISTINCT mailbox FROM record WHERE maildir = ?1 AND mailbox <> ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let names = statement.query_map(params![self.maildir, MARK], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    fn unseal(&self, mailbox: &str, message: &[u8], mut sealed: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(sealed.get(..NONCE_LEN)?).ok()?;
        let bound = self.bound(mailbox, message);
        sealed.drain(..NONCE_LEN);
        let mut octets = Zeroizing::new(sealed);
        let length = self.key.open_in_place(nonce, Aad::from(&bound), octets.as_mut_slice()).ok()?.len();
        octets.truncate(length);
        Some(octets)
    }

    /// What a record is bound to.
    fn bound(&self, mailbox: &str, message: &[u8]) -> Vec<u8> {
        let mut bound = b"sealpost index 1\0".to_vec();
        bound.extend_from_slice(&self.trust);
        for part in [self.maildir.as_slice(), mailbox.as_bytes(), message] {
            bound.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bound.extend_from_slice(part);
        }
        bound
    }
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
