//! Into accounts of servers that are not to be had: doubles of them.

use std::time::Duration;

use testbed::{Character, Dedup, Double, Faults, Rule};

use crate::scene::Scene;
use crate::station::{Station, account, assert_once, choice, listed, mail, until};

const DATE: &str = "25-Nov-2026 10:00:00 +0000";

fn stored(server: &Double) -> Vec<Vec<u8>> {
    server.messages("INBOX").into_iter().map(|message| message.octets).collect()
}

/// The account has the same mail already, in clear: its owner sent it to a list, and it lies in Sent.
#[test]
fn gmail_does_not_take_a_sealed_copy_for_what_it_has() {
    for dedup in [Dedup::Ignore, Dedup::Replace, Dedup::Off] {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let server = Double::start(Character::Gmail { dedup });
        let station = Station::open(&scene, choice(&scene, account(server.address(), "alice", "alice-pw")));
        let sent: Vec<Vec<u8>> = (0..5).map(mail).collect();
        server.deliver("[Gmail]/All Mail", &sent[0], &[], DATE);
        sent.iter().for_each(|one| assert!(station.send(one).starts_with("250")));
        until(&format!("all arrived {dedup:?}"), || station.count("arrived") == 5);
        assert_once(&scene, &stored(&server), sent.clone());
        assert!(server.all_octets().contains(&sent[0]), "what was there stays");
    }
}

#[test]
fn servers_without_uidplus_or_slow_ones_get_each_message_once() {
    for character in [Character::NoUidPlus, Character::LateAppend(Duration::from_millis(100))] {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let server = Double::start(character);
        let mut choice = choice(&scene, account(server.address(), "alice", "alice-pw"));
        choice.schedule = choice.schedule.with_grace(Duration::from_secs(2));
        let station = Station::open(&scene, choice);
        let sent: Vec<Vec<u8>> = (0..5).map(mail).collect();
        sent.iter().for_each(|one| assert!(station.send(one).starts_with("250")));
        if character != Character::NoUidPlus {
            // Each APPEND ends without an answer, and its message is there a moment later.
            until("it was tried", || station.count("unknown-end") > 0);
            server.recover();
        }
        until(&format!("all arrived {character:?}"), || station.count("arrived") + station.count("found") == 5);
        assert_once(&scene, &stored(&server), sent);
    }
}

#[test]
fn what_an_account_cannot_take_is_refused_while_its_sender_is_there() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let server = Double::start(Character::AppendLimit(100_000));
    let station = Station::open(&scene, choice(&scene, account(server.address(), "alice", "alice-pw")));
    assert!(station.send(&mail(1)).starts_with("250"));
    let large: Vec<u8> =
        (0..30_000_u32).flat_map(|at| format!("{:08x}", at.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    let large = [&mail(2)[..], &large].concat();
    let said = station.send(&large);
    assert!(said.starts_with("552 5.3.4"), "{said}");
    until("the small one arrived", || station.count("arrived") == 1);
    assert_eq!((stored(&server).len(), station.count("failed")), (1, 0));
}

/// A copy that does not prove is no copy: it stays in the queue.
#[test]
fn a_server_that_changes_what_it_stores_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let server = Double::start(Character::Exchange);
    let station = Station::open(&scene, choice(&scene, account(server.address(), "alice", "alice-pw")));
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it is told", || station.count("failed") >= 1);
    assert_eq!(station.count("arrived"), 0);
    let told = station.told.lock().unwrap().join("\n");
    assert!(told.contains("NotAsSent"), "{told}");
    until("it is counted", || station.controls.counts.totals().failed >= 1);
}

