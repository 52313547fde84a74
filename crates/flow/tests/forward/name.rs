//! In the forwarder's own name: what it believes of strangers, and what others may believe of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flow::forward::checks::Checks;
use flow::forward::dkim::Signer;
use flow::forward::resolver::Resolver;
use flow::forward::return_path::ReturnPath;
use flow::forward::rewrite::Forwarder;
use flow::forward::verdict::Strictness;
use flow::forward::{Kind, Own};
use testbed::{Language, Names, Record, submit};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{ME, Station, choice, hop, listed, mail, open_sealed, retry, until};

/// A key for tests, which signs nothing else.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";

fn own() -> Own {
    Own {
        forwarder: Forwarder::new("forward@my.example", "gw.my.example").unwrap(),
        signer: Signer::new("my.example").unwrap().with_key("s1", KEY.as_bytes()).unwrap(),
        return_path: ReturnPath::new(&[3; 32], "my.example"),
    }
}

#[test]
fn outside_it_speaks_for_itself_and_bounces_become_notes() {
    let names = Names::serve([
        ("example.com", Record::Txt("v=spf1 ip4:127.0.0.0/8 -all".to_owned())),
        ("_dmarc.example.com", Record::Txt("v=DMARC1; p=reject".to_owned())),
        ("other.example", Record::Txt("v=spf1 -all".to_owned())),
        ("_dmarc.other.example", Record::Txt("v=DMARC1; p=reject".to_owned())),
    ]);
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(&scene, hop(target.address, Some("me@provider.example")));
    let checks = Checks::new(Resolver::at(names.address()).unwrap(), "gw.my.example");
    (choice.checks, choice.own, choice.trusts) = (Some((checks, Strictness::Reject)), Some(own()), false);
    let station = Station::open(&scene, choice);
    let said = station.send(&mail(1));
    assert!(said.starts_with("250"), "{said}");
    until("it arrived", || station.count("arrived") == 1);
    let taken = target.all().remove(0);
    let outer = String::from_utf8_lossy(&taken.octets).into_owned();
    assert!(outer.contains("From: \"Eve at example.com via gw.my.example\" <forward@my.example>\r\n"), "{outer}");
    assert!(outer.contains("DKIM-Signature: ") && outer.contains("d=my.example"), "{outer}");
    assert!(taken.from.address.starts_with("bounce+") && taken.from.address.ends_with("@my.example"), "{taken:?}");
    assert_eq!(taken.to[0].address, "me@provider.example");
    assert_eq!(open_sealed(&scene, &taken.octets).unwrap(), mail(1));
    let keys = scene.keyring();
    let opened = open::open(&mut &taken.octets[..], std::io::Cursor::new(Vec::new()), &keys, &scene.trust()).unwrap();
    let verdict = opened.index.authentication_results.clone().unwrap();
    assert!(verdict.starts_with("gw.my.example;") && verdict.contains("dmarc=pass"), "{verdict}");
    // Whoever claims to be somebody else is refused while he is there.
    let forged = String::from_utf8(mail(2)).unwrap().replace("eve@example.com", "eve@other.example");
    let said = submit(Language::Smtp, station.address, "eve@other.example", &[ME], forged.as_bytes()).unwrap();
    assert!(said[0].starts_with("550 5.7.1"), "{said:?}");
    // A bounce is a note to the owner, a forged one is nothing.
    let said = submit(Language::Smtp, station.address, "", &[&taken.from.address], b"From: x@y\r\n\r\nbounced\r\n");
    assert!(said.unwrap()[0].starts_with("250"));
    until("the owner is told", || target.all().len() == 2);
    let note = target.all().remove(1);
    let text = String::from_utf8(open_sealed(&scene, &note.octets).unwrap()).unwrap();
    assert!(note.from.address.is_empty() && text.contains("Something came back"), "{text}");
    for forged in [taken.from.address.replacen("bounce+", "bounce+a", 1), "bounce+x@my.example".to_owned()] {
        let said = submit(Language::Smtp, station.address, "", &[&forged], b"From: x@y\r\n\r\nx\r\n").unwrap();
        assert!(said[0].starts_with("550 5.7.1"), "{said:?}");
    }
    let said = submit(Language::Smtp, station.address, "eve@example.com", &[&taken.from.address], &mail(3)).unwrap();
    assert!(said[0].starts_with("550 5.7.1"), "only bounces come there: {said:?}");
}

