//! A message as IMAP carries it: lines that end in CRLF (RFC 3501 §2.3.4), with the structure of its body parts.
//!
//! In: the octets of a message, once. Out: any of them, as often as wished. What is large is spooled, encrypted under a key that is only in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use mail::{BodyPart, Scanner, wire_form};
use sealed::scratch::{NewPlace, Scratch, Scratched};
use zeroize::Zeroizing;

/// A message in memory, or in an encrypted spool.
pub(crate) struct Original {
    octets: Scratched<File>,
    structure: BodyPart,
}

/// Octets of a header section that are looked into, for lists and searches.
pub(crate) const MAX_HEADER: u64 = 4 << 20;
/// Octets copied at a time.
const STEP: usize = 64 << 10;

impl Original {
    /// Takes what `write` writes, about `length` octets.
    pub(crate) fn take<E: From<io::Error>>(
        length: u64,
        spools: NewPlace<File>,
        write: impl FnOnce(&mut ToWire) -> Result<(), E>,
    ) -> Result<Self, E> {
        let scratch = Scratch::new(length.saturating_add(length / 32), spools);
        let mut wire = ToWire { scratch, scanner: Scanner::new(), last: 0 };
        write(&mut wire)?;
        Ok(Self { octets: wire.scratch.finish()?, structure: wire.scanner.finish() })
    }

    /// Octets: RFC822.SIZE.
    pub(crate) fn length(&self) -> u64 {
        self.octets.length()
    }

    /// Its body parts.
    pub(crate) fn structure(&self) -> &BodyPart {
        &self.structure
    }

    /// Some of its octets, in memory.
    pub(crate) fn read(&mut self, range: Range<u64>) -> io::Result<Zeroizing<Vec<u8>>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut octets = Zeroizing::new(Vec::with_capacity(length.min(STEP)));
        self.copy(range, &mut *octets)?;
        Ok(octets)
    }

    /// The header section with its empty line. Of one that is longer than [`MAX_HEADER`] the whole lines that come first: mail that somebody sent must not be in
    /// the way of a list, and its sections are served whole.
    pub(crate) fn header(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        let end = self.structure.body_offset();
        let mut header = self.read(0..end.min(MAX_HEADER))?;
        if end > MAX_HEADER {
            let whole = memchr::memrchr(b'\n', &header).map_or(0, |at| at.saturating_add(1));
            header.truncate(whole);
        }
        Ok(header)
    }

    /// Some of its octets, written.
    pub(crate) fn copy(&mut self, range: Range<u64>, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        self.octets.seek(SeekFrom::Start(range.start))?;
        let mut left = range.end.saturating_sub(range.start);
        let mut step = Zeroizing::new(vec![0; usize::try_from(left).unwrap_or(STEP).clamp(1, STEP)]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(STEP).min(step.len());
            let count = self.octets.read(step.get_mut(..most).unwrap_or_default())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all(step.get(..count).unwrap_or_default())?;
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }
}

/// Brings octets into the form of the wire.
pub(crate) struct ToWire {
    scratch: Scratch<File>,
    scanner: Scanner,
    last: u8,
}

impl Write for ToWire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let octets = octets.get(..STEP).unwrap_or(octets);
        let last = octets.last().copied().unwrap_or(self.last);
        match wire_form(self.last, octets) {
            Cow::Borrowed(octets) => {
                self.scanner.feed(octets);
                self.scratch.write_all(octets)?;
            }
            Cow::Owned(wire) => {
                let wire = Zeroizing::new(wire);
                self.scanner.feed(&wire);
                self.scratch.write_all(&wire)?;
            }
        }
        self.last = last;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
