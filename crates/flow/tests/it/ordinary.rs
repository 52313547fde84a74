//! Sweeps that nobody disturbs.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::Duration;

use flow::{Count, Fate, Step, SweepError, reason};
use store::{Database, Ledger, UnixSeconds};

use crate::scene::{CANARY, FLOW, Kind, Scene, holding, only};

#[test]
fn every_original_opens_once_and_a_second_sweep_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = scene.mails(200);
    scene.put(&mails);
    let count = |kind| u64::try_from(only(&mails, kind).len()).unwrap();

    let before = scene.census();
    let plan = flow::plan(&scene.settings(), &mut (), &Arc::default()).unwrap();
    assert_eq!(scene.census(), before, "a plan reads only");
    assert!(!scene.home.join("state/state.db").exists(), "a plan reads only");
    let open: Vec<usize> = only(&mails, Kind::Open).iter().map(|mail| mail.original.len()).collect();
    let octets = u64::try_from(open.iter().sum::<usize>()).unwrap();
    assert_eq!(plan.found.to_seal, Count { messages: count(Kind::Open), octets });
    assert!(plan.found.forged.messages > 10);
    assert_eq!(plan.found.sealed.messages, count(Kind::Sealed));
    assert_eq!(plan.found.skipped_for(reason::END_TO_END).messages, count(Kind::EndToEnd));
    assert_eq!(plan.found.skipped_for(reason::UNKNOWN_SEALER).messages, count(Kind::Unknown));
    assert_eq!(plan.found.skipped_for(reason::DRAFT).messages, 5);
    assert_eq!(plan.found.skipped_for(reason::DELETED).messages, 5);
    assert_eq!((plan.found.mailboxes, plan.stopped_since), (4, None));

    let mut watcher = Watcher::default();
    let swept = flow::sweep(&scene.settings(), &mut watcher, &Arc::default()).unwrap();
    assert_eq!(swept.sealed, plan.found.to_seal);
    assert_eq!(swept.found, plan.found);
    assert!(swept.failed.is_empty() && swept.skipped.is_empty() && !swept.interrupted);
    assert_eq!((watcher.total, watcher.done), (count(Kind::Open), count(Kind::Open)));
    scene.assert_each_once(&mails, true);
    let after: u64 = scene
        .census()
        .values()
        .flatten()
        .filter(|found| found.sealed)
        .map(|found| fs::metadata(&found.file).unwrap().len())
        .sum();
    let estimate = plan.octets_after.abs_diff(after);
    assert!(estimate < after / 3, "estimated {}, is {after}", plan.octets_after);

    let before = scene.census();
    let again = scene.sweep();
    assert_eq!((again.sealed.messages, again.found.to_seal.messages), (0, 0));
    assert_eq!(again.found.sealed.messages, count(Kind::Open) + count(Kind::Sealed));
    assert_eq!(scene.census(), before);

    let status = flow::status(&scene.settings(), &Arc::default()).unwrap();
    assert_eq!(status.plaintext.messages, 10, "drafts and deleted mail");
    assert_eq!((status.sealed_ever, status.unfinished), (count(Kind::Open), 0));
    assert!(status.last_activity.is_some() && status.next_retry.is_none());
}

#[derive(Default)]
struct Watcher {
    total: u64,
    done: u64,
}

impl flow::Progress for Watcher {
    fn total(&mut self, messages: u64, _: u64) {
        self.total = messages;
    }

    fn done(&mut self, _: u64) {
        self.done += 1;
    }
}

#[test]
fn no_plaintext_is_left_in_any_file() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut mails = only(&scene.mails(200), Kind::Open);
    // More than a spool keeps in memory, and a batch of its own.
    mails[0].original.extend(format!("{CANARY} 0123456789abcdef\r\n").repeat(200_000).into_bytes());
    scene.put(&mails);
    assert!(holding(home.path(), CANARY).len() >= mails.len());
    let database = Database::open(&scene.settings().state).unwrap();
    scene.sweep();
    // Another connection is open: the log of the database is not folded in yet.
    assert!(scene.home.join("state/state.db-wal").exists());
    assert_eq!(holding(home.path(), CANARY), Vec::<std::path::PathBuf>::new());
    drop(database);
    scene.assert_each_once(&mails, true);
}

