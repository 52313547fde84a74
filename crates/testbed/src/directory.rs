//! A directory for one server. Out: a temporary directory with a path short enough for unix sockets, which other users can enter.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// The path of a unix socket has at most 107 octets, and servers put theirs up to 50 deeper.
const MAX_PATH: usize = 50;

/// Removed when dropped, after the server that lives in it has ended.
pub(crate) struct Directory(TempDir);

impl Directory {
    /// Below the system's temporary directory, or below `/tmp` where that has a long path.
    pub(crate) fn create() -> Directory {
        let parent = std::env::temp_dir();
        let parent = if parent.as_os_str().len() > MAX_PATH { PathBuf::from("/tmp") } else { parent };
        let made = tempfile::Builder::new().prefix("bed").tempdir_in(parent).expect("a temporary directory");
        fs::set_permissions(made.path(), Permissions::from_mode(0o755)).expect("permissions of a temporary directory");
        Directory(made)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A directory in this one.
    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).expect("a directory of a server");
        path
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).expect("a file of a server");
        path
    }
}
