//! The ledger: what a flow must remember beyond the replacements under way.
//!
//! In: numbers, digests and short codes. Out: the same after a crash. Eight tables: sequence counters, which flow took which numbers, gaps in them, what
//! became of each message, where copies lie, what a provider does, the stop mark of a flow, counters for `status`. Every call is one transaction, durable when it
//! returns. Never holds content: a reason is a [`Code`], fixed in the program's text.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{OptionalExtension, Row as SqlRow, params};

use crate::clock::UnixSeconds;
use crate::database::Database;

/// Gaps returned by one [`Ledger::gaps`] call.
pub const MAX_GAPS: usize = 100_000;

/// The tables of what is remembered in a state database.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'d> {
    database: &'d Database,
}

/// A short fixed word: why something was skipped or failed, or what is counted. Never made from mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(&'static str);

/// Which message, in which mailbox of which flow.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// The flow's name.
    pub flow: &'a str,
    /// The mailbox's name.
    pub mailbox: &'a str,
    /// The message's name there: what stays when its flags change.
    pub message: &'a [u8],
}

/// What to remember of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a sealed message whose body was checked once; the digest is the caller's.
    Sealed([u8; 32]),
    /// It is to be left alone; the digest is the caller's, to tell another file under its name.
    Skipped(Code, [u8; 32]),
    /// It did not work; not again before that time. Each such verdict counts one attempt.
    Failed(Code, UnixSeconds),
}

/// What is remembered of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// When it was first seen. Never moves.
    pub first_seen: UnixSeconds,
    /// What became of it.
    pub state: Remembered,
}

/// The verdict as read back: codes are text then, for a newer program may have written them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Seen, nothing decided.
    Seen,
    /// As [`Verdict::Sealed`].
    Sealed([u8; 32]),
    /// As [`Verdict::Skipped`]; an older program kept no digest.
    Skipped(String, Option<[u8; 32]>),
    /// As [`Verdict::Failed`].
    Failed {
        /// Why.
        reason: String,
        /// How often so far; 1 after the first failure.
        attempts: u32,
        /// Not again before.
        retry_at: UnixSeconds,
    },
}

/// How many messages of a flow stand where, by the messages' last verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Seen, undecided.
    pub seen: u64,
    /// Sealed and checked.
    pub sealed: u64,
    /// Skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Failed, by reason.
    pub failed: BTreeMap<String, u64>,
}

/// Counters of a flow since its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// When anything was last counted.
    pub last: Option<UnixSeconds>,
    /// Each counter by its code.
    pub counters: BTreeMap<String, u64>,
}

/// Why the ledger did not do it. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The counter would pass 2^63.
    #[error("the sequence counter is used up")]
    UsedUp,
    /// An empty range, or one that was never reserved.
    #[error("not a range that was reserved")]
    NotReserved,
    /// More than [`MAX_GAPS`].
    #[error("more than {MAX_GAPS} gaps")]
    TooManyGaps,
    /// A row that no version of this file writes.
    #[error("the ledger holds a row that makes no sense")]
    Corrupt,
    /// SQLite says so.
    #[error("the ledger cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
}

impl Code {
    /// A code of 1 to 32 octets out of a-z, 0-9 and `-`. Write it as a `const`: then a wrong one does not compile.
    ///
    /// # Panics
    /// On any other text, which is the program's own.
    pub const fn new(code: &'static str) -> Code {
        let mut rest = code.as_bytes();
        assert!(!rest.is_empty() && rest.len() <= 32, "a code has 1 to 32 octets");
        while let [first, others @ ..] = rest {
            assert!(matches!(first, b'a'..=b'z' | b'0'..=b'9' | b'-'), "a code is a-z, 0-9 and -");
            rest = others;
        }
        Code(code)
    }

