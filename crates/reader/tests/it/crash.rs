//! The crash table of an undo: the process dies at every single step; then a new undo. And an undo after a sweep that died.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use reader::Step;

use crate::scene::{Kind, Mail, Scene, only};
use crate::{settings, undo};

const HOME: &str = "READER_TEST_CRASH_HOME";
const STEP: &str = "READER_TEST_CRASH_STEP";
const WHAT: &str = "READER_TEST_CRASH_WHAT";

fn mails(scene: &Scene) -> Vec<Mail> {
    let mut mails = only(&scene.mails(8), Kind::Open);
    mails.truncate(3);
    mails[2].original.extend(b"0123456789abcdef\r\n".repeat(300_000));
    mails
}

/// Dies at each step in turn, undoes, checks; says how many times the child died.
fn table(what: &str, prepare: impl Fn(&Scene)) -> u32 {
    for step in 1.. {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let mails = mails(&scene);
        scene.put(&mails);
        prepare(&scene);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child", "--exact", "--ignored", "--nocapture"])
            .envs([(HOME, home.path().as_os_str()), (STEP, step.to_string().as_ref()), (WHAT, what.as_ref())])
            .output()
            .unwrap();
        let census = scene.census();
        assert!(mails.iter().all(|mail| census.contains_key(&mail.original)), "lost at step {step}");
        undo(&scene);
        scene.assert_each_once(&mails, false);
        if child.status.success() {
            return step - 1;
        }
    }
    unreachable!("an endless loop")
}

#[test]
fn an_undo_that_died_at_any_step_goes_on() {
    let deaths = table("undo", |scene| drop(scene.sweep()));
    // For each batch eight steps, and two for each message.
    assert_eq!(deaths, 2 * 8 + 3 * 2);
}

#[test]
fn an_undo_settles_a_sweep_that_died_at_any_step() {
    assert_eq!(table("sweep", |_| {}), 2 * 8 + 3 * 2);
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let scene = Scene::at(&PathBuf::from(std::env::var_os(HOME).unwrap()));
    let left = std::env::var(STEP).unwrap().parse().unwrap();
    let mut bomb = Bomb { left };
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    match std::env::var(WHAT).unwrap().as_str() {
        "undo" => drop(reader::undo(&settings(&scene), &mut bomb, &stop).unwrap()),
        _ => drop(flow::sweep(&scene.settings(), &mut bomb, &stop).unwrap()),
    }
}

/// Ends the process at a step.
struct Bomb {
    left: u32,
}

impl Bomb {
    fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            std::process::abort();
        }
    }
}

impl reader::Progress for Bomb {
    fn step(&mut self, _: Step) {
        self.tick();
    }
}

impl flow::Progress for Bomb {
    fn step(&mut self, _: Step) {
        self.tick();
    }
}
