//! UIDs for the messages of a Maildir, kept for good (RFC 3501 §2.3.1.1).
//!
//! In: the messages that a mailbox holds now, by their unique names. Out: a UID for each, the same as ever; UIDVALIDITY; keywords. A copy that took its
//! original's place keeps the original's UID: whoever reads it sees the same message. Never gives a UID twice; never forgets
//! one because a mailbox could not be read.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::UnixSeconds;
use crate::database::Database;

/// The UIDs of a state database.
#[derive(Clone, Copy, Debug)]
pub struct Uids<'d> {
    database: &'d Database,
}

/// How often a message may have been replaced between two looks and still be known.
const MAX_CHAIN: usize = 16;

/// A mailbox with numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The row of the mailbox; for the other calls.
    pub id: i64,
    /// UIDVALIDITY.
    pub validity: u32,
    /// UIDNEXT.
    pub next: u32,
    /// The messages by ascending UID.
    pub messages: Vec<Entry>,
}

/// A message with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// UID.
    pub uid: u32,
    /// Its unique name.
    pub message: Vec<u8>,
    /// How it was last shown, in the caller's numbers; `None`: never.
    pub view: Option<u8>,
    /// Its keywords.
    pub keywords: Vec<String>,
}

impl<'d> Uids<'d> {
    /// The UIDs in that database.
    pub fn new(database: &'d Database) -> Self {
        Self { database }
    }

    /// The numbers that a mailbox has; `None`: it has none yet.
    pub fn known(&self, maildir: &Path, mailbox: &str) -> rusqlite::Result<Option<Numbered>> {
        read(self.database.read(), maildir.as_os_str().as_bytes(), mailbox)
    }

    /// Numbers the messages that are there now: those without a UID get one, in the order of `present`; those that are gone lose theirs.
    /// The caller has made sure that they are gone. One transaction, and none if nothing changed.
    pub fn number(&self, maildir: &Path, mailbox: &str, present: &[Vec<u8>]) -> rusqlite::Result<Numbered> {
        let maildir = maildir.as_os_str().as_bytes();
        let there: HashSet<&[u8]> = present.iter().map(Vec::as_slice).collect();
        if let Some(known) = read(self.database.read(), maildir, mailbox)?
            && known.messages.len() == there.len()
            && known.messages.iter().all(|entry| there.contains(entry.message.as_slice()))
        {
            return Ok(known);
        }
        self.database.write(|connection| {
            let mut known = match read(connection, maildir, mailbox)? {
                Some(known) => known,
                None => make(connection, maildir, mailbox)?,
            };
            let places = replaced(connection, mailbox)?;
            inherit(connection, &mut known, &there, &places)?;
            drop_gone(connection, &mut known, &there)?;
            let numbered: HashSet<Vec<u8>> = known.messages.iter().map(|entry| entry.message.clone()).collect();
            let hidden: HashSet<&[u8]> = places
                .iter()
                .filter(|(copy, original)| there.contains(copy.as_slice()) && *copy != *original)
                .map(|(_, original)| original.as_slice())
                .collect();
            let mut given = HashSet::new();
            let fresh = present.iter().filter(|message| {
                !numbered.contains(*message) && !hidden.contains(message.as_slice()) && given.insert(message.as_slice())
            });
            let fresh: Vec<&Vec<u8>> = fresh.collect();
            give(connection, &mut known, &fresh)?;
            Ok(known)
        })
    }

    /// Notes how messages were shown.
    pub fn note_views(&self, id: i64, views: &[(u32, u8)]) -> rusqlite::Result<()> {
        self.each(views, "UPDATE numbered SET view = ?3 WHERE mailbox = ?1 AND uid = ?2", |statement, (uid, view)| {
            statement.execute(params![id, uid, view])
        })
    }

    /// Sets the keywords of messages.
    pub fn set_keywords(&self, id: i64, messages: &[(u32, Vec<String>)]) -> rusqlite::Result<()> {
        let sql = "UPDATE numbered SET keywords = ?3 WHERE mailbox = ?1 AND uid = ?2";
        self.each(messages, sql, |statement, (uid, words)| statement.execute(params![id, uid, words.join(" ")]))
    }

    /// Gives messages new UIDs: what is shown under the old ones is no longer what it was.
    pub fn renumber(&self, id: i64, uids: &[u32]) -> rusqlite::Result<()> {
        self.each(uids, "DELETE FROM numbered WHERE mailbox = ?1 AND uid = ?2", |statement, uid| {
            statement.execute(params![id, uid])
        })
    }

    fn each<T>(
        &self,
        values: &[T],
        sql: &str,
        mut run: impl FnMut(&mut rusqlite::Statement<'_>, &T) -> rusqlite::Result<usize>,
    ) -> rusqlite::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.database.write(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            values.iter().try_for_each(|value| run(&mut statement, value).map(drop))
        })
    }
}

