//! Places for octets that must be read again: memory up to 1 MiB, then an unlinked temporary file. Ciphertext goes there
//! as it is; a message from a pipe goes there encrypted under a key that only this process has (format A18).

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    os::fd::AsFd,
};

use sealed::spool::{SpoolReader, SpoolWriter};
use tempfile::SpooledTempFile;

use crate::failure::{DoingWhat, Exit, Failure};

/// More octets than this go to a file.
const IN_MEMORY: usize = 1024 * 1024;

/// An empty place.
pub fn place() -> io::Result<SpooledTempFile> {
    Ok(tempfile::spooled_tempfile(IN_MEMORY))
}

/// A message that can be read more than once.
pub enum Original {
    /// From a pipe, small.
    Memory(Cursor<zeroize::Zeroizing<Vec<u8>>>),
    /// From a pipe, large: spooled and encrypted.
    Spool(Box<SpoolReader<SpooledTempFile>>),
    /// A file, from the offset at which it was handed over.
    File(File, u64),
}

impl Original {
    /// Standard input, whatever it is.
    pub fn from_stdin() -> Result<Self, Failure> {
        let stdin = io::stdin();
        let is_file = rustix::fs::fstat(&stdin)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile);
        if is_file {
            let file = stdin.as_fd().try_clone_to_owned().doing(Exit::Temporary, "cannot read standard input")?;
            return Self::from_file(File::from(file)).doing(Exit::Temporary, "cannot read standard input");
        }
        Self::from_pipe(&mut stdin.lock()).doing(Exit::Temporary, "cannot take in standard input")
    }

    /// A file, from where it stands.
    pub fn from_file(mut file: File) -> io::Result<Self> {
        let start = file.stream_position()?;
        Ok(Self::File(file, start))
    }

    fn from_pipe(pipe: &mut impl Read) -> io::Result<Self> {
        let mut beginning = zeroize::Zeroizing::new(Vec::with_capacity(IN_MEMORY + 1));
        pipe.take(IN_MEMORY as u64 + 1).read_to_end(&mut beginning)?;
        if beginning.len() <= IN_MEMORY {
            return Ok(Self::Memory(Cursor::new(beginning)));
        }
        let mut writer = SpoolWriter::new(place()?);
        io::Write::write_all(&mut writer, &beginning)?;
        // The memory may serve as the buffer of the copy now: it already held the same kind of secret.
        beginning.truncate(IN_MEMORY);
        loop {
            let count = match pipe.read(&mut beginning) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                return Ok(Self::Spool(Box::new(writer.finish()?)));
            }
            io::Write::write_all(&mut writer, beginning.get(..count).unwrap_or_default())?;
        }
    }
}

impl Read for Original {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.read(to),
            Self::Spool(spool) => spool.read(to),
            Self::File(file, _) => file.read(to),
        }
    }
}

impl Seek for Original {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(memory) => memory.seek(to),
            Self::Spool(spool) => spool.seek(to),
            Self::File(file, start) => {
                let to = match to {
                    SeekFrom::Start(offset) => SeekFrom::Start(offset.saturating_add(*start)),
                    other => other,
                };
                let position = file.seek(to)?;
                position.checked_sub(*start).ok_or_else(|| io::ErrorKind::InvalidInput.into())
            }
        }
    }
}
