//! Entries of the index. In: messages that were opened. Out: which messages hold some texts, without opening any.

use std::collections::HashMap;

use wire::MailboxName;
use wire::imap::server::SearchKey;

use super::record::{Record, record_of};
use crate::depot::{Filed, Original, ReachError, Trouble};
use crate::index::criteria::holds;
use crate::settings::Settings;
use crate::vault::{Kind, Vault, VaultError};

/// The open index.
pub(crate) struct Index {
    pub(crate) vault: Vault,
}

/// Why there is no index, or it does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Its file.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// There is nothing to seal its key with.
    #[error("there is no sealer key or owner here to seal the index's key with")]
    NoSealer,
    /// The mail is not reached.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// It was reached, and then it was lost.
    #[error("the mailboxes cannot be read")]
    Mail,
    /// The state database.
    #[error("the state cannot be read or written")]
    State,
}

/// Texts that are searched for.
pub(crate) struct Needles {
    texts: Vec<(Place, String)>,
    /// The day of the Date field is asked for, too.
    sent: bool,
}

/// Where a text is searched for (RFC 3501 §6.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Body,
    Text,
    From,
    To,
    Cc,
    Bcc,
    Subject,
}

impl Place {
    /// The header field that is searched; `None`: the index knows it not by itself.
    pub(crate) fn of_field(name: &[u8]) -> Option<Place> {
        let fields: [(&[u8], Place); 5] = [
            (b"from", Place::From),
            (b"to", Place::To),
            (b"cc", Place::Cc),
            (b"bcc", Place::Bcc),
            (b"subject", Place::Subject),
        ];
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, place)| place)
    }

    fn has(self, record: &Record<'_>, text: &str) -> bool {
        let field = match self {
            Place::Body => record.body,
            Place::Text => return holds(record.header, text) || holds(record.body, text),
            Place::From => record.from,
            Place::To => record.to,
            Place::Cc => record.cc,
            Place::Bcc => record.bcc,
            Place::Subject => record.subject,
        };
        holds(field, text)
    }
}

/// Which needles each message of a mailbox holds; messages that are not in the index are not in here.
pub(crate) struct Holding {
    needles: Needles,
    found: HashMap<Vec<u8>, Held>,
}

/// What is known of a message: a bit for each needle that it holds, and the day of its Date field.
#[derive(Clone, Copy)]
struct Held {
    bits: u64,
    sent: i64,
}

/// Texts of one search that are looked for at once.
const MOST: usize = 64;

impl Index {
    /// Opens what was made.
    pub(crate) fn open(settings: &Settings) -> Result<Index, IndexError> {
        Ok(Index { vault: Vault::open(settings, Kind::Words)? })
    }

    /// Header sections of the same mail.
    pub(crate) fn headers(&self) -> Result<Vault, VaultError> {
        self.vault.of(Kind::Headers)
    }

    /// What is kept of other mailboxes than these goes.
    pub(crate) fn keep_mailboxes(&self, there: &[MailboxName]) -> Result<(), VaultError> {
        let there = there.iter().map(MailboxName::wire).collect();
        self.vault.keep_mailboxes(&there).map(drop)
    }

    /// Looks into every message of a mailbox.
    pub(crate) fn holding(&self, mailbox: &str, needles: Needles) -> Result<Holding, IndexError> {
        let mut found = HashMap::new();
        self.vault.each(mailbox, |message, octets| {
            // What does not open is as if it were not there: the message itself is opened.
            let Some(record) = octets.and_then(Record::parse) else { return };
            let bits = needles.texts.iter().enumerate().filter(|(_, (place, text))| place.has(&record, text));
            let bits = bits.fold(0_u64, |bits, (at, _)| bits | (1 << at));
            found.insert(message.to_vec(), Held { bits, sent: record.sent });
        })?;
        Ok(Holding { needles, found })
    }

    /// Whether a message is in it.
    pub(crate) fn knows(&self, filed: &Filed) -> bool {
        self.vault.has(&filed.mailbox, &filed.message).unwrap_or(false)
    }

    /// Puts a message in that was opened.
    pub(crate) fn learn(&self, filed: &Filed, original: &mut Original, arrived: i64) -> Result<(), Trouble> {
        let record = record_of(original, arrived)?;
        self.vault.put(&filed.mailbox, &filed.message, record).map_err(|_| Trouble::Io)
    }
}

impl Needles {
    /// The texts of a prepared search; `None`: there are none, or too many to be looked for at once.
    pub(crate) fn of(key: &SearchKey) -> Option<Needles> {
        let mut needles = Needles { texts: Vec::new(), sent: false };
        collect(key, &mut needles);
        let asks = needles.sent || !needles.texts.is_empty();
        (asks && needles.texts.len() <= MOST).then_some(needles)
    }
}

fn collect(key: &SearchKey, needles: &mut Needles) {
    let mut push = |place, text: &[u8]| {
        let needle = (place, String::from_utf8_lossy(text).into_owned());
        if !needles.texts.contains(&needle) {
            needles.texts.push(needle);
        }
    };
    match key {
        SearchKey::And(keys) => keys.iter().for_each(|key| collect(key, needles)),
        SearchKey::Or(first, second) => [first, second].into_iter().for_each(|key| collect(key, needles)),
        SearchKey::Not(key) => collect(key, needles),
        SearchKey::SentBefore(_) | SearchKey::SentOn(_) | SearchKey::SentSince(_) => needles.sent = true,
        SearchKey::Body(text) => push(Place::Body, text),
        SearchKey::Text(text) => push(Place::Text, text),
        // That a field is there at all the index does not know.
        SearchKey::Header(name, text) if !text.is_empty() => {
            if let Some(place) = Place::of_field(name) {
                push(place, text);
            }
        }
        _ => {}
    }
}

impl Holding {
    /// Whether a message holds a text; `None`: the index does not know the message.
    pub(crate) fn says(&self, message: &[u8], place: Place, text: &str) -> Option<bool> {
        let at = self.needles.texts.iter().position(|(other, needle)| *other == place && needle == text)?;
        self.found.get(message).map(|held| held.bits & (1 << at) != 0)
    }

    /// Whether the index knows a message.
    pub(crate) fn knows(&self, message: &[u8]) -> bool {
        self.found.contains_key(message)
    }

    /// The day of a message's Date field, in days since 1970; 0 where there is none that can be read.
    pub(crate) fn sent(&self, message: &[u8]) -> Option<i64> {
        self.found.get(message).map(|held| held.sent)
    }
}