/// An account whose pace is limited is not a full one: the queue takes the mail.
#[test]
fn a_limit_of_pace_is_not_told_to_senders() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let server = Double::start(Character::Gmail { dedup: Dedup::Ignore });
    let mut choice = choice(&scene, account(server.address(), "alice", "alice-pw"));
    choice.schedule = flow::forward::Schedule::new(vec![Duration::from_secs(1)], None);
    let station = Station::open(&scene, choice);
    let mut sent = Vec::new();
    for (answer, why, said) in [
        ("NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", "throttled", "NO THROTTLED"),
        ("NO [LIMIT] slowly", "throttled", "NO LIMIT"),
        ("NO [UNAVAILABLE] a moment", "not-now", "NO UNAVAILABLE"),
    ] {
        server.fail_from_now("APPEND", answer);
        for _ in 0..3 {
            let one = mail(sent.len());
            assert!(station.send(&one).starts_with("250"), "{answer}");
            sent.push(one);
            std::thread::sleep(Duration::from_millis(100));
        }
        until("it is known why", || {
            let list = listed(&scene);
            list.iter().any(|item| item.why.as_deref() == Some(why) && item.said.as_deref() == Some(said))
        });
        server.recover();
        until("all arrived", || station.count("arrived") == sent.len() as u64);
    }
    server.fail_from_now("APPEND", "NO [OVERQUOTA] the mailbox is full");
    assert!(station.send(&mail(100)).starts_with("250"));
    until("the mailbox is full", || station.send(&mail(101)).starts_with("452 4.2.2"));
    assert_once(&scene, &stored(&server), sent);
}

/// With one Message-ID, Gmail has one message: a stranger's that came first is not the one that was sent.
#[test]
fn a_stranger_with_the_same_message_id_makes_nothing_count_as_there() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let server = Double::start(Character::Gmail { dedup: Dedup::Ignore });
    let station = Station::open(&scene, choice(&scene, account(server.address(), "alice", "alice-pw")));
    let named = |number: usize| encrypted(&scene, number, "Message-ID: <contract@good.test>\r\n");
    let (one, other) = (named(1), named(2));
    let said = station.send(&one);
    assert!(said.starts_with("250"), "{said}");
    let said = station.send(&other);
    assert!(said.starts_with("554 5.3.0"), "{said}");
    assert_eq!(stored(&server), std::slice::from_ref(&one));
    assert!(station.told.lock().unwrap().join("\n").contains("NotAsSent"));
    // The one that is there is there.
    assert!(station.send(&one).contains("before"));
}

/// Where nobody says where it was put, and a message of the same name was there before, it is not known whether this one is there: its sender keeps it.
#[test]
fn what_is_in_doubt_is_not_refused_for_good() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let server = Double::start(Character::Gmail { dedup: Dedup::Ignore });
    let faults = Faults::between(server.address(), vec![Rule::strip(&["UIDPLUS"])]);
    let station = Station::open(&scene, choice(&scene, account(faults.address(), "alice", "alice-pw")));
    let named = |number: usize| encrypted(&scene, number, "Message-ID: <contract@good.test>\r\n");
    let (one, other) = (named(1), named(2));
    let said = station.send(&one);
    assert!(said.starts_with("250"), "{said}");
    for _ in 0..3 {
        let said = station.send(&other);
        assert!(said.starts_with("451"), "{said}");
    }
    assert_eq!(stored(&server), std::slice::from_ref(&one));
    // The same content under the same name, as another server has handed it on, is there.
    let again = [b"Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0100\r\n".to_vec(), one.clone()].concat();
    assert!(station.send(&one).contains("before"));
    let said = station.send(&again);
    assert!(said.starts_with("250"), "{said}");
}

#[test]
fn encrypted_mail_without_a_name_is_put_once_where_nobody_says_where() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let server = Double::start(Character::NoUidPlus);
    let station = Station::open(&scene, choice(&scene, account(server.address(), "alice", "alice-pw")));
    let sent: Vec<Vec<u8>> = (0..2).map(|number| encrypted(&scene, number, "")).collect();
    for one in &sent {
        for _ in 0..2 {
            let said = station.send(one);
            assert!(said.starts_with("250"), "{said}");
        }
    }
    let named = encrypted(&scene, 2, "Message-ID: <a@good.test>\r\n");
    assert!(station.send(&named).starts_with("250"));
    assert_eq!(stored(&server), [sent, vec![named]].concat());
}

/// What an author has encrypted himself.
fn encrypted(scene: &Scene, number: usize, name: &str) -> Vec<u8> {
    let other = sealed::signature::SealerKey::from_seed(&[7; 32]).unwrap();
    let sealed = scene.seal(&mail(number), &other);
    let text = String::from_utf8(sealed).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    let begin = header.find("Content-Type: multipart/encrypted").unwrap();
    format!("From: a@good.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n{name}{}\r\n\r\n{body}", &header[begin..])
        .into_bytes()
}
