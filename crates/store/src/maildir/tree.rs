//! A whole Maildir: its mailboxes, and a message wherever it went.
//!
//! In: a path. Out: `INBOX` for the root, Maildir++ folders (`.A.B`) and nested folders (`A/B`, Dovecot's LAYOUT=fs, mbsync's
//! Verbatim) as `A/B`; and what was left out, with the reason. Never follows a symbolic link below the root: the same
//! mailbox under two names would be worked on twice.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::folder::{ABSENCE_PASSES, Identity, Mailbox, Message, ScanError};

/// Folders inside folders.
pub const MAX_DEPTH: usize = 16;

/// Mailboxes in one Maildir.
pub const MAX_MAILBOXES: usize = 10_000;

/// A Maildir and its folders.
#[derive(Clone, Debug)]
pub struct Maildir {
    root: PathBuf,
}

/// The mailboxes of a Maildir, in the order of their names, `INBOX` first.
#[derive(Debug)]
pub struct Listing {
    /// The mailboxes.
    pub mailboxes: Vec<Mailbox>,
    /// Directories that may hold mail and are not listed. To be shown to the owner: mail in there is not touched.
    pub left_out: Vec<LeftOut>,
}

/// A directory that is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why a directory is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Its name is not UTF-8.
    NotUtf8,
    /// Another folder already has that name, in the other layout.
    SameName,
    /// A symbolic link, or a directory that is also another mailbox's.
    Link,
    /// It cannot be read.
    Unreadable,
}

impl Reason {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Reason::TooDeep => "too deep",
            Reason::NotUtf8 => "name is not UTF-8",
            Reason::SameName => "another mailbox has the same name",
            Reason::Link => "a symbolic link",
            Reason::Unreadable => "cannot be read",
        }
    }
}

/// Why a path was not opened as a Maildir.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenMaildirError {
    /// No `cur/` in it.
    #[error("not a Maildir: it has no cur directory")]
    NotAMaildir,
    /// The file system says so.
    #[error("the Maildir cannot be opened")]
    Io(#[from] io::Error),
}

/// Why the mailboxes could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// More than [`MAX_MAILBOXES`].
    #[error("more than {MAX_MAILBOXES} mailboxes in one Maildir")]
    TooMany,
    /// The root cannot be read.
    #[error("the Maildir cannot be read")]
    Io(#[from] io::Error),
}

impl Maildir {
    /// Opens an existing Maildir.
    pub fn open(path: &Path) -> Result<Maildir, OpenMaildirError> {
        let root = fs::canonicalize(path)?;
        if holds_cur(&root) { Ok(Maildir { root }) } else { Err(OpenMaildirError::NotAMaildir) }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root as a mailbox.
    pub fn inbox(&self) -> Mailbox {
        Mailbox::new(INBOX.to_owned(), self.root.clone())
    }

    /// All mailboxes.
    pub fn list(&self) -> Result<Listing, ListError> {
        let mut walk = Walk { found: HashMap::from([(INBOX.to_owned(), self.inbox())]), left_out: Vec::new() };
        walk.folders(&self.root, None, 0)?;
        let mut mailboxes: Vec<Mailbox> = std::mem::take(&mut walk.found).into_values().collect();
        // The same directory under two names would be worked on twice: the one that is not a link keeps it.
        mailboxes.sort_by_key(|mailbox| (mailbox.name() != INBOX, is_linked(mailbox.dir()), mailbox.name().to_owned()));
        let mut taken = HashSet::new();
        mailboxes.retain(|mailbox| {
            let places = places_of(mailbox.dir());
            let free = places.iter().all(|place| !taken.contains(place));
            if free {
                taken.extend(places);
            } else {
                walk.left_out.push(LeftOut { path: mailbox.dir().to_path_buf(), reason: Reason::Link });
            }
            free
        });
        mailboxes.sort_by(|a, b| (a.name() != INBOX, a.name()).cmp(&(b.name() != INBOX, b.name())));
        walk.left_out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Listing { mailboxes, left_out: walk.left_out })
    }

    /// The mailbox of that name, if there is one.
    pub fn mailbox(&self, name: &str) -> Result<Option<Mailbox>, ListError> {
        if name.eq_ignore_ascii_case(INBOX) {
            return Ok(Some(self.inbox()));
        }
        Ok(self.list()?.mailboxes.into_iter().find(|mailbox| mailbox.name() == name))
    }

    /// A file anywhere in the tree. Not by its name: servers may give a moved message a new one (Dovecot links it), and in
    /// another folder the same name may be another message's.
    pub(super) fn locate(&self, file: Identity) -> Result<Option<(Mailbox, Message)>, LocateError> {
        for _ in 0..ABSENCE_PASSES {
            for mailbox in self.list()?.mailboxes {
                if let Some(message) = locate_in(&mailbox, file)? {
                    return Ok(Some((mailbox, message)));
                }
            }
        }
        Ok(None)
    }
}

