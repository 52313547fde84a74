//! Does every sealed message still open?
//!
//! In: a Maildir, keys, pinned sealers, the ledger. Out: what opens and what does not; copies; holes in the sealers' running
//! numbers (A9). Each message is read and decrypted whole, its signatures and hashes checked; nothing of it is written
//! anywhere. Changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufReader;
use std::ops::Range;

use sealed::field::encode_id;
use sealed::identity::{AccountId, MessageId, SealerId};
use serde::Serialize;
use store::database::OpenDatabaseError;
use store::ledger::LedgerError;
use store::maildir::{ListError as TreeError, OpenMaildirError};
use store::{Database, Fate, Ledger, Maildir};

use crate::progress::Progress;
use crate::reason;
use crate::settings::Settings;
use crate::walk::{Labelled, LeftOut, Others, Place, WalkError, walk};

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
    /// Running numbers that no message carries, neither noted as unused. Mail that its owner deleted leaves such holes too. At
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
}

/// Opens every message that carries our label.
pub fn verify(settings: &Settings, progress: &mut impl Progress) -> Result<Verified, VerifyError> {
    let maildir = Maildir::open(&settings.maildir)?;
    let (mut messages, mut octets) = (0_u64, 0_u64);
    walk(&maildir, &settings.mailboxes, |labelled| {
        (messages, octets) = (messages.saturating_add(1), octets.saturating_add(labelled.length));
        Ok::<(), VerifyError>(())
    })?;
    progress.total(messages, octets);

    let mut tally = Tally::default();
    let others = walk(&maildir, &settings.mailboxes, |labelled| {
        tally.take(settings, labelled, progress);
        Ok::<(), VerifyError>(())
    })?;
    let mut verified = tally.verified;
    let Others { unlabelled, unreadable, unread, left_out } = others;
    verified = Verified { others: unlabelled, unreadable, unread, left_out, ..verified };
    verified.gaps = gaps(settings, tally.numbers)?;
    Ok(verified)
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
            VerifyError::Maildir(OpenMaildirError::NotAMaildir)
            | VerifyError::Database(OpenDatabaseError::Newer { .. } | OpenDatabaseError::Foreign) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

impl From<WalkError<VerifyError>> for VerifyError {
    fn from(error: WalkError<VerifyError>) -> VerifyError {
        match error {
            WalkError::List(error) => error.into(),
            WalkError::Work(error) => error,
        }
    }
}

/// Who counts for whom.
type Counter = (SealerId, AccountId);

#[derive(Default)]
struct Tally {
    verified: Verified,
    /// Names of the files that were seen: one that moves on meanwhile is seen twice.
    files: HashSet<(String, Vec<u8>)>,
    ids: HashSet<MessageId>,
    numbers: HashMap<Counter, HashMap<u64, MessageId>>,
}

/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;

impl Tally {
    fn take(&mut self, settings: &Settings, mut labelled: Labelled<'_>, progress: &mut impl Progress) {
        let Labelled { mailbox, message, length, .. } = &mut labelled;
        if !self.files.insert((mailbox.name().to_owned(), message.unique().as_bytes().to_vec())) {
            return;
        }
        let place = Place::of(mailbox, message);
        let file = match mailbox.open(message) {
            Ok(Some(file)) => file,
            Ok(None) => return,
            Err(_) => return self.fail(place, reason::UNREADABLE, progress),
        };
        let Ok(spool) = settings.spool() else {
            return self.fail(place, reason::UNREADABLE, progress);
        };
        let opened =
            open::open(&mut BufReader::with_capacity(READ_BUFFER, &file), spool, &settings.keys, &settings.trust);
        match opened {
            Err(error) => self.fail(place, reason::of(&error, &file), progress),
            Ok(opened) => {
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
                progress.done(*length);
            }
        }
    }

    fn fail(&mut self, place: Place, reason: &'static str, progress: &mut impl Progress) {
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
            used.extend(Ledger::on(database).gaps(public.octets(), &account.0)?);
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
