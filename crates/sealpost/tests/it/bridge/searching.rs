//! `index` and `search`: what they find, that nothing of it is readable on disk, and what becomes of them in trouble.

use std::{fs, process::Stdio, time::Duration};

use super::scene::{Scene, message, put};
use crate::program::{holds, samples};

fn found(scene: &Scene, query: &str) -> Vec<u64> {
    let mut command = scene.stage.command("search --json");
    command.arg(query);
    let outcome = crate::program::feed(command, b"");
    assert_eq!(outcome.code, 0, "{query}: {outcome}");
    let hits: serde_json::Value = serde_json::from_slice(&outcome.out).unwrap();
    let mut uids: Vec<u64> = hits.as_array().unwrap().iter().map(|hit| hit["uid"].as_u64().unwrap()).collect();
    uids.sort_unstable();
    uids
}

/// Made-up mail, and the samples.
fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = samples().into_iter().map(|(_, octets)| octets).collect();
    all.extend(testbed::corpus::mails(60));
    all
}

#[test]
fn operators_find_what_is_meant() {
    let attached = b"From: Carol <carol@example.net>\r\nTo: alice@example.org\r\nSubject: the plan\r\nDate: Mon, 29 Feb 2016 10:00:00 +0000\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Sch\xc3\xb6ne Gr\xc3\xbc\xc3\x9fe</p>\r\n--b\r\n\
        Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"plan-b.pdf\"\r\n\r\nxx\r\n--b--\r\n"
        .to_vec();
    let scene = Scene::sealed(&[
        message("blue flower pot", "the key is below"),
        message("other", "blue words, a pot"),
        attached,
    ]);
    scene.stage.bad("search key --as-it-is", b"", 78, "no search index");
    for (query, uids) in [
        ("key", vec![1]),
        ("blue pot", vec![1, 2]),
        ("\"flower pot\"", vec![1]),
        ("subject:blue", vec![1]),
        ("from:carol", vec![3]),
        ("to:alice subject:plan", vec![3]),
        ("has:attachment", vec![3]),
        ("PLAN-B.pdf", vec![3]),
        ("schöne grüße", vec![3]),
        ("before:2016-03-01", vec![3]),
        ("after:2016-03-01", vec![1, 2]),
        ("nothing-of-the-kind", vec![]),
    ] {
        assert_eq!(found(&scene, query), uids, "{query}");
    }
    // As a shell passes it.
    let mut command = scene.stage.command("search");
    command.args(["subject:flower pot", "key"]);
    let outcome = crate::program::feed(command, b"");
    assert_eq!(String::from_utf8(outcome.out).unwrap().lines().count(), 1);
    scene.stage.bad("search form:bob", b"", 64, "operator");
    scene.stage.bad("search before:yesterday", b"", 64, "a day is written");
}

#[test]
fn the_index_says_the_same_as_the_mail_and_nothing_to_anybody_else() {
    let corpus = corpus();
    let scene = Scene::sealed(&corpus);
    let words = ["canary", "boathouse", "the", "example", "Miso", "text", "subject", "zzz", "alice", "plank"];
    let ask = |scene: &Scene| -> Vec<Vec<u32>> {
        let bridge = scene.bridge();
        let mut client = bridge.selected("INBOX");
        let keys = ["BODY", "TEXT", "SUBJECT", "FROM"];
        let pairs = keys.iter().flat_map(|key| words.iter().map(move |word| format!("SEARCH {key} {word}")));
        pairs.map(|line| client.good(&line).found()).collect()
    };
    let without = ask(&scene);
    assert!(without.iter().any(|found| found.len() == corpus.len()) && without.iter().any(Vec::is_empty));
    let told = scene.stage.json("index --json", b"");
    // What the bridge has opened is in it already.
    assert_eq!(
        (&told["added"], &told["kept"], &told["failed"]),
        (&0.into(), &corpus.len().into(), &0.into()),
        "{told}"
    );
    let told = scene.stage.json("index --rebuild --json", b"");
    assert_eq!((&told["added"], &told["failed"]), (&corpus.len().into(), &0.into()), "{told}");
    assert_eq!(ask(&scene), without);
    // The words of one message, each of which stands in no other.
    for (number, canary) in
        (0..60).map(|number| (number + samples().len() + 1, testbed::corpus::canary(number))).step_by(7)
    {
        assert_eq!(found(&scene, &canary), [number as u64], "{canary}");
    }
    let canaries: Vec<String> = (0..60).map(testbed::corpus::canary).collect();
    let mut texts: Vec<&[u8]> = canaries.iter().map(String::as_bytes).collect();
    texts.push(crate::program::CANARY);
    texts.push(b"boathouse key");
    texts.push(b"semana-20.png");
    let leaks = scene.files_with(&texts);
    assert!(leaks.is_empty(), "{leaks:?}");
    assert!(fs::metadata(scene.stage.path("home/index.db")).unwrap().len() > 20_000);
    // Mail that comes and goes.
    put(&scene.maildir(), &[]);
    fs::write(scene.maildir().join("new/9000000001.x.host"), message("fresh", "quite new words")).unwrap();
    assert_eq!(found(&scene, "\"quite new words\"").len(), 1);
    let told = scene.stage.json("index --json", b"");
    assert_eq!(told["kept"], corpus.len() + 1, "{told}");
}

