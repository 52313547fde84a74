//! Measures a verified sweep of an account against the bare cycle that verifies nothing (FETCH, APPEND, STORE, UID EXPUNGE, one message
//! after the other, one connection), in one run on one server with the same mail: a Dovecot of its own with a Maildir, or a server that is
//! there.
//!
//! `account_rate [MESSAGES [OCTETS [HOST:PORT]]]`. Prints the ratio. For user alice, password alice-pw, with an empty INBOX.
#![expect(clippy::unwrap_used, reason = "a measurement run by hand")]

use std::fs;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use wire::imap::{Access, Append, MailboxName, Session, UidSet};

mod setup;
use setup::{session, settings};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, or: usize| arguments.get(index).map_or(or, |text| text.parse().unwrap());
    let (messages, octets) = (number(0, 1_000), number(1, 8_192));
    let own = arguments.get(2).is_none().then(|| testbed::Dovecot::start(testbed::Format::Maildir));
    let server: SocketAddr = match (&own, arguments.get(2)) {
        (Some(own), _) => own.imap(),
        (None, given) => given.unwrap().parse().unwrap(),
    };
    let mut session = session(server);
    let bare = messages.min(1_000);
    let inbox = MailboxName::from_utf8("INBOX");
    let cycle = MailboxName::from_utf8("Cycle");
    let _ = session.create(&cycle);
    fill(&mut session, &cycle, bare, octets);
    let naive = naive(&mut session, &cycle, bare);
    session.unselect().unwrap();
    session.delete(&cycle).unwrap();
    fill(&mut session, &inbox, messages, octets);
    session.logout();

    let home = std::env::temp_dir().join(format!("account-rate-{}", std::process::id()));
    fs::create_dir_all(&home).unwrap();
    let settings = settings(&home, server);
    let began = Instant::now();
    let swept = flow::sweep(&settings, &mut (), &Arc::default()).unwrap();
    let rate = swept.sealed.messages as f64 / began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    fs::remove_dir_all(&home).unwrap();
    println!(
        "{} of {messages} messages of {octets} octets sealed and verified: {rate:.0} a second; bare cycle, unverified: {naive:.0}; ratio {:.2}; {memory}",
        swept.sealed.messages,
        rate / naive
    );
}

fn mail(number: usize, octets: usize) -> Vec<u8> {
    let line = "A line of mail as people write them, more or less, 72 octets of it.\r\n";
    let mut mail = format!(
        "From: bob@example.net\r\nTo: alice@example.org\r\nSubject: Mail {number}\r\n\
         Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{number}@example.net>\r\n\r\n"
    );
    while mail.len() < octets {
        mail.push_str(line);
    }
    mail.into_bytes()
}

fn fill(session: &mut Session, name: &MailboxName, messages: usize, octets: usize) {
    for from in (0..messages).step_by(500) {
        let mails: Vec<Vec<u8>> = (from..messages.min(from + 500)).map(|number| mail(number, octets)).collect();
        let mut readers: Vec<Cursor<&Vec<u8>>> = mails.iter().map(Cursor::new).collect();
        let mut appends: Vec<Append<'_>> = readers
            .iter_mut()
            .map(|octets| Append {
                flags: vec!["\\Seen".to_owned()],
                internal_date: None,
                length: octets.get_ref().len() as u64,
                octets,
            })
            .collect();
        // One by one a large Maildir slows down with every message.
        assert!(session.append_together(name, &mut appends).is_ok());
    }
}

/// Messages a second.
fn naive(session: &mut Session, name: &MailboxName, messages: usize) -> f64 {
    session.select(name, Access::Write).unwrap();
    let mut all = UidSet::new();
    all.insert_range(1, u32::MAX);
    let uids: Vec<u32> = session.uid_search("ALL").unwrap().iter().collect();
    let began = Instant::now();
    for uid in &uids {
        let one: UidSet = std::iter::once(*uid).collect();
        let (mut body, mut date) = (Vec::new(), None);
        session
            .uid_fetch(
                &one,
                "UID FLAGS INTERNALDATE BODY.PEEK[]",
                |_| Ok(Vec::new()),
                |fetched| {
                    if let Some(octets) = fetched.body {
                        (body, date) = (octets.unwrap(), fetched.internal_date);
                    }
                },
            )
            .unwrap();
        let length = body.len() as u64;
        let flags = vec!["\\Seen".to_owned()];
        let mut octets = Cursor::new(body);
        let mut message = [Append { flags, internal_date: date, length, octets: &mut octets }];
        session.append(name, &mut message).unwrap().remove(0).unwrap();
        session.uid_store(&one, None, "+FLAGS.SILENT", &["\\Deleted".to_owned()], |_| {}).unwrap();
        session.uid_expunge(&one).unwrap();
    }
    assert_eq!(uids.len(), messages);
    messages as f64 / began.elapsed().as_secs_f64()
}
