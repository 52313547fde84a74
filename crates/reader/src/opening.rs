//! One sealed message opened, and what may be in the way of its original.
//!
//! In: a sealed message. Out: its verified content, the proof that what was put back is it, or a word for reports. Never writes
//! an octet before all of the message was verified.

use std::io::{self, BufReader, Read, Seek};

use open::OpenError;
use store::Halt;

use crate::reason;
use crate::settings::Settings;

/// The original, read back, hashes to what its sealer signed.
#[derive(Debug)]
pub(crate) struct Restored;

impl store::Proof for Restored {}

/// Why an original was not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stumble {
    Fail(&'static str),
    Halt(Halt),
}

impl Stumble {
    pub(crate) fn of(error: &OpenError, sealed: &mut (impl Read + Seek)) -> Stumble {
        match error {
            OpenError::Io(error) => Stumble::of_writing(error),
            other => Stumble::Fail(reason::of(other, sealed)),
        }
    }

    pub(crate) fn of_writing(error: &io::Error) -> Stumble {
        Halt::of(error).map_or(Stumble::Fail(reason::UNWRITABLE), Stumble::Halt)
    }
}

/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;

/// Verifies a whole sealed message.
pub(crate) fn open_whole(
    settings: &Settings,
    sealed: impl Read,
) -> Result<open::Opened<tempfile::SpooledTempFile>, OpenError> {
    let spool = settings.spool().map_err(OpenError::Io)?;
    let mut sealed = BufReader::with_capacity(READ_BUFFER, sealed);
    open::open(&mut sealed, spool, &settings.keys, &settings.trust)
}
