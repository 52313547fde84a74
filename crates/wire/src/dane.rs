//! Whom to trust by what the DNS says of a host's certificate.
//!
//! In: TLSA records (RFC 6698 §2.1) that DNSSEC vouches for; whoever asks for them sees to that. Out: yes or no to a certificate chain, as mail servers
//! decide it (RFC 7672 §3.1). Usages 0 and 1 ask for what no authority of the web promises to a mail server, and are not used (RFC 7672 §3.1.3).

use aws_lc_rs::{constant_time, digest};
use rustls::CertificateError;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;

/// One record that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Usage {
    /// DANE-TA(2): an authority in the chain.
    Authority,
    /// DANE-EE(3): the server's own certificate.
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Selector {
    Certificate,
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Matching {
    Whole,
    Sha256,
    Sha512,
}

impl Tlsa {
    /// The four fields of a record. None: it cannot be used (RFC 7672 §2.2).
    pub fn new(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Option<Tlsa> {
        let usage = match usage {
            2 => Usage::Authority,
            3 => Usage::Server,
            _ => return None,
        };
        let selector = match selector {
            0 => Selector::Certificate,
            1 => Selector::Key,
            _ => return None,
        };
        let (matching, fits) = match matching {
            0 => (Matching::Whole, !data.is_empty()),
            1 => (Matching::Sha256, data.len() == digest::SHA256_OUTPUT_LEN),
            2 => (Matching::Sha512, data.len() == digest::SHA512_OUTPUT_LEN),
            _ => return None,
        };
        fits.then(|| Tlsa { usage, selector, matching, data: data.to_vec() })
    }

    fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        let key;
        let shown: &[u8] = match self.selector {
            Selector::Certificate => certificate,
            Selector::Key => {
                let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
                key = parsed.subject_public_key_info();
                &key
            }
        };
        let same = |shown: &[u8]| constant_time::verify_slices_are_equal(shown, &self.data).is_ok();
        match self.matching {
            Matching::Whole => same(shown),
            Matching::Sha256 => same(digest::digest(&digest::SHA256, shown).as_ref()),
            Matching::Sha512 => same(digest::digest(&digest::SHA512, shown).as_ref()),
        }
    }
}

/// Who is to be found at an address that was looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The name that its certificate must bear.
    pub name: String,
    /// Names that a certificate below a named authority may bear instead: the domain whose mail it takes (RFC 7672 §3.2.2).
    pub other_names: Vec<String>,
    /// What DNSSEC vouches for. When there is any of it, nothing else is asked.
    pub records: Vec<Tlsa>,
}

/// Accepts what one of the records speaks for.
#[derive(Debug)]
pub(crate) struct Dane {
    records: Vec<Tlsa>,
    names: Vec<ServerName<'static>>,
}

impl Dane {
    pub(crate) fn of(peer: Peer) -> Dane {
        let names = peer.other_names.into_iter().filter_map(|name| ServerName::try_from(name).ok()).collect();
        Dane { records: peer.records, names }
    }

