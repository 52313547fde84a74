//! The sealed message is put beside its original, or into a folder, on an IMAP server.
//!
//! In: an original that `store` has fetched. Out: its sealed copy, and the receipt for it once it was fetched back and opened
//! with the session key. The order of steps is `store`'s. Never writes anything but ciphertext.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use seal::Sealing;
use sealed::identity::sha256_of;
use sealed::recognise::{What, recognise};
use sealed::scratch::{NewPlace, Scratch, Scratched};
use sealed::signature::Trust;
use store::imap::{Job, Key, Original, Remake, Written};
use store::{Database, Ledger, UnixSeconds};

use super::backup;
use super::look::untouchable;
use super::mark::mark_of;
use crate::owner::{Lies, Owner};
use crate::pump::Taken;
use crate::reason;
use crate::receipt::{Proved, READ_BUFFER};
use crate::settings::Backup;
use crate::stumble::{Stumble, guarded};

/// Seals messages of an account.
pub(crate) struct Sink<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) trust: &'a Trust,
    pub(crate) backup: Option<&'a Backup>,
    /// To find older copies of an original.
    pub(crate) database: Mutex<Database>,
    pub(crate) source: String,
    pub(crate) validity: u32,
    pub(crate) target: String,
    pub(crate) target_validity: u32,
    pub(crate) place: NewPlace<File>,
}

/// A message to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) taken: Taken,
    /// Another sealer had it long enough.
    pub(crate) insists: bool,
}

impl Sink<'_> {
    fn seal(
        &self,
        job: &Job<Item>,
        original: &mut Scratched<File>,
        fetched: &Original,
        to: &mut Scratch<File>,
    ) -> Result<Written<Sealing>, Stumble> {
        let unreadable = |_: io::Error| Stumble::Fail(reason::UNREADABLE);
        let what = recognise(&mut BufReader::with_capacity(READ_BUFFER, &mut *original), self.trust);
        match what.map_err(unreadable)? {
            What::Plain(_) => {}
            What::Sealed(_) => return Err(Stumble::Leave(reason::GONE)),
            What::SealedByUnknown(_) => return Err(Stumble::Leave(reason::UNKNOWN_SEALER)),
            What::EndToEnd(_) => return Err(Stumble::Leave(reason::END_TO_END)),
        }
        original.rewind().map_err(unreadable)?;
        let key = Key { validity: self.validity, uid: job.uid }.to_octets();
        let lies = Lies {
            mailbox: &self.source,
            occurrence: &key,
            internal_date: fetched.internal_date.clone(),
            flags: fetched.flags.clone(),
        };
        let sealing = self.owner.seal(original, lies, job.item.taken.sequence, to)?;
        let expectation = sealing.expectation();
        let (mark, fingerprint) = (expectation.id.0.to_vec(), expectation.original.to_vec());
        let (twins, expectation) = (self.twins(&mark), expectation.to_octets());
        Ok(Written { kept: sealing, mark, expectation, fingerprint, twins })
    }

    /// An older copy of the same original: the journal was lost, or another sealer did not come to the end.
    fn twins(&self, mark: &[u8]) -> Vec<u32> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Ledger::on(&database).copy_of(&self.owner.settings.name, &self.target, mark);
        let known = known.ok().flatten().and_then(|name| Key::from_octets(&name));
        known.filter(|key| key.validity == self.target_validity).map(|key| key.uid).into_iter().collect()
    }
}

impl Remake for Sink<'_> {
    type Item = Item;
    type Scratch = Scratch<File>;
    type Octets = Scratched<File>;
    type Kept = Sealing;
    type Proof = Proved;
    type Error = Stumble;

    fn scratch(&self, length: u64) -> io::Result<Scratch<File>> {
        Ok(Scratch::new(length, Arc::clone(&self.place)))
    }

    fn finish(&self, scratch: Scratch<File>) -> io::Result<Scratched<File>> {
        scratch.finish()
    }

    fn may(&self, _: &Job<Item>, flags: &[String]) -> Result<(), Stumble> {
        untouchable(flags).map_or(Ok(()), |reason| Err(Stumble::Leave(reason)))
    }

    fn insists(&self, job: &Job<Item>) -> bool {
        job.item.insists
    }

    fn write(
        &self,
        job: &Job<Item>,
        original: &mut Scratched<File>,
        fetched: &Original,
        to: &mut Scratch<File>,
    ) -> Result<Written<Sealing>, Stumble> {
        guarded(|| self.seal(job, original, fetched, to))
    }

    fn keep(&self, copies: &mut [&mut Scratched<File>]) -> Result<(), Stumble> {
        match self.backup {
            Some(backup) if !copies.is_empty() => {
                let kept = backup::keep(&backup.directory, copies, UnixSeconds::now());
                kept.map_err(|error| Stumble::of_writing(&error))
            }
            _ => Ok(()),
        }
    }

    fn prove(&self, sealing: Sealing, copy: &mut Scratched<File>) -> Result<Proved, Stumble> {
        guarded(|| {
            let mut spool = self.owner.settings.spool().map_err(|error| Stumble::of_writing(&error))?;
            Proved::with_key(&sealing, copy, &mut spool).map_err(|_| Stumble::Fail(reason::NOT_PROVED))
        })
    }

    fn fields(&self) -> &'static str {
        "SEALED-MAIL"
    }

    fn mark_of(&self, header: &[u8]) -> Option<Vec<u8>> {
        mark_of(header)
    }

    fn fingerprint(&self, octets: &mut Scratched<File>) -> io::Result<Vec<u8>> {
        octets.rewind()?;
        let hash = sha256_of(&mut *octets)?;
        octets.rewind()?;
        Ok(hash.to_vec())
    }
}