#[test]
fn what_the_settings_leave_alone_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(60), Kind::Open);
    scene.put(&mails);
    let refused = |reason, change: &dyn Fn(&mut flow::Settings)| {
        let mut settings = scene.settings();
        change(&mut settings);
        let plan = flow::plan(&settings, &mut (), &Arc::default()).unwrap();
        let swept = flow::sweep(&settings, &mut (), &Arc::default()).unwrap();
        let all = u64::try_from(mails.len()).unwrap();
        for found in [plan.found, swept.found] {
            assert_eq!(found.skipped_for(reason).messages, all, "{reason:?}");
        }
        assert_eq!(swept.sealed.messages, 0);
        scene.assert_each_once(&mails, false);
    };
    refused(reason::TOO_OLD, &|settings| settings.since = Some(UnixSeconds(1_700_000_000)));
    refused(reason::TOO_LARGE, &|settings| settings.max_size = Some(1));
    refused(reason::TOO_YOUNG, &|settings| settings.grace = Duration::from_secs(3600));
    let mut settings = scene.settings();
    settings.mailboxes = vec!["Archive/*".to_owned(), "Trash".to_owned()];
    let archive = mails.iter().filter(|mail| mail.file.starts_with(".Archive")).count();
    let swept = flow::sweep(&settings, &mut (), &Arc::default()).unwrap();
    assert_eq!(swept.sealed.messages, u64::try_from(archive).unwrap());
    settings.mailboxes = vec!["Archiv".to_owned()];
    let error = flow::sweep(&settings, &mut (), &Arc::default()).unwrap_err();
    assert_eq!(error.fate(), Fate::Refuse);
    assert_eq!(error.to_string(), "there is no mailbox \"Archiv\"");
}

#[test]
fn one_that_fails_is_tried_later_and_hinders_no_other() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(30), Kind::Open);
    scene.put(&mails);
    let huge = scene.mail().join("cur/huge.a.host:2,S");
    File::create(&huge).unwrap().set_len((3 << 30) + 1).unwrap();
    fs::create_dir(scene.mail().join("cur/directory")).unwrap();
    let swept = scene.sweep();
    assert_eq!(swept.sealed.messages, u64::try_from(mails.len()).unwrap());
    assert_eq!(swept.failed.get("beyond-format"), Some(&1));
    assert_eq!(swept.found.failed["no-message"].messages, 1);
    let status = flow::status(&scene.settings(), &Arc::default()).unwrap();
    assert_eq!((status.found.waiting.messages, status.found.failed["beyond-format"].messages), (1, 1));
    assert!(status.next_retry.is_some_and(|at| u64::try_from(at).unwrap() > crate::scene::now() + 200));
    let again = scene.sweep();
    assert!(again.failed.is_empty(), "its time has not come");
    assert_eq!(again.found.waiting.messages, 1);
    fs::remove_file(&huge).unwrap();
    fs::remove_dir(scene.mail().join("cur/directory")).unwrap();
    scene.assert_each_once(&mails, true);
}

#[test]
fn a_stopped_flow_seals_nothing() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(300), Kind::Open);
    scene.put(&mails);
    // In the middle of a sweep: it ends before its next batch.
    let stopper = &mut Stopper { scene: &scene, done: 0 };
    let swept = flow::sweep(&scene.settings(), stopper, &Arc::default()).unwrap();
    assert!(swept.interrupted && swept.sealed.messages > 0);
    assert!(swept.sealed.messages < u64::try_from(mails.len()).unwrap());
    let error = flow::sweep(&scene.settings(), &mut (), &Arc::default()).unwrap_err();
    assert!(matches!(error, SweepError::Stopped) && error.fate() == Fate::Refuse);
    assert!(flow::plan(&scene.settings(), &mut (), &Arc::default()).unwrap().stopped_since.is_some());
    let database = Database::open(&scene.settings().state).unwrap();
    Ledger::on(&database).clear_stop(FLOW).unwrap();
    scene.sweep();
    scene.assert_each_once(&mails, true);
}

