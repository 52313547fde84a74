//! Into the owner's account by APPEND.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::{Action, Dovecot, Faults, Format, Options, Rule, Which};

use crate::scene::Scene;
use crate::station::{
    Station, account, assert_nothing_readable, assert_once, choice, inbox, listed, mail, octets, open_sealed, until,
};

#[test]
fn each_message_lies_in_the_account_once_with_the_time_it_came() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::start(Format::Maildir);
    let station = Station::open(&scene, choice(&scene, account(store.imap(), "alice", "alice-pw")));
    let before = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let odd = [&mail(99)[..], b"\nbare\0 \xff octets without an end"].concat();
    let large = [&mail(98)[..], "0123456789abcdef\r\n".repeat(100_000).as_bytes()].concat();
    let sent: Vec<Vec<u8>> = (0..30).map(mail).chain([odd, large]).collect();
    for one in &sent {
        let said = station.send(one);
        assert!(said.starts_with("250 2.0.0"), "{said}");
    }
    // A sender that was not told: the same again is the same message.
    assert!(station.send(&sent[3]).contains("taken before"));
    until("all are there", || inbox(store.imap(), "alice").len() >= sent.len());
    until("the queue is empty", || station.count("arrived") == 32);
    let found = inbox(store.imap(), "alice");
    let after = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    for (stored, date) in &found {
        let at = store::imap::parse_date(date).unwrap().0;
        assert!((before..=after).contains(&at), "{date}");
        let head = String::from_utf8_lossy(&stored[..stored.len().min(600)]).into_owned();
        assert!(head.contains("From: Eve <eve@example.com>") && head.contains("@sealed.invalid>"), "{head}");
    }
    assert_once(&scene, &octets(found), sent);
    drop(station);
    assert_nothing_readable(home.path());
    assert_nothing_readable(&store.mail());
}

/// Whatever becomes of the connection, each message is there once.
#[test]
fn broken_connections_neither_lose_nor_double() {
    if !testbed::servers() {
        return;
    }
    for action in [
        Action::Before,
        Action::CutLiteral(200),
        Action::LoseAnswer,
        Action::HalfAnswer,
        Action::Reset,
        Action::No,
        Action::Bye,
    ] {
        for (command, which) in [("APPEND", Which::Every(3)), ("UID FETCH", Which::Every(3)), ("SELECT", Which::Nth(1))]
        {
            let home = tempfile::tempdir().unwrap();
            let scene = Scene::new(home.path());
            let store = Dovecot::start(Format::Maildir);
            let faults = Faults::between(store.imap(), vec![Rule { command, which, action: action.clone() }]);
            let station = Station::open(&scene, choice(&scene, account(faults.address(), "alice", "alice-pw")));
            let sent: Vec<Vec<u8>> = (0..12).map(mail).collect();
            for one in &sent {
                until(&format!("taken {command} {action:?}"), || station.send(one).starts_with("250"));
            }
            until(&format!("there {command} {action:?}"), || station.count("arrived") + station.count("found") == 12);
            assert_once(&scene, &octets(inbox(store.imap(), "alice")), sent);
            assert!(!faults.fired().is_empty(), "{command} {action:?}");
        }
    }
}

#[test]
fn an_account_that_is_away_for_a_while_gets_all_of_it_later() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut store = Dovecot::start(Format::Maildir);
    let station = Station::open(&scene, choice(&scene, account(store.imap(), "alice", "alice-pw")));
    let sent: Vec<Vec<u8>> = (0..40).map(mail).collect();
    let (early, late) = sent.split_at(10);
    early.iter().for_each(|one| assert!(station.send(one).starts_with("250")));
    store.stop();
    late.iter().for_each(|one| assert!(station.send(one).starts_with("250"), "the queue takes it"));
    until("it was tried", || station.count("retried") + station.count("unknown-end") > 0);
    std::thread::sleep(Duration::from_secs(1));
    store.restart();
    until("all are there", || station.count("arrived") + station.count("found") == 40);
    assert_once(&scene, &octets(inbox(store.imap(), "alice")), sent);
    drop(station);
    assert_nothing_readable(home.path());
}

#[test]
fn a_full_mailbox_or_a_wrong_password_is_told_to_the_sender() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::with(Options { quota: Some("50k"), ..Options::default() });
    let station = Station::open(&scene, choice(&scene, account(store.imap(), "alice", "alice-pw")));
    let mut taken = 0;
    until("the mailbox is full", || {
        let said = station.send(&mail(1000 + station.count("kept") as usize));
        std::thread::sleep(Duration::from_millis(100));
        if said.starts_with("452 4.2.2") {
            return true;
        }
        assert!(said.starts_with("250"), "{said}");
        false
    });
    taken += inbox(store.imap(), "alice").len();
    assert!(taken > 2 && station.count("deferred") > 0);
    let wrong = tempfile::tempdir().unwrap();
    let scene = Scene::new(wrong.path());
    let station = Station::open(&scene, choice(&scene, account(store.imap(), "alice", "guess")));
    let said = station.send(&mail(1));
    assert!(said.starts_with("451 4.3.5"), "{said}");
}