fn read(connection: &Connection, maildir: &[u8], mailbox: &str) -> rusqlite::Result<Option<Numbered>> {
    let sql = "SELECT id, validity, next FROM numbered_mailbox WHERE maildir = ?1 AND mailbox = ?2";
    let row = connection
        .prepare_cached(sql)?
        .query_row(params![maildir, mailbox], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, validity, next)) = row else { return Ok(None) };
    let sql = "SELECT uid, message, view, keywords FROM numbered WHERE mailbox = ?1 ORDER BY uid";
    let mut statement = connection.prepare_cached(sql)?;
    let entries = statement.query_map([id], |row| {
        let keywords: String = row.get(3)?;
        let keywords = keywords.split_whitespace().map(str::to_owned).collect();
        Ok(Entry { uid: row.get(0)?, message: row.get(1)?, view: row.get(2)?, keywords })
    })?;
    let messages = entries.collect::<rusqlite::Result<_>>()?;
    Ok(Some(Numbered { id, validity, next, messages }))
}

/// A mailbox that was never seen. Its UIDVALIDITY is larger than any before (RFC 3501 §2.3.1.1).
fn make(connection: &Connection, maildir: &[u8], mailbox: &str) -> rusqlite::Result<Numbered> {
    let validity = new_validity(connection)?;
    connection.execute(
        "INSERT INTO numbered_mailbox (maildir, mailbox, validity, next) VALUES (?1, ?2, ?3, 1)",
        params![maildir, mailbox, validity],
    )?;
    Ok(Numbered { id: connection.last_insert_rowid(), validity, next: 1, messages: Vec::new() })
}

fn new_validity(connection: &Connection) -> rusqlite::Result<u32> {
    let last: Option<u32> = connection.query_row("SELECT max(validity) FROM numbered_mailbox", [], |row| row.get(0))?;
    let now = u32::try_from(UnixSeconds::now().0).unwrap_or(1);
    Ok(now.max(last.unwrap_or_default().saturating_add(1)))
}