fn report(action: &str, words: &str) -> Vec<u8> {
    format!(
        "From: MAILER-DAEMON@provider.example\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; me@provider.example\r\n\
         Action: {action}\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; {words}\r\n\r\n--b--\r\n"
    )
    .into_bytes()
}

/// What the next server took and sent back is in the queue again, with its reason, and its owner is told once.
#[test]
fn what_comes_back_is_not_lost() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(&scene, hop(target.address, Some("me@provider.example")));
    choice.own = Some(own());
    let station = Station::open(&scene, choice);
    let tell = |to: &str, octets: &[u8]| {
        let said = submit(Language::Smtp, station.address, "", &[to], octets).unwrap();
        assert!(said[0].starts_with("250"), "{said:?}");
    };
    for number in 0..3 {
        assert!(station.send(&mail(number)).starts_with("250"));
    }
    until("they arrived", || station.count("arrived") == 3);
    until("they are out of the queue", || listed(&scene).is_empty());
    let paths: Vec<String> = target.all().iter().map(|one| one.from.address.clone()).collect();
    for action in ["delayed", "delivered", "relayed", "expanded"] {
        tell(&paths[0], &report(action, "250 ok"));
    }
    tell(&paths[0], b"Auto-Submitted: auto-replied\r\n\r\nI am away\r\n");
    assert!(listed(&scene).is_empty() && station.count("noted") == 0, "none of that is a failure");
    let failed = report("failed", "552 5.2.2 <me@provider.example> has no room\r\n Bcc: eve@example.com");
    for _ in 0..3 {
        tell(&paths[0], &failed);
    }
    until("the owner is told", || target.all().len() == 4);
    let text = String::from_utf8(open_sealed(&scene, &target.all()[3].octets).unwrap()).unwrap();
    assert!(text.contains("given a message back") && text.contains("has no room"), "{text}");
    assert!(!text.contains("\r\nBcc:") && text.contains("queue list"), "{text}");
    let list = listed(&scene);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((list[0].why.as_deref(), list[0].said.as_deref()), (Some("returned"), Some("552 5.2.2")));
    assert_eq!(list[0].standing, flow::forward::Standing::Failed);
    let told = station.told.lock().unwrap().join("\n");
    assert!(told.contains("Returned") && !told.contains("example.com") && !told.contains("no room"), "{told}");
    // Tried again, it arrives, and may come back once more.
    assert_eq!(retry(&scene, flow::forward::Which::One(list[0].id)), 1);
    until("it is there again", || target.all().len() == 5);
    until("it is out of the queue", || listed(&scene).is_empty());
    assert_eq!(open_sealed(&scene, &target.all()[4].octets).unwrap(), mail(0));
    // The same note within a second is the same note.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    tell(&paths[0], &failed);
    until("it failed again", || listed(&scene).len() == 1);
    // What is no report is not called one.
    tell(&paths[1], b"From: x@y\r\n\r\nHi, I am qmail.\r\n");
    until("the owner is told of that", || station.count("noted") == 3);
    until("it was handed on", || target.all().len() == 7);
    let notes: Vec<String> =
        target.all().iter().map(|one| String::from_utf8(open_sealed(&scene, &one.octets).unwrap()).unwrap()).collect();
    assert!(notes.iter().any(|note| note.contains("is no report") && !note.contains("qmail")), "{notes:?}");
    until("the notes are out of the queue; what is unclear gives nothing back", || listed(&scene).len() == 1);
    // What was never here, or is not here any more, makes one note as well.
    let strange = own().return_path.encode(ME, [9; 16], 1 + std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    tell(&strange, &failed);
    tell(&strange, &failed);
    until("the owner is told of it once", || station.count("noted") == 4);
    drop(station);
    crate::station::assert_nothing_readable(home.path());
}

