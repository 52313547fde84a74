//! The crash table: cut off at every step, disturbed while down, recovered, run again.

use std::fs;

use store::maildir::{LockError, Recovery, RetireError};
use store::{Database, Journal, Maildir, Outcome, Replacer};

use crate::scene::{Census, Cut, NOW, Scene, content, replace_all, tally};

const CUTS: [Cut; 13] = [
    Cut::Begun,
    Cut::HalfWritten,
    Cut::Written,
    Cut::Staged,
    Cut::Proven,
    Cut::OnePublished,
    Cut::Published,
    Cut::Durable,
    Cut::Announced,
    Cut::OneRetired,
    Cut::Retired,
    Cut::RetiredDurably,
    Cut::Never,
];

/// What somebody does to every file of message `b` in INBOX while the program is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Nothing,
    FlagOriginal,
    FlagCopy,
    TrashOneOfTwo,
    ExpungeOriginal,
    ExpungeCopy,
    MoveOriginal,
    MoveCopy,
    MoveBoth,
    SpoilCopy,
}

const DISTURBANCES: [Disturbance; 10] = [
    Disturbance::Nothing,
    Disturbance::FlagOriginal,
    Disturbance::FlagCopy,
    Disturbance::TrashOneOfTwo,
    Disturbance::ExpungeOriginal,
    Disturbance::ExpungeCopy,
    Disturbance::MoveOriginal,
    Disturbance::MoveCopy,
    Disturbance::MoveBoth,
    Disturbance::SpoilCopy,
];

#[test]
fn every_cut_with_every_disturbance_ends_with_one_copy() {
    for cut in CUTS {
        for disturbance in DISTURBANCES {
            check(cut, disturbance);
        }
    }
}

fn check(cut: Cut, disturbance: Disturbance) {
    let case = format!("{cut:?} {disturbance:?}");
    let home = tempfile::tempdir().unwrap();
    let scene = three(home.path());
    {
        let (replacer, database) = scene.open();
        replace_all(&replacer, &database, 0, 3, cut);
    }
    let at_crash = scene.census();
    for id in ["a", "b", "c"] {
        assert!(at_crash[id].iter().any(|(_, name, _)| !name.contains("T")), "{case}: {id} was lost");
    }
    disturb(&scene, &at_crash, disturbance);
    let disturbed = scene.census();
    let recovered = tally(&scene.recover());
    assert_eq!(recovered.is_empty(), cut == Cut::Never, "{case}");
    let after = scene.census();
    for id in ["a", "c"] {
        assert_eq!(after[id].len(), 1, "{case}: {after:?}");
    }
    check_b(&case, cut, disturbance, &at_crash, &disturbed, &after);
    assert!(scene.recover().is_empty(), "{case}: recovering twice");
    assert_eq!(scene.census(), after, "{case}");
    // What was begun anew, or not begun at all, goes through now.
    {
        let (replacer, database) = scene.open();
        replace_all(&replacer, &database, 0, 2, Cut::Never);
    }
    let at_last = scene.census();
    for (id, flags) in [("a", None), ("c", Some("FSb"))] {
        let [(generation, name, mailbox)] = &at_last[id][..] else { panic!("{case}: {at_last:?}") };
        assert_eq!((*generation, &**mailbox), (1, "INBOX"), "{case}");
        assert_eq!(name.split_once(":2,").map(|(_, flags)| flags), flags, "{case}");
    }
}

