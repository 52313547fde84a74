//! What a client sees of the doubles, and what is then stored.

use std::time::Duration;

use testbed::{Character, Dedup, Double};

use crate::client::{Client, append};

const MAIL: &str = "Message-ID: <one@x>\r\nSubject: Tea\r\n at four\r\nSealed-For: x\r\n\r\nbody\r\n";
const DATE: &str = "17-Jul-1996 02:44:25 -0700";

fn alice(character: Character) -> (Double, Client) {
    let double = Double::start(character);
    let mut client = Client::alice(double.address());
    assert!(client.say("SELECT INBOX").contains("[READ-WRITE]"));
    (double, client)
}

#[test]
fn a_plain_one_does_what_it_announces() {
    let (double, mut client) = alice(Character::Plain);
    assert_eq!(double.deliver("INBOX", MAIL.as_bytes(), &["\\Seen", "$Label"], DATE), 1);
    let check = |client: &mut Client, line: &str, expected: &[&str]| {
        let answer = client.say(line);
        for part in expected {
            assert!(answer.contains(part), "{line}: {part} is not in\n{answer}");
        }
    };
    check(&mut client, "NOOP", &["* 1 EXISTS"]);
    check(
        &mut client,
        "UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE MODSEQ BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[]<0.7>)",
        &[
            "* 1 FETCH (UID 1 FLAGS (\\Seen $Label) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 68 MODSEQ (2) ",
            "BODY[HEADER.FIELDS (SUBJECT)] {26}\r\nSubject: Tea\r\n at four\r\n\r\n BODY[]<0> {7}\r\nMessage)",
        ],
    );
    let two = append("INBOX", "(\\Flagged) \"01-Jan-2020 00:00:00 +0000\" ", "Subject: two\r\n\r\n2\r\n");
    check(&mut client, &two, &["* 2 EXISTS", "OK [APPENDUID 101 2]"]);
    check(&mut client, "UID SEARCH SINCE 1-Jan-2000", &["* SEARCH 2\r\n"]);
    check(&mut client, "UID SEARCH NOT HEADER Subject tea OR SEEN FLAGGED", &["* SEARCH 2\r\n"]);
    check(&mut client, "UID SEARCH HEADER Message-ID \"<one@x>\"", &["* SEARCH 1\r\n"]);
    check(&mut client, "UID STORE 2 (UNCHANGEDSINCE 1) +FLAGS (\\Deleted)", &["OK [MODIFIED 2]"]);
    check(&mut client, "UID STORE 1:2 +FLAGS.SILENT (\\Deleted)", &["* 1 FETCH (UID 1 MODSEQ (4))"]);
    check(&mut client, "UID EXPUNGE 2", &["* 2 EXPUNGE"]);
    check(&mut client, "UID COPY 1 Archive", &["[COPYUID 102 1 1]"]);
    check(&mut client, "UID MOVE 1 Trash", &["* OK [COPYUID 106 1 1]", "* 1 EXPUNGE"]);
    check(&mut client, "LIST \"\" %", &["(\\HasNoChildren \\Trash) \"/\" \"Trash\""]);
    check(&mut client, "CREATE a/b", &["OK"]);
    check(&mut client, "STATUS Archive (MESSAGES UIDNEXT)", &["* STATUS \"Archive\" (MESSAGES 1 UIDNEXT 2)"]);
    check(&mut client, "UID FETCH 1 BODYSTRUCTURE", &["BAD"]);
    assert_eq!(double.messages("Archive")[0].octets, MAIL.as_bytes());
    assert_eq!(double.messages("Archive")[0].flags, ["\\Seen", "$Label", "\\Deleted"]);
    assert_eq!((double.messages("INBOX"), double.all_octets().len()), (Vec::new(), 2));
    assert!(double.commands().contains(&"UID EXPUNGE".to_owned()));
    double.fail_from_now("STATUS", "NO [UNAVAILABLE] later");
    check(&mut client, "STATUS Archive (MESSAGES)", &["NO [UNAVAILABLE] later"]);
    double.recover();
    double.renumber("Archive");
    check(&mut client, "STATUS Archive (UIDVALIDITY UIDNEXT)", &["UIDVALIDITY 108 UIDNEXT 3"]);
}

