//! An owner's OpenPGP certificate, checked: octets in, the one key to wrap session keys to out, or a named reason why
//! there is none (RFC 9580 §10.1, §5.2). The only file of this crate that names rPGP. Nothing is skipped silently: a
//! certificate that gives no usable key is an error.

use std::io::Cursor;

use pgp::{
    composed::{Deserializable, SignedPublicKey},
    crypto::{hash::HashAlgorithm, public_key::PublicKeyAlgorithm, sym::SymmetricKeyAlgorithm},
    packet::{Signature, SignatureType},
    types::{EcdhPublicParams, KeyDetails, KeyVersion, PublicParams, Tag},
};
use sealed::{
    identity::AccountId,
    key_wrap::{Curve, EcdhParameters, KdfHash, WrapCipher},
};

use crate::{
    certificate::{Certificate, CertificateError, date, hexadecimal},
    recipient::RecipientKey,
    wrap::{OpenPgpKey, Parameters},
};

/// RSA keys below this are refused.
const MIN_RSA_BITS: usize = 2048;
/// RSA keys above this are refused: aws-lc takes no larger ones.
const MAX_RSA_BITS: usize = 8192;
const ARMOR_BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const SECRET_BEGIN: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";

/// Does this text hold an armored block, of a certificate or of a secret key?
pub(crate) fn is_in(octets: &[u8]) -> bool {
    [ARMOR_BEGIN, SECRET_BEGIN].iter().any(|begin| memchr::memmem::find(octets, begin.as_bytes()).is_some())
}

/// Every certificate of a file, armored (several blocks in a row) or binary. `now`: Unix seconds.
pub(crate) fn parse_all(octets: &[u8], now: u64) -> Result<Vec<Certificate>, CertificateError> {
    let mut certificates = Vec::new();
    for block in blocks(octets)? {
        let (keys, _) =
            SignedPublicKey::from_reader_many(Cursor::new(&block)).map_err(|_| CertificateError::Unparsable)?;
        for key in keys {
            certificates.push(check(&key.map_err(|_| CertificateError::Unparsable)?, now)?);
        }
    }
    Ok(certificates)
}

/// The account that a file's first certificate names, whatever became of the certificate since.
pub(crate) fn account_named_in(octets: &[u8]) -> Result<AccountId, CertificateError> {
    let block = blocks(octets)?.into_iter().next().ok_or(CertificateError::Unparsable)?;
    let (mut keys, _) =
        SignedPublicKey::from_reader_many(Cursor::new(&block)).map_err(|_| CertificateError::Unparsable)?;
    let key = keys.next().and_then(Result::ok).ok_or(CertificateError::Unparsable)?;
    Ok(AccountId::of_openpgp(key.primary_key.fingerprint().as_bytes()))
}

