//! A directory in a folder: one file for each address, named by it.
//!
//! `alice@example.org.enrolment`, `.asc`, `.pgp`, `.gpg`, `.pem`, `.crt` or `.alias` (whose first line is another address); `@example.org.asc` for a whole domain. In:
//! names. Out: what the files hold at this moment: a file that is replaced counts from the next message on. A name never leads out of the folder.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry, MAX_ENTRY, aside};

/// A folder.
pub struct Folder {
    path: Arc<PathBuf>,
}

/// What an enrolment or certificate may be called.
const KEYS: [&str; 6] = ["enrolment", "asc", "pgp", "gpg", "pem", "crt"];
/// What an alias is called.
const ALIAS: &str = "alias";
/// To open without waiting for whoever writes.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
/// Files that are listed.
const MAX_FILES: usize = 1_000_000;

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Folder {
        Folder { path: Arc::new(path) }
    }

    pub(crate) async fn find(&self, names: &[String]) -> Result<Option<Entry>, DirectoryError> {
        let (path, names) = (Arc::clone(&self.path), names.to_vec());
        aside(move || {
            // A folder that is not there, or not mounted, does not say that nobody is known.
            if !fs::metadata(&*path)?.is_dir() {
                return Err(std::io::Error::from(ErrorKind::NotADirectory).into());
            }
            for name in names.iter().filter(|name| is_file_name(name)) {
                if let Some(entry) = read(&path, name)? {
                    return Ok(Some(entry));
                }
            }
            Ok(None)
        })
        .await
    }

    pub(crate) async fn put(&self, name: &Address, entry: &Entry) -> Result<(), DirectoryError> {
        let (path, name, entry) = (Arc::clone(&self.path), name.as_str().to_owned(), entry.clone());
        if !is_file_name(&name) {
            return Err(DirectoryError::Name);
        }
        aside(move || {
            let (suffix, octets) = match &entry {
                Entry::Keys(octets) => ("enrolment", octets.clone()),
                Entry::Alias(other) => (ALIAS, format!("{other}\n").into_bytes()),
            };
            fs::create_dir_all(&*path)?;
            let mut file = tempfile::Builder::new()
                .prefix(".new")
                .permissions(Permissions::from_mode(0o644))
                .tempfile_in(&*path)?;
            file.write_all(&octets)?;
            file.as_file().sync_all()?;
            let target = path.join(format!("{name}.{suffix}"));
            file.persist(&target).map_err(|error| error.error)?;
            for other in suffixes().filter(|other| *other != suffix) {
                remove(&path.join(format!("{name}.{other}")))?;
            }
            Ok(File::open(&*path)?.sync_all()?)
        })
        .await
    }

    pub(crate) async fn remove(&self, name: &Address) -> Result<bool, DirectoryError> {
        let (path, name) = (Arc::clone(&self.path), name.as_str().to_owned());
        if !is_file_name(&name) {
            return Ok(false);
        }
        aside(move || {
            let mut removed = false;
            for suffix in suffixes() {
                removed |= remove(&path.join(format!("{name}.{suffix}")))?;
            }
            File::open(&*path)?.sync_all()?;
            Ok(removed)
        })
        .await
    }

    pub(crate) async fn list(&self, after: &str, most: usize) -> Result<Vec<String>, DirectoryError> {
        let (path, after) = (Arc::clone(&self.path), after.to_owned());
        aside(move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(&*path)?.take(MAX_FILES) {
                let name = entry?.file_name();
                let name = name.to_str().and_then(|name| name.rsplit_once('.'));
                let name = name.filter(|(_, suffix)| suffixes().any(|known| known == *suffix));
                names.extend(
                    name.map(|(name, _)| name.to_lowercase()).filter(|name| *name > after && is_file_name(name)),
                );
            }
            names.sort();
            names.dedup();
            names.truncate(most);
            Ok(names)
        })
        .await
    }
}

fn suffixes() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().chain([ALIAS])
}

/// What stands under a name.
fn read(folder: &Path, name: &str) -> Result<Option<Entry>, DirectoryError> {
    for suffix in suffixes() {
        let path = folder.join(format!("{name}.{suffix}"));
        // A pipe, or whatever else is no file, must not be waited for.
        let file = match File::options().read(true).custom_flags(NONBLOCK).open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => continue,
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            continue;
        }
        let mut octets = Vec::new();
        // One more than there may be: what is too large must not look whole.
        file.take(MAX_ENTRY.saturating_add(1)).read_to_end(&mut octets)?;
        if suffix != ALIAS {
            return Ok(Some(Entry::Keys(octets)));
        }
        let text = String::from_utf8_lossy(&octets);
        let other = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        return Ok(Some(Entry::Alias(other.unwrap_or_default().to_lowercase())));
    }
    Ok(None)
}

fn remove(path: &Path) -> Result<bool, DirectoryError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && !name.contains(['/', '\0'])
}
