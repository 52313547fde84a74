//! An owner's X.509 certificate, checked: octets in, the key to wrap session keys to out, or a named reason why there is none
//! (RFC 5280 §4.1, §4.2.1; RFC 8550 §4.4). Dates, key usage and key size are judged; who issued it is not: the owner hands in
//! his own certificate, and both sides compare fingerprints.

use std::sync::Arc;

use cms::cert::IssuerAndSerialNumber;
use der::{Decode, Encode, asn1::ObjectIdentifier, oid::db::rfc5280};
use sealed::identity::{AccountId, sha256};
use x509_cert::{
    Certificate as Parsed, TbsCertificate,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
    spki::SubjectPublicKeyInfoOwned,
};

use crate::{
    certificate::{Certificate, CertificateError, ENROLMENT, date, hexadecimal},
    cms_wrap::{CmsCurve, EC_PUBLIC_KEY, RSA_PKCS1, RsaKey, RsaPadding, X509Key, X509Parameters, X25519_KEY},
    recipient::RecipientKey,
};

/// RSA keys below this are refused.
const MIN_RSA_BITS: usize = 2048;
/// RSA keys above this are refused: aws-lc takes no larger ones.
const MAX_RSA_BITS: usize = 8192;
/// A clock that is a little behind must not make a fresh certificate unusable.
const LENIENCE: u64 = 24 * 3600;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// How the first and the last line of a secret key in PEM end; OpenPGP says more there.
const SECRET_END: &str = "PRIVATE KEY-----";
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// Could this file hold X.509 certificates, in PEM or as they are?
pub(crate) fn is_in(octets: &[u8]) -> bool {
    // A SEQUENCE; no OpenPGP packet begins so.
    let holds = |text: &str| memchr::memmem::find(octets, text.as_bytes()).is_some();
    octets.first() == Some(&0x30) || holds(BEGIN) || holds(SECRET_END)
}

/// Every certificate of a file that mail is to be sealed to, PEM (several blocks in a row) or DER. `now`: Unix seconds.
pub(crate) fn parse_all(octets: &[u8], now: u64) -> Result<Vec<Certificate>, CertificateError> {
    meant(octets)?.iter().map(|(one, octets)| check(one, octets, now)).collect()
}

/// The account that a file's first certificate names, whatever became of the certificate since.
pub(crate) fn account_named_in(octets: &[u8]) -> Result<AccountId, CertificateError> {
    let meant = meant(octets)?;
    let (first, _) = meant.first().ok_or(CertificateError::Unparsable)?;
    account(&first.tbs_certificate.subject_public_key_info)
}

/// The certificates of a file, unchecked, with their octets. In an enrolment all are meant. Elsewhere what issued another one of
/// the file is a link of its chain: mail is the owner's business, not his authority's.
fn meant(octets: &[u8]) -> Result<Vec<(Parsed, Vec<u8>)>, CertificateError> {
    let blocks = blocks(octets)?;
    let mut parsed: Vec<(Parsed, Vec<u8>)> = Vec::new();
    for block in blocks {
        parsed.push((parse(&block)?, block));
    }
    if octets.starts_with(ENROLMENT.as_bytes()) {
        return Ok(parsed);
    }
    let is_link = |one: &Parsed| {
        let authority = one.tbs_certificate.get::<BasicConstraints>().ok().flatten();
        authority.is_some_and(|(_, constraints)| constraints.ca)
            && parsed
                .iter()
                .map(|(other, _)| &other.tbs_certificate)
                .any(|other| other.issuer == one.tbs_certificate.subject && other.subject != other.issuer)
    };
    let links: Vec<bool> = parsed.iter().map(|(one, _)| is_link(one)).collect();
    let kept = parsed.into_iter().zip(links).filter(|(_, link)| !link);
    Ok(kept.map(|(one, _)| one).collect())
}

