//! After a crash: every unfinished replacement of a flow is brought to its end.
//!
//! In: the journal's unfinished rows, the Maildir as it is now, the caller's predicate. Out: what was done about each row;
//! rows that are settled are done in the journal, the others stay for the next time. The same rules as `retire`, applied to
//! what is on disk:
//!
//! | original | copy | journal | what is done |
//! | --- | --- | --- | --- |
//! | here | nowhere | any | begin anew |
//! | here | in `tmp/` | any | remove the copy, begin anew |
//! | in its mailbox | in the mailbox or moved | any | the predicate compares both again: good, retire the original; not good, remove the copy, begin anew |
//! | in another mailbox | in its mailbox | before Retiring | remove the copy: the original is treated there |
//! | in another mailbox | moved | before Retiring | the predicate compares both again |
//! | in another mailbox | anywhere | Retiring | keep both: that one may be a double, and the original gone by us |
//! | only another message of its name | anywhere | any | keep both |
//! | nowhere | in `tmp/` | before Retiring | remove the copy: somebody expunged the original |
//! | nowhere | in the mailbox | before Retiring | flag the copy as trashed: somebody expunged the original |
//! | nowhere | in the mailbox | Retiring | keep the copy: it was us |
//! | nowhere | in `tmp/` | Retiring | publish the copy: a disk that lied about a sync; it may be all there is |
//! | nowhere | nowhere | any | nothing is left to do |
//!
//! "The original" is what the predicate says it is, not what has its name: names repeat (`1:2,S` in two folders, `new/1` beside
//! `cur/1:2,S`). Of two messages equal to the octet in one mailbox either may be taken for the original.
//!
//! Never removes an original without the predicate's word; never removes a copy while the original cannot be seen, except
//! where the table says so.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::folder::{CHASES, Identity, Mailbox, Message, Place, ScanError, open_regular};
use super::name::{FileName, Flags, NameError, Unique};
use super::publish::{Pair, Published, rename_to_free, sync_once};
use super::retire::{Outcome, RetireError, Retired, remove, trash};
use super::stage::Replacer;
use super::tree::ListError;
use crate::clock::UnixSeconds;
use crate::database::Database;
use crate::journal::{Journal, JournalError, Row, RowId, State};
use crate::proof::Proof;

/// A row and what was done about it.
#[derive(Debug)]
pub struct Recovered<E> {
    /// The row as it was found.
    pub row: Row,
    /// What was done; on an error nothing, and the row is still unfinished.
    pub recovery: Result<Recovery, RecoverError<E>>,
}

/// What was done about an unfinished replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The original is there and no copy is: it is to be treated anew.
    BeginAnew,
    /// It was over but for the journal: the copy stands in the original's place.
    Finished,
    /// It came to its end now.
    Settled(Outcome),
}

/// What the predicate says of a pair.
#[derive(Debug)]
pub enum Comparison<P> {
    /// The copy is as good as its original, which may go.
    Proved(P),
    /// The original is the one that the copy was to be made of, but the copy is not good: it may go.
    BadCopy,
    /// The copy was not made of that original, which merely has its name. Neither may go.
    OtherOriginal,
}

