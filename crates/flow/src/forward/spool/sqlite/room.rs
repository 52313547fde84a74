//! Room on the disk for a queue in a file: what must be free before more is taken, and what is held back so that it drains on a full disk.
//!
//! In: the path of the queue's file. Out: whether there is room. SQLite writes before it can take anything out: the log first, then the file. A file
//! beside the queue holds room for that. When the disk is full it is given up, copies go on to their target, and it is made again when there is room.
//! The file of the queue shrinks meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::super::item::Room;
use super::SpoolError;

/// Octets held back: the log of some thousand changes, and temporary files of what is under way.
const RESERVE: u64 = 32 * 1024 * 1024;
/// Octets that are free besides, for whatever else lies on this disk, or no more mail is taken.
const FREE: u64 = 32 * 1024 * 1024;
/// A copy lies in a temporary file, in the log and in the file at once.
const TIMES: u64 = 3;
/// Pages that are given back at a time: their log stays well within what is held back.
const PAGES: i64 = 2048;

/// Room for one file.
#[derive(Clone)]
pub(super) struct Disk {
    folder: PathBuf,
    reserve: PathBuf,
}

impl Disk {
    /// Where this file is, or will be.
    pub(super) fn of(file: &Path) -> Disk {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut reserve = file.as_os_str().to_owned();
        reserve.push("-reserve");
        Disk { folder: folder.to_owned(), reserve: reserve.into() }
    }

    /// Is there room for a copy of so many octets?
    pub(super) fn room(&self, octets: u64) -> Room {
        let held_back = if self.is_held() { 0 } else { RESERVE };
        let needed = octets.saturating_mul(TIMES).saturating_add(FREE).saturating_add(held_back);
        if self.free() >= needed { Room::Enough } else { Room::Short }
    }

    /// Holds room back, if there is enough.
    pub(super) fn hold(&self) {
        if !self.is_held() && self.room(0) == Room::Enough && self.make().is_err() {
            self.give_up();
        }
    }

    /// From now on there is room for changes, and for nothing else.
    pub(super) fn give_up(&self) {
        let _ = std::fs::remove_file(&self.reserve);
    }

    fn is_held(&self) -> bool {
        std::fs::metadata(&self.reserve).is_ok_and(|reserve| reserve.len() == RESERVE)
    }

    /// Whoever does not tell is not asked: the write itself will.
    fn free(&self) -> u64 {
        statvfs(&self.folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn make(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&self.reserve)?;
        match fallocate(&file, FallocateFlags::empty(), 0, RESERVE) {
            Err(Errno::OPNOTSUPP) => write(&mut file),
            made => Ok(made?),
        }
    }
}

/// What no file system can make smaller.
fn write(file: &mut File) -> io::Result<()> {
    const STEP: usize = 4096;
    for _ in 0..RESERVE / u64::try_from(STEP).unwrap_or(RESERVE) {
        file.write_all(&sealed::identity::random::<STEP>())?;
    }
    Ok(())
}

/// Gives some of what is free in the queue's file back to the disk.
pub(super) fn shrink(connection: &Connection) -> Result<(), SpoolError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let free = number("freelist_count")?;
    if free == 0 {
        return Ok(());
    }
    // 2: in steps. A file that was made without that is written anew, once what is in it is small.
    if number("auto_vacuum")? == 2 {
        let mut step = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut pages = step.query([])?;
        while pages.next()?.is_some() {}
    } else if number("page_count")?.saturating_sub(free) < PAGES {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")?;
    }
    // The file is as long as before until the log is taken over.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

/// May the disk be full? What is held back is given up too often rather than not.
pub(super) fn may_be_full(error: &SpoolError) -> bool {
    match error {
        SpoolError::Sqlite(error) => matches!(
            error.sqlite_error_code(),
            Some(
                rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::CannotOpen
            )
        ),
        SpoolError::Io(error) => matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded),
        _ => false,
    }
}
