//! APPEND: sealed before it is on disk, and read back as it was written; a canary is searched for in every byte of every file.

use std::fs;

use super::scene::{Scene, message};
use crate::program::{CANARY, large};

fn append(client: &mut super::client::Client, mailbox: &str, rest: &str, octets: &[u8]) -> super::client::Answer {
    let line = format!("APPEND {mailbox} {rest}{{{}+}}\r\n", octets.len());
    client.send(&[line.as_bytes(), octets].concat());
    client.answer()
}

#[test]
fn what_is_stored_reads_back_as_it_was_written_and_is_nowhere_in_clear() {
    let canary = String::from_utf8(CANARY.to_vec()).unwrap();
    let scene = Scene::sealed(&[message("one", &canary)]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let draft = message("unsent-canary-subject", &canary);
    let big = large(3 << 20);
    let answer = append(&mut client, "INBOX", "(\\Draft \\Seen $Work) \" 7-Feb-1994 21:52:25 -0800\" ", &draft);
    assert!(answer.tagged.starts_with("OK [APPENDUID ") && answer.tagged.contains(" 2]"), "{answer:?}");
    assert!(answer.text().contains("* 2 EXISTS"));
    let answer = append(&mut client, "INBOX", "", &big);
    assert!(answer.tagged.contains(" 3]"), "{answer:?}");
    // In the middle of a session, with the large one open.
    assert_eq!(client.good("FETCH 3 BODY.PEEK[]").octets(), big);
    assert_eq!(client.good("FETCH 2 BODY.PEEK[]").octets(), draft);
    let told = client.good("FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE)").text();
    assert!(told.contains("\\Seen \\Draft $Work $SealedOK") && told.contains("08-Feb-1994 05:52:25 +0000"), "{told}");
    assert!(told.contains(&format!("RFC822.SIZE {}", draft.len())), "{told}");
    assert_eq!(client.good(&format!("SEARCH TEXT {canary}")).found(), [1, 2, 3]);
    assert_eq!(client.good("SEARCH SUBJECT unsent-canary").found(), [2]);
    let leaks = scene.files_with(&[CANARY, b"unsent-canary-subject"]);
    assert!(leaks.is_empty(), "{leaks:?}");
    for entry in fs::read_dir(scene.maildir().join("cur")).unwrap() {
        assert!(crate::program::holds(&fs::read(entry.unwrap().path()).unwrap(), b"Sealed-Mail:"));
    }
    // What was appended is like any sealed mail.
    drop(client);
    drop(bridge);
    let verified = scene.stage.json("verify all --json", b"");
    assert_eq!(verified["opened"], 3, "{verified}");
}

#[test]
fn appends_that_cannot_be_are_refused_and_leave_nothing() {
    let scene = Scene::sealed(&[message("one", "x")]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let octets = message("two", "y");
    assert!(append(&mut client, "Nowhere", "", &octets).tagged.starts_with("NO [TRYCREATE]"));
    assert!(append(&mut client, "INBOX", "", b"").tagged.starts_with("NO"));
    client.send(b"APPEND INBOX {99999999999}");
    assert!(client.answer().tagged.starts_with("NO [TOOBIG]"));
    client.send([b"APPEND INBOX {2+}\r\nab {2+}".as_slice()].concat().as_slice());
    assert!(client.answer().tagged.starts_with("BAD"));
    assert!(client.good("STATUS INBOX (MESSAGES)").text().contains("MESSAGES 1"));
    assert_eq!(fs::read_dir(scene.maildir().join("tmp")).unwrap().count(), 0);
    drop(bridge);
    // Without a sealer: read, but never store in clear.
    for file in ["sealer.secret", "dedup.secret"] {
        fs::remove_file(scene.stage.path("home/keys").join(file)).unwrap();
    }
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    assert!(append(&mut client, "INBOX", "", &octets).tagged.starts_with("NO [CANNOT]"));
    assert!(client.good("FETCH 1 BODY.PEEK[]").text().contains("Subject: one"));
}

#[test]
fn what_is_encrypted_already_is_stored_as_it_is() {
    let scene = Scene::sealed(&[message("one", "x")]);
    let sealed = scene.stage.good("seal", &message("sealed elsewhere", "y"));
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    assert!(append(&mut client, "INBOX", "", &sealed).tagged.starts_with("OK"));
    assert!(client.good("FETCH 2 BODY.PEEK[]").text().contains("Subject: sealed elsewhere"));
    drop(bridge);
    let files = fs::read_dir(scene.maildir().join("cur")).unwrap();
    let count = files.filter(|entry| fs::read(entry.as_ref().unwrap().path()).unwrap() == sealed).count();
    assert_eq!(count, 1);
}
