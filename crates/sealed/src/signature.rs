//! The sealer's two signatures: what is signed (format §4.4, §4.6), signing, and verification with pinned keys.
//! Ed25519 (RFC 8032). In: the bound values; out: 64 octets, or a verdict. It says "this sealer received these octets",
//! never that From is genuine.

use aws_lc_rs::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey},
};
use zeroize::Zeroizing;

use crate::identity::{AccountId, Hash, MessageId, Profile, SealerId, random};

/// A sealer's signing key. No `Debug`: it is a secret.
pub struct SealerKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    public: SealerPublic,
}

/// The public half of a sealer's key, as a reader pins it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SealerPublic {
    octets: [u8; 32],
    id: SealerId,
}

/// The octets are not an Ed25519 key.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key")]
pub struct NotAKey;

impl SealerKey {
    /// A new key.
    pub fn generate() -> Self {
        Self::from_seed(&random()).expect("32 random octets are an Ed25519 seed")
    }

    /// `seed`: 32 octets (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NotAKey)?;
        let octets = pair.public_key().as_ref().try_into().map_err(|_| NotAKey)?;
        Ok(Self { pair, seed: Zeroizing::new(*seed), public: SealerPublic::from_octets(octets) })
    }

    /// The seed, for the one file that holds it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> &SealerPublic {
        &self.public
    }

    /// 64 octets over a transcript.
    pub fn sign(&self, transcript: &Transcript) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&transcript.0).as_ref());
        signature
    }
}

impl SealerPublic {
    /// `octets`: the Ed25519 public key (RFC 8032 §5.1.5).
    pub fn from_octets(octets: [u8; 32]) -> Self {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(digest::digest(&digest::SHA256, &octets).as_ref()) {
            *to = *from;
        }
        Self { octets, id: SealerId(id) }
    }

    /// The 32 octets of the key.
    pub fn octets(&self) -> &[u8; 32] {
        &self.octets
    }

    /// Its short name, `s=` in `Sealed-Mail`.
    pub fn id(&self) -> SealerId {
        self.id
    }

    /// Is this signature over this transcript by this key?
    pub fn verifies(&self, transcript: &Transcript, signature: &[u8; 64]) -> bool {
        ParsedPublicKey::new(&ED25519, self.octets).is_ok_and(|key| key.verify_sig(&transcript.0, signature).is_ok())
    }
}

/// What a reader believes: its account (and former ones), and the sealers it has pinned.
#[derive(Clone, Default, Debug)]
pub struct Trust {
    /// The reader's accounts: the present one first, then former ones.
    pub accounts: Vec<AccountId>,
    /// Pinned sealer keys.
    pub sealers: Vec<SealerPublic>,
}

impl Trust {
    /// The pinned key with this id.
    pub fn sealer(&self, id: SealerId) -> Option<&SealerPublic> {
        self.sealers.iter().find(|sealer| sealer.id() == id)
    }
}

/// The exact octets that are signed.
pub struct Transcript(Vec<u8>);

impl Transcript {
    /// As they are signed, octet by octet (format §4.4, §4.6).
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// What `Sealed-Mail`'s signature binds together (format §4.4).
pub struct Envelope<'a> {
    /// How the content is encrypted.
    pub profile: Profile,
    /// The account sealed for.
    pub account: AccountId,
    /// The sealed message.
    pub id: MessageId,
    /// SHA-256 of the content C.
    pub content: &'a Hash,
    /// SHA-256 of the key material K.
    pub key: &'a Hash,
    /// SHA-256 of the fields blob F.
    pub fields: &'a Hash,
}

impl Envelope<'_> {
    /// T_env.
    pub fn transcript(&self, sealer: SealerId) -> Transcript {
        let mut octets = Vec::with_capacity(256);
        octets.extend_from_slice(b"sealed-mail/1 envelope\0");
        octets.push(self.profile.octet());
        let parts: [&[u8]; 6] = [&self.account.0, &self.id.0, self.content, self.key, self.fields, &sealer.0];
        for part in parts {
            length_prefixed(&mut octets, part);
        }
        Transcript(octets)
    }
}

/// What `Sealed-Origin`'s signature binds together (format §4.6): it stays with the message for ever.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The account sealed for.
    pub account: AccountId,
    /// The sealed message.
    pub id: MessageId,
    /// Octets of the original.
    pub length: u64,
    /// SHA-256 of the original.
    pub hash: Hash,
    /// When it was sealed, Unix seconds.
    pub time: u64,
    /// The sealer's running number for this account; 0 = not counted.
    pub sequence: u64,
}

impl Origin {
    /// T_org.
    pub fn transcript(&self, sealer: SealerId) -> Transcript {
        let mut octets = Vec::with_capacity(192);
        octets.extend_from_slice(b"sealed-mail/1 origin\0");
        length_prefixed(&mut octets, &self.account.0);
        length_prefixed(&mut octets, &self.id.0);
        octets.extend_from_slice(&self.length.to_be_bytes());
        length_prefixed(&mut octets, &self.hash);
        octets.extend_from_slice(&self.time.to_be_bytes());
        octets.extend_from_slice(&self.sequence.to_be_bytes());
        length_prefixed(&mut octets, &sealer.0);
        Transcript(octets)
    }
}

fn length_prefixed(octets: &mut Vec<u8>, part: &[u8]) {
    octets.extend_from_slice(&(part.len() as u32).to_be_bytes());
    octets.extend_from_slice(part);
}
