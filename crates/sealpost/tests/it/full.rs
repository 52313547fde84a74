//! A forwarder whose disk is full: what waits goes out by itself, and nothing is taken that cannot be kept.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
};

use testbed::{Dovecot, Format, Language, submit};

use crate::{
    faults::fill,
    forward::{ME, assert_once, configure, kill, mail, stage, waiting},
    gateway::{end, free, get, inbox, until},
    program::{Stage, on_small_disk},
};

/// Where the child of [`a_queue_on_a_full_disk_drains_by_itself`] finds a small file system.
const SMALL: &str = "SEALPOST_TEST_SMALL_HOME";

#[test]
fn a_queue_on_a_full_disk_drains_by_itself() {
    if !testbed::servers() {
        return;
    }
    if !on_small_disk("full::child", SMALL, "144m") {
        println!("SKIPPED: no mount namespaces here");
    }
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    if let Some(small) = std::env::var_os(SMALL) {
        on_a_small_disk(Path::new(&small));
    }
}

/// All that it writes lies there, temporary files too.
fn run(stage: &Stage, small: &Path, listen: SocketAddr) -> Child {
    let mut command = stage.command(&format!("--home {}/gate run", small.display()));
    let child = command.env("TMPDIR", small).stdin(Stdio::null()).spawn().unwrap();
    until("it listens", || std::net::TcpStream::connect(listen).is_ok());
    child
}

fn on_a_small_disk(small: &Path) {
    let home = format!("{}/gate", small.display());
    let stage = stage(&["gate", &home]);
    let (listen, metrics) = (free(), free());
    let mut store = Dovecot::start(Format::Maildir);
    configure(&stage, &home, listen, store.imap(), "", &format!("[metrics]\nlisten = \"{metrics}\""));
    store.stop();
    let forwarder = run(&stage, small, listen);
    let send = |octets: &[u8]| submit(Language::Smtp, listen, "eve@example.com", &[ME], octets).unwrap().remove(0);
    // What cannot be made smaller, until no more is taken: that is before the disk is full.
    let mut sent = Vec::new();
    let refused = loop {
        let one = [mail(sent.len()), noise(sent.len())].concat();
        let said = send(&one);
        if !said.starts_with("250") {
            break said;
        }
        sent.push(one);
        assert!(sent.len() < 200, "it takes more than there is room for");
    };
    assert!(refused.starts_with("452 4.3.1") && sent.len() > 20, "{} were taken: {refused}", sent.len());
    // Somebody else takes what is left.
    fill(&small.join("filler"));
    assert!(send(&mail(1000)).starts_with("452 4.3.1"));
    until("it is said", || get(metrics, "/healthz").contains("the disk of the queue is full"));
    let status = stage.json(&format!("--home {home} status forward --json"), b"");
    assert_eq!(status["forward"]["obstacle"]["reason"], "no-room", "{status}");
    assert_eq!(waiting(&stage, &home), sent.len());
    // Also after it was killed, when nothing is open any more.
    kill(forwarder);
    let forwarder = run(&stage, small, listen);
    store.restart();
    until("the queue is empty", || waiting(&stage, &home) == 0);
    assert_once(&stage, &inbox(store.imap()), &sent);
    // The file of the queue has given its room back.
    until("mail is taken again", || send(&mail(1001)).starts_with("250"));
    until("it is there", || inbox(store.imap()).len() == sent.len() + 1);
    until("all is well", || get(metrics, "/healthz").contains("well"));
    assert!(small.join("filler").metadata().unwrap().len() > 0);
    println!("{} messages were taken before the disk was full", sent.len());
    end(forwarder);
    fs::remove_file(small.join("filler")).unwrap();
}

/// A megabyte that no compression makes much smaller.
fn noise(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b' ' + 1 + (state >> 33) as u8 % 90
    };
    let mut line = || (0..76).map(|_| letter()).chain(*b"\r\n").collect::<Vec<u8>>();
    (0..13_000).flat_map(|_| line()).collect()
}
