//! One S/MIME recipient's key, and a session key wrapped to it: a RecipientInfo of CMS (RFC 5652 §6.2). RSA-OAEP (RFC 3560),
//! RSA with PKCS #1 v1.5 padding where a program of the owner reads nothing else, ECDH on P-256, P-384 (RFC 5753 §3.1) and
//! X25519 (RFC 8418). The public-key step runs on aws-lc. Keys that were not checked by `x509` do not come here.

use std::sync::Arc;

use aws_lc_rs::{
    agreement::{Algorithm, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey, X25519, agree},
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey},
};
use cms::{
    cert::IssuerAndSerialNumber,
    content_info::CmsVersion,
    enveloped_data::{
        KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey,
        OriginatorPublicKey, RecipientEncryptedKey, RecipientIdentifier, RecipientInfo,
    },
};
use der::{
    Decode, Encode, Header, Length, Tag,
    asn1::{Any, BitString, ObjectIdentifier, OctetString},
};
use sealed::{cms_key_wrap::Derivation, session::SessionKey};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::wrap::BadKey;

/// A checked key of an X.509 certificate.
#[derive(Clone, Debug)]
pub struct X509Key {
    /// The certificate, as a RecipientInfo names it.
    pub name: IssuerAndSerialNumber,
    /// The public key.
    pub parameters: X509Parameters,
}

/// Public keys by algorithm.
#[derive(Clone, Debug)]
pub enum X509Parameters {
    /// RSA.
    Rsa(Arc<RsaKey>, RsaPadding),
    /// ECDH: an uncompressed point, or 32 octets on X25519.
    Ecdh(CmsCurve, Vec<u8>),
}

/// An RSA key, ready for both paddings.
#[derive(Debug)]
pub struct RsaKey {
    oaep: OaepPublicEncryptingKey,
    pkcs1: Pkcs1PublicEncryptingKey,
}

/// How a session key is padded for RSA.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum RsaPadding {
    /// RSAES-OAEP with SHA-256.
    #[default]
    Oaep,
    /// RSAES-PKCS1-v1_5: all that older programs read.
    Pkcs1,
}

/// A curve of a recipient's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CmsCurve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// X25519.
    X25519,
}

/// id-RSAES-OAEP (RFC 8017 appendix A.2.1).
pub const RSA_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
/// rsaEncryption (RFC 8017 appendix A.1).
pub const RSA_PKCS1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ecPublicKey (RFC 5480 §2.1.1).
pub const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// id-X25519 (RFC 8410 §3).
pub const X25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
/// dhSinglePass-stdDH-sha256kdf-scheme and -sha384kdf-scheme (RFC 5753 §7.1.4).
const SHA256_KDF: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.1.11.1");
const SHA384_KDF: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.1.11.2");

/// RSAES-OAEP-params (RFC 4055 §4.1): SHA-256, MGF1 with SHA-256, no label.
pub const OAEP_SHA256: [u8; 49] = [
    0x30, 0x2f, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
];
/// id-aes256-wrap without parameters (RFC 3565 §2.3.2), an AlgorithmIdentifier.
pub const AES256_WRAP: [u8; 13] = [0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d];

impl X509Key {
    /// Wraps the session key.
    pub(crate) fn wrap(&self, key: &SessionKey) -> Result<RecipientInfo, BadKey> {
        match &self.parameters {
            X509Parameters::Rsa(public, padding) => self.transport(public, *padding, key),
            X509Parameters::Ecdh(curve, point) => self.agree(*curve, point, key),
        }
    }

    fn transport(&self, public: &RsaKey, padding: RsaPadding, key: &SessionKey) -> Result<RecipientInfo, BadKey> {
        let mut encrypted = vec![0; public.oaep.ciphertext_size()];
        let (oid, parameters, encrypted) = match padding {
            RsaPadding::Oaep => {
                let encrypted = public.oaep.encrypt(&OAEP_SHA256_MGF1SHA256, key.octets(), &mut encrypted, None);
                (RSA_OAEP, Any::from_der(&OAEP_SHA256).map_err(bad)?, encrypted)
            }
            RsaPadding::Pkcs1 => (RSA_PKCS1, Any::null(), public.pkcs1.encrypt(key.octets(), &mut encrypted)),
        };
        let encrypted = encrypted.map_err(|_| BadKey)?;
        Ok(RecipientInfo::Ktri(KeyTransRecipientInfo {
            version: CmsVersion::V0,
            rid: RecipientIdentifier::IssuerAndSerialNumber(self.name.clone()),
            key_enc_alg: AlgorithmIdentifierOwned { oid, parameters: Some(parameters) },
            enc_key: OctetString::new(&*encrypted).map_err(bad)?,
        }))
    }

