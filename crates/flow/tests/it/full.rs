//! No space left on the device: a small file system of its own, in a mount namespace of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use flow::{Fate, SweepError};

use crate::scene::{Kind, Scene, only};

const HOME: &str = "FLOW_TEST_FULL_HOME";

#[test]
fn a_full_disk_stops_the_sweep_and_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$0\" || exit 77; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(home.path())
        .arg(std::env::current_exe().unwrap())
        .args(["full::child", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home.path())
        .output();
    match output {
        Ok(output) if output.status.code() != Some(77) && !said_no(&output.stderr) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        _ => {
            eprintln!("skipped: no mount namespaces here, so there is no small file system to fill")
        }
    }
}

/// `unshare` itself was refused.
fn said_no(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).starts_with("unshare:")
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let home = PathBuf::from(std::env::var_os(HOME).unwrap());
    let scene = Scene::new(&home);
    let mails = only(&scene.mails(60), Kind::Open);
    scene.put(&mails);
    // The database gets its place beforehand, or nothing would begin at all.
    flow::status(&scene.settings(), &Arc::default()).unwrap();
    drop(store::Database::open(&scene.settings().state).unwrap());
    let filler = home.join("filler");
    for leave in [0_u64, 20, 60, 120, 200, 300, 500] {
        let free = fs_free(&home);
        let size = usize::try_from(free.saturating_sub(leave * 1024)).unwrap();
        fs::write(&filler, vec![1; size]).unwrap();
        let error = flow::sweep(&scene.settings(), &mut (), &Arc::default()).unwrap_err();
        assert!(matches!(error, SweepError::Full) && error.fate() == Fate::Stop, "{leave} KiB free: {error:?}");
        let census = scene.census();
        assert!(mails.iter().all(|mail| census.contains_key(&mail.original)), "lost");
        assert!(census.values().flatten().count() <= mails.len() * 2);
        fs::remove_file(&filler).unwrap();
    }
    scene.sweep();
    scene.assert_each_once(&mails, true);
}

fn fs_free(home: &PathBuf) -> u64 {
    let df = Command::new("df").args(["--output=avail", "-k"]).arg(home).output().unwrap();
    let text = String::from_utf8(df.stdout).unwrap();
    text.lines().last().unwrap().trim().parse::<u64>().unwrap() * 1024
}
