//! One original put back: written, read back, compared.
//!
//! In: a sealed message that `store` has opened. Out: its original written to where `store` says, and the proof that what was
//! read back from there hashes to what its sealer signed. Never writes an octet before all of the message was verified.

use std::fs::File;
use std::io::{self, BufReader, Read};

use open::OpenError;
use sealed::identity::{Hash, sha256_of};
use store::maildir::{PublishError, ScanError, StageError};
use store::replace::Failure;
use store::{Flags, Halt, Job, Replace, Staging};

use crate::reason;
use crate::settings::Settings;

/// The original, read back, hashes to what its sealer signed.
#[derive(Debug)]
pub(crate) struct Restored;

impl store::Proof for Restored {}

/// Writes originals.
pub(crate) struct Restore<'a> {
    pub(crate) settings: &'a Settings,
}

/// Why an original was not written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stumble {
    Fail(&'static str),
    Halt(Halt),
}

impl Replace for Restore<'_> {
    /// Octets of the sealed message.
    type Item = u64;
    type Kept = Hash;
    type Proof = Restored;
    type Error = Stumble;

    fn write(&self, _: &Job<u64>, _: &Flags, sealed: File, to: &mut Staging) -> Result<(Hash, Vec<u8>), Stumble> {
        let opened = open_whole(self.settings, &sealed).map_err(|error| Stumble::of(&error, &sealed))?;
        let hash = *opened.hash();
        opened.write(to).map_err(|error| Stumble::of(&error, &sealed))?;
        Ok((hash, hash.to_vec()))
    }

    fn prove(&self, hash: Hash, original: File) -> Result<Restored, Stumble> {
        match sha256_of(original) {
            Ok(found) if found == hash => Ok(Restored),
            _ => Err(Stumble::Fail(reason::NOT_PROVED)),
        }
    }
}

impl Stumble {
    fn of(error: &OpenError, sealed: &File) -> Stumble {
        match error {
            OpenError::Io(error) => Stumble::of_writing(error),
            other => Stumble::Fail(reason::of(other, sealed)),
        }
    }

    fn of_writing(error: &io::Error) -> Stumble {
        Halt::of(error).map_or(Stumble::Fail(reason::UNWRITABLE), Stumble::Halt)
    }

    pub(crate) fn of_failure(failure: &Failure<Stumble>) -> Stumble {
        match failure {
            Failure::Refused(stumble) => *stumble,
            Failure::Stage(StageError::Io(error)) | Failure::Publish(PublishError::Io(error)) => {
                Stumble::of_writing(error)
            }
            Failure::Stage(StageError::Scan(ScanError::Restless))
            | Failure::Publish(PublishError::Scan(ScanError::Restless))
            | Failure::Original(ScanError::Restless) => Stumble::Fail(reason::RESTLESS),
            Failure::Original(_) => Stumble::Fail(reason::UNREADABLE),
            Failure::ReadBack(_) => Stumble::Fail(reason::NOT_PROVED),
            Failure::Stage(_) | Failure::Publish(_) => Stumble::Fail(reason::UNWRITABLE),
        }
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
