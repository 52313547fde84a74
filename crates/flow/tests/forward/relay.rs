//! To another server by SMTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::{Dovecot, Format, Postfix};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{
    CANARY, ME, Station, assert_nothing_readable, assert_once, choice, hop, inbox, listed, mail, octets, open_sealed,
    retry, until,
};

#[test]
fn postfix_takes_each_message_once() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let store = Dovecot::start(Format::Maildir);
    let mut postfix = Postfix::start(&format!("lmtp:inet:{}", store.lmtp()), None);
    let station = Station::open(&scene, choice(&scene, hop(postfix.smtp(), Some("alice@example.test"))));
    let sent: Vec<Vec<u8>> = (0..40).map(mail).collect();
    let (early, late) = sent.split_at(20);
    early.iter().for_each(|one| assert!(station.send(one).starts_with("250")));
    until("the first ones arrived", || station.count("arrived") == 20);
    // What Postfix has half delivered when it is killed, it delivers again.
    until("and went on", || inbox(store.imap(), "alice").len() == 20);
    std::thread::sleep(Duration::from_millis(500));
    postfix.kill();
    late.iter().for_each(|one| assert!(station.send(one).starts_with("250"), "the queue takes it"));
    std::thread::sleep(Duration::from_secs(1));
    postfix.restart();
    until("all arrived", || station.count("arrived") == 40);
    until("all are stored", || inbox(store.imap(), "alice").len() >= 40);
    let stored = octets(inbox(store.imap(), "alice"));
    assert_eq!(station.count("unknown-end"), 0);
    let head = String::from_utf8_lossy(&stored[0][..900]).into_owned();
    assert!(head.contains(&format!("Delivered-To: {ME}")) && head.contains("by gw.my.example (Sealpost)"), "{head}");
    // What comes back is not taken again.
    let circle = station.send(&stored[0]);
    assert!(circle.starts_with("554 5.4.6"), "{circle}");
    assert_once(&scene, &stored, sent);
    drop(station);
    assert_nothing_readable(home.path());
}

#[test]
fn a_target_that_breaks_off_gets_it_again_and_that_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let broke = AtomicBool::new(false);
    let once = move |_: &crate::hop::Taken| match broke.swap(true, Ordering::Relaxed) {
        false => Say::TakeAndBreak,
        true => Say::Reply(Reply::new(250, (2, 0, 0), "ok")),
    };
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(once));
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it arrived", || station.count("arrived") == 1);
    assert_eq!((target.all().len(), station.count("unknown-end")), (2, 1));
    assert!(target.all().iter().all(|one| open_sealed(&scene, &one.octets) == Some(mail(1))));
    assert_eq!(target.all()[0].from.address, "eve@example.com");
}

/// No bounce, ever: what is refused after 250 stays, and the owner is told.
#[test]
fn what_is_refused_for_good_stays_and_the_owner_is_told() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    // It takes notes, which have the null sender, and nothing else.
    let refuses = |taken: &crate::hop::Taken| {
        let code = if taken.from.address.is_empty() { 250 } else { 550 };
        Say::Reply(Reply::new(code, (code / 100, 7, 1), "as you like it"))
    };
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(refuses));
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    assert!(station.send(&mail(7)).starts_with("250"));
    until("the owner is told", || target.all().len() == 1);
    until("it is counted", || station.count("failed") == 1 && station.count("noted") == 1);
    let note = target.all().remove(0);
    assert_eq!(note.to[0].address, ME);
    let text = String::from_utf8(open_sealed(&scene, &note.octets).unwrap()).unwrap();
    assert!(text.contains("the target refuses it") && text.contains("has refused it"), "{text}");
    assert!(text.contains("sealpost queue list") && !text.contains(CANARY), "{text}");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!((target.all().len(), station.count("failed")), (1, 1), "it is not tried again by itself");
    let told = station.told.lock().unwrap().join("\n");
    assert!(told.contains("Refused") && !told.contains("example.com"), "{told}");
    // What comes with the null sender goes on with it.
    drop(station);
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    let said = testbed::submit(testbed::Language::Smtp, station.address, "", &[ME], &mail(8)).unwrap();
    assert!(said[0].starts_with("250"));
    until("it arrived", || station.count("arrived") == 1);
    assert_eq!(target.all()[0].from.address, "");
}

