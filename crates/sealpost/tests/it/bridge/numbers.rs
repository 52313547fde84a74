//! UIDs stay: over restarts, kills, sweeps under way, other programs' renames, and trouble.

use std::{collections::BTreeMap, fs};

use super::scene::{Bridge, Scene, message, put};

/// UIDVALIDITY, and the body of each UID.
fn all(bridge: &Bridge) -> (String, BTreeMap<u32, String>) {
    let mut client = bridge.client();
    let told = client.good("SELECT INBOX").text();
    let validity = told.split("[UIDVALIDITY ").nth(1).unwrap().split(']').next().unwrap().to_owned();
    let mut bodies = BTreeMap::new();
    for (_, items) in client.good("UID FETCH 1:* BODY.PEEK[TEXT]").fetched() {
        let [(_, super::client::Value::Atom(uid)), (_, super::client::Value::Text(text))] = items.as_slice() else {
            panic!("{items:?}")
        };
        bodies.insert(uid.parse().unwrap(), String::from_utf8(text.clone()).unwrap().trim_end().to_owned());
    }
    (validity, bodies)
}

fn bodies(pairs: &[(u32, &str)]) -> BTreeMap<u32, String> {
    pairs.iter().map(|(uid, body)| (*uid, (*body).to_owned())).collect()
}

#[test]
fn uids_stay_over_kills_sweeps_and_renames() {
    let scene = Scene::new();
    put(&scene.maildir(), &[message("a", "aa"), message("b", "bb"), message("c", "cc")]);
    let bridge = scene.bridge();
    let (validity, first) = all(&bridge);
    assert_eq!(first, bodies(&[(1, "aa"), (2, "bb"), (3, "cc")]));
    // Sealed while a client looks on: the same messages, the same numbers, no duplicate.
    let mut client = bridge.selected("INBOX");
    scene.sweep();
    let told = client.good("NOOP").text();
    assert!(!told.contains("EXPUNGE") && !told.contains("EXISTS"), "{told}");
    drop(client);
    // The octets that are shown are the same, whether the file is sealed or not, so the number may stay.
    assert_eq!(all(&bridge), (validity.clone(), first.clone()));
    bridge.kill();
    // Another program flags, moves away, and delivers.
    let cur = scene.maildir().join("cur");
    for entry in fs::read_dir(&cur).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        fs::rename(&path, cur.join(name.split(':').next().unwrap().to_owned() + ":2,RS")).unwrap();
    }
    let bridge = scene.bridge();
    assert_eq!(all(&bridge), (validity.clone(), first.clone()));
    let mut client = bridge.selected("INBOX");
    client.good("STORE 3 +FLAGS (\\Deleted)");
    client.good("EXPUNGE");
    drop(client);
    fs::write(scene.maildir().join("new/1600000000.d.host"), message("d", "dd")).unwrap();
    let (_, now) = all(&bridge);
    assert_eq!(now, bodies(&[(1, "aa"), (2, "bb"), (4, "dd")]));
    // The way back keeps them too.
    drop(bridge);
    scene.stage.good("undo all", b"");
    assert_eq!(all(&scene.bridge()), (validity, now));
}

#[test]
fn a_mailbox_that_cannot_be_read_loses_nothing() {
    let scene = Scene::sealed(&[message("a", "aa"), message("b", "bb")]);
    let bridge = scene.bridge();
    let before = all(&bridge);
    let cur = scene.maildir().join("cur");
    let mut client = bridge.selected("INBOX");
    fs::rename(&cur, scene.maildir().join("away")).unwrap();
    let told = client.say("NOOP").text();
    assert!(!told.contains("EXPUNGE"), "{told}");
    assert!(bridge.client().say("SELECT INBOX").tagged.starts_with("NO"));
    fs::rename(scene.maildir().join("away"), &cur).unwrap();
    drop(client);
    assert_eq!(all(&bridge), before);
    drop(bridge);
    assert_eq!(all(&scene.bridge()), before);
}
