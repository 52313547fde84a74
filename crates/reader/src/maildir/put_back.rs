//! One original put back: written, read back, compared.
//!
//! In: a sealed message that `store` has opened. Out: its original written to where `store` says, and the proof that what was
//! read back from there hashes to what its sealer signed. Never writes an octet before all of the message was verified.

use std::fs::File;

use sealed::identity::{Hash, sha256_of};
use store::maildir::{PublishError, ScanError, StageError};
use store::replace::Failure;
use store::{Flags, Job, Replace, Staging};

use crate::numbers::Numbers;
use crate::opening::{Restored, Stumble, open_whole};
use crate::reason;
use crate::settings::Settings;

/// Writes originals.
pub(crate) struct PutBack<'a> {
    pub(crate) settings: &'a Settings,
    /// By mailbox and unique name.
    pub(crate) numbers: Numbers<(String, Vec<u8>)>,
}

impl Replace for PutBack<'_> {
    /// Octets of the sealed message.
    type Item = u64;
    type Kept = Hash;
    type Proof = Restored;
    type Error = Stumble;

    fn write(&self, job: &Job<u64>, _: &Flags, mut sealed: File, to: &mut Staging) -> Result<(Hash, Vec<u8>), Stumble> {
        let opened = open_whole(self.settings, &sealed).map_err(|error| Stumble::of(&error, &mut sealed))?;
        let hash = *opened.hash();
        self.numbers.learn(name_of(job), &opened);
        opened.write(to).map_err(|error| Stumble::of(&error, &mut sealed))?;
        Ok((hash, hash.to_vec()))
    }

    fn prove(&self, hash: Hash, original: File) -> Result<Restored, Stumble> {
        match sha256_of(original) {
            Ok(found) if found == hash => Ok(Restored),
            _ => Err(Stumble::Fail(reason::NOT_PROVED)),
        }
    }
}

/// What a job is known by.
pub(crate) fn name_of(job: &Job<u64>) -> (String, Vec<u8>) {
    (job.mailbox.name().to_owned(), job.original.unique().as_bytes().to_vec())
}

pub(crate) fn stumble_of(failure: &Failure<Stumble>) -> Stumble {
    match failure {
        Failure::Refused(stumble) => *stumble,
        Failure::Stage(StageError::Io(error)) | Failure::Publish(PublishError::Io(error)) => Stumble::of_writing(error),
        Failure::Stage(StageError::Scan(ScanError::Restless))
        | Failure::Publish(PublishError::Scan(ScanError::Restless))
        | Failure::Original(ScanError::Restless) => Stumble::Fail(reason::RESTLESS),
        Failure::Original(_) => Stumble::Fail(reason::UNREADABLE),
        Failure::ReadBack(_) => Stumble::Fail(reason::NOT_PROVED),
        Failure::Stage(_) | Failure::Publish(_) => Stumble::Fail(reason::UNWRITABLE),
    }
}
