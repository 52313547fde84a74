//! Sealed messages that lie twice (format A17): what a server shows again is told of as a copy; what was copied through the bridge is not.

use std::fs;

use super::{
    account,
    client::Client,
    scene::{Bridge, Scene, message},
};

const NONE: [u32; 0] = [];

/// UIDs of the copies of a mailbox, as its flags say and as a search does.
fn copies(client: &mut Client, mailbox: &str) -> Vec<u32> {
    client.good(&format!("SELECT {mailbox}"));
    let mut told = Vec::new();
    for line in client.good("UID FETCH 1:* (FLAGS)").text().lines().filter(|line| line.contains("$SealedCopy")) {
        assert!(line.contains("$SealedOK"), "{line}");
        told.push(line.split("UID ").nth(1).unwrap().split([' ', ')']).next().unwrap().parse().unwrap());
    }
    assert_eq!(client.good("UID SEARCH KEYWORD $SealedCopy").found(), told);
    told
}

/// Where mail is put that nobody sees come: past the bridge.
struct Place<'p> {
    bridge: Bridge,
    put: &'p dyn Fn(&str, u32),
}

/// The law, wherever the mail lies: INBOX holds two sealed messages, UIDs 1 and 2; `put` puts the first of them into a mailbox once more.
fn law(Place { bridge, put }: Place<'_>) {
    let mut client = bridge.client();
    assert_eq!(copies(&mut client, "INBOX"), NONE);
    put("INBOX", 1);
    assert_eq!(copies(&mut client, "INBOX"), [3]);
    // Nobody sets or hides it.
    client.good("UID STORE 2 +FLAGS ($SealedCopy)");
    client.good("UID STORE 3 -FLAGS ($SealedCopy)");
    client.good("UID STORE 3 FLAGS (\\Seen)");
    assert_eq!(copies(&mut client, "INBOX"), [3]);
    // In another session, and in another mailbox.
    put("Sent", 1);
    let mut other = bridge.client();
    assert_eq!(copies(&mut other, "INBOX"), [3]);
    assert_eq!(copies(&mut other, "Sent"), [1]);
    // What is copied and moved through the bridge is none.
    client.good("SELECT INBOX");
    client.good("UID COPY 1:2 Trash");
    assert_eq!(copies(&mut other, "Trash"), NONE);
    client.good("UID COPY 2 INBOX");
    assert_eq!(copies(&mut client, "INBOX"), [3]);
    // But once more it is.
    put("Trash", 2);
    assert_eq!(copies(&mut other, "Trash"), [3]);
    client.good("SELECT Trash");
    client.good("UID STORE 3 +FLAGS (\\Deleted)");
    client.good("EXPUNGE");
    client.good("UID MOVE 1 Sent");
    assert_eq!(copies(&mut other, "Sent"), [1]);
    // When the first one goes, the other one is the first; whoever has them open is told.
    assert_eq!(copies(&mut other, "INBOX"), [3]);
    client.good("SELECT INBOX");
    client.good("UID STORE 1 +FLAGS (\\Deleted)");
    client.good("UID EXPUNGE 1");
    let told = other.good("NOOP").text();
    assert!(told.contains("* 1 EXPUNGE"), "{told}");
    assert!(told.lines().any(|line| line.contains("FETCH (UID 3 ") && !line.contains("$SealedCopy")), "{told}");
}

#[test]
fn what_a_maildir_holds_twice_is_told() {
    let scene = Scene::sealed(&[message("one", "the first"), message("another", "the second")]);
    let sealed = sealed_files(&scene);
    let count = std::cell::Cell::new(0);
    let put = |mailbox: &str, which: u32| {
        count.set(count.get() + 1);
        let folder = if mailbox == "INBOX" { String::new() } else { format!(".{mailbox}/") };
        let name = format!("1700000000.again{}.host", count.get());
        // As mail servers do: what is written half is seen by nobody.
        let half = scene.stage.write(&format!("Maildir/{folder}tmp/{name}"), &sealed[which as usize - 1]);
        fs::rename(half, scene.stage.path(&format!("Maildir/{folder}cur/{name}:2,"))).unwrap();
    };
    law(Place { bridge: scene.bridge(), put: &put });
    // In a terminal too.
    put("INBOX", 2);
    let listed = String::from_utf8(scene.stage.good("list", b"")).unwrap();
    let marked: Vec<&str> = listed.lines().filter(|line| line.ends_with("(a copy of another one)")).collect();
    assert_eq!(marked.len(), 1, "{listed}");
    let number = marked[0].split_whitespace().next().unwrap();
    let shown = scene.stage.run(&format!("show {number}"), b"");
    assert!(shown.err.contains("lies here besides"), "{shown:?}");
    assert!(String::from_utf8(scene.stage.good("list --json", b"")).unwrap().contains("\"copy\": true"));
}

/// The messages of INBOX as they lie, in the order in which they arrived.
fn sealed_files(scene: &Scene) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        fs::read_dir(scene.maildir().join("cur")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn what_a_server_shows_twice_is_told() {
    if !testbed::servers() {
        return;
    }
    let scene = account::Scene::new();
    let originals = [message("one", "the first"), message("another", "the second")];
    let sealed: Vec<Vec<u8>> = originals.iter().map(|mail| scene.stage.good("seal", mail)).collect();
    scene.put(&sealed);
    let mut direct = scene.direct();
    for mailbox in ["Sent", "Trash"] {
        direct.say(&format!("CREATE {mailbox}"));
    }
    let direct = std::cell::RefCell::new(direct);
    let put = |mailbox: &str, which: u32| {
        let told = account::append(&mut direct.borrow_mut(), mailbox, "", &sealed[which as usize - 1]);
        assert!(told.tagged.starts_with("OK"), "{told:?}");
    };
    law(Place { bridge: scene.bridge(), put: &put });
}

#[test]
fn a_message_that_was_moved_past_the_bridge_is_no_copy() {
    if !testbed::servers() {
        return;
    }
    let scene = account::Scene::sealed(&[message("one", "the first"), message("another", "the second")]);
    let mut direct = scene.direct();
    direct.say("CREATE Archive");
    let bridge = scene.bridge();
    let mut client = bridge.client();
    assert_eq!(copies(&mut client, "INBOX"), NONE);
    client.good("UNSELECT");
    direct.good("SELECT INBOX");
    direct.good("UID MOVE 1 Archive");
    assert_eq!(copies(&mut client, "Archive"), NONE);
    // What is put past the bridge and sealed already is told of when it comes again through it.
    direct.good("UID COPY 2 Archive");
    assert_eq!(copies(&mut client, "INBOX"), NONE);
    assert_eq!(copies(&mut client, "Archive"), [2]);
}
