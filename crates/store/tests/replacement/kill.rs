//! `kill -9` at random instants of an endless run; after each, everything is there, and after recovery once.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::scene::{Cut, NOW, Scene, compare_files, replace_all};

const HOME: &str = "STORE_TEST_KILL_HOME";
const ROUNDS: u32 = 50;
const MESSAGES: usize = 12;

#[test]
fn killed_anywhere_nothing_is_lost_or_doubled() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    for number in 0..MESSAGES {
        scene.put(&format!("cur/{number}.x.host:2,S"), &number.to_string());
    }
    let mut unfinished = 0;
    for _ in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--ignored", "--nocapture"])
            .env(HOME, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until_started(child.stdout.as_mut().unwrap());
        std::thread::sleep(Duration::from_micros(RandomState::new().build_hasher().finish() % 40_000));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        let at_kill = scene.census();
        assert_eq!(at_kill.len(), MESSAGES, "lost");
        unfinished += scene.recover().len();
        let after = scene.census();
        assert_eq!(after.len(), MESSAGES, "lost");
        assert!(after.values().all(|found| found.len() == 1 && found[0].1.ends_with(":2,S")), "{after:?}");
    }
    assert!(unfinished > 0, "no kill ever hit a replacement");
    assert!(scene.census().values().any(|found| found[0].0 > 0), "no replacement was ever finished");
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let scene = Scene::new(&PathBuf::from(std::env::var_os(HOME).unwrap()));
    let (replacer, database) = scene.open();
    store::recover(&replacer, &database, crate::scene::FLOW, NOW, compare_files).unwrap();
    println!("started");
    loop {
        for found in scene.census().into_values() {
            replace_all(&replacer, &database, found[0].0, 5, Cut::Never);
        }
    }
}

fn wait_until_started(stdout: &mut impl Read) {
    let mut seen = Vec::new();
    let mut octet = [0];
    while !seen.ends_with(b"started") {
        assert_eq!(stdout.read(&mut octet).unwrap(), 1, "the child ended early");
        seen.extend(octet);
    }
}
