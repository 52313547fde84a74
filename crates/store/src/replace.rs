//! A batch of replacements, every step in its order.
//!
//! In: originals, and somebody who writes a copy of one and proves it. Out: what came of each. Steps that wait for the disk
//! are taken together: one transaction or one directory sync for the whole batch; writing and proving run on all cores.
//! One message that fails does not hinder the others. The last word, [`State::Done`](crate::journal::State), is left to the
//! caller, who has more to note in the same transaction. Never: what a copy means.

use std::fs::File;
use std::io;

use crate::clock::UnixSeconds;
use crate::cores::on_all_cores;
use crate::database::Database;
use crate::journal::{Begin, Journal, JournalError, RowId};
use crate::maildir::{
    Durable, Flags, Identity, Mailbox, Message, Outcome, Proven, Publish, PublishError, Published, ReadBackError,
    Replacer, RetireError, Retired, ScanError, StageError, Staged, Staging, Unique, Unsynced,
};
use crate::proof::Proof;
use crate::step::Step;

/// Makes the copies of a batch.
pub trait Replace: Sync {
    /// What the caller wants to have at hand for each message.
    type Item: Send + Sync;
    /// What is kept between writing a copy and proving it. It may be secret: it is dropped right after the proof.
    type Kept: Send;
    /// What a proven copy carries.
    type Proof: Proof + Send;
    /// Why a copy was not made.
    type Error: Send;

    /// Reads the original, whose flags are these now, and writes its copy. Also gives what the journal needs to prove the
    /// copy after a crash.
    fn write(
        &self,
        job: &Job<Self::Item>,
        flags: &Flags,
        original: File,
        to: &mut Staging,
    ) -> Result<(Self::Kept, Vec<u8>), Self::Error>;

    /// The copy as it is on disk: is it as good as its original?
    fn prove(&self, kept: Self::Kept, copy: File) -> Result<Self::Proof, Self::Error>;
}

/// One message to be replaced.
#[derive(Clone, Debug)]
pub struct Job<T> {
    /// Where it is.
    pub mailbox: Mailbox,
    /// What it was called when it was taken.
    pub original: Message,
    /// What the journal holds until the copy is written.
    pub note: Vec<u8>,
    /// The caller's.
    pub item: T,
}

/// A batch that the journal knows and of which nothing is done yet.
pub struct Batch<'a, T> {
    replacer: &'a Replacer,
    database: &'a Database,
    entries: Vec<Entry<T>>,
    now: UnixSeconds,
}

/// What came of one message of a batch.
#[derive(Debug)]
pub struct Replaced<T, E> {
    /// As it came.
    pub job: Job<T>,
    /// The journal's row.
    pub row: RowId,
    /// The name of the copy.
    pub copy: Unique,
    /// What came of it.
    pub ending: Ending<E>,
}

/// What came of one message.
#[derive(Debug)]
pub enum Ending<E> {
    /// No copy was made: the original is untouched, nothing is left behind.
    Failed(Failure<E>),
    /// The original went away, or was changed, before the copy was published: nothing is left behind.
    Vanished,
    /// It came to its end.
    Settled {
        /// Which.
        outcome: Outcome,
        /// Octets of the copy.
        length: u64,
    },
    /// Both are there: [`recover`](crate::recover) will settle it. The row must stay as it is.
    Unsettled(RetireError),
}

/// Why no copy was made.
#[derive(Debug)]
pub enum Failure<E> {
    /// No place for it, or it could not be brought to disk.
    Stage(StageError),
    /// The original could not be opened.
    Original(ScanError),
    /// The caller did not write it, or did not find it good.
    Refused(E),
    /// What was written could not be read back.
    ReadBack(io::Error),
    /// It could not be moved into the mailbox.
    Publish(PublishError),
}

/// Why nothing can be written at all: what meets one message meets all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Halt {
    /// No space left.
    Full,
    /// Not allowed.
    Forbidden,
}

/// Why a batch was broken off. Nothing is lost: recover.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A directory could not be synced.
    #[error("a mailbox directory cannot be synced")]
    Sync(#[source] io::Error),
}

