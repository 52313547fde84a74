//! Mail of every kind, sealed byte for byte, or refused by name.

use std::fs;
use std::sync::Arc;

use flow::delivery::Sink;
use testbed::{Language, submit};
use wire::smtp::{Dialect, Reply};

use crate::gate::{ALICE, Gate, assert_nothing_readable, choice, delivered, enrol, hop, mail, open_sealed};
use crate::hop::{Hop, Say, Taken};
use crate::scene::Scene;

fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let head = "From: eve@example.com\r\nSubject: zimtschnecke\r\n";
    let with = |rest: &[u8]| [head.as_bytes(), rest].concat();
    let parts: String = (0..10_000).map(|number| format!("--b\r\n\r\npart {number}\r\n")).collect();
    vec![
        ("nothing", Vec::new()),
        ("one octet", b"x".to_vec()),
        ("no header", b"\r\nbody\r\n".to_vec()),
        ("no body", with(b"")),
        ("bare LF", with(b"\nbody\nmore\n")),
        ("bare CR", with(b"\r\nbo\rdy\r\r\n")),
        ("no final line end", with(b"\r\nbody")),
        ("NUL", with(b"\r\nbo\0dy\r\n")),
        ("Latin-1", with(b"Subject: zimtschnecke \xe4\r\n\r\nGr\xfc\xdfe\r\n")),
        ("UTF-8 header", with("X-Name: Jörg\r\n\r\nGrüße\r\n".as_bytes())),
        ("long lines", with(&[b"\r\n", &vec![b'y'; 100_000][..], b"\r\n"].concat())),
        ("dots", with(b"\r\n.\r\n..\r\n.a\r\n\r\n.\r\n")),
        ("smuggler", with(b"\r\nx\n.\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nSubject: y\n\nz\r\n")),
        ("many parts", with(format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n").as_bytes())),
        (
            "forged fields",
            with(b"Sealed-Mail: v=1; p=pgp1; id=AAAAAAAAAAAAAAAAAAAAAA; bh=x; s=x; sig=x\r\n\r\nhello\r\n"),
        ),
        (
            "forged type",
            with(b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nzimtschnecke\r\n--b--\r\n"),
        ),
        (
            "signed, not encrypted",
            with(b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nzimtschnecke\r\n"),
        ),
        ("large", with(&[&b"\r\n"[..], &b"zimtschnecke and cream\r\n".repeat(400_000)].concat())),
    ]
}

#[test]
fn every_octet_comes_back_from_the_sealed_copy() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    enrol(&scene, ALICE);
    for (name, octets) in kinds() {
        let sink = scene.home.join("sink").join(name);
        let gate = Gate::open(&scene, choice(home.path(), Dialect::Lmtp, Sink::Maildir(sink.clone())));
        let said = submit(Language::Lmtp, gate.address, "", &[ALICE], &octets).unwrap();
        assert!(said[0].starts_with("250"), "{name}: {said:?}");
        let stored = delivered(&sink);
        assert_eq!(stored.len(), 1, "{name}");
        assert!(open_sealed(&scene, &stored[0]).as_ref() == Some(&octets), "{name}");
        assert!(stored[0].is_ascii(), "{name}");
    }
    assert_nothing_readable(home.path());
}

#[test]
fn what_is_encrypted_already_goes_on_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    enrol(&scene, ALICE);
    let sink = scene.home.join("sink");
    let gate = Gate::open(&scene, choice(home.path(), Dialect::Lmtp, Sink::Maildir(sink.clone())));
    let ours = scene.seal(&mail(1), &scene.sealer());
    let other = scene.seal(&mail(2), &sealed::signature::SealerKey::from_seed(&[4; 32]).unwrap());
    for octets in [&ours, &other] {
        let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], octets).unwrap();
        assert!(said[0].starts_with("250"), "{said:?}");
    }
    let mut stored = delivered(&sink);
    stored.sort();
    let mut expected = vec![ours, other];
    expected.sort();
    assert!(stored == expected);
    assert_eq!(gate.outcome("encrypted"), 2);
}

#[test]
fn a_hundred_recipients_get_a_copy_each_and_see_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let next =
        Hop::start(Dialect::Lmtp, 1 << 20, Arc::new(|_: &Taken| Say::Reply(Reply::new(250, (2, 0, 0), "taken"))));
    let addresses: Vec<String> = (0..100).map(|number| format!("user{number}@example.test")).collect();
    let choice = choice(home.path(), Dialect::Lmtp, hop(Dialect::Lmtp, next.address));
    addresses.iter().for_each(|address| enrol(&scene, address));
    let gate = Gate::open(&scene, choice);
    let recipients: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let said = submit(Language::Lmtp, gate.address, "eve@example.com", &recipients, &mail(1)).unwrap();
    assert!(said.len() == 100 && said.iter().all(|one| one.starts_with("250")), "{said:?}");
    let taken = next.all();
    assert_eq!(taken.len(), 100);
    for address in &addresses {
        let own: Vec<&Taken> = taken.iter().filter(|one| one.to.iter().any(|to| to.address == *address)).collect();
        assert!(own.len() == 1 && own[0].to.len() == 1 && own[0].from.address == "eve@example.com");
        let stored = &own[0].octets;
        assert!(open_sealed(&scene, stored) == Some(mail(1)));
        let index = open::headers(stored, &scene.keyring(), &scene.trust()).unwrap();
        assert_eq!(index.envelope, ["eve@example.com", address]);
    }
}

#[test]
fn utf8_addresses_pass_where_the_next_server_takes_them() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let next =
        Hop::start(Dialect::Lmtp, 1 << 20, Arc::new(|_: &Taken| Say::Reply(Reply::new(250, (2, 0, 0), "taken"))));
    let choice = choice(home.path(), Dialect::Lmtp, hop(Dialect::Lmtp, next.address));
    enrol(&scene, "jörg@example.test");
    let gate = Gate::open(&scene, choice);
    let said = submit(Language::Lmtp, gate.address, "bäcker@example.com", &["JÖRG@example.test"], &mail(1)).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    let taken = next.all();
    assert!(taken[0].from.smtputf8 && taken[0].to[0].address == "JÖRG@example.test");
    assert!(open_sealed(&scene, &taken[0].octets) == Some(mail(1)));
}

#[test]
fn too_large_is_said_and_the_session_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    enrol(&scene, ALICE);
    let mut choice = choice(home.path(), Dialect::Lmtp, Sink::Maildir(scene.home.join("sink")));
    choice.max_message = 5000;
    let gate = Gate::open(&scene, choice);
    let said = submit(Language::Lmtp, gate.address, "a@b", &[ALICE], &vec![b'x'; 6000]).unwrap();
    assert!(said[0].starts_with("552 5.3.4"), "{said:?}");
    assert!(submit(Language::Lmtp, gate.address, "a@b", &[ALICE], &mail(1)).unwrap()[0].starts_with("250"));
    assert!(fs::read_dir(scene.home.join("sink/new")).unwrap().count() == 1);
}
