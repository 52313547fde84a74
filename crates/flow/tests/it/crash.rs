//! The crash table: the process dies, or one part of it panics, at every single step; then a new sweep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use flow::{Progress, Step};

use crate::scene::{CANARY, Kind, Mail, Scene, holding, only};

const HOME: &str = "FLOW_TEST_CRASH_HOME";
const STEP: &str = "FLOW_TEST_CRASH_STEP";

/// Two small ones, and a large one, which is a batch of its own.
fn mails(scene: &Scene) -> Vec<Mail> {
    let mut mails = only(&scene.mails(8), Kind::Open);
    mails.truncate(3);
    mails[2].original.extend(format!("{CANARY} 0123456789abcdef\r\n").repeat(200_000).into_bytes());
    mails
}

#[test]
fn death_at_every_step_loses_and_doubles_nothing() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = mails(&scene);
    let mut deaths = 0;
    for step in 1.. {
        scene.clear();
        scene.put(&mails);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child", "--exact", "--ignored", "--nocapture"])
            .envs([(HOME, home.path().as_os_str()), (STEP, step.to_string().as_ref())])
            .output()
            .unwrap();
        check(&scene, &mails);
        if child.status.success() {
            break;
        }
        deaths += 1;
    }
    // For each batch eight steps, and two for each message.
    assert_eq!(deaths, 2 * 8 + 3 * 2);
    let status = flow::status(&scene.settings(), &Arc::default()).unwrap();
    assert_eq!(status.unfinished, 0);
}

#[test]
fn a_panic_at_every_step_loses_and_doubles_nothing() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = mails(&scene);
    for step in 1..=2 * 8 + 3 * 2 {
        scene.clear();
        scene.put(&mails);
        let mut bomb = Bomb { left: step, blow: || panic!("as the test wants it") };
        let sweep = || flow::sweep(&scene.settings(), &mut bomb, &Arc::default());
        assert!(catch_unwind(AssertUnwindSafe(sweep)).is_err(), "step {step}");
        check(&scene, &mails);
    }
}

#[test]
fn what_one_flow_began_another_one_ends() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = mails(&scene);
    for step in 1..=2 * 8 + 3 * 2 {
        scene.clear();
        scene.put(&mails);
        let mut bomb = Bomb { left: step, blow: || panic!("as the test wants it") };
        let mut other = scene.settings();
        other.name = format!("other{step}");
        let sweep = || flow::sweep(&other, &mut bomb, &Arc::default());
        assert!(catch_unwind(AssertUnwindSafe(sweep)).is_err(), "step {step}");
        check(&scene, &mails);
    }
}

fn check(scene: &Scene, mails: &[Mail]) {
    let census = scene.census();
    assert!(mails.iter().all(|mail| census.contains_key(&mail.original)), "lost");
    scene.sweep();
    scene.assert_each_once(mails, true);
    assert!(holding(&scene.home, CANARY).is_empty());
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let scene = Scene::at(&PathBuf::from(std::env::var_os(HOME).unwrap()));
    let left = std::env::var(STEP).unwrap().parse().unwrap();
    let mut bomb = Bomb { left, blow: || std::process::abort() };
    flow::sweep(&scene.settings(), &mut bomb, &Arc::default()).unwrap();
}

/// Blows at a step.
struct Bomb<F> {
    left: u32,
    blow: F,
}

impl<F: Fn()> Progress for Bomb<F> {
    fn step(&mut self, _: Step) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            (self.blow)();
        }
    }
}
