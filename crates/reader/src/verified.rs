//! What was found when everything was opened.
//!
//! In: sealed messages one by one, the ledger. Out: what opens and what does not; copies; holes in the sealers' running numbers
//! (A9). Nothing of a message is written anywhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Seek};
use std::ops::Range;

use sealed::field::encode_id;
use sealed::identity::{AccountId, MessageId, SealerId};
use serde::Serialize;
use store::database::OpenDatabaseError;
use store::ledger::LedgerError;
use store::maildir::{ListError as TreeError, OpenMaildirError};
use store::{Database, Fate, Ledger};

use crate::account::AccountError;
use crate::opening::open_whole;
use crate::place::{LeftOut, Others, Place};
use crate::progress::Progress;
use crate::reason;
use crate::settings::Settings;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Messages that open, whole, with both signatures.
    pub opened: u64,
    /// Octets of their originals.
    pub octets: u64,
    /// Messages that carry our label and do not open, with the [reason](crate::reason); at most [`MAX_LISTED`].
    pub broken: Vec<(Place, &'static str)>,
    /// All of them, by reason. Mail of unknown sealers and mail that only carries the label are no damage.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Messages whose id another one has as well: copies, at most [`MAX_LISTED`].
    pub copies: Vec<Place>,
    /// Messages with the running number of another one: somebody else has the sealer's key. At most [`MAX_LISTED`].
    pub same_number: Vec<Place>,
    /// Running numbers that no message carries, neither noted as unused or put back, nor taken by another flow of this home. Mail that its owner deleted leaves such holes too. At
    /// most [`MAX_LISTED`].
    pub gaps: Vec<Gap>,
    /// Messages without our label.
    pub others: u64,
    /// Entries that cannot be read; who knows what they are.
    pub unreadable: u64,
    /// The files among them; at most [`MAX_LISTED`].
    pub unread: Vec<Place>,
    /// Mailboxes that were not looked at.
    pub left_out: Vec<LeftOut>,
}

/// A hole in a sealer's running numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The sealer, as in `s=`.
    pub sealer: String,
    /// First missing number.
    pub first: u64,
    /// Last missing number.
    pub last: u64,
}

/// Entries of each list of a report; the counts are complete.
pub const MAX_LISTED: usize = 10_000;

/// Why the mail could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// Its mailboxes cannot be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// What is in it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// As the caller wished.
    #[error("stopped, as asked")]
    Stopped,
}

impl Verified {
    /// Whether everything that a pinned sealer made was read, and is as it was.
    pub fn is_sound(&self) -> bool {
        self.is_intact() && self.is_complete()
    }

    /// Whether everything could be looked at.
    pub fn is_complete(&self) -> bool {
        self.unreadable == 0 && self.left_out.is_empty() && !self.reasons.contains_key(reason::UNREADABLE)
    }

    /// Whether everything that could be read, and that a pinned sealer made, is as it was.
    pub fn is_intact(&self) -> bool {
        let harmless = [reason::LABEL_ONLY, reason::UNKNOWN_SEALER, reason::UNREADABLE];
        self.reasons.keys().all(|reason| harmless.contains(reason)) && self.same_number.is_empty()
    }
}

impl VerifyError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            VerifyError::Account(error) => error.fate(),
            VerifyError::Stopped => Fate::Retry,
            VerifyError::Maildir(OpenMaildirError::NotAMaildir)
            | VerifyError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

/// Who counts for whom.
type Counter = (SealerId, AccountId);

/// What is found, message by message.
#[derive(Default)]
pub(crate) struct Tally {
    verified: Verified,
    /// Names of the files that were seen: one that moves on meanwhile is seen twice.
    files: HashSet<(String, Vec<u8>)>,
    ids: HashSet<MessageId>,
    numbers: HashMap<Counter, HashMap<u64, MessageId>>,
}

impl Tally {
    /// Whether it is the first time that a message of that mailbox and name comes by.
    pub(crate) fn is_new(&mut self, mailbox: &str, name: &[u8]) -> bool {
        self.files.insert((mailbox.to_owned(), name.to_vec()))
    }

