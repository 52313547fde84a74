//! Unlocked keys of X.509 certificates, and session keys unwrapped with them: RecipientInfos of CMS in (RFC 5652 §6.2), a
//! session key out. The private-key step runs on aws-lc, in constant time. A RecipientInfo is tried only by the key whose
//! certificate it names.

use aws_lc_rs::{
    agreement::{PrivateKey, UnparsedPublicKey, agree},
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey},
};
use cms::{
    cert::IssuerAndSerialNumber,
    content_info::CmsVersion,
    enveloped_data::{
        KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey,
        RecipientIdentifier, RecipientInfo,
    },
};
use der::{Decode, Encode, Header, Reader, SliceReader, Tag};
use seal::cms_wrap::{AES256_WRAP, CmsCurve, OAEP_SHA256, RSA_OAEP, RSA_PKCS1};
use sealed::{limit::MAX_WRAPPED_KEYS, session::SessionKey};
use zeroize::Zeroizing;

/// One unlocked key.
pub(crate) struct X509Secret {
    /// Its certificate, as a RecipientInfo names it.
    pub(crate) name: IssuerAndSerialNumber,
    /// The secret.
    pub(crate) secret: CmsSecret,
}

pub(crate) enum CmsSecret {
    Rsa { oaep: Box<OaepPrivateDecryptingKey>, pkcs1: Box<Pkcs1PrivateDecryptingKey> },
    Ecdh { private: PrivateKey, curve: CmsCurve },
}

/// Key material K, taken apart. None when it is no DER of a SET OF RecipientInfo.
pub(crate) fn split(key_material: &[u8]) -> Option<Vec<RecipientInfo>> {
    let mut reader = SliceReader::new(key_material).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    if header.tag != Tag::Set || header.length != reader.remaining_len() {
        return None;
    }
    let mut infos = Vec::new();
    while !reader.is_finished() {
        infos.push(RecipientInfo::decode(&mut reader).ok()?);
        if infos.len() > MAX_WRAPPED_KEYS {
            return None;
        }
    }
    Some(infos)
}

impl X509Secret {
    /// None: for another key. Some(None): for this key, but damaged.
    pub(crate) fn unwrap(&self, info: &RecipientInfo) -> Option<Option<SessionKey>> {
        match info {
            RecipientInfo::Ktri(info) => {
                let named = matches!(&info.rid, RecipientIdentifier::IssuerAndSerialNumber(name) if *name == self.name);
                named.then(|| self.transported(info))
            }
            RecipientInfo::Kari(info) => {
                let key = info.recipient_enc_keys.iter().find(|key| {
                    matches!(&key.rid, KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) if *name == self.name)
                })?;
                Some(self.agreed(info, key.enc_key.as_bytes()))
            }
            _ => None,
        }
    }

    fn transported(&self, info: &KeyTransRecipientInfo) -> Option<SessionKey> {
        let CmsSecret::Rsa { oaep, pkcs1 } = &self.secret else { return None };
        if info.version != CmsVersion::V0 {
            return None;
        }
        let encrypted = info.enc_key.as_bytes();
        let mut plain = Zeroizing::new(vec![0; oaep.min_output_size().max(pkcs1.min_output_size())]);
        let parameters = info.key_enc_alg.parameters.as_ref()?.to_der().ok()?;
        let key = match info.key_enc_alg.oid {
            // Any other hash, or a label, is refused.
            RSA_OAEP if parameters == OAEP_SHA256 => {
                oaep.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut plain, None).ok()?
            }
            RSA_PKCS1 => pkcs1.decrypt(encrypted, &mut plain).ok()?,
            _ => return None,
        };
        SessionKey::from_octets(key)
    }

    fn agreed(&self, info: &KeyAgreeRecipientInfo, wrapped: &[u8]) -> Option<SessionKey> {
        let CmsSecret::Ecdh { private, curve } = &self.secret else { return None };
        let OriginatorIdentifierOrKey::OriginatorKey(originator) = &info.originator else { return None };
        let wrap = info.key_enc_alg.parameters.as_ref()?.to_der().ok()?;
        let fits = info.version == CmsVersion::V3
            && info.ukm.is_none()
            && info.key_enc_alg.oid == curve.scheme()
            && wrap == AES256_WRAP
            && originator.algorithm.oid == curve.key_algorithm();
        if !fits {
            return None;
        }
        let point = originator.public_key.as_bytes()?;
        agree(private, UnparsedPublicKey::new(curve.algorithm(), point), (), |shared| {
            curve.derivation().unwrap(shared, wrapped).map_err(|_| ())
        })
        .ok()
    }
}
