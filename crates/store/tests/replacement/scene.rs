//! A Maildir whose messages say who they are: `GENERATION:ID` and filling. Replacing one raises its generation.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem::forget;
use std::path::{Path, PathBuf};

use store::journal::{Begin, Row, RowId, State};
use store::maildir::{Comparison, Publish, Recovered, Recovery, RetireError};
use store::{
    Database, Durable, Journal, Mailbox, Maildir, Message, Outcome, Proof, Published, Replacer, Retired, UnixSeconds,
    Unsynced, recover,
};

pub(crate) const FLOW: &str = "flow";
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_000_000);

/// The copy was read and is the next generation of its original.
#[derive(Debug)]
pub(crate) struct NextGeneration;

impl Proof for NextGeneration {}

pub(crate) struct Scene {
    pub(crate) home: PathBuf,
}

/// What is readable in the Maildir: for each ID its generation, file name and folder.
pub(crate) type Census = BTreeMap<String, Vec<(u64, String, String)>>;

/// Where a run is cut off, as if the process had died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    Begun,
    HalfWritten,
    Written,
    Staged,
    Proven,
    OnePublished,
    Published,
    Durable,
    Announced,
    OneRetired,
    Retired,
    RetiredDurably,
    Never,
}

impl Scene {
    pub(crate) fn new(home: &Path) -> Scene {
        let scene = Scene { home: home.to_path_buf() };
        for folder in ["", ".Archive"] {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(scene.mail().join(folder).join(part)).unwrap();
            }
        }
        scene
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.home.join("mail")
    }

    pub(crate) fn put(&self, file: &str, id: &str) {
        let path = self.mail().join(file);
        fs::write(&path, content(0, id)).unwrap();
        let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567, 891);
        File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }

    pub(crate) fn open(&self) -> (Replacer, Database) {
        let replacer = Replacer::open(Maildir::open(&self.mail()).unwrap(), &self.home).unwrap();
        (replacer, Database::open(&self.home.join("state.db")).unwrap())
    }

    /// Recovers and checks that nothing unfinished is left, in the journal and in `tmp/`.
    pub(crate) fn recover(&self) -> Vec<Recovered<io::Error>> {
        let (replacer, database) = self.open();
        let recovered = recover(&replacer, &database, FLOW, NOW, compare_files).unwrap();
        assert!(recovered.iter().all(|recovered| recovered.recovery.is_ok()), "{recovered:?}");
        assert_eq!(Journal::on(&database).unfinished(FLOW).unwrap(), []);
        for tmp in [self.mail().join("tmp"), self.mail().join(".Archive/tmp")] {
            assert_eq!(fs::read_dir(tmp).unwrap().count(), 0, "litter");
        }
        recovered
    }

    /// Every message of the tree that a reader sees.
    pub(crate) fn census(&self) -> Census {
        census_of(&Maildir::open(&self.mail()).unwrap())
    }
}

/// Replaces every message of INBOX whose generation is `generation`, and says what came of it.
pub(crate) fn replace_all(
    replacer: &Replacer,
    database: &Database,
    generation: u64,
    batch: usize,
    cut: Cut,
) -> Vec<Result<Outcome, RetireError>> {
    let inbox = replacer.maildir().inbox();
    let mut originals: Vec<Message> = Vec::new();
    let mut names = HashSet::new();
    for message in inbox.messages().unwrap() {
        let mut message = message.unwrap();
        // A reader sees a message twice that is renamed meanwhile.
        let Some(mut file) = inbox.open(&mut message).unwrap() else {
            continue;
        };
        if parse(&read(&mut file).unwrap()).unwrap().0 == generation && names.insert(message.unique().clone()) {
            originals.push(message);
        }
    }
    originals.chunks(batch).flat_map(|originals| replace_batch(replacer, database, &inbox, originals, cut)).collect()
}

