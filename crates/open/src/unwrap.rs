//! Unlocked decryption keys, and session keys unwrapped with them: key material K in, a session key out. Bodies of PKESK
//! packets (RFC 9580 §5.1) here, RecipientInfos of CMS in `cms_unwrap`. The private-key step runs on aws-lc, in constant time. Key packets are tried by their key id or fingerprint; one
//! that names no key (RFC 9580 §5.1.8), which no writer of ours makes, is tried with every key.

use aws_lc_rs::{
    agreement::{ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, X25519, agree},
    rsa::Pkcs1PrivateDecryptingKey,
};
use sealed::{
    identity::{Encryption, Profile, Seipd},
    key_wrap::{AES_256_ID, Curve, ECDH_ID, EcdhParameters, RSA_ID, X25519_ID, unwrap_x25519, without_checksum},
    packet::split_wrapped_keys,
    session::SessionKey,
};
use zeroize::Zeroizing;

use crate::cms_unwrap::{self, X509Secret};

/// Unlocked decryption keys. No `Debug`: they are secrets.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<DecryptionKey>,
}

/// One unlocked decryption key.
pub struct DecryptionKey(pub(crate) AnyKey);

pub(crate) enum AnyKey {
    OpenPgp(OpenPgpSecret),
    X509(X509Secret),
}

/// One of an OpenPGP key.
pub(crate) struct OpenPgpSecret {
    /// Version of the key packet, 4 or 6.
    pub(crate) version: u8,
    /// Fingerprint of the encryption (sub)key.
    pub(crate) fingerprint: Vec<u8>,
    /// Key id.
    pub(crate) key_id: [u8; 8],
    /// The secret.
    pub(crate) secret: Secret,
}

pub(crate) enum Secret {
    Ecdh { private: PrivateKey, parameters: EcdhParameters },
    X25519 { private: PrivateKey, public: [u8; 32] },
    Rsa(Box<Pkcs1PrivateDecryptingKey>),
}

/// Why no session key came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnwrapError {
    /// It is wrapped to other keys.
    #[error("the message is sealed to another key")]
    NotForUs,
    /// It names one of our keys but cannot be unwrapped with it.
    #[error("the session key is damaged")]
    Damaged,
}

impl Keyring {
    /// Adds keys.
    pub fn add(&mut self, keys: impl IntoIterator<Item = DecryptionKey>) {
        self.keys.extend(keys);
    }

    /// No keys at all?
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The session key in key material K.
    pub fn unwrap(&self, key_material: &[u8], profile: Profile) -> Result<SessionKey, UnwrapError> {
        match profile.encryption() {
            Encryption::OpenPgp(version) => {
                let packets = split_wrapped_keys(key_material).ok_or(UnwrapError::Damaged)?;
                self.first(&packets, |key, packet| match &key.0 {
                    AnyKey::OpenPgp(key) => key.unwrap(packet.body, version),
                    AnyKey::X509(_) => None,
                })
            }
            Encryption::Cms(_) => {
                let infos = cms_unwrap::split(key_material).ok_or(UnwrapError::Damaged)?;
                self.first(&infos, |key, info| match &key.0 {
                    AnyKey::X509(key) => key.unwrap(info),
                    AnyKey::OpenPgp(_) => None,
                })
            }
        }
    }

    /// The first session key that any of our keys gets out of any of these.
    fn first<T>(
        &self,
        wrapped: &[T],
        unwrap: impl Fn(&DecryptionKey, &T) -> Option<Option<SessionKey>>,
    ) -> Result<SessionKey, UnwrapError> {
        let mut verdict = UnwrapError::NotForUs;
        for one in wrapped {
            for key in &self.keys {
                match unwrap(key, one) {
                    Some(Some(session)) => return Ok(session),
                    Some(None) => verdict = UnwrapError::Damaged,
                    None => {}
                }
            }
        }
        Err(verdict)
    }
}

impl OpenPgpSecret {
    /// None: for another key. Some(None): for this key, but damaged.
    fn unwrap(&self, body: &[u8], version: Seipd) -> Option<Option<SessionKey>> {
        let (rest, cipher) = match version {
            Seipd::V1 => {
                let rest = body.strip_prefix(&[3])?;
                if let Some(rest) = rest.strip_prefix(&[0; 8]) {
                    return self.unwrap_fields(rest, Some(AES_256_ID)).map(Some);
                }
                (rest.strip_prefix(&self.key_id)?, Some(AES_256_ID))
            }
            Seipd::V2 => {
                if let Some(rest) = body.strip_prefix(&[6, 0]) {
                    return self.unwrap_fields(rest, None).map(Some);
                }
                let head = [6, self.fingerprint.len() as u8 + 1, self.version];
                (body.strip_prefix(&head)?.strip_prefix(self.fingerprint.as_slice())?, None)
            }
        };
        Some(self.unwrap_fields(rest, cipher))
    }

    fn unwrap_fields(&self, fields: &[u8], cipher: Option<u8>) -> Option<SessionKey> {
        match &self.secret {
            Secret::Ecdh { private, parameters } => {
                let (point, rest) = mpi(fields.strip_prefix(&[ECDH_ID])?)?;
                let (&length, wrapped) = rest.split_first()?;
                let (algorithm, point) = match parameters.curve {
                    Curve::Curve25519Legacy => (&X25519, point.strip_prefix(&[0x40])?),
                    Curve::P256 => (&ECDH_P256, point),
                    Curve::P384 => (&ECDH_P384, point),
                    Curve::P521 => (&ECDH_P521, point),
                };
                if usize::from(length) != wrapped.len() {
                    return None;
                }
                let plain = agree(private, UnparsedPublicKey::new(algorithm, point), (), |shared| {
                    parameters.unwrap(shared, wrapped).map_err(|_| ())
                });
                without_checksum(&plain.ok()?, cipher).ok()
            }
            Secret::X25519 { private, public } => {
                let (ephemeral, rest) = fields.strip_prefix(&[X25519_ID])?.split_first_chunk::<32>()?;
                let (&length, counted) = rest.split_first()?;
                if usize::from(length) != counted.len() {
                    return None;
                }
                let wrapped = match cipher {
                    Some(cipher) => counted.strip_prefix(&[cipher])?,
                    None => counted,
                };
                agree(private, UnparsedPublicKey::new(&X25519, ephemeral), (), |shared| {
                    unwrap_x25519(ephemeral, public, shared, wrapped).map_err(|_| ())
                })
                .ok()
            }
            Secret::Rsa(private) => {
                let (encrypted, rest) = mpi(fields.strip_prefix(&[RSA_ID])?)?;
                if !rest.is_empty() {
                    return None;
                }
                // An MPI has no leading zeros, the ciphertext has as many octets as the modulus.
                let missing = private.key_size_bytes().checked_sub(encrypted.len())?;
                let padded = [vec![0; missing].as_slice(), encrypted].concat();
                let mut plain = Zeroizing::new(vec![0; private.min_output_size()]);
                let plain = private.decrypt(&padded, &mut plain).ok()?;
                without_checksum(plain, cipher).ok()
            }
        }
    }
}

/// A multiprecision integer and what follows it (RFC 9580 §3.2).
fn mpi(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))
}
