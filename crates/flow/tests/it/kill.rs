//! `kill -9` at random instants of a sweep, while a mail program is at work on the same mail.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::disturber::disturb;
use crate::scene::{Kind, Scene, only};

const HOME: &str = "FLOW_TEST_KILL_HOME";

#[test]
fn killed_anywhere_nothing_is_lost_or_doubled() {
    let rounds = if std::env::var_os("SEALPOST_LONG").is_some() { 400 } else { 60 };
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = scene.mails(300);
    let open = only(&mails, Kind::Open);
    scene.put(&mails);
    let began = Instant::now();
    scene.sweep();
    let mut whole = began.elapsed();
    scene.assert_each_once(&mails, true);

    let over = AtomicBool::new(false);
    let (mut cut_off, mut recovered) = (0, 0);
    for round in 0..rounds {
        scene.clear();
        scene.put(&mails);
        over.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            // Half of the time nobody else is there: then kills meet more of the sweep itself.
            let program = (round % 2 == 0).then(|| scope.spawn(|| disturb(&scene.mail(), &over)));
            let mut child = spawn(&home.path().to_path_buf());
            std::thread::sleep(random(whole));
            child.kill().unwrap();
            match child.wait().unwrap().success() {
                // Too late: the first sweep was slower than this one.
                true => whole = whole * 3 / 4,
                false => cut_off += 1,
            }
            let swept = scene.sweep();
            recovered += swept.recovered;
            over.store(true, Ordering::Relaxed);
            if let Some(program) = program {
                assert!(program.join().unwrap() > 0, "the mail program never came to work");
            }
        });
        let census = scene.census();
        for mail in &open {
            assert!(census.contains_key(&mail.original), "round {round}: {} is lost", mail.file);
        }
        // What was renamed too fast, or failed to be read for it, is left for now: the next sweep has it.
        scene.sweep();
        scene.assert_each_once(&mails, true);
    }
    assert!(cut_off * 2 > rounds, "only {cut_off} sweeps were cut off");
    assert!(recovered > 0, "no kill ever hit a replacement");
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let scene = Scene::at(&PathBuf::from(std::env::var_os(HOME).unwrap()));
    println!("started");
    scene.sweep();
}

fn spawn(home: &PathBuf) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    let mut seen = Vec::new();
    let mut octet = [0];
    while !seen.ends_with(b"started") {
        assert_eq!(stdout.read(&mut octet).unwrap(), 1, "the child ended early");
        seen.extend(octet);
    }
    child
}

/// Any time up to that.
fn random(most: Duration) -> Duration {
    let most = u64::try_from(most.as_micros()).unwrap().max(1);
    Duration::from_micros(RandomState::new().build_hasher().finish() % most)
}
