//! The first half of a replacement: a copy in `tmp/`, written, synced, read back.
//!
//! In: an original, the octets of its copy, the caller's predicate. Out: a copy on disk together with the caller's proof.
//! The original is only looked at. On any error, and when one of these values is dropped, the copy in `tmp/` is removed; a
//! killed process leaves it to [`recover`](super::recover), which knows its name from the journal.
//! Standard: maildir(5) for the names; without Dovecot's `S=`/`W=` sizes, which would have to be right.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Advice, fadvise};

use super::folder::{Identity, Mailbox, Message, ScanError, open_regular};
use super::lock::{Lock, LockError};
use super::name::{FileName, Unique};
use super::tree::Maildir;
use crate::proof::Proof;

/// Replaces messages in one Maildir; holds its lock.
#[derive(Debug)]
pub struct Replacer {
    maildir: Maildir,
    _lock: Lock,
}

/// A copy being written. Give it the octets through [`Write`]; it is buffered.
#[derive(Debug)]
pub struct Staging {
    mailbox: Mailbox,
    original: Message,
    original_metadata: fs::Metadata,
    copy: Unique,
    writer: BufWriter<File>,
    litter: Litter,
}

/// A copy that is written, with the original's owner, mode and time, but maybe not yet on disk.
///
/// It holds an open file: mind the limit (often 1,024 a process) when collecting a batch.
#[derive(Debug)]
pub struct Unsynced {
    file: File,
    staged: Staged,
}

/// A copy that is on disk in `tmp/`.
#[derive(Debug)]
pub struct Staged {
    pub(super) mailbox: Mailbox,
    pub(super) original: Message,
    pub(super) original_file: Identity,
    pub(super) copy: Unique,
    pub(super) copy_file: Identity,
    pub(super) litter: Litter,
}

/// A copy in `tmp/` that the caller's predicate has read back from disk and found good.
#[derive(Debug)]
pub struct Proven<P: Proof> {
    pub(super) staged: Staged,
    pub(super) proof: P,
}

