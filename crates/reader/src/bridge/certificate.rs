//! The bridge's own certificate: P-256, signed by itself, for this machine's names alone (RFC 5280, RFC 6125). In: a time. Out: PEM, and the fingerprint that people compare.
//! Never a certificate for anything that can be reached from elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use sealed::identity::{random, sha256};
use time::{Duration, OffsetDateTime};
use wire::tls::{ServerTls, first_certificate};
use zeroize::Zeroizing;

/// A certificate and its key.
pub struct Certificate {
    /// What [`Certificate::tls`] works with. No `Debug`: the key is in it.
    tls: ServerTls,
    fingerprint: [u8; 32],
    pem: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It could not be made.
    #[error("a certificate cannot be made")]
    Making,
    /// What was made before cannot be read.
    #[error("the bridge's certificate and key are damaged")]
    Damaged,
}

/// How long it lasts.
const LASTS: Duration = Duration::days(10 * 365);

impl Certificate {
    /// A new one, as a PEM text: the key, then the certificate. `now`: Unix seconds.
    pub fn generate(now: u64) -> Result<Zeroizing<String>, CertificateError> {
        let making = |_| CertificateError::Making;
        let key = KeyPair::generate().map_err(making)?;
        let mut parameters = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "Sealpost bridge");
        parameters.distinguished_name = name;
        parameters.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().map_err(making)?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let moment = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        let moment = moment.ok_or(CertificateError::Making)?;
        parameters.not_before = moment - Duration::HOUR;
        parameters.not_after = moment.checked_add(LASTS).ok_or(CertificateError::Making)?;
        let mut serial: [u8; 16] = random();
        // Positive, and of full length.
        serial[0] = serial[0] & 0x7f | 0x40;
        parameters.serial_number = Some(serial.to_vec().into());
        let certificate = parameters.self_signed(&key).map_err(making)?;
        let secret = Zeroizing::new(key.serialize_pem());
        Ok(Zeroizing::new(format!("{}{}", *secret, certificate.pem())))
    }

    /// Reads what [`Certificate::generate`] made.
    pub fn parse(pem: &[u8]) -> Result<Certificate, CertificateError> {
        let tls = wire::smtp::server::tls(pem, pem).map_err(|_| CertificateError::Damaged)?;
        let certificate = first_certificate(pem).ok_or(CertificateError::Damaged)?;
        let pem = seal::x509::pem(&certificate).map_err(|_| CertificateError::Damaged)?;
        Ok(Certificate { tls, fingerprint: sha256(&certificate), pem })
    }

    /// For connections.
    pub fn tls(&self) -> ServerTls {
        self.tls.clone()
    }

    /// Without the key, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256, as other programs print it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let octets: Vec<String> = self.fingerprint.iter().map(|octet| format!("{octet:02X}")).collect();
        octets.join(":")
    }
}