/// A flow in its own name before a server that takes everything.
fn before_a_server(scene: &Scene) -> (Hop, Station) {
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(scene, hop(target.address, Some("me@provider.example")));
    choice.own = Some(own());
    let station = Station::open(scene, choice);
    (target, station)
}

/// A report never makes mail that is not here count as taken.
#[test]
fn what_came_back_and_is_gone_is_taken_when_it_is_sent_again() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let (target, station) = before_a_server(&scene);
    let tell = |to: &str| {
        let report = report("failed", "550 5.1.1 no such user");
        let said = submit(Language::Smtp, station.address, "", &[to], &report).unwrap();
        assert!(said[0].starts_with("250"), "{said:?}");
    };
    let send = |octets: &[u8], how: &str| {
        let said = station.send(octets);
        assert!(said.starts_with("250") && !said.contains("before"), "{how}: {said}");
    };
    send(&mail(1), "new");
    until("it arrived", || target.all().len() == 1);
    let path = target.all()[0].from.address.clone();
    tell(&path);
    until("the owner is told", || target.all().len() == 2);
    until("it is in the list alone", || listed(&scene).len() == 1);
    let spool = flow::forward::Spool::sqlite(scene.home.join("state/spool.db"), "forward");
    let dropped = tokio::runtime::Runtime::new().unwrap().block_on(spool.discard(listed(&scene)[0].id)).unwrap();
    assert!(dropped);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    tell(&path);
    until("the owner is told that it is gone", || target.all().len() == 3);
    tell(&path);
    send(&mail(1), "dropped");
    until("it arrived once more", || target.all().len() == 4);
    assert_eq!(open_sealed(&scene, &target.all()[3].octets).unwrap(), mail(1));
    // What its author encrypted is not kept, and its owner is told so.
    let other = sealed::signature::SealerKey::from_seed(&[7; 32]).unwrap();
    let encrypted = scene.seal(&mail(2), &other);
    send(&encrypted, "encrypted");
    assert!(station.send(&encrypted).contains("before"));
    tell(&target.all()[4].from.address.clone());
    until("the owner is told of that", || target.all().len() == 6);
    let text = String::from_utf8(open_sealed(&scene, &target.all()[5].octets).unwrap()).unwrap();
    assert!(text.contains("its author had encrypted it") && text.contains("has to send it again"), "{text}");
    send(&encrypted, "encrypted, and came back");
    assert_eq!(target.all().len(), 7);
}

/// What is no report is told once, and the copy is left alone: a report after it still counts.
#[test]
fn an_absence_that_does_not_say_so_gives_nothing_back() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let (target, station) = before_a_server(&scene);
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it arrived", || station.count("arrived") == 1);
    let path = target.all()[0].from.address.clone();
    let tell = |octets: &[u8]| {
        let said = submit(Language::Smtp, station.address, "", &[&path], octets).unwrap();
        assert!(said[0].starts_with("250"), "{said:?}");
    };
    for kind in ["auto-generated", "auto-notified"] {
        tell(format!("Auto-Submitted: {kind}\r\nSubject: Automatic reply\r\n\r\nI am away\r\n").as_bytes());
    }
    until("the owner is told", || target.all().len() == 2);
    until("nothing waits", || listed(&scene).is_empty());
    assert_eq!((station.count("noted"), station.count("failed")), (1, 0));
    let text = String::from_utf8(open_sealed(&scene, &target.all()[1].octets).unwrap()).unwrap();
    assert!(text.contains("in case a report of its failure follows"), "{text}");
    tell(&report("failed", "550 5.1.1 no such user"));
    until("it is back", || listed(&scene).iter().any(|item| item.why.as_deref() == Some("returned")));
    assert_eq!((station.count("noted"), station.count("failed")), (2, 1));
}