impl Halt {
    /// Whether that error of writing would meet every other message too.
    pub fn of(error: &io::Error) -> Option<Halt> {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Some(Halt::Full),
            PermissionDenied | ReadOnlyFilesystem => Some(Halt::Forbidden),
            _ => None,
        }
    }
}

impl<T, E> Replaced<T, E> {
    /// Whether the journal's row may be done.
    pub fn is_over(&self) -> bool {
        !matches!(self.ending, Ending::Unsettled(_))
    }
}

impl<'a, T: Send + Sync> Batch<'a, T> {
    /// Writes the batch into the journal.
    pub fn begin(
        replacer: &'a Replacer,
        database: &'a Database,
        flow: &str,
        jobs: Vec<Job<T>>,
        now: UnixSeconds,
    ) -> Result<Batch<'a, T>, JournalError> {
        let copies: Vec<Unique> = jobs.iter().map(|_| replacer.new_unique()).collect();
        let rows: Vec<Begin<'_>> = jobs
            .iter()
            .zip(&copies)
            .map(|(job, copy)| Begin {
                mailbox: job.mailbox.name(),
                original: job.original.unique().as_bytes(),
                copy: copy.as_bytes(),
                expectation: &job.note,
            })
            .collect();
        let journal = Journal::on(database);
        let rows = database.together(|| {
            journal.note_place(flow, replacer.maildir().root())?;
            journal.begin(flow, &rows, now)
        })?;
        let entries = jobs.into_iter().zip(copies).zip(rows);
        let entries = entries.map(|((job, copy), row)| Entry { job, copy, row }).collect();
        Ok(Batch { replacer, database, entries, now })
    }

    /// Takes every step. The results come in the order of the jobs.
    pub fn run<R: Replace<Item = T>>(
        self,
        how: &R,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Vec<Replaced<T, R::Error>>, ReplaceError> {
        let (journal, entries) = (Journal::on(self.database), &self.entries);
        let replacer = self.replacer;
        let mut endings = Endings::of(entries.len());
        watch(Step::Begun);

        let all: Vec<usize> = (0..entries.len()).collect();
        let written = endings.sift(on_all_cores(all, |index| {
            let entry = entries.get(index);
            let made = entry.map_or(Err(Ending::Vanished), |entry| write(replacer, entry, how));
            (index, made)
        }));
        watch(Step::Written);

        let (places, expectations): (Vec<_>, Vec<_>) = written.into_iter().map(apart).unzip();
        let (places, unsynced): (Vec<_>, Vec<Unsynced>) = places.into_iter().unzip();
        let synced = Unsynced::sync_batch(unsynced).into_iter();
        let synced = places.into_iter().zip(synced);
        let synced = endings.sift(synced.map(|((index, kept), copy)| {
            let staged = copy.map_err(|error| Ending::Failed(Failure::Stage(error)));
            (index, staged.map(|staged| (staged, kept)))
        }));
        watch(Step::Synced);

        let expected: Vec<(RowId, &[u8])> = expectations
            .iter()
            .filter_map(|(index, octets)| Some((entries.get(*index)?.row, octets.as_slice())))
            .collect();
        journal.expect(&expected, self.now)?;
        watch(Step::Expected);

        let proven = endings.sift(on_all_cores(synced, |(index, (staged, kept))| (index, prove(how, staged, kept))));
        watch(Step::Proven);

        let published = endings.sift(proven.into_iter().map(|(index, (copy, length))| {
            let copy = publish(copy);
            if copy.is_ok() {
                watch(Step::Published);
            }
            (index, copy.map(|copy| (copy, length)))
        }));
        let (places, published): (Vec<_>, Vec<_>) =
            published.into_iter().map(|(index, (copy, length))| ((index, length), copy)).unzip();
        let durable = Published::make_durable(published).map_err(ReplaceError::Sync)?;
        watch(Step::Durable);

        let rows: Vec<RowId> = places.iter().filter_map(|(index, _)| Some(entries.get(*index)?.row)).collect();
        let announced = journal.announce(&rows, self.now)?;
        watch(Step::Announced);

        let retired = places.into_iter().zip(durable);
        let retired = endings.sift(retired.map(|((index, length), copy): (_, Durable<_>)| {
            let retired = copy.retire(replacer, &announced);
            watch(Step::Retired);
            let retired = retired.map_err(Ending::Unsettled);
            (index, retired.map(|retired| (retired, length)))
        }));
        let (places, retired): (Vec<_>, Vec<Retired>) =
            retired.into_iter().map(|(index, (retired, length))| ((index, length), retired)).unzip();
        let outcomes = Retired::make_durable(retired).map_err(ReplaceError::Sync)?;
        for ((index, length), outcome) in places.into_iter().zip(outcomes) {
            endings.set(index, Ending::Settled { outcome, length });
        }
        watch(Step::RetiredDurably);
        Ok(endings.join(self.entries))
    }
}

