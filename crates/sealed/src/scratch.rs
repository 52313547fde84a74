//! A place for octets of unknown number: in memory while they are few, then in an encrypted spool (A18). Whoever calls says
//! where large ones go; nothing in clear reaches it. In: octets, once. Out: the same, as often as needed, from any position.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::spool::{SpoolReader, SpoolWriter};

/// Octets that stay in memory.
pub const IN_MEMORY: usize = 1024 * 1024;

/// Gives an empty place that nobody else has.
pub type NewPlace<F> = Arc<dyn Fn() -> io::Result<F> + Send + Sync>;

/// Takes octets once, from begin to end.
pub struct Scratch<F> {
    memory: Zeroizing<Vec<u8>>,
    in_memory: usize,
    spool: Option<SpoolWriter<F>>,
    place: NewPlace<F>,
}

/// Gives them.
pub enum Scratched<F> {
    /// They were few.
    Memory(Cursor<Zeroizing<Vec<u8>>>),
    /// They were many.
    Spool(Box<SpoolReader<F>>),
}

impl<F: Read + Write + Seek> Scratch<F> {
    /// For about so many octets.
    pub fn new(length: u64, place: NewPlace<F>) -> Self {
        Self::within(IN_MEMORY, length, place)
    }

    /// The same, with at most `in_memory` octets in memory.
    pub fn within(in_memory: usize, length: u64, place: NewPlace<F>) -> Self {
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        // Room from the start, so that growing leaves no copies behind. Many are spooled at once, then.
        let capacity = if capacity > in_memory { 0 } else { capacity };
        Self { memory: Zeroizing::new(Vec::with_capacity(capacity)), in_memory, spool: None, place }
    }

    /// All was written.
    pub fn finish(self) -> io::Result<Scratched<F>> {
        Ok(match self.spool {
            None => Scratched::Memory(Cursor::new(self.memory)),
            Some(spool) => Scratched::Spool(Box::new(spool.finish()?)),
        })
    }
}

impl<F: Read + Write + Seek> Write for Scratch<F> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Some(spool) = &mut self.spool {
            return spool.write(octets);
        }
        let length = self.memory.len().saturating_add(octets.len());
        if length <= self.in_memory {
            if length > self.memory.capacity() {
                // What grows leaves its old place behind: wiped, too.
                let mut larger = Zeroizing::new(Vec::with_capacity(length.saturating_mul(2).min(self.in_memory)));
                larger.extend_from_slice(&self.memory);
                self.memory = larger;
            }
            self.memory.extend_from_slice(octets);
            return Ok(octets.len());
        }
        let mut spool = SpoolWriter::new((self.place)()?);
        spool.write_all(&self.memory)?;
        self.memory = Zeroizing::new(Vec::new());
        let count = spool.write(octets)?;
        self.spool = Some(spool);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F> Scratched<F> {
    /// How many.
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.get_ref().len() as u64,
            Self::Spool(spool) => spool.length(),
        }
    }
}

impl<F: Read + Seek> Read for Scratched<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(octets) => {
                // A cursor over this type cannot read by itself.
                let position = usize::try_from(octets.position()).unwrap_or(usize::MAX);
                let rest = octets.get_ref().get(position..).unwrap_or_default();
                let count = rest.len().min(into.len());
                if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                octets.set_position(octets.position().saturating_add(count as u64));
                Ok(count)
            }
            Self::Spool(spool) => spool.read(into),
        }
    }
}

impl<F: Read + Seek> Seek for Scratched<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(octets) => {
                let base = match to {
                    SeekFrom::Start(position) => Some(position),
                    SeekFrom::End(by) => (octets.get_ref().len() as u64).checked_add_signed(by),
                    SeekFrom::Current(by) => octets.position().checked_add_signed(by),
                };
                let position = base.ok_or(io::ErrorKind::InvalidInput)?;
                octets.set_position(position);
                Ok(position)
            }
            Self::Spool(spool) => spool.seek(to),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn few_and_many_octets_come_back() {
        for length in [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY + 7] {
            let octets: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let place: NewPlace<Cursor<Vec<u8>>> = Arc::new(|| Ok(Cursor::new(Vec::new())));
            let mut scratch = Scratch::new(0, place);
            for part in octets.chunks(300_007) {
                scratch.write_all(part).unwrap();
            }
            let mut scratched = scratch.finish().unwrap();
            assert_eq!(scratched.length(), length as u64);
            assert_eq!(matches!(scratched, Scratched::Spool(_)), length > IN_MEMORY);
            for _ in 0..2 {
                let mut again = Vec::new();
                scratched.rewind().unwrap();
                scratched.read_to_end(&mut again).unwrap();
                assert!(again == octets, "{length}");
            }
            assert_eq!(scratched.seek(SeekFrom::End(0)).unwrap(), length as u64);
        }
    }
}