#[test]
fn authentication_is_checked() {
    let double = Double::start(Character::Plain);
    let check = |line: &str, more: Option<&str>, expected: &str| {
        let mut client = Client::connect(double.address());
        client.send(line);
        if let Some(more) = more {
            assert!(client.line().starts_with("+ "));
            client.raw(more);
        }
        let answer = client.answer();
        assert!(answer.contains(expected), "{line}: {answer}");
    };
    check("LOGIN alice bob-pw", None, "NO [AUTHENTICATIONFAILED]");
    check("LOGIN {5}", Some("alice alice-pw\r\n"), "OK");
    check("AUTHENTICATE PLAIN AGFsaWNlAGFsaWNlLXB3", None, "OK");
    check("AUTHENTICATE PLAIN", Some("AGFsaWNlAGFsaWNlLXB3\r\n"), "OK");
    check("AUTHENTICATE XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciBhbGljZS10b2tlbgEB", None, "OK");
    check("AUTHENTICATE XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciBvbGQBAQ==", Some("\r\n"), "NO");
    check("SELECT INBOX", None, "BAD");
}

#[test]
fn idling_sessions_hear_of_deliveries() {
    let (double, mut client) = alice(Character::Plain);
    client.send("IDLE");
    assert!(client.line().starts_with("+ "));
    double.deliver("INBOX", MAIL.as_bytes(), &[], DATE);
    assert_eq!(client.line(), "* 1 EXISTS\r\n");
    client.raw("DONE\r\n");
    assert!(client.answer().contains("OK"));
}

#[test]
fn several_messages_in_one_append_are_stored_together() {
    let (double, mut client) = alice(Character::Plain);
    let answer = client.say("APPEND INBOX (\\Seen) {5+}\r\na: 1\n {5+}\r\nb: 2\n");
    assert!(answer.contains("[APPENDUID 101 1,2]"), "{answer}");
    assert_eq!(double.messages("INBOX")[1].octets, b"b: 2\n");
}

/// The characters, each told by one APPEND and one look at what is stored.
#[test]
fn characters_deviate_as_they_say() {
    let check = |character: Character, answer: &str, stored: &str, flags: &[&str], date: &str| {
        let (double, mut client) = alice(character);
        let said = client.say(&append("INBOX", &format!("(\\Seen k) \"{DATE}\" "), MAIL));
        assert!(said.contains(answer), "{character:?}: {said}");
        let messages = double.messages("INBOX");
        let Some(message) = messages.first() else {
            assert_eq!(stored, "", "{character:?}");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&message.octets), stored, "{character:?}");
        assert_eq!(message.flags, flags, "{character:?}");
        assert_eq!(message.date == DATE, date == DATE, "{character:?} {}", message.date);
    };
    let both: &[&str] = &["\\Seen", "k"];
    check(Character::Plain, "OK [APPENDUID 101 1]", MAIL, both, DATE);
    check(Character::NoUidPlus, "OK stored", MAIL, both, DATE);
    check(Character::DateLoser, "OK [APPENDUID 101 1]", MAIL, both, "now");
    check(Character::FlagLoser, "OK [APPENDUID 101 1]", MAIL, &[], DATE);
    check(Character::Exchange, "OK [APPENDUID 101 1]", &MAIL.replace("Sealed-For: x\r\n", ""), &["\\Seen"], DATE);
    check(Character::AppendLimit(68), "OK", MAIL, both, DATE);
    check(Character::AppendLimit(67), "NO [TOOBIG]", "", &[], "");
    check(Character::OverQuota(68), "OK", MAIL, both, DATE);
    check(Character::OverQuota(67), "NO [OVERQUOTA]", "", &[], "");
    check(Character::LateAppend(Duration::from_secs(3600)), "<closed>", "", &[], "");
}

