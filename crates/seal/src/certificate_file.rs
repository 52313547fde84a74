//! A file of certificates, of whatever kind: OpenPGP (armored or binary) or X.509 (PEM or DER). Octets in, checked certificates
//! out. A file with a secret key in it is refused.

use sealed::identity::AccountId;

use crate::{
    certificate::{Certificate, CertificateError},
    openpgp, x509,
};

/// Octets of a certificate file that are read.
pub const MAX_CERTIFICATE: usize = 4 * 1024 * 1024;

impl Certificate {
    /// Reads every certificate of a file; those of OpenPGP first. `now`: Unix seconds.
    pub fn parse_all(octets: &[u8], now: u64) -> Result<Vec<Self>, CertificateError> {
        if octets.len() > MAX_CERTIFICATE {
            return Err(CertificateError::Unparsable);
        }
        let x509 = x509::is_in(octets);
        let mut certificates =
            if !x509 || openpgp::is_in(octets) { openpgp::parse_all(octets, now)? } else { Vec::new() };
        if x509 {
            certificates.extend(x509::parse_all(octets, now)?);
        }
        if certificates.is_empty() { Err(CertificateError::Unparsable) } else { Ok(certificates) }
    }

    /// The account that a file's first certificate names, whatever became of the certificate since: old mail must open
    /// after its certificate expired. An OpenPGP certificate goes before an X.509 one (A1).
    pub fn account_named_in(octets: &[u8]) -> Result<AccountId, CertificateError> {
        if x509::is_in(octets) && !openpgp::is_in(octets) {
            return x509::account_named_in(octets);
        }
        openpgp::account_named_in(octets)
    }
}
