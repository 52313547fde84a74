//! Measures how long new mail lies in the clear under `watch`: from the end of its delivery by LMTP until its UID is gone, on a
//! Dovecot of its own.
//!
//! `watch_delay [MESSAGES]`. Prints median and worst.
#![expect(clippy::unwrap_used, reason = "a measurement run by hand")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wire::imap::{Access, MailboxName, UidSet};

mod setup;
use setup::{session, settings};

fn main() {
    let messages: u32 = std::env::args().nth(1).map_or(50, |text| text.parse().unwrap());
    let server = testbed::Dovecot::start(testbed::Format::Maildir);
    let home = std::env::temp_dir().join(format!("watch-delay-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let settings = settings(&home, server.imap());
    let stop = Arc::<AtomicBool>::default();
    let mut delays = thread::scope(|scope| {
        let watcher = scope.spawn(|| flow::watch(&settings, &mut (), &stop).unwrap());
        let mut session = session(server.imap());
        session.select(&MailboxName::from_utf8("INBOX"), Access::Read).unwrap();
        thread::sleep(Duration::from_secs(2));
        let delays: Vec<Duration> = (0..messages)
            .map(|number| {
                let before = session.status(&MailboxName::from_utf8("INBOX")).unwrap().uid_next.unwrap();
                deliver(server.lmtp(), number);
                let delivered = Instant::now();
                loop {
                    session.noop().unwrap();
                    let left: Vec<u32> = session.uid_search("ALL").unwrap().iter().collect();
                    // The copy has the next UID.
                    if !left.contains(&before) && left.iter().any(|uid| *uid > before) {
                        break delivered.elapsed();
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
        let mut all = UidSet::new();
        all.insert_range(1, u32::MAX);
        assert_eq!(session.uid_search("ALL").unwrap().len(), u64::from(messages));
        delays
    });
    delays.sort();
    let at = |part: usize| delays.get(delays.len() * part / 100).or(delays.last()).unwrap().as_millis();
    println!("{messages} messages: in the clear for {} ms (median), {} ms (worst)", at(50), at(100));
    std::fs::remove_dir_all(&home).unwrap();
}

/// RFC 2033.
fn deliver(server: SocketAddr, number: u32) {
    let mut stream = TcpStream::connect(server).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut hear = |code: &str| {
        let line = answers.by_ref().map(Result::unwrap).find(|line| line.as_bytes().get(3) == Some(&b' ')).unwrap();
        assert!(line.starts_with(code), "{line}");
    };
    hear("220");
    for (line, code) in
        [("LHLO localhost", "250"), ("MAIL FROM:<bob@example.net>", "250"), ("RCPT TO:<alice>", "250"), ("DATA", "354")]
    {
        write!(stream, "{line}\r\n").unwrap();
        hear(code);
    }
    let body = "A line of mail as people write them, more or less, 72 octets of it.\r\n".repeat(100);
    write!(stream, "Message-ID: <{number}@example.net>\r\nSubject: {number}\r\n\r\n{body}.\r\n").unwrap();
    hear("250");
}
