//! Who and which: account, message, sealer, profile. Fixed-size octets in, the same with meaning out; format §4.1, A1, A7.

use std::io::{self, Read};

use aws_lc_rs::{digest, hmac};

/// Names an account to its sealers and readers; derived from its mailbox key, never sent in clear (A1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AccountId(pub [u8; 16]);

/// Names one sealed message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId(pub [u8; 16]);

/// First 8 octets of SHA-256 of a sealer's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SealerId(pub [u8; 8]);

/// SHA-256 of something.
pub type Hash = [u8; 32];

impl AccountId {
    /// `fingerprint`: of the account's OpenPGP mailbox primary key, 20 (v4) or 32 (v6) octets.
    pub fn of_openpgp(fingerprint: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"sealed-mail/1 account\0");
        context.update(fingerprint);
        Self(truncate(context.finish().as_ref()))
    }

    /// For an account that has X.509 certificates only. `public_key`: SubjectPublicKeyInfo of the first one, DER.
    pub fn of_x509(public_key: &[u8]) -> Self {
        Self::of_openpgp(&sha256(public_key))
    }
}

impl MessageId {
    /// A random id (delivery modes, single messages).
    pub fn random() -> Self {
        Self(random())
    }

    /// The id of a message that lies in a mailbox (A7): the same octets in the same place always get the same id, so that
    /// a lost answer or two sealers of one account cannot double it.
    /// `dedup`: the account's dedup secret. `place`: mailbox name; `occurrence`: UIDVALIDITY and UID, or a Maildir name.
    pub fn of_place(dedup: &[u8; 32], place: &[u8], occurrence: &[u8], original: &Hash) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, dedup);
        let mut context = hmac::Context::with_key(&key);
        for part in [place, occurrence] {
            context.update(&(part.len() as u32).to_be_bytes());
            context.update(part);
        }
        context.update(original);
        Self(truncate(context.sign().as_ref()))
    }
}

/// The way the content is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Profile {
    /// OpenPGP, PKESK v3 and SEIPD v1, AES-256: every OpenPGP mail program reads it.
    Pgp1,
    /// OpenPGP, PKESK v6 and SEIPD v2, AES-256-OCB (RFC 9580).
    Pgp2,
    /// S/MIME, CMS EnvelopedData, AES-256-CBC: every S/MIME mail program reads it.
    Cms1,
    /// S/MIME, CMS AuthEnvelopedData, AES-256-GCM (RFC 5083, 5084).
    Cms2,
}

/// What a profile stands on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encryption {
    /// OpenPGP packets.
    OpenPgp(Seipd),
    /// The Cryptographic Message Syntax.
    Cms(CmsCipher),
}

/// Version of the encrypted packet (RFC 9580 §5.13).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Seipd {
    /// Version 1.
    V1,
    /// Version 2.
    V2,
}

/// Cipher of CMS content, and with it the kind of content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CmsCipher {
    /// AES-256-CBC in EnvelopedData (RFC 5652 §6, RFC 3565).
    Cbc,
    /// AES-256-GCM in AuthEnvelopedData (RFC 5083, RFC 5084).
    Gcm,
}

impl Profile {
    /// All that this version knows.
    pub const ALL: [Self; 4] = [Self::Pgp1, Self::Pgp2, Self::Cms1, Self::Cms2];

    /// What it stands on.
    pub fn encryption(self) -> Encryption {
        match self {
            Self::Pgp1 => Encryption::OpenPgp(Seipd::V1),
            Self::Pgp2 => Encryption::OpenPgp(Seipd::V2),
            Self::Cms1 => Encryption::Cms(CmsCipher::Cbc),
            Self::Cms2 => Encryption::Cms(CmsCipher::Gcm),
        }
    }

    /// The octet that stands for it in signatures and key derivation.
    pub fn octet(self) -> u8 {
        match self {
            Self::Pgp1 => 0x01,
            Self::Pgp2 => 0x02,
            Self::Cms1 => 0x11,
            Self::Cms2 => 0x12,
        }
    }

    /// The word that stands for it in `Sealed-Mail`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pgp1 => "pgp1",
            Self::Pgp2 => "pgp2",
            Self::Cms1 => "cms1",
            Self::Cms2 => "cms2",
        }
    }

    /// The profile of a word of `Sealed-Mail`; None when this version does not know it.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.word().as_bytes() == word)
    }
}

/// `N` octets of the operating system's randomness.
///
/// # Panics
/// When the operating system has none to give: nothing can be sealed then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets).expect("the operating system gives randomness");
    octets
}

/// SHA-256 of some octets.
pub fn sha256(octets: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    hash
}

/// SHA-256 of what is left to read.
pub fn sha256_of(mut from: impl Read) -> io::Result<Hash> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut octets = vec![0; 64 * 1024];
    loop {
        match from.read(&mut octets) {
            Ok(0) => break,
            Ok(count) => context.update(octets.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

fn truncate(hash: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash) {
        *to = *from;
    }
    id
}