#[test]
fn an_index_that_was_killed_damaged_or_is_of_other_trust_is_made_again() {
    let corpus = corpus();
    let scene = Scene::sealed(&corpus);
    for pause in [20, 40, 60, 90] {
        let mut command = scene.stage.command("index");
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let _ = process.kill();
        process.wait().unwrap();
    }
    scene.stage.good("index", b"");
    let canary = testbed::corpus::canary(5);
    assert_eq!(found(&scene, &canary).len(), 1);
    // Another sealer is pinned: what opens may be other mail now.
    let stranger = crate::program::Stage::with_owner();
    scene.stage.write("stranger.sealer", stranger.text("key export --sealer", b""));
    scene.stage.good("key trust-sealer stranger.sealer", b"");
    let told = scene.stage.json("index --json", b"");
    assert_eq!(told["added"], corpus.len(), "{told}");
    assert_eq!(found(&scene, &canary).len(), 1);
    // Damaged: said, not guessed around; made again on request.
    for name in ["index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(scene.stage.path("home").join(name));
    }
    let path = scene.stage.path("home/index.db");
    fs::write(&path, b"this is no database, and long enough to be looked at as if it were one".repeat(100)).unwrap();
    scene.stage.bad(&format!("search {canary}"), b"", 65, "damaged");
    // The bridge does without.
    let bridge = scene.bridge();
    assert_eq!(bridge.selected("INBOX").good(&format!("SEARCH BODY {canary}")).found().len(), 1);
    drop(bridge);
    scene.stage.good("index --rebuild", b"");
    assert_eq!(found(&scene, &canary).len(), 1);
    assert!(!holds(&fs::read(&path).unwrap(), canary.as_bytes()));
    // One octet of one record: a message that is not found must not be there.
    let database = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE words SET sealed = zeroblob(length(sealed)) WHERE rowid = (SELECT max(rowid) FROM words WHERE mailbox <> '')";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    drop(database);
    scene.stage.bad(&format!("search {canary}"), b"", 65, "damaged");
    scene.stage.good("index --rebuild", b"");
    assert_eq!(found(&scene, &canary).len(), 1);
}

#[test]
fn nothing_is_kept_of_mail_that_is_gone() {
    let scene = Scene::sealed(&[message("one", "first"), message("two", "second")]);
    // Only what is opened here: what goes through the mail in the background keeps some at a time of its own.
    let config = fs::read_to_string(scene.stage.path("home/config.toml")).unwrap();
    scene.stage.write("home/config.toml", config + "index = \"opened\"\n");
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    client.good("FETCH 1:2 BODY.PEEK[HEADER]");
    let kept = || -> Vec<i64> {
        let database = rusqlite::Connection::open(scene.stage.path("home/index.db")).unwrap();
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} WHERE mailbox <> ''");
            database.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        ["words", "headers"].map(count).to_vec()
    };
    assert_eq!(kept(), [2, 2]);
    client.good("STORE 1 +FLAGS (\\Deleted)");
    client.good("EXPUNGE");
    client.good("SELECT INBOX");
    assert_eq!(kept(), [1, 1]);
}
