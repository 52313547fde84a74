//! The owner's secret keys: made, locked with a passphrase, read, unlocked. The only file of this crate that names rPGP.
//! Octets and passphrases in, octets and unlocked keys out; which file holds them is not known here.

use std::io::Cursor;

use aws_lc_rs::{
    agreement::{ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, X25519},
    rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
};
use pgp::{
    composed::{
        ArmorOptions, Deserializable, EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
        SubkeyParamsBuilder,
    },
    crypto::{ecc_curve::ECCCurve, hash::HashAlgorithm, sym::SymmetricKeyAlgorithm},
    types::{
        EcdhPublicParams, KeyDetails, KeyVersion, Password, PlainSecretParams, PublicParams, S2kParams, SecretParams,
        StringToKey,
    },
};
use rand::{RngCore, rngs::OsRng};
use rsa::{BigUint, pkcs8::EncodePrivateKey, traits::PublicKeyParts};
use seal::Certificate;
use zeroize::Zeroizing;

use crate::unwrap::{AnyKey, DecryptionKey, OpenPgpSecret, Secret};

/// A transferable secret key, locked or not. No `Debug`.
pub struct SecretKey(SignedSecretKey);

/// What kind of key is made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Version 4, Ed25519 and ECDH on Curve25519, in the forms that every OpenPGP program reads.
    #[default]
    V4Curve25519,
    /// Version 6, Ed25519 and X25519 (RFC 9580).
    V6X25519,
}

/// How a secret is kept under a passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Argon2id, 3 passes over 64 MiB (RFC 9106), AES-256-OCB: the form at rest.
    Argon2,
    /// Iterated and salted SHA-256, AES-256-CFB: what older programs import.
    Iterated,
}

/// Why a secret key cannot be made, read or used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// No secret key could be read.
    #[error("no secret key in it, or damaged")]
    Unparsable,
    /// An X.509 key without its certificate.
    #[error("no certificate stands beside the secret key, or it is damaged")]
    NoCertificate,
    /// An X.509 key beside the certificate of another one.
    #[error("the certificate belongs to another secret key")]
    OtherCertificate,
    /// A PKCS #12 file cannot be read.
    #[error("the PKCS #12 file cannot be read: another password, or damaged")]
    P12,
    /// The passphrase does not unlock it.
    #[error("the passphrase does not unlock the key")]
    Passphrase,
    /// It is locked and no passphrase was given.
    #[error("the key is locked with a passphrase")]
    Locked,
    /// It holds no decryption key of a kind that this program uses.
    #[error("the key cannot decrypt, or is of an unsupported kind")]
    CannotDecrypt,
    /// It could not be made.
    #[error("the key could not be made")]
    Making,
}

/// Memory of the passphrase derivation: 2^16 KiB (RFC 9106 §4, second choice).
const ARGON2_MEMORY: u8 = 16;
/// 65,011,712 octets hashed (RFC 9580 §3.7.1.3).
const ITERATIONS: u8 = 0xff;

impl SecretKey {
    /// A new, unlocked key for `user_id` (the address): a primary key that certifies and an encryption subkey.
    pub fn generate(user_id: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        let (version, primary, subkey) = match algorithm {
            Algorithm::V4Curve25519 => {
                (KeyVersion::V4, KeyType::Ed25519Legacy, KeyType::ECDH(ECCCurve::Curve25519Legacy))
            }
            Algorithm::V6X25519 => (KeyVersion::V6, KeyType::Ed25519, KeyType::X25519),
        };
        let making = |_| KeyError::Making;
        let subkey = SubkeyParamsBuilder::default()
            .version(version)
            .key_type(subkey)
            .can_encrypt(EncryptionCaps::All)
            .build()
            .map_err(|_| KeyError::Making)?;
        let parameters = SecretKeyParamsBuilder::default()
            .version(version)
            .key_type(primary)
            .can_certify(true)
            // Thunderbird accepts as a personal key only one that can sign.
            .can_sign(true)
            .feature_seipd_v1(true)
            .feature_seipd_v2(algorithm == Algorithm::V6X25519)
            .primary_user_id(user_id.to_owned())
            .preferred_symmetric_algorithms([SymmetricKeyAlgorithm::AES256].as_slice().into())
            .preferred_hash_algorithms([HashAlgorithm::Sha256, HashAlgorithm::Sha512].as_slice().into())
            .subkey(subkey)
            .build()
            .map_err(|_| KeyError::Making)?;
        Ok(Self(parameters.generate(OsRng).map_err(making)?))
    }

