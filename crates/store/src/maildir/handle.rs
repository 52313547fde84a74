//! What a mail program does to messages: taken from `new/`, flagged, copied, moved, put there, removed (maildir(5)).
//!
//! In: a message as it was last found. Out: the same under its new name, or word that it is gone. Every change is one rename or one new
//! file; a message that another program renames meanwhile is followed. Never overwrites a file; never changes an octet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::folder::{CHASES, Mailbox, Message, Place, ScanError, sync_directory};
use super::name::{FileName, Flags, Unique};
use super::publish::rename_to_free;
use super::stage::new_unique;
use crate::clock::UnixSeconds;

/// Octets written at a time.
const WRITE_BUFFER: usize = 64 * 1024;

impl Mailbox {
    /// Gives a message other flags, and takes it from `new/` if it is there; false: it is gone.
    pub fn flag(&self, message: &mut Message, change: impl Fn(&Flags) -> Flags) -> Result<bool, ScanError> {
        for _ in 0..CHASES {
            if self.refresh(message)?.is_none() {
                return Ok(false);
            }
            let name = message.name.with_flags(change(&message.flags()));
            let changed = Message::named(Place::Cur, name);
            if message.place() == Place::Cur && changed.file_name() == message.file_name() {
                return Ok(true);
            }
            match rename_to_free(&self.path(message), &self.path(&changed)) {
                Ok(()) => {
                    *message = changed;
                    return Ok(true);
                }
                // Renamed or removed by somebody just now.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ScanError::Restless)
    }

    /// Removes a message if `still` holds of its flags; false: it is gone, or they changed.
    pub fn remove(&self, message: &mut Message, still: impl Fn(&Flags) -> bool) -> Result<bool, ScanError> {
        for _ in 0..CHASES {
            if self.refresh(message)?.is_none() || !still(&message.flags()) {
                return Ok(false);
            }
            match fs::remove_file(self.path(message)) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ScanError::Restless)
    }

    /// Moves a message into another mailbox of the same Maildir, under a new unique name; `None`: it is gone.
    pub fn move_to(&self, message: &mut Message, to: &Mailbox) -> Result<Option<Unique>, ScanError> {
        for _ in 0..CHASES {
            if self.refresh(message)?.is_none() {
                return Ok(None);
            }
            let unique = new_unique();
            let moved = Message::named(Place::Cur, FileName::flagged(unique.clone(), message.flags()));
            match rename_to_free(&self.path(message), &to.path(&moved)) {
                Ok(()) => return Ok(Some(unique)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ScanError::Restless)
    }

    /// Copies a message, its octets, flags and time, into a mailbox; `None`: it is gone.
    ///
    /// No link: two names of one file would look like a message that was moved.
    pub fn copy_to(&self, message: &mut Message, to: &Mailbox) -> Result<Option<Unique>, ScanError> {
        let Some(mut file) = self.open(message)? else { return Ok(None) };
        let modified = file.metadata()?.modified()?;
        let copied = to.put(&message.flags(), modified, Lasting::AtOnce, |out| io::copy(&mut file, out).map(drop));
        Ok(Some(copied?))
    }

    /// Puts a new message into `cur/`, durable when this returns: the octets that `write` writes, those flags, that time of arrival.
    pub fn deposit(
        &self,
        flags: &Flags,
        arrived: UnixSeconds,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Unique> {
        let arrived = moment(arrived).ok_or(ErrorKind::InvalidInput)?;
        self.put(flags, arrived, Lasting::AtOnce, |out| write(out))
    }

    /// The same, durable only after [`sync_all`](Mailbox::sync_all): for many messages.
    pub fn lay(
        &self,
        flags: &Flags,
        arrived: UnixSeconds,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Unique> {
        let arrived = moment(arrived).ok_or(ErrorKind::InvalidInput)?;
        self.put(flags, arrived, Lasting::Later, |out| write(out))
    }

    /// Makes everything durable that was written to its file system.
    pub fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.dir())?)?)
    }

    fn put(
        &self,
        flags: &Flags,
        modified: SystemTime,
        lasting: Lasting,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<Unique> {
        let unique = new_unique();
        let litter = Litter(self.tmp().join(FileName::plain(unique.clone()).write()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&litter.0)?;
        let mut writer = BufWriter::with_capacity(WRITE_BUFFER, file);
        write(&mut writer)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.set_modified(modified)?;
        if lasting == Lasting::AtOnce {
            file.sync_all()?;
        }
        let message = Message::named(Place::Cur, FileName::flagged(unique.clone(), flags.clone()));
        rename_to_free(&litter.0, &self.path(&message))?;
        if lasting == Lasting::AtOnce {
            sync_directory(&self.place(Place::Cur))?;
        }
        Ok(unique)
    }

    /// Makes renames and removals durable.
    pub fn sync(&self) -> io::Result<()> {
        match sync_directory(&self.place(Place::New)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
        sync_directory(&self.place(Place::Cur))
    }
}

/// When a file is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    AtOnce,
    /// When everything is made so.
    Later,
}

fn moment(of: UnixSeconds) -> Option<SystemTime> {
    let distance = Duration::from_secs(of.0.unsigned_abs());
    if of.0 < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

/// A file in `tmp/` that is removed unless it was renamed.
struct Litter(std::path::PathBuf);

impl Drop for Litter {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use crate::maildir::{Maildir, deliver};

    fn only(mailbox: &Mailbox) -> Message {
        let mut all: Vec<Message> = mailbox.messages().unwrap().map(Result::unwrap).collect();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn a_message_is_taken_flagged_moved_copied_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let _ = deliver(directory.path(), |to| to.write_all(b"one")).unwrap();
        let maildir = Maildir::open(directory.path()).unwrap();
        let inbox = maildir.inbox();
        let other = maildir.create("A/B").unwrap();
        let mut message = only(&inbox);
        let stale = message.clone();
        assert_eq!(message.place(), Place::New);
        assert!(inbox.flag(&mut message, |flags| flags.with(Flags::SEEN)).unwrap());
        assert_eq!((message.place(), message.flags().letters()), (Place::Cur, &b"S"[..]));
        let mut followed = stale;
        assert!(inbox.flag(&mut followed, |flags| flags.with(b'F')).unwrap());
        assert_eq!(followed.flags().letters(), b"FS");
        let copied = inbox.copy_to(&mut message, &inbox).unwrap().unwrap();
        let mut copy = inbox.find(&copied).unwrap().unwrap();
        assert_eq!(copy.flags().letters(), b"FS");
        assert!(!inbox.remove(&mut copy, |flags| flags.contains(Flags::TRASHED)).unwrap());
        assert!(inbox.remove(&mut copy, |_| true).unwrap());
        assert!(!inbox.remove(&mut copy, |_| true).unwrap());
        let moved = inbox.move_to(&mut message, &other).unwrap().unwrap();
        assert!(inbox.move_to(&mut message, &other).unwrap().is_none());
        let mut there = only(&other);
        assert_eq!((there.unique(), there.flags().letters()), (&moved, &b"FS"[..]));
        let mut text = String::new();
        io::Read::read_to_string(&mut other.open(&mut there).unwrap().unwrap(), &mut text).unwrap();
        assert_eq!(text, "one");
    }

    #[test]
    fn what_is_put_there_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let _ = deliver(directory.path(), |to| to.write_all(b"one")).unwrap();
        let inbox = Maildir::open(directory.path()).unwrap().inbox();
        let flags = Flags::from_letters(b"DS");
        for arrived in [UnixSeconds(1_000_000_000), UnixSeconds(-5)] {
            let unique = inbox.deposit(&flags, arrived, |to| to.write_all(b"two")).unwrap();
            let message = inbox.find(&unique).unwrap().unwrap();
            assert_eq!((message.place(), message.flags()), (Place::Cur, flags.clone()));
            assert_eq!(inbox.stat(&message).unwrap().unwrap().modified(), arrived);
        }
        assert!(inbox.deposit(&flags, UnixSeconds(0), |_| Err(ErrorKind::StorageFull.into())).is_err());
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(directory.path().join("cur")).unwrap().count(), 2);
    }
}
