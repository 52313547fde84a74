//! `list`, `show`, `cat` and `export`.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use super::{
    account,
    scene::{Scene, message},
};
use crate::program::{Stage, holds, is_there, samples};

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
    let encrypted = b"From: b@example.org\r\nSubject: ours\r\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=x\r\n\r\n--x--\r\n";
    let path = scene.maildir().join("cur/9000000001.encrypted.host:2,");
    fs::write(&path, encrypted).unwrap();
    assert!(stage.text("list", b"").contains("ours  (encrypted by its author)"));
    fs::remove_file(path).unwrap();
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

#[test]
fn mail_of_a_sealer_that_is_not_pinned_is_named_and_never_taken_for_an_original() {
    let stranger = Stage::with_owner();
    let scene = Scene::sealed(&[message("ours", "first")]);
    let stage = &scene.stage;
    stranger.write("alice.asc", stage.good("key export", b""));
    let original = message("theirs", "second");
    let sealed = stranger.good("seal --cert alice.asc", &original);
    fs::write(scene.maildir().join("cur/9000000000.stranger.host:2,"), &sealed).unwrap();
    for command in ["list", "list --mailbox INBOX", "show 2", "search second"] {
        let outcome = stage.run(command, b"");
        assert!(outcome.code == 0 && outcome.err.contains("key trust-sealer FILE"), "{command}: {outcome}");
    }
    let refused = stage.bad("cat 2", b"", 77, "not trusted here");
    assert!(refused.out.is_empty() && refused.err.contains("key trust-sealer FILE"), "{refused}");
    let exported = stage.run("export --format eml --to out", b"");
    let told = ["1 messages written in clear", "1 as they lie: sealed by nobody trusted here", "key trust-sealer FILE"];
    assert!(exported.code == 77 && told.iter().all(|text| exported.err.contains(text)), "{exported}");
    assert_eq!(fs::read(stage.path("out/INBOX/2.eml")).unwrap(), sealed);
    stage.write("stranger.sealer", stranger.text("key export --sealer", b""));
    stage.good("key trust-sealer stranger.sealer", b"");
    let number = stage.json("list --json", b"").as_array().unwrap().last().unwrap()["uid"].clone();
    assert_eq!(stage.good(&format!("cat {number}"), b""), original);
    stage.good("export --format eml --to clear", b"");
}

#[test]
fn slips_are_answered_with_what_is_meant() {
    let scene = Scene::sealed(&[message("one", "first")]);
    let stage = &scene.stage;
    stage.good("index", b"");
    stage.write("file", "");
    for (line, code, says) in [
        ("search first --mailbox Sant", 64, "no such mailbox"),
        ("search first --mailbox Sant", 64, "did you mean `Sent`"),
        ("search first --limit 0", 64, "from 1 on"),
        ("list --last -1", 64, "from 1 on"),
        ("list Sent --mailbox INBOX", 64, "cannot be used with"),
        ("search form:bob", 64, "did you mean `from:`"),
        ("bridge --listen 1144", 64, "write 127.0.0.1:1144"),
        ("export --to file/out", 75, "file/out"),
    ] {
        let outcome = stage.run(line, b"");
        assert!(outcome.code == code && outcome.err.contains(says), "{line}: {outcome}");
    }
    // Both show the day of the Date field.
    let (listed, found) = (stage.json("list --json", b""), stage.json("search first --json", b""));
    assert!(
        listed[0]["date"].as_str().unwrap().len() == 10 && listed[0]["date"] == found[0]["date"],
        "{listed} {found}"
    );
}

