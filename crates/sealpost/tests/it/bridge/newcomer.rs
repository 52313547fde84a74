//! What somebody does who has not read everything: names with letters of his own, paths that are not there, the same twice, Ctrl-C.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use super::{
    account,
    scene::{Scene, message, put},
};
use crate::program::{Outcome, Stage, feed};

/// Folders beside INBOX.
fn make(scene: &Scene, folders: &[&str]) {
    for folder in folders {
        for place in ["cur", "new", "tmp"] {
            fs::create_dir_all(scene.maildir().join(folder).join(place)).unwrap();
        }
    }
}

fn hits(stage: &Stage, query: &str) -> Vec<String> {
    let hits = stage.json(&format!("search --json {query}"), b"");
    hits.as_array().unwrap().iter().map(|hit| format!("{}/{}", hit["mailbox"].as_str().unwrap(), hit["uid"])).collect()
}

#[test]
fn mail_is_found_however_its_folder_is_spelled() {
    let scene = Scene::new();
    // As Dovecot spells names; as others do; a name that is ASCII, and one that only looks encoded.
    make(&scene, &[".B&APw-ro", ".&AMQ-rger", ".Gr\u{fc}\u{df}e", ".Plain", ".R&D"]);
    for (folder, subject) in [
        (".B&APw-ro", "wordone"),
        (".&AMQ-rger", "wordtwo"),
        (".Gr\u{fc}\u{df}e", "wordthree"),
        (".Plain", "wordfour"),
        (".R&D", "wordfive"),
    ] {
        put(&scene.maildir().join(folder), &[message(subject, "body")]);
    }
    scene.sweep();
    assert_eq!(hits(&scene.stage, "wordone"), ["B\u{fc}ro/1"]);
    assert_eq!(hits(&scene.stage, "wordtwo"), ["\u{c4}rger/1"]);
    assert_eq!(hits(&scene.stage, "wordthree"), ["Gr\u{fc}\u{df}e/1"]);
    assert_eq!(hits(&scene.stage, "wordfour"), ["Plain/1"]);
    assert_eq!(hits(&scene.stage, "wordfive").len(), 1);
}

/// Both count with the same sealer, and neither misses what the other has, or what was put back.
#[test]
fn numbers_of_another_flow_are_no_gaps() {
    let scene = Scene::new();
    let stage = &scene.stage;
    let text = fs::read_to_string(stage.path("home/config.toml")).unwrap();
    let second = format!(
        "[flow.second]\nsource = {{ maildir = {:?} }}\nseal = {{ to = \"alice@example.org\" }}\nsink = \"in-place\"\n",
        stage.path("Other")
    );
    stage.write("home/config.toml", format!("{text}{second}"));
    for place in ["cur", "new", "tmp"] {
        fs::create_dir_all(stage.path("Other").join(place)).unwrap();
    }
    let mails = |begin: usize| (begin..begin + 4).map(|n| message(&format!("m{n}"), "body")).collect::<Vec<_>>();
    let gaps = |flow: &str| stage.json(&format!("verify {flow} --json"), b"")["gaps"].as_array().unwrap().len();
    put(&scene.maildir(), &mails(0));
    stage.good("sweep all", b"");
    put(&stage.path("Other"), &mails(10));
    stage.good("sweep second", b"");
    fs::write(scene.maildir().join("cur/9000000000.x.host:2,S"), message("late", "body")).unwrap();
    stage.good("sweep all", b"");
    assert_eq!((gaps("all"), gaps("second")), (0, 0));
    // One that is really gone is missed: from 1 to 9 there is one that is neither the last nor another flow's.
    let lost = fs::read_dir(stage.path("Other/cur")).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let number = |path: &std::path::PathBuf| -> u64 {
        let shown: serde_json::Value =
            serde_json::from_slice(&stage.good("headers --json", &fs::read(path).unwrap())).unwrap();
        shown["sequence"].as_u64().unwrap()
    };
    let lost = lost.into_iter().min_by_key(number).unwrap();
    let away = stage.path("tmp/away");
    fs::rename(&lost, &away).unwrap();
    assert_eq!((gaps("all"), gaps("second")), (0, 1));
    fs::rename(&away, &lost).unwrap();
    assert_eq!(gaps("second"), 0);
    // What was put back is no loss, for nobody.
    stage.good("undo all", b"");
    assert_eq!((gaps("all"), gaps("second")), (0, 0));
}