fn check_b(case: &str, cut: Cut, disturbance: Disturbance, at_crash: &Census, disturbed: &Census, after: &Census) {
    let nothing = Vec::new();
    let b = after.get("b").unwrap_or(&nothing);
    let both = at_crash["b"].len() == 2;
    let original_there = at_crash["b"].iter().any(|(generation, ..)| *generation == 0);
    match disturbance {
        Disturbance::ExpungeOriginal if original_there => {
            let alive = b.iter().filter(|(_, name, _)| !name.contains('T')).count();
            // From the announcement on the program cannot know whether it was itself, and keeps the mail.
            assert_eq!(
                (alive, b.len()),
                if both && cut >= Cut::Announced { (1, 1) } else { (0, usize::from(both)) },
                "{case}"
            );
        }
        // The moved one may be a double of one that we removed ourselves: both stay.
        Disturbance::MoveOriginal | Disturbance::MoveBoth if both && cut >= Cut::Announced => {
            assert_eq!(after["b"], disturbed["b"], "{case}")
        }
        Disturbance::ExpungeCopy if both => assert_eq!(after["b"], disturbed["b"], "{case}"),
        Disturbance::ExpungeCopy if !original_there => assert!(b.is_empty(), "{case}"),
        _ => {
            assert_eq!(b.len(), 1, "{case}: {after:?}");
            let (generation, name, mailbox) = &b[0];
            let moved = match disturbance {
                Disturbance::MoveOriginal => original_there,
                Disturbance::MoveCopy => both || !original_there,
                Disturbance::MoveBoth => true,
                _ => false,
            };
            assert_eq!(mailbox, if moved { "Archive" } else { "INBOX" }, "{case}");
            assert!(!name.contains('T'), "{case}: trashed a message of which one was wanted");
            match disturbance {
                Disturbance::FlagOriginal if original_there => {
                    assert!(name.contains('R'), "{case}")
                }
                Disturbance::FlagCopy if both => assert!(name.contains('R'), "{case}"),
                Disturbance::MoveOriginal if both => assert_eq!(*generation, 0, "{case}"),
                Disturbance::SpoilCopy if both => assert_eq!(*generation, 0, "{case}"),
                _ => {}
            }
        }
    }
}

fn disturb(scene: &Scene, census: &Census, disturbance: Disturbance) {
    let path = |generation: u64| {
        let (_, name, _) = census["b"].iter().find(|(found, ..)| *found == generation)?;
        let paths = ["cur", "new"].map(|place| scene.mail().join(place).join(name));
        paths.into_iter().find(|path| path.exists())
    };
    let (original, copy) = (path(0), path(1));
    let flagged = |path: &std::path::Path, letter: &str| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (unique, flags) = name.split_once(":2,").unwrap_or((name, ""));
        fs::rename(path, scene.mail().join(format!("cur/{unique}:2,{flags}{letter}"))).unwrap();
    };
    let moved = |path: &std::path::Path| {
        fs::rename(path, scene.mail().join(".Archive/cur").join(path.file_name().unwrap())).unwrap()
    };
    match (disturbance, original, copy) {
        (Disturbance::FlagOriginal, Some(original), _) => flagged(&original, "R"),
        (Disturbance::FlagCopy, _, Some(copy)) => flagged(&copy, "R"),
        (Disturbance::TrashOneOfTwo, Some(_), Some(copy)) => flagged(&copy, "T"),
        (Disturbance::ExpungeOriginal, Some(original), _) => fs::remove_file(original).unwrap(),
        (Disturbance::ExpungeCopy, _, Some(copy)) => fs::remove_file(copy).unwrap(),
        (Disturbance::MoveOriginal, Some(original), _) => moved(&original),
        (Disturbance::MoveCopy, _, Some(copy)) => moved(&copy),
        (Disturbance::MoveBoth, original, copy) => original.iter().chain(&copy).for_each(|path| moved(path)),
        (Disturbance::SpoilCopy, Some(_), Some(copy)) => fs::write(copy, content(7, "b")).unwrap(),
        _ => {}
    }
}

/// Messages `a` in new/, `b` seen, `c` with flags out of order and a keyword.
fn three(home: &std::path::Path) -> Scene {
    let scene = Scene::new(home);
    scene.put("new/1.a.host", "a");
    scene.put("cur/2.b.host,S=9:2,S", "b");
    scene.put("cur/3.c.host:2,bSF", "c");
    scene
}

