//! The forwarder's own signature on what it hands on (DKIM, RFC 6376; Ed25519: RFC 8463).
//!
//! In: private keys, PEM; a message, read once from its beginning. Out: `DKIM-Signature` fields to be put before it; what must stand in
//! the DNS. The author's own signatures are inside, on the octets that they were made for.

use std::io::{self, Read};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64_simd::STANDARD;
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{DkimSigner, Done};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

/// Octets of the modulus of RSA: 2,048 bits (RFC 8301 §3.2).
const LEAST_RSA: usize = 256;
/// rsaEncryption (RFC 8017 §A.1), DER.
const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// Octets that a private key of RSA has at least, from 2,048 bits on: modulus, private exponent and two primes, and as much again but for these.
const LEAST_DER: usize = LEAST_RSA * 4;
/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;
/// What is signed: all that a reader is shown of the outer message. A name that stands here once more than in the message cannot be added
/// to it later (RFC 6376 §8.15); the second ones see to that where a mail program would show what was added.
const SIGNED: [&str; 17] = [
    "From",
    "From",
    "Reply-To",
    "Reply-To",
    "Sender",
    "To",
    "Cc",
    "Subject",
    "Subject",
    "Date",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Type",
];

/// Signs. No `Debug`: it holds secret keys.
pub struct Signer {
    domain: String,
    keys: Vec<Key>,
}

struct Key {
    signer: DkimSigner<DkimKey, Done>,
    selector: String,
    record: String,
}

/// Why a key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no private key in PEM (PKCS#8 or PKCS#1).
    #[error("not a private key in PEM")]
    NotAKey,
    /// It is none of RSA or Ed25519.
    #[error("neither an RSA nor an Ed25519 key")]
    Unsuitable,
    /// It is of RSA and short.
    #[error("an RSA key below 2048 bits")]
    TooShort,
    /// The domain is no name.
    #[error("the domain is not a name in the DNS")]
    NotADomain,
    /// The selector is no name.
    #[error("the selector is not a name in the DNS")]
    NotASelector,
}

/// Why a message was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It could not be read.
    #[error("the message cannot be read")]
    Read(#[from] io::Error),
    /// The library would not.
    #[error("the message cannot be signed")]
    Sign,
}

impl Signer {
    /// `domain`: what `d=` names. It signs nothing before it has a key.
    pub fn new(domain: &str) -> Result<Signer, KeyError> {
        let domain = is_name(domain).then(|| domain.to_ascii_lowercase()).ok_or(KeyError::NotADomain)?;
        Ok(Signer { domain, keys: Vec::new() })
    }

    /// One more key: with both, RSA first, servers that know no Ed25519 have a signature too (RFC 8463 §3).
    pub fn with_key(mut self, selector: &str, pem: &[u8]) -> Result<Signer, KeyError> {
        if !is_name(selector) {
            return Err(KeyError::NotASelector);
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotAKey)?;
        let (key, record) = read_key(&der)?;
        let signer = DkimSigner::from_key(key).domain(&self.domain).selector(selector).headers(SIGNED);
        self.keys.push(Key { signer, selector: selector.to_ascii_lowercase(), record });
        Ok(self)
    }

    /// Whether a signature is aligned with this From (RFC 7489 §3.1.1): its domain is the one that signs, or below it.
    pub fn is_aligned_with(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        let below = domain.strip_suffix(&self.domain);
        below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Reads the whole message and signs it with every key: fields, each ending in CR LF, to be put before it. Needs no more memory for
    /// a large message. Blocks.
    pub fn sign(&self, message: &mut impl Read) -> Result<Vec<u8>, SignError> {
        let mut streams: Vec<_> = self.keys.iter().map(|key| key.signer.sign_streaming()).collect();
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            let count = match message.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            for stream in &mut streams {
                stream.write(buffer.get(..count).unwrap_or_default());
            }
        }
        let mut fields = Vec::new();
        for stream in streams {
            let signature = stream.finish().map_err(|_| SignError::Sign)?;
            fields.extend_from_slice(signature.to_header().as_bytes());
        }
        Ok(fields)
    }

    /// What must stand in the DNS, in the form of a zone file: one TXT record for each key (RFC 6376 §3.6.1).
    pub fn dns_records(&self) -> Vec<String> {
        self.keys.iter().map(|key| zone_line(&key.selector, &self.domain, &key.record)).collect()
    }
}

/// A key, and its record.
fn read_key(der: &PrivateKeyDer<'_>) -> Result<(DkimKey, String), KeyError> {
    let octets = der.secret_der();
    let pair = match der {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(octets),
        _ => RsaKeyPair::from_pkcs8(octets),
    };
    if let Ok(pair) = pair {
        if pair.public_modulus_len() < LEAST_RSA {
            return Err(KeyError::TooShort);
        }
        // quirk: OpenDKIM and others read a whole SubjectPublicKeyInfo, not the bare RSAPublicKey of RFC 6376.
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Unsuitable)?;
        let record = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode_to_string(public.as_ref()));
        let key = RsaKey::from_key_der(der.clone_key()).map_err(|_| KeyError::Unsuitable)?;
        return Ok((DkimKey::Rsa(key), record));
    }
    if octets.windows(RSA.len()).any(|part| part == RSA) || matches!(der, PrivateKeyDer::Pkcs1(_)) {
        // The library reads none so short.
        return Err(if octets.len() < LEAST_DER { KeyError::TooShort } else { KeyError::Unsuitable });
    }
    let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(octets).map_err(|_| KeyError::Unsuitable)?;
    let record = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode_to_string(key.public_key()));
    Ok((DkimKey::Ed25519(key), record))
}

/// Strings of a TXT record have at most 255 octets (RFC 1035 §3.3).
fn zone_line(selector: &str, domain: &str, record: &str) -> String {
    let strings: Vec<String> =
        record.as_bytes().chunks(250).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    format!("{selector}._domainkey.{domain}. IN TXT ( {} )", strings.join(" "))
}

fn is_name(name: &str) -> bool {
    let letter = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(letter))
}
