//! TLS: who is trusted and who is not, from the first octet and after STARTTLS.
//!
//! In: certificates made for the test, a server that shows them. Out: a session, or the reason why there is none. Never:
//! another machine.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "tests fail loudly"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use wire::imap::{Credentials, Endpoint, ImapError, Security, Session, Timeouts, Trust};
use zeroize::Zeroizing;

/// An authority, and a server that it vouches for under one name.
struct Vouched {
    authority: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn vouched(name: &str) -> Vouched {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // Two authorities of one name would differ in their signatures only.
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    authority.distinguished_name.push(DnType::CommonName, format!("Authority {number}"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    Vouched { authority: authority.pem(), certificate: certificate.der().clone(), key: key.serialize_der() }
}

impl Vouched {
    fn pin(&self) -> [u8; 32] {
        digest::digest(&digest::SHA256, &self.certificate).as_ref().try_into().unwrap()
    }

    fn trusted(&self) -> Trust {
        Trust { authorities: self.authority.clone().into_bytes(), ..Trust::default() }
    }

    fn pinned(&self) -> Trust {
        Trust { pin: Some(self.pin()), ..Trust::default() }
    }

    fn config(&self, version: &'static rustls::SupportedProtocolVersion) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// What the server says before TLS.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    StartTls,
    /// With an answer to a command that we have not sent: the injection of CVE-2011-0411's kind.
    StartTlsAndMore,
}

fn serve(vouched: &Vouched, version: &'static rustls::SupportedProtocolVersion, before: Before) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = vouched.config(version);
    // The thread ends with the connection; what it makes of a client that leaves is nobody's concern.
    thread::spawn(move || drop(talk(&listener.accept().unwrap().0, config, before)));
    port
}

fn talk(mut socket: &TcpStream, config: Arc<ServerConfig>, before: Before) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    if !matches!(before, Before::Nothing) {
        socket.write_all(b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN FALSE] ready\r\n")?;
        let mut line = [0; 13];
        socket.read_exact(&mut line)?;
        assert_eq!(&line, b"A1 STARTTLS\r\n");
        let more = if matches!(before, Before::StartTlsAndMore) { "* CAPABILITY FALSE\r\nA2 OK x\r\n" } else { "" };
        socket.write_all(format!("A1 OK begin\r\n{more}").as_bytes())?;
    }
    let mut tls = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), socket));
    if matches!(before, Before::Nothing) {
        tls.get_mut().write_all(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n")?;
    }
    let mut line = String::new();
    while tls.read_line(&mut line)? > 0 {
        let (tag, command) = line.trim_end().split_once(' ').unwrap_or_default();
        let answer = match command.split(' ').next().unwrap_or_default() {
            "CAPABILITY" => format!("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done\r\n"),
            "AUTHENTICATE" => {
                tls.get_mut().write_all(b"+ \r\n")?;
                let mut login = String::new();
                tls.read_line(&mut login)?;
                assert_eq!(login, "AGFsaWNlAHNlY3JldA==\r\n");
                format!("{tag} OK [CAPABILITY IMAP4rev1] welcome\r\n")
            }
            "UID" => {
                // Several records of TLS, and more than one read takes.
                let body = "0123456789abcdef".repeat(20_000);
                format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n{body})\r\n{tag} OK done\r\n", body.len())
            }
            _ => format!("{tag} OK done\r\n"),
        };
        tls.get_mut().write_all(answer.as_bytes())?;
        line.clear();
    }
    Ok(())
}

fn connect(port: u16, host: &str, security: Security, trust: &Trust) -> Result<Session, ImapError> {
    let endpoint = Endpoint { host: host.to_owned(), port, security };
    let credentials = Credentials::Password { user: "alice".to_owned(), password: Zeroizing::new("secret".to_owned()) };
    let timeouts = Timeouts { connect: Duration::from_secs(20), response: Duration::from_secs(20) };
    Session::connect(&endpoint, trust, &credentials, &timeouts, Arc::new(AtomicBool::new(false)))
}