/// Asked to end while it waits for something that never comes.
fn interrupted(stage: &Stage, line: &str, listener: &TcpListener) -> Outcome {
    let process = stage.command(line).stdin(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    // Up to here it is at work; then nothing more is said.
    stream.write_all(b"* OK ready\r\n").unwrap();
    let mut octet = [0];
    stream.read_exact(&mut octet).unwrap();
    let signal = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(signal.success());
    Outcome::of(process)
}

#[test]
fn a_stop_is_a_stop_and_no_fault_of_the_server() {
    let stage = Stage::with_owner();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    account::configure(&stage, listener.local_addr().unwrap());
    for line in ["list", "index", "search word", "export --to out", "verify inbox"] {
        let outcome = interrupted(&stage, line, &listener);
        outcome.is_failure(line, 75, "stopped, as asked");
    }
    assert!(!stage.path("out").exists());
}

#[test]
fn what_the_index_lacks_is_said() {
    let scene = Scene::sealed(&[message("one", "first words"), message("two", "second words")]);
    let stage = &scene.stage;
    stage.bad("search words --as-it-is", b"", 78, "no search index");
    stage.good("index", b"");
    let outcome = stage.run("search words --as-it-is", b"");
    assert_eq!((outcome.code, outcome.out.iter().filter(|octet| **octet == b'\n').count()), (0, 2), "{outcome}");
    assert!(outcome.err.contains("the index holds 2 messages"), "{outcome}");
    assert!(!outcome.err.contains("not complete"), "{outcome}");
    // Half made: what is there, and that it is not all.
    let database = rusqlite::Connection::open(stage.path("home/index.db")).unwrap();
    let sql = "DELETE FROM words WHERE rowid = (SELECT max(rowid) FROM words WHERE mailbox <> '')";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    drop(database);
    let outcome = stage.run("search words --as-it-is", b"");
    assert!(outcome.err.contains("the index holds 1 messages; 1 mailboxes are not complete"), "{outcome}");
    // Removed: nothing was found because nothing is there.
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(stage.path("home").join(name));
    }
    stage.bad("search words --as-it-is", b"", 78, "no search index");
}

#[test]
fn a_maildir_that_is_not_there_is_said_to_be_missing() {
    let stage = Stage::with_owner();
    for line in ["search word", "search word --as-it-is", "index", "index --rebuild", "list", "bridge"] {
        let outcome = stage.bad(&format!("{line} --maildir nowhere"), b"", 78, "the Maildir cannot be opened");
        assert!(!outcome.err.contains("disk full"), "{outcome}");
    }
}

#[test]
fn exports_say_what_is_in_their_way_and_double_nothing() {
    let scene = Scene::sealed(&[message("one", "first"), message("two", "second")]);
    let stage = &scene.stage;
    make(&scene, &[".B&APw-ro"]);
    put(&scene.maildir().join(".B&APw-ro"), &[message("three", "third")]);
    stage.bad("export --to none --mailbox NOPE", b"", 64, "no such mailbox");
    assert!(!stage.path("none").exists());
    stage.good("export --to mbox", b"");
    stage.bad("export --to mbox", b"", 75, "INBOX.mbox");
    assert_eq!(fs::read_dir(stage.path("mbox")).unwrap().count(), 4, "no litter");
    stage.good("export --to eml --format eml", b"");
    stage.bad("export --to eml --format eml", b"", 75, "1.eml");
    stage.good("export --to maildir --format maildir", b"");
    assert!(stage.path("maildir/.B&APw-ro/cur").is_dir(), "as Dovecot spells it");
    let count = || fs::read_dir(stage.path("maildir/cur")).unwrap().count();
    assert_eq!(count(), 2);
    stage.bad("export --to maildir --format maildir", b"", 75, "holds mail already");
    assert_eq!(count(), 2);
}