struct Entry<T> {
    job: Job<T>,
    copy: Unique,
    row: RowId,
}

/// A copy that is written, what is kept of it, what to journal.
type Made<K> = (Unsynced, K, Vec<u8>);

/// What came of each message so far.
struct Endings<E>(Vec<Option<Ending<E>>>);

impl<E> Endings<E> {
    fn of(count: usize) -> Endings<E> {
        Endings((0..count).map(|_| None).collect())
    }

    fn set(&mut self, index: usize, ending: Ending<E>) {
        if let Some(place) = self.0.get_mut(index) {
            *place = Some(ending);
        }
    }

    /// Notes those that ended here; the others go on.
    fn sift<T>(&mut self, results: impl IntoIterator<Item = (usize, Result<T, Ending<E>>)>) -> Vec<(usize, T)> {
        let mut on = Vec::new();
        for (index, result) in results {
            match result {
                Ok(value) => on.push((index, value)),
                Err(ending) => self.set(index, ending),
            }
        }
        on
    }

    fn join<T>(self, entries: Vec<Entry<T>>) -> Vec<Replaced<T, E>> {
        let ended = entries.into_iter().zip(self.0);
        ended
            .filter_map(|(Entry { job, copy, row }, ending)| Some(Replaced { job, row, copy, ending: ending? }))
            .collect()
    }
}

fn write<R: Replace>(replacer: &Replacer, entry: &Entry<R::Item>, how: &R) -> Result<Made<R::Kept>, Ending<R::Error>> {
    let failed = |failure| Ending::Failed(failure);
    let Entry { job, copy, .. } = entry;
    // Before the original is opened: should it be rewritten from here on, publishing finds out.
    let mut staging = match replacer.stage(&job.mailbox, &job.original, copy) {
        Err(StageError::OriginalGone) => return Err(Ending::Vanished),
        other => other.map_err(|error| failed(Failure::Stage(error)))?,
    };
    let mut message = job.original.clone();
    let original = job.mailbox.open(&mut message);
    let original = original.map_err(|error| failed(Failure::Original(error)))?;
    let original = original.ok_or(Ending::Vanished)?;
    let opened = original.metadata().map_err(|error| failed(Failure::Original(error.into())))?;
    if Identity::of(&opened) != staging.original() {
        // A second message of that name was found instead. The next pass takes both, one after the other.
        return Err(Ending::Vanished);
    }
    let (kept, expectation) =
        how.write(job, &message.flags(), original, &mut staging).map_err(|error| failed(Failure::Refused(error)))?;
    let unsynced = staging.finish().map_err(|error| failed(Failure::Stage(error)))?;
    Ok((unsynced, kept, expectation))
}

/// The copy with what is kept of it, and apart from it what to journal.
#[expect(clippy::type_complexity, reason = "used once, to unzip")]
fn apart<K>((index, made): (usize, Made<K>)) -> (((usize, K), Unsynced), (usize, Vec<u8>)) {
    let (unsynced, kept, expectation) = made;
    (((index, kept), unsynced), (index, expectation))
}

#[expect(clippy::type_complexity, reason = "a result of two things")]
fn prove<R: Replace>(how: &R, staged: Staged, kept: R::Kept) -> Result<(Proven<R::Proof>, u64), Ending<R::Error>> {
    let mut length = 0;
    let proven = staged.read_back(|copy| {
        length = copy.metadata().map_err(Refusal::Read)?.len();
        how.prove(kept, copy).map_err(Refusal::Caller)
    });
    let proven = proven.map_err(|error| {
        Ending::Failed(match error {
            ReadBackError::Io(error) | ReadBackError::Refused(Refusal::Read(error)) => Failure::ReadBack(error),
            ReadBackError::Refused(Refusal::Caller(error)) => Failure::Refused(error),
        })
    })?;
    Ok((proven, length))
}

