//! The owner's X.509 keys: made, locked with a passphrase, read, unlocked. At rest: a PEM file with the secret key in PKCS #8
//! (RFC 5208), under a passphrase by PBES2 with scrypt (RFC 7914), and its certificate. For other programs: PKCS #12 (RFC 7292).
//! Octets and passphrases in, octets and unlocked keys out; which file holds them is not known here.

use aws_lc_rs::{
    agreement::{PrivateKey, X25519},
    encoding::{AsDer, PublicKeyX509Der},
    rsa::{OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
};
use p12_keystore::{EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, Pkcs12ImportPolicy, PrivateKeyChain};
use pkcs8::{
    EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument,
    pkcs5::{EncryptionScheme, pbes2, scrypt},
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    RsaKeySize, SanType,
};
use seal::{
    Certificate, CertificateError,
    cms_wrap::{CmsCurve, X25519_KEY},
    x509::{blocks, name_of, pem, public_key_of},
};
use sealed::identity::{AccountId, random, sha256};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::{
    cms_unwrap::{CmsSecret, X509Secret},
    secret_key::KeyError,
    unwrap::{AnyKey, DecryptionKey},
};

/// A secret key with its certificate, locked or not. No `Debug`.
pub struct X509SecretKey {
    secret: Pkcs8,
    /// DER; more than the first are its chain.
    certificates: Vec<Vec<u8>>,
}

enum Pkcs8 {
    /// PrivateKeyInfo, DER.
    Unlocked(Zeroizing<Vec<u8>>),
    /// EncryptedPrivateKeyInfo, DER.
    Locked(Vec<u8>),
}

/// How long a new certificate lasts. Mail that was sealed to it opens after that, too.
const LASTS: Duration = Duration::days(20 * 365);
/// scrypt over 2^16 blocks of 1 KiB: 64 MiB, as much as the OpenPGP keys take.
const SCRYPT_LOG_N: u8 = 16;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Rounds of the older derivation in PKCS #12 files.
const P12_ITERATIONS: u32 = 100_000;
const UNLOCKED_LABEL: &str = "PRIVATE KEY";
const LOCKED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

impl X509SecretKey {
    /// A new, unlocked RSA key of 3072 bits for `address`, with a self-signed certificate for encrypting mail. `now`: Unix
    /// seconds.
    pub fn generate(address: &str, now: u64) -> Result<Self, KeyError> {
        let making = |_| KeyError::Making;
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).map_err(making)?;
        let mut parameters = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, address);
        parameters.distinguished_name = name;
        parameters.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().map_err(making)?)];
        // Some programs take as a personal certificate only one that can sign.
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        let moment = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        let moment = moment.ok_or(KeyError::Making)?;
        parameters.not_before = moment - Duration::HOUR;
        parameters.not_after = moment.checked_add(LASTS).ok_or(KeyError::Making)?;
        let mut serial: [u8; 16] = random();
        // Positive, and of full length.
        serial[0] = serial[0] & 0x7f | 0x40;
        parameters.serial_number = Some(serial.to_vec().into());
        let certificate = parameters.self_signed(&key).map_err(making)?;
        let secret = Pkcs8::Unlocked(Zeroizing::new(key.serialize_der()));
        Ok(Self { secret, certificates: vec![certificate.der().to_vec()] })
    }

    /// Does this look like a PKCS #12 file (PFX, RFC 7292 §4)?
    pub fn is_p12(octets: &[u8]) -> bool {
        seal::x509::first_element(octets).is_some_and(|first| first == [2, 1, 3])
    }

    /// Reads a PKCS #12 file: its first key, with the certificates that belong to it.
    pub fn from_p12(octets: &[u8], password: &str) -> Result<Self, KeyError> {
        let store = KeyStore::from_pkcs12(octets, password, Pkcs12ImportPolicy::Relaxed).map_err(|_| KeyError::P12)?;
        let (_, chain) = store.private_key_chain().ok_or(KeyError::Unparsable)?;
        let certificates: Vec<Vec<u8>> = chain.certs().iter().map(|one| one.as_der().to_vec()).collect();
        let key = Self { secret: Pkcs8::Unlocked(Zeroizing::new(chain.key().as_der().to_vec())), certificates };
        key.unlock(None)?;
        Ok(key)
    }

    /// Does this text hold a secret key in PKCS #8 PEM?
    pub fn is_in(octets: &[u8]) -> bool {
        let text = String::from_utf8_lossy(octets);
        [UNLOCKED_LABEL, LOCKED_LABEL].iter().any(|label| text.contains(&begin(label)))
    }

    /// Reads a PEM file with a secret key in PKCS #8 and its certificate, in any order.
    pub fn parse(octets: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(octets).map_err(|_| KeyError::Unparsable)?;
        let secret = match (block(text, UNLOCKED_LABEL), block(text, LOCKED_LABEL)) {
            (Some(key), None) => Pkcs8::Unlocked(Zeroizing::new(decode(key)?.as_bytes().to_vec())),
            (None, Some(key)) => Pkcs8::Locked(decode(key)?.as_bytes().to_vec()),
            // Which of several keys the certificate is for, nobody says.
            _ => return Err(KeyError::Unparsable),
        };
        let certificates = text.find(&begin("CERTIFICATE")).and_then(|_| {
            let mut rest = text;
            let mut blocks = Vec::new();
            while let Some(one) = block(rest, "CERTIFICATE") {
                blocks.push(one);
                let end = one.as_ptr() as usize - rest.as_ptr() as usize + one.len();
                rest = rest.get(end..)?;
            }
            Some(blocks.join("\n"))
        });
        let certificates = blocks(certificates.ok_or(KeyError::NoCertificate)?.as_bytes());
        Ok(Self { secret, certificates: certificates.map_err(|_| KeyError::NoCertificate)? })
    }

    /// Is it under a passphrase?
    pub fn is_locked(&self) -> bool {
        matches!(self.secret, Pkcs8::Locked(_))
    }

    /// The same key under another passphrase, or under none. `old`: what it is under now.
    pub fn relock(&self, old: Option<&str>, new: Option<&str>) -> Result<Self, KeyError> {
        let plain = self.plain(old)?;
        let secret = match new {
            None => Pkcs8::Unlocked(plain),
            Some(passphrase) => {
                let (salt, iv): ([u8; 16], [u8; 16]) = (random(), random());
                let work = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, 32).map_err(|_| KeyError::Making)?;
                let parameters = pbes2::Parameters::scrypt_aes256cbc(work, &salt, &iv).map_err(|_| KeyError::Making)?;
                let info = PrivateKeyInfo::try_from(plain.as_slice()).map_err(|_| KeyError::Unparsable)?;
                let locked = info.encrypt_with_params(parameters, passphrase).map_err(|_| KeyError::Making)?;
                Pkcs8::Locked(locked.as_bytes().to_vec())
            }
        };
        Ok(Self { secret, certificates: self.certificates.clone() })
    }

    /// The decryption key, unlocked; an error unless it is the one of its certificate.
    pub fn unlock(&self, passphrase: Option<&str>) -> Result<Vec<DecryptionKey>, KeyError> {
        let plain = self.plain(passphrase)?;
        let certificate = self.leaf()?;
        let public = public_key_of(certificate).map_err(|_| KeyError::NoCertificate)?;
        let name = name_of(certificate).map_err(|_| KeyError::NoCertificate)?;
        let secret = secret(&plain, &public)?;
        Ok(vec![DecryptionKey(AnyKey::X509(X509Secret { name, secret }))])
    }

    /// Key and certificates, PEM.
    pub fn armored(&self) -> Result<Zeroizing<String>, KeyError> {
        let (label, octets) = match &self.secret {
            Pkcs8::Unlocked(octets) => (UNLOCKED_LABEL, octets.as_slice()),
            Pkcs8::Locked(octets) => (LOCKED_LABEL, octets.as_slice()),
        };
        let document = SecretDocument::try_from(octets).map_err(|_| KeyError::Unparsable)?;
        let key = document.to_pem(label, LineEnding::LF).map_err(|_| KeyError::Making)?;
        let mut text = Zeroizing::new(String::with_capacity(key.len() + 8 * 1024));
        text.push_str(&key);
        for certificate in &self.certificates {
            text.push_str(&pem(certificate).map_err(|_| KeyError::Making)?);
        }
        Ok(text)
    }

    /// Its certificate, PEM.
    pub fn certificate_armored(&self) -> Result<String, KeyError> {
        pem(self.leaf()?).map_err(|_| KeyError::NoCertificate)
    }

    /// Its certificate, checked. `now`: Unix seconds.
    pub fn certificate(&self, now: u64) -> Result<Certificate, CertificateError> {
        let octets = self.leaf().map_err(|_| CertificateError::Unparsable)?;
        Certificate::parse_all(octets, now)?.into_iter().next().ok_or(CertificateError::Unparsable)
    }

    /// The account that its certificate is the mailbox certificate of (A1).
    pub fn account(&self) -> Result<AccountId, KeyError> {
        let public = public_key_of(self.leaf()?).map_err(|_| KeyError::NoCertificate)?;
        Ok(AccountId::of_x509(&public))
    }

    /// SHA-256 of its certificate.
    pub fn fingerprint(&self) -> Result<Vec<u8>, KeyError> {
        Ok(sha256(self.leaf()?).to_vec())
    }

    /// A PKCS #12 file with key and certificates. `passphrase`: what the key is under now. `password`: of the file; it should
    /// be long and drawn at random, since the derivation that phones take is an old one.
    pub fn to_p12(&self, passphrase: Option<&str>, password: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let plain = self.plain(passphrase)?;
        let key = p12_keystore::PrivateKey::from_der(&plain).map_err(|_| KeyError::Unparsable)?;
        let certificates = self.certificates.iter().map(|octets| p12_keystore::Certificate::from_der(octets));
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|_| KeyError::NoCertificate)?;
        let chain = PrivateKeyChain::new(self.fingerprint()?, key, certificates);
        let mut store = KeyStore::new();
        store.add_entry("Sealpost", KeyStoreEntry::PrivateKeyChain(chain));
        // quirk: iOS before 15, macOS and Android before 12 import no file with AES and SHA-256.
        let file = store
            .writer(password)
            .encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc)
            .encryption_iterations(P12_ITERATIONS)
            .mac_algorithm(MacAlgorithm::HmacSha1)
            .mac_iterations(P12_ITERATIONS)
            .write();
        Ok(Zeroizing::new(file.map_err(|_| KeyError::Making)?))
    }

    fn leaf(&self) -> Result<&[u8], KeyError> {
        self.certificates.first().map(Vec::as_slice).ok_or(KeyError::NoCertificate)
    }

    fn plain(&self, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match &self.secret {
            Pkcs8::Unlocked(octets) => Ok(octets.clone()),
            Pkcs8::Locked(octets) => {
                let passphrase = passphrase.ok_or(KeyError::Locked)?;
                let info = EncryptedPrivateKeyInfo::try_from(octets.as_slice()).map_err(|_| KeyError::Unparsable)?;
                if !is_bearable(&info.encryption_algorithm) {
                    return Err(KeyError::Unparsable);
                }
                let plain = info.decrypt(passphrase).map_err(|_| KeyError::Passphrase)?;
                Ok(Zeroizing::new(plain.as_bytes().to_vec()))
            }
        }
    }
}

