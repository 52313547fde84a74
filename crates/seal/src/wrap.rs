//! One OpenPGP recipient's key, and a session key wrapped to it: the body of a PKESK packet (RFC 9580 §5.1).
//! The public-key step runs on aws-lc. In: public parameters of a certificate; out: octets. Keys that were not checked
//! by `certificate` do not come here.

use aws_lc_rs::{
    agreement::{ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, X25519, agree},
    rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey},
};
use sealed::{
    identity::Seipd,
    key_wrap::{self, AES_256_ID, Curve, ECDH_ID, EcdhParameters, RSA_ID, X25519_ID, with_checksum},
    session::SessionKey,
};

/// A key that session keys can be wrapped to.
#[derive(Clone, Debug)]
pub struct OpenPgpKey {
    /// Version of the key packet, 4 or 6.
    pub version: u8,
    /// Fingerprint of the encryption (sub)key: 20 or 32 octets.
    pub fingerprint: Vec<u8>,
    /// Key id that version 3 packets name it by.
    pub key_id: [u8; 8],
    /// The public parameters.
    pub parameters: Parameters,
}

/// Public parameters by algorithm.
#[derive(Clone, Debug)]
pub enum Parameters {
    /// ECDH: SEC1 point, or 32 octets on Curve25519Legacy.
    Ecdh {
        /// The public point.
        point: Vec<u8>,
        /// Curve, derivation, wrap.
        parameters: EcdhParameters,
    },
    /// X25519.
    X25519([u8; 32]),
    /// RSA with PKCS #1 v1.5 padding, the only one that OpenPGP has.
    Rsa(std::sync::Arc<Pkcs1PublicEncryptingKey>),
}

/// The public key does not take a session key: a point that is not on its curve, an RSA key out of range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the recipient's public key is invalid")]
pub struct BadKey;

impl OpenPgpKey {
    /// The body of a PKESK packet: version 3 with SEIPD version 1, version 6 with version 2.
    pub fn wrap(&self, key: &SessionKey, encrypted: Seipd) -> Result<Vec<u8>, BadKey> {
        let mut body = Vec::with_capacity(160);
        let cipher = match encrypted {
            Seipd::V1 => {
                body.push(3);
                body.extend_from_slice(&self.key_id);
                Some(AES_256_ID)
            }
            Seipd::V2 => {
                body.extend_from_slice(&[6, self.fingerprint.len() as u8 + 1, self.version]);
                body.extend_from_slice(&self.fingerprint);
                None
            }
        };
        match &self.parameters {
            Parameters::Ecdh { point, parameters } => {
                let (ephemeral, wrapped) =
                    agree_ecdh(point, parameters.curve, |shared| parameters.wrap(shared, &with_checksum(key, cipher)))?;
                body.push(ECDH_ID);
                push_mpi(&mut body, &ephemeral);
                body.push(wrapped.len() as u8);
                body.extend_from_slice(&wrapped);
            }
            Parameters::X25519(recipient) => {
                let private = PrivateKey::generate(&X25519).map_err(|_| BadKey)?;
                let ephemeral = private.compute_public_key().map_err(|_| BadKey)?;
                let ephemeral: [u8; 32] = ephemeral.as_ref().try_into().map_err(|_| BadKey)?;
                let wrapped = agree(&private, UnparsedPublicKey::new(&X25519, recipient), BadKey, |shared| {
                    Ok(key_wrap::wrap_x25519(&ephemeral, recipient, shared, key))
                })?;
                body.push(X25519_ID);
                body.extend_from_slice(&ephemeral);
                // Version 3 names the cipher in clear, inside the counted octets.
                body.push((wrapped.len() + cipher.iter().len()) as u8);
                body.extend(cipher);
                body.extend_from_slice(&wrapped);
            }
            Parameters::Rsa(public) => {
                let mut encrypted = vec![0; public.ciphertext_size()];
                let encrypted = public.encrypt(&with_checksum(key, cipher), &mut encrypted).map_err(|_| BadKey)?;
                body.push(RSA_ID);
                push_mpi(&mut body, encrypted);
            }
        }
        Ok(body)
    }
}

impl Parameters {
    /// RSA from modulus and exponent, big-endian. An error outside 2048 to 8192 bits.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, BadKey> {
        let integers = [der_integer(modulus), der_integer(exponent)].concat();
        let key = der(0x30, &integers);
        // AlgorithmIdentifier rsaEncryption, NULL (RFC 8017 appendix A.1), in SubjectPublicKeyInfo (RFC 5280 §4.1).
        let algorithm = [0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        let bits = der(0x03, &[&[0][..], &key].concat());
        let info = der(0x30, &[&algorithm[..], &bits].concat());
        let public = PublicEncryptingKey::from_der(&info).map_err(|_| BadKey)?;
        Ok(Self::Rsa(std::sync::Arc::new(Pkcs1PublicEncryptingKey::new(public).map_err(|_| BadKey)?)))
    }
}

/// A fresh key pair on the curve, agreed with `point`: the ephemeral point as OpenPGP writes it, and what `wrap` makes of
/// the shared secret.
fn agree_ecdh(point: &[u8], curve: Curve, wrap: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), BadKey> {
    let algorithm = match curve {
        Curve::Curve25519Legacy => &X25519,
        Curve::P256 => &ECDH_P256,
        Curve::P384 => &ECDH_P384,
        Curve::P521 => &ECDH_P521,
    };
    let private = PrivateKey::generate(algorithm).map_err(|_| BadKey)?;
    let public = private.compute_public_key().map_err(|_| BadKey)?;
    let prefix: &[u8] = if curve == Curve::Curve25519Legacy { &[0x40] } else { &[] };
    let ephemeral = [prefix, public.as_ref()].concat();
    let wrapped = agree(&private, UnparsedPublicKey::new(algorithm, point), BadKey, |shared| Ok(wrap(shared)))?;
    Ok((ephemeral, wrapped))
}

/// A multiprecision integer (RFC 9580 §3.2): bit count, then octets without leading zeros.
fn push_mpi(body: &mut Vec<u8>, octets: &[u8]) {
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    let octets = octets.get(zeros..).unwrap_or_default();
    let top = octets.first().map_or(0, |octet| octet.leading_zeros());
    let bits = (octets.len() * 8) as u32 - top;
    body.extend_from_slice(&(bits as u16).to_be_bytes());
    body.extend_from_slice(octets);
}

fn der_integer(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    let octets = octets.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if octets.first().is_none_or(|&octet| octet >= 0x80) { &[0] } else { &[] };
    der(0x02, &[sign, octets].concat())
}

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend_from_slice(&[0x81, length as u8]),
        _ => out.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(body);
    out
}
