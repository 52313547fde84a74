//! Which sealed messages were seen, and where (A17). In: ids of sealed messages. Out: where one lies besides. An id is kept as a keyed hash: who has the file and not its
//! key learns which records name the same message, and not which one.

use std::rc::Rc;

use aws_lc_rs::hmac;
use rusqlite::params;
use sealed::identity::MessageId;

use super::file::{Open, Vault, VaultError};

/// What stands for an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark([u8; 16]);

/// How a message came to where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// It was found there.
    Found,
    /// It was put there through us.
    Ours,
}

/// A message that was seen in another mailbox before.
pub(crate) struct Before {
    /// Itself.
    pub(crate) own: Vec<u8>,
    /// The other mailbox.
    pub(crate) mailbox: String,
    /// The message there.
    pub(crate) message: Vec<u8>,
}

/// Which sealed messages of a place were seen. No `Debug`: it holds the key.
pub(crate) struct Ids(Rc<Open>);

impl Ids {
    /// In the same file as these records.
    pub(crate) fn beside(records: &Vault) -> Self {
        Self(records.file())
    }

    /// What stands for an id, under this key and this trust.
    pub(crate) fn mark(&self, id: MessageId) -> Mark {
        let tag = hmac::sign(&self.0.key.names, &[self.0.trust.as_slice(), &id.0].concat());
        Mark(tag.as_ref().first_chunk::<16>().copied().unwrap_or_default())
    }

    /// What is known of the messages of a mailbox.
    pub(crate) fn of(&self, mailbox: &str) -> Result<Vec<(Vec<u8>, Mark, Whose)>, VaultError> {
        let sql = "SELECT message, mark, ours FROM ids WHERE place = ?1 AND mailbox = ?2";
        let mut statement = self.0.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![self.0.place, mailbox], |row| {
            let whose = if row.get(2)? { Whose::Ours } else { Whose::Found };
            Ok((row.get(0)?, Mark(row.get(1)?), whose))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes messages that were seen in a mailbox, all of them at once. What was noted first stays first.
    pub(crate) fn note(&self, mailbox: &str, seen: &[(Vec<u8>, Mark, Whose)]) -> Result<(), VaultError> {
        let transaction = self.0.connection.unchecked_transaction()?;
        for (message, Mark(mark), whose) in seen {
            self.0
                .connection
                .prepare_cached(
                    "INSERT INTO ids (place, mailbox, message, mark, ours) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET mark = excluded.mark, ours = excluded.ours",
                )?
                .execute(params![self.0.place, mailbox, message, mark, *whose == Whose::Ours])?;
        }
        Ok(transaction.commit()?)
    }

    /// Forgets messages of a mailbox, all of them at once.
    pub(crate) fn remove(&self, mailbox: &str, gone: &[Vec<u8>]) -> Result<(), VaultError> {
        if gone.is_empty() {
            return Ok(());
        }
        let transaction = self.0.connection.unchecked_transaction()?;
        for message in gone {
            let sql = "DELETE FROM ids WHERE place = ?1 AND mailbox = ?2 AND message = ?3";
            self.0.connection.prepare_cached(sql)?.execute(params![self.0.place, mailbox, message])?;
        }
        Ok(transaction.commit()?)
    }

    /// The messages of a mailbox that were seen in another one before.
    pub(crate) fn seen_before(&self, mailbox: &str) -> Result<Vec<Before>, VaultError> {
        let sql = "SELECT own.message, other.mailbox, other.message FROM ids AS own
                   JOIN ids AS other ON other.place = own.place AND other.mark = own.mark
                   WHERE own.place = ?1 AND own.mailbox = ?2 AND own.ours = 0
                     AND other.mailbox <> own.mailbox AND other.rowid < own.rowid";
        let mut statement = self.0.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![self.0.place, mailbox], |row| {
            Ok(Before { own: row.get(0)?, mailbox: row.get(1)?, message: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Where else a message lies that is new in a mailbox.
    pub(crate) fn elsewhere(&self, mailbox: &str, mark: Mark) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
        let sql = "SELECT mailbox, message FROM ids WHERE place = ?1 AND mark = ?2 AND mailbox <> ?3";
        let mut statement = self.0.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![self.0.place, mark.0, mailbox], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A message is about to be put into a mailbox through us.
    pub(crate) fn expect(&self, mailbox: &str, mark: Mark) -> Result<(), VaultError> {
        self.0
            .connection
            .prepare_cached(
                "INSERT INTO awaited (place, mailbox, mark, count) VALUES (?1, ?2, ?3, 1)
                 ON CONFLICT DO UPDATE SET count = count + 1",
            )?
            .execute(params![self.0.place, mailbox, mark.0])?;
        Ok(())
    }

    /// Whether a message that was found was put there through us; of each that was, one is.
    pub(crate) fn was_expected(&self, mailbox: &str, mark: Mark) -> Result<bool, VaultError> {
        let which = params![self.0.place, mailbox, mark.0];
        let sql = "SELECT 1 FROM awaited WHERE place = ?1 AND mailbox = ?2 AND mark = ?3";
        if !self.0.connection.prepare_cached(sql)?.exists(which)? {
            return Ok(false);
        }
        let sql = "UPDATE awaited SET count = count - 1 WHERE place = ?1 AND mailbox = ?2 AND mark = ?3";
        let found = self.0.connection.prepare_cached(sql)?.execute(which)?;
        let sql = "DELETE FROM awaited WHERE place = ?1 AND mailbox = ?2 AND mark = ?3 AND count < 1";
        self.0.connection.prepare_cached(sql)?.execute(which)?;
        Ok(found > 0)
    }

    /// How a mailbox stands when all that is known of it is true.
    pub(crate) fn note_stand(&self, mailbox: &str, stand: &[u8]) -> Result<(), VaultError> {
        let sql = "INSERT OR REPLACE INTO stands (place, mailbox, stand) VALUES (?1, ?2, ?3)";
        self.0.connection.prepare_cached(sql)?.execute(params![self.0.place, mailbox, stand])?;
        Ok(())
    }

    /// How it stood then.
    pub(crate) fn stand(&self, mailbox: &str) -> Result<Option<Vec<u8>>, VaultError> {
        use rusqlite::OptionalExtension;
        let sql = "SELECT stand FROM stands WHERE place = ?1 AND mailbox = ?2";
        let mut statement = self.0.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![self.0.place, mailbox], |row| row.get(0)).optional()?)
    }
}
