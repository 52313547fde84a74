//! One mailbox of a Maildir: what is in it now.
//!
//! In: a directory with `cur/`, `new/` and `tmp/`. Out: its messages one by one, a message found again under whatever name
//! it has now, its size, time and octets. Never keeps a list; never moves a file (a message in `new/` stays there until a
//! mail program takes it); never follows a symbolic link.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::name::{FileName, Flags, NameError, Unique};
use crate::clock::UnixSeconds;
use crate::special::SpecialUse;

/// How often a mailbox is read before "it is not there" is believed.
///
/// A file that is renamed while its directory is read may be missed (POSIX readdir leaves it open), so one pass proves
/// presence but not absence.
pub const ABSENCE_PASSES: usize = 3;

/// How often a file that is renamed between being found and being opened is looked for again.
pub const CHASES: usize = 16;

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    name: String,
    dir: PathBuf,
    special: Option<SpecialUse>,
}

/// Which of the two directories a message is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Delivered, no mail program has seen it yet.
    New,
    /// Taken by a mail program.
    Cur,
}

/// A message as it was last found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub(super) place: Place,
    /// The name as it is on disk: letters may stand in any order there, and a rename needs them exactly.
    pub(super) file: OsString,
    pub(super) name: FileName,
}

/// What the file system says of a message.
#[derive(Clone, Debug)]
pub struct Stat(pub(super) fs::Metadata);

/// Tells a file from another one under the same name: device, inode, size, time of last change to the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Messages one by one: `new/` first, then `cur/`, so that one that moves on meanwhile is seen twice rather than never.
///
/// Memory does not grow with the mailbox. Entries that are no messages come as errors; reading goes on after them.
#[derive(Debug)]
pub struct Messages {
    dir: PathBuf,
    reading: Option<(Place, ReadDir)>,
}