/// Why a search through the whole tree failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocateError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Scan(#[from] ScanError),
}

impl LocateError {
    pub(super) fn into_scan(self) -> ScanError {
        match self {
            LocateError::Scan(error) => error,
            LocateError::List(ListError::Io(error)) => error.into(),
            LocateError::List(ListError::TooMany) => io::Error::from(ErrorKind::QuotaExceeded).into(),
        }
    }
}

const INBOX: &str = "INBOX";

struct Walk {
    found: HashMap<String, Mailbox>,
    left_out: Vec<LeftOut>,
}

impl Walk {
    /// Looks at the directories in `dir`; `name` is that of the mailbox they are in, `None` at the root.
    fn folders(&mut self, dir: &Path, name: Option<&str>, depth: usize) -> Result<(), ListError> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let file = entry.file_name();
            if matches!(file.as_encoded_bytes(), b"cur" | b"new" | b"tmp") {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder(&entry.path(), &file, name, depth)?,
                Ok(kind) if kind.is_symlink() && holds_cur(&entry.path()) => {
                    self.leave_out(&entry.path(), Reason::Link)
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(_) => self.leave_out(&entry.path(), Reason::Unreadable),
            }
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path, file: &OsStr, parent: Option<&str>, depth: usize) -> Result<(), ListError> {
        let Some(file) = file.to_str() else {
            self.leave_out(path, Reason::NotUtf8);
            return Ok(());
        };
        if depth >= MAX_DEPTH {
            self.leave_out(path, Reason::TooDeep);
            return Ok(());
        }
        let name = match (parent, file.strip_prefix('.')) {
            // Maildir++: only directly below the root does a dot begin a folder, and dots part its levels.
            (None, Some(levels)) => levels.replace('.', "/"),
            (None, None) => file.to_owned(),
            (Some(parent), _) => format!("{parent}/{file}"),
        };
        if holds_cur(path) {
            self.add(path, name.clone())?;
        }
        match self.folders(path, Some(&name), depth.saturating_add(1)) {
            Err(ListError::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(ListError::Io(_)) => {
                self.leave_out(path, Reason::Unreadable);
                Ok(())
            }
            other => other,
        }
    }

    fn add(&mut self, path: &Path, name: String) -> Result<(), ListError> {
        if self.found.len() >= MAX_MAILBOXES {
            return Err(ListError::TooMany);
        }
        // INBOX is one name whatever the letters' case (RFC 9051 §5.1), and it is the root's.
        if name.eq_ignore_ascii_case(INBOX) {
            self.leave_out(path, Reason::SameName);
            return Ok(());
        }
        match self.found.entry(name.clone()) {
            Entry::Vacant(free) => drop(free.insert(Mailbox::new(name, path.to_path_buf()))),
            // Which of two came first is the file system's whim: the Maildir++ one gets the name.
            Entry::Occupied(mut taken) => {
                let plus = |path: &Path| path.file_name().is_some_and(|file| file.as_encoded_bytes().starts_with(b"."));
                let loser = if plus(path) {
                    taken.insert(Mailbox::new(name, path.to_path_buf())).dir().to_path_buf()
                } else {
                    path.to_path_buf()
                };
                self.leave_out(&loser, Reason::SameName);
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, reason: Reason) {
        self.left_out.push(LeftOut { path: path.to_path_buf(), reason });
    }
}

/// The directories in which a mailbox has its messages: device and inode.
fn places_of(dir: &Path) -> Vec<(u64, u64)> {
    let places = ["cur", "new"].into_iter().filter_map(|place| fs::metadata(dir.join(place)).ok());
    places.map(|place| (place.dev(), place.ino())).collect()
}

fn is_linked(dir: &Path) -> bool {
    ["cur", "new"].iter().any(|place| dir.join(place).is_symlink())
}

fn holds_cur(path: &Path) -> bool {
    fs::metadata(path.join("cur")).is_ok_and(|cur| cur.is_dir())
}

fn locate_in(mailbox: &Mailbox, file: Identity) -> Result<Option<Message>, ScanError> {
    let mut messages = match mailbox.messages() {
        Err(ScanError::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    while let Some(next) = messages.next_with_inode() {
        let (message, inode) = match next {
            Ok(found) => found,
            Err(ScanError::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(ScanError::Io(error)) => return Err(error.into()),
            Err(_) => continue,
        };
        // An inode number alone may have been given away again: all else must agree too.
        if file.inode() == inode && mailbox.stat(&message)?.is_some_and(|stat| stat.identity() == file) {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use crate::special::SpecialUse;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn make(root: &Path, folders: &[&str]) {
        for folder in folders {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(root.join(folder).join(part)).unwrap();
            }
        }
    }

    #[test]
    fn lists_both_layouts_and_says_what_it_left_out() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        let deep = "d/".repeat(MAX_DEPTH + 1);
        make(root, &["", ".Sent", ".Work.2024", "Lists/rust", ".Twice.x", "Twice/x", ".Trash", "Inbox", &deep]);
        fs::create_dir_all(root.join("sieve/tmp")).unwrap();
        fs::create_dir_all(root.join("Lists/empty")).unwrap();
        fs::write(root.join("dovecot-uidlist"), b"").unwrap();
        fs::create_dir_all(root.join(OsStr::from_bytes(b"\xff/cur"))).unwrap();
        std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
        let maildir = Maildir::open(root).unwrap();
        let listing = maildir.list().unwrap();
        let names: Vec<&str> = listing.mailboxes.iter().map(Mailbox::name).collect();
        assert_eq!(names, ["INBOX", "Lists/rust", "Sent", "Trash", "Twice/x", "Work/2024"]);
        let left_out: Vec<_> = listing
            .left_out
            .iter()
            .map(|left| (left.path.strip_prefix(maildir.root()).unwrap().to_owned(), left.reason))
            .collect();
        let path = |path: &[u8]| PathBuf::from(OsStr::from_bytes(path));
        let too_deep = path("d/".repeat(MAX_DEPTH + 1).trim_end_matches('/').as_bytes());
        let expected = [
            (path(b"Inbox"), Reason::SameName),
            (path(b"Twice/x"), Reason::SameName),
            (too_deep, Reason::TooDeep),
            (path(b"loop"), Reason::Link),
            (path(b"\xff"), Reason::NotUtf8),
        ];
        assert_eq!(left_out, expected);
        assert_eq!(maildir.mailbox("Trash").unwrap().unwrap().special_use(), Some(SpecialUse::Trash));
        assert_eq!(maildir.mailbox("inbox").unwrap().unwrap().dir(), maildir.root());
        assert!(maildir.mailbox("Nowhere").unwrap().is_none());
        assert!(matches!(Maildir::open(&root.join("sieve")), Err(OpenMaildirError::NotAMaildir)));
    }

    #[test]
    fn one_directory_is_listed_once() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        make(root, &["", ".Own", ".Zoo"]);
        for (link, to, place) in [(".Again", "", "cur"), (".A", ".Own", "cur"), (".B", ".Zoo", "new")] {
            fs::create_dir(root.join(link)).unwrap();
            std::os::unix::fs::symlink(root.join(to).join(place), root.join(link).join(place)).unwrap();
            fs::create_dir_all(root.join(link).join("cur")).unwrap();
        }
        let maildir = Maildir::open(root).unwrap();
        let listing = maildir.list().unwrap();
        assert_eq!(listing.mailboxes.iter().map(Mailbox::name).collect::<Vec<_>>(), ["INBOX", "Own", "Zoo"]);
        let left_out = [".A", ".Again", ".B"];
        let left_out = left_out.map(|name| LeftOut { path: maildir.root().join(name), reason: Reason::Link });
        assert_eq!(listing.left_out, left_out);
    }

    #[test]
    fn a_message_is_found_wherever_it_went() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        make(root, &["", ".Archive"]);
        fs::write(root.join("new/1.a.h"), b"one").unwrap();
        let maildir = Maildir::open(root).unwrap();
        let inbox = maildir.inbox();
        let mut message = inbox.messages().unwrap().next().unwrap().unwrap();
        let identity = inbox.stat(&message).unwrap().unwrap().identity();
        fs::rename(root.join("new/1.a.h"), root.join("cur/1.a.h:2,bSX")).unwrap();
        assert_eq!(inbox.refresh(&mut message).unwrap().unwrap().size(), 3);
        assert_eq!((message.place(), message.flags().letters()), (super::super::Place::Cur, &b"SXb"[..]));
        // Dovecot's way of moving: a link under a new name.
        fs::rename(root.join("cur/1.a.h:2,bSX"), root.join(".Archive/cur/2.b.h:2,S")).unwrap();
        assert!(inbox.open(&mut message).unwrap().is_none());
        fs::write(root.join(".Archive/cur/1.a.h:2,"), b"two").unwrap();
        let (mailbox, found) = maildir.locate(identity).unwrap().unwrap();
        assert_eq!((mailbox.name(), found.unique().as_bytes()), ("Archive", &b"2.b.h"[..]));
        fs::remove_file(root.join(".Archive/cur/2.b.h:2,S")).unwrap();
        assert!(maildir.locate(identity).unwrap().is_none(), "another file under the same name");
    }

    #[test]
    fn strange_entries_are_reported_and_reading_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        make(root, &[""]);
        fs::create_dir(root.join("cur/directory")).unwrap();
        std::os::unix::fs::symlink("/dev/null", root.join("cur/link")).unwrap();
        fs::write(root.join("cur/:2,S"), b"").unwrap();
        fs::write(root.join("cur/.hidden"), b"").unwrap();
        fs::write(root.join("cur/1.a.h:2,S"), b"").unwrap();
        let (good, bad): (Vec<_>, Vec<_>) =
            Maildir::open(root).unwrap().inbox().messages().unwrap().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (1, 3));
    }
}
