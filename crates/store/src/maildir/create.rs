//! A new mailbox in a Maildir. In: its name with `/` between the parts, as it is to be spelled on disk. Out: the mailbox, in the layout that the
//! Maildir has already: Maildir++ (`.A.B`), or nested folders where there are some. Never changes one that is there.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::folder::{Mailbox, sync_directory};
use super::name::MAX_NAME;
use super::tree::{ListError, MAX_DEPTH, MAX_MAILBOXES, Maildir};

/// Why a mailbox was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// It is there.
    #[error("there is a mailbox of that name")]
    Exists,
    /// No folder can have that name here.
    #[error("a mailbox cannot have that name")]
    Name,
    /// The mailboxes cannot be listed, or there are too many.
    #[error(transparent)]
    List(#[from] ListError),
    /// The file system says so.
    #[error("the mailbox cannot be made")]
    Io(#[from] io::Error),
}

impl Maildir {
    /// Makes a mailbox.
    pub fn create(&self, name: &str) -> Result<Mailbox, CreateError> {
        let parts: Vec<&str> = name.split('/').collect();
        let plain = |part: &&str| {
            let reserved = matches!(*part, "cur" | "new" | "tmp");
            !part.is_empty() && !reserved && !part.contains(['.', '\0']) && !part.chars().any(char::is_control)
        };
        if !parts.iter().all(plain) || parts.len() > MAX_DEPTH || name.len() >= MAX_NAME {
            return Err(CreateError::Name);
        }
        let listing = self.list()?;
        if name.eq_ignore_ascii_case("INBOX") || listing.mailboxes.iter().any(|mailbox| mailbox.name() == name) {
            return Err(CreateError::Exists);
        }
        if listing.mailboxes.len() >= MAX_MAILBOXES {
            return Err(ListError::TooMany.into());
        }
        let is_nested = |mailbox: &Mailbox| {
            let inside = mailbox.dir().strip_prefix(self.root()).ok().and_then(|path| path.to_str());
            inside.is_some_and(|path| !path.is_empty() && !path.starts_with('.'))
        };
        let folder = match listing.mailboxes.iter().any(is_nested) {
            true => parts.iter().collect::<PathBuf>(),
            false => PathBuf::from(format!(".{}", parts.join("."))),
        };
        let dir = self.root().join(folder);
        for place in ["tmp", "new", "cur"] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir.join(place))?;
        }
        sync_directory(&dir)?;
        sync_directory(self.root())?;
        Ok(Mailbox::new(name.to_owned(), dir))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn new_mailboxes_are_found_in_either_layout() {
        for nested in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let first = if nested { "Old" } else { ".Old" };
            for folder in ["", first] {
                for place in ["cur", "new", "tmp"] {
                    std::fs::create_dir_all(directory.path().join(folder).join(place)).unwrap();
                }
            }
            let maildir = Maildir::open(directory.path()).unwrap();
            for name in ["Sent", "A/B", "Entw&APw-rfe"] {
                let made = maildir.create(name).unwrap();
                assert_eq!(maildir.mailbox(name).unwrap().unwrap(), made);
                assert!(matches!(maildir.create(name).unwrap_err(), CreateError::Exists), "{name}");
            }
            assert!(matches!(maildir.create("inbox").unwrap_err(), CreateError::Exists));
            for wrong in ["", "/", "a/", "/a", "a//b", "a.b", "..", "cur", "a/new", "a\nb", &"x".repeat(300)] {
                assert!(matches!(maildir.create(wrong).unwrap_err(), CreateError::Name), "{wrong}");
            }
        }
    }
}
