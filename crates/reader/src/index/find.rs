//! A query answered from the index. In: a query. Out: the messages it means, newest first, as they are numbered now. Every record is looked at, decrypted one at a
//! time in memory that is wiped: no plaintext index could be faster by what it would cost. No mail is read, no server asked.

use std::collections::HashMap;

use store::{Database, Maildir, Uids};
use wire::MailboxName;

use super::criteria::shown_day;
use super::entry::{Index, IndexError};
use super::query::Query;
use super::record::Record;
use crate::depot::{ReachError, name_on_disk, uid_of};
use crate::place::printable;
use crate::settings::{Settings, Source};
use crate::vault::VaultError;

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Hit {
    /// Its mailbox.
    pub mailbox: String,
    /// Its UID.
    pub uid: u32,
    /// The day of the Date field, which `before:` and `after:` ask for; that of its arrival, if it has none.
    pub date: String,
    /// When it arrived, Unix seconds.
    pub arrived: i64,
    /// The From field; no control characters.
    pub from: String,
    /// The Subject field; no control characters.
    pub subject: String,
}

/// The messages that a query means.
pub fn search(settings: &Settings, query: &Query) -> Result<Vec<Hit>, IndexError> {
    let numbers = Numbers::of(settings)?;
    let index = Index::open(settings)?;
    let mut hits = Vec::new();
    let mut damaged = false;
    for mailbox in index.vault.mailboxes()? {
        let number = numbers.within(&mailbox)?;
        let name = printable(&MailboxName::from_wire(&mailbox).utf8());
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
                    date: shown_day(Some(record.sent).filter(|sent| *sent != 0), record.arrived),
                    arrived: record.arrived,
                    from: printable(&String::from_utf8_lossy(record.shown_from)),
                    subject: printable(&String::from_utf8_lossy(record.shown_subject)),
                });
            }
        })?;
    }
    // A message that is not found must not be there.
    if damaged {
        return Err(VaultError::Damaged.into());
    }
    hits.sort_by(|a, b| (&b.date, b.arrived, &a.mailbox, b.uid).cmp(&(&a.date, a.arrived, &b.mailbox, a.uid)));
    Ok(hits)
}

/// The names of the mailboxes that the index knows.
pub fn mailboxes(settings: &Settings) -> Result<Vec<String>, IndexError> {
    let names = names(&Index::open(settings)?)?;
    Ok(names.iter().map(|name| printable(&MailboxName::from_wire(name).utf8())).collect())
}

/// On the wire; those that are empty, too.
fn names(index: &Index) -> Result<Vec<String>, IndexError> {
    let mut names = index.vault.mailboxes()?;
    names.extend(index.vault.seen()?.into_iter().map(|(name, _)| name));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// What the index holds, as far as it is known without a look at the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Messages in it.
    pub messages: u64,
    /// Mailboxes of which messages are missing, or may be.
    pub incomplete: u64,
}

/// How the index stands; an error where there is none.
pub fn stand(settings: &Settings) -> Result<Stand, IndexError> {
    let numbers = Numbers::of(settings)?;
    let index = Index::open(settings)?;
    let seen = index.vault.seen()?;
    let mut stand = Stand { messages: 0, incomplete: 0 };
    let names = names(&index)?;
    // A file that holds nothing was made just now.
    if names.is_empty() {
        return Err(VaultError::None.into());
    }
    for name in names {
        let messages = index.vault.messages(&name)?;
        stand.messages = stand.messages.saturating_add(messages.len() as u64);
        let whole = match numbers.count(&name)? {
            Some(count) => messages.len() >= count,
            None => seen.iter().any(|(other, whole)| *other == name && *whole),
        };
        stand.incomplete = stand.incomplete.saturating_add(u64::from(!whole));
    }
    Ok(stand)
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
                let maildir = Maildir::open(root).map_err(ReachError::from)?;
                let database = Database::open(&settings.state).map_err(ReachError::from)?;
                Numbers::State(Box::new(database), maildir)
            }
            Source::Imap(_) => Numbers::Records,
        })
    }

    /// How many messages of a mailbox have a number; `None`: that is not known here.
    fn count(&self, mailbox: &str) -> Result<Option<usize>, IndexError> {
        let Numbers::State(database, maildir) = self else { return Ok(None) };
        let name = name_on_disk(maildir, mailbox).map_err(|_| IndexError::Mail)?;
        let known = Uids::new(database).known(maildir.root(), &name).map_err(|_| IndexError::State)?;
        Ok(known.map(|known| known.messages.len()))
    }

    fn within(&self, mailbox: &str) -> Result<Number, IndexError> {
        Ok(match self {
            Numbers::State(database, maildir) => {
                let name = name_on_disk(maildir, mailbox).map_err(|_| IndexError::Mail)?;
                let known = Uids::new(database).known(maildir.root(), &name).map_err(|_| IndexError::State)?;
                let messages = known.into_iter().flat_map(|known| known.messages);
                let numbers: HashMap<Vec<u8>, u32> = messages.map(|entry| (entry.message, entry.uid)).collect();
                Box::new(move |message| numbers.get(message).copied())
            }
            Numbers::Records => Box::new(uid_of),
        })
    }
}