/// Which copy took, or is taking, which original's place in that mailbox.
fn replaced(connection: &Connection, mailbox: &str) -> rusqlite::Result<HashMap<Vec<u8>, Vec<u8>>> {
    let mut statement =
        connection.prepare_cached("SELECT copy, original FROM replacement WHERE mailbox = ?1 ORDER BY id")?;
    statement.query_map([mailbox], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// A copy that is there takes over its original's number.
fn inherit(
    connection: &Connection,
    known: &mut Numbered,
    there: &HashSet<&[u8]>,
    places: &HashMap<Vec<u8>, Vec<u8>>,
) -> rusqlite::Result<()> {
    let at: HashMap<Vec<u8>, usize> =
        known.messages.iter().enumerate().map(|(at, entry)| (entry.message.clone(), at)).collect();
    let mut update =
        connection.prepare_cached("UPDATE numbered SET message = ?3, view = NULL WHERE mailbox = ?1 AND uid = ?2")?;
    for copy in places.keys() {
        if !there.contains(copy.as_slice()) || at.contains_key(copy) {
            continue;
        }
        // It may have been replaced more than once since we looked: sealed, put back, sealed.
        let earlier = std::iter::successors(places.get(copy), |name| places.get(*name)).take(MAX_CHAIN);
        let mut earlier = earlier.filter_map(|name| at.get(name));
        if let Some(entry) = earlier.next().and_then(|&at| known.messages.get_mut(at)) {
            update.execute(params![known.id, entry.uid, copy])?;
            entry.message.clone_from(copy);
            // Another file, the same message: how it is shown is seen anew.
            entry.view = None;
        }
    }
    Ok(())
}

fn drop_gone(connection: &Connection, known: &mut Numbered, there: &HashSet<&[u8]>) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM numbered WHERE mailbox = ?1 AND uid = ?2")?;
    for entry in known.messages.iter().filter(|entry| !there.contains(entry.message.as_slice())) {
        delete.execute(params![known.id, entry.uid])?;
    }
    known.messages.retain(|entry| there.contains(entry.message.as_slice()));
    Ok(())
}

fn give(connection: &Connection, known: &mut Numbered, fresh: &[&Vec<u8>]) -> rusqlite::Result<()> {
    let count = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
    if known.next.checked_add(count).is_none() {
        // Four thousand million messages later: all numbers begin anew.
        known.validity = new_validity(connection)?;
        known.next = 1;
        for entry in &mut known.messages {
            entry.uid = known.next;
            known.next = known.next.saturating_add(1);
        }
        connection.execute("DELETE FROM numbered WHERE mailbox = ?1", [known.id])?;
        for entry in &known.messages {
            let keywords = entry.keywords.join(" ");
            connection.execute(
                "INSERT INTO numbered (mailbox, uid, message, view, keywords) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![known.id, entry.uid, entry.message, entry.view, keywords],
            )?;
        }
    }
    let mut insert = connection.prepare_cached("INSERT INTO numbered (mailbox, uid, message) VALUES (?1, ?2, ?3)")?;
    for message in fresh {
        insert.execute(params![known.id, known.next, message])?;
        let entry = Entry { uid: known.next, message: message.to_vec(), view: None, keywords: Vec::new() };
        known.messages.push(entry);
        known.next = known.next.saturating_add(1);
    }
    connection.execute(
        "UPDATE numbered_mailbox SET next = ?2, validity = ?3 WHERE id = ?1",
        params![known.id, known.next, known.validity],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use crate::journal::{Begin, Journal};

    fn names(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn shown(numbered: &Numbered) -> Vec<(u32, String)> {
        let text = |entry: &Entry| (entry.uid, String::from_utf8(entry.message.clone()).unwrap());
        numbered.messages.iter().map(text).collect()
    }

    #[test]
    fn numbers_stay_and_are_never_given_twice() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.db");
        let number = |present: &[&str]| {
            let database = Database::open(&path).unwrap();
            Uids::new(&database).number(Path::new("/m"), "INBOX", &names(present)).unwrap()
        };
        let first = number(&["b", "a"]);
        assert_eq!(shown(&first), [(1, "b".to_owned()), (2, "a".to_owned())]);
        let second = number(&["a", "c"]);
        assert_eq!(shown(&second), [(2, "a".to_owned()), (3, "c".to_owned())]);
        assert_eq!(number(&["a"]).next, 4);
        let third = number(&["c", "a"]);
        assert_eq!(shown(&third), [(2, "a".to_owned()), (4, "c".to_owned())]);
        assert_eq!((first.validity, third.validity), (third.validity, first.validity));
        let database = Database::open(&path).unwrap();
        let other = Uids::new(&database).number(Path::new("/m"), "Sent", &names(&["a"])).unwrap();
        assert!(other.validity > first.validity);
        assert_eq!(shown(&other), [(1, "a".to_owned())]);
    }

    #[test]
    fn a_copy_keeps_its_originals_number_while_both_are_there_and_after() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        let uids = Uids::new(&database);
        let number = |present: &[&str]| shown(&uids.number(Path::new("/m"), "INBOX", &names(present)).unwrap());
        assert_eq!(number(&["a", "b"]), [(1, "a".to_owned()), (2, "b".to_owned())]);
        let begin = Begin { mailbox: "INBOX", original: b"a", copy: b"A", expectation: b"" };
        Journal::on(&database).begin("flow", &[begin], UnixSeconds(0)).unwrap();
        assert_eq!(number(&["a", "b"]), [(1, "a".to_owned()), (2, "b".to_owned())], "not yet to be seen");
        for present in [&["a", "A", "b"][..], &["A", "b"]] {
            assert_eq!(number(present), [(1, "A".to_owned()), (2, "b".to_owned())]);
        }
    }

    #[test]
    fn a_copy_keeps_it_also_when_nobody_looked_meanwhile() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        let uids = Uids::new(&database);
        let number = |present: &[&str]| shown(&uids.number(Path::new("/m"), "INBOX", &names(present)).unwrap());
        number(&["a", "b"]);
        let begin = Begin { mailbox: "INBOX", original: b"a", copy: b"A", expectation: b"" };
        let journal = Journal::on(&database);
        let rows = journal.begin("flow", &[begin], UnixSeconds(0)).unwrap();
        journal.advance(&rows, crate::journal::State::Done, UnixSeconds(1)).unwrap();
        assert_eq!(journal.prune(UnixSeconds(2)).unwrap(), 1);
        assert_eq!(number(&["b", "A"]), [(1, "A".to_owned()), (2, "b".to_owned())]);
    }

    #[test]
    fn keywords_and_views_are_kept_until_a_message_is_numbered_anew() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        let uids = Uids::new(&database);
        let number = || uids.number(Path::new("/m"), "INBOX", &names(&["a", "b"])).unwrap();
        let id = number().id;
        uids.set_keywords(id, &[(1, vec!["$Forwarded".to_owned(), "x".to_owned()])]).unwrap();
        uids.note_views(id, &[(1, 1), (2, 0)]).unwrap();
        let kept = number();
        assert_eq!(kept.messages[0].keywords, ["$Forwarded", "x"]);
        assert_eq!((kept.messages[0].view, kept.messages[1].view), (Some(1), Some(0)));
        uids.renumber(id, &[1]).unwrap();
        assert_eq!(shown(&number()), [(2, "b".to_owned()), (3, "a".to_owned())]);
    }

    #[test]
    fn after_the_last_number_all_begin_anew() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        let uids = Uids::new(&database);
        let first = uids.number(Path::new("/m"), "INBOX", &names(&["a"])).unwrap();
        database.write(|connection| connection.execute("UPDATE numbered_mailbox SET next = 4294967294", [])).unwrap();
        let then = uids.number(Path::new("/m"), "INBOX", &names(&["a", "b", "c"])).unwrap();
        assert!(then.validity > first.validity);
        assert_eq!(shown(&then), [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())]);
    }
}
