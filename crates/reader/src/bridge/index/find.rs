//! A query answered from the index. In: a query. Out: the messages it means, newest first, as they are numbered now. Every record is looked at, decrypted one at a
//! time in memory that is wiped: no plaintext index could be faster by what it would cost.

use std::collections::HashMap;

use store::{Database, Maildir, Uids};

use super::file::{Index, IndexError};
use super::query::Query;
use crate::settings::{Settings, Source};

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Hit {
    /// Its mailbox.
    pub mailbox: String,
    /// Its UID.
    pub uid: u32,
    /// When it arrived, Unix seconds.
    pub arrived: i64,
    /// The From field; no control characters.
    pub from: String,
    /// The Subject field; no control characters.
    pub subject: String,
}

/// The messages that a query means.
pub fn search(settings: &Settings, query: &Query) -> Result<Vec<Hit>, IndexError> {
    let Source::Maildir(root) = &settings.source else { return Err(IndexError::NoMaildir) };
    let index = Index::open(settings)?;
    let maildir = Maildir::open(root).map_err(|_| IndexError::Mail)?;
    let database = Database::open(&settings.state).map_err(|_| IndexError::Unavailable)?;
    let uids = Uids::new(&database);
    let mut hits = Vec::new();
    let mut damaged = false;
    for mailbox in index.mailboxes()? {
        let known = uids.known(maildir.root(), &mailbox)?;
        let numbers: HashMap<Vec<u8>, u32> =
            known.into_iter().flat_map(|known| known.messages).map(|entry| (entry.message, entry.uid)).collect();
        index.each(&mailbox, |message, record| {
            let Some(record) = record else {
                damaged = true;
                return;
            };
            if let Some(uid) = numbers.get(message)
                && query.means(&record)
            {
                hits.push(Hit {
                    mailbox: mailbox.clone(),
                    uid: *uid,
                    arrived: record.arrived,
                    from: printable(record.shown_from),
                    subject: printable(record.shown_subject),
                });
            }
        })?;
    }
    // A message that is not found must not be there.
    if damaged {
        return Err(IndexError::Damaged);
    }
    hits.sort_by(|a, b| (b.arrived, &a.mailbox, b.uid).cmp(&(a.arrived, &b.mailbox, a.uid)));
    Ok(hits)
}

/// A sender must not steer the owner's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