fn check(key: &SignedPublicKey, now: u64) -> Result<Certificate, CertificateError> {
    use pgp::ser::Serialize;
    let name = hexadecimal(key.primary_key.fingerprint().as_bytes());
    let primary = &key.primary_key;
    let details = &key.details;
    if details
        .revocation_signatures
        .iter()
        .any(|signature| signature.typ() == Some(SignatureType::KeyRevocation) && signature.verify_key(primary).is_ok())
    {
        return Err(CertificateError::Revoked(name));
    }
    let direct = details
        .direct_signatures
        .iter()
        .filter(|signature| signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok());
    let certifications = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|signature| {
            signature.is_certification() && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let own = newest(direct.chain(certifications), now).ok_or_else(|| CertificateError::Unsigned(name.clone()))?;
    let created = u64::from(primary.created_at().as_secs());
    if let Some(expired) = expiry(own, created).filter(|&end| end <= now) {
        return Err(CertificateError::Expired(name, date(expired)));
    }
    let reads_v2 = own.features().is_some_and(|features| features.seipd_v2());
    let primary_expires = expiry(own, created);

    let mut usable: Vec<(u64, OpenPgpKey, Option<u64>)> = Vec::new();
    let mut refusal = None;
    let candidates = key.public_subkeys.iter().map(|subkey| {
        let revoked = subkey.signatures.iter().any(|signature| {
            signature.typ() == Some(SignatureType::SubkeyRevocation)
                && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        });
        let bindings = subkey.signatures.iter().filter(|signature| {
            signature.typ() == Some(SignatureType::SubkeyBinding)
                && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        });
        (&subkey.key as &dyn KeyDetails, newest(bindings, now), revoked)
    });
    let itself = std::iter::once((primary as &dyn KeyDetails, Some(own), false));
    for (candidate, binding, revoked) in candidates.chain(itself) {
        let Some(binding) = binding.filter(|binding| may_encrypt(binding, candidate.algorithm())) else { continue };
        let created = u64::from(candidate.created_at().as_secs());
        let expires = expiry(binding, created);
        if revoked {
            refusal.get_or_insert(CertificateError::Revoked(name.clone()));
        } else if let Some(end) = expires.filter(|&end| end <= now) {
            refusal.get_or_insert(CertificateError::Expired(name.clone(), date(end)));
        } else {
            match recipient(candidate, &name) {
                Ok(recipient) => usable.push((created, recipient, expires)),
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
    }
    let newest = usable.into_iter().max_by_key(|(created, ..)| *created);
    let (_, recipient, expires) =
        newest.ok_or_else(|| refusal.unwrap_or_else(|| CertificateError::SignOnly(name.clone())))?;
    Ok(Certificate {
        account: AccountId::of_openpgp(primary.fingerprint().as_bytes()),
        fingerprint: primary.fingerprint().as_bytes().to_vec(),
        user_ids: details.users.iter().map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).collect(),
        recipient: RecipientKey::OpenPgp(recipient),
        reads_v2,
        expires: expires.into_iter().chain(primary_expires).min(),
        octets: key.to_bytes().map_err(|_| CertificateError::Unparsable)?,
    })
}

/// The armored blocks of a file, or the whole of it when it is binary.
fn blocks(octets: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    let Ok(text) = std::str::from_utf8(octets) else {
        // Tag 5 in old or new format: a secret key packet.
        let secret = octets.first().is_some_and(|first| first & 0xbc == 0x94 || *first == 0xc5);
        return if secret { Err(CertificateError::Secret) } else { Ok(vec![octets.to_vec()]) };
    };
    if text.contains(SECRET_BEGIN) {
        return Err(CertificateError::Secret);
    }
    let starts: Vec<usize> = text.match_indices(ARMOR_BEGIN).map(|(start, _)| start).collect();
    if starts.is_empty() {
        return Err(CertificateError::Unparsable);
    }
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(text.len()));
    let armored = starts.iter().zip(ends).filter_map(|(&start, end)| text.get(start..end));
    Ok(armored.map(|block| block.as_bytes().to_vec()).collect())
}

/// The newest of the signatures that count at `now`: made before, not expired, not by a broken hash.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>, now: u64) -> Option<&'a Signature> {
    signatures
        .filter(|signature| !matches!(signature.hash_alg(), None | Some(HashAlgorithm::Md5 | HashAlgorithm::Ripemd160)))
        .filter_map(|signature| Some((u64::from(signature.created()?.as_secs()), signature)))
        // A clock that is a little behind must not make a fresh certificate unusable.
        .filter(|(created, _)| *created <= now.saturating_add(24 * 3600))
        .filter(|(created, signature)| {
            let lasts = signature.signature_expiration_time().map_or(0, |duration| u64::from(duration.as_secs()));
            lasts == 0 || created + lasts > now
        })
        .max_by_key(|(created, _)| *created)
        .map(|(_, signature)| signature)
}

fn expiry(signature: &Signature, key_created: u64) -> Option<u64> {
    let lasts = u64::from(signature.key_expiration_time()?.as_secs());
    (lasts != 0).then_some(key_created + lasts)
}

/// Key flags (RFC 9580 §5.2.3.29); keys from before there were flags may do what their algorithm does.
fn may_encrypt(binding: &Signature, algorithm: PublicKeyAlgorithm) -> bool {
    let able = matches!(
        algorithm,
        PublicKeyAlgorithm::RSA
            | PublicKeyAlgorithm::RSAEncrypt
            | PublicKeyAlgorithm::ECDH
            | PublicKeyAlgorithm::X25519
            | PublicKeyAlgorithm::X448
            | PublicKeyAlgorithm::Elgamal
            | PublicKeyAlgorithm::ElgamalEncrypt
    );
    let flags = binding.key_flags();
    let none = !(flags.certify()
        || flags.sign()
        || flags.authentication()
        || flags.encrypt_comms()
        || flags.encrypt_storage());
    able && (none || flags.encrypt_comms() || flags.encrypt_storage())
}