/// Why a copy was not staged. The original is untouched, nothing is left in `tmp/`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The original is no longer in this mailbox.
    #[error("the original is gone")]
    OriginalGone,
    /// The original could not be found again.
    #[error("the original cannot be looked at")]
    Scan(#[from] ScanError),
    /// The copy would belong to another user or, where the group may read, another group than the original.
    #[error("the copy cannot be given to the original's owner")]
    Owner(#[source] io::Error),
    /// The file system says so; among others when the disk is full.
    #[error("the copy cannot be written")]
    Io(#[from] io::Error),
}

/// Why a copy was not proven. The original is untouched, the copy is removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBackError<E> {
    /// The file system says so, or the file is not the one that was written.
    #[error("the copy cannot be read back")]
    Io(#[from] io::Error),
    /// The caller's predicate refused it.
    #[error("the copy read back was refused")]
    Refused(#[source] E),
}

impl Replacer {
    /// Takes the Maildir's lock in that state directory. Call [`recover`](super::recover) before staging anything.
    pub fn open(maildir: Maildir, state: &Path) -> Result<Replacer, LockError> {
        let lock = Lock::take(state, maildir.root())?;
        Ok(Replacer { maildir, _lock: lock })
    }

    /// The Maildir it works on.
    pub fn maildir(&self) -> &Maildir {
        &self.maildir
    }

    /// A name for a copy. To be journaled before it is used.
    pub fn new_unique(&self) -> Unique {
        new_unique()
    }

    /// Begins a copy of `original`, a message of `mailbox`, under a name that the journal already has.
    pub fn stage(&self, mailbox: &Mailbox, original: &Message, copy: &Unique) -> Result<Staging, StageError> {
        let mut original = original.clone();
        let stat = mailbox.refresh(&mut original)?.ok_or(StageError::OriginalGone)?;
        let path = mailbox.tmp().join(FileName::plain(copy.clone()).write());
        let file = create(&path)?;
        let litter = Litter { path: Some(path) };
        let writer = BufWriter::with_capacity(WRITE_BUFFER, file);
        Ok(Staging {
            mailbox: mailbox.clone(),
            original,
            original_metadata: stat.0,
            copy: copy.clone(),
            writer,
            litter,
        })
    }
}

impl Write for Staging {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.writer.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Staging {
    /// Which file the original was when staging began. What is read must be that one: two messages may have one name.
    pub fn original(&self) -> Identity {
        Identity::of(&self.original_metadata)
    }

    /// Ends the copy: owner, mode and time become the original's. Nothing is synced yet.
    pub fn finish(self) -> Result<Unsynced, StageError> {
        let Staging { mailbox, original, original_metadata, copy, writer, litter } = self;
        let file = writer.into_inner().map_err(|error| error.into_error())?;
        take_after(&file, &original_metadata)?;
        let copy_file = Identity::of(&file.metadata()?);
        let original_file = Identity::of(&original_metadata);
        Ok(Unsynced { file, staged: Staged { mailbox, original, original_file, copy, copy_file, litter } })
    }
}

impl Unsynced {
    /// Waits until the octets and the time are on disk.
    pub fn sync(self) -> Result<Staged, StageError> {
        self.file.sync_all()?;
        Ok(self.staged)
    }

    /// Syncs a batch, [`SYNC_THREADS`] files at a time; the results come in the batch's order. A journaling file system
    /// commits once for all who wait, so this is some two to three times faster than one after another.
    pub fn sync_batch(batch: Vec<Unsynced>) -> Vec<Result<Staged, StageError>> {
        let share = batch.len().div_ceil(SYNC_THREADS).max(1);
        let mut batch = batch.into_iter();
        std::thread::scope(|scope| {
            let mut threads = Vec::with_capacity(SYNC_THREADS);
            while batch.len() > 0 {
                let part: Vec<Unsynced> = batch.by_ref().take(share).collect();
                threads.push(scope.spawn(|| part.into_iter().map(Unsynced::sync).collect::<Vec<_>>()));
            }
            let results = threads.into_iter().map(|thread| thread.join());
            results.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }
}

impl Staged {
    /// Shows the caller's predicate the copy, re-opened and read from disk rather than from memory where the system heeds
    /// the hint. What the predicate returns is kept with this copy; see [`Proof`].
    pub fn read_back<P: Proof, E>(
        self,
        predicate: impl FnOnce(File) -> Result<P, E>,
    ) -> Result<Proven<P>, ReadBackError<E>> {
        let path = self.litter.path.as_deref().ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let file = open_regular(path)?;
        if Identity::of(&file.metadata()?) != self.copy_file {
            return Err(io::Error::from(ErrorKind::InvalidData).into());
        }
        // Clean pages are dropped from the cache, so that what is read is what the disk has. Some file systems ignore it.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let proof = predicate(file).map_err(ReadBackError::Refused)?;
        Ok(Proven { staged: self, proof })
    }
}

/// Files that [`Unsynced::sync_batch`] syncs at a time.
pub const SYNC_THREADS: usize = 8;

/// Octets gathered before a write.
const WRITE_BUFFER: usize = 32 * 1024;

/// Longest host part of a unique name.
const MAX_HOST: usize = 64;

/// A file in `tmp/` that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Litter {
    pub(super) path: Option<PathBuf>,
}

impl Drop for Litter {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // If this fails, the journal still knows the name.
            let _ = fs::remove_file(path);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match (open(), path.parent()) {
        // Some programs make tmp/ only when they need it.
        (Err(error), Some(tmp)) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).create(tmp)?;
            open()
        }
        (other, _) => other,
    }
}

/// Owner and group before mode (a change of owner may clear mode bits), time last.
fn take_after(file: &File, original: &fs::Metadata) -> Result<(), StageError> {
    let mode = original.permissions().mode() & 0o777;
    let own = file.metadata()?;
    if own.uid() != original.uid() {
        fchown(file, Some(original.uid()), None).map_err(StageError::Owner)?;
    }
    if own.gid() != original.gid() {
        let given = fchown(file, None, Some(original.gid()));
        // A delivery agent's group (`mail`) means nothing where only the owner may read.
        if mode & 0o070 != 0 {
            given.map_err(StageError::Owner)?;
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.set_modified(original.modified()?)?;
    Ok(())
}

/// A name that no other message has.
pub(super) fn new_unique() -> Unique {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static HOST: OnceLock<String> = OnceLock::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!("{seconds}.M{micros}P{process}Q{count}.{}", HOST.get_or_init(host));
    Unique::parse(name.as_bytes()).unwrap_or_else(|_| unreachable!("host() leaves only octets that a name may have"))
}

/// The host's name as it may stand in a unique name: maildir(5) writes `/` as `\057` and `:` as `\072`.
fn host() -> String {
    let name = rustix::system::uname();
    let mut host = String::new();
    for &octet in name.nodename().to_bytes() {
        let piece = match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(octet).to_string(),
            other => format!("\\{other:03o}"),
        };
        if host.len().saturating_add(piece.len()) > MAX_HOST {
            break;
        }
        host.push_str(&piece);
    }
    if host.is_empty() { "localhost".to_owned() } else { host }
}
