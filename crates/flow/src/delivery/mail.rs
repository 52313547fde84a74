//! A message while it passes: taken once from its sender's hands, read as often as there are recipients.
//!
//! In: octets as they come (format §4.1: after dot-unstuffing). Out: the same, from memory while they are few, else from a file that
//! has no name and holds them encrypted under a key that only this process has (A18). Nothing in clear ever touches the disk.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealed::scratch::{NewPlace, Scratch, Scratched};
use wire::smtp::Shape;

/// Octets of one message that are kept in memory; many sessions at once must not fill it.
pub(crate) const IN_MEMORY: usize = 64 * 1024;

/// Takes a message.
pub(crate) struct Taking {
    scratch: Scratch<File>,
    place: NewPlace<File>,
}

/// A message, shared by the copies that are made of it.
#[derive(Clone)]
pub(crate) struct Mail {
    octets: Arc<Mutex<Scratched<File>>>,
    length: u64,
    shape: Shape,
    place: NewPlace<File>,
}

impl Taking {
    /// `announced`: octets, as far as the sender said. `temporary`: a directory.
    pub(crate) fn new(announced: Option<u64>, temporary: &Path) -> Taking {
        let temporary = temporary.to_path_buf();
        let place: NewPlace<File> = Arc::new(move || tempfile::tempfile_in(&temporary));
        let announced = announced.unwrap_or(FIRST).max(FIRST);
        Taking { scratch: Scratch::within(IN_MEMORY, announced, Arc::clone(&place)), place }
    }

    /// The next octets.
    pub(crate) fn take(&mut self, octets: &[u8]) -> io::Result<()> {
        self.scratch.write_all(octets)
    }

    /// All was taken.
    pub(crate) fn finish(self, shape: Shape) -> io::Result<Mail> {
        let octets = self.scratch.finish()?;
        Ok(Mail { length: octets.length(), octets: Arc::new(Mutex::new(octets)), shape, place: self.place })
    }
}

/// Room for a message of unknown length, octets.
const FIRST: u64 = 8 * 1024;

impl Mail {
    /// Octets.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What it is made of.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The message, from its beginning; whoever else wants it waits.
    pub(crate) fn read(&self) -> io::Result<MutexGuard<'_, Scratched<File>>> {
        let mut octets = self.octets.lock().unwrap_or_else(PoisonError::into_inner);
        octets.rewind()?;
        Ok(octets)
    }

    /// The message once more, as guarded as the first one.
    pub(crate) fn copy(&self) -> io::Result<Scratched<File>> {
        let mut copy = Scratch::within(IN_MEMORY, self.length, Arc::clone(&self.place));
        let mut octets = self.read()?;
        let mut step = zeroize::Zeroizing::new(vec![0; IN_MEMORY]);
        loop {
            match octets.read(&mut step)? {
                0 => break,
                count => copy.write_all(step.get(..count).unwrap_or_default())?,
            }
        }
        copy.finish()
    }
}
