//! A Maildir from its plan to its undo, as it is typed.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::program::{CANARY, Outcome, Stage, holds, sample, samples};

/// A stage with an owner, a Maildir, and a flow `a` with more settings for its source.
fn stage(source: &str) -> Stage {
    let stage = Stage::with_owner();
    mailbox(&stage, "");
    configure(&stage, "a", source);
    stage
}

fn mailbox(stage: &Stage, name: &str) -> PathBuf {
    let folder = stage.path("Maildir").join(name);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    folder
}

fn configure(stage: &Stage, name: &str, source: &str) {
    let maildir = stage.path("Maildir").display().to_string();
    stage.write(
        "home/config.toml",
        format!(
            "[flow.{name}]\nsource = {{ maildir = \"{maildir}\"{source} }}\nseal = {{ to = \"alice@example.org\" }}\nsink = \"in-place\"\n"
        ),
    );
}

/// Puts a mail that arrived at that second into a mailbox; `flags` are as in `:2,S`.
fn deliver(mailbox: &Path, number: usize, flags: &str, mail: &[u8]) -> PathBuf {
    let arrived = 1_700_000_000 + number as u64;
    let path = mailbox.join("cur").join(format!("{arrived}.M{number}P1.example:2,{flags}"));
    fs::write(&path, mail).unwrap();
    date(&path, UNIX_EPOCH + Duration::from_secs(arrived));
    path
}

fn date(path: &Path, moment: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(moment).unwrap();
}

/// Every mail of a mailbox: its octets, seconds of arrival, flags; in the order of arrival.
fn mails(mailbox: &Path) -> Vec<(Vec<u8>, u64, String)> {
    let mut mails = Vec::new();
    for folder in ["cur", "new", "tmp"] {
        for entry in fs::read_dir(mailbox.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let arrived =
                fs::metadata(&path).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let flags = name.split_once(":2,").map(|(_, flags)| flags.to_owned()).unwrap_or_default();
            mails.push((fs::read(&path).unwrap(), arrived, flags));
        }
    }
    mails.sort_by_key(|(_, arrived, _)| *arrived);
    mails
}

fn count(value: &Value) -> u64 {
    value["messages"].as_u64().unwrap_or_default()
}

#[test]
fn plan_sweep_verify_undo() {
    from_plan_to_undo(&Stage::with_owner());
}

#[test]
fn plan_sweep_verify_undo_in_smime() {
    from_plan_to_undo(&Stage::with_smime_owner());
}

fn from_plan_to_undo(stage: &Stage) {
    mailbox(stage, "");
    configure(stage, "a", "");
    let maildir = stage.path("Maildir");
    for (number, (_, mail)) in samples().iter().enumerate() {
        deliver(&maildir, number, ["S", "", "FRS"][number % 3], mail);
    }
    let before = mails(&maildir);
    let all = before.len() as u64;

    // The dry run counts and changes nothing.
    let plan = stage.json("plan a --json", b"");
    assert_eq!((count(&plan["to_seal"]), count(&plan["sealed"])), (all, 0), "{plan}");
    assert!(stage.text("plan a", b"").contains(&format!("{all}  to seal")));
    assert!(mails(&maildir) == before && !stage.path("home/state.db").exists());
    assert_eq!(count(&stage.json("status --json", b"")["a"]["plaintext"]), all);

    let swept = stage.json("sweep a --json", b"");
    assert_eq!((count(&swept["sealed"]), &swept["interrupted"]), (all, &false.into()), "{swept}");
    let sealed = mails(&maildir);
    assert_eq!(sealed.len(), before.len());
    for (is, was) in sealed.iter().zip(&before) {
        assert!(!holds(&is.0, CANARY));
        assert_eq!((is.1, &is.2), (was.1, &was.2), "date and flags are kept");
        assert_eq!(stage.good("open", &is.0), was.0);
    }

    // Once more: nothing to do, nothing changes.
    let swept = stage.json("sweep a --json", b"");
    assert_eq!((count(&swept["sealed"]), count(&swept["found"]["sealed"])), (0, all), "{swept}");
    assert!(mails(&maildir) == sealed);
    assert!(stage.text("sweep a", b"").contains("0  sealed now"));

    let status = stage.json("status a --json", b"");
    assert_eq!((count(&status["a"]["plaintext"]), count(&status["a"]["sealed"])), (0, all), "{status}");
    assert_eq!(status["a"]["sealed_ever"], all);
    assert!(stage.text("status", b"").contains("a:\n"));

    let verified = stage.json("verify a --json", b"");
    assert_eq!((&verified["opened"], verified["gaps"].as_array().unwrap().len()), (&all.into(), 0), "{verified}");
    assert!(stage.text("verify a", b"").contains("both signatures hold"));
    assert!(mails(&maildir) == sealed);

    let undone = stage.json("undo a --json", b"");
    assert_eq!(undone["restored"], all, "{undone}");
    assert!(mails(&maildir) == before, "all as it was");
    stage.bad("sweep a", b"", 78, "the flow is stopped");
    assert!(mails(&maildir) == before);
    assert!(stage.json("status a --json", b"")["a"]["stopped_since"].is_u64());
    assert!(stage.text("plan a", b"").contains("stopped by an undo"));
    assert_eq!(stage.json("undo a --json", b"")["restored"], 0);

    // To seal it again, the flow gets another name.
    configure(stage, "b", "");
    assert_eq!(count(&stage.json("sweep b --json", b"")["sealed"]), all);
}

