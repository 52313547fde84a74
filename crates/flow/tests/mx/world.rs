//! A provider: mail servers with certificates, at addresses of loopback; and a forwarder that looks for them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use flow::forward::mx::dns::{Dns, Dnssec};
use flow::forward::{Sink, mx};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use wire::smtp::server::Settings;
use wire::smtp::{Dialect, Reply, server};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{Station, choice, mail, until};

/// The domain whose servers are looked for.
pub(crate) const DOMAIN: &str = "provider.example";

/// An authority; and what it vouches for.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) der: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    pub(crate) fn vouch(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            spki: rcgen::PublicKeyData::subject_public_key_info(&key),
            key: key.serialize_pem(),
        }
    }
}

/// Ports that a test has for itself, at every address of loopback.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A mail server at 127.0.0.`last`; without an identity it offers no TLS.
pub(crate) fn server(last: u8, port: u16, identity: Option<&Identity>) -> Hop {
    let socket = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).unwrap();
    let mut settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
    settings.max_message = 1 << 20;
    settings.tls = identity.map(|one| server::tls(one.certificate.as_bytes(), one.key.as_bytes()).unwrap());
    Hop::serve(socket, settings, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))))
}

/// What a forwarder is told.
pub(crate) struct Way<'a> {
    pub(crate) names: SocketAddr,
    pub(crate) dnssec: Dnssec,
    pub(crate) authority: &'a Authority,
    pub(crate) smtp: u16,
    pub(crate) https: u16,
}

impl Way<'_> {
    pub(crate) fn sink(&self, state: &Path) -> Sink {
        let mx = mx::Settings {
            domain: DOMAIN.to_owned(),
            hello: "gw.my.example".to_owned(),
            dns: Dns::new(Some(self.names), &self.dnssec).unwrap(),
            trust: wire::Trust { authorities: self.authority.pem(), ..wire::Trust::default() },
            state: state.to_owned(),
            smtp_port: self.smtp,
            https_port: self.https,
        };
        Sink::Domain { mx: Box::new(mx), to: format!("me@{DOMAIN}") }
    }

    /// A message is sent on this way: none, if it arrived; else why it is still here.
    pub(crate) fn send(&self, state: &Path) -> Option<String> {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let station = Station::open(&scene, choice(&scene, self.sink(state)));
        let said = station.send(&mail(1));
        if !said.starts_with("250") {
            return Some(said);
        }
        until("it arrived, or did not", || station.count("arrived") + station.count("retried") > 0);
        if station.count("arrived") == 1 {
            return None;
        }
        let told = station.told.lock().unwrap();
        let why = told.iter().find_map(|line| line.split("why: Some(").nth(1)).unwrap().split(')').next();
        why.map(str::to_owned)
    }
}
