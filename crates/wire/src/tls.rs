//! Whom to trust when TLS is spoken.
//!
//! In: one's own authorities or a pinned certificate, a host. Out: a TLS connection not yet shaken hands. RFC 8314,
//! RFC 7817 (the name in the certificate must be the host's). TLS 1.2 and 1.3. Never: a way to accept any certificate;
//! a revocation list asked for.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::{constant_time, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::dane::{Dane, Peer};

/// Whom to trust when TLS is spoken.
#[derive(Default, Clone)]
pub struct Trust {
    /// PEM of one's own authorities, beside the system's. May be empty.
    pub authorities: Vec<u8>,
    /// SHA-256 of the server's end-entity certificate (DER). When set, exactly that certificate is accepted and nothing
    /// else is asked: neither its issuer nor its name nor its dates. This is for a server that signs for itself.
    pub pin: Option<[u8; 32]>,
    /// Who is there, if the place does not say it: a host that was looked up.
    pub peer: Option<Arc<Peer>>,
}

/// How a server speaks TLS: its certificate and key. Made by [`crate::smtp::server::tls`].
pub type ServerTls = Arc<rustls::ServerConfig>;

/// The first certificate of a PEM text, DER.
pub fn first_certificate(pem: &[u8]) -> Option<Vec<u8>> {
    CertificateDer::from_pem_slice(pem).ok().map(|certificate| certificate.to_vec())
}

/// Why TLS cannot even be begun.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("{0}")]
    Trust(&'static str),
    #[error("{0}")]
    Setup(&'static str),
}

/// Why TLS is not spoken with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WrapError {
    /// Its certificate is not one that is trusted.
    #[error("its certificate is not trusted")]
    Untrusted,
    /// It broke off, or speaks no TLS that we do.
    #[error("it cannot be spoken to by TLS")]
    Failed,
}

/// Speaks TLS with `host` over a stream. Takes as long as the host likes: whoever calls has the patience.
pub async fn wrap<S>(stream: S, host: &str, trust: &Trust) -> Result<TlsStream<S>, WrapError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (config, name) = config(host, trust).map_err(|_| WrapError::Failed)?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
        let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let is_untrusted = matches!(error, Some(rustls::Error::InvalidCertificate(_)));
        if is_untrusted { WrapError::Untrusted } else { WrapError::Failed }
    })
}

/// A TLS connection to `host`.
pub(crate) fn connection(host: &str, trust: &Trust) -> Result<ClientConnection, TlsError> {
    let (config, name) = config(host, trust)?;
    ClientConnection::new(config, name).map_err(|_| TlsError::Setup("it cannot be begun"))
}

/// How TLS is spoken with `host`, and the name that its certificate must bear.
pub(crate) fn config(host: &str, trust: &Trust) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
    let peer = trust.peer.as_deref();
    let host = peer.map_or(host, |peer| peer.name.as_str());
    // A name may end in a dot; a certificate's never does (RFC 6066 §3).
    let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
        .map_err(|_| TlsError::Setup("the host is no name and no address"))?;
    let provider = Arc::new(provider::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust.pin {
        Some(pin) => Arc::new(Verifier { judge: Judge::Pin(pin), provider: Arc::clone(&provider) }),
        None if peer.is_some_and(|peer| !peer.records.is_empty()) => {
            let dane = Dane::of(peer.cloned().unwrap_or_default());
            Arc::new(Verifier { judge: Judge::Dane(dane), provider: Arc::clone(&provider) })
        }
        None => WebPkiServerVerifier::builder_with_provider(Arc::new(roots(trust)?), Arc::clone(&provider))
            .build()
            .map_err(|_| TlsError::Trust("no authority is known, neither the system's nor one's own"))?,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError::Setup("no version of TLS can be spoken"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A session's key in memory helps no one: each connection has its own configuration.
    config.resumption = rustls::client::Resumption::disabled();
    Ok((Arc::new(config), name))
}

/// The system's authorities and one's own.
fn roots(trust: &Trust) -> Result<RootCertStore, TlsError> {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        // The system's own store may hold certificates too old to be read: they are left out, as every client does.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        store
    });
    let mut store = system.clone();
    let mut own = 0_usize;
    for authority in CertificateDer::pem_slice_iter(&trust.authorities) {
        let authority = authority.map_err(|_| TlsError::Trust("one's own authorities are no PEM"))?;
        store.add(authority).map_err(|_| TlsError::Trust("one of one's own authorities is no certificate"))?;
        own = own.saturating_add(1);
    }
    if own == 0 && !trust.authorities.trim_ascii().is_empty() {
        return Err(TlsError::Trust("one's own authorities hold no certificate"));
    }
    Ok(store)
}

/// Accepts whom its judge accepts, and who proves to hold the certificate's key.
#[derive(Debug)]
struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
}

/// Who says whether a certificate is the right one, where no authority is asked.
#[derive(Debug)]
enum Judge {
    /// SHA-256 of the one that is.
    Pin([u8; 32]),
    Dane(Dane),
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.judge {
            Judge::Pin(pin) => {
                let hash = digest::digest(&digest::SHA256, end_entity);
                constant_time::verify_slices_are_equal(hash.as_ref(), pin)
                    .map_err(|_| rustls::Error::from(CertificateError::ApplicationVerificationFailure))?;
            }
            Judge::Dane(dane) => {
                let algorithms = self.provider.signature_verification_algorithms.all;
                dane.judge(end_entity, intermediates, name, now, algorithms)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
