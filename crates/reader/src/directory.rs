//! Originals restored into a directory that the owner named: one file each, named by its SHA-256.
//!
//! In: an opened message. Out: a file of mode 0600 with the whole original, or none. Never overwrites a file; never leaves half
//! of one under its name.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use open::Opened;
use sealed::identity::sha256_of;

use crate::opening::Stumble;
use crate::reason;
use crate::restored::{Came, RestoreError, came_of};

/// Makes the directory if need be.
pub(crate) fn prepare(directory: &Path) -> Result<(), RestoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(RestoreError::Directory)
}

/// Writes the original. `sealed` is what was opened.
pub(crate) fn put<S: Read + Seek>(
    directory: &Path,
    opened: Opened<S>,
    sealed: &mut (impl Read + Seek),
) -> Result<Came, RestoreError> {
    let hash = *opened.hash();
    let name: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
    let path = directory.join(name + ".eml");
    let failed = |error: &io::Error| came_of(Stumble::of_writing(error));
    let already = |path: &Path| match File::open(path).and_then(sha256_of) {
        Ok(found) if found == hash => Came::Already,
        _ => Came::Failed(reason::UNWRITABLE),
    };
    if fs::symlink_metadata(&path).is_ok() {
        return Ok(already(&path));
    }
    // Mode 0600, as `tempfile` makes them.
    let mut file = match tempfile::NamedTempFile::new_in(directory) {
        Ok(file) => file,
        Err(error) => return failed(&error),
    };
    if let Err(error) = opened.write(&mut file) {
        return came_of(Stumble::of(&error, sealed));
    }
    if let Err(error) = file.as_file().sync_all() {
        return failed(&error);
    }
    match file.persist_noclobber(&path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(already(&path)),
        Err(error) => return failed(&error.error),
    }
    match File::open(&path).and_then(sha256_of) {
        Ok(found) if found == hash => Ok(Came::Back),
        _ => Ok(Came::Failed(reason::NOT_PROVED)),
    }
}
