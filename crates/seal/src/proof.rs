//! The proof that a stored copy is the sealed message that we made, and so that the original may go (format A3, A6).
//! [`Proved`] can be had in two ways only, both here: with the session key still in memory, or after a restart with the
//! hashes that were journaled before the copy was stored.

use std::io::{self, BufRead, Read, Seek, Write};

use sealed::{
    identity::{AccountId, Hash, MessageId, Profile},
    original::recover,
    outer::{Outer, OuterError},
    session::SessionKey,
    signature::{Envelope, SealerPublic, Trust},
};

/// A copy was read back from where it is stored, and it is ours, whole and unchanged.
#[derive(Debug)]
pub struct Proved {
    id: MessageId,
}

impl Proved {
    /// Which message.
    pub fn id(&self) -> MessageId {
        self.id
    }
}

/// What must be journaled before a copy is stored, so that it can be proved after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// The sealed message.
    pub id: MessageId,
    /// Its running number.
    pub sequence: u64,
    /// SHA-256 of the original.
    pub original: Hash,
    /// SHA-256 of K.
    pub key: Hash,
    /// SHA-256 of C.
    pub content: Hash,
    /// SHA-256 of F.
    pub fields: Hash,
    /// How the content is encrypted.
    pub profile: Profile,
}

/// Why a stored copy does not prove anything.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It is no sealed message, or a damaged one.
    #[error(transparent)]
    Outer(#[from] OuterError),
    /// It is a sealed message, but not this one.
    #[error("the stored copy is another message or was changed")]
    Other,
    /// Its signature does not verify.
    #[error("the stored copy carries no valid signature of this sealer")]
    Signature,
    /// It does not open to the original.
    #[error("the stored copy does not open to the original")]
    Content(#[source] io::Error),
}

const FORMAT: u8 = 1;
const EXPECTATION: usize = 2 + 16 + 8 + 4 * 32;

impl Expectation {
    /// For the journal.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![FORMAT, self.profile.octet()];
        octets.extend_from_slice(&self.id.0);
        octets.extend_from_slice(&self.sequence.to_be_bytes());
        for hash in [&self.original, &self.key, &self.content, &self.fields] {
            octets.extend_from_slice(hash);
        }
        octets
    }

    /// From the journal. None when a newer version wrote it.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; EXPECTATION] = octets.try_into().ok()?;
        let ([FORMAT, profile], rest) = octets.split_first_chunk()? else { return None };
        let profile = Profile::ALL.into_iter().find(|known| known.octet() == *profile)?;
        let (id, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (original, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (content, rest) = rest.split_first_chunk()?;
        let fields = rest.first_chunk()?;
        Some(Self {
            id: MessageId(*id),
            sequence: u64::from_be_bytes(*sequence),
            original: *original,
            key: *key,
            content: *content,
            fields: *fields,
            profile,
        })
    }

    /// After a restart: the copy's signature verifies and every piece hashes to what was journaled after it had been
    /// opened; `original` is the hash of the source, read again now.
    pub fn prove(
        &self,
        copy: &mut impl BufRead,
        original: &Hash,
        account: AccountId,
        sealer: &SealerPublic,
    ) -> Result<Proved, ProofError> {
        if *original != self.original {
            return Err(ProofError::Other);
        }
        let outer = Outer::read(copy, &mut io::sink())?;
        self.matches(&outer, account, sealer)
    }

    /// With the session key: besides that, the content opens to the original. `spool` takes the ciphertext.
    pub(crate) fn prove_with_key(
        &self,
        copy: &mut impl BufRead,
        spool: &mut (impl Read + Write + Seek),
        account: AccountId,
        sealer: &SealerPublic,
        key: &SessionKey,
    ) -> Result<Proved, ProofError> {
        let outer = Outer::read(copy, spool)?;
        let proved = self.matches(&outer, account, sealer)?;
        spool.rewind().map_err(ProofError::Content)?;
        let recovered = recover(spool, self.profile, key, &mut io::sink()).map_err(ProofError::Content)?;
        let trust = Trust { accounts: vec![account], sealers: vec![sealer.clone()] };
        if recovered.origin.hash != self.original || recovered.origin.id != self.id {
            return Err(ProofError::Other);
        }
        if recovered.is_signed_by_pinned(&trust) { Ok(proved) } else { Err(ProofError::Signature) }
    }

    fn matches(&self, outer: &Outer, account: AccountId, sealer: &SealerPublic) -> Result<Proved, ProofError> {
        let mark = &outer.fields.mark;
        let key = sealed::identity::sha256(&outer.fields.key);
        let fields = sealed::identity::sha256(&outer.fields.fields);
        let same = mark.id == self.id
            && mark.profile == self.profile
            && key == self.key
            && fields == self.fields
            && outer.content_hash == self.content;
        if !same {
            return Err(ProofError::Other);
        }
        let envelope = Envelope {
            profile: self.profile,
            account,
            id: self.id,
            content: &self.content,
            key: &key,
            fields: &fields,
        };
        if mark.sealer == sealer.id() && sealer.verifies(&envelope.transcript(sealer.id()), &mark.signature) {
            Ok(Proved { id: self.id })
        } else {
            Err(ProofError::Signature)
        }
    }
}