    /// Reads the first secret key of a file, armored or binary.
    pub fn parse(octets: &[u8]) -> Result<Self, KeyError> {
        let (mut keys, _) = SignedSecretKey::from_reader_many(Cursor::new(octets)).map_err(|_| KeyError::Unparsable)?;
        Ok(Self(keys.next().and_then(Result::ok).ok_or(KeyError::Unparsable)?))
    }

    /// Is any part of it under a passphrase?
    pub fn is_locked(&self) -> bool {
        let locked = |parameters: &SecretParams| matches!(parameters, SecretParams::Encrypted(_));
        locked(self.0.primary_key.secret_params())
            || self.0.secret_subkeys.iter().any(|subkey| locked(subkey.key.secret_params()))
    }

    /// The same key under another passphrase, or under none. `old`: what it is under now.
    pub fn relock(&self, old: Option<&str>, new: Option<(&str, Lock)>) -> Result<Self, KeyError> {
        let mut key = self.0.clone();
        let old = Password::from(old.unwrap_or_default());
        let wrong = if self.is_locked() { KeyError::Passphrase } else { KeyError::Making };
        key.primary_key.remove_password(&old).map_err(|_| wrong)?;
        for subkey in &mut key.secret_subkeys {
            subkey.key.remove_password(&old).map_err(|_| wrong)?;
        }
        if let Some((passphrase, lock)) = new {
            let passphrase = Password::from(passphrase);
            key.primary_key.set_password_with_s2k(&passphrase, lock.parameters()).map_err(|_| KeyError::Making)?;
            for subkey in &mut key.secret_subkeys {
                subkey.key.set_password_with_s2k(&passphrase, lock.parameters()).map_err(|_| KeyError::Making)?;
            }
        }
        Ok(Self(key))
    }

    /// The decryption keys, unlocked. Only those that session keys can be wrapped to are unlocked: each costs a
    /// passphrase derivation.
    pub fn unlock(&self, passphrase: Option<&str>) -> Result<Vec<DecryptionKey>, KeyError> {
        let password = Password::from(passphrase.unwrap_or_default());
        let failed = match (self.is_locked(), passphrase) {
            (true, None) => return Err(KeyError::Locked),
            (true, Some(_)) => KeyError::Passphrase,
            (false, _) => KeyError::CannotDecrypt,
        };
        let mut keys = Vec::new();
        for subkey in self.0.secret_subkeys.iter().filter(|subkey| decrypts(subkey.key.public_params())) {
            let unlocked = subkey.key.unlock(&password, |_, plain| Ok(secret(&subkey.key, plain)));
            let secret = unlocked.map_err(|_| failed)?.map_err(|_| failed)?;
            keys.extend(secret.map(|secret| named(&subkey.key, secret)));
        }
        let primary = &self.0.primary_key;
        if decrypts(primary.public_params()) {
            let unlocked = primary.unlock(&password, |_, plain| Ok(secret(primary, plain)));
            let secret = unlocked.map_err(|_| failed)?.map_err(|_| failed)?;
            keys.extend(secret.map(|secret| named(primary, secret)));
        }
        if keys.is_empty() { Err(KeyError::CannotDecrypt) } else { Ok(keys) }
    }

    /// The key, armored.
    pub fn armored(&self) -> Result<Zeroizing<String>, KeyError> {
        let text = self.0.to_armored_string(armor()).map_err(|_| KeyError::Making)?;
        Ok(Zeroizing::new(text))
    }

    /// Its certificate, armored.
    pub fn certificate_armored(&self) -> Result<String, KeyError> {
        self.0.to_public_key().to_armored_string(armor()).map_err(|_| KeyError::Making)
    }

