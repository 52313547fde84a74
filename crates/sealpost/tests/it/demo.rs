//! The demo, which must be able to fail; and what the program prints for shells and man.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::program::{CANARY, Outcome, Stage, holds};

/// What the demo claims, in its words.
const CLAIMS: [&str; 6] = [
    "11 sample mails arrive in a Maildir",
    "is readable in 11 files on disk",
    "Found in 0 files",
    "11 of 11 are the same, octet for octet",
    "Flags and dates are as they were",
    "All of it was checked in this run",
];

#[test]
fn the_demo_shows_what_it_claims_and_leaves_it_to_be_looked_at() {
    let stage = Stage::new();
    let told = stage.text("demo given/directory", b"");
    for claim in CLAIMS {
        assert!(told.contains(claim), "{claim}: {told}");
    }
    // What it names at the end is there and works.
    let mails: Vec<Vec<u8>> = ["cur", "new"]
        .iter()
        .flat_map(|folder| fs::read_dir(stage.path("given/directory/Maildir").join(folder)).unwrap())
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(mails.len(), 11);
    for mail in &mails {
        assert!(!holds(mail, CANARY));
        assert!(holds(&stage.good("--home given/directory/home open", mail), CANARY));
        stage.good("--home nowhere open --key given/directory/recovery-key.asc", mail);
    }
    let status = stage.json("--home given/directory/home status demo --json", b"");
    assert_eq!(status["demo"]["plaintext"]["messages"], 0);
    assert_eq!(stage.json("--home given/directory/home undo demo --json", b"")["restored"], 11);
    assert_eq!(fs::read_dir(stage.path("tmp")).unwrap().count(), 0);
    assert!(!stage.path("home").exists(), "the user's own home is left alone");
}

#[test]
fn without_a_directory_it_plays_in_a_temporary_one() {
    let stage = Stage::new();
    let told = stage.text("demo", b"");
    assert!(CLAIMS.iter().all(|claim| told.contains(claim)), "{told}");
    let made: Vec<_> = fs::read_dir(stage.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(made.len(), 1);
    assert!(told.contains(&format!("{}/Maildir", made[0].canonicalize().unwrap().display())), "{told}");
}

#[test]
fn it_takes_no_directory_that_it_cannot_have() {
    let stage = Stage::new();
    let file = stage.write("taken/file", "mine");
    stage.bad("demo taken", b"", 64, "taken is not empty");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert_eq!(fs::read_dir(stage.path("taken")).unwrap().count(), 1);
    stage.bad("demo taken/file", b"", 64, "cannot make taken/file");
    stage.bad("demo taken/file/below", b"", 64, "cannot make");
    let mut command = stage.command("demo");
    command.env("TMPDIR", stage.path("missing"));
    crate::program::feed(command, b"").is_failure("no TMPDIR", 75, "cannot make a temporary directory");
}

#[test]
fn it_fails_where_its_claim_does_not_hold() {
    let stage = Stage::new();
    let child = stage.command("demo scene").spawn().unwrap();
    let outcome = thread::scope(|scope| {
        // The line that must be found nowhere is put where it will be found, as a leak would.
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !stage.path("scene").exists() {
                assert!(Instant::now() < deadline, "the demo does not begin");
            }
            stage.write("scene/leak", CANARY);
        });
        Outcome::of(child)
    });
    assert_eq!(outcome.code, 65, "{outcome}");
    assert!(outcome.err.contains("the demo's claim does not hold") && outcome.err.lines().count() == 2, "{outcome}");
    assert!(!holds(&outcome.out, CLAIMS[5].as_bytes()), "{outcome}");
}

#[test]
fn completions_and_man_pages_are_printed() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = stage.text(&format!("completions {shell}"), b"");
        assert!(["sealpost", "enrolment", "passphrase-file"].iter().all(|word| script.contains(word)), "{shell}");
    }
    assert_eq!(stage.run("completions tcsh", b"").code, 64);
    stage.good("man pages/man1", b"");
    let pages: Vec<_> = fs::read_dir(stage.path("pages/man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for name in ["sealpost.1", "sealpost-seal.1", "sealpost-key-enrolment.1"] {
        assert!(pages.iter().any(|page| page.ends_with(name)), "{name} of {pages:?}");
    }
    assert!(pages.iter().all(|page| fs::read(page).unwrap().starts_with(b".")));
    stage.write("file", "");
    stage.bad("man file/below", b"", 75, "cannot write to file/below");
}