/// However long a copy has waited, what comes back of it is believed.
#[test]
fn what_has_waited_for_weeks_may_still_come_back() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let (target, station) = before_a_server(&scene);
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it arrived", || station.count("arrived") == 1);
    let path = target.all()[0].from.address.clone();
    let said = submit(Language::Smtp, station.address, "", &[&path], &report("failed", "552 5.2.2 full")).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("it is back", || listed(&scene).len() == 1 && target.all().len() == 2);
    let id = listed(&scene)[0].id;
    let then = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() - 20 * 86_400;
    let database = rusqlite::Connection::open(scene.home.join("state/spool.db")).unwrap();
    let old = "UPDATE item SET received = ?2, envelope = replace(envelope, ?3, ?4) WHERE id = ?1 AND length > 0";
    let stale = own().return_path.encode(ME, id.0, then);
    let changed = database.execute(old, rusqlite::params![id.0, i64::try_from(then).unwrap(), path, stale]).unwrap();
    assert!(changed == 1 && listed(&scene)[0].from != path);
    drop(database);
    assert_eq!(retry(&scene, flow::forward::Which::One(id)), 1);
    until("it went again", || target.all().len() == 3);
    let path = target.all()[2].from.address.clone();
    until("it is out of the list", || listed(&scene).is_empty());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let said = submit(Language::Smtp, station.address, "", &[&path], &report("failed", "552 5.2.2 full")).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("it is back again", || listed(&scene).iter().any(|item| item.id == id));
}

/// Where notes are refused, too, they do not pile up; once something is taken, the last one is tried again.
#[test]
fn notes_that_are_refused_do_not_pile_up() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let refuses = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&refuses);
    let target = Hop::start(
        Dialect::Smtp,
        1 << 20,
        Arc::new(move |_| match asked.load(Ordering::Relaxed) {
            true => Say::Reply(Reply::new(550, (5, 7, 1), "no")),
            false => Say::Reply(Reply::new(250, (2, 0, 0), "ok")),
        }),
    );
    let mut choice = choice(&scene, hop(target.address, Some("me@provider.example")));
    choice.own = Some(own());
    let station = Station::open(&scene, choice);
    let listed = |kind| listed(&scene).iter().filter(|item| item.kind == kind).count();
    for number in 0..5 {
        // A target that has refused everything for a while is an obstacle, and senders may be told so.
        let _ = station.send(&mail(number));
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    until("it was refused", || listed(Kind::Mail) > 1 && station.count("noted") > 1);
    until("one note is left", || listed(Kind::Note) == 1);
    refuses.store(false, Ordering::Relaxed);
    until("it takes mail", || station.send(&mail(9)).starts_with("250"));
    until("the note was taken", || listed(Kind::Note) == 0);
}

#[test]
fn what_is_not_to_be_kept_goes_at_once() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(&scene, hop(target.address, Some("me@provider.example")));
    (choice.own, choice.schedule) = (Some(own()), choice.schedule.keeping(std::time::Duration::ZERO));
    let station = Station::open(&scene, choice);
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it arrived", || station.count("arrived") == 1);
    until("it is gone", || listed(&scene).is_empty());
    let path = target.all()[0].from.address.clone();
    let said = submit(Language::Smtp, station.address, "", &[&path], &report("failed", "550 5.1.1 no")).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("the owner is told", || target.all().len() == 2);
    let text = String::from_utf8(open_sealed(&scene, &target.all()[1].octets).unwrap()).unwrap();
    assert!(text.contains("550 5.1.1 no") && text.contains("not kept"), "{text}");
    until("nothing is left", || listed(&scene).is_empty());
}