/// A file says how dear its derivation is: more than this is no honest one.
const MAX_MEMORY: u64 = 1 << 30;
const MAX_ITERATIONS: u32 = 10_000_000;

fn is_bearable(scheme: &EncryptionScheme<'_>) -> bool {
    match scheme {
        EncryptionScheme::Pbes2(parameters) => match &parameters.kdf {
            pbes2::Kdf::Scrypt(scrypt) => {
                let blocks =
                    scrypt.cost_parameter.checked_mul(u64::from(scrypt.block_size)).and_then(|n| n.checked_mul(128));
                blocks.is_some_and(|memory| memory <= MAX_MEMORY) && scrypt.parallelization <= 16
            }
            pbes2::Kdf::Pbkdf2(rounds) => rounds.iteration_count <= MAX_ITERATIONS,
            _ => false,
        },
        _ => false,
    }
}

/// `plain`: PrivateKeyInfo. `public`: SubjectPublicKeyInfo of the certificate.
fn secret(plain: &[u8], public: &[u8]) -> Result<CmsSecret, KeyError> {
    if let Ok(private) = PrivateDecryptingKey::from_pkcs8(plain) {
        let own: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(|_| KeyError::CannotDecrypt)?;
        if own.as_ref() != public {
            return Err(KeyError::OtherCertificate);
        }
        let oaep = OaepPrivateDecryptingKey::new(private.clone()).map_err(|_| KeyError::CannotDecrypt)?;
        let pkcs1 = Pkcs1PrivateDecryptingKey::new(private).map_err(|_| KeyError::CannotDecrypt)?;
        return Ok(CmsSecret::Rsa { oaep: Box::new(oaep), pkcs1: Box::new(pkcs1) });
    }
    let mut failed = KeyError::CannotDecrypt;
    for curve in CmsCurve::ALL {
        let private = match curve {
            CmsCurve::X25519 => x25519(plain),
            CmsCurve::P256 | CmsCurve::P384 => PrivateKey::from_private_key_der(curve.algorithm(), plain).ok(),
        };
        let Some(private) = private else { continue };
        // The point is what a SubjectPublicKeyInfo ends with.
        match private.compute_public_key() {
            Ok(point) if public.ends_with(point.as_ref()) => return Ok(CmsSecret::Ecdh { private, curve }),
            _ => failed = KeyError::OtherCertificate,
        }
    }
    Err(failed)
}

