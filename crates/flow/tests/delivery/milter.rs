//! A real Postfix that shows its mail.

use std::time::{Duration, Instant};

use testbed::{Dovecot, Format, Language, Postfix, submit};
use wire::smtp::Dialect;

use crate::gate::{
    ALICE, BOB, CANARY, Choice, Gate, assert_nothing_readable, choice, delivered, enrol, hop, mail, open_sealed,
};
use crate::scene::Scene;
use crate::servers::inbox;

/// A Postfix before a Dovecot, with that flow as its milter.
fn postfix(gate: &Gate, store: &Dovecot) -> Postfix {
    let mut postfix = Postfix::start(&format!("lmtp:inet:{}", store.lmtp()), None);
    let more = "milter_default_action = tempfail\nmilter_protocol = 6\nlmtp_destination_recipient_limit = 1";
    postfix.configure(&format!("smtpd_milters = inet:{}\n{more}", gate.address));
    postfix
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}: not in a minute and a half");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn say(postfix: &Postfix, to: &[&str], octets: &[u8]) -> Vec<String> {
    submit(Language::Smtp, postfix.smtp(), "eve@example.com", to, octets).unwrap()
}

fn begins(said: &[String], with: &[&str], postfix: &Postfix) {
    let as_wanted = said.len() == with.len() && said.iter().zip(with).all(|(said, with)| said.starts_with(with));
    assert!(as_wanted, "{said:?}, wanted {with:?}\n{}", postfix.log());
}

/// Bob's, who is not alice.
fn another_certificate() -> String {
    let key = open::SecretKey::generate("bob@example.org", open::Algorithm::V4Curve25519).unwrap();
    key.certificate_armored().unwrap().to_string()
}

fn milter(home: &std::path::Path, sink: flow::delivery::Sink) -> Choice {
    Choice { milter: true, ..choice(home, Dialect::Smtp, sink) }
}

#[test]
fn mail_is_sealed_where_it_is_for_one_owner_at_a_time() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::start(Format::Maildir);
    enrol(&scene, ALICE);
    let mut choice = milter(home.path(), flow::delivery::Sink::Back);
    choice.max_message = 4 * 1024 * 1024;
    let gate = Gate::open(&scene, choice);
    let postfix = postfix(&gate, &store);
    // Several fields of a name, folded ones, one with no blank, and a body larger than a piece.
    let head = format!("X-Two: {CANARY} a\r\nX-Folded: {CANARY}\r\n\tb\r\nX-Two:b\r\n");
    let large =
        [head.as_bytes(), &mail(1), &format!("{CANARY} again and again\r\n").repeat(9000).into_bytes()].concat();
    let latin = [&mail(2)[..], b"caf\xe9 na\xefve\r\n"].concat();
    for octets in [&mail(0), &large, &latin] {
        // No key: not now, and nobody else waits for it.
        begins(&say(&postfix, &[ALICE, BOB], octets), &["250", "451 4.7.5"], &postfix);
    }
    until("sealed", || inbox(store.imap(), "alice").len() == 3);
    let opened: Vec<Vec<u8>> =
        inbox(store.imap(), "alice").iter().map(|stored| open_sealed(&scene, stored).expect("sealed")).collect();
    for octets in [&mail(0), &large, &latin] {
        assert!(opened.contains(octets), "{}", postfix.log());
    }
    let stored = String::from_utf8_lossy(&inbox(store.imap(), "alice")[0]).into_owned();
    assert!(!stored.contains("X-Two") && stored.matches("\r\nSubject:").count() == 1, "{stored}");
    assert!(inbox(store.imap(), "bob").is_empty());
    // Too large, and another owner's in the same message.
    let huge = [&mail(3)[..], &b"0123456789012345678901234567890123456789\r\n".repeat(100_000)].concat();
    begins(&say(&postfix, &[ALICE], &huge), &["552 5.3.4"], &postfix);
    std::fs::write(home.path().join("certs").join(format!("{BOB}.asc")), another_certificate()).unwrap();
    until("bob is known", || say(&postfix, &[BOB], &mail(4))[0].starts_with("250"));
    begins(&say(&postfix, &[ALICE, BOB], &mail(5)), &["250", "452 4.5.3"], &postfix);
    until("both", || inbox(store.imap(), "bob").len() == 1 && inbox(store.imap(), "alice").len() == 4);
    assert!(open_sealed(&scene, &inbox(store.imap(), "bob")[0]).is_none(), "alice reads bob's mail");
    // No milter, no mail.
    drop(gate);
    begins(&say(&postfix, &[ALICE], &mail(6)), &["451"], &postfix);
    assert_nothing_readable(home.path());
    assert_nothing_readable(&store.mail());
}

#[test]
fn several_owners_get_copies_of_their_own_where_there_is_a_way_back() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::start(Format::Maildir);
    enrol(&scene, ALICE);
    std::fs::write(home.path().join("certs").join(format!("{BOB}.asc")), another_certificate()).unwrap();
    let gate = Gate::open(&scene, milter(home.path(), hop(Dialect::Lmtp, store.lmtp())));
    let postfix = postfix(&gate, &store);
    begins(&say(&postfix, &[ALICE, BOB], &mail(0)), &["250", "250"], &postfix);
    until("each", || inbox(store.imap(), "bob").len() == 1 && inbox(store.imap(), "alice").len() == 1);
    assert!(postfix.queue().is_empty(), "the server keeps nothing");
    assert!(open_sealed(&scene, &inbox(store.imap(), "alice")[0]).unwrap().ends_with(&mail(0)));
    assert!(open_sealed(&scene, &inbox(store.imap(), "bob")[0]).is_none());
    // For one owner it is changed where it is.
    begins(&say(&postfix, &[ALICE], &mail(1)), &["250"], &postfix);
    until("sealed", || inbox(store.imap(), "alice").len() == 2);
    // Nobody's: held, and the server drops it.
    drop(gate);
    let mut choice = milter(home.path(), flow::delivery::Sink::Back);
    choice.policy = crate::gate::policy(flow::delivery::OnFailure::Hold);
    let gate = Gate::open(&scene, choice);
    let postfix = self::postfix(&gate, &store);
    begins(&say(&postfix, &["carol@example.test"], &mail(2)), &["250"], &postfix);
    let held = delivered(&home.path().join("held"));
    assert!(held.len() == 1 && open_sealed(&scene, &held[0]).is_some());
    assert!(postfix.queue().is_empty());
}
