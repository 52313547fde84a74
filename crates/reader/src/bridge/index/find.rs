//! A query answered from the index. In: a query. Out: the messages it means, newest first, as they are numbered now. Every record is looked at, decrypted one at a
//! time in memory that is wiped: no plaintext index could be faster by what it would cost. No mail is read, no server asked.

use std::collections::HashMap;

use store::{Database, Maildir, Uids};
use wire::MailboxName;

use super::entry::{Index, IndexError};
use super::query::Query;
use super::record::Record;
use crate::bridge::account::uid_of;
use crate::bridge::maildir::name_of_wire;
use crate::bridge::reach::ReachError;
use crate::bridge::vault::VaultError;
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
    let index = Index::open(settings)?;
    let numbers = Numbers::of(settings)?;
    let mut hits = Vec::new();
    let mut damaged = false;
    for mailbox in index.vault.mailboxes()? {
        let number = numbers.within(&mailbox)?;
        let name = MailboxName::from_wire(&mailbox).utf8();
        index.vault.each(&mailbox, |message, octets| {
            let Some(record) = octets.and_then(Record::parse) else {
                damaged = true;
                return;
            };
            if query.means(&record)
                && let Some(uid) = number(message)
            {
                hits.push(Hit {
                    mailbox: name.clone(),
                    uid,
                    arrived: record.arrived,
                    from: printable(record.shown_from),
                    subject: printable(record.shown_subject),
                });
            }
        })?;
    }
    // A message that is not found must not be there.
    if damaged {
        return Err(VaultError::Damaged.into());
    }
    hits.sort_by(|a, b| (b.arrived, &a.mailbox, b.uid).cmp(&(a.arrived, &b.mailbox, a.uid)));
    Ok(hits)
}

/// Where the numbers of messages come from.
enum Numbers {
    /// The state database.
    State(Box<Database>, Maildir),
    /// The names of the records.
    Records,
}

/// The number that a message has, by the name of its record.
type Number = Box<dyn Fn(&[u8]) -> Option<u32>>;

impl Numbers {
    fn of(settings: &Settings) -> Result<Numbers, IndexError> {
        Ok(match &settings.source {
            Source::Maildir(root) => {
                let database = Database::open(&settings.state).map_err(ReachError::from)?;
                Numbers::State(Box::new(database), Maildir::open(root).map_err(ReachError::from)?)
            }
            Source::Imap(_) => Numbers::Records,
        })
    }

    fn within(&self, mailbox: &str) -> Result<Number, IndexError> {
        Ok(match self {
            Numbers::State(database, maildir) => {
                let name = name_of_wire(mailbox);
                let known = Uids::new(database).known(maildir.root(), &name).map_err(|_| IndexError::State)?;
                let messages = known.into_iter().flat_map(|known| known.messages);
                let numbers: HashMap<Vec<u8>, u32> = messages.map(|entry| (entry.message, entry.uid)).collect();
                Box::new(move |message| numbers.get(message).copied())
            }
            Numbers::Records => Box::new(uid_of),
        })
    }
}

/// A sender must not steer the owner's terminal.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}
