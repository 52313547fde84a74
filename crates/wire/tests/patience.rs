//! Waiting: time, the stop flag, two sides that both write, servers without shame.
//!
//! In: servers that are silent, slow, deaf or endless. Out: an end, and the right one. Never: a wait longer than it was
//! allowed to be (the test would hang).

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "tests fail loudly"))]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wire::imap::{
    Append, Credentials, Endpoint, ImapError, Leave, MailboxName, Moment, News, Security, Session, StoreOrder,
    Timeouts, Trust,
};
use zeroize::Zeroizing;

const READY: &str = "* PREAUTH [CAPABILITY IMAP4rev1 IDLE LITERAL+ CONDSTORE] ready\r\n";

fn serve(talk: impl FnOnce(TcpStream) + Send + 'static) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || talk(listener.accept().unwrap().0));
    Endpoint { host: "127.0.0.1".to_owned(), port, security: Security::Plain }
}

fn connect(endpoint: &Endpoint, patience: Duration, stop: &Arc<AtomicBool>) -> Result<Session, ImapError> {
    let credentials = Credentials::Password { user: "alice".to_owned(), password: Zeroizing::new("secret".to_owned()) };
    let timeouts = Timeouts { connect: patience, response: patience };
    Session::connect(endpoint, &Trust::default(), &credentials, &timeouts, Arc::clone(stop))
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(500);

/// Says it is ready, and nothing more for as long as the client listens.
fn silent(mut socket: TcpStream) {
    let _ = socket.write_all(READY.as_bytes());
    let _ = socket.read_to_end(&mut Vec::new());
}

fn stop_soon() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    thread::spawn(move || {
        thread::sleep(SHORT);
        flag.store(true, Ordering::Relaxed);
    });
    stop
}

#[test]
fn silence_has_an_end() {
    let mut session = connect(&serve(silent), SHORT, &Arc::default()).unwrap();
    let error = session.noop().unwrap_err();
    assert!(matches!(error, ImapError::TimedOut) && error.is_lost(), "{error:?}");
    assert!(matches!(session.noop(), Err(ImapError::Closed)));
    session.logout();
}

#[test]
fn silence_at_the_door_has_an_end() {
    let endpoint = serve(|mut socket| drop(socket.read_to_end(&mut Vec::new())));
    assert!(matches!(connect(&endpoint, SHORT, &Arc::default()), Err(ImapError::TimedOut)));
}

#[test]
fn stop_is_seen_while_waiting() {
    let stop = stop_soon();
    let mut session = connect(&serve(silent), LONG, &stop).unwrap();
    assert!(matches!(session.noop(), Err(ImapError::Stopped)));

    let endpoint = serve(|mut socket| drop(socket.read_to_end(&mut Vec::new())));
    assert!(matches!(connect(&endpoint, LONG, &stop_soon()), Err(ImapError::Stopped)));
}

#[test]
fn stop_ends_idle_with_done() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut socket| {
        socket.write_all(READY.as_bytes()).unwrap();
        let mut line = [0; 9];
        socket.read_exact(&mut line).unwrap();
        socket.write_all(b"+ idling\r\n").unwrap();
        let mut done = [0; 6];
        socket.read_exact(&mut done).unwrap();
        socket.write_all(b"A1 OK done\r\n").unwrap();
        let mut rest = String::new();
        let _ = socket.read_to_string(&mut rest);
        let _ = sender.send((done, rest));
    });
    let mut session = connect(&endpoint, LONG, &stop_soon()).unwrap();
    assert_eq!(session.idle(LONG).unwrap(), News::Stopped);
    // The flag is still up: good-bye is said nevertheless, and the answer waited for, for a moment.
    session.logout();
    let (done, rest) = receiver.recv().unwrap();
    assert_eq!((&done, rest.as_str()), (b"DONE\r\n", "A2 LOGOUT\r\n"));
}

#[test]
fn stop_is_seen_while_writing() {
    let endpoint = serve(|mut socket| {
        socket.write_all(READY.as_bytes()).unwrap();
        // Deaf: nothing is read as long as the client is there.
        thread::sleep(Duration::from_secs(5));
    });
    let mut session = connect(&endpoint, LONG, &stop_soon()).unwrap();
    let mut octets = io::repeat(b'x');
    let message = Append { flags: Vec::new(), internal_date: None, length: 1 << 30, octets: &mut octets };
    let lost = session.append(&MailboxName::from_utf8("INBOX"), &mut [message]).unwrap_err();
    assert!(matches!(lost.error, ImapError::Stopped), "{:?}", lost.error);
    assert!(matches!(lost.done.as_slice(), [Some(Err(ImapError::NotSent))]));
}

