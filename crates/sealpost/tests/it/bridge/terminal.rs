//! `list`, `show`, `cat` and `export`.

use std::{fs, os::unix::fs::PermissionsExt};

use super::scene::{Scene, message};
use crate::program::{holds, samples};

#[test]
fn mail_is_listed_shown_and_printed() {
    let samples: Vec<Vec<u8>> = samples().into_iter().map(|(_, octets)| octets).collect();
    let scene = Scene::sealed(&samples);
    fs::write(scene.maildir().join("cur/9000000000.plain.host:2,"), message("not sealed", "plain body")).unwrap();
    let stage = &scene.stage;
    let listed = stage.text("list", b"");
    assert_eq!(listed.lines().count(), samples.len() + 1, "{listed}");
    assert!(listed.contains("The boathouse key is under the blue flower pot"), "{listed}");
    assert!(listed.contains("not sealed  (not sealed)"), "{listed}");
    let json = stage.json("list --json", b"");
    let lines = json.as_array().unwrap();
    assert_eq!(lines.len(), samples.len() + 1);
    for line in lines.iter().filter(|line| line["state"] == "sealed") {
        let octets = stage.good(&format!("cat {}", line["uid"]), b"");
        assert!(samples.contains(&octets), "octet for octet: {line}");
        let shown = stage.text(&format!("show {}", line["uid"]), b"");
        assert!(shown.contains(line["subject"].as_str().unwrap()), "{shown}");
        assert!(!shown.chars().any(|character| character.is_control() && !"\n\t".contains(character)), "{shown:?}");
    }
    let spanish = lines.iter().find(|line| line["subject"].as_str().unwrap().contains("ecografía")).unwrap();
    let shown = stage.text(&format!("show {}", spanish["uid"]), b"");
    assert!(shown.contains("--- semana-20.png (image/png,"), "{shown}");
    stage.bad("show 999", b"", 64, "no such message");
    stage.bad("list Nowhere", b"", 64, "no such mailbox");
    stage.bad("cat 1 --maildir nowhere", b"", 78, "cannot be opened");
}

#[test]
fn exports_hold_every_original_and_are_private() {
    let from = b"From: a@example.org\nSubject: tricky\n\nFrom here on\n>From there\n".to_vec();
    let originals = [message("one", "first"), from.clone()];
    let scene = Scene::sealed(&originals);
    let stage = &scene.stage;
    stage.good("export --format eml --to out/eml", b"");
    for (number, octets) in originals.iter().enumerate() {
        let path = stage.path("out/eml/INBOX").join(format!("{}.eml", number + 1));
        assert_eq!(&fs::read(&path).unwrap(), octets);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    stage.good("export --format maildir --to out/maildir", b"");
    let mut found: Vec<Vec<u8>> = fs::read_dir(stage.path("out/maildir/cur"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    found.sort();
    let mut expected = originals.to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert!(stage.path("out/maildir/.Sent/cur").is_dir());
    stage.good("export --format mbox --mailbox INBOX --to out/mbox", b"");
    let mbox = fs::read(stage.path("out/mbox/INBOX.mbox")).unwrap();
    assert!(mbox.starts_with(b"From MAILER-DAEMON Fri Jul 14 02:40:00 2017\nFrom: Bob"));
    assert!(holds(&mbox, b"\n\n>From here on\n>>From there\n\n"));
    // Nothing is overwritten.
    stage.bad("export --format mbox --mailbox INBOX --to out/mbox", b"", 75, "cannot write");
    assert_eq!(fs::read(stage.path("out/mbox/INBOX.mbox")).unwrap(), mbox);
}

#[test]
fn what_does_not_open_is_not_printed_in_part() {
    let scene = Scene::sealed(&[message("one", "first"), message("two", "second")]);
    let mut files: Vec<_> =
        fs::read_dir(scene.maildir().join("cur")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut octets = fs::read(&files[0]).unwrap();
    let at = octets.len() - 400;
    octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
    fs::write(&files[0], octets).unwrap();
    let broken = (1..=2).filter(|number| scene.stage.run(&format!("cat {number}"), b"").code != 0).collect::<Vec<_>>();
    let [broken] = broken.as_slice() else { panic!("{broken:?}") };
    scene.stage.bad(&format!("cat {broken}"), b"", 65, "does not open");
    scene.stage.bad(&format!("show {broken}"), b"", 65, "does not open");
    let outcome = scene.stage.run("export --format eml --to out", b"");
    assert_eq!(outcome.code, 65, "{outcome}");
    assert_eq!(fs::read_dir(scene.stage.path("out/INBOX")).unwrap().count(), 1);
}
