//! Sessions written from RFC 3501, 9051 and those of the extensions that the bridge tells: what a client says, and what must come.

use super::{
    client::{Client, Value},
    scene::{Scene, message},
};

/// Says each line, and looks for what must and what (after `!`) must not come.
fn check(client: &mut Client, dialogue: &[(&str, &[&str])]) {
    for (line, wanted) in dialogue {
        let said = client.say(line).text();
        for wanted in *wanted {
            match wanted.strip_prefix('!') {
                Some(unwanted) => assert!(!said.contains(unwanted), "{line}: {unwanted} in\n{said}"),
                None => assert!(said.contains(wanted), "{line}: no {wanted} in\n{said}"),
            }
        }
    }
}

fn three() -> Scene {
    Scene::sealed(&[
        message("one", "first body"),
        message("two", "second body, somewhat longer"),
        message("three", "third body"),
    ])
}

#[test]
fn states_are_kept_apart() {
    let scene = three();
    let bridge = scene.bridge();
    let mut client = Client::connect(bridge.address);
    check(
        &mut client,
        &[
            ("CAPABILITY", &["* CAPABILITY IMAP4rev1", "LITERAL+", "AUTH=PLAIN", "!IDLE"]),
            ("NOOP", &["OK"]),
            ("SELECT INBOX", &["BAD"]),
            ("FETCH 1 FLAGS", &["BAD"]),
            ("FOO", &["BAD"]),
            ("AUTHENTICATE SCRAM-SHA-1", &["NO"]),
            ("ID (\"name\" \"x\")", &["* ID (\"name\" \"Sealpost\")", "OK"]),
            (&format!("LOGIN {} wrong", bridge.user), &["NO [AUTHENTICATIONFAILED]"]),
            (&format!("LOGIN {} {}", bridge.user, bridge.password), &["OK [CAPABILITY IMAP4rev1", "UIDPLUS"]),
            (&format!("LOGIN {} {}", bridge.user, bridge.password), &["BAD"]),
            ("CAPABILITY", &["IDLE", "NAMESPACE", "UIDPLUS", "MOVE", "SPECIAL-USE", "!CONDSTORE"]),
            ("FETCH 1 FLAGS", &["BAD"]),
            ("NAMESPACE", &["* NAMESPACE ((\"\" \"/\")) NIL NIL"]),
            ("ENABLE CONDSTORE", &["* ENABLED\r\n", "OK"]),
            ("SELECT Nowhere", &["NO [NONEXISTENT]"]),
            ("SELECT inbox", &["* 3 EXISTS", "[UIDNEXT 4]", "[UIDVALIDITY ", "[UNSEEN 1]", "OK [READ-WRITE]"]),
            ("UNSELECT", &["OK"]),
            ("FETCH 1 FLAGS", &["BAD"]),
            ("EXAMINE INBOX", &["[PERMANENTFLAGS ()]", "OK [READ-ONLY]"]),
            ("STORE 1 +FLAGS (\\Deleted)", &["NO [READ-ONLY]"]),
            ("EXPUNGE", &["NO [READ-ONLY]"]),
            ("FETCH 1 BODY[]", &["first body", "!FLAGS", "OK"]),
            ("FETCH 1 FLAGS", &["!\\Seen"]),
            ("CLOSE", &["OK"]),
            ("LOGOUT", &["* BYE", "OK"]),
        ],
    );
    assert!(client.response().is_empty());
}

#[test]
fn authenticate_plain_in_both_forms() {
    let scene = three();
    let bridge = scene.bridge();
    let plain = base64_simd::STANDARD.encode_to_string(format!("\0{}\0{}", bridge.user, bridge.password));
    let mut client = Client::connect(bridge.address);
    assert!(client.say(&format!("AUTHENTICATE PLAIN {plain}")).tagged.starts_with("OK"));
    let mut client = Client::connect(bridge.address);
    client.send(b"AUTHENTICATE PLAIN");
    assert_eq!(client.response(), b"+ \r\n");
    client.raw(format!("{plain}\r\n").as_bytes());
    assert!(client.answer().tagged.starts_with("OK"));
    let mut client = Client::connect(bridge.address);
    client.send(b"AUTHENTICATE PLAIN");
    client.response();
    client.raw(b"*\r\n");
    assert!(client.answer().tagged.starts_with("BAD"));
    // Three wrong ones, and it is over.
    for _ in 0..3 {
        assert!(client.say("LOGIN alice@example.org guess").tagged.starts_with("NO"));
    }
    assert!(client.response().starts_with(b"* BYE"));
    assert!(client.response().is_empty());
}