    /// As text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl<'d> Ledger<'d> {
    /// The ledger in that database.
    pub fn on(database: &'d Database) -> Ledger<'d> {
        Ledger { database }
    }

    /// Takes the next `count` numbers of a key and an account for a flow, from 1 up. They are gone for good when this returns: what is
    /// not used is a gap, to be told with [`note_gap`](Ledger::note_gap).
    pub fn reserve(&self, key: &[u8], account: &[u8], flow: &str, count: u32) -> Result<Range<u64>, LedgerError> {
        self.database.write(|connection| {
            let next: Option<i64> = connection
                .prepare_cached("SELECT next FROM sequence WHERE key = ?1 AND account = ?2")?
                .query_row(params![key, account], |row| row.get(0))
                .optional()?;
            let first = next.unwrap_or(1);
            let after = first.checked_add(i64::from(count)).ok_or(LedgerError::UsedUp)?;
            connection
                .prepare_cached("INSERT OR REPLACE INTO sequence (key, account, next) VALUES (?1, ?2, ?3)")?
                .execute(params![key, account, after])?;
            // What one flow takes in a row is one range.
            let longer = connection
                .prepare_cached(
                    "UPDATE spent SET after = ?4 WHERE key = ?1 AND account = ?2 AND flow = ?3 AND after = ?5
                     AND first = (SELECT max(first) FROM spent WHERE key = ?1 AND account = ?2)",
                )?
                .execute(params![key, account, flow, after, first])?;
            if longer == 0 && count > 0 {
                connection
                    .prepare_cached("INSERT INTO spent (key, account, first, after, flow) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![key, account, first, after, flow])?;
            }
            Ok(unsigned(first)?..unsigned(after)?)
        })
    }

    /// Notes that no message carries these reserved numbers: they were never used, or what carried them was put back. Saying it twice is no harm.
    pub fn note_gap(&self, key: &[u8], account: &[u8], gap: Range<u64>) -> Result<(), LedgerError> {
        let signed = |number: u64| i64::try_from(number).map_err(|_| LedgerError::NotReserved);
        let (first, after) = (signed(gap.start)?, signed(gap.end)?);
        self.database.write(|connection| {
            let reserved: bool = connection
                .prepare_cached("SELECT count(*) FROM sequence WHERE key = ?1 AND account = ?2 AND next >= ?3")?
                .query_row(params![key, account, after], |row| row.get(0))?;
            if gap.is_empty() || gap.start == 0 || !reserved {
                return Err(LedgerError::NotReserved);
            }
            // Gaps that touch become one.
            let range = |row: &SqlRow<'_>| Ok((row.get(0)?, row.get(1)?));
            let before: Option<(i64, i64)> = connection
                .prepare_cached(
                    "SELECT first, after FROM gap WHERE key = ?1 AND account = ?2 AND first <= ?3
                     ORDER BY first DESC LIMIT 1",
                )?
                .query_row(params![key, account, first], range)
                .optional()?
                .filter(|(_, end)| *end >= first);
            let (first, after) = before.map_or((first, after), |(begin, end)| (begin, end.max(after)));
            let behind: Option<i64> = connection
                .prepare_cached(
                    "SELECT max(after) FROM gap WHERE key = ?1 AND account = ?2 AND first > ?3 AND first <= ?4",
                )?
                .query_row(params![key, account, first, after], |row| row.get(0))?;
            connection
                .prepare_cached("DELETE FROM gap WHERE key = ?1 AND account = ?2 AND first >= ?3 AND first <= ?4")?
                .execute(params![key, account, first, after])?;
            connection
                .prepare_cached("INSERT INTO gap (key, account, first, after) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key, account, first, behind.unwrap_or(after).max(after)])?;
            Ok(())
        })
    }

    /// The numbers of a key and an account that other flows than this one took, lowest first.
    pub fn of_others(&self, key: &[u8], account: &[u8], flow: &str) -> Result<Vec<Range<u64>>, LedgerError> {
        let mut select = self.database.read().prepare_cached(
            "SELECT first, after FROM spent WHERE key = ?1 AND account = ?2 AND flow <> ?3 ORDER BY first",
        )?;
        let rows = select.query_map(params![key, account, flow], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| row.map_err(LedgerError::from).and_then(|(a, b)| Ok(unsigned(a)?..unsigned(b)?))).collect()
    }

    /// The gaps of a key and an account, lowest first.
    pub fn gaps(&self, key: &[u8], account: &[u8]) -> Result<Vec<Range<u64>>, LedgerError> {
        let limit = i64::try_from(MAX_GAPS.saturating_add(1)).unwrap_or(i64::MAX);
        let mut select = self
            .database
            .read()
            .prepare_cached("SELECT first, after FROM gap WHERE key = ?1 AND account = ?2 ORDER BY first LIMIT ?3")?;
        let rows = select.query_map(params![key, account, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let gap = |row: rusqlite::Result<(i64, i64)>| {
            row.map_err(LedgerError::from).and_then(|(a, b)| Ok(unsigned(a)?..unsigned(b)?))
        };
        let gaps = rows.map(gap).collect::<Result<Vec<_>, _>>()?;
        if gaps.len() > MAX_GAPS { Err(LedgerError::TooManyGaps) } else { Ok(gaps) }
    }

    /// Notes that these messages were seen; those known already stay as they are.
    pub fn note_seen(&self, subjects: &[MessageRef<'_>], now: UnixSeconds) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            let mut insert = connection.prepare_cached(
                "INSERT OR IGNORE INTO memory (flow, mailbox, message, first_seen, verdict) VALUES (?1, ?2, ?3, ?4, 0)",
            )?;
            for MessageRef { flow, mailbox, message } in subjects {
                insert.execute(params![flow, mailbox, message, now.0])?;
            }
            Ok(())
        })
    }

    /// Notes what became of these messages.
    pub fn remember(&self, verdicts: &[(MessageRef<'_>, Verdict)], now: UnixSeconds) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            let mut upsert = connection.prepare_cached(
                "INSERT INTO memory (flow, mailbox, message, first_seen, verdict, digest, reason, attempts, retry_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET verdict = excluded.verdict, digest = excluded.digest, reason = excluded.reason,
                   attempts = CASE excluded.attempts WHEN 0 THEN 0 ELSE min(attempts + 1, 4294967295) END,
                   retry_at = excluded.retry_at",
            )?;
            for (MessageRef { flow, mailbox, message }, verdict) in verdicts {
                let (number, digest, reason, attempts, retry_at) = match verdict {
                    Verdict::Sealed(digest) => (SEALED, Some(&digest[..]), None, 0, None),
                    Verdict::Skipped(reason, digest) => (SKIPPED, Some(&digest[..]), Some(reason.0), 0, None),
                    Verdict::Failed(reason, retry_at) => (FAILED, None, Some(reason.0), 1, Some(retry_at.0)),
                };
                upsert.execute(params![flow, mailbox, message, now.0, number, digest, reason, attempts, retry_at])?;
            }
            Ok(())
        })
    }

    /// What is remembered of a message; `None` if it was never noted.
    pub fn recall(&self, subject: MessageRef<'_>) -> Result<Option<Memory>, LedgerError> {
        self.database
            .read()
            .prepare_cached(
                "SELECT first_seen, verdict, digest, reason, attempts, retry_at FROM memory
                 WHERE flow = ?1 AND mailbox = ?2 AND message = ?3",
            )?
            .query_row(params![subject.flow, subject.mailbox, subject.message], read_memory)
            .optional()?
            .map(|memory| memory.ok_or(LedgerError::Corrupt))
            .transpose()
    }

    /// Forgets these messages; those that are not known do no harm.
    pub fn forget(&self, subjects: &[MessageRef<'_>]) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            let mut delete =
                connection.prepare_cached("DELETE FROM memory WHERE flow = ?1 AND mailbox = ?2 AND message = ?3")?;
            for MessageRef { flow, mailbox, message } in subjects {
                delete.execute(params![flow, mailbox, message])?;
            }
            Ok(())
        })
    }

    /// Notes where the copies with these marks lie; a mark has one copy in a mailbox.
    pub fn note_copies(&self, copies: &[(MessageRef<'_>, &[u8])]) -> Result<(), LedgerError> {
        if copies.is_empty() {
            return Ok(());
        }
        self.database.write(|connection| {
            let mut insert = connection
                .prepare_cached("INSERT OR REPLACE INTO copy (flow, mailbox, mark, message) VALUES (?1, ?2, ?3, ?4)")?;
            for (MessageRef { flow, mailbox, message }, mark) in copies {
                insert.execute(params![flow, mailbox, mark, message])?;
            }
            Ok(())
        })
    }

    /// The copy with that mark, as far as it is known.
    pub fn copy_of(&self, flow: &str, mailbox: &str, mark: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let mut select = self
            .database
            .read()
            .prepare_cached("SELECT message FROM copy WHERE flow = ?1 AND mailbox = ?2 AND mark = ?3")?;
        Ok(select.query_row(params![flow, mailbox, mark], |row| row.get(0)).optional()?)
    }

    /// Forgets all copies of a flow.
    pub fn forget_copies(&self, flow: &str) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            connection.execute("DELETE FROM copy WHERE flow = ?1", [flow])?;
            Ok(())
        })
    }

