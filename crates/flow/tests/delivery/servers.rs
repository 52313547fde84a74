//! From one real server to another.

use std::time::{Duration, Instant};

use testbed::{Cyrus, Dovecot, Format, Language, Postfix, submit};
use wire::imap::{Access, Credentials, Endpoint, MailboxName, Security, Session, Timeouts, Trust, UidSet};
use wire::smtp::Dialect;

use crate::gate::{ALICE, BOB, Gate, assert_nothing_readable, choice, enrol, hop, mail, open_sealed};
use crate::scene::Scene;

/// Everything in an INBOX.
pub(crate) fn inbox(server: std::net::SocketAddr, user: &str) -> Vec<Vec<u8>> {
    let endpoint = Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain };
    let password = format!("{user}-pw").into();
    let credentials = Credentials::Password { user: user.to_owned(), password };
    let connected =
        Session::connect(&endpoint, &Trust::default(), &credentials, &Timeouts::default(), std::sync::Arc::default());
    let mut session = connected.unwrap();
    let mut messages = Vec::new();
    if session.select(&MailboxName::from_utf8("INBOX"), Access::Read).unwrap().exists > 0 {
        let mut all = UidSet::new();
        all.insert_range(1, u32::MAX);
        let each = |fetched: wire::imap::Fetched<Vec<u8>>| messages.push(fetched.body.unwrap().unwrap());
        session.uid_fetch(&all, "UID BODY.PEEK[]", |_| Ok(Vec::new()), each).unwrap();
    }
    session.logout();
    messages
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}: not in a minute and a half");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn postfix_to_dovecot_for_who_has_a_key_and_later_for_who_gets_one() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::start(Format::Maildir);
    let choice = choice(home.path(), Dialect::Lmtp, hop(Dialect::Lmtp, store.lmtp()));
    enrol(&scene, ALICE);
    let gate = Gate::open(&scene, choice);
    let postfix = Postfix::start(&format!("lmtp:inet:{}", gate.address), None);
    for number in 0..5 {
        let said = submit(Language::Smtp, postfix.smtp(), "eve@example.com", &[ALICE, BOB], &mail(number)).unwrap();
        assert!(said[0].starts_with("250"), "{said:?}");
    }
    until("sealed for alice", || inbox(store.imap(), "alice").len() == 5);
    // A message that is being tried again has no reason at that moment.
    let told = |one: &testbed::Queued| one.waiting.iter().all(|(_, why)| !why.is_empty());
    until("kept for bob", || postfix.queue().len() == 5 && postfix.queue().iter().all(told));
    let waiting = postfix.queue();
    assert!(waiting.iter().all(|one| one.waiting.len() == 1 && one.waiting[0].0 == BOB), "{waiting:?}");
    let said = |one: &testbed::Queued| one.waiting[0].1.is_empty() || one.waiting[0].1.contains("4.7.5");
    assert!(waiting.iter().all(said), "{waiting:?}");
    assert!(inbox(store.imap(), "bob").is_empty());
    let notes = gate.notes.lock().unwrap().join("\n");
    assert!(notes.contains("NoKey") && notes.contains("queue_id: Some(") && !notes.contains("bob"), "{notes}");
    for stored in inbox(store.imap(), "alice") {
        let head = String::from_utf8_lossy(&stored[..stored.len().min(400)]).into_owned();
        assert!(head.starts_with("Return-Path: <eve@example.com>") && head.contains("Delivered-To:"), "{head}");
        let original = open_sealed(&scene, &stored).unwrap();
        // What LMTP carried: Postfix's own Received field, then the message.
        let text = String::from_utf8_lossy(&original).into_owned();
        assert!(text.starts_with("Received: ") && (0..5).any(|number| original.ends_with(&mail(number))), "{text}");
    }
    enrol(&scene, BOB);
    postfix.flush();
    until("sealed for bob", || inbox(store.imap(), "bob").len() == 5);
    until("nothing waits", || postfix.queue().is_empty());
    drop(gate);
    assert_nothing_readable(home.path());
    assert_nothing_readable(store.mail().parent().unwrap());
}

#[test]
fn an_after_queue_filter_hands_back_to_postfix() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::start(Format::Maildir);
    enrol(&scene, ALICE);
    enrol(&scene, BOB);
    // The filter's address must be known before Postfix begins, and Postfix's before the flow.
    let back = Postfix::start(&format!("lmtp:inet:{}", store.lmtp()), None);
    let gate = Gate::open(&scene, choice(home.path(), Dialect::Smtp, hop(Dialect::Smtp, back.reinject())));
    let front = Postfix::start("lmtp:inet:127.0.0.1:9", Some(gate.address));
    let said = submit(Language::Smtp, front.smtp(), "eve@example.com", &[ALICE, BOB], &mail(3)).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("alice", || inbox(store.imap(), "alice").len() == 1);
    until("bob", || inbox(store.imap(), "bob").len() == 1);
    for user in ["alice", "bob"] {
        let original = open_sealed(&scene, &inbox(store.imap(), user)[0]).unwrap();
        assert!(original.ends_with(&mail(3)));
    }
}

#[test]
fn cyrus_takes_sealed_mail_by_lmtp() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Cyrus::start();
    let choice = choice(home.path(), Dialect::Lmtp, hop(Dialect::Lmtp, store.lmtp()));
    enrol(&scene, "alice");
    let gate = Gate::open(&scene, choice);
    let odd = [&mail(1)[..], b"\nbare\0 \xff octets"].concat();
    for octets in [&mail(0), &odd] {
        let said = submit(Language::Lmtp, gate.address, "eve@example.com", &["alice"], octets).unwrap();
        assert!(said[0].starts_with("250"), "{said:?}");
    }
    let stored: Vec<Vec<u8>> = inbox(store.imap(), "alice").iter().filter_map(|one| open_sealed(&scene, one)).collect();
    assert!(stored.len() == 2 && stored.contains(&mail(0)) && stored.contains(&odd));
}