#[test]
fn a_deaf_server_has_an_end() {
    let endpoint = serve(|mut socket| {
        socket.write_all(READY.as_bytes()).unwrap();
        thread::sleep(Duration::from_secs(5));
    });
    let mut session = connect(&endpoint, SHORT, &Arc::default()).unwrap();
    let mut octets = io::repeat(b'x');
    let message = Append { flags: Vec::new(), internal_date: None, length: 1 << 30, octets: &mut octets };
    let lost = session.append(&MailboxName::from_utf8("INBOX"), &mut [message]).unwrap_err();
    assert!(matches!(lost.error, ImapError::TimedOut), "{:?}", lost.error);
}

#[test]
fn without_leave_the_last_octet_is_not_sent() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut socket| {
        socket.write_all(READY.as_bytes()).unwrap();
        let mut octets = vec![0; "A1 APPEND \"INBOX\" () {5+}\r\nfirst\r\n".len()];
        socket.read_exact(&mut octets).unwrap();
        socket.write_all(b"A1 OK [APPENDUID 1 7] done\r\n").unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        sender.send(String::from_utf8([octets, rest].concat()).unwrap()).unwrap();
    });
    let mut session = connect(&endpoint, LONG, &Arc::default()).unwrap();
    let mut texts = ["first", "second", "third"].map(|text| io::Cursor::new(text.as_bytes()));
    let each = texts.iter_mut().map(|octets| {
        let length = octets.get_ref().len() as u64;
        Append { flags: Vec::new(), internal_date: None, length, octets }
    });
    let mut messages: Vec<Append<'_>> = each.collect();
    let mut asked = Vec::new();
    let mut ask = |number, moment| {
        asked.push((number, moment));
        if (number, moment) == (1, Moment::End) { Leave::Withdrawn } else { Leave::Granted }
    };
    let name = MailboxName::from_utf8("INBOX");
    let lost = session.append_with_leave(&name, &mut messages, Some(&mut ask)).unwrap_err();
    assert!(matches!(lost.error, ImapError::Withdrawn), "{:?}", lost.error);
    assert!(
        matches!(lost.done.as_slice(), [Some(Ok(Some(uid))), Some(Err(ImapError::NotSent)), Some(Err(ImapError::NotSent))] if uid.uid == 7),
        "{:?}",
        lost.done
    );
    assert_eq!(asked, [(0, Moment::Begin), (0, Moment::End), (1, Moment::Begin), (1, Moment::End)]);
    let sent = receiver.recv().unwrap();
    assert!(sent.ends_with("first\r\nA2 APPEND \"INBOX\" () {6+}\r\nsecon"), "{sent}");
}