/// How a RecipientInfo names a certificate (RFC 5652 §10.2.4). `octets`: DER.
pub fn name_of(octets: &[u8]) -> Result<IssuerAndSerialNumber, CertificateError> {
    Ok(issuer_and_serial(&parse(octets)?.tbs_certificate))
}

/// SubjectPublicKeyInfo of a certificate, DER. `octets`: DER.
pub fn public_key_of(octets: &[u8]) -> Result<Vec<u8>, CertificateError> {
    parse(octets)?.tbs_certificate.subject_public_key_info.to_der().map_err(unparsable)
}

/// The DER octets of each certificate of a file.
pub fn blocks(octets: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    if octets.first() == Some(&0x30) {
        // A secret key and a PKCS #12 file begin with a version, a certificate does not.
        let secret = first_element(octets).is_some_and(|first| first.first() == Some(&0x02));
        return if secret { Err(CertificateError::Secret) } else { Ok(vec![octets.to_vec()]) };
    }
    let text = std::str::from_utf8(octets).map_err(|_| CertificateError::Unparsable)?;
    if text.contains(SECRET_END) {
        return Err(CertificateError::Secret);
    }
    let block = |start: usize| {
        let from = text.get(start..)?;
        let pem = from.get(..from.find(END)? + END.len())?;
        Some(der::pem::decode_vec(pem.as_bytes()).ok()?.1)
    };
    let starts = text.match_indices(BEGIN).map(|(start, _)| start);
    starts.map(|start| block(start).ok_or(CertificateError::Unparsable)).collect()
}

/// The first element in a DER SEQUENCE, header included.
pub fn first_element(octets: &[u8]) -> Option<&[u8]> {
    use der::{Header, Reader, SliceReader};
    let mut outer = SliceReader::new(octets).ok()?;
    Header::decode(&mut outer).ok()?;
    outer.tlv_bytes().ok()
}

/// One certificate in PEM. `octets`: DER.
pub fn pem(octets: &[u8]) -> Result<String, CertificateError> {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, octets).map_err(|_| CertificateError::Unparsable)
}

fn parse(octets: &[u8]) -> Result<Parsed, CertificateError> {
    Parsed::from_der(octets).map_err(unparsable)
}

fn check(parsed: &Parsed, octets: &[u8], now: u64) -> Result<Certificate, CertificateError> {
    let certificate = &parsed.tbs_certificate;
    let fingerprint = sha256(octets);
    let name = hexadecimal(&fingerprint);
    let starts = certificate.validity.not_before.to_unix_duration().as_secs();
    let expires = certificate.validity.not_after.to_unix_duration().as_secs();
    if expires <= now {
        return Err(CertificateError::Expired(name, date(expires)));
    }
    if starts > now.saturating_add(LENIENCE) {
        return Err(CertificateError::NotYet(name, date(starts)));
    }
    let parameters = parameters(&certificate.subject_public_key_info, &name)?;
    if !may_encrypt(certificate, &parameters)? {
        return Err(CertificateError::SignOnly(name));
    }
    Ok(Certificate {
        account: account(&certificate.subject_public_key_info)?,
        fingerprint: fingerprint.to_vec(),
        user_ids: addresses(certificate),
        recipient: RecipientKey::X509(X509Key { name: issuer_and_serial(certificate), parameters }),
        reads_v2: false,
        expires: Some(expires),
        octets: octets.to_vec(),
    })
}

fn account(public_key: &SubjectPublicKeyInfoOwned) -> Result<AccountId, CertificateError> {
    Ok(AccountId::of_x509(&public_key.to_der().map_err(unparsable)?))
}

fn issuer_and_serial(certificate: &TbsCertificate) -> IssuerAndSerialNumber {
    IssuerAndSerialNumber { issuer: certificate.issuer.clone(), serial_number: certificate.serial_number.clone() }
}