/// A CurvePrivateKey: 32 octets in an OCTET STRING (RFC 8410 §7), which aws-lc does not take apart.
fn x25519(plain: &[u8]) -> Option<PrivateKey> {
    let info = PrivateKeyInfo::try_from(plain).ok().filter(|info| info.algorithm.oid == X25519_KEY)?;
    PrivateKey::from_private_key(&X25519, info.private_key.strip_prefix(&[0x04, 32])?).ok()
}

fn begin(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

/// The first block with this label.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let from = text.get(text.find(&begin(label))?..)?;
    let end = format!("-----END {label}-----");
    from.get(..from.find(&end)? + end.len())
}

fn decode(block: &str) -> Result<SecretDocument, KeyError> {
    Ok(SecretDocument::from_pem(block).map_err(|_| KeyError::Unparsable)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivations_that_nobody_could_bear_are_refused() {
        let (salt, iv) = ([1; 16], [2; 16]);
        for (rounds, bearable) in [(2048, true), (10_000_000, true), (10_000_001, false), (u32::MAX, false)] {
            let parameters = pbes2::Parameters::pbkdf2_sha256_aes256cbc(rounds, &salt, &iv);
            let borne = parameters.is_ok_and(|parameters| is_bearable(&EncryptionScheme::Pbes2(parameters)));
            assert_eq!(borne, bearable, "{rounds}");
        }
        for (log_n, r, p, bearable) in [
            (14, 8, 1, true),
            (SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, true),
            (20, 8, 1, true),
            (21, 8, 1, false),
            (14, 8, 17, false),
        ] {
            let work = scrypt::Params::new(log_n, r, p, 32).expect("parameters");
            let parameters = pbes2::Parameters::scrypt_aes256cbc(work, &salt, &iv).expect("parameters");
            assert_eq!(is_bearable(&EncryptionScheme::Pbes2(parameters)), bearable, "{log_n} {r} {p}");
        }
    }
}
