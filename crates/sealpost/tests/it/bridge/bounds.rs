//! What the bridge holds no more of than it must: places for those who do not log in, records of what is gone, halves of what failed.

use std::{fs, io::Read, net::TcpStream, path::Path, thread, time::Duration};

use super::{
    account,
    client::Client,
    scene::{Bridge, Scene, message},
};

#[test]
fn who_does_not_log_in_keeps_nobody_out() {
    let scene = Scene::sealed(&[message("one", "the first")]);
    let bridge = scene.bridge();
    // Who is within stays.
    let mut within = bridge.selected("INBOX");
    let mut idle: Vec<Client> = (0..reader::bridge::MAX_SESSIONS).map(|_| Client::connect(bridge.address)).collect();
    let mut late = bridge.selected("INBOX");
    late.good("FETCH 1 FLAGS");
    within.good("FETCH 1 FLAGS");
    // The one who has waited longest was told to go.
    let told = idle.remove(0).response();
    assert!(told.starts_with(b"* BYE"), "{}", String::from_utf8_lossy(&told));
    // As many as may have logged in: others are told so, and how it is.
    idle.clear();
    let mut all = vec![within, late];
    while all.len() < reader::bridge::MAX_SESSIONS {
        all.push(bridge.client());
    }
    let mut told = String::new();
    TcpStream::connect(bridge.address).unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "* BYE too many connections\r\n");
}

#[test]
fn who_closes_without_logout_is_told_good_bye() {
    let scene = Scene::new();
    let bridge = scene.bridge();
    let stream = TcpStream::connect(bridge.address).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut told = String::new();
    (&stream).read_to_string(&mut told).unwrap();
    assert!(told.ends_with("* BYE the connection was closed\r\n"), "{told}");
}

/// In how many records of `index.db` a mailbox is named.
fn records(home: &Path, mailbox: &str) -> i64 {
    let database = rusqlite::Connection::open(home.join("index.db")).unwrap();
    let tables = ["heads", "words", "headers", "complete", "ids", "stands"];
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table} WHERE mailbox = ?1");
        database.query_row(&sql, [mailbox], |row| row.get::<_, i64>(0)).unwrap()
    };
    tables.into_iter().map(count).sum()
}

#[test]
fn records_of_a_mailbox_go_with_it() {
    if !testbed::servers() {
        return;
    }
    let scene = account::Scene::new();
    let mut direct = scene.direct();
    let sealed = scene.stage.good("seal", &message("one", "the first"));
    for mailbox in ["Old", "Other"] {
        direct.say(&format!("CREATE {mailbox}"));
        account::append(&mut direct, mailbox, "", &sealed);
    }
    let bridge = scene.bridge();
    for mailbox in ["Old", "Other"] {
        bridge.selected(mailbox).good("FETCH 1 (FLAGS BODY.PEEK[])");
    }
    let home = scene.stage.path("home");
    let kept = records(&home, "Other");
    assert!(records(&home, "Old") > 0 && kept > 0);
    direct.good("DELETE Old");
    let mut client = bridge.client();
    client.good("LIST \"\" \"O%\"");
    assert!(records(&home, "Old") > 0);
    client.good("LIST \"\" \"*\"");
    assert_eq!((records(&home, "Old"), records(&home, "Other")), (0, kept));
}

#[test]
fn what_was_written_beside_the_index_is_cut_off() {
    let mails: Vec<Vec<u8>> =
        (0..300).map(|number| message(&format!("{number}"), &"many words ".repeat(2_000))).collect();
    let scene = Scene::sealed(&mails);
    let bridge: Bridge = scene.bridge();
    // It holds the file open: nothing is cut off by the last one who closes it.
    let mut client = bridge.selected("INBOX");
    let beside = scene.stage.path("home/index.db-wal");
    let whole = || client_knows(&scene, 300);
    while !whole() {
        thread::sleep(Duration::from_millis(50));
    }
    while fs::metadata(&beside).unwrap().len() > 0 {
        client.good("NOOP");
        thread::sleep(Duration::from_millis(50));
    }
    let told = scene.stage.text("search --as-it-is many", b"");
    assert_eq!(told.lines().count(), mails.len());
}