    /// Whether that message came by.
    pub(crate) fn has(&self, mailbox: &str, name: &[u8]) -> bool {
        self.files.contains(&(mailbox.to_owned(), name.to_vec()))
    }

    /// How many messages came by.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// A message that carries our label.
    pub(crate) fn take(
        &mut self,
        settings: &Settings,
        place: Place,
        length: u64,
        message: &mut (impl Read + Seek),
        progress: &mut impl Progress,
    ) {
        let opened = match open_whole(settings, &mut *message) {
            Err(error) => return self.fail(place, reason::of(&error, message), progress),
            Ok(opened) => opened,
        };
        self.verified.opened = self.verified.opened.saturating_add(1);
        self.verified.octets = self.verified.octets.saturating_add(opened.length());
        let (origin, sealer) = (&opened.inside.origin, opened.inside.sealer);
        if !self.ids.insert(origin.id) {
            note(&mut self.verified.copies, place.clone());
        }
        if origin.sequence != 0 {
            let numbers = self.numbers.entry((sealer, origin.account)).or_default();
            if *numbers.entry(origin.sequence).or_insert(origin.id) != origin.id {
                note(&mut self.verified.same_number, place);
            }
        }
        progress.done(length);
    }

    /// All came by.
    pub(crate) fn finish(self, settings: &Settings, others: Others) -> Result<Verified, VerifyError> {
        let Others { unlabelled, unreadable, unread, left_out } = others;
        let gaps = gaps(settings, self.numbers)?;
        Ok(Verified { others: unlabelled, unreadable, unread, left_out, gaps, ..self.verified })
    }

    /// A message that carries our label and was not opened.
    pub(crate) fn fail(&mut self, place: Place, reason: &'static str, progress: &mut impl Progress) {
        let count = self.verified.reasons.entry(reason).or_default();
        *count = count.saturating_add(1);
        note(&mut self.verified.broken, (place, reason));
        progress.failed(reason);
    }
}

fn note<T>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_LISTED {
        list.push(item);
    }
}

/// The holes, without those that the ledger knows of. A missing last number cannot be noticed here.
fn gaps(settings: &Settings, counters: HashMap<Counter, HashMap<u64, MessageId>>) -> Result<Vec<Gap>, VerifyError> {
    let database = match settings.state.exists() {
        true => Some(Database::open(&settings.state)?),
        false => None,
    };
    let mut gaps = Vec::new();
    for ((sealer, account), numbers) in counters {
        let mut used: Vec<Range<u64>> = numbers.into_keys().map(|number| number..number.saturating_add(1)).collect();
        if let (Some(database), Some(public)) = (&database, settings.trust.sealer(sealer)) {
            let ledger = Ledger::on(database);
            used.extend(ledger.gaps(public.octets(), &account.0)?);
            used.extend(ledger.of_others(public.octets(), &account.0, &settings.flow)?);
        }
        for hole in holes(used) {
            let sealer = encode_id(&sealer.0);
            note(&mut gaps, Gap { sealer, first: hole.start, last: hole.end.saturating_sub(1) });
        }
    }
    gaps.sort_by(|a, b| (&a.sealer, a.first).cmp(&(&b.sealer, b.first)));
    Ok(gaps)
}

/// What lies between 1 and the last of these ranges and in none of them.
fn holes(mut used: Vec<Range<u64>>) -> Vec<Range<u64>> {
    used.sort_by_key(|range| range.start);
    let mut holes = Vec::new();
    let mut next = 1;
    for range in used {
        if range.start > next {
            holes.push(next..range.start);
        }
        next = next.max(range.end);
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found() {
        let table = [
            (vec![], vec![]),
            (vec![(1, 2), (2, 3)], vec![]),
            (vec![(3, 4), (1, 2)], vec![(2, 3)]),
            (vec![(2, 9), (4, 5), (12, 13)], vec![(1, 2), (9, 12)]),
            (vec![(5, 6)], vec![(1, 5)]),
        ];
        let ranges = |pairs: Vec<(u64, u64)>| pairs.into_iter().map(|(a, b)| a..b).collect::<Vec<_>>();
        for (used, expected) in table {
            assert_eq!(holes(ranges(used.clone())), ranges(expected), "{used:?}");
        }
    }
}
