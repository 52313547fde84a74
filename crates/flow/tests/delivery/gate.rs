//! A delivery flow that runs in this process, and the home it has.

use std::fs;
use std::io::Cursor;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use flow::delivery::{Controls, Door, Hold, Listen, OnFailure, Policy, Settings, Sink, Socket, serve};
use flow::directory::{Directory, Source};
use seal::{Compression, Padding};
use sealed::signature::Trust;
use wire::milter::{self, Actions};
use wire::smtp::client::NextHop;
use wire::smtp::{Dialect, Place, server};

use crate::scene::Scene;

/// Whom the scene's key belongs to.
pub(crate) const ALICE: &str = "alice@example.test";
/// Nobody's.
pub(crate) const BOB: &str = "bob@example.test";
/// In every mail and nowhere else.
pub(crate) const CANARY: &str = "zimtschnecke";

/// What a test may choose.
pub(crate) struct Choice {
    pub(crate) dialect: Dialect,
    pub(crate) sink: Sink,
    pub(crate) source: Source,
    pub(crate) policy: Policy,
    pub(crate) hold: bool,
    pub(crate) max_message: u64,
    /// A milter instead of a server.
    pub(crate) milter: bool,
}

/// A flow that runs; it ends with this value.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) controls: Arc<Controls>,
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn choice(home: &Path, dialect: Dialect, sink: Sink) -> Choice {
    let certs = home.join("certs");
    fs::create_dir_all(&certs).unwrap();
    Choice {
        dialect,
        sink,
        source: Source::folder(certs),
        policy: Policy::default(),
        hold: true,
        max_message: 64 * 1024 * 1024,
        milter: false,
    }
}

pub(crate) fn hop(dialect: Dialect, address: SocketAddr) -> Sink {
    Sink::Hop(NextHop::new(Place::Tcp(address.to_string()), dialect, "gate.test".to_owned()))
}

/// The owner's public file, among the certificates.
pub(crate) fn enrol(scene: &Scene, address: &str) {
    fs::create_dir_all(scene.home.join("certs")).unwrap();
    fs::write(scene.home.join("certs").join(format!("{address}.enrolment")), certificate(scene)).unwrap();
}

pub(crate) fn certificate(scene: &Scene) -> Vec<u8> {
    scene.settings().enrolment.certificates[0].octets.clone()
}

impl Gate {
    pub(crate) fn open(scene: &Scene, choice: Choice) -> Gate {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut session = server::Settings::new(choice.dialect, "gate.test".to_owned());
        session.max_message = choice.max_message;
        session.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        let enrolment = Arc::new(scene.settings().enrolment);
        let listen = Listen { place: Place::Tcp(address.to_string()), socket: Some(Socket::Tcp(socket)) };
        let changes = Actions::ADD_HEADERS.with(Actions::CHANGE_HEADERS).with(Actions::REPLACE_BODY);
        let door = match choice.milter {
            false => Door::Mail { listen, session: Arc::new(session) },
            true => Door::Milter {
                listen,
                session: Arc::new(milter::Settings {
                    max_message: choice.max_message,
                    ..milter::Settings::new(changes)
                }),
            },
        };
        let settings = Settings {
            name: "delivery".to_owned(),
            door,
            sink: choice.sink,
            directory: Arc::new(Directory::new(choice.source)),
            policy: choice.policy,
            hold: choice.hold.then(|| Hold { enrolment, maildir: scene.home.join("held") }),
            sealer: scene.sealer(),
            trust: Trust::default(),
            compression: Compression::Auto,
            padding: Padding::Bucket,
            authserv_id: Some("mx.example.test".to_owned()),
            sessions: 200,
            temporary: scene.home.join("tmp"),
        };
        let controls = Arc::new(Controls::new(Arc::<AtomicBool>::default()));
        let notes = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&notes);
        let running = Arc::clone(&controls);
        let thread = std::thread::spawn(move || {
            let tell = Arc::new(move |note: &flow::delivery::Note<'_>| told.lock().unwrap().push(format!("{note:?}")));
            serve(settings, tell, &running).unwrap();
        });
        Gate { address, controls, notes, thread: Some(thread) }
    }

    pub(crate) fn outcome(&self, name: &str) -> u64 {
        let totals = self.controls.counts.totals();
        let all = totals.outcomes.iter().chain(&totals.troubles);
        all.clone().find(|(code, _)| code.as_str() == name).unwrap().1
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.controls.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the flow broke off");
    }
}

/// What the owner reads of a stored message; `None`: it is no sealed one.
pub(crate) fn open_sealed(scene: &Scene, stored: &[u8]) -> Option<Vec<u8>> {
    let opened = open::open(&mut &*stored, Cursor::new(Vec::new()), &scene.keyring(), &scene.trust()).ok()?;
    let mut original = Vec::new();
    opened.write(&mut original).unwrap();
    Some(original)
}

/// Every file below.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(self::files(&path)),
            kind if kind.is_file() => files.push(path),
            _ => {}
        }
    }
    files
}

/// Messages of a Maildir.
pub(crate) fn delivered(maildir: &Path) -> Vec<Vec<u8>> {
    files(&maildir.join("new")).iter().map(|file| fs::read(file).unwrap()).collect()
}

/// In no file below is anything of any mail to be read.
pub(crate) fn assert_nothing_readable(folder: &Path) {
    for file in files(folder) {
        let octets = fs::read(&file).unwrap_or_default();
        assert!(!octets.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "readable in {}", file.display());
    }
}

pub(crate) fn mail(number: usize) -> Vec<u8> {
    format!(
        "From: Eve <eve@example.com>\r\nTo: {ALICE}\r\nSubject: {CANARY} {number}\r\nMessage-ID: <{number}@example.com>\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nThe {CANARY} is under the mat, number {number}.\r\n.\r\n..\r\n"
    )
    .into_bytes()
}

pub(crate) fn policy(answer: OnFailure) -> Policy {
    Policy::new(answer, [])
}