#[test]
fn mail_expires_into_a_note() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let later = |taken: &crate::hop::Taken| {
        let code = if taken.from.address.is_empty() { 250 } else { 450 };
        Say::Reply(Reply::new(code, (code / 100, 3, 0), "not now"))
    };
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(later));
    let mut choice = choice(&scene, hop(target.address, None));
    choice.schedule = flow::forward::Schedule::new(vec![Duration::from_millis(200)], Some(Duration::from_secs(3)));
    let station = Station::open(&scene, choice);
    assert!(station.send(&mail(7)).starts_with("250"));
    until("the owner is told", || target.all().len() == 1);
    let text = open_sealed(&scene, &target.all()[0].octets).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("did not take it in time"));
    assert!(station.count("retried") >= 1);
}

#[test]
fn the_size_that_is_announced_fits_the_target() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1_000_000, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    // Base64 shrinks to what it stands for.
    let random: Vec<u8> = (0..700_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let coded = base64(&random[..600_000]);
    let head = format!("From: a@b\r\nTo: {ME}\r\nMessage-ID: <big@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let fits = [head.as_bytes(), coded.as_bytes()].concat();
    assert!(fits.len() > 800_000);
    let said = station.send(&fits);
    assert!(said.starts_with("250"), "{said}");
    until("it arrived", || station.count("arrived") == 1);
    assert_eq!(open_sealed(&scene, &target.all()[0].octets).unwrap(), fits);
    let too_large = [head.as_bytes(), base64(&random).as_bytes()].concat();
    let said = station.send(&too_large);
    assert!(said.starts_with("552 5.3.4"), "{said}");
    assert_eq!(station.count("failed"), 0, "it was refused while its sender was there");
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (at, three) in octets.chunks_exact(3).enumerate() {
        let word = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(LETTERS[(word >> shift & 63) as usize] as char);
        }
        if at % 19 == 18 {
            text.push_str("\r\n");
        }
    }
    text + "\r\n"
}

/// Whoever runs it sees what the target said last: codes, and no words.
#[test]
fn the_queue_tells_why() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let later = |_: &crate::hop::Taken| Say::Reply(Reply::new(451, (4, 7, 1), "<me@my.example> comes too often"));
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(later));
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it was tried", || station.count("retried") > 0);
    until("it is listed", || listed(&scene).iter().any(|item| item.said.as_deref() == Some("451 4.7.1")));
    drop(station);
    let spool = std::fs::read(scene.home.join("state/spool.db")).unwrap();
    assert!(!spool.windows(9).any(|part| part == b"too often"));
}

#[test]
fn dovecot_takes_it_by_lmtp() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut store = Dovecot::start(Format::Maildir);
    let place = wire::smtp::Place::Tcp(store.lmtp().to_string());
    let next = wire::smtp::client::NextHop::new(place, Dialect::Lmtp, "gw.my.example".to_owned());
    let sink = flow::forward::Sink::Hop { hop: next, to: Some("alice@example.test".to_owned()) };
    let station = Station::open(&scene, choice(&scene, sink));
    let large = [&mail(98)[..], &b"0123456789abcdef\r\n".repeat(100_000)].concat();
    let sent: Vec<Vec<u8>> = (0..20).map(mail).chain([large]).collect();
    let (early, late) = sent.split_at(10);
    early.iter().for_each(|one| assert!(station.send(one).starts_with("250")));
    until("the first ones arrived", || station.count("arrived") == 10);
    store.stop();
    late.iter().for_each(|one| assert!(station.send(one).starts_with("250"), "the queue takes it"));
    store.restart();
    until("all arrived", || station.count("arrived") == 21);
    let stored = octets(inbox(store.imap(), "alice"));
    assert_eq!(station.count("unknown-end"), 0);
    assert_once(&scene, &stored, sent);
    drop(station);
    assert_nothing_readable(home.path());
    assert_nothing_readable(&store.mail());
}

#[test]
fn a_maildir_gets_each_message_once() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let maildir = home.path().join("Box");
    let station = Station::open(&scene, choice(&scene, flow::forward::Sink::Maildir(maildir.clone())));
    // It is not there yet: the queue takes the mail, as it may be mended.
    let sent: Vec<Vec<u8>> = (0..20).map(mail).collect();
    assert!(station.send(&sent[0]).starts_with("250"));
    until("it was tried", || station.count("retried") + station.count("arrived") > 0);
    for folder in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    until("it is tried again", || {
        retry(&scene, flow::forward::Which::All);
        station.count("arrived") == 1
    });
    sent.iter().skip(1).for_each(|one| assert!(station.send(one).starts_with("250")));
    until("all arrived", || station.count("arrived") == 20);
    let files = std::fs::read_dir(maildir.join("new")).unwrap().flatten();
    let stored: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.path()).unwrap()).collect();
    assert_once(&scene, &stored, sent);
    drop(station);
    assert_nothing_readable(home.path());
}
