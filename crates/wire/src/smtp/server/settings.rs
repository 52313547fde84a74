//! How sessions are led.
//!
//! In: values. Out: the same, and what follows from them: what is offered, who is believed. Never reads a file.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto::aws_lc_rs as provider};

use crate::smtp::limit;
use crate::smtp::path::{Body, MailFrom, Parameter, RcptTo};
use crate::smtp::place::Dialect;

/// An extension that need not be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// RFC 6152.
    EightBitMime,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3030 §2; without it there is no BINARYMIME either.
    Chunking,
    /// RFC 3030 §3.
    BinaryMime,
    /// RFC 3461.
    Dsn,
}

/// Why a message was refused before whoever leads the session heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is too large.
    Size,
    /// It asks for what is not offered.
    Parameter,
    /// It has too many recipients.
    Recipients,
}

/// Who is told of it, with the code of the answer.
pub type Hears = Arc<dyn Fn(Refused, u16) + Send + Sync>;

/// How sessions are led.
#[derive(Clone)]
pub struct Settings {
    /// SMTP or LMTP.
    pub dialect: Dialect,
    /// Our own name.
    pub hello: String,
    /// Octets of the largest message.
    pub max_message: u64,
    /// Recipients of a message.
    pub max_recipients: usize,
    /// Whose XFORWARD and XCLIENT are believed. Unix sockets are: who may connect is a matter of their permissions.
    pub trusted: Vec<Network>,
    /// What is neither offered nor taken, because whoever is next does not take it.
    pub withheld: Vec<Extension>,
    /// Who is told what was refused here, and with which code.
    pub hears: Option<Hears>,
    /// For STARTTLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// How long a command is waited for.
    pub command_time: Duration,
    /// How long the next octets of a message are waited for.
    pub block_time: Duration,
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Not an address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is written \"192.0.2.0/24\" or \"192.0.2.1\"")]
pub struct NoNetwork;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(&'static str);

impl Settings {
    /// The usual ones.
    pub fn new(dialect: Dialect, hello: String) -> Settings {
        Settings {
            dialect,
            hello,
            max_message: 100 * 1024 * 1024,
            max_recipients: limit::RECIPIENTS,
            trusted: Vec::new(),
            withheld: Vec::new(),
            hears: None,
            tls: None,
            command_time: limit::COMMAND_TIME,
            block_time: limit::BLOCK_TIME,
        }
    }

    pub(crate) fn refused(&self, why: Refused, code: u16) {
        if let Some(hears) = &self.hears {
            hears(why, code);
        }
    }

    /// Is it offered, and taken?
    pub(crate) fn offers(&self, extension: Extension) -> bool {
        let needs = (extension == Extension::BinaryMime).then_some(Extension::Chunking);
        !self.withheld.iter().any(|one| *one == extension || Some(*one) == needs)
    }

    /// Does the sender's line ask for something that is withheld, or that nobody offered (RFC 5321 §4.1.1.11)?
    pub(crate) fn withholds_from(&self, mail: &MailFrom) -> bool {
        let asks = [
            (Extension::SmtpUtf8, mail.smtputf8),
            (Extension::EightBitMime, mail.body == Body::EightBitMime),
            (Extension::BinaryMime, mail.body == Body::BinaryMime),
        ];
        let withheld = asks.iter().any(|(extension, asked)| *asked && !self.offers(*extension));
        withheld || self.lacks(&mail.parameters, ["RET", "ENVID"])
    }

    /// Does a recipient's line?
    pub(crate) fn withholds_to(&self, to: &RcptTo) -> bool {
        self.lacks(&to.parameters, ["NOTIFY", "ORCPT"])
    }

    /// What is left of parameters is DSN's, if that is offered.
    fn lacks(&self, parameters: &[Parameter], of_dsn: [&str; 2]) -> bool {
        let is_dsn = |parameter: &Parameter| of_dsn.contains(&parameter.name.as_str());
        parameters.iter().any(|parameter| !is_dsn(parameter) || !self.offers(Extension::Dsn))
    }

    /// Is what this peer tells of others believed? `None`: it came by a unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.trusted.iter().any(|network| network.contains(peer)))
    }
}

impl Network {
    /// Is this address in it?
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let shift = width.saturating_sub(self.bits);
            one.checked_shr(shift).unwrap_or_default() == other.checked_shr(shift).unwrap_or_default()
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Network, NoNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| NoNetwork))?;
        if bits > width { Err(NoNetwork) } else { Ok(Network { address, bits }) }
    }
}

/// TLS for a server (RFC 3207), from PEM files with the chain and the key.
pub fn tls(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError("the certificate is no PEM"))?;
    if chain.is_empty() {
        return Err(TlsError("the file holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError("the file holds no private key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError("no version of TLS can be spoken"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| TlsError("the key does not belong to the certificate"))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_addresses() {
        let holds = |network: &str, address: &str| {
            let network: Result<Network, NoNetwork> = network.parse();
            network.is_ok_and(|network| address.parse().is_ok_and(|address| network.contains(address)))
        };
        for (network, address, inside) in [
            ("127.0.0.0/8", "127.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.0/9", "10.128.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("2001:db8::/32", "2001:db8:1::5", true),
            ("::1", "::1", true),
            ("::/0", "::1", true),
        ] {
            assert_eq!(holds(network, address), inside, "{network} {address}");
        }
        for wrong in ["", "x", "127.0.0.1/33", "::1/129", "127.0.0.1/", "127.0.0/8"] {
            assert_eq!(wrong.parse::<Network>(), Err(NoNetwork), "{wrong}");
        }
    }
}
