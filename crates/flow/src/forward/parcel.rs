//! A copy on its way to its target.
//!
//! In: a sealed copy, from the sender's session or from the spool. Out: its octets, and what proves that a stored copy is it. The session key is
//! there only until the first try; afterwards the hashes are (format A6).

use std::io::{self, Read, Seek, SeekFrom};

use seal::{Expectation, Sealing};
use sealed::identity::{AccountId, MessageId};
use sealed::signature::SealerPublic;
use store::UnixSeconds;
use tempfile::SpooledTempFile;
use wire::smtp::Shape;

use crate::delivery::sealing::Octets;
use crate::forward::envelope::Envelope;
use crate::forward::likeness::Likeness;
use crate::forward::spool::Tenure;
use crate::receipt::Proved;

/// A copy on its way.
pub(crate) struct Parcel {
    pub(crate) id: MessageId,
    pub(crate) envelope: Envelope,
    pub(crate) octets: Octets,
    /// How many octets.
    pub(crate) length: u64,
    pub(crate) shape: Shape,
    pub(crate) received: UnixSeconds,
    pub(crate) evidence: Evidence,
    pub(crate) look: Look,
    /// In whose name it is in hand.
    pub(crate) tenure: Tenure,
}

/// What proves a stored copy.
pub(crate) enum Evidence {
    /// The session key: the copy opens to the original. And what proves it later, for the spool.
    Sealing(Box<Sealing>, Vec<u8>),
    /// Hashes of what was opened before it was kept, and who signed it.
    Hashes(Box<Expectation>, AccountId, SealerPublic),
    /// Nothing: its author encrypted it. What the target shows for it must have its content, in another form, perhaps, with line ends and header fields of
    /// its own: a stranger's with the same Message-ID is another one. Where it is looked for, it must look like this.
    AsItCame(Likeness),
}

/// Whether it may be at its target already, so that it must be looked for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    First,
    NotNeeded,
}

/// A stored copy that was read back.
pub(crate) enum Shown {
    /// It proves to be the one.
    Proved(#[expect(dead_code, reason = "held, not looked at")] Proved),
    /// There is nothing to prove.
    AsItIs,
}

impl Evidence {
    /// Is this copy, read back, the one? `spool` takes ciphertext.
    pub(crate) fn proves(&self, mut copy: impl Read, spool: &mut SpooledTempFile) -> Option<Shown> {
        match self {
            Evidence::Sealing(sealing, _) => Proved::with_key(sealing, copy, spool).ok().map(Shown::Proved),
            Evidence::Hashes(expectation, account, sealer) => {
                let original = expectation.original;
                let proved = Proved::after_restart(expectation, &original, copy, *account, sealer);
                proved.ok().map(Shown::Proved)
            }
            Evidence::AsItCame(likeness) => {
                Likeness::of(&mut copy).ok()?.has_content_of(likeness).then_some(Shown::AsItIs)
            }
        }
    }

    /// The same for a copy that was found, and not put: it may be another message.
    pub(crate) fn is(&self, mut copy: impl Read, spool: &mut SpooledTempFile) -> Option<Shown> {
        match self {
            Evidence::AsItCame(likeness) => (Likeness::of(&mut copy).ok()? == *likeness).then_some(Shown::AsItIs),
            _ => self.proves(copy, spool),
        }
    }
}

impl Parcel {
    /// Its id as text.
    pub(crate) fn name(&self) -> String {
        sealed::field::encode_id(&self.id.0)
    }
}

/// Octets with some lines of text before them.
pub(crate) struct Headed {
    head: Vec<u8>,
    octets: Octets,
    at: u64,
}

impl Headed {
    pub(crate) fn new(head: Vec<u8>, octets: Octets) -> Headed {
        Headed { head, octets, at: 0 }
    }
}

impl Read for Headed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        let count = match self.head.get(at..).filter(|rest| !rest.is_empty()) {
            Some(mut rest) => rest.read(into)?,
            None => self.octets.read(into)?,
        };
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl Seek for Headed {
    /// To the beginning only: that is all that is asked for.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if to != SeekFrom::Start(0) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.at = 0;
        self.octets.rewind()?;
        Ok(0)
    }
}