#[test]
fn a_copy_takes_after_its_original() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let home = tempfile::tempdir().unwrap();
    let scene = three(home.path());
    let original = scene.mail().join("cur/3.c.host:2,bSF");
    fs::set_permissions(&original, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(&original).unwrap();
    let (replacer, database) = scene.open();
    let outcomes = replace_all(&replacer, &database, 0, 3, Cut::Never);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Replaced))));
    let census = scene.census();
    assert!(fs::exists(scene.mail().join("new").join(&census["a"][0].1)).unwrap());
    assert!(census["b"][0].1.ends_with(":2,S") && !census["b"][0].1.contains("S=9"));
    let after = fs::metadata(scene.mail().join("cur").join(&census["c"][0].1)).unwrap();
    assert_eq!((after.mode(), after.mtime(), after.mtime_nsec()), (before.mode(), before.mtime(), before.mtime_nsec()));
    assert_ne!(after.ino(), before.ino());
}

#[test]
fn a_second_process_is_held_off() {
    let home = tempfile::tempdir().unwrap();
    let scene = three(home.path());
    let (first, _database) = scene.open();
    let again = || Replacer::open(Maildir::open(&scene.mail()).unwrap(), home.path());
    assert!(matches!(again(), Err(LockError::Held)));
    drop(first);
    assert!(again().is_ok());
}

#[test]
fn two_homes_on_one_maildir_do_not_double() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let scene = three(home.path());
    let (replacer, database) = scene.open();
    replace_all(&replacer, &database, 0, 3, Cut::Durable);
    drop((replacer, database));
    let replacer = Replacer::open(Maildir::open(&scene.mail()).unwrap(), other.path()).unwrap();
    let database = Database::open(&other.path().join("state.db")).unwrap();
    replace_all(&replacer, &database, 0, 3, Cut::Never);
    assert_eq!(tally(&scene.recover()), [Recovery::Settled(Outcome::Expunged); 3]);
    for (_, found) in scene.census() {
        assert_eq!(found.iter().filter(|(_, name, _)| !name.contains('T')).count(), 1);
        assert_eq!(found.len(), 2);
    }
}

#[test]
fn nothing_is_removed_unannounced() {
    let home = tempfile::tempdir().unwrap();
    let scene = three(home.path());
    let (replacer, database) = scene.open();
    let empty = Journal::on(&database).announce(&[], NOW).unwrap();
    let inbox = replacer.maildir().inbox();
    let original = inbox.messages().unwrap().next().unwrap().unwrap();
    let staged = replacer.stage(&inbox, &original, &replacer.new_unique()).unwrap();
    let staged = staged.finish().unwrap().sync().unwrap();
    let proven = staged.read_back(|_| Ok::<_, std::io::Error>(crate::scene::NextGeneration)).unwrap();
    let store::maildir::Publish::Published(published) = proven.publish().unwrap() else { panic!() };
    let durable = store::Published::make_durable(vec![published]).unwrap().remove(0);
    assert!(matches!(durable.retire(&replacer, &empty), Err(RetireError::NotAnnounced)));
    assert!(inbox.find(original.unique()).unwrap().is_some());
}

#[test]
fn dropped_or_refused_copies_leave_no_litter() {
    let home = tempfile::tempdir().unwrap();
    let scene = three(home.path());
    let (replacer, _database) = scene.open();
    let inbox = replacer.maildir().inbox();
    let original = inbox.messages().unwrap().next().unwrap().unwrap();
    let stage = || replacer.stage(&inbox, &original, &replacer.new_unique()).unwrap();
    drop(stage());
    drop(stage().finish().unwrap());
    drop(stage().finish().unwrap().sync().unwrap());
    let staged = stage().finish().unwrap().sync().unwrap();
    let refused = staged.read_back(|_| Err::<crate::scene::NextGeneration, _>("no"));
    assert!(matches!(refused, Err(store::maildir::ReadBackError::Refused("no"))));
    let staged = stage().finish().unwrap().sync().unwrap();
    let proven = staged.read_back(|_| Ok::<_, std::io::Error>(crate::scene::NextGeneration)).unwrap();
    fs::remove_file(scene.mail().join("new/1.a.host")).unwrap();
    assert!(matches!(proven.publish().unwrap(), store::maildir::Publish::OriginalGone));
    assert_eq!(fs::read_dir(scene.mail().join("tmp")).unwrap().count(), 0);
    assert_eq!(scene.census().len(), 2);
}
