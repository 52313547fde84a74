//! A new message put into a Maildir, as a delivery agent does (maildir(5)): written to `tmp/`, synced, renamed into `new/`, the directory
//! synced. In: who writes the octets. Out: the file, durable, or an error and nothing. Never overwrites a file; the Maildir may be missing
//! as a whole and is made then.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::folder::sync_directory;
use super::publish::rename_to_free;
use super::stage::new_unique;

/// A message that power loss cannot take back.
#[derive(Debug)]
#[must_use = "whoever handed the message over waits for this"]
pub struct Delivered {
    /// Its file, in `new/`.
    pub path: PathBuf,
}

/// Octets written at a time.
const WRITE_BUFFER: usize = 64 * 1024;

/// Delivers what `write` writes.
pub fn deliver(maildir: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Delivered> {
    make(maildir)?;
    let unique = new_unique();
    let name = super::FileName::plain(unique).write();
    let litter = Litter(maildir.join("tmp").join(&name));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&litter.0)?;
    let mut writer = BufWriter::with_capacity(WRITE_BUFFER, file);
    write(&mut writer)?;
    let file: File = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let path = maildir.join("new").join(&name);
    rename_to_free(&litter.0, &path)?;
    sync_directory(&maildir.join("new"))?;
    Ok(Delivered { path })
}

/// The three directories of a Maildir; `new/` last, so that who sees it sees a whole one.
fn make(maildir: &Path) -> io::Result<()> {
    if maildir.join("new").is_dir() && maildir.join("tmp").is_dir() {
        return Ok(());
    }
    for name in ["tmp", "cur", "new"] {
        DirBuilder::new().recursive(true).mode(0o700).create(maildir.join(name))?;
    }
    sync_directory(maildir)?;
    match maildir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent).or_else(|error| match error.kind() {
            // Not ours to read, perhaps: the directory was there before.
            ErrorKind::PermissionDenied => Ok(()),
            _ => Err(error),
        }),
        None => Ok(()),
    }
}

/// A file in `tmp/` that is removed unless it was renamed.
struct Litter(PathBuf);

impl Drop for Litter {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let maildir = directory.path().join("a/b");
        let first = deliver(&maildir, |to| to.write_all(b"one")).unwrap();
        let second = deliver(&maildir, |to| to.write_all(b"two")).unwrap();
        assert_ne!(first.path, second.path);
        assert_eq!(fs::read(&first.path).unwrap(), b"one");
        assert_eq!(fs::read(&second.path).unwrap(), b"two");
        let broken = deliver(&maildir, |to| to.write_all(b"half").and(Err(io::Error::from(ErrorKind::StorageFull))));
        assert_eq!(broken.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(maildir.join("new")).unwrap().count(), 2);
        assert_eq!(fs::read_dir(maildir.join("tmp")).unwrap().count(), 0);
        fs::write(directory.path().join("file"), b"").unwrap();
        assert!(deliver(&directory.path().join("file"), |_| Ok(())).is_err());
    }
}
