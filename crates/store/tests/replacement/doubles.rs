//! Names that are not unique: in two folders, and in `new/` beside `cur/`; with other contents and with the same.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use store::maildir::Publish;
use store::{Journal, Outcome, Published, Retired};

use crate::scene::{Cut, FLOW, NOW, NextGeneration, Scene, content, replace_all};

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

/// Files with the message that each holds. The first is replaced.
const PAIRS: [[(&str, &str); 2]; 5] = [
    [("cur/1:2,S", "a"), (".Archive/cur/1:2,S", "b")],
    [("cur/1:2,S", "a"), (".Archive/cur/1:2,S", "a")],
    [("new/1", "a"), (".Archive/new/1", "b")],
    [("new/1", "a"), ("cur/1:2,S", "b")],
    [("cur/1:2,S", "b"), ("new/1", "a")],
];

#[test]
fn every_cut_leaves_each_message() {
    for pair in PAIRS {
        for cut in CUTS {
            check(&format!("{pair:?} {cut:?}"), pair, cut, None);
            // A disk that did not keep its word: what was published is back in `tmp/`.
            if cut >= Cut::OneRetired && cut < Cut::Never {
                check(&format!("{pair:?} {cut:?}, copy in tmp"), pair, cut, Some("tmp"));
            }
        }
    }
}

fn check(case: &str, pair: [(&str, &str); 2], cut: Cut, copy_goes_to: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    for (file, id) in pair {
        scene.put(file, id);
    }
    {
        let (replacer, database) = scene.open();
        replace_all(&replacer, &database, 0, 1, cut);
    }
    if let Some(place) = copy_goes_to {
        for from in ["new", "cur"] {
            for entry in fs::read_dir(scene.mail().join(from)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let (unique, _) = name.split_once(":2,").unwrap_or((&name, ""));
                if unique != "1" {
                    fs::rename(scene.mail().join(from).join(&name), scene.mail().join(place).join(unique)).unwrap();
                }
            }
        }
    }
    scene.recover();
    scene.recover();
    let after = scene.census();
    let ids = [pair[0].1, pair[1].1];
    for id in ids {
        let wanted = ids.iter().filter(|other| **other == id).count();
        assert_eq!(after.get(id).map_or(0, Vec::len), wanted, "{case}: {after:?}");
    }
    assert!(after.values().flatten().all(|(_, name, _)| !name.contains('T')), "{case}: {after:?}");
    let folders =
        |pair: [(&str, &str); 2]| pair.map(|(file, _)| file.starts_with('.')).iter().filter(|is| **is).count();
    let archived = after.values().flatten().filter(|(.., mailbox)| mailbox == "Archive").count();
    assert_eq!(archived, folders(pair), "{case}: {after:?}");
}

#[test]
fn a_twin_is_never_taken_for_the_original() {
    // Where the twin is, with what it holds; what is done to the original; what comes of it; what is left.
    type Case = (&'static str, &'static str, &'static str, Outcome, &'static [(&'static str, u64)]);
    let table: &[Case] = &[
        (".Archive/cur/1:2,S", "b", "expunge", Outcome::Expunged, &[("a", 1), ("b", 0)]),
        (".Archive/cur/1:2,S", "a", "expunge", Outcome::Expunged, &[("a", 0), ("a", 1)]),
        ("cur/1:2,S", "b", "expunge", Outcome::OriginalChanged, &[("a", 1), ("b", 0)]),
        ("cur/1:2,S", "b", "move", Outcome::MovedElsewhere, &[("a", 0), ("b", 0)]),
        ("cur/1:2,S", "b", "flag", Outcome::Replaced, &[("a", 1), ("b", 0)]),
        ("cur/1:2,S", "b", "leave", Outcome::Replaced, &[("a", 1), ("b", 0)]),
    ];
    for (twin, id, deed, expected, left) in table {
        let case = format!("{twin} {id} {deed}");
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        scene.put("new/1", "a");
        let (replacer, database) = scene.open();
        let inbox = replacer.maildir().inbox();
        let original = inbox.messages().unwrap().next().unwrap().unwrap();
        scene.put(twin, id);
        let copy = replacer.new_unique();
        let row = store::journal::Begin { mailbox: "INBOX", original: b"1", copy: copy.as_bytes(), expectation: b"" };
        let ids = Journal::on(&database).begin(FLOW, &[row], NOW).unwrap();
        let mut staging = replacer.stage(&inbox, &original, &copy).unwrap();
        std::io::Write::write_all(&mut staging, &content(1, "a")).unwrap();
        let staged = staging.finish().unwrap().sync().unwrap();
        let proven = staged.read_back(|_| Ok::<_, std::io::Error>(NextGeneration)).unwrap();
        let Publish::Published(published) = proven.publish().unwrap() else { panic!("{case}") };
        let durable = Published::make_durable(vec![published]).unwrap().remove(0);
        let announced = Journal::on(&database).announce(&ids, NOW).unwrap();
        let file = scene.mail().join("new/1");
        match *deed {
            "expunge" => fs::remove_file(&file).unwrap(),
            "move" => fs::rename(&file, scene.mail().join(".Archive/cur/1:2,")).unwrap(),
            "flag" => fs::rename(&file, scene.mail().join("cur/1:2,F")).unwrap(),
            _ => {}
        }
        let retired = durable.retire(&replacer, &announced).unwrap();
        assert_eq!(Retired::make_durable(vec![retired]).unwrap(), [*expected], "{case}");
        let census = scene.census();
        let mut found: Vec<(&str, u64)> = census
            .iter()
            .flat_map(|(id, found)| found.iter().map(|(generation, ..)| (id.as_str(), *generation)))
            .collect();
        found.sort_unstable();
        assert_eq!(found, *left, "{case}");
    }
}

#[test]
fn a_twin_that_takes_the_name_is_not_staged_for_the_original() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    scene.put("new/1", "a");
    let (replacer, _database) = scene.open();
    let inbox = replacer.maildir().inbox();
    let original = inbox.messages().unwrap().next().unwrap().unwrap();
    let staging = replacer.stage(&inbox, &original, &replacer.new_unique()).unwrap();
    let proven = staging.finish().unwrap().sync().unwrap();
    let proven = proven.read_back(|_| Ok::<_, std::io::Error>(NextGeneration)).unwrap();
    fs::write(scene.mail().join("cur/1:2,S"), content(0, "b")).unwrap();
    fs::remove_file(scene.mail().join("new/1")).unwrap();
    let later = UNIX_EPOCH + Duration::from_secs(2_000_000);
    fs::File::options().write(true).open(scene.mail().join("cur/1:2,S")).unwrap().set_modified(later).unwrap();
    assert!(matches!(proven.publish().unwrap(), Publish::OriginalChanged));
    assert_eq!(scene.census().len(), 1);
}