    /// Its certificate, checked. `now`: Unix seconds.
    pub fn certificate(&self, now: u64) -> Result<Certificate, seal::CertificateError> {
        let armored = self.certificate_armored().map_err(|_| seal::CertificateError::Unparsable)?;
        let mut certificates = Certificate::parse_all(armored.as_bytes(), now)?;
        if certificates.is_empty() {
            return Err(seal::CertificateError::Unparsable);
        }
        Ok(certificates.swap_remove(0))
    }

    /// Fingerprint of the primary key.
    pub fn fingerprint(&self) -> Vec<u8> {
        self.0.primary_key.fingerprint().as_bytes().to_vec()
    }
}

impl Lock {
    fn parameters(self) -> S2kParams {
        match self {
            Self::Argon2 => {
                let mut nonce = vec![0; 15];
                OsRng.fill_bytes(&mut nonce);
                S2kParams::Aead {
                    sym_alg: SymmetricKeyAlgorithm::AES256,
                    aead_mode: pgp::crypto::aead::AeadAlgorithm::Ocb,
                    s2k: StringToKey::new_argon2(OsRng, 3, 4, ARGON2_MEMORY),
                    nonce: nonce.into(),
                }
            }
            Self::Iterated => {
                let mut iv = vec![0; 16];
                OsRng.fill_bytes(&mut iv);
                S2kParams::Cfb {
                    sym_alg: SymmetricKeyAlgorithm::AES256,
                    s2k: StringToKey::new_iterated(OsRng, HashAlgorithm::Sha256, ITERATIONS),
                    iv: iv.into(),
                }
            }
        }
    }
}

/// With the checksum line that older GnuPG needs.
fn armor() -> ArmorOptions<'static> {
    ArmorOptions { headers: None, include_checksum: true }
}

fn decrypts(parameters: &PublicParams) -> bool {
    matches!(parameters, PublicParams::ECDH(_) | PublicParams::X25519(_) | PublicParams::RSA(_))
}

fn named(key: &impl KeyDetails, secret: Secret) -> DecryptionKey {
    let version = if key.version() == KeyVersion::V6 { 6 } else { 4 };
    let mut key_id = [0; 8];
    key_id.copy_from_slice(key.legacy_key_id().as_ref());
    let fingerprint = key.fingerprint().as_bytes().to_vec();
    DecryptionKey(AnyKey::OpenPgp(OpenPgpSecret { version, fingerprint, key_id, secret }))
}

/// None for a kind that is not used.
fn secret(key: &impl KeyDetails, plain: &PlainSecretParams) -> Option<Secret> {
    match (key.public_params(), plain) {
        (PublicParams::ECDH(public), PlainSecretParams::ECDH(secret)) => {
            use seal::openpgp::ecdh_parameters;
            let algorithm = match public {
                EcdhPublicParams::Curve25519Legacy { .. } => &X25519,
                EcdhPublicParams::P256 { .. } => &ECDH_P256,
                EcdhPublicParams::P384 { .. } => &ECDH_P384,
                EcdhPublicParams::P521 { .. } => &ECDH_P521,
                _ => return None,
            };
            let octets = Zeroizing::new(secret.to_bytes());
            let private = PrivateKey::from_private_key(algorithm, &octets).ok()?;
            Some(Secret::Ecdh { private, parameters: ecdh_parameters(key)? })
        }
        (PublicParams::X25519(public), PlainSecretParams::X25519(secret)) => {
            let private = PrivateKey::from_private_key(&X25519, secret.as_bytes()).ok()?;
            Some(Secret::X25519 { private, public: *public.key.as_bytes() })
        }
        (PublicParams::RSA(public), PlainSecretParams::RSA(secret)) => {
            let (d, p, q, _) = secret.to_bytes();
            let number = |octets: &[u8]| BigUint::from_bytes_be(octets);
            let primes = vec![number(&p), number(&q)];
            let [n, e] = [public.key.n().clone(), public.key.e().clone()];
            let key = rsa::RsaPrivateKey::from_components(n, e, number(&d), primes).ok()?;
            let der = key.to_pkcs8_der().ok()?;
            let private = PrivateDecryptingKey::from_pkcs8(der.as_bytes()).ok()?;
            Some(Secret::Rsa(Box::new(Pkcs1PrivateDecryptingKey::new(private).ok()?)))
        }
        _ => None,
    }
}
