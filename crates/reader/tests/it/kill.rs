//! `kill -9` at random instants of an undo, while a mail program is at work on the same mail.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::disturber::disturb;
use crate::scene::{Kind, Scene, files_below, only};
use crate::{undo, unsealed};

const HOME: &str = "READER_TEST_KILL_HOME";

#[test]
fn killed_anywhere_nothing_is_lost_or_doubled() {
    let rounds = if std::env::var_os("SEALPOST_LONG").is_some() { 400 } else { 60 };
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = scene.mails(300);
    scene.put(&mails);
    scene.sweep();
    let sealed = Saved::of(&scene);
    let began = Instant::now();
    undo(&scene);
    let mut whole = began.elapsed();
    let back = unsealed(&mails);
    scene.assert_each_once(&back, false);

    let over = AtomicBool::new(false);
    let (mut cut_off, mut recovered) = (0, 0);
    // On a machine that is busy in one moment and idle in the next some kills come too late: others are made.
    for round in 0..rounds * 2 {
        if round >= rounds && cut_off * 2 > rounds {
            break;
        }
        scene.clear();
        sealed.restore();
        over.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            // Half of the time nobody else is there: then kills meet more of the undo itself.
            let program = (round % 2 == 0).then(|| scope.spawn(|| disturb(&scene.mail(), &over)));
            let mut child = spawn(home.path());
            std::thread::sleep(random(whole));
            child.kill().unwrap();
            let is_cut_off = !child.wait().unwrap().success();
            cut_off += u32::from(is_cut_off);
            if !is_cut_off {
                // The machine is less busy than it was.
                whole = whole * 9 / 10;
            }
            recovered += undo(&scene).recovered;
            over.store(true, Ordering::Relaxed);
            if let Some(program) = program {
                assert!(program.join().unwrap() > 0, "the mail program never came to work");
            }
        });
        let census = scene.census();
        for mail in only(&back, Kind::Open) {
            assert!(census.contains_key(&mail.original), "round {round}: {} is lost", mail.file);
        }
        // What was renamed too fast is left for now: the next undo has it.
        undo(&scene);
        scene.assert_each_once(&back, false);
    }
    assert!(cut_off * 2 > rounds, "only {cut_off} undos were cut off");
    assert!(recovered > 0, "no kill ever hit a replacement");
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let scene = Scene::at(&PathBuf::from(std::env::var_os(HOME).unwrap()));
    println!("started");
    undo(&scene);
}

/// All messages as they were.
struct Saved(Vec<(PathBuf, Vec<u8>, std::time::SystemTime)>);

impl Saved {
    fn of(scene: &Scene) -> Saved {
        let file = |file: PathBuf| {
            let modified = fs::metadata(&file).unwrap().modified().unwrap();
            (file.clone(), fs::read(file).unwrap(), modified)
        };
        Saved(files_below(&scene.mail()).into_iter().map(file).collect())
    }

    fn restore(&self) {
        for (file, octets, modified) in &self.0 {
            fs::write(file, octets).unwrap();
            fs::File::options().write(true).open(file).unwrap().set_modified(*modified).unwrap();
        }
    }
}

fn spawn(home: &Path) -> Child {
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
