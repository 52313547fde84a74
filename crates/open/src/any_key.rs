//! A secret key of either kind, from a file. Octets and passphrases in, octets and unlocked keys out.

use seal::Scheme;
use sealed::identity::AccountId;
use zeroize::Zeroizing;

use crate::{
    secret_key::{KeyError, Lock, SecretKey},
    unwrap::DecryptionKey,
    x509_key::X509SecretKey,
};

/// A secret key, locked or not. No `Debug`.
pub enum AnySecretKey {
    /// OpenPGP.
    OpenPgp(Box<SecretKey>),
    /// X.509.
    X509(X509SecretKey),
}

impl AnySecretKey {
    /// Reads the first secret key of a file: OpenPGP (armored or binary), or PEM with PKCS #8 and a certificate. A PKCS #12 file
    /// needs its password first: [`X509SecretKey::from_p12`].
    pub fn parse(octets: &[u8]) -> Result<Self, KeyError> {
        if X509SecretKey::is_in(octets) {
            return X509SecretKey::parse(octets).map(Self::X509);
        }
        SecretKey::parse(octets).map(|key| Self::OpenPgp(Box::new(key)))
    }

    /// Which mail it is for.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::OpenPgp(_) => Scheme::Pgp,
            Self::X509(_) => Scheme::Smime,
        }
    }

    /// Is any part of it under a passphrase?
    pub fn is_locked(&self) -> bool {
        match self {
            Self::OpenPgp(key) => key.is_locked(),
            Self::X509(key) => key.is_locked(),
        }
    }

    /// The same key in the form at rest, under another passphrase or under none. `old`: what it is under now.
    pub fn relock(&self, old: Option<&str>, new: Option<&str>) -> Result<Self, KeyError> {
        match self {
            Self::OpenPgp(key) => {
                let new = new.map(|passphrase| (passphrase, Lock::Argon2));
                key.relock(old, new).map(|key| Self::OpenPgp(Box::new(key)))
            }
            Self::X509(key) => key.relock(old, new).map(Self::X509),
        }
    }

    /// The decryption keys, unlocked.
    pub fn unlock(&self, passphrase: Option<&str>) -> Result<Vec<DecryptionKey>, KeyError> {
        match self {
            Self::OpenPgp(key) => key.unlock(passphrase),
            Self::X509(key) => key.unlock(passphrase),
        }
    }

    /// The key as text.
    pub fn armored(&self) -> Result<Zeroizing<String>, KeyError> {
        match self {
            Self::OpenPgp(key) => key.armored(),
            Self::X509(key) => key.armored(),
        }
    }

    /// Its certificate as text.
    pub fn certificate_armored(&self) -> Result<String, KeyError> {
        match self {
            Self::OpenPgp(key) => key.certificate_armored(),
            Self::X509(key) => key.certificate_armored(),
        }
    }

    /// The account that its certificate is the mailbox certificate of (A1).
    pub fn account(&self) -> Result<AccountId, KeyError> {
        match self {
            Self::OpenPgp(key) => Ok(AccountId::of_openpgp(&key.fingerprint())),
            Self::X509(key) => key.account(),
        }
    }

    /// What names it to people.
    pub fn fingerprint(&self) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::OpenPgp(key) => Ok(key.fingerprint()),
            Self::X509(key) => key.fingerprint(),
        }
    }
}