#[test]
fn mailboxes_are_listed_made_and_counted() {
    let scene = three();
    let bridge = scene.bridge();
    check(
        &mut bridge.client(),
        &[
            ("LIST \"\" \"\"", &["* LIST (\\Noselect) \"/\" \"\""]),
            ("LIST \"\" *", &["\"/\" INBOX", "(\\HasNoChildren \\Sent) \"/\" Sent", "\\Trash) \"/\" Trash"]),
            ("LIST \"\" %", &["INBOX"]),
            ("LIST \"\" s*", &["!Sent", "OK"]),
            ("LSUB \"\" \"S*\"", &["* LSUB", "Sent"]),
            ("CREATE A/B", &["OK"]),
            ("CREATE A/B", &["NO [ALREADYEXISTS]"]),
            ("CREATE \"Entw&APw-rfe/\"", &["OK"]),
            ("CREATE x.y", &["NO [CANNOT]"]),
            ("LIST \"\" A/%", &["\"/\" A/B"]),
            ("LIST A/ *", &["\"/\" A/B"]),
            ("LIST \"\" Ent*", &["\"/\" Entw&APw-rfe"]),
            (
                "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)",
                &["MESSAGES 3 UIDNEXT 4", "UNSEEN 1 RECENT 0"],
            ),
            ("STATUS A/B (MESSAGES)", &["* STATUS A/B (MESSAGES 0)"]),
            ("STATUS Nowhere (MESSAGES)", &["NO [NONEXISTENT]"]),
            ("SUBSCRIBE A/B", &["OK"]),
            ("SUBSCRIBE Nowhere", &["NO"]),
            ("UNSUBSCRIBE A/B", &["NO [CANNOT]"]),
            ("DELETE A/B", &["NO [CANNOT]"]),
            ("RENAME A/B C", &["NO [CANNOT]"]),
            ("SELECT \"Entw&APw-rfe\"", &["* 0 EXISTS", "OK"]),
            ("FETCH 1:* FLAGS", &["BAD"]),
            ("UID FETCH 1:* FLAGS", &["OK"]),
        ],
    );
}