/// Why a row, or the whole recovery, could not be dealt with. Try again later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError<E> {
    /// The caller's predicate could not tell; both stay.
    #[error("the copy could not be compared")]
    Undecided(#[source] E),
    /// The row is not of a Maildir.
    #[error("the journal holds a name that no message can have")]
    Name(#[from] NameError),
    /// The mailboxes could not be listed.
    #[error("the mailboxes cannot be listed")]
    List(#[from] ListError),
    /// A mailbox could not be read.
    #[error("a mailbox cannot be read")]
    Scan(#[from] ScanError),
    /// The original could not be removed.
    #[error("the original cannot be retired")]
    Retire(#[from] RetireError),
    /// The journal failed.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The file system failed.
    #[error("the Maildir cannot be changed")]
    Io(#[from] io::Error),
}

/// Settles the unfinished replacements of a flow; to be called before anything new is staged.
///
/// `predicate` gets the row, a message of the original's name, and the copy, both freshly opened. An error says that it could
/// not tell (the original cannot be read), and nothing is removed.
pub fn recover<P: Proof, E>(
    replacer: &Replacer,
    database: &Database,
    flow: &str,
    now: UnixSeconds,
    mut predicate: impl FnMut(&Row, File, File) -> Result<Comparison<P>, E>,
) -> Result<Vec<Recovered<E>>, RecoverError<E>> {
    let journal = Journal::on(database);
    let rows = journal.unfinished(flow)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let survey = Survey::of(replacer, &rows)?;
    let mut directories = BTreeSet::new();
    let mut results = Vec::with_capacity(rows.len());
    let mut proven = Vec::new();
    for row in rows {
        match survey.settle(&row, &mut directories, &mut predicate) {
            Ok(Step::Settled(recovery)) => results.push(Recovered { row, recovery: Ok(recovery) }),
            Ok(Step::Proven(pair, proof)) => proven.push((row, Published { pair, proof })),
            Err(error) => results.push(Recovered { row, recovery: Err(error) }),
        }
    }
    results.extend(retire_all(replacer, journal, proven, now, &mut directories)?);
    // Only what is durable on disk may be done in the journal.
    sync_once(directories.into_iter())?;
    let done: Vec<RowId> =
        results.iter().filter(|result| result.recovery.is_ok()).map(|result| result.row.id).collect();
    journal.advance(&done, State::Done, now)?;
    results.sort_by_key(|result| result.row.id);
    Ok(results)
}

/// Where everything is that the journal names.
struct Survey {
    mailboxes: Vec<Mailbox>,
    /// By mailbox index first, so that a message that is in two places is found in its own.
    found: HashMap<Unique, Vec<(usize, Message)>>,
}

/// What one row came to before the originals are retired.
enum Step<P> {
    Settled(Recovery),
    Proven(Box<Pair>, P),
}

impl Survey {
    /// Reads the mailboxes that the rows name; then all, if something was not there.
    fn of<E>(replacer: &Replacer, rows: &[Row]) -> Result<Survey, RecoverError<E>> {
        let mailboxes = replacer.maildir().list()?.mailboxes;
        let names =
            |row: &Row| [Unique::parse(&row.original).ok(), Unique::parse(&row.copy).ok()].into_iter().flatten();
        let mut survey = Survey { mailboxes, found: HashMap::new() };
        for index in 0..survey.mailboxes.len() {
            let own = rows
                .iter()
                .filter(|row| survey.mailboxes.get(index).is_some_and(|mailbox| mailbox.name() == row.mailbox));
            let wanted: HashSet<Unique> = own.flat_map(names).collect();
            survey.look(index, &wanted)?;
        }
        let missing: HashSet<Unique> = rows
            .iter()
            .flat_map(|row| names(row).map(move |unique| (row, unique)))
            .filter(|(row, unique)| !survey.places(unique).any(|(mailbox, _)| mailbox.name() == row.mailbox))
            .map(|(_, unique)| unique)
            .collect();
        for index in 0..survey.mailboxes.len() {
            survey.look(index, &missing)?;
        }
        Ok(survey)
    }

    fn look(&mut self, index: usize, wanted: &HashSet<Unique>) -> Result<(), ScanError> {
        let Some(mailbox) = self.mailboxes.get(index).filter(|_| !wanted.is_empty()) else {
            return Ok(());
        };
        for (unique, messages) in mailbox.find_among(wanted)? {
            let places = self.found.entry(unique).or_default();
            places.retain(|(known, _)| *known != index);
            places.extend(messages.into_iter().map(|message| (index, message)));
        }
        Ok(())
    }

    /// Every message of that name.
    fn places(&self, unique: &Unique) -> impl Iterator<Item = (&Mailbox, &Message)> + Clone {
        let found = self.found.get(unique).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|(index, message)| Some((self.mailboxes.get(*index)?, message)))
    }

    /// A copy, in the preferred mailbox if it is there. Its name is ours alone.
    fn copy_of(&self, unique: &Unique, preferred: &str) -> Option<(&Mailbox, &Message)> {
        let mut places = self.places(unique);
        places.clone().find(|(mailbox, _)| mailbox.name() == preferred).or_else(|| places.next())
    }

    fn settle<P, E>(
        &self,
        row: &Row,
        directories: &mut BTreeSet<PathBuf>,
        predicate: &mut impl FnMut(&Row, File, File) -> Result<Comparison<P>, E>,
    ) -> Result<Step<P>, RecoverError<E>> {
        let (original, copy) = (Unique::parse(&row.original)?, Unique::parse(&row.copy)?);
        let tmp = self.in_tmp(&copy)?;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            self.places(&original).partition(|(mailbox, _)| mailbox.name() == row.mailbox);
        let published = self.copy_of(&copy, &row.mailbox);
        let retiring = row.state >= State::Retiring;
        if let (None, true, Some(mailbox)) = (published, retiring, tmp)
            && !is_here(row, &here, &tmp_of(mailbox, &copy), predicate)?
        {
            rescue(mailbox, &copy, directories)?;
            return Ok(Step::Settled(Recovery::Finished));
        }
        if let Some(mailbox) = tmp {
            directories.insert(mailbox.tmp());
            remove_litter(mailbox, &copy)?;
        }
        let Some(copy) = published else {
            let none = here.is_empty() && elsewhere.is_empty();
            let recovery = if none { Recovery::Settled(Outcome::BothGone) } else { Recovery::BeginAnew };
            return Ok(Step::Settled(recovery));
        };
        for original in &here {
            match compare(row, *original, copy, predicate)? {
                Comparison::Proved((pair, proof)) => return Ok(Step::Proven(pair, proof)),
                Comparison::BadCopy => {
                    remove_copy(*original, copy, directories)?;
                    return Ok(Step::Settled(Recovery::BeginAnew));
                }
                Comparison::OtherOriginal => {}
            }
        }
        if retiring {
            // Our removal may not have been synced before the crash.
            directories.extend(
                [Place::New, Place::Cur].map(|place| copy.0.place(place)).into_iter().filter(|path| path.is_dir()),
            );
            return Ok(Step::Settled(Recovery::Finished));
        }
        for original in &elsewhere {
            match compare(row, *original, copy, predicate)? {
                Comparison::OtherOriginal => {}
                Comparison::Proved((pair, proof)) if copy.0.name() != row.mailbox => {
                    return Ok(Step::Proven(pair, proof));
                }
                Comparison::Proved(_) | Comparison::BadCopy => {
                    remove_copy(*original, copy, directories)?;
                    return Ok(Step::Settled(Recovery::Settled(Outcome::MovedElsewhere)));
                }
            }
        }
        if here.is_empty() && elsewhere.is_empty() {
            chase(copy, |mailbox, copy| trash(mailbox, copy, directories))?;
            return Ok(Step::Settled(Recovery::Settled(Outcome::Expunged)));
        }
        Ok(Step::Settled(Recovery::Settled(Outcome::OriginalChanged)))
    }

    /// The mailbox in whose `tmp/` the copy is. Not only its own: a mailbox may have been renamed.
    fn in_tmp(&self, copy: &Unique) -> io::Result<Option<&Mailbox>> {
        for mailbox in &self.mailboxes {
            if tmp_of(mailbox, copy).try_exists()? {
                return Ok(Some(mailbox));
            }
        }
        Ok(None)
    }
}

/// Lets the caller compare both once more.
fn compare<P, E>(
    row: &Row,
    original: (&Mailbox, &Message),
    copy: (&Mailbox, &Message),
    predicate: &mut impl FnMut(&Row, File, File) -> Result<Comparison<P>, E>,
) -> Result<Comparison<(Box<Pair>, P)>, RecoverError<E>> {
    let (original_mailbox, mut original) = (original.0, original.1.clone());
    let (copy_mailbox, mut published) = (copy.0, copy.1.clone());
    let original_file = original_mailbox.open(&mut original)?.ok_or_else(gone)?;
    let copy_file = copy_mailbox.open(&mut published)?.ok_or_else(gone)?;
    let (original_stat, copy_stat) = (original_file.metadata()?, copy_file.metadata()?);
    let compared = predicate(row, original_file, copy_file).map_err(RecoverError::Undecided)?;
    let proof = match compared {
        Comparison::Proved(proof) => proof,
        Comparison::BadCopy => return Ok(Comparison::BadCopy),
        Comparison::OtherOriginal => return Ok(Comparison::OtherOriginal),
    };
    let base = (original.place(), base_after_a_crash(&original, &published));
    let pair = Pair {
        mailbox: original_mailbox.clone(),
        original,
        original_file: Identity::of(&original_stat),
        copy_mailbox: copy_mailbox.clone(),
        copy: published,
        copy_file: Identity::of(&copy_stat),
        base,
    };
    Ok(Comparison::Proved((Box::new(pair), proof)))
}

/// Whether the original, not merely one of its name, is among these.
fn is_here<P, E>(
    row: &Row,
    here: &[(&Mailbox, &Message)],
    copy: &Path,
    predicate: &mut impl FnMut(&Row, File, File) -> Result<Comparison<P>, E>,
) -> Result<bool, RecoverError<E>> {
    for (mailbox, message) in here {
        let original = mailbox.open(&mut (*message).clone())?.ok_or_else(gone)?;
        let compared = predicate(row, original, open_regular(copy)?).map_err(RecoverError::Undecided)?;
        if !matches!(compared, Comparison::OtherOriginal) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a copy whose original was there a moment ago, and must be there still.
fn remove_copy<E>(
    original: (&Mailbox, &Message),
    copy: (&Mailbox, &Message),
    directories: &mut BTreeSet<PathBuf>,
) -> Result<(), RecoverError<E>> {
    original.0.refresh(&mut original.1.clone())?.ok_or_else(gone)?;
    Ok(chase(copy, |mailbox, copy| remove(mailbox, copy, directories))?)
}

fn gone() -> io::Error {
    io::Error::from(ErrorKind::NotFound)
}

/// The flags that both had when they were last alike are not known after a crash, in which the owner may have seen both for
/// days. So what was set on either stays set; but a copy is trashed only if both are: one of two equal messages that was
/// deleted was deleted as a duplicate.
fn base_after_a_crash(original: &Message, copy: &Message) -> Flags {
    original.flags().common(&copy.flags()).with(Flags::TRASHED)
}

fn retire_all<P: Proof, E>(
    replacer: &Replacer,
    journal: Journal<'_>,
    proven: Vec<(Row, Published<P>)>,
    now: UnixSeconds,
    directories: &mut BTreeSet<PathBuf>,
) -> Result<Vec<Recovered<E>>, RecoverError<E>> {
    let (rows, published): (Vec<Row>, Vec<Published<P>>) = proven.into_iter().unzip();
    let durable = Published::make_durable(published)?;
    let announced = journal.announce(&rows.iter().map(|row| row.id).collect::<Vec<_>>(), now)?;
    let mut results = Vec::with_capacity(rows.len());
    for (row, copy) in rows.into_iter().zip(durable) {
        let recovery = match copy.retire(replacer, &announced) {
            Ok(Retired { outcome, directories: touched }) => {
                directories.extend(touched);
                Ok(Recovery::Settled(outcome))
            }
            Err(error) => Err(error.into()),
        };
        results.push(Recovered { row, recovery });
    }
    Ok(results)
}

/// Does `work` to a message, following it under new names in its mailbox; a message that is gone is no error.
fn chase(
    found: (&Mailbox, &Message),
    mut work: impl FnMut(&Mailbox, &mut Message) -> io::Result<bool>,
) -> Result<(), ScanError> {
    let (mailbox, mut message) = (found.0, found.1.clone());
    for _ in 0..CHASES {
        if mailbox.refresh(&mut message)?.is_none() || work(mailbox, &mut message)? {
            return Ok(());
        }
    }
    Err(ScanError::Restless)
}

fn rescue(mailbox: &Mailbox, copy: &Unique, directories: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let name = FileName::plain(copy.clone());
    let message = Message::named(Place::Cur, name.with_flags(Flags::default()));
    directories.insert(mailbox.place(Place::Cur));
    rename_to_free(&mailbox.tmp().join(name.write()), &mailbox.path(&message))
}

fn tmp_of(mailbox: &Mailbox, copy: &Unique) -> PathBuf {
    mailbox.tmp().join(FileName::plain(copy.clone()).write())
}

fn remove_litter(mailbox: &Mailbox, copy: &Unique) -> io::Result<()> {
    match fs::remove_file(tmp_of(mailbox, copy)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