    fn agree(&self, curve: CmsCurve, point: &[u8], key: &SessionKey) -> Result<RecipientInfo, BadKey> {
        let private = PrivateKey::generate(curve.algorithm()).map_err(|_| BadKey)?;
        let ephemeral = private.compute_public_key().map_err(|_| BadKey)?;
        let wrapped = agree(&private, UnparsedPublicKey::new(curve.algorithm(), point), BadKey, |shared| {
            Ok(curve.derivation().wrap(shared, key))
        })?;
        let wrap = Any::from_der(&AES256_WRAP).map_err(bad)?;
        Ok(RecipientInfo::Kari(KeyAgreeRecipientInfo {
            version: CmsVersion::V3,
            originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
                algorithm: AlgorithmIdentifierOwned { oid: curve.key_algorithm(), parameters: None },
                public_key: BitString::from_bytes(ephemeral.as_ref()).map_err(bad)?,
            }),
            ukm: None,
            key_enc_alg: AlgorithmIdentifierOwned { oid: curve.scheme(), parameters: Some(wrap) },
            recipient_enc_keys: vec![RecipientEncryptedKey {
                rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(self.name.clone()),
                enc_key: OctetString::new(&wrapped[..]).map_err(bad)?,
            }],
        }))
    }
}

impl RsaKey {
    /// From SubjectPublicKeyInfo, DER. An error outside 2048 to 8192 bits.
    pub fn parse(public_key: &[u8]) -> Result<Self, BadKey> {
        let public = PublicEncryptingKey::from_der(public_key).map_err(|_| BadKey)?;
        Ok(Self {
            oaep: OaepPublicEncryptingKey::new(public.clone()).map_err(|_| BadKey)?,
            pkcs1: Pkcs1PublicEncryptingKey::new(public).map_err(|_| BadKey)?,
        })
    }
}

impl CmsCurve {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::X25519];

    /// Its algorithm in aws-lc.
    pub fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
            Self::X25519 => &X25519,
        }
    }

    /// How a key encryption key follows from a secret shared on it.
    pub fn derivation(self) -> Derivation {
        match self {
            Self::P256 | Self::X25519 => Derivation::X963Sha256,
            Self::P384 => Derivation::X963Sha384,
        }
    }

    /// The key agreement scheme with that derivation.
    pub fn scheme(self) -> ObjectIdentifier {
        match self {
            Self::P256 | Self::X25519 => SHA256_KDF,
            Self::P384 => SHA384_KDF,
        }
    }

    /// The algorithm of a key on it.
    pub fn key_algorithm(self) -> ObjectIdentifier {
        match self {
            Self::P256 | Self::P384 => EC_PUBLIC_KEY,
            Self::X25519 => X25519_KEY,
        }
    }
}

/// K: DER of the SET OF RecipientInfo. In DER they are sorted by their octets (X.690 §11.6); `cms` sorts otherwise.
pub(crate) fn join_recipients(infos: &[RecipientInfo]) -> Result<Vec<u8>, BadKey> {
    let encoded: Result<Vec<Vec<u8>>, der::Error> = infos.iter().map(Encode::to_der).collect();
    let mut encoded = encoded.map_err(bad)?;
    encoded.sort();
    let body = encoded.concat();
    let length = Length::try_from(body.len()).map_err(bad)?;
    let mut key = Header::new(Tag::Set, length).and_then(|header| header.to_der()).map_err(bad)?;
    key.extend_from_slice(&body);
    Ok(key)
}

fn bad(_: der::Error) -> BadKey {
    BadKey
}