/// More settings of the source; how many are to be sealed; why others are not.
type Case = (&'static str, u64, &'static [(&'static str, u64)]);

#[test]
fn what_a_flow_leaves_alone() {
    let day = |days: u64| UNIX_EPOCH + Duration::from_secs(days * 86_400);
    let cases: [Case; 7] = [
        ("", 4, &[("draft", 1), ("deleted", 1)]),
        (", grace = \"1h\"", 0, &[("too-young", 4), ("draft", 1), ("deleted", 1)]),
        (", grace = \"0s\"", 4, &[("draft", 1), ("deleted", 1)]),
        (", since = \"2001-01-01\"", 3, &[("too-old", 1), ("draft", 1), ("deleted", 1)]),
        (", since = \"2999-12-31\"", 0, &[("too-old", 4), ("draft", 1), ("deleted", 1)]),
        (", max-size = 100000", 3, &[("too-large", 1), ("draft", 1), ("deleted", 1)]),
        (", max-size = 0", 0, &[("too-large", 4), ("draft", 1), ("deleted", 1)]),
    ];
    let stage = stage("");
    let maildir = stage.path("Maildir");
    deliver(&maildir, 1, "D", &sample("plain.eml"));
    deliver(&maildir, 2, "ST", &sample("plain.eml"));
    deliver(&maildir, 3, "S", &sample("plain.eml"));
    deliver(&maildir, 4, "", &sample("signed.eml"));
    deliver(&maildir, 5, "S", &[sample("plain.eml"), b"more\r\n".repeat(50_000)].concat());
    date(&deliver(&maildir, 6, "S", &sample("broken.eml")), day(10_000));
    for (source, to_seal, skipped) in cases {
        configure(&stage, "a", source);
        let found = stage.json("plan a --json", b"");
        assert_eq!(count(&found["to_seal"]), to_seal, "{source}: {found}");
        assert_eq!(found["skipped"].as_object().unwrap().len(), skipped.len(), "{source}: {found}");
        for (reason, messages) in skipped {
            assert_eq!(count(&found["skipped"][reason]), *messages, "{source}: {found}");
        }
    }
    // And so does the sweep.
    configure(&stage, "a", ", since = \"2001-01-01\", max-size = 100000");
    assert_eq!(count(&stage.json("sweep a --json", b"")["sealed"]), 2);
    assert_eq!(mails(&maildir).iter().filter(|(mail, ..)| holds(mail, b"Sealed-Mail:")).count(), 2);
}

#[test]
fn patterns_pick_mailboxes() {
    let stage = stage("");
    let names =
        ["", ".Sent", ".Archive", ".Archive.2023", ".Archive.2024", ".Drafts", ".Trash", ".Junk", "nested/below"];
    for (number, name) in names.into_iter().enumerate() {
        deliver(&mailbox(&stage, name), number, "S", &sample("plain.eml"));
    }
    let cases = [
        ("", 6),
        (", mailboxes = [\"INBOX\"]", 1),
        (", mailboxes = [\"inbox\", \"Sent\"]", 2),
        (", mailboxes = [\"Archive/*\"]", 2),
        (", mailboxes = [\"Archive*\"]", 3),
        (", mailboxes = [\"*/2024\", \"nested/below\"]", 2),
        (", mailboxes = [\"*\"]", 6),
        (", mailboxes = [\"*\", \"Trash\"]", 7),
        (", mailboxes = [\"Nothing*\"]", 0),
    ];
    for (source, to_seal) in cases {
        configure(&stage, "a", source);
        assert_eq!(count(&stage.json("plan a --json", b"")["to_seal"]), to_seal, "{source}");
    }
    configure(&stage, "a", ", mailboxes = [\"INBOX\", \"Sned\"]");
    stage.bad("plan a", b"", 78, "there is no mailbox \"Sned\"");
    stage.bad("sweep a", b"", 78, "there is no mailbox \"Sned\"");
    configure(&stage, "a", ", mailboxes = [\"Archive/*\", \"Trash\"]");
    assert_eq!(count(&stage.json("sweep a --json", b"")["sealed"]), 3);
    assert!(holds(&mails(&stage.path("Maildir"))[0].0, CANARY), "INBOX was not meant");
}

#[test]
fn a_flow_that_cannot_be_is_named() {
    let stage = stage("");
    for command in ["plan", "sweep", "verify", "undo", "status"] {
        stage.bad(&format!("{command} nothing"), b"", 78, "no flow named nothing");
        let says = if command == "status" { "no flow named a" } else { "there is no home" };
        stage.bad(&format!("--home nowhere {command} a"), b"", 78, says);
    }
    let configs = [
        ("[flow.a]\nsource = { maildir = \"/m\" }\nsink = \"in-place\"\n", "missing field `seal`"),
        (
            "[flow.a]\nsource = { maildir = \"/m\", grace = \"soon\" }\nseal = { to = \"a@b\" }\nsink = \"in-place\"\n",
            "a duration is",
        ),
        (
            "[flow.a]\nsource = { maildir = \"/m\", since = \"today\" }\nseal = { to = \"a@b\" }\nsink = \"in-place\"\n",
            "a day is written",
        ),
        (
            "[flow.a]\nsource = { maildir = \"/m\", max-size = -1 }\nseal = { to = \"a@b\" }\nsink = \"in-place\"\n",
            "line 2",
        ),
        (
            "[flow.a]\nsource = { maildir = \"/m\" }\nseal = { to = \"a@b\", policy = \"loud\" }\nsink = \"in-place\"\n",
            "must be one of",
        ),
        ("[flow.a]\nsource = { maildir = \"/m\" }\nseal = { to = \"a@b\" }\nsink = \"elsewhere\"\n", "line 4"),
        (
            "[flow.a]\nsource = { maildir = \"/missing\" }\nseal = { to = \"alice@example.org\" }\nsink = \"in-place\"\n",
            "",
        ),
    ];
    for (config, says) in configs {
        stage.write("home/config.toml", config);
        stage.bad("sweep a", b"", if says.is_empty() { 69 } else { 78 }, says);
    }
    fs::remove_file(stage.path("home/config.toml")).unwrap();
    assert!(stage.text("status", b"").contains("no flows yet"));
}

#[test]
fn verify_reports_a_damaged_file_by_its_name() {
    let stage = stage("");
    let maildir = stage.path("Maildir");
    for (number, (_, mail)) in samples().iter().enumerate() {
        deliver(&maildir, number, "S", mail);
    }
    stage.good("sweep a", b"");
    let file = fs::read_dir(maildir.join("cur")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    fs::write(&file, &damaged).unwrap();
    let outcome = stage.run("verify a", b"");
    let text = String::from_utf8(outcome.out.clone()).unwrap();
    assert_eq!(outcome.code, 65, "{outcome}");
    assert!(outcome.err.starts_with("sealpost: error: ") && outcome.err.lines().count() == 2, "{outcome}");
    let name = file.file_name().unwrap().to_str().unwrap().split(':').next().unwrap().to_owned();
    assert!(text.contains(&name) && text.contains("damaged"), "{text}");
    // An undo puts the others back, leaves this one, and says so.
    let outcome = stage.run("undo a", b"");
    assert_eq!(outcome.code, 65, "{outcome}");
    assert!(outcome.err.contains("1 messages stay sealed"), "{outcome}");
    assert_eq!(mails(&maildir).iter().filter(|(mail, ..)| holds(mail, b"Sealed-Mail:")).count(), 1);
    // Brought back from a backup, it goes the same way.
    let left = fs::read_dir(maildir.join("cur")).unwrap().map(|entry| entry.unwrap().path());
    let left = left.into_iter().find(|path| fs::read(path).unwrap() == damaged).unwrap();
    fs::write(left, whole).unwrap();
    assert_eq!(stage.json("undo a --json", b"")["restored"], 1);
}

#[test]
fn verify_and_undo_want_the_passphrase_and_sweep_does_not() {
    let stage = Stage::new();
    stage.write("right", "correct horse\n");
    stage.good("init --address alice@example.org --passphrase-file right", b"");
    deliver(&mailbox(&stage, ""), 1, "S", &sample("plain.eml"));
    configure(&stage, "a", "");
    stage.good("sweep a", b"");
    stage.bad("verify a", b"", 78, "no terminal to ask on");
    stage.bad("undo a", b"", 78, "no terminal to ask on");
    assert_eq!(stage.json("status a --json", b"")["a"]["stopped_since"], Value::Null);
    stage.good("verify a --passphrase-file right", b"");
    stage.good("undo a --passphrase-file right", b"");
    assert_eq!(mails(&stage.path("Maildir"))[0].0, sample("plain.eml"));
}

#[test]
fn a_sweep_ends_when_asked_and_the_next_one_finishes() {
    const MAILS: usize = 3_000;
    let stage = stage("");
    let maildir = stage.path("Maildir");
    for number in 0..MAILS {
        deliver(&maildir, number, "S", format!("Subject: {number}\r\n\r\n{number}\r\n").as_bytes());
    }
    let sealed = || mails(&maildir).iter().filter(|(mail, ..)| holds(mail, b"Sealed-Mail:")).count();
    let child = stage.command("sweep a").spawn().unwrap();
    let process = rustix::process::Pid::from_child(&child);
    let deadline = Instant::now() + Duration::from_secs(60);
    let begun = || {
        fs::read_dir(maildir.join("cur"))
            .unwrap()
            .any(|entry| fs::metadata(entry.unwrap().path()).is_ok_and(|data| data.len() > 1000))
    };
    while !begun() {
        assert!(Instant::now() < deadline, "the sweep does not begin");
        thread::sleep(Duration::from_millis(2));
    }
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let outcome = ends(child, Duration::from_secs(30));
    assert_eq!(outcome.code, 75, "{outcome}");
    assert!(
        outcome.err.contains("stopped before the end, as asked") && outcome.err.contains("go on with"),
        "{outcome}"
    );
    let done = sealed();
    assert!(done > 0 && done < MAILS, "{done}");
    assert_eq!(mails(&maildir).len(), MAILS, "nothing half done lies about");

    let swept = stage.json("sweep a --json", b"");
    assert_eq!(count(&swept["sealed"]), (MAILS - done) as u64, "{swept}");
    assert_eq!((sealed(), mails(&maildir).len()), (MAILS, MAILS));
    let verified = stage.json("verify a --json", b"");
    assert_eq!(verified["opened"], MAILS, "{verified}");
    assert!(verified["copies"].as_array().unwrap().is_empty(), "{verified}");
}

/// Waits for a program that must end soon; one that does not is ended.
pub fn ends(mut child: Child, within: Duration) -> Outcome {
    let deadline = Instant::now() + within;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            panic!("still running; ended with signal {:?}", status.signal());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Outcome::of(child)
}

#[test]
fn what_cannot_be_read_is_never_taken_for_done() {
    let stage = stage("");
    let maildir = stage.path("Maildir");
    let archive = mailbox(&stage, ".Archive");
    deliver(&maildir, 1, "S", &sample("plain.eml"));
    deliver(&archive, 2, "S", &sample("plain.eml"));
    stage.good("sweep a", b"");
    stage.good("verify a", b"");
    // Another flow's mail is not put back.
    configure(&stage, "b", ", mailboxes = [\"Nothing*\"]");
    assert_eq!(stage.json("undo b --json", b"")["restored"], 0);
    configure(&stage, "a", "");

    // A folder that cannot be listed, also where the user may read everything.
    let (new, away) = (archive.join("new"), stage.path("away"));
    fs::remove_dir(&new).unwrap();
    fs::write(&new, b"").unwrap();
    for command in ["sweep", "verify", "undo"] {
        let outcome = stage.run(&format!("{command} a"), b"");
        let text = String::from_utf8_lossy(&outcome.out).into_owned();
        assert_eq!(outcome.code, 75, "{command}: {outcome}");
        assert!(text.contains("not looked at: ") && text.contains(".Archive (cannot be read)"), "{command}: {text}");
    }
    fs::remove_file(&new).unwrap();
    // Or one that is somewhere else now.
    fs::rename(&archive, &away).unwrap();
    std::os::unix::fs::symlink(&away, &archive).unwrap();
    for command in ["verify", "undo"] {
        let outcome = stage.run(&format!("{command} a"), b"");
        assert_eq!(outcome.code, 75, "{command}: {outcome}");
        assert!(String::from_utf8_lossy(&outcome.out).contains(".Archive (a symbolic link)"), "{command}: {outcome}");
    }
    fs::remove_file(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    // A server that dropped a field: nothing of it lies open.
    let file = fs::read_dir(archive.join("cur")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    for (field, other, says) in [
        ("Sealed-Mail:", "X-Gone:", "damaged"),
        ("Sealed-Key:", "X-Gone:", "damaged"),
        ("Sealed-Fields:", "X-Gone:", "damaged"),
        ("Sealed-Mail: v=1", "Sealed-Mail: v=2", "newer way"),
    ] {
        fs::write(&file, String::from_utf8(whole.clone()).unwrap().replacen(field, other, 1)).unwrap();
        for command in ["verify", "undo"] {
            let outcome = stage.run(&format!("{command} a"), b"");
            assert_eq!(outcome.code, 65, "{command} {field}: {outcome}");
            assert!(String::from_utf8_lossy(&outcome.out).contains(says), "{command} {field}: {outcome}");
        }
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(stage.json("undo a --json", b"")["restored"], 1);
}
