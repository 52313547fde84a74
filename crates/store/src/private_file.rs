//! The file of a database, made for its owner alone before SQLite opens it.
//!
//! In: a path. Out: a file of mode 0600. One that is there is never opened here: to close a file drops every lock that this process has on it (POSIX.1-2024,
//! fcntl), also those of connections that are in use. Another process would then take itself for the last one at the database, and remove the log that is
//! written beside it, with what was committed to it ("How To Corrupt An SQLite Database File", section 2.2).

use std::fs::{OpenOptions, Permissions, metadata, set_permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Makes the file, empty, if it is not there; takes it from everybody but its owner if it is. SQLite gives its `-wal` and `-shm` files the mode of this one.
pub fn make_private(path: &Path) -> io::Result<()> {
    // Who finds it there opens it after who made it has closed it.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    if metadata(path)?.permissions().mode() & 0o077 != 0 {
        set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}
