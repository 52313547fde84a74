//! Dialogues written from RFC 3516, 4731, 5032, 5256, 5258, 5819, 7162, 7889, 8970: over a Maildir, and over an account on a real Dovecot, whose change numbers are told.

use super::{
    account::{self, lines},
    client::{Answer, Client},
    scene::{self, message},
};

fn three() -> Vec<Vec<u8>> {
    vec![message("one", "first body"), message("Re: two", "second body, somewhat longer"), message("two", "third body")]
}

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

/// The number behind a word.
fn number(answer: &Answer, word: &str) -> u64 {
    let text = answer.text();
    let rest = &text[text.find(word).unwrap_or_else(|| panic!("no {word} in {text}")) + word.len()..];
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn what_was_found_is_meant_by_a_dollar_sign() {
    let bodies = ["a", "b", "a b", "b c", "a c"];
    let mails: Vec<Vec<u8>> =
        bodies.iter().enumerate().map(|(at, body)| message(&format!("m{at}"), &body.replace(' ', " and "))).collect();
    let scene = scene::Scene::sealed(&mails);
    let bridge = scene.bridge();
    let mut client = bridge.client();
    check(
        &mut client,
        &[
            ("CAPABILITY", &["SEARCHRES"]),
            ("SELECT INBOX", &["* 5 EXISTS"]),
            // Nothing was found yet.
            ("FETCH $ UID", &["OK", "!FETCH"]),
            ("SEARCH $", &["* SEARCH\r\n"]),
            // Who only saves is told nothing (RFC 5182 §2.1).
            ("SEARCH RETURN (SAVE) SUBJECT m", &["OK", "!SEARCH"]),
            ("SEARCH RETURN (COUNT) $", &["COUNT 5"]),
            ("UID SEARCH RETURN (SAVE ALL) UID 2:4", &["ALL 2:4"]),
            ("SEARCH $ NOT 3", &["* SEARCH 2 4\r\n"]),
            ("UID SEARCH UID $ SUBJECT m3", &["* SEARCH 4\r\n"]),
            ("SEARCH NOT $", &["* SEARCH 1 5\r\n"]),
            ("FETCH $ UID", &["UID 2)", "UID 3)", "UID 4)", "!UID 5", "!UID 1)"]),
            ("UID FETCH $ FLAGS", &["UID 2 ", "!UID 1 "]),
            ("STORE $ +FLAGS.SILENT dollar", &["OK"]),
            ("SEARCH KEYWORD dollar", &["* SEARCH 2 3 4\r\n"]),
            ("UID STORE $ FLAGS.SILENT (a)", &["OK"]),
            ("COPY $ Trash", &["COPYUID", " 2:4 1:3]"]),
            ("UID COPY $ Trash", &["COPYUID"]),
            ("SORT (SUBJECT) UTF-8 $", &["* SORT 2 3 4\r\n"]),
            ("THREAD ORDEREDSUBJECT UTF-8 $", &["(2)(3)(4)"]),
            // Only the ends, unless more is asked for (§2.4).
            ("SEARCH RETURN (SAVE MIN) 2:4", &["MIN 2"]),
            ("SEARCH $", &["* SEARCH 2\r\n"]),
            ("SEARCH RETURN (SAVE MIN MAX) 2:4", &["MIN 2 MAX 4"]),
            ("SEARCH $", &["* SEARCH 2 4\r\n"]),
            ("SEARCH RETURN (SAVE MAX COUNT) 2:4", &["MAX 4 COUNT 3"]),
            ("SEARCH $", &["* SEARCH 2 3 4\r\n"]),
            // What refers to what was saved, and saves.
            ("SEARCH RETURN (SAVE) $ 3:5", &["OK"]),
            ("SEARCH $", &["* SEARCH 3 4\r\n"]),
            // What is no command changes nothing; what fails leaves nothing.
            ("SEARCH RETURN (SAVE) NOSUCHKEY", &["BAD"]),
            ("SEARCH RETURN (SAVE) MODSEQ 3", &["BAD"]),
            ("SORT RETURN (SAVE) (SUBJECT) UTF-8 ALL", &["BAD"]),
            ("FETCH 1,$ UID", &["BAD"]),
            ("SEARCH $", &["* SEARCH 3 4\r\n"]),
            // What is expunged is not meant any more.
            ("STORE 3 +FLAGS.SILENT (\\Deleted)", &["OK"]),
            ("UID EXPUNGE $", &["* 3 EXPUNGE", "OK"]),
            ("SEARCH $", &["* SEARCH 3\r\n"]),
            ("FETCH $ UID", &["* 3 FETCH (UID 4)"]),
            ("SEARCH RETURN (SAVE) CHARSET x-none SUBJECT m", &["NO [BADCHARSET"]),
            ("SEARCH $", &["* SEARCH\r\n"]),
            ("STORE $ +FLAGS x", &["OK", "!FETCH"]),
            ("COPY $ Trash", &["OK"]),
            ("UID MOVE $ Trash", &["OK"]),
            ("SEARCH RETURN (SAVE) ALL", &["OK"]),
            ("MOVE $ Trash", &["COPYUID", "* 1 EXPUNGE"]),
            ("SEARCH RETURN (COUNT) ALL", &["COUNT 0"]),
            ("SEARCH $", &["* SEARCH\r\n"]),
            // It is the mailbox's.
            ("SELECT Trash", &["OK"]),
            ("SEARCH RETURN (SAVE) ALL", &["OK"]),
            ("SELECT Trash", &["OK"]),
            ("SEARCH $", &["* SEARCH\r\n"]),
        ],
    );
}

#[test]
fn what_needs_no_server_is_offered_over_a_maildir() {
    let mut mails = three();
    mails.push(
        b"From: a@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
          --b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n\
          --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhel=6Co\r\n\
          --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n--b--\r\n"
            .to_vec(),
    );
    let scene = scene::Scene::sealed(&mails);
    let bridge = scene.bridge();
    let mut client = bridge.client();
    let dialogue: &[(&str, &[&str])] = &[
        ("CAPABILITY", &["SORT", "THREAD=REFERENCES", "ESEARCH", "APPENDLIMIT=536870912", "!CONDSTORE", "!QRESYNC"]),
        ("ENABLE CONDSTORE QRESYNC", &["* ENABLED\r\n", "OK"]),
        ("SELECT INBOX (CONDSTORE)", &["BAD"]),
        ("STATUS INBOX (HIGHESTMODSEQ)", &["BAD"]),
        ("STATUS INBOX (MESSAGES APPENDLIMIT)", &["(MESSAGES 4 APPENDLIMIT 536870912)"]),
        ("SELECT INBOX", &["* 4 EXISTS", "!MODSEQ"]),
        ("FETCH 1 MODSEQ", &["BAD"]),
        ("FETCH 1 FLAGS (CHANGEDSINCE 1)", &["BAD"]),
        ("STORE 1 (UNCHANGEDSINCE 1) +FLAGS x", &["BAD"]),
        ("SEARCH MODSEQ 1", &["BAD"]),
        ("SEARCH RETURN (MIN MAX COUNT ALL) SUBJECT two", &["MIN 2 MAX 3 ALL 2:3 COUNT 2", "(TAG \"t"]),
        ("UID SEARCH RETURN () SUBJECT nothing", &[" UID\r\n"]),
        ("SEARCH RETURN (COUNT) SUBJECT nothing", &[" COUNT 0\r\n"]),
        ("SEARCH OLDER 86400", &["* SEARCH 1 2 3 4\r\n"]),
        ("SEARCH YOUNGER 86400", &["* SEARCH\r\n"]),
        ("SORT (SUBJECT REVERSE SIZE) UTF-8 ALL", &["* SORT 1 4 2 3\r\n"]),
        ("SORT (REVERSE ARRIVAL) UTF-8 1:3", &["* SORT 3 2 1\r\n"]),
        ("SORT RETURN (MIN MAX ALL COUNT) (REVERSE ARRIVAL) UTF-8 1:3", &["MIN 3 MAX 1 ALL 3,2,1 COUNT 3"]),
        ("SORT (SUBJECT) KOI8-R ALL", &["NO [BADCHARSET"]),
        ("THREAD REFERENCES UTF-8 1:3", &["* THREAD (1)(3 2)\r\n"]),
        ("THREAD ORDEREDSUBJECT UTF-8 1:3", &["* THREAD (1)(2 3)\r\n"]),
        ("THREAD REFERENCES UTF-8 SUBJECT nothing", &["* THREAD\r\n"]),
        ("FETCH 1 (PREVIEW)", &["PREVIEW \"first body\"", "!Seen"]),
        ("FETCH 1:3 (UID PREVIEW (LAZY))", &["* 3 FETCH (UID 3 PREVIEW \"third body\")"]),
        ("FETCH 4 BINARY.PEEK[1]", &["BINARY[1] ~{4}\r\n\0\u{1}\u{2}\u{3})"]),
        ("FETCH 4 (BINARY.SIZE[1] BINARY.SIZE[2])", &["BINARY.SIZE[1] 4 BINARY.SIZE[2] 5", "!Seen"]),
        ("FETCH 4 BINARY.PEEK[1]<1.2>", &["BINARY[1]<1> {2}\r\n\u{1}\u{2})"]),
        ("FETCH 4 BINARY.PEEK[3]", &["NO [UNKNOWN-CTE]"]),
        ("FETCH 4 BINARY[2]", &["BINARY[2] {5}\r\nhello"]),
        ("FETCH 1 BINARY[1]", &["BINARY[1] {12}\r\nfirst body\r\n", "\\Seen"]),
        ("LIST (SUBSCRIBED) \"\" (INBOX S*)", &["\\Subscribed) \"/\" INBOX", "Sent", "!Trash"]),
        ("LIST (SPECIAL-USE) \"\" *", &["!INBOX", "\\Sent", "Trash"]),
        (
            "LIST \"\" INBOX RETURN (STATUS (MESSAGES UIDNEXT))",
            &["\"/\" INBOX", "* STATUS INBOX (MESSAGES 4 UIDNEXT 5)"],
        ),
        ("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" % RETURN (CHILDREN)", &["INBOX", "OK"]),
    ];
    check(&mut client, dialogue);
}

#[test]
fn changes_are_counted_as_the_server_counts_them() {
    if !testbed::servers() {
        return;
    }
    let scene = account::Scene::sealed(&three());
    let bridge = scene.bridge();
    let (mut client, mut direct) = (bridge.client(), scene.direct());
    direct.good("SELECT INBOX");
    check(
        &mut client,
        &[("CAPABILITY", &[" CONDSTORE", " QRESYNC"]), ("ENABLE CONDSTORE", &["* ENABLED CONDSTORE\r\n"])],
    );
    let before = number(&client.good("SELECT INBOX (CONDSTORE)"), "[HIGHESTMODSEQ ");
    let line = "FETCH 1:* (UID MODSEQ)";
    let fetched = |client: &mut Client| -> Vec<String> {
        lines(&client.good(line), "* ").into_iter().filter(|line| line.contains("FETCH")).collect()
    };
    assert_eq!(fetched(&mut client), fetched(&mut direct));
    direct.good("STORE 2 +FLAGS (\\Flagged)");
    let told = client.good("NOOP").text();
    assert!(told.contains("* 2 FETCH (UID 2 FLAGS (") && told.contains("MODSEQ ("), "{told}");
    let told = client.good(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")).text();
    assert!(told.contains("* 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen $SealedOK) MODSEQ ("), "{told}");
    assert!(!told.contains("* 1 FETCH") && !told.contains("* 3 FETCH"), "{told}");
    let told = client.good(&format!("STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Deleted)"));
    assert!(told.tagged.starts_with("OK [MODIFIED 2]"), "{told:?}");
    assert!(told.text().contains("* 1 FETCH (MODSEQ (") && !told.text().contains("FLAGS"), "{told:?}");
    direct.good("NOOP");
    assert_eq!(direct.good("SEARCH DELETED").found(), [1, 3]);
    let told = client.good("UID STORE 1 -FLAGS (\\Deleted)").text();
    assert!(told.contains("FETCH (UID 1 FLAGS (") && told.contains(") MODSEQ ("), "{told}");
    // Of a mailbox that it has selected, the server tells what the session has seen.
    direct.good("NOOP");
    let status = number(&direct.good("STATUS INBOX (HIGHESTMODSEQ)"), "HIGHESTMODSEQ ");
    assert_eq!(number(&client.good("STATUS INBOX (HIGHESTMODSEQ)"), "HIGHESTMODSEQ "), status);
    let told = client.good(&format!("SEARCH MODSEQ {}", before + 1)).text();
    assert!(told.contains(&format!("* SEARCH 1 2 3 (MODSEQ {status})\r\n")), "{told}");
    let told = client.good(&format!("SEARCH RETURN (COUNT) MODSEQ {}", status)).text();
    assert!(told.contains(&format!(" COUNT 1 MODSEQ {status}\r\n")), "{told}");
    let told = client.good(&format!("SORT (REVERSE ARRIVAL) UTF-8 MODSEQ {}", before + 1)).text();
    assert!(told.contains(&format!("* SORT 3 2 1 (MODSEQ {status})")), "{told}");
    let told = client.good("FETCH 1 BODY[TEXT]").text();
    assert!(told.contains("\\Seen") && told.contains("MODSEQ ("), "{told}");
    check(&mut client, &[("SELECT INBOX (QRESYNC (1 1))", &["BAD"]), ("FETCH 1 FLAGS (CHANGEDSINCE 1)", &["OK"])]);
}

#[test]
fn a_program_that_comes_back_is_told_what_changed_and_what_is_gone() {
    if !testbed::servers() {
        return;
    }
    let mut mails = three();
    mails.push(message("four", "fourth"));
    let scene = account::Scene::sealed(&mails);
    let bridge = scene.bridge();
    let (mut client, mut direct) = (bridge.client(), scene.direct());
    direct.good("SELECT INBOX");
    assert!(client.good("ENABLE QRESYNC").text().contains("* ENABLED QRESYNC\r\n"));
    let selected = client.good("SELECT INBOX");
    let (validity, before) = (number(&selected, "[UIDVALIDITY "), number(&selected, "[HIGHESTMODSEQ "));
    client.good("UNSELECT");
    direct.good("STORE 3 +FLAGS (\\Answered)");
    direct.good("STORE 1 +FLAGS (\\Deleted)");
    direct.good("EXPUNGE");
    let resume = |rest: &str| format!("SELECT INBOX (QRESYNC ({validity} {before}{rest}))");
    for known in [" 1:4", "", " 1:4 (1:2 1:2)"] {
        let told = client.good(&resume(known)).text();
        assert!(told.contains("* VANISHED (EARLIER) 1\r\n"), "{told}");
        assert!(told.contains("* 2 FETCH (UID 3 FLAGS (\\Answered \\Flagged \\Seen $SealedOK) MODSEQ ("), "{told}");
        assert!(!told.contains("(UID 2 ") && !told.contains("(UID 4 "), "{told}");
    }
    // What it never saw is told whatever its number.
    let told = client.good(&resume(" 1:3")).text();
    assert!(told.contains("* OK [CLOSED]") && told.contains("(UID 4 "), "{told}");
    let told = client.good(&format!("SELECT INBOX (QRESYNC ({} {before} 1:4))", validity + 1)).text();
    assert!(!told.contains("VANISHED") && !told.contains("FETCH"), "{told}");
    direct.good("STORE 1 +FLAGS (\\Deleted)");
    direct.good("EXPUNGE");
    let told = client.good("NOOP").text();
    assert!(told.contains("* VANISHED 2\r\n") && !told.contains("EXPUNGE"), "{told}");
    let told = client.good(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before} VANISHED)")).text();
    assert!(told.contains("* VANISHED (EARLIER) 1:2\r\n") && told.contains("UID 3 "), "{told}");
    client.good("UID STORE 4 +FLAGS.SILENT (\\Deleted)");
    let told = client.good("EXPUNGE");
    assert!(told.tagged.starts_with("OK [HIGHESTMODSEQ ") && told.text().contains("* VANISHED 4\r\n"), "{told:?}");
    assert!(number(&told, "[HIGHESTMODSEQ ") > before);
}

#[test]
fn mailboxes_of_an_account_are_listed_with_what_was_asked() {
    if !testbed::servers() {
        return;
    }
    let scene = account::Scene::sealed(&three());
    let bridge = scene.bridge();
    let mut client = bridge.client();
    let dialogue: &[(&str, &[&str])] = &[
        ("CREATE Box", &["OK"]),
        ("CREATE Box/Inner", &["OK"]),
        ("SUBSCRIBE Box/Inner", &["OK"]),
        (
            "LIST \"\" (INBOX Box) RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT HIGHESTMODSEQ))",
            &[
                "* STATUS INBOX (MESSAGES 3 UIDNEXT 4 HIGHESTMODSEQ ",
                "* STATUS Box (MESSAGES 0 ",
                "!Inner",
                "!CHILDINFO",
            ],
        ),
        ("LIST (SUBSCRIBED) \"\" Box*", &["\\Subscribed) \"/\" Box/Inner", "!\"/\" Box\r\n"]),
        ("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %", &["\"/\" Box (\"CHILDINFO\" (\"SUBSCRIBED\"))", "!Inner"]),
        ("DELETE Box/Inner", &["OK"]),
    ];
    check(&mut client, dialogue);
}
