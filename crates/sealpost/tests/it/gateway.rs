//! A gateway or forwarder, what is typed and sent to it, and what lies around it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use wire::imap::{Access, Credentials, Endpoint, Fetched, MailboxName, Security, Session, Timeouts, Trust, UidSet};

use crate::program::{CANARY, Stage};

pub const ALICE: &str = "alice@example.org";
/// As far as a test looks into the future.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An owner's home `home`, a gateway's home `gate` that the owner trusts, and the owner's public file.
pub fn stage() -> Stage {
    let stage = Stage::with_owner();
    add_gateway(&stage, "gate");
    let enrolment = stage.good("key enrolment", b"");
    stage.write("alice.enrolment", enrolment);
    stage
}

/// A gateway's home that the owner trusts.
pub fn add_gateway(stage: &Stage, home: &str) {
    stage.good(&format!("--home {home} init --sealer"), b"");
    let sealer = stage.good(&format!("--home {home} key export --sealer"), b"");
    stage.write(&format!("{home}.sealer"), sealer);
    stage.good(&format!("key trust-sealer {home}.sealer"), b"");
}

pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn configure(stage: &Stage, home: &str, listen: SocketAddr, seal: &str, sink: &str, more: &str) {
    stage.write(
        &format!("{home}/config.toml"),
        format!("[flow.delivery]\nsource = {{ lmtp = \"{listen}\" }}\nseal = {{ {seal} }}\nsink = {sink}\n{more}\n"),
    );
}

/// The program as a service; it has begun to listen.
pub fn run(stage: &Stage, home: &str, listen: SocketAddr) -> Child {
    let child = stage.command(&format!("--home {home} run")).stdin(Stdio::null()).spawn().unwrap();
    until("it listens", || TcpStream::connect(listen).is_ok());
    child
}

pub fn ask(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Ends it in order; what it said.
pub fn end(child: Child) -> String {
    ask(&child, Signal::TERM);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    said
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

/// With all the fields that a mail server would add.
pub fn mail(number: usize) -> Vec<u8> {
    let canary = String::from_utf8_lossy(CANARY).into_owned();
    format!(
        "From: eve@example.com\r\nTo: {ALICE}\r\nSubject: {canary} {number}\r\nMessage-ID: <{number}@example.com>\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nnumber {number}: {canary}\r\n"
    )
    .into_bytes()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Everything in alice's INBOX.
pub fn inbox(server: SocketAddr) -> Vec<Vec<u8>> {
    let endpoint = Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain };
    let credentials = Credentials::Password { user: "alice".to_owned(), password: "alice-pw".to_owned().into() };
    let patience = Timeouts { connect: PATIENCE, response: PATIENCE * 5 };
    let mut session = Session::connect(&endpoint, &Trust::default(), &credentials, &patience, Arc::default()).unwrap();
    let mut messages = Vec::new();
    if session.select(&MailboxName::from_utf8("INBOX"), Access::Read).unwrap().exists > 0 {
        let mut all = UidSet::new();
        all.insert_range(1, u32::MAX);
        let each = |fetched: Fetched<Vec<u8>>| messages.extend(fetched.body.map(Result::unwrap));
        session.uid_fetch(&all, "UID BODY.PEEK[]", |_| Ok(Vec::new()), each).unwrap();
    }
    session.logout();
    messages
}