#[test]
fn mail_that_its_author_encrypted_goes_on_as_it_came() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut store = Dovecot::start(Format::Maildir);
    let station = Station::open(&scene, choice(&scene, account(store.imap(), "alice", "alice-pw")));
    let other = sealed::signature::SealerKey::from_seed(&[7; 32]).unwrap();
    let encrypted = scene.seal(&mail(1), &other);
    assert!(station.send(&encrypted).starts_with("250"));
    assert_eq!(octets(inbox(store.imap(), "alice")), std::slice::from_ref(&encrypted));
    assert!(open_sealed(&scene, &encrypted).is_none(), "by a sealer that nobody pinned");
    // It has header fields in clear, so that it is not for the spool: its sender keeps it.
    store.stop();
    let said = station.send(&scene.seal(&mail(2), &other));
    assert!(said.starts_with("451 4.4.1"), "{said}");
}

/// What its author encrypted is not queued. A sender who was not told comes again, and finds it known.
#[test]
fn encrypted_mail_whose_end_was_not_told_is_there_once() {
    if !testbed::servers() {
        return;
    }
    for action in [Action::Before, Action::CutLiteral(100), Action::LoseAnswer, Action::Reset, Action::No] {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let store = Dovecot::start(Format::Maildir);
        let rule = Rule { command: "APPEND", which: Which::Nth(1), action: action.clone() };
        let faults = Faults::between(store.imap(), vec![rule]);
        let station = Station::open(&scene, choice(&scene, account(faults.address(), "alice", "alice-pw")));
        let other = sealed::signature::SealerKey::from_seed(&[7; 32]).unwrap();
        let encrypted = scene.seal(&mail(1), &other);
        let said = station.send(&encrypted);
        assert!(said.starts_with("451") || action == Action::Before, "{action:?}: {said}");
        if matches!(action, Action::LoseAnswer | Action::Reset) {
            let soon = station.send(&encrypted);
            assert!(soon.starts_with("451"), "it is left alone for a moment: {soon}");
        }
        until("it is taken", || station.send(&encrypted).starts_with("250"));
        assert_eq!(octets(inbox(store.imap(), "alice")), std::slice::from_ref(&encrypted), "{action:?}");
        assert!(station.send(&encrypted).contains("taken before"));
        let found = u64::from(matches!(action, Action::LoseAnswer | Action::Reset));
        assert_eq!(station.count("found"), found, "{action:?}");
        assert!(listed(&scene).is_empty());
        drop(station);
        let spool = std::fs::read(scene.home.join("state/spool.db")).unwrap();
        assert!(!spool.windows(11).any(|part| part == b"example.com"), "neither envelope nor Message-ID");
        assert_nothing_readable(home.path());
    }
}

/// A connection that lay idle is not trusted.
#[test]
fn a_server_that_was_restarted_meanwhile_costs_nothing() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut store = Dovecot::start(Format::Maildir);
    let mut choice = choice(&scene, account(store.imap(), "alice", "alice-pw"));
    choice.schedule = flow::forward::Schedule::new(vec![Duration::from_secs(600)], None);
    let station = Station::open(&scene, choice);
    for number in 0..4 {
        assert!(station.send(&mail(number)).starts_with("250"));
        until("it arrived", || station.count("arrived") == number as u64 + 1);
        store.restart();
    }
    assert_eq!((station.count("unknown-end"), station.count("retried")), (0, 0));
}

/// What broke before it was sent whole is sent again at once; what may be there is looked for soon.
#[test]
fn a_break_costs_seconds() {
    if !testbed::servers() {
        return;
    }
    for (action, unknown) in [(Action::Before, 0), (Action::CutLiteral(10), 0), (Action::LoseAnswer, 1)] {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let store = Dovecot::start(Format::Maildir);
        let rule = Rule { command: "APPEND", which: Which::Nth(2), action: action.clone() };
        let faults = Faults::between(store.imap(), vec![rule, Rule::strip(&["LITERAL+"])]);
        let mut choice = choice(&scene, account(faults.address(), "alice", "alice-pw"));
        choice.schedule =
            flow::forward::Schedule::new(vec![Duration::from_secs(600)], None).with_grace(Duration::from_millis(500));
        let station = Station::open(&scene, choice);
        let large = [&mail(1)[..], &b"0123456789abcdef\r\n".repeat(100)].concat();
        let sent = vec![mail(0), large];
        for one in &sent {
            assert!(station.send(one).starts_with("250"));
            std::thread::sleep(Duration::from_millis(300));
        }
        until(&format!("both are there {action:?}"), || station.count("arrived") + station.count("found") == 2);
        assert!(station.count("unknown-end") <= unknown.max(u64::from(action == Action::CutLiteral(10))), "{action:?}");
        assert_once(&scene, &octets(inbox(store.imap(), "alice")), sent);
    }
}
