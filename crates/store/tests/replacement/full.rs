//! No space: the write fails midway. A limit on the size of files stands for the full disk.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use store::journal::{Begin, State};
use store::{Database, Journal, Maildir, Replacer};

use crate::scene::{FLOW, NOW, Scene, content};

const HOME: &str = "STORE_TEST_FULL_HOME";

#[test]
fn a_full_disk_leaves_the_original_and_no_litter() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    scene.put("cur/1.a.host:2,S", "a");
    // Blocks of 512 or 1,024 octets, as the shell has it; the signal must be ignored for the write to fail with EFBIG.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["full::child", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(fs::read(scene.mail().join("cur/1.a.host:2,S")).unwrap(), content(0, "a"));
    assert_eq!(fs::read_dir(scene.mail().join("tmp")).unwrap().count(), 0);
    let database = Database::open(&home.path().join("state.db")).unwrap();
    let rows = Journal::on(&database).unfinished(FLOW).unwrap();
    assert_eq!((rows.len(), rows[0].state), (1, State::Published), "what was committed is there");
    assert_eq!(scene.recover().len(), 1);
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    let home = PathBuf::from(std::env::var_os(HOME).unwrap());
    let database = Database::open(&home.join("state.db")).unwrap();
    let journal = Journal::on(&database);
    let replacer = Replacer::open(Maildir::open(&home.join("mail")).unwrap(), &home).unwrap();
    let inbox = replacer.maildir().inbox();
    let original = inbox.messages().unwrap().next().unwrap().unwrap();
    let copy = replacer.new_unique();
    let row = Begin {
        mailbox: inbox.name(),
        original: original.unique().as_bytes(),
        copy: copy.as_bytes(),
        expectation: b"",
    };
    let ids = journal.begin(FLOW, &[row], NOW).unwrap();
    let mut staging = replacer.stage(&inbox, &original, &copy).unwrap();
    let error = staging.write_all(&vec![b'x'; 8 << 20]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::FBIG.raw_os_error()));
    drop(staging);
    journal.advance(&ids, State::Published, NOW).unwrap();
}
