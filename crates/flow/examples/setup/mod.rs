//! Keys, and an account on a test server, for measurements.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flow::{Imap, Route, Sink};
use open::{Algorithm, SecretKey};
use seal::{Compression, Enrolment, Padding};
use sealed::signature::{SealerKey, Trust};
use wire::imap::{Credentials, Endpoint, Security, Session, Timeouts};

fn credentials() -> Credentials {
    Credentials::Password { user: "alice".to_owned(), password: "alice-pw".to_owned().into() }
}

fn endpoint(server: SocketAddr) -> Endpoint {
    Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain }
}

pub(crate) fn session(server: SocketAddr) -> Session {
    let trust = wire::imap::Trust::default();
    Session::connect(&endpoint(server), &trust, &credentials(), &Timeouts::default(), Arc::default()).unwrap()
}

pub(crate) fn settings(home: &std::path::Path, server: SocketAddr) -> flow::Settings {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let keys = [0; 2].map(|_| SecretKey::generate("alice@example.org", Algorithm::V4Curve25519).unwrap());
    let certificates = keys.map(|key| key.certificate_armored().unwrap()).concat();
    let account = store::imap::Account {
        endpoint: endpoint(server),
        trust: wire::imap::Trust::default(),
        compress: store::imap::Compress::Never,
        timeouts: Timeouts::default(),
        credentials: Box::new(|| Ok(credentials())),
    };
    let backup = flow::Backup { directory: home.join("backup"), keep: Duration::from_secs(3600) };
    flow::Settings {
        name: "rate".to_owned(),
        route: Route::Imap(Imap {
            name: "rate".to_owned(),
            account,
            sink: Sink::InPlace,
            backup: Some(backup),
            most_losses: 1,
        }),
        mailboxes: Vec::new(),
        grace: Duration::ZERO,
        since: None,
        max_size: None,
        enrolment: Enrolment::parse(certificates.as_bytes(), now).unwrap(),
        sealer: SealerKey::generate(),
        trust: Trust::default(),
        dedup: [1; 32],
        compression: Compression::Auto,
        padding: Padding::Bucket,
        state: home.join("state.db"),
        temporary: home.to_path_buf(),
    }
}