/// A session over which a large message comes; or the words of the error.
fn check(server: &Vouched, host: &str, trust: &Trust, expected: Result<(), &str>) {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (security, before) in [(Security::Tls, Before::Nothing), (Security::StartTls, Before::StartTls)] {
            let result = connect(serve(server, version, before), host, security, trust);
            match (result, expected) {
                (Ok(mut session), Ok(())) => {
                    assert!(!session.has("FALSE"), "what came before the handshake was believed");
                    let mut octets = 0;
                    let set = [1].into_iter().collect();
                    let each = |one: wire::imap::Fetched<Vec<u8>>| octets += one.body.unwrap().unwrap().len();
                    session.uid_fetch(&set, "BODY.PEEK[]", |_| Ok(Vec::new()), each).unwrap();
                    assert_eq!(octets, 320_000);
                    session.logout();
                }
                (Err(error), Err(words)) => assert_eq!(error.to_string(), words),
                (result, expected) => panic!("{:?} instead of {expected:?}", result.map(drop)),
            }
        }
    }
}

#[test]
fn an_authority_of_ones_own_is_trusted() {
    let server = vouched("localhost");
    check(&server, "localhost", &server.trusted(), Ok(()));
    let server = vouched("127.0.0.1");
    check(&server, "127.0.0.1", &server.trusted(), Ok(()));
}

#[test]
fn an_unknown_authority_is_not() {
    let (server, other) = (vouched("localhost"), vouched("localhost"));
    let words = "the server's certificate is not trusted: its issuer is not known";
    check(&server, "localhost", &other.trusted(), Err(words));
    check(&server, "127.0.0.1", &other.trusted(), Err(words));
}

#[test]
fn a_certificate_for_another_host_is_refused_without_naming_it() {
    let server = vouched("mail.example");
    check(
        &server,
        "localhost",
        &server.trusted(),
        Err("the server's certificate is not trusted: it is for another host"),
    );
}

#[test]
fn a_pin_accepts_one_certificate() {
    let (server, other) = (vouched("mail.example"), vouched("mail.example"));
    check(&server, "localhost", &server.pinned(), Ok(()));
    let words = "the server's certificate is not trusted: it is not the pinned one";
    check(&server, "localhost", &other.pinned(), Err(words));
    // A pin asks for nothing else: an authority that vouches does not help.
    check(&server, "localhost", &Trust { pin: Some(other.pin()), ..server.trusted() }, Err(words));
}

#[test]
fn the_keys_owner_must_show_up() {
    let (server, thief) = (vouched("localhost"), vouched("localhost"));
    // The pinned certificate is public; without its key it proves nothing.
    let shown = Vouched { certificate: server.certificate.clone(), ..vouched("localhost") };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(thief.key.clone()));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![shown.certificate], key));
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || drop(talk(&listener.accept().unwrap().0, Arc::new(config), Before::Nothing)));
    let error = connect(port, "localhost", Security::Tls, &server.pinned()).unwrap_err();
    assert!(matches!(error, ImapError::Certificate(_) | ImapError::Tls(_)), "{error:?}");
}

#[test]
fn what_came_before_the_handshake_ends_it() {
    let server = vouched("localhost");
    let port = serve(&server, &rustls::version::TLS13, Before::StartTlsAndMore);
    let error = connect(port, "localhost", Security::StartTls, &server.trusted()).unwrap_err();
    // Either it is there before the handshake, or it comes where the handshake should.
    assert!(matches!(error, ImapError::Tls(_)), "{error:?}");
}

#[test]
fn an_authority_that_is_none_is_told() {
    let server = vouched("localhost");
    for authorities in ["not PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let trust = Trust { authorities: authorities.into(), ..Trust::default() };
        let port = serve(&server, &rustls::version::TLS13, Before::Nothing);
        let error = connect(port, "localhost", Security::Tls, &trust).unwrap_err();
        assert!(matches!(error, ImapError::Certificate(_)), "{error:?}");
    }
}

#[test]
fn a_server_without_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.write_all(b"* OK ready, and without TLS\r\n");
        let _ = socket.read(&mut [0; 1000]);
    });
    let error = connect(port, "localhost", Security::Tls, &Trust::default()).unwrap_err();
    assert_eq!(error.to_string(), "TLS failed: the server does not speak TLS here, or wrongly");
}