struct Stopper<'a> {
    scene: &'a Scene,
    done: u64,
}

impl flow::Progress for Stopper<'_> {
    fn step(&mut self, step: Step) {
        if step == Step::Begun {
            self.done += 1;
            let database = Database::open(&self.scene.settings().state).unwrap();
            Ledger::on(&database).stop(FLOW, UnixSeconds::now()).unwrap();
        }
    }
}

#[test]
fn a_message_that_is_deleted_meanwhile_is_not_touched() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut mails = only(&scene.mails(20), Kind::Open);
    mails.retain(|mail| mail.file.ends_with(":2,S"));
    scene.put(&mails);
    let swept = flow::sweep(&scene.settings(), &mut Deleter { scene: &scene }, &Arc::default()).unwrap();
    assert_eq!((swept.sealed.messages, swept.found.to_seal.messages), (0, u64::try_from(mails.len()).unwrap()));
    assert_eq!(swept.skipped["deleted"], swept.found.to_seal.messages);
    scene.assert_each_once(&mails, false);
    // Nor is it later.
    assert_eq!(scene.sweep().found.skipped_for(reason::DELETED).messages, swept.found.to_seal.messages);
}

/// Flags everything as deleted once it was taken.
struct Deleter<'a> {
    scene: &'a Scene,
}

impl flow::Progress for Deleter<'_> {
    fn step(&mut self, step: Step) {
        if step == Step::Begun {
            for file in self.scene.messages() {
                fs::rename(&file, format!("{}T", file.display())).unwrap();
            }
        }
    }
}

#[test]
fn running_numbers_have_no_holes_but_those_noted() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(40), Kind::Open);
    scene.put(&mails);
    File::create(scene.mail().join("cur/huge.a.host:2,S")).unwrap().set_len((3 << 30) + 1).unwrap();
    scene.sweep();
    fs::remove_file(scene.mail().join("cur/huge.a.host:2,S")).unwrap();
    let (keys, trust) = (scene.keyring(), scene.trust());
    let mut numbers: Vec<u64> = scene
        .messages()
        .iter()
        .map(|file| open::headers(&fs::read(file).unwrap(), &keys, &trust).unwrap().sequence)
        .collect();
    let database = Database::open(&scene.settings().state).unwrap();
    let gaps = Ledger::on(&database).gaps(scene.sealer().public().octets(), &trust.accounts[0].0).unwrap();
    numbers.extend(gaps.into_iter().flatten());
    numbers.sort_unstable();
    let all = u64::try_from(mails.len()).unwrap() + 1;
    assert_eq!(numbers, (1..=all).collect::<Vec<u64>>());
}

#[test]
fn two_files_of_one_name_are_both_sealed() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut mails = only(&scene.mails(20), Kind::Open);
    mails.truncate(3);
    mails[0].file = "new/1".to_owned();
    mails[1].file = "cur/1:2,S".to_owned();
    mails[2].file = ".Sent/cur/1:2,S".to_owned();
    scene.put(&mails);
    assert_eq!(scene.sweep().sealed.messages, 3);
    let census = scene.census();
    for mail in &mails {
        let found = census[&mail.original].iter().map(|found| (found.sealed, &*found.flags)).collect::<Vec<_>>();
        assert!(matches!(found[..], [(true, _)]), "{found:?}");
    }
}

#[test]
fn what_took_the_place_of_an_encrypted_message_is_sealed() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let all = scene.mails(60);
    let encrypted = only(&all, Kind::EndToEnd).remove(0);
    let mut open = only(&all, Kind::Open).remove(0);
    open.file.clone_from(&encrypted.file);
    scene.put(&[encrypted]);
    assert_eq!(scene.sweep().found.skipped_for(reason::END_TO_END).messages, 1);
    scene.put(&[open]);
    assert_eq!(scene.sweep().sealed.messages, 1);
}