    /// Whether one of the records speaks for a chain of certificates.
    pub(crate) fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), rustls::Error> {
        // RFC 7672 §3.1.1: neither names nor dates are asked of a certificate that is named itself.
        let server = |record: &&Tlsa| record.usage == Usage::Server;
        if self.records.iter().filter(server).any(|record| record.is_of(end_entity)) {
            return Ok(());
        }
        let mut roots = RootCertStore::empty();
        for record in self.records.iter().filter(|record| record.usage == Usage::Authority) {
            let named = intermediates.iter().filter(|certificate| record.is_of(certificate));
            named.for_each(|certificate| drop(roots.add(certificate.clone().into_owned())));
            if (record.selector, record.matching) == (Selector::Certificate, Matching::Whole) {
                // It need not be in the chain: it is here.
                let _ = roots.add(CertificateDer::from(record.data.clone()));
            }
        }
        let unknown = || rustls::Error::from(CertificateError::ApplicationVerificationFailure);
        if roots.is_empty() {
            return Err(unknown());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, intermediates, now, algorithms)?;
        let mut names = std::iter::once(name).chain(&self.names);
        if names.any(|name| verify_server_name(&certificate, name).is_ok()) {
            Ok(())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    struct Chain {
        authority: CertificateDer<'static>,
        server: CertificateDer<'static>,
    }

    fn chain(name: &str) -> Chain {
        let mut params = CertificateParams::new(Vec::new()).expect("no name");
        params.distinguished_name.push(DnType::CommonName, "An authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new(vec![name.to_owned()]).expect("a name").signed_by(&key, &issuer);
        Chain { authority: issuer.der().clone(), server: server.expect("a certificate").der().clone() }
    }

    fn key(certificate: &CertificateDer<'_>) -> Vec<u8> {
        ParsedCertificate::try_from(certificate).expect("a certificate").subject_public_key_info().to_vec()
    }

    fn accepts(records: &[(u8, u8, u8, &[u8])], chain: &[&CertificateDer<'static>], name: &str) -> bool {
        let records = records.iter().filter_map(|(usage, selector, matching, data)| {
            let hashed = match matching {
                1 => digest::digest(&digest::SHA256, data).as_ref().to_vec(),
                2 => digest::digest(&digest::SHA512, data).as_ref().to_vec(),
                _ => data.to_vec(),
            };
            Tlsa::new(*usage, *selector, *matching, &hashed)
        });
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let names = vec![ServerName::try_from("domain.example").expect("a name")];
        let dane = Dane { records: records.collect(), names };
        let rest: Vec<CertificateDer<'static>> = chain.iter().skip(1).map(|one| (*one).clone()).collect();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let algorithms = provider.signature_verification_algorithms.all;
        dane.judge(chain[0], &rest, &name, UnixTime::now(), algorithms).is_ok()
    }

    #[test]
    fn the_certificate_that_is_named_and_no_other() {
        let (one, other) = (chain("mx.example"), chain("mx.example"));
        for matching in 0..=2 {
            let named: [(u8, u8, u8, &[u8]); 1] = [(3, 0, matching, &one.server)];
            assert!(accepts(&named, &[&one.server], "mx.example") && accepts(&named, &[&one.server], "odd.example"));
            assert!(!accepts(&named, &[&other.server], "mx.example"));
            let spki = key(&one.server);
            let named: [(u8, u8, u8, &[u8]); 1] = [(3, 1, matching, &spki)];
            assert!(accepts(&named, &[&one.server], "mx.example") && !accepts(&named, &[&other.server], "mx.example"));
        }
        // One of several is enough: keys change over.
        let two: [(u8, u8, u8, &[u8]); 2] = [(3, 0, 1, &other.server), (3, 0, 1, &one.server)];
        assert!(accepts(&two, &[&one.server], "mx.example"));
    }

    #[test]
    fn below_a_named_authority_names_count() {
        let (one, other) = (chain("mx.example"), chain("mx.example"));
        let spki = key(&one.authority);
        for (selector, data) in [(0, &one.authority[..]), (1, &spki[..])] {
            for matching in 0..=2 {
                let named: [(u8, u8, u8, &[u8]); 1] = [(2, selector, matching, data)];
                assert!(accepts(&named, &[&one.server, &one.authority], "mx.example"), "{selector} {matching}");
                assert!(!accepts(&named, &[&one.server, &one.authority], "odd.example"));
                assert!(!accepts(&named, &[&other.server, &other.authority], "mx.example"));
                // An authority in the chain that did not sign what is below it.
                assert!(!accepts(&named, &[&other.server, &one.authority], "mx.example"));
                let without = accepts(&named, &[&one.server], "mx.example");
                assert_eq!(without, (selector, matching) == (0, 0));
            }
        }
        let domain = chain("domain.example");
        assert!(accepts(&[(2, 0, 1, &domain.authority)], &[&domain.server, &domain.authority], "mx.example"));
    }

    #[test]
    fn what_cannot_be_used_is_none() {
        for (usage, selector, matching, data) in [
            (0, 0, 1, &[0; 32][..]),
            (1, 1, 1, &[0; 32]),
            (4, 0, 1, &[0; 32]),
            (3, 2, 1, &[0; 32]),
            (3, 0, 3, &[0; 32]),
            (3, 0, 1, &[0; 31]),
            (3, 0, 2, &[0; 32]),
            (3, 0, 0, &[]),
        ] {
            assert_eq!(Tlsa::new(usage, selector, matching, data), None);
        }
    }
}