fn recipient(key: &dyn KeyDetails, name: &str) -> Result<OpenPgpKey, CertificateError> {
    let unsupported = |kind: &str| CertificateError::Unsupported(name.to_owned(), kind.to_owned());
    let version = match key.version() {
        KeyVersion::V4 => 4,
        KeyVersion::V6 => 6,
        _ => return Err(unsupported("key version")),
    };
    let parameters = match key.public_params() {
        PublicParams::ECDH(public) => {
            let point = match public {
                EcdhPublicParams::Curve25519Legacy { p, .. } => p.as_bytes().to_vec(),
                EcdhPublicParams::P256 { p, .. } => p.to_sec1_bytes().to_vec(),
                EcdhPublicParams::P384 { p, .. } => p.to_sec1_bytes().to_vec(),
                EcdhPublicParams::P521 { p, .. } => p.to_sec1_bytes().to_vec(),
                _ => return Err(unsupported("curve")),
            };
            let parameters = ecdh_parameters(key).ok_or_else(|| unsupported("key derivation"))?;
            Parameters::Ecdh { point, parameters }
        }
        PublicParams::X25519(public) => Parameters::X25519(*public.key.as_bytes()),
        PublicParams::RSA(public) => {
            use rsa::traits::PublicKeyParts;
            let bits = public.key.n().bits();
            if bits < MIN_RSA_BITS {
                return Err(CertificateError::TooWeak(name.to_owned(), format!("RSA, {bits} bits")));
            }
            if bits > MAX_RSA_BITS {
                return Err(unsupported("RSA of more than 8192 bits"));
            }
            Parameters::rsa(&public.key.n().to_bytes_be(), &public.key.e().to_bytes_be())
                .map_err(|_| unsupported("RSA parameters"))?
        }
        PublicParams::Elgamal(_) => return Err(unsupported("Elgamal")),
        PublicParams::X448(_) => return Err(unsupported("X448")),
        _ => return Err(unsupported("unknown algorithm")),
    };
    let key_id = key.legacy_key_id().as_ref().try_into().map_err(|_| unsupported("key id"))?;
    Ok(OpenPgpKey { version, fingerprint: key.fingerprint().as_bytes().to_vec(), key_id, parameters })
}

/// Curve, key derivation and wrap of an ECDH key (RFC 9580 §5.5.5.6); who unwraps needs the same. None for another key,
/// or a combination that is not used.
pub fn ecdh_parameters(key: &(impl KeyDetails + ?Sized)) -> Option<EcdhParameters> {
    let (curve, hash, cipher) = match key.public_params() {
        PublicParams::ECDH(EcdhPublicParams::Curve25519Legacy { hash, alg_sym, .. }) => {
            (Curve::Curve25519Legacy, hash, alg_sym)
        }
        PublicParams::ECDH(EcdhPublicParams::P256 { hash, alg_sym, .. }) => (Curve::P256, hash, alg_sym),
        PublicParams::ECDH(EcdhPublicParams::P384 { hash, alg_sym, .. }) => (Curve::P384, hash, alg_sym),
        PublicParams::ECDH(EcdhPublicParams::P521 { hash, alg_sym, .. }) => (Curve::P521, hash, alg_sym),
        _ => return None,
    };
    let hash = match hash {
        HashAlgorithm::Sha256 => KdfHash::Sha256,
        HashAlgorithm::Sha384 => KdfHash::Sha384,
        HashAlgorithm::Sha512 => KdfHash::Sha512,
        _ => return None,
    };
    let cipher = match cipher {
        SymmetricKeyAlgorithm::AES128 => WrapCipher::Aes128,
        // quirk: GnuPG asks for it with P-384.
        SymmetricKeyAlgorithm::AES192 => WrapCipher::Aes192,
        SymmetricKeyAlgorithm::AES256 => WrapCipher::Aes256,
        _ => return None,
    };
    Some(EcdhParameters { curve, hash, cipher, fingerprint: key.fingerprint().as_bytes().to_vec() })
}
