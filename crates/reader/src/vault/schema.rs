//! The tables of the file. All that is in them is of one place, and of one mailbox there; what is in a record is encrypted.

/// The version of the tables.
pub(super) const VERSION: i64 = 4;
/// The version from which on what lies in the file is kept.
pub(super) const KEPT: i64 = 3;
/// All tables: each of their rows is of a mailbox.
pub(super) const NAMES: [&str; 7] = ["heads", "words", "headers", "complete", "ids", "awaited", "stands"];

/// What records are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What a list shows.
    Heads,
    /// What a search looks into.
    Words,
    /// Header sections of originals.
    Headers,
}

impl Kind {
    /// Its table.
    pub(super) fn table(self) -> &'static str {
        match self {
            Kind::Heads => "heads",
            Kind::Words => "words",
            Kind::Headers => "headers",
        }
    }
}

/// `ids`: messages that lie there. `awaited`: messages that are put there through us. `stands`: how a mailbox stood when its messages were seen.
const IDS: &str = "CREATE TABLE IF NOT EXISTS ids (
        place BLOB NOT NULL,
        mailbox TEXT NOT NULL,
        message BLOB NOT NULL,
        mark BLOB NOT NULL,
        ours INTEGER NOT NULL,
        PRIMARY KEY (place, mailbox, message)
     ) STRICT;
     CREATE INDEX IF NOT EXISTS ids_by_mark ON ids (place, mark);
     CREATE TABLE IF NOT EXISTS awaited (
        place BLOB NOT NULL,
        mailbox TEXT NOT NULL,
        mark BLOB NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (place, mailbox, mark)
     ) STRICT;
     CREATE TABLE IF NOT EXISTS stands (
        place BLOB NOT NULL,
        mailbox TEXT NOT NULL,
        stand BLOB NOT NULL,
        PRIMARY KEY (place, mailbox)
     ) STRICT;";

/// What makes all that is not there.
pub(super) fn tables() -> String {
    let of_records = |kind: Kind| {
        let table = kind.table();
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                place BLOB NOT NULL,
                mailbox TEXT NOT NULL,
                message BLOB NOT NULL,
                sealed BLOB NOT NULL,
                PRIMARY KEY (place, mailbox, message)
             ) STRICT;"
        )
    };
    let records = [Kind::Heads, Kind::Words, Kind::Headers].map(of_records).concat();
    format!(
        "BEGIN IMMEDIATE;
         {records}
         CREATE TABLE IF NOT EXISTS complete (
            place BLOB NOT NULL,
            mailbox TEXT NOT NULL,
            mark BLOB NOT NULL,
            PRIMARY KEY (place, mailbox)
         ) STRICT;
         {IDS}
         PRAGMA user_version = {VERSION};
         COMMIT;"
    )
}
