//! A spool for octets that must be read again but fit no memory: chunks encrypted with AES-256-GCM under a key that lives
//! only in this process (A18). Whoever calls gives the place (an unlinked file, or memory); nothing in clear reaches it.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::identity::random;

const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

/// Takes octets once, from begin to end.
pub struct SpoolWriter<F> {
    place: F,
    key: LessSafeKey,
    chunk: Zeroizing<Vec<u8>>,
    chunks: u64,
}

impl<F: Read + Write + Seek> SpoolWriter<F> {
    /// `place` must be empty and nobody else's.
    pub fn new(place: F) -> Self {
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(random());
        let key = UnboundKey::new(&AES_256_GCM, &*key).expect("32 octets are an AES-256 key");
        Self { place, key: LessSafeKey::new(key), chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)), chunks: 0 }
    }

    /// All was written: read it as often as needed.
    pub fn finish(mut self) -> io::Result<SpoolReader<F>> {
        let length = self.chunks * CHUNK as u64 + self.chunk.len() as u64;
        if !self.chunk.is_empty() {
            self.put_chunk()?;
        }
        let mut reader =
            SpoolReader { place: self.place, key: self.key, chunk: self.chunk, loaded: None, position: 0, length };
        reader.rewind()?;
        Ok(reader)
    }

    fn put_chunk(&mut self) -> io::Result<()> {
        self.key
            .seal_in_place_append_tag(nonce(self.chunks), Aad::empty(), &mut *self.chunk)
            .expect("AES-GCM takes a chunk of this size");
        self.place.write_all(&self.chunk)?;
        self.chunk.clear();
        self.chunks += 1;
        Ok(())
    }
}

impl<F: Read + Write + Seek> Write for SpoolWriter<F> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let (now, _) = octets.split_at_checked(CHUNK - self.chunk.len()).unwrap_or((octets, b""));
        self.chunk.extend_from_slice(now);
        if self.chunk.len() == CHUNK {
            self.put_chunk()?;
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the spooled octets, from any position, any number of times. An octet that was changed in its place is an error.
pub struct SpoolReader<F> {
    place: F,
    key: LessSafeKey,
    chunk: Zeroizing<Vec<u8>>,
    /// Which chunk is decrypted in `chunk`.
    loaded: Option<u64>,
    position: u64,
    length: u64,
}

impl<F> SpoolReader<F> {
    /// Octets that were spooled.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl<F: Read + Seek> SpoolReader<F> {
    fn load(&mut self, number: u64) -> io::Result<()> {
        if self.loaded == Some(number) {
            return Ok(());
        }
        let start = number * CHUNK as u64;
        let size = usize::try_from(self.length - start).unwrap_or(CHUNK).min(CHUNK) + TAG;
        if self.loaded.is_none_or(|loaded| loaded + 1 != number) {
            self.place.seek(SeekFrom::Start(number * (CHUNK + TAG) as u64))?;
        }
        self.loaded = None;
        self.chunk.resize(size, 0);
        self.place.read_exact(&mut self.chunk)?;
        self.key
            .open_in_place(nonce(number), Aad::empty(), &mut self.chunk)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the spool file was changed"))?;
        self.chunk.truncate(size - TAG);
        self.loaded = Some(number);
        Ok(())
    }
}

impl<F: Read + Seek> Read for SpoolReader<F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() || self.position >= self.length {
            return Ok(0);
        }
        self.load(self.position / CHUNK as u64)?;
        let within = (self.position % CHUNK as u64) as usize;
        let ready = self.chunk.get(within..).unwrap_or_default();
        let count = ready.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl<F: Read + Seek> Seek for SpoolReader<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "before the start"))?;
        Ok(self.position)
    }
}

fn nonce(chunk: u64) -> Nonce {
    let mut octets = [0; 12];
    octets[4..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(octets)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_never_in_clear() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let octets: Vec<u8> = b"a secret line ".iter().copied().cycle().take(length).collect();
            let mut writer = SpoolWriter::new(Cursor::new(Vec::new()));
            writer.write_all(&octets).expect("memory");
            let mut reader = writer.finish().expect("memory");
            for _ in 0..2 {
                let mut read = Vec::new();
                reader.rewind().expect("memory");
                reader.read_to_end(&mut read).expect("memory");
                assert_eq!(read, octets);
            }
            let stored = reader.place.get_ref();
            assert!(length == 0 || stored.len() >= length + TAG);
            assert!(memchr::memmem::find(stored, b"secret").is_none());
        }
    }

    #[test]
    fn a_change_is_an_error() {
        let mut writer = SpoolWriter::new(Cursor::new(Vec::new()));
        writer.write_all(&[7; 1000]).expect("memory");
        let mut reader = writer.finish().expect("memory");
        reader.place.get_mut()[500] ^= 1;
        assert!(reader.read(&mut [0; 10]).is_err());
    }
}