/// Why a mailbox or an entry of it could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The file system says so.
    #[error("a mailbox directory cannot be read")]
    Io(#[from] io::Error),
    /// An entry that is no regular file: a directory or a symbolic link.
    #[error("an entry of the mailbox is not a regular file")]
    NotAFile,
    /// A name that no message can have.
    #[error("an entry of the mailbox has no message name")]
    Name(#[from] NameError),
    /// Renamed by others more than [`CHASES`] times while we looked.
    #[error("a message is renamed faster than it can be found")]
    Restless,
}

impl Mailbox {
    /// A mailbox of that name in that directory.
    pub(super) fn new(name: String, dir: PathBuf) -> Mailbox {
        let special = SpecialUse::by_usual_name(&name);
        Mailbox { name, dir, special }
    }

    /// Its name: `INBOX`, or the folder names from the root with `/` between them, spelled as on disk (modified UTF-7 where
    /// the server writes that).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, where the name tells.
    pub fn special_use(&self) -> Option<SpecialUse> {
        self.special
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its messages.
    pub fn messages(&self) -> Result<Messages, ScanError> {
        let new = match fs::read_dir(self.place(Place::New)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Messages::cur(&self.dir),
            other => other?,
        };
        Ok(Messages { dir: self.dir.clone(), reading: Some((Place::New, new)) })
    }

    /// The message of that unique name, under whatever flags and in whichever directory it is now.
    pub fn find(&self, unique: &Unique) -> Result<Option<Message>, ScanError> {
        let found = self.find_among(&HashSet::from([unique.clone()]))?.remove(unique);
        Ok(found.and_then(|mut found| found.pop()))
    }

    /// Those of the wanted messages that are here, for the price of reading the directories once, or
    /// [`ABSENCE_PASSES`] times where some are not here.
    ///
    /// A name that should be unique may be there twice (`new/1` and `cur/1:2,S`, made by a copying program): all are given.
    pub fn find_among(&self, wanted: &HashSet<Unique>) -> Result<HashMap<Unique, Vec<Message>>, ScanError> {
        let mut found = HashMap::new();
        for _ in 0..ABSENCE_PASSES {
            let mut pass: HashMap<Unique, Vec<Message>> = HashMap::new();
            for message in self.messages()? {
                match message {
                    Ok(message) if wanted.contains(message.unique()) => {
                        pass.entry(message.unique().clone()).or_default().push(message)
                    }
                    Err(ScanError::Io(error)) => return Err(error.into()),
                    Ok(_) | Err(_) => {}
                }
            }
            found.extend(pass);
            if found.len() == wanted.len() {
                break;
            }
        }
        Ok(found)
    }

    /// Brings `message` up to date if it was renamed inside this mailbox; `None` if it is no longer here.
    pub fn refresh(&self, message: &mut Message) -> Result<Option<Stat>, ScanError> {
        for _ in 0..CHASES {
            if let Some(stat) = self.stat(message)? {
                return Ok(Some(stat));
            }
            match self.find(message.unique())? {
                Some(found) => *message = found,
                None => return Ok(None),
            }
        }
        Err(ScanError::Restless)
    }

    /// As [`refresh`](Mailbox::refresh), but only that very file counts: another one may have the same name.
    pub(super) fn refresh_file(&self, message: &mut Message, file: Identity) -> Result<Option<Stat>, ScanError> {
        for _ in 0..CHASES {
            if let Some(stat) = self.stat(message)?.filter(|stat| stat.identity() == file) {
                return Ok(Some(stat));
            }
            let wanted = HashSet::from([message.unique().clone()]);
            let mut now = None;
            let mut moving = false;
            for found in self.find_among(&wanted)?.into_values().flatten() {
                match self.stat(&found)? {
                    Some(stat) if stat.identity() == file => now = Some((found, stat)),
                    Some(_) => {}
                    None => moving = true,
                }
            }
            match now {
                Some((found, stat)) => {
                    *message = found;
                    return Ok(Some(stat));
                }
                None if moving => {}
                None => return Ok(None),
            }
        }
        Err(ScanError::Restless)
    }

    /// Opens a message for reading, following it if it was renamed inside this mailbox; `None` if it is no longer here.
    pub fn open(&self, message: &mut Message) -> Result<Option<File>, ScanError> {
        for _ in 0..CHASES {
            match open_regular(&self.path(message)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return Ok(Some(other?)),
            }
            match self.find(message.unique())? {
                Some(found) => *message = found,
                None => return Ok(None),
            }
        }
        Err(ScanError::Restless)
    }

    /// Size, time and identity under exactly that name; `None` if there is no such file now.
    pub fn stat(&self, message: &Message) -> Result<Option<Stat>, ScanError> {
        match fs::symlink_metadata(self.path(message)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(Stat(metadata))),
            Ok(_) => Err(ScanError::NotAFile),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn path(&self, message: &Message) -> PathBuf {
        self.place(message.place).join(&message.file)
    }

    pub(super) fn place(&self, place: Place) -> PathBuf {
        self.dir.join(place.directory())
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }
}

impl Message {
    pub(super) fn parse(place: Place, file: OsString) -> Result<Message, NameError> {
        let name = FileName::parse(&file)?;
        Ok(Message { place, file, name })
    }

    pub(super) fn named(place: Place, name: FileName) -> Message {
        Message { place, file: name.write(), name }
    }

    /// What stays when the message is renamed.
    pub fn unique(&self) -> &Unique {
        self.name.unique()
    }

    /// Its flags when it was last found.
    pub fn flags(&self) -> Flags {
        self.name.flags()
    }

    /// Where it was last found.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The file name when it was last found.
    pub fn file_name(&self) -> &OsStr {
        &self.file
    }
}

impl Stat {
    /// Octets.
    pub fn size(&self) -> u64 {
        self.0.len()
    }

    /// When the message came in: what IMAP servers give as INTERNALDATE.
    pub fn modified(&self) -> UnixSeconds {
        UnixSeconds(self.0.mtime())
    }

    /// When the file was last renamed, linked or written. Unlike the time of arrival nobody can choose it.
    pub fn changed(&self) -> UnixSeconds {
        UnixSeconds(self.0.ctime())
    }

    /// Which file it is.
    pub fn identity(&self) -> Identity {
        Identity::of(&self.0)
    }
}

impl Identity {
    /// Which file that is.
    pub fn of(metadata: &fs::Metadata) -> Identity {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Identity { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), modified }
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }
}

impl Place {
    fn directory(self) -> &'static str {
        match self {
            Place::New => "new",
            Place::Cur => "cur",
        }
    }
}

impl Messages {
    fn cur(dir: &Path) -> Result<Messages, ScanError> {
        let cur = fs::read_dir(dir.join(Place::Cur.directory()))?;
        Ok(Messages { dir: dir.to_path_buf(), reading: Some((Place::Cur, cur)) })
    }

    /// The next message with its inode as the directory has it.
    pub(super) fn next_with_inode(&mut self) -> Option<Result<(Message, u64), ScanError>> {
        loop {
            let (place, reading) = self.reading.as_mut()?;
            let place = *place;
            match reading.next() {
                Some(Ok(entry)) => match read_entry(place, &entry) {
                    // maildir(5): readers skip names that start with a dot.
                    Err(ScanError::Name(NameError::Hidden)) => {}
                    // Gone before its type could be asked for.
                    Err(ScanError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
                    other => return Some(other.map(|message| (message, entry.ino()))),
                },
                Some(Err(error)) => {
                    self.reading = None;
                    return Some(Err(error.into()));
                }
                None if place == Place::Cur => self.reading = None,
                None => match Messages::cur(&self.dir) {
                    Ok(cur) => *self = cur,
                    Err(error) => {
                        self.reading = None;
                        return Some(Err(error));
                    }
                },
            }
        }
    }
}

impl Iterator for Messages {
    type Item = Result<Message, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_with_inode()?.map(|(message, _)| message))
    }
}

fn read_entry(place: Place, entry: &fs::DirEntry) -> Result<Message, ScanError> {
    let message = Message::parse(place, entry.file_name())?;
    if entry.file_type()?.is_file() { Ok(message) } else { Err(ScanError::NotAFile) }
}

/// Opens without following a link and without waiting for a pipe's other end.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(ErrorKind::InvalidInput)) }
}

/// Makes renames and removals in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