fn parameters(public_key: &SubjectPublicKeyInfoOwned, name: &str) -> Result<X509Parameters, CertificateError> {
    let unsupported = |kind: &str| CertificateError::Unsupported(name.to_owned(), kind.to_owned());
    let algorithm = &public_key.algorithm;
    let octets = public_key.subject_public_key.raw_bytes().to_vec();
    match algorithm.oid {
        RSA_PKCS1 => {
            let bits = rsa_bits(&octets).ok_or_else(|| unsupported("RSA parameters"))?;
            if bits < MIN_RSA_BITS {
                return Err(CertificateError::TooWeak(name.to_owned(), format!("RSA, {bits} bits")));
            }
            if bits > MAX_RSA_BITS {
                return Err(unsupported("RSA of more than 8192 bits"));
            }
            let key = RsaKey::parse(&public_key.to_der().map_err(unparsable)?);
            let key = key.map_err(|_| unsupported("RSA parameters"))?;
            Ok(X509Parameters::Rsa(Arc::new(key), RsaPadding::default()))
        }
        EC_PUBLIC_KEY => {
            let curve = algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
            let curve = match curve {
                Some(P256) => CmsCurve::P256,
                Some(P384) => CmsCurve::P384,
                _ => return Err(unsupported("curve other than P-256 and P-384")),
            };
            Ok(X509Parameters::Ecdh(curve, octets))
        }
        X25519_KEY => Ok(X509Parameters::Ecdh(CmsCurve::X25519, octets)),
        _ => Err(unsupported("neither RSA, P-256, P-384 nor X25519")),
    }
}

/// Bits of the modulus: RSAPublicKey (RFC 8017 appendix A.1.1).
fn rsa_bits(octets: &[u8]) -> Option<usize> {
    let numbers = Vec::<der::asn1::Uint>::from_der(octets).ok()?;
    let modulus = numbers.first()?.as_bytes();
    let top = modulus.first()?.leading_zeros() as usize;
    Some(modulus.len() * 8 - top)
}

/// Key usage (RFC 5280 §4.2.1.3, RFC 8550 §4.4.2) and its extension (§4.2.1.12): where they stand, they must allow it.
fn may_encrypt(certificate: &TbsCertificate, parameters: &X509Parameters) -> Result<bool, CertificateError> {
    let usage = certificate.get::<KeyUsage>().map_err(unparsable)?;
    let usage = usage.is_none_or(|(_, usage)| match parameters {
        X509Parameters::Rsa(..) => usage.key_encipherment(),
        X509Parameters::Ecdh(..) => usage.key_agreement(),
    });
    let purposes = certificate.get::<ExtendedKeyUsage>().map_err(unparsable)?;
    let purpose = purposes.is_none_or(|(_, purposes)| {
        let mail = [rfc5280::ID_KP_EMAIL_PROTECTION, rfc5280::ANY_EXTENDED_KEY_USAGE];
        purposes.0.iter().any(|purpose| mail.contains(purpose))
    });
    Ok(usage && purpose)
}

/// Addresses of the subject (RFC 5280 §4.2.1.6, and the older places in its name, §4.1.2.6), then its whole name.
fn addresses(certificate: &TbsCertificate) -> Vec<String> {
    let alternatives = certificate.get::<SubjectAltName>().ok().flatten();
    let mut found: Vec<String> = Vec::new();
    for name in alternatives.map(|(_, names)| names.0).unwrap_or_default() {
        if let GeneralName::Rfc822Name(address) = name {
            found.push(address.as_str().to_owned());
        }
    }
    for part in certificate.subject.0.iter().flat_map(|set| set.0.iter()) {
        let older = part.oid == EMAIL_ADDRESS || part.oid == COMMON_NAME;
        let address = std::str::from_utf8(part.value.value()).ok().filter(|value| older && value.contains('@'));
        found.extend(address.map(str::to_owned));
    }
    found.push(certificate.subject.to_string());
    let mut seen = Vec::new();
    found.retain(|name| {
        let fresh = !name.is_empty() && !seen.contains(name);
        seen.push(name.clone());
        fresh
    });
    found
}

fn unparsable(_: der::Error) -> CertificateError {
    CertificateError::Unparsable
}
