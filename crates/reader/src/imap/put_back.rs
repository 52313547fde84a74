//! The original is put beside its sealed message, or into the mailbox that it came from, on an IMAP server.
//!
//! In: a sealed message that `store` has fetched. Out: its original, and the proof that what the server gives back hashes to
//! what its sealer signed. Copies of ours have no mark: recovery tells them by size and hash, and the ledger tells
//! which of them are taken. Never writes an octet before all of the message was verified.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use mail::HeaderSection;
use sealed::field::Mark;
use sealed::identity::{Hash, sha256_of};
use sealed::scratch::{NewPlace, Scratch, Scratched};
use store::imap::{Job, Key, Original, Remake, Written};
use store::ledger::MessageRef;
use store::{Database, Ledger};

use crate::numbers::Numbers;
use crate::opening::{Restored, Stumble, open_whole};
use crate::reason;
use crate::settings::Settings;

/// The keyword that says that the owner put a message back (A15).
pub(crate) const UNSEALED: &str = "$Unsealed";

/// Writes originals.
pub(crate) struct PutBack<'a> {
    pub(crate) settings: &'a Settings,
    /// To note which copies are taken.
    pub(crate) database: Mutex<Database>,
    /// The name under which the journal knows us.
    pub(crate) flow: String,
    pub(crate) copies: Copies,
    pub(crate) place: NewPlace<File>,
    /// What copies get besides the flags of the sealed messages.
    pub(crate) keywords: Vec<String>,
    /// By UID.
    pub(crate) numbers: Numbers<u32>,
}

/// Whose copies are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// A sweep's: sealed messages, with their mark.
    Sealed,
    /// Ours: originals, without any.
    Originals,
}

/// A sealed message to be opened.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Octets.
    pub(crate) size: u64,
    /// Another program had its lock long enough (A13).
    pub(crate) insists: bool,
}

impl Remake for PutBack<'_> {
    type Item = Item;
    type Scratch = Scratch<File>;
    type Octets = Scratched<File>;
    type Kept = Hash;
    type Proof = Restored;
    type Error = Stumble;

    fn scratch(&self, length: u64) -> io::Result<Scratch<File>> {
        Ok(Scratch::new(length, Arc::clone(&self.place)))
    }

    fn finish(&self, scratch: Scratch<File>) -> io::Result<Scratched<File>> {
        scratch.finish()
    }

    fn may(&self, _: &Job<Item>, flags: &[String]) -> Result<(), Stumble> {
        match flags.iter().any(|flag| flag.eq_ignore_ascii_case("\\Deleted")) {
            true => Err(Stumble::Fail(reason::DELETED)),
            false => Ok(()),
        }
    }

    fn insists(&self, job: &Job<Item>) -> bool {
        job.item.insists
    }

    fn write(
        &self,
        job: &Job<Item>,
        sealed: &mut Scratched<File>,
        _: &Original,
        to: &mut Scratch<File>,
    ) -> Result<Written<Hash>, Stumble> {
        let unreadable = |_: io::Error| Stumble::Fail(reason::UNREADABLE);
        let fingerprint = self.fingerprint(sealed).map_err(unreadable)?;
        let opened = open_whole(self.settings, &mut *sealed).map_err(|error| Stumble::of(&error, sealed))?;
        let hash = *opened.hash();
        self.numbers.learn(job.uid, &opened);
        opened.write(to).map_err(|error| Stumble::of(&error, sealed))?;
        Ok(Written { kept: hash, mark: Vec::new(), expectation: hash.to_vec(), fingerprint, twins: Vec::new() })
    }

    fn keep(&self, _: &mut [&mut Scratched<File>]) -> Result<(), Stumble> {
        Ok(())
    }

    fn prove(&self, hash: Hash, original: &mut Scratched<File>) -> Result<Restored, Stumble> {
        match hash_of(original) {
            Ok(found) if found == hash => Ok(Restored),
            _ => Err(Stumble::Fail(reason::NOT_PROVED)),
        }
    }

    fn fields(&self) -> &'static str {
        match self.copies {
            Copies::Sealed => "SEALED-MAIL",
            Copies::Originals => "",
        }
    }

    fn mark_of(&self, header: &[u8]) -> Option<Vec<u8>> {
        Mark::parse(&HeaderSection::parse(header)).ok().map(|mark| mark.id.0.to_vec())
    }

    fn fingerprint(&self, octets: &mut Scratched<File>) -> io::Result<Vec<u8>> {
        let hash = hash_of(octets)?;
        octets.rewind()?;
        Ok(hash.to_vec())
    }

    fn keywords(&self) -> Vec<String> {
        self.keywords.clone()
    }

    fn settled(&self, mailbox: &str, copy: Key) {
        if self.copies == Copies::Originals {
            let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
            let key = copy.to_octets();
            let message = MessageRef { flow: &self.flow, mailbox, message: &key };
            // Without the note nothing is lost but the telling apart of two equal originals after one more crash.
            let _ = Ledger::on(&database).note_copies(&[(message, &key)]);
        }
    }
}

/// From the beginning, whatever was read before.
pub(crate) fn hash_of(octets: &mut (impl Read + Seek)) -> io::Result<Hash> {
    octets.rewind()?;
    sha256_of(octets)
}

/// What a failure is to the caller.
pub(crate) fn stumble_of(failure: &store::imap::Failure<Stumble>) -> Stumble {
    use store::imap::Failure;
    Stumble::Fail(match failure {
        Failure::Refused(stumble) => return *stumble,
        Failure::Locked => reason::LOCKED,
        Failure::Unreadable => reason::UNREADABLE,
        Failure::Scratch => reason::UNWRITABLE,
        Failure::TooLarge => reason::APPEND_LIMIT,
        Failure::Quota => reason::QUOTA,
        Failure::Rejected | Failure::Merged | Failure::Date | Failure::Flags => reason::REJECTED,
        Failure::NoCopy => reason::NOT_PROVED,
        Failure::Restless => reason::RESTLESS,
    })
}