#[test]
fn items_and_sections_of_a_message() {
    let nested = b"From: a@example.org\r\nSubject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/plain\r\nX-Part: 1\r\n\r\nfirst part\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nplain\r\n--c\r\n\
        Content-Type: text/html\r\n\r\n<p>html\r\n--c--\r\n\r\n--b--\r\nepilogue\r\n"
        .to_vec();
    let single = message("single", "line one\r\nline two");
    let scene = Scene::sealed(&[nested.clone(), single.clone()]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let mut is = |number: u32, section: &str, expected: &[u8]| {
        let octets = client.good(&format!("FETCH {number} BODY.PEEK{section}")).octets();
        assert_eq!(String::from_utf8_lossy(&octets), String::from_utf8_lossy(expected), "{section}");
    };
    is(1, "[]", &nested);
    is(1, "[1]", b"first part");
    is(1, "[1.MIME]", b"Content-Type: text/plain\r\nX-Part: 1\r\n\r\n");
    is(1, "[2.HEADER]", b"Subject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n");
    is(1, "[2.1]", b"plain");
    is(1, "[2.2]", b"<p>html");
    is(1, "[2.2.MIME]", b"Content-Type: text/html\r\n\r\n");
    is(1, "[2.HEADER.FIELDS (SUBJECT)]", b"Subject: inner\r\n\r\n");
    is(1, "[HEADER.FIELDS (subject x)]", b"Subject: outer\r\n\r\n");
    is(1, "[]<5.3>", &nested[5..8]);
    is(1, "[]<100000.3>", b"");
    is(2, "[1]", b"line one\r\nline two\r\n");
    is(2, "[TEXT]", b"line one\r\nline two\r\n");
    is(2, "[1]<5.100>", b"one\r\nline two\r\n");
    is(2, "[]", &single);
    is(2, "[HEADER.FIELDS.NOT (From To Date Message-ID)]", b"Subject: single\r\n\r\n");
    for none in ["[3]", "[1.2]", "[2.3]", "[1.HEADER]"] {
        assert!(client.good(&format!("FETCH 1 BODY.PEEK{none}")).octets().is_empty(), "{none}");
    }
    let fetched = client.good("FETCH 1:2 (RFC822.SIZE RFC822.HEADER UID)").fetched();
    assert_eq!(fetched[0].1[0].1, Value::Atom(nested.len().to_string()));
    assert_eq!(fetched[1].1[0].1, Value::Atom(single.len().to_string()));
    assert_eq!(fetched[1].1[2], ("UID".to_owned(), Value::Atom("2".to_owned())));
}

#[test]
fn what_is_read_counts_as_seen_and_peeking_does_not() {
    let scene = three();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    check(
        &mut client,
        &[
            ("FETCH 1 (BODY.PEEK[] RFC822.HEADER)", &["first body", "!FLAGS"]),
            ("FETCH 1 FLAGS", &["$SealedOK", "!\\Seen"]),
            ("FETCH 1 RFC822.TEXT", &["first body", "FLAGS (\\Seen $SealedOK)"]),
            ("FETCH 1 (FLAGS BODY[TEXT])", &["FLAGS (\\Seen $SealedOK)"]),
            ("FETCH 4 FLAGS", &["BAD"]),
            ("UID FETCH 4:9 FLAGS", &["OK", "!FETCH"]),
            ("UID FETCH 3:* (FLAGS)", &["* 3 FETCH (UID 3 FLAGS"]),
            ("FETCH 1 FAST", &["FLAGS", "INTERNALDATE \"14-Jul-2017 02:40:00 +0000\"", "RFC822.SIZE"]),
        ],
    );
}

#[test]
fn flags_are_stored_seen_by_others_and_kept() {
    let scene = three();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let mut other = bridge.selected("INBOX");
    check(
        &mut client,
        &[
            ("STORE 1:2 +FLAGS (\\Flagged $Label1)", &["* 1 FETCH (FLAGS (\\Flagged $Label1", "* 2 FETCH"]),
            ("STORE 1 FLAGS.SILENT (\\Answered $Forwarded)", &["!FETCH", "OK"]),
            ("UID STORE 1 -FLAGS (\\Answered)", &["* 1 FETCH (UID 1 FLAGS ($Forwarded"]),
            ("STORE 3 +FLAGS ($SealedBroken)", &["!$SealedBroken"]),
            ("SEARCH KEYWORD $label1", &["* SEARCH 2\r\n"]),
            ("SEARCH FLAGGED UNKEYWORD $Forwarded", &["* SEARCH 2 3\r\n"]),
        ],
    );
    let told = other.good("NOOP").text();
    assert!(told.contains("* 1 FETCH (UID 1 FLAGS ($Forwarded"), "{told}");
    assert!(told.contains("* 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen $Label1"), "{told}");
    drop(bridge);
    let bridge = scene.bridge();
    check(&mut bridge.selected("INBOX"), &[("FETCH 2 FLAGS", &["\\Flagged", "$Label1"])]);
}

#[test]
fn expunge_copy_and_move_say_which() {
    let scene = three();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let mut other = bridge.selected("INBOX");
    check(
        &mut client,
        &[
            ("COPY 1:2 Nowhere", &["NO [TRYCREATE]"]),
            ("COPY 1,3 Sent", &["OK [COPYUID ", " 1,3 1:2]"]),
            ("UID MOVE 2 Trash", &["OK [COPYUID ", " 2 1]", "* 2 EXPUNGE"]),
            ("STORE 1:2 +FLAGS (\\Deleted)", &["OK"]),
            ("UID EXPUNGE 1,2", &["* 1 EXPUNGE", "!* 2 EXPUNGE"]),
            ("FETCH 1 (UID BODY.PEEK[TEXT])", &["UID 3", "third body"]),
            ("EXPUNGE", &["* 1 EXPUNGE"]),
            ("SELECT Sent", &["* 2 EXISTS"]),
            ("FETCH 2 (BODY.PEEK[TEXT] FLAGS INTERNALDATE)", &["third body", "\\Flagged", "16-Jul-2017"]),
            ("STORE 1 +FLAGS.SILENT (\\Deleted)", &["OK"]),
            ("CLOSE", &["OK", "!EXPUNGE"]),
            ("SELECT Sent", &["* 1 EXISTS"]),
        ],
    );
    let told = other.good("NOOP").text();
    assert_eq!(told.matches("* 1 EXPUNGE").count(), 3, "{told}");
}

#[test]
fn idle_tells_of_new_mail_within_a_second() {
    let scene = three();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    client.send(b"IDLE");
    assert!(client.response().starts_with(b"+ "));
    let began = std::time::Instant::now();
    std::fs::write(scene.maildir().join("new/1600000000.new.host"), message("four", "new here")).unwrap();
    assert_eq!(client.response(), b"* 4 EXISTS\r\n");
    let passed = began.elapsed();
    assert_eq!(client.response(), b"* 1 RECENT\r\n");
    client.raw(b"DONE\r\n");
    assert!(client.answer().tagged.starts_with("OK"));
    assert!(passed.as_secs_f64() < 1.0 || std::env::var_os("CI_SLOW").is_some(), "{passed:?}");
    let answer = client.good("FETCH 4 (UID BODY.PEEK[TEXT])");
    assert!(answer.text().contains("UID 4") && answer.text().contains("new here"));
}

#[test]
fn search_is_by_what_is_decoded() {
    let quoted = b"From: =?utf-8?Q?J=C3=BCrgen?= <j@example.de>\r\nTo: alice@example.org\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n\
        Date: Thu, 31 Dec 2015 23:30:00 -0800\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nRGllIFRhc3NlIGbDpGxsdC4K\r\n"
        .to_vec();
    let scene = Scene::sealed(&[quoted, message("plain", "the cup falls"), message("other", "nothing")]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    for (key, found) in [
        ("FROM {7+}\r\njürgen", vec![1]),
        ("CHARSET UTF-8 SUBJECT {8+}\r\nGRÜßE ", vec![]),
        ("CHARSET UTF-8 SUBJECT {7+}\r\nGRÜßE", vec![1]),
        ("BODY \"tasse\"", vec![1]),
        ("CHARSET UTF-8 BODY {6+}\r\nFÄLLT", vec![1]),
        ("BODY \"RGllIFRhc3Nl\"", vec![]),
        ("TEXT \"cup\"", vec![2]),
        ("OR BODY cup BODY tasse", vec![1, 2]),
        ("NOT BODY cup", vec![1, 3]),
        ("SENTON 31-Dec-2015", vec![1]),
        ("SENTBEFORE 31-Dec-2015", vec![]),
        ("SENTSINCE 1-Jan-2016", vec![2, 3]),
        ("ON 15-Jul-2017", vec![2]),
        ("BEFORE 15-Jul-2017", vec![1]),
        ("SINCE 15-Jul-2017", vec![2, 3]),
        ("HEADER Message-ID \"\"", vec![2, 3]),
        ("HEADER X-None \"\"", vec![]),
        ("2:3 SUBJECT other", vec![3]),
        ("UID 1:2 (SEEN)", vec![2]),
        ("SMALLER 200 NOT LARGER 100", vec![]),
        ("ALL", vec![1, 2, 3]),
    ] {
        assert_eq!(client.good(&format!("SEARCH {key}")).found(), found, "{key}");
    }
    assert!(client.say("SEARCH CHARSET KLINGON TEXT x").tagged.starts_with("NO [BADCHARSET"));
}