    /// Notes what is known of an account's provider: words of the caller's, nothing of its mail.
    pub fn note_provider(&self, account: &str, verdict: &str, now: UnixSeconds) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO provider (account, verdict, since) VALUES (?1, ?2, ?3)")?
                .execute(params![account, verdict, now.0])?;
            Ok(())
        })
    }

    /// What is known of an account's provider, and since when.
    pub fn provider(&self, account: &str) -> Result<Option<(String, UnixSeconds)>, LedgerError> {
        let mut select =
            self.database.read().prepare_cached("SELECT verdict, since FROM provider WHERE account = ?1")?;
        let row = select.query_row([account], |row| Ok((row.get(0)?, UnixSeconds(row.get(1)?))));
        Ok(row.optional()?)
    }

    /// When the next failed message of a flow is due; `None` if none has failed.
    pub fn next_retry(&self, flow: &str) -> Result<Option<UnixSeconds>, LedgerError> {
        let mut select = self
            .database
            .read()
            .prepare_cached("SELECT min(retry_at) FROM memory WHERE flow = ?1 AND retry_at IS NOT NULL")?;
        let earliest: Option<i64> = select.query_row([flow], |row| row.get(0))?;
        Ok(earliest.map(UnixSeconds))
    }

    /// How many messages of a flow stand where.
    pub fn tally(&self, flow: &str) -> Result<Tally, LedgerError> {
        let mut select = self.database.read().prepare_cached(
            "SELECT verdict, coalesce(reason, ''), count(*) FROM memory WHERE flow = ?1 GROUP BY verdict, reason",
        )?;
        let mut rows = select.query([flow])?;
        let mut tally = Tally::default();
        while let Some(row) = rows.next()? {
            let (number, reason, count) = (row.get::<_, i64>(0)?, row.get(1)?, unsigned(row.get(2)?)?);
            match number {
                SEEN => tally.seen = count,
                SEALED => tally.sealed = count,
                SKIPPED => drop(tally.skipped.insert(reason, count)),
                FAILED => drop(tally.failed.insert(reason, count)),
                _ => return Err(LedgerError::Corrupt),
            }
        }
        Ok(tally)
    }

    /// Stops a flow until [`clear_stop`](Ledger::clear_stop), restarts or not. A stop that stands keeps its date.
    pub fn stop(&self, flow: &str, now: UnixSeconds) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            connection.execute("INSERT OR IGNORE INTO stop (flow, since) VALUES (?1, ?2)", params![flow, now.0])?;
            Ok(())
        })
    }

    /// Since when a flow is stopped; `None` if it may run.
    pub fn stopped_since(&self, flow: &str) -> Result<Option<UnixSeconds>, LedgerError> {
        let mut select = self.database.read().prepare_cached("SELECT since FROM stop WHERE flow = ?1")?;
        Ok(select.query_row([flow], |row| row.get(0)).optional()?.map(UnixSeconds))
    }

    /// Lets a flow run again.
    pub fn clear_stop(&self, flow: &str) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            connection.execute("DELETE FROM stop WHERE flow = ?1", [flow])?;
            Ok(())
        })
    }

    /// Adds to counters of a flow and notes that it was active.
    pub fn count(&self, flow: &str, counts: &[(Code, u64)], now: UnixSeconds) -> Result<(), LedgerError> {
        self.database.write(|connection| {
            let mut upsert = connection.prepare_cached(
                "INSERT INTO counter (flow, name, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET value = CASE WHEN value > 9223372036854775807 - excluded.value
                   THEN 9223372036854775807 ELSE value + excluded.value END",
            )?;
            for (code, count) in counts {
                upsert.execute(params![flow, code.0, i64::try_from(*count).unwrap_or(i64::MAX)])?;
            }
            connection
                .prepare_cached("INSERT OR REPLACE INTO activity (flow, last) VALUES (?1, ?2)")?
                .execute(params![flow, now.0])?;
            Ok(())
        })
    }

    /// The counters of a flow.
    pub fn activity(&self, flow: &str) -> Result<Activity, LedgerError> {
        let connection = self.database.read();
        let mut select = connection.prepare_cached("SELECT last FROM activity WHERE flow = ?1")?;
        let last: Option<i64> = select.query_row([flow], |row| row.get(0)).optional()?;
        let mut select = connection.prepare_cached("SELECT name, value FROM counter WHERE flow = ?1")?;
        let rows = select.query_map([flow], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let counter = |row: rusqlite::Result<(String, i64)>| {
            row.map_err(LedgerError::from).and_then(|(name, value)| Ok((name, unsigned(value)?)))
        };
        Ok(Activity { last: last.map(UnixSeconds), counters: rows.map(counter).collect::<Result<_, _>>()? })
    }
}