#[test]
fn a_message_is_named_as_search_prints_it() {
    let scene = Scene::sealed(&[message("one", "first"), message("two", "second")]);
    let stage = &scene.stage;
    make(&scene, &[".Archive.2024"]);
    put(&scene.maildir().join(".Archive.2024"), &[message("three", "third words")]);
    for (line, subject) in [
        ("show 2", "Subject: two"),
        ("show INBOX/1", "Subject: one"),
        ("show Archive/2024/1", "Subject: three"),
        ("show 1 --mailbox Archive/2024", "Subject: three"),
        ("cat Archive/2024/1", "Subject: three"),
        ("cat inbox/2", "Subject: two"),
    ] {
        assert!(stage.text(line, b"").contains(subject), "{line}");
    }
    let mut command = stage.command("search");
    command.arg("third");
    let printed = String::from_utf8(feed(command, b"").out).unwrap();
    let named = printed.split_whitespace().next().unwrap();
    assert!(stage.text(&format!("show {named}"), b"").contains("third words"));
    stage.bad("show INBOX/1 --mailbox Sent", b"", 64, "two mailboxes");
    stage.bad("show INBOX/9", b"", 64, "no such message");
}

#[test]
fn what_is_nearly_right_gets_a_hint() {
    let scene = Scene::sealed(&[message("one", "first"), message("two", "second")]);
    let stage = &scene.stage;
    let outcome = stage.bad("list sennt", b"", 64, "no such mailbox");
    assert!(outcome.err.contains("did you mean `Sent`?"), "{outcome}");
    let named = stage.text("list --mailboxes", b"");
    assert_eq!(named, "     2  INBOX\n     0  Sent\n     0  Trash\n");
    assert_eq!(stage.text("list --last 1", b"").lines().count(), 1);
    assert!(stage.text("list", b"").contains("  Bob                         one\n"));
    for query in ["from:", "to: bob"] {
        stage.bad(&format!("search {query}"), b"", 64, "a value is missing");
    }
    assert_eq!(hits(stage, "Subject:one").len(), 1);
    assert_eq!(hits(stage, "FROM:bob --limit 1").len(), 1);
    assert_eq!(hits(stage, "from:bob --mailbox Sent").len(), 0);
    let outcome = stage.run("search nowhere-to-be-found", b"");
    assert!(outcome.out.is_empty() && outcome.err.contains("nothing found"), "{outcome}");
    assert!(stage.text("search one", b"").starts_with("INBOX/1  2026-03-03  Bob"));
    Stage::new().bad("list", b"", 78, "there is no home");
}

#[test]
fn check_looks_at_the_bridge() {
    let scene = Scene::new();
    let stage = &scene.stage;
    let config = fs::read_to_string(stage.path("home/config.toml")).unwrap();
    assert!(stage.text("check", b"").contains("ok       bridge"));
    for (from, to, says) in [
        ("[bridge]\n", "[bridge]\naccount = \"work\"\n", "a Maildir and an account"),
        ("127.0.0.1:0", "0.0.0.0:1143", "others reach"),
        ("[bridge]\nmaildir", "[bridge]\naccount = \"nobody\"\n#", "not in config.toml"),
    ] {
        stage.write("home/config.toml", config.replace(from, to));
        let outcome = stage.run("check", b"");
        assert_eq!(outcome.code, 78, "{outcome}");
        assert!(String::from_utf8(outcome.out).unwrap().contains(says), "{says}");
    }
}