#[test]
fn two_sides_that_write_do_not_wait_for_each_other() {
    const TOLD: usize = 60_000;
    let endpoint = serve(|mut socket| {
        socket.write_all(READY.as_bytes()).unwrap();
        // All of this before the first octet is read: more than any socket holds, less than is read aside.
        let news =
            b"* OK [ALERT] this server likes to talk, and does not listen while it does so, which takes a while\r\n";
        socket.write_all(&news.repeat(TOLD)).unwrap();
        let mut octets = vec![0; 30 << 20];
        socket.read_exact(&mut octets).unwrap();
        socket.write_all(b"A1 OK [APPENDUID 1 2] done\r\n").unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let mut session = connect(&endpoint, LONG, &Arc::default()).unwrap();
    let head = "A1 APPEND \"INBOX\" () {31457240+}\r\n".len() + 2;
    let length = (30 << 20) - head as u64;
    assert_eq!(length.to_string().len(), "31457240".len());
    let mut octets = io::repeat(b'x');
    let message = Append { flags: Vec::new(), internal_date: None, length, octets: &mut octets };
    let done = session.append(&MailboxName::from_utf8("INBOX"), &mut [message]).unwrap();
    assert_eq!(done.into_iter().next().unwrap().unwrap().unwrap().uid, 2);
}

#[test]
fn many_orders_and_long_sets_are_parted() {
    // A server that answers every line with OK, and counts what is in flight at most.
    let (sender, receiver) = std::sync::mpsc::channel();
    let endpoint = serve(move |mut socket| {
        socket.set_nodelay(true).unwrap();
        socket.write_all(READY.as_bytes()).unwrap();
        let (mut buffer, mut held) = (vec![0; 1 << 20], Vec::new());
        let mut longest = 0;
        while let Ok(read) = socket.read(&mut buffer) {
            if read == 0 {
                break;
            }
            held.extend_from_slice(&buffer[..read]);
            while let Some(end) = held.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                longest = longest.max(line.len());
                let line = String::from_utf8(line).unwrap();
                let _ = write!(socket, "{} OK done\r\n", line.split(' ').next().unwrap());
            }
        }
        let _ = sender.send(longest);
    });
    let mut session = connect(&endpoint, LONG, &Arc::default()).unwrap();
    let long: wire::UidSet = (1..40_000).step_by(2).collect();
    let order = |set: &wire::UidSet| StoreOrder {
        set: set.clone(),
        unchanged_since: None,
        item: "+FLAGS.SILENT".to_owned(),
        flags: vec!["\\Seen".to_owned()],
    };
    let mut orders = vec![order(&long); 3];
    orders.resize(5000, order(&[7].into_iter().collect()));
    let results = session.uid_stores(&orders, |_| {}).unwrap();
    assert!(results.len() == 5000 && results.iter().all(Result::is_ok));
    session.uid_fetch::<Vec<u8>>(&long, "UID", |_| Ok(Vec::new()), |_| {}).unwrap();
    drop(session);
    let longest = receiver.recv().unwrap();
    assert!((8000..8300).contains(&longest), "{longest}");
}

#[test]
fn a_plain_connection_to_another_machine_is_refused() {
    // 192.0.2.0/24 is nobody's (RFC 5737); nothing is sent there.
    let endpoint = Endpoint { host: "192.0.2.1".to_owned(), port: 143, security: Security::Plain };
    assert!(matches!(connect(&endpoint, SHORT, &Arc::default()), Err(ImapError::Plaintext)));
}

#[test]
fn a_closed_door_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, security: Security::Plain };
    assert!(matches!(connect(&endpoint, LONG, &Arc::default()), Err(ImapError::Connect(_))));
}

#[test]
fn endless_answers_have_an_end() {
    let nested: &str = Box::leak(format!("* X {}\r\n", "(".repeat(300)).into_boxed_str());
    for (text, limit) in [
        ("x", "octets of a response"),
        ("* LIST () NIL x\r\n", "mailboxes of an account"),
        (nested, "nested lists"),
        ("* LIST () NIL {9000000}\r\n", "octets of a literal"),
        ("* LIST () NIL {99999999999999999999999}\r\n", ""),
        ("* LIST (a {-1}\r\n", ""),
        ("* 1 FETCH (BODY[] {4294967297}\r\n", "octets of a message"),
        ("* 1 FETCH (X {8000000}\r\n", "octets of a literal"),
        ("a a a a a a a {1}\r\n", "items of a list"),
        ("* CAPABILITY", "octets of a response"),
        ("* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\r\n", "messages found"),
    ] {
        let endless = serve(move |mut socket| {
            let head = if text.starts_with('a') { "* X (" } else { "" };
            let _ = write!(socket, "{READY}{head}");
            let octets = text.repeat((1 << 18) / text.len() + 1);
            // The client ends it.
            while socket.write_all(octets.as_bytes()).is_ok() {}
        });
        let mut session = connect(&endless, LONG, &Arc::default()).unwrap();
        let error = if text.contains("SEARCH") {
            session.uid_search("ALL").unwrap_err()
        } else {
            session.list("", "*").unwrap_err()
        };
        let wanted = match &error {
            ImapError::Limit(what) => *what == limit,
            ImapError::Protocol(_) => limit.is_empty(),
            _ => false,
        };
        assert!(wanted && error.is_lost(), "{text:?}: {error:?}");
    }
}

#[test]
fn too_many_capabilities_are_refused() {
    let endpoint = serve(|mut socket| {
        let _ = write!(socket, "* OK [CAPABILITY{}] ready\r\n", " X".repeat(1001));
        let _ = socket.read_to_end(&mut Vec::new());
    });
    assert!(matches!(connect(&endpoint, LONG, &Arc::default()), Err(ImapError::Limit("capabilities of a server"))));
}

#[test]
fn challenges_have_an_end() {
    for (challenge, limit) in [("+ \r\n".to_owned(), "rounds"), (format!("+ {}\r\n", "A".repeat(20_000)), "challenge")]
    {
        let endpoint = serve(move |mut socket| {
            let _ = socket.write_all(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n");
            let _ = socket.write_all(challenge.repeat(20).as_bytes());
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let error = connect(&endpoint, LONG, &Arc::default()).unwrap_err();
        assert!(matches!(error, ImapError::Limit(what) if what.contains(limit)), "{error:?}");
    }
}