fn client_knows(scene: &Scene, count: i64) -> bool {
    let database = rusqlite::Connection::open(scene.stage.path("home/index.db")).unwrap();
    // Beside the messages one record says under which key they were made.
    database.query_row("SELECT count(*) FROM words", [], |row| row.get::<_, i64>(0)).is_ok_and(|rows| rows > count)
}

#[test]
fn a_copy_that_fails_leaves_nothing() {
    let scene = Scene::sealed(&[message("one", "the first"), message("two", "the second")]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    client.good("FETCH 1:2 FLAGS");
    let mut files: Vec<_> =
        fs::read_dir(scene.maildir().join("cur")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
    // What cannot be read is as what cannot be written: the second one fails.
    let second = fs::read(&files[1]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::create_dir(&files[1]).unwrap();
    assert!(client.say("COPY 1:2 Trash").tagged.starts_with("NO"));
    let copies = || fs::read_dir(scene.maildir().join(".Trash/cur")).unwrap().count();
    assert_eq!(copies(), 0);
    fs::remove_dir(&files[1]).unwrap();
    fs::write(&files[1], second).unwrap();
    let mut again = bridge.selected("INBOX");
    again.good("COPY 1:* Trash");
    assert_eq!(copies(), 2);
}

#[test]
fn what_cannot_be_noted_is_not_done() {
    let scene = Scene::sealed(&[message("one", "the first"), message("two", "the second")]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    client.good("FETCH 1:2 FLAGS");
    // As on a disk that is full, where the mail lies on another one.
    let state = rusqlite::Connection::open(scene.stage.path("home/state.db")).unwrap();
    let refuse = "CREATE TRIGGER full_insert BEFORE INSERT ON numbered BEGIN SELECT RAISE(FAIL, 'full'); END;
                  CREATE TRIGGER full_update BEFORE UPDATE OF keywords ON numbered BEGIN SELECT RAISE(FAIL, 'full'); END;";
    state.execute_batch(refuse).unwrap();
    let within = |folder: &str| -> Vec<String> {
        let names = fs::read_dir(scene.maildir().join(folder)).unwrap();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect()
    };
    let before = within("cur");
    assert!(client.say("COPY 1:2 Trash").tagged.starts_with("NO"));
    assert_eq!((within(".Trash/cur").len(), within(".Trash/new").len()), (0, 0));
    assert!(client.say("STORE 1:2 +FLAGS (\\Deleted $Junk)").tagged.starts_with("NO"));
    assert_eq!(within("cur"), before);
    state.execute_batch("DROP TRIGGER full_insert; DROP TRIGGER full_update").unwrap();
    client.good("STORE 1 +FLAGS (\\Flagged $Junk)");
    client.good("COPY 1:2 Trash");
    assert_eq!(within(".Trash/cur").len() + within(".Trash/new").len(), 2);
}

/// Mail that somebody sent, and that no sweep has seen, keeps nobody from reading.
#[test]
fn odd_mail_ends_no_session() {
    if !testbed::servers() {
        return;
    }
    let scene = account::Scene::new();
    let mut direct = scene.direct();
    let long =
        format!("From: eve@example.com\r\nSubject: long\r\nX-Long: {}\r\n\r\nbody\r\n", "x\r\n ".repeat(3 << 20));
    let mut deep = "From: eve@example.com\r\nSubject: deep\r\nMIME-Version: 1.0\r\n".to_owned();
    for depth in 0..90 {
        deep += &format!("Content-Type: multipart/mixed; boundary=b{depth:02}x\r\n\r\n--b{depth:02}x\r\n");
    }
    deep += "\r\ninnermost\r\n";
    let sealed = scene.stage.good("seal", &message("one", "the first"));
    for octets in [long.as_bytes(), deep.as_bytes(), &sealed] {
        assert!(account::append(&mut direct, "INBOX", "", octets).tagged.starts_with("OK"));
    }
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let listed = client.good("FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)").text();
    assert!(
        listed.contains("\"deep\"") && listed.contains("\"one\"") && listed.contains("\"long\""),
        "{}",
        listed.len()
    );
    assert!(client.good("FETCH 2:3 BODYSTRUCTURE").text().contains("\"b89x\""));
    assert_eq!(client.good("SEARCH SUBJECT one").found(), [3]);
    assert!(client.good("FETCH 3 BODY.PEEK[TEXT]").text().contains("the first"));
}
