//! A forward flow that runs in this process, and its owner's eyes.

use std::io::Cursor;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow::delivery::{Listen, Socket};
use flow::forward::checks::Checks;
use flow::forward::verdict::Strictness;
use flow::forward::{Controls, Own, Rates, Recipients, Schedule, Settings, Sink, Spool, serve};
use seal::{Compression, Padding};
use sealed::signature::{SealerKey, Trust};
use testbed::{Language, submit};
use wire::imap::{Access, Credentials, Endpoint, Fetched, MailboxName, Security, Session, Timeouts, UidSet};
use wire::smtp::client::NextHop;
use wire::smtp::{Dialect, Place, server};

use crate::scene::Scene;

/// Whom mail is forwarded for.
pub(crate) const ME: &str = "me@my.example";
/// In every mail and nowhere else.
pub(crate) const CANARY: &str = "zimtschnecke";

/// What a test may choose.
pub(crate) struct Choice {
    pub(crate) sink: Sink,
    pub(crate) spool: Spool,
    pub(crate) rates: Rates,
    pub(crate) schedule: Schedule,
    pub(crate) checks: Option<(Checks, Strictness)>,
    pub(crate) own: Option<Own>,
    /// Who seals; none: the scene's.
    pub(crate) sealer: Option<SealerKey>,
    /// Whether 127.0.0.1 is believed, and not counted.
    pub(crate) trusts: bool,
}

/// A flow that runs; it ends with this value.
pub(crate) struct Station {
    pub(crate) address: SocketAddr,
    pub(crate) controls: Arc<Controls>,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn choice(scene: &Scene, sink: Sink) -> Choice {
    Choice {
        sink,
        spool: Spool::sqlite(scene.home.join("state/spool.db"), "forward"),
        rates: Rates::default(),
        schedule: Schedule::new(vec![Duration::from_millis(200)], None).with_grace(Duration::from_millis(500)),
        checks: None,
        own: None,
        sealer: None,
        trusts: true,
    }
}

pub(crate) fn account(server: SocketAddr, user: &str, password: &str) -> Sink {
    let endpoint = Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain };
    let (user, password) = (user.to_owned(), password.to_owned());
    let account = store::imap::Account {
        endpoint,
        trust: wire::Trust::default(),
        compress: store::imap::Compress::Never,
        timeouts: Timeouts { response: Duration::from_secs(5), ..Timeouts::default() },
        credentials: Box::new(move || {
            Ok(Credentials::Password { user: user.clone(), password: password.clone().into() })
        }),
    };
    Sink::Account { account, mailbox: "INBOX".to_owned() }
}

pub(crate) fn hop(address: SocketAddr, to: Option<&str>) -> Sink {
    let mut hop = NextHop::new(Place::Tcp(address.to_string()), Dialect::Smtp, "gw.my.example".to_owned());
    hop.connect_time = Duration::from_secs(2);
    Sink::Hop { hop, to: to.map(str::to_owned) }
}

impl Station {
    pub(crate) fn open(scene: &Scene, choice: Choice) -> Station {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let settings = settings(scene, choice, address, Some(socket));
        let controls = Arc::new(Controls::new(Arc::<AtomicBool>::default()));
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (running, hears) = (Arc::clone(&controls), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            let tell = Arc::new(move |told: &flow::forward::Told<'_>| hears.lock().unwrap().push(format!("{told:?}")));
            serve(settings, tell, &running).unwrap();
        });
        until("it listens", || controls.health.ill().is_none());
        Station { address, controls, told, thread: Some(thread) }
    }

    /// Takes others instead, as at SIGHUP.
    pub(crate) fn reload(&self, scene: &Scene, choice: Choice) {
        self.controls.reload(settings(scene, choice, self.address, None));
    }

    /// What the sender is told.
    pub(crate) fn send(&self, octets: &[u8]) -> String {
        submit(Language::Smtp, self.address, "eve@example.com", &[ME], octets).unwrap().remove(0)
    }

    pub(crate) fn count(&self, event: &str) -> u64 {
        self.controls.counts.totals().events.iter().find(|(code, _)| code.as_str() == event).unwrap().1
    }
}