fn replace_batch(
    replacer: &Replacer,
    database: &Database,
    inbox: &Mailbox,
    originals: &[Message],
    cut: Cut,
) -> Vec<Result<Outcome, RetireError>> {
    let journal = Journal::on(database);
    let originals: Vec<(&Message, Vec<u8>)> = originals
        .iter()
        .filter_map(|message| Some((message, read(&mut inbox.open(&mut message.clone()).unwrap()?).unwrap())))
        .collect();
    let copies: Vec<_> = originals.iter().map(|_| replacer.new_unique()).collect();
    let rows: Vec<Begin<'_>> = originals
        .iter()
        .zip(&copies)
        .map(|((message, octets), copy)| Begin {
            mailbox: inbox.name(),
            original: message.unique().as_bytes(),
            copy: copy.as_bytes(),
            expectation: octets,
        })
        .collect();
    let ids: Vec<RowId> = journal.begin(FLOW, &rows, NOW).unwrap();
    if cut == Cut::Begun {
        return Vec::new();
    }
    let mut unsynced = Vec::new();
    for ((message, octets), copy) in originals.iter().zip(&copies) {
        let mut staging = replacer.stage(inbox, message, copy).unwrap();
        let next = successor(octets);
        if cut == Cut::HalfWritten {
            staging.write_all(&next[..next.len() / 2]).unwrap();
            staging.flush().unwrap();
            forget(staging);
            continue;
        }
        staging.write_all(&next).unwrap();
        unsynced.push(staging.finish().unwrap());
    }
    if cut <= Cut::Written {
        forget(unsynced);
        return Vec::new();
    }
    let staged: Vec<_> = Unsynced::sync_batch(unsynced).into_iter().map(Result::unwrap).collect();
    if cut == Cut::Staged {
        forget(staged);
        return Vec::new();
    }
    let proven: Vec<_> = staged
        .into_iter()
        .zip(&originals)
        .map(|(copy, (_, original))| copy.read_back(|mut file| compare(original, &read(&mut file)?)).unwrap())
        .collect();
    if cut == Cut::Proven {
        forget(proven);
        return Vec::new();
    }
    let (mut published, mut kept, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for (copy, id) in proven.into_iter().zip(&ids) {
        if cut == Cut::OnePublished && !published.is_empty() {
            forget(copy);
            continue;
        }
        match copy.publish().unwrap() {
            Publish::Published(copy) => {
                published.push(copy);
                kept.push(*id);
            }
            Publish::OriginalGone | Publish::OriginalChanged => over.push(*id),
        }
    }
    if cut <= Cut::Published {
        forget(published);
        return Vec::new();
    }
    let durable: Vec<Durable<NextGeneration>> = Published::make_durable(published).unwrap();
    if cut == Cut::Durable {
        forget(durable);
        return Vec::new();
    }
    let announced = journal.announce(&kept, NOW).unwrap();
    if cut == Cut::Announced {
        forget(durable);
        return Vec::new();
    }
    let mut retired = Vec::new();
    let mut failed = Vec::new();
    for (copy, id) in durable.into_iter().zip(&kept) {
        if cut == Cut::OneRetired && !retired.is_empty() {
            forget(copy);
            continue;
        }
        match copy.retire(replacer, &announced) {
            Ok(outcome) => {
                retired.push(outcome);
                over.push(*id);
            }
            Err(error) => failed.push(Err(error)),
        }
    }
    if cut <= Cut::Retired {
        forget(retired);
        return Vec::new();
    }
    let outcomes = Retired::make_durable(retired).unwrap();
    if cut == Cut::Never {
        journal.advance(&over, State::Done, NOW).unwrap();
    }
    outcomes.into_iter().map(Ok).chain(failed).collect()
}

/// The caller's predicate at recovery.
pub(crate) fn compare_files(row: &Row, mut original: File, mut copy: File) -> io::Result<Comparison<NextGeneration>> {
    let original = read(&mut original)?;
    if original != row.expectation {
        return Ok(Comparison::OtherOriginal);
    }
    Ok(compare(&original, &read(&mut copy)?).map_or(Comparison::BadCopy, Comparison::Proved))
}

pub(crate) fn census_of(maildir: &Maildir) -> Census {
    let mut census = Census::new();
    for mailbox in maildir.list().unwrap().mailboxes {
        for message in mailbox.messages().unwrap() {
            let mut message = message.unwrap();
            let octets = read(&mut mailbox.open(&mut message).unwrap().unwrap()).unwrap();
            let (generation, id) = parse(&octets).unwrap();
            let name = message.file_name().to_str().unwrap().to_owned();
            census.entry(id).or_default().push((generation, name, mailbox.name().to_owned()));
        }
    }
    census
}

pub(crate) fn content(generation: u64, id: &str) -> Vec<u8> {
    // Filling beyond one buffer, so that half a copy can be on disk.
    format!("{generation}:{id}:{}", "x".repeat(40_000)).into_bytes()
}

fn parse(octets: &[u8]) -> Option<(u64, String)> {
    let text = std::str::from_utf8(octets).ok()?;
    let (generation, rest) = text.split_once(':')?;
    let (id, _) = rest.split_once(':')?;
    let generation = generation.parse().ok()?;
    (octets == content(generation, id)).then(|| (generation, id.to_owned()))
}

fn successor(octets: &[u8]) -> Vec<u8> {
    let (generation, id) = parse(octets).unwrap();
    content(generation + 1, &id)
}

fn compare(original: &[u8], copy: &[u8]) -> io::Result<NextGeneration> {
    if successor(original) == copy { Ok(NextGeneration) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    file.read_to_end(&mut octets)?;
    Ok(octets)
}

/// What was done about each row.
pub(crate) fn tally(recovered: &[Recovered<io::Error>]) -> Vec<Recovery> {
    recovered.iter().map(|recovered| *recovered.recovery.as_ref().unwrap()).collect()
}