/// Verdict numbers on disk.
const SEEN: i64 = 0;
const SEALED: i64 = 1;
const SKIPPED: i64 = 2;
const FAILED: i64 = 3;

fn read_memory(row: &SqlRow<'_>) -> rusqlite::Result<Option<Memory>> {
    let state = match row.get(1)? {
        SEEN => Some(Remembered::Seen),
        SEALED => {
            let digest: Vec<u8> = row.get(2)?;
            digest.try_into().ok().map(Remembered::Sealed)
        }
        SKIPPED => {
            let digest: Option<Vec<u8>> = row.get(2)?;
            match digest.map(<[u8; 32]>::try_from).transpose() {
                Ok(digest) => Some(Remembered::Skipped(row.get(3)?, digest)),
                Err(_) => None,
            }
        }
        FAILED => {
            Some(Remembered::Failed { reason: row.get(3)?, attempts: row.get(4)?, retry_at: UnixSeconds(row.get(5)?) })
        }
        _ => None,
    };
    let first_seen = UnixSeconds(row.get(0)?);
    Ok(state.map(|state| Memory { first_seen, state }))
}

fn unsigned(number: i64) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(|_| LedgerError::Corrupt)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    const DRAFT: Code = Code::new("draft");
    const BROKEN: Code = Code::new("too-large");

    /// Each closure runs on a database that is closed and opened in between: everything must be on disk.
    fn across_restarts(steps: &[&dyn Fn(Ledger<'_>)]) {
        let home = tempfile::tempdir().unwrap();
        for step in steps {
            step(Ledger::on(&Database::open(&home.path().join("state.db")).unwrap()));
        }
    }

    fn pairs(ranges: &[Range<u64>]) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    fn message(name: &[u8]) -> MessageRef<'_> {
        MessageRef { flow: "f", mailbox: "INBOX", message: name }
    }

    #[test]
    fn sequence_numbers_are_never_given_twice() {
        across_restarts(&[
            &|ledger| assert_eq!(ledger.reserve(b"k", b"a", "f", 3).unwrap(), 1..4),
            &|ledger| {
                assert_eq!(ledger.reserve(b"k", b"a", "f", 1).unwrap(), 4..5);
                assert_eq!(ledger.reserve(b"k", b"b", "f", 1).unwrap(), 1..2);
                ledger.note_gap(b"k", b"a", 2..4).unwrap();
                ledger.note_gap(b"k", b"a", 2..4).unwrap();
                for wrong in [4..6, 3..3, 0..2, 1..u64::MAX] {
                    assert!(matches!(ledger.note_gap(b"k", b"a", wrong), Err(LedgerError::NotReserved)));
                }
                assert!(matches!(ledger.note_gap(b"x", b"a", 1..2), Err(LedgerError::NotReserved)));
            },
            &|ledger| {
                assert_eq!(ledger.gaps(b"k", b"a").unwrap(), vec![Range { start: 2, end: 4 }]);
                assert!(ledger.gaps(b"k", b"b").unwrap().is_empty());
                ledger.database.read().execute("UPDATE sequence SET next = 9223372036854775806", []).unwrap();
                assert!(ledger.reserve(b"k", b"a", "f", 1).is_ok());
                assert!(matches!(ledger.reserve(b"k", b"a", "f", 1), Err(LedgerError::UsedUp)));
            },
        ]);
    }

    #[test]
    fn it_is_known_which_flow_took_which_numbers() {
        across_restarts(&[
            &|ledger| {
                for (flow, count) in [("f", 3), ("f", 2), ("g", 4), ("f", 1), ("f", 1)] {
                    ledger.reserve(b"k", b"a", flow, count).unwrap();
                }
            },
            &|ledger| {
                assert_eq!(pairs(&ledger.of_others(b"k", b"a", "f").unwrap()), [(6, 10)]);
                assert_eq!(pairs(&ledger.of_others(b"k", b"a", "g").unwrap()), [(1, 6), (10, 12)]);
                assert!(ledger.of_others(b"k", b"b", "f").unwrap().is_empty());
            },
        ]);
    }

    #[test]
    fn gaps_that_touch_become_one() {
        across_restarts(&[&|ledger| {
            ledger.reserve(b"k", b"a", "f", 20).unwrap();
            for (gap, all) in [
                (9..10, vec![(9, 10)]),
                (3..4, vec![(3, 4), (9, 10)]),
                (5..6, vec![(3, 4), (5, 6), (9, 10)]),
                (4..5, vec![(3, 6), (9, 10)]),
                (3..5, vec![(3, 6), (9, 10)]),
                (2..12, vec![(2, 12)]),
                (11..14, vec![(2, 14)]),
            ] {
                ledger.note_gap(b"k", b"a", gap).unwrap();
                assert_eq!(pairs(&ledger.gaps(b"k", b"a").unwrap()), all);
            }
        }]);
    }

    #[test]
    fn verdicts_are_remembered() {
        let later = UnixSeconds(9);
        across_restarts(&[
            &|ledger| {
                ledger.note_seen(&[message(b"1"), message(b"2")], UnixSeconds(5)).unwrap();
                let verdicts = [
                    (message(b"1"), Verdict::Failed(BROKEN, UnixSeconds(60))),
                    (message(b"1"), Verdict::Failed(BROKEN, UnixSeconds(70))),
                    (message(b"3"), Verdict::Skipped(DRAFT, [6; 32])),
                    (message(b"4"), Verdict::Sealed([7; 32])),
                    (message(b"5"), Verdict::Failed(BROKEN, UnixSeconds(80))),
                    (message(b"5"), Verdict::Sealed([8; 32])),
                ];
                ledger.remember(&verdicts, later).unwrap();
                ledger.note_seen(&[message(b"4")], UnixSeconds(99)).unwrap();
            },
            &|ledger| {
                let failed = Remembered::Failed { reason: "too-large".into(), attempts: 2, retry_at: UnixSeconds(70) };
                let table = [
                    (&b"1"[..], Some((5, failed))),
                    (b"2", Some((5, Remembered::Seen))),
                    (b"3", Some((9, Remembered::Skipped("draft".into(), Some([6; 32]))))),
                    (b"4", Some((9, Remembered::Sealed([7; 32])))),
                    (b"5", Some((9, Remembered::Sealed([8; 32])))),
                    (b"6", None),
                ];
                for (name, expected) in table {
                    let expected =
                        expected.map(|(first_seen, state)| Memory { first_seen: UnixSeconds(first_seen), state });
                    assert_eq!(ledger.recall(message(name)).unwrap(), expected);
                }
                assert_eq!(ledger.next_retry("f").unwrap(), Some(UnixSeconds(70)));
                let tally = ledger.tally("f").unwrap();
                assert_eq!((tally.seen, tally.sealed), (1, 2));
                assert_eq!((tally.skipped["draft"], tally.failed["too-large"]), (1, 1));
                ledger.forget(&[message(b"1"), message(b"nobody")]).unwrap();
                assert_eq!(ledger.recall(message(b"1")).unwrap(), None);
                assert_eq!(ledger.next_retry("f").unwrap(), None);
                ledger.database.read().execute("UPDATE memory SET digest = x'00'", []).unwrap();
                assert!(matches!(ledger.recall(message(b"4")), Err(LedgerError::Corrupt)));
            },
        ]);
    }

    #[test]
    fn stops_and_counters_last() {
        across_restarts(&[
            &|ledger| {
                ledger.stop("f", UnixSeconds(3)).unwrap();
                ledger.stop("f", UnixSeconds(4)).unwrap();
                ledger.count("f", &[(DRAFT, 2), (BROKEN, u64::MAX)], UnixSeconds(5)).unwrap();
                ledger.count("f", &[(DRAFT, 1), (BROKEN, 1)], UnixSeconds(6)).unwrap();
            },
            &|ledger| {
                assert_eq!(ledger.stopped_since("f").unwrap(), Some(UnixSeconds(3)));
                assert_eq!(ledger.stopped_since("g").unwrap(), None);
                ledger.clear_stop("f").unwrap();
                let activity = ledger.activity("f").unwrap();
                assert_eq!((activity.last, activity.counters["draft"]), (Some(UnixSeconds(6)), 3));
                assert_eq!(activity.counters["too-large"], i64::MAX.unsigned_abs());
                assert_eq!(ledger.activity("g").unwrap(), Activity::default());
            },
            &|ledger| assert_eq!(ledger.stopped_since("f").unwrap(), None),
        ]);
    }

    #[test]
    fn codes_are_short_words() {
        for wrong in ["", "Draft", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "é"] {
            assert!(std::panic::catch_unwind(|| Code::new(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(DRAFT.as_str(), "draft");
    }
}