#[test]
fn an_exchange_makes_mixed_of_encrypted() {
    let (double, mut client) = alice(Character::Exchange);
    client.say(&append("INBOX", "", "Content-Type: multipart/Encrypted;\r\n boundary=b\r\n\r\n--b--\r\n"));
    assert_eq!(double.messages("INBOX")[0].octets, b"Content-Type: multipart/mixed;\r\n boundary=b\r\n\r\n--b--\r\n");
    assert!(!client.say("SELECT INBOX").contains("\\*"));
}

#[test]
fn a_late_append_arrives_late() {
    let (double, mut client) = alice(Character::LateAppend(Duration::from_millis(50)));
    assert_eq!(client.say(&append("INBOX", "", MAIL)), "<closed>");
    while double.messages("INBOX").is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(double.messages("INBOX")[0].octets, MAIL.as_bytes());
}

#[test]
fn a_liar_keeps_what_it_expunges() {
    let (double, mut client) = alice(Character::ExpungeLiar);
    double.deliver("INBOX", MAIL.as_bytes(), &["\\Deleted"], DATE);
    client.say("NOOP");
    let answer = client.say("UID EXPUNGE 1");
    assert!(answer.contains("OK") && !answer.contains("EXPUNGE\r\n"), "{answer}");
    assert_eq!(double.messages("INBOX").len(), 1);
    assert!(Client::alice(Double::start(Character::NoUidPlus).address()).say("UID EXPUNGE 1").contains("BAD"));
}

#[test]
fn a_gmail_has_labels_and_knows_message_ids() {
    let (double, mut client) = alice(Character::Gmail { dedup: Dedup::Ignore });
    client.say(&append("INBOX", "", MAIL));
    let other = MAIL.replace("body", "BODY");
    let answer = client.say(&append("[Gmail]/Sent Mail", "", &other));
    assert!(answer.contains("[APPENDUID 105 1]"), "{answer}");
    assert_eq!(double.all_octets(), [MAIL.as_bytes()]);
    let answer = client.say("UID FETCH 1 (X-GM-MSGID X-GM-LABELS)");
    assert!(answer.contains("X-GM-MSGID 1278455344230334001 X-GM-LABELS (\"\\\\Inbox\" \"\\\\Sent\")"), "{answer}");
    // Expunged from INBOX it is still in All Mail; in Trash it is nowhere else; expunged there it is gone.
    client.say("UID STORE 1 +FLAGS (\\Deleted)");
    assert!(client.say("UID EXPUNGE 1").contains("* 1 EXPUNGE"));
    assert_eq!(double.messages("[Gmail]/All Mail")[0].labels, ["\\Sent"]);
    client.say("SELECT \"[Gmail]/All Mail\"");
    assert!(client.say("UID MOVE 1 \"[Gmail]/Trash\"").contains("* 1 EXPUNGE"));
    assert!(double.messages("[Gmail]/All Mail").is_empty() && double.messages("[Gmail]/Sent Mail").is_empty());
    // A known Message-ID comes back even from Trash, with its old content.
    client.say(&append("INBOX", "", &other));
    assert!(double.messages("[Gmail]/Trash").is_empty());
    assert_eq!(double.messages("INBOX")[0].octets, MAIL.as_bytes());
    client.say("UID MOVE 2 [Gmail]/Trash");
    client.say("SELECT [Gmail]/Trash");
    client.say("STORE 1 +FLAGS (\\Deleted)");
    client.say("EXPUNGE");
    assert!(double.all_octets().is_empty());

    for (dedup, count) in [(Dedup::Replace, 1), (Dedup::Off, 2)] {
        let (double, mut client) = alice(Character::Gmail { dedup });
        client.say(&append("INBOX", "", MAIL));
        client.say(&append("INBOX", "", &other));
        assert_eq!(double.messages("INBOX").len(), count);
        assert_eq!(double.messages("INBOX")[count - 1].octets, other.as_bytes());
    }
}
