//! Mail that was lost, restored from the backup that the flow kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use reader::{Into, RestoreError, reason};
use store::UnixSeconds;
use testbed::{Action, Faults, Rule, Which};

use crate::account::{Account, mails};
use crate::imap::{assert_back, begin, expunge};
use crate::scene::Scene;
use crate::{settings, settings_of};

fn restore(account: &Account, server: std::net::SocketAddr, into: &Into) -> reader::Restored {
    let backup = account.scene.home.join("backup");
    reader::restore(&settings_of(account, server), &backup, None, into, &mut (), &Arc::default()).unwrap()
}

#[test]
fn into_a_directory() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    let mails = mails(45);
    account.put(&mails);
    account.sweep();
    let directory = home.path().join("back");
    let into = Into::Directory(directory.clone());
    let restored = restore(&account, account.server, &into);
    assert_eq!((restored.restored, restored.there, restored.reasons.len()), (45, 0, 0));
    let mut found: Vec<Vec<u8>> = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        found.push(fs::read(entry.path()).unwrap());
    }
    let mut expected: Vec<Vec<u8>> = mails.iter().map(|mail| mail.octets.clone()).collect();
    found.sort();
    expected.sort();
    assert!(found == expected);
    // Again: nothing is overwritten, not even what is wrong.
    let first = fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    fs::write(&first, b"mine").unwrap();
    let again = restore(&account, account.server, &into);
    assert_eq!((again.restored, again.there, again.reasons.get(reason::UNWRITABLE)), (0, 44, Some(&1)));
    assert_eq!(fs::read(&first).unwrap(), b"mine");
    // Only what was sealed since then.
    let backup = account.scene.home.join("backup");
    let later = Some(UnixSeconds(UnixSeconds::now().0 + 60));
    let settings = settings_of(&account, account.server);
    let none = reader::restore(&settings, &backup, later, &into, &mut (), &Arc::default()).unwrap();
    assert_eq!((none.older, none.restored, none.there), (45, 0, 0));
    // A backup that is damaged says so.
    let file = fs::read_dir(&backup).unwrap().next().unwrap().unwrap().path();
    let mut octets = fs::read(&file).unwrap();
    octets.truncate(octets.len() - 400);
    fs::write(&file, octets).unwrap();
    let damaged = restore(&account, account.server, &Into::Directory(home.path().join("other")));
    assert_eq!((damaged.restored, damaged.reasons.get(reason::DAMAGED), damaged.failed.len()), (44, Some(&1), 1));
}

#[test]
fn into_the_account() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    let mails = mails(45);
    account.put(&mails);
    account.sweep();
    // All is there.
    let none = restore(&account, account.server, &Into::Account);
    assert_eq!((none.restored, none.there), (0, 45));
    let census = account.census();
    let lost: Vec<_> = mails.iter().take(30).cloned().collect();
    for mail in &lost {
        let found = &census[&mail.octets][0];
        expunge(&account, &found.mailbox, &[found.uid]);
    }
    // Cut off now and then: it goes on, and nothing is there twice.
    let which = Which::Every(7);
    let rules = vec![Rule { command: "APPEND", which, action: Action::LoseAnswer }];
    let faults = Faults::between(account.server, rules);
    let restored = restore(&account, faults.address(), &Into::Account);
    assert!(!faults.fired().is_empty());
    assert_eq!((restored.restored + restored.there, restored.reasons.len()), (45, 0));
    let mut census = account.census();
    for mail in &mails[30..] {
        let found = census.remove(&mail.octets).unwrap();
        assert!(found.len() == 1 && found[0].sealed);
    }
    assert_back(&census, &lost);
    let again = restore(&account, account.server, &Into::Account);
    assert_eq!((again.restored, again.there), (0, 45));
    // What was restored is not sealed again.
    assert_eq!(account.sweep().sealed.messages, 0);
}

#[test]
fn a_maildir_has_no_account() {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(&Scene::new(home.path()));
    let restored = reader::restore(&settings, home.path(), None, &Into::Account, &mut (), &Arc::default());
    assert!(matches!(restored, Err(RestoreError::NoAccount)));
}