/// What reads a Maildir reads an account, and finds the same.
#[test]
fn mail_of_an_account_is_listed_shown_searched_and_exported() {
    if !testbed::servers() {
        return;
    }
    let samples: Vec<Vec<u8>> = samples().into_iter().map(|(_, octets)| octets).collect();
    let scene = account::Scene::sealed(&samples);
    let stage = &scene.stage;
    let plain = message("not sealed", "plain body");
    account::append(&mut scene.direct(), "INBOX", "", &plain);
    let json = stage.json("list --json", b"");
    let lines = json.as_array().unwrap();
    assert_eq!(lines.len(), samples.len() + 1, "{json}");
    let mut subjects = Vec::new();
    for line in lines.iter().filter(|line| line["state"] == "sealed") {
        let octets = stage.good(&format!("cat {}", line["uid"]), b"");
        assert!(samples.contains(&octets), "octet for octet: {line}");
        subjects.push(line["subject"].as_str().unwrap().to_owned());
        assert!(stage.text(&format!("show {}", line["uid"]), b"").contains(subjects.last().unwrap()));
    }
    assert!(subjects.iter().any(|subject| subject.contains("boathouse key")), "{subjects:?}");
    stage.bad("show 999", b"", 64, "no such message");
    stage.bad("list Nowhere", b"", 64, "no such mailbox");
    // The first search makes the index; later ones know what came and went.
    let found = |query: &str| stage.json(&format!("search --json {query}"), b"").as_array().unwrap().len();
    assert_eq!((found("boathouse"), found("plank-nowhere")), (2, 0));
    let told = stage.json("index --json", b"");
    assert_eq!((&told["added"], &told["kept"]), (&0.into(), &(samples.len() + 1).into()), "{told}");
    let mut direct = scene.direct();
    direct.good("SELECT INBOX");
    let gone = lines.iter().find(|line| line["subject"].as_str().unwrap().contains("boathouse")).unwrap();
    direct.good(&format!("UID STORE {} +FLAGS (\\Deleted)", gone["uid"]));
    direct.good("EXPUNGE");
    assert_eq!((found("boathouse"), found("subject:sealed")), (1, 1));
    // Nobody's mailbox holds it in clear, nor does this machine's disk.
    let leaks = super::scene::files_with(stage.path("home"), &[b"boathouse", crate::program::CANARY]);
    assert!(leaks.is_empty(), "{leaks:?}");
    stage.good("export --format maildir --to out", b"");
    assert_eq!(fs::read_dir(stage.path("out/cur")).unwrap().count(), samples.len());
    // Without its server, only what was indexed is known, and only when asked so.
    drop(scene.server);
    stage.bad("search boathouse", b"", 75, "cannot be reached");
    assert_eq!(stage.json("search --as-it-is --json boathouse", b"").as_array().unwrap().len(), 1);
}

/// Arguments: the program, a home. Presses Ctrl-C where a passphrase is asked for; prints how it ended, and whether the terminal echoes.
const CTRL_C: &str = r#"
import os, pty, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], '--home', sys.argv[2], 'list'])
told = b''
while b'Passphrase' not in told:
    told += os.read(terminal, 1000)
while termios.tcgetattr(terminal)[3] & termios.ECHO:
    time.sleep(0.01)
os.write(terminal, b'\x03')
status = os.waitpid(pid, 0)[1]
echoes = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
print(os.waitstatus_to_exitcode(status), echoes)
"#;

#[test]
fn ctrl_c_at_the_passphrase_ends_it_and_leaves_the_terminal_as_it_was() {
    if !is_there("python3", "--version") {
        return;
    }
    let stage = Stage::new();
    stage.write("passphrase", "once upon a time");
    stage.good("init --address alice@example.org --passphrase-file passphrase --recovery recovery.asc", b"");
    for place in ["cur", "new", "tmp"] {
        fs::create_dir_all(stage.path("Maildir").join(place)).unwrap();
    }
    stage.write("home/config.toml", format!("[bridge]\nmaildir = {:?}\n", stage.path("Maildir")));
    let mut command = Command::new("python3");
    command.args(["-c", CTRL_C, env!("CARGO_BIN_EXE_sealpost")]).arg(stage.path("home"));
    let run = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(out.trim(), "130 True", "{err}");
}