enum Refusal<E> {
    Read(io::Error),
    Caller(E),
}

fn publish<P: Proof, E>(copy: Proven<P>) -> Result<Published<P>, Ending<E>> {
    match copy.publish() {
        Ok(Publish::Published(copy)) => Ok(copy),
        Ok(Publish::OriginalGone | Publish::OriginalChanged) => Err(Ending::Vanished),
        Err(error) => Err(Ending::Failed(Failure::Publish(error))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use crate::journal::State;
    use crate::maildir::Maildir;
    use std::fs;
    use std::io::{Read, Write};

    struct Doubler;

    struct Compared;

    impl Proof for Compared {}

    impl Replace for Doubler {
        type Item = u8;
        type Kept = Vec<u8>;
        type Proof = Compared;
        type Error = &'static str;

        fn write(
            &self,
            job: &Job<u8>,
            _: &Flags,
            mut original: File,
            to: &mut Staging,
        ) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
            let mut octets = Vec::new();
            original.read_to_end(&mut octets).unwrap();
            let copy = octets.repeat(2);
            to.write_all(&copy).unwrap();
            match job.item {
                0 => Err("not written"),
                1 => Ok((octets, copy)),
                2 => {
                    fs::remove_file(job.mailbox.path(&job.original)).unwrap();
                    Ok((copy.clone(), copy))
                }
                _ => Ok((copy.clone(), copy)),
            }
        }

        fn prove(&self, kept: Vec<u8>, mut copy: File) -> Result<Compared, &'static str> {
            let mut octets = Vec::new();
            copy.read_to_end(&mut octets).unwrap();
            if octets == kept { Ok(Compared) } else { Err("differs") }
        }
    }

    #[test]
    fn one_that_fails_does_not_hinder_the_others() {
        let home = tempfile::tempdir().unwrap();
        for part in ["cur", "new", "tmp"] {
            fs::create_dir(home.path().join(part)).unwrap();
        }
        for item in 0..9 {
            fs::write(home.path().join(format!("cur/{item}.a:2,S")), b"x").unwrap();
        }
        let replacer = Replacer::open(Maildir::open(home.path()).unwrap(), home.path()).unwrap();
        let database = Database::open(&home.path().join("state.db")).unwrap();
        let inbox = replacer.maildir().inbox();
        let mut originals: Vec<Message> = inbox.messages().unwrap().map(Result::unwrap).collect();
        originals.sort_by_key(|message| message.unique().clone());
        let jobs = originals.into_iter().zip(0..).map(|(original, item)| Job {
            mailbox: inbox.clone(),
            original,
            note: Vec::new(),
            item,
        });
        let now = UnixSeconds(5);
        let batch = Batch::begin(&replacer, &database, "f", jobs.collect(), now).unwrap();
        let mut steps = Vec::new();
        let replaced = batch.run(&Doubler, &mut |step| steps.push(step)).unwrap();
        for (index, replaced) in replaced.iter().enumerate() {
            let fits = match index {
                0 => matches!(replaced.ending, Ending::Failed(Failure::Refused("not written"))),
                1 => matches!(replaced.ending, Ending::Failed(Failure::Refused("differs"))),
                2 => matches!(replaced.ending, Ending::Vanished),
                _ => matches!(replaced.ending, Ending::Settled { outcome: Outcome::Replaced, length: 2 }),
            };
            assert!(fits && replaced.is_over() && usize::from(replaced.job.item) == index, "{replaced:?}");
        }
        assert_eq!(steps.iter().filter(|step| **step == Step::Retired).count(), 6);
        let files = |part: &str| fs::read_dir(home.path().join(part)).unwrap().count();
        assert_eq!((replaced.len(), files("cur"), files("tmp")), (9, 8, 0));
        let rows: Vec<RowId> = replaced.iter().map(|replaced| replaced.row).collect();
        let journal = Journal::on(&database);
        assert_eq!(journal.unfinished("f").unwrap().len(), 9);
        journal.advance(&rows, State::Done, now).unwrap();
    }
}