fn settings(scene: &Scene, choice: Choice, address: SocketAddr, socket: Option<TcpListener>) -> Settings {
    let mut session = server::Settings::new(Dialect::Smtp, "gw.my.example".to_owned());
    session.max_message = 64 * 1024 * 1024;
    if choice.trusts {
        session.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    }
    Settings {
        name: "forward".to_owned(),
        listen: Listen { place: Place::Tcp(address.to_string()), socket: socket.map(Socket::Tcp) },
        session,
        recipients: Recipients::new([ME.to_owned(), "@example.test".to_owned()]),
        rates: choice.rates,
        enrolment: scene.settings().enrolment,
        sealer: choice.sealer.unwrap_or_else(|| scene.sealer()),
        trust: Trust::default(),
        dedup: [3; 32],
        compression: Compression::Auto,
        padding: Padding::Bucket,
        authserv_id: None,
        checks: choice.checks,
        own: choice.own,
        sink: choice.sink,
        spool: choice.spool,
        schedule: choice.schedule,
        lock: None,
        sessions: 200,
        temporary: scene.home.join("tmp"),
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.controls.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the flow broke off");
    }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not in a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn mail(number: usize) -> Vec<u8> {
    format!(
        "From: Eve <eve@example.com>\r\nTo: {ME}\r\nSubject: {CANARY} {number}\r\nMessage-ID: <{number}@example.com>\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nThe {CANARY} is under the mat, number {number}.\r\n.\r\n..\r\n"
    )
    .into_bytes()
}

/// What `queue list` shows.
pub(crate) fn listed(scene: &Scene) -> Vec<flow::forward::Item> {
    let spool = Spool::sqlite(scene.home.join("state/spool.db"), "forward");
    tokio::runtime::Runtime::new().unwrap().block_on(spool.list(1000)).unwrap()
}

/// Removes one of them.
pub(crate) fn discard(scene: &Scene, id: sealed::identity::MessageId) -> bool {
    let spool = Spool::sqlite(scene.home.join("state/spool.db"), "forward");
    tokio::runtime::Runtime::new().unwrap().block_on(spool.discard(id)).unwrap()
}

/// Has one of them tried again.
pub(crate) fn retry(scene: &Scene, which: flow::forward::Which) -> u64 {
    let spool = Spool::sqlite(scene.home.join("state/spool.db"), "forward");
    tokio::runtime::Runtime::new().unwrap().block_on(spool.retry(which)).unwrap()
}

/// What the owner reads of a stored message; `None`: it is no sealed one.
pub(crate) fn open_sealed(scene: &Scene, stored: &[u8]) -> Option<Vec<u8>> {
    let opened = open::open(&mut &*stored, Cursor::new(Vec::new()), &scene.keyring(), &scene.trust()).ok()?;
    let mut original = Vec::new();
    opened.write(&mut original).unwrap();
    Some(original)
}

/// What was sent, and nothing else, each once.
pub(crate) fn assert_once(scene: &Scene, stored: &[Vec<u8>], mut sent: Vec<Vec<u8>>) {
    let mut opened: Vec<Vec<u8>> = stored.iter().map(|one| open_sealed(scene, one).expect("it opens")).collect();
    opened.sort();
    sent.sort();
    assert_eq!(opened.len(), sent.len(), "as many as were sent");
    assert!(opened == sent, "octet by octet");
}

/// Everything in an INBOX, with its INTERNALDATE.
pub(crate) fn inbox(server: SocketAddr, user: &str) -> Vec<(Vec<u8>, String)> {
    let endpoint = Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain };
    let credentials = Credentials::Password { user: user.to_owned(), password: format!("{user}-pw").into() };
    let connected =
        Session::connect(&endpoint, &wire::Trust::default(), &credentials, &Timeouts::default(), Arc::default());
    let mut session = connected.unwrap();
    let mut messages = Vec::new();
    if session.select(&MailboxName::from_utf8("INBOX"), Access::Read).unwrap().exists > 0 {
        let mut all = UidSet::new();
        all.insert_range(1, u32::MAX);
        let each = |fetched: Fetched<Vec<u8>>| {
            messages.push((fetched.body.unwrap().unwrap(), fetched.internal_date.unwrap()));
        };
        session.uid_fetch(&all, "UID INTERNALDATE BODY.PEEK[]", |_| Ok(Vec::new()), each).unwrap();
    }
    session.logout();
    messages
}

pub(crate) fn octets(messages: Vec<(Vec<u8>, String)>) -> Vec<Vec<u8>> {
    messages.into_iter().map(|(octets, _)| octets).collect()
}

/// In no file below is anything of any mail to be read.
pub(crate) fn assert_nothing_readable(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_nothing_readable(&path);
            continue;
        }
        let octets = std::fs::read(&path).unwrap_or_default();
        let canary = CANARY.as_bytes();
        assert!(!octets.windows(canary.len()).any(|part| part == canary), "readable in {}", path.display());
    }
}
