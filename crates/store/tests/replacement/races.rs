//! A mail program that sets flags all the time while messages are replaced under its hands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use store::Outcome;
use store::maildir::RetireError;

use crate::scene::{Cut, Scene, replace_all};

const MESSAGES: usize = 8;
const GENERATIONS: u64 = 30;

#[test]
fn no_flag_is_lost_and_no_message_doubled() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    for number in 0..MESSAGES {
        let place = if number % 2 == 0 { format!("new/{number}.x.host") } else { format!("cur/{number}.x.host:2,") };
        scene.put(&place, &number.to_string());
    }
    let over = AtomicBool::new(false);
    let set = std::thread::scope(|scope| {
        let mail_program = scope.spawn(|| set_flags(&scene.mail(), &over));
        for generation in 0..GENERATIONS {
            let (replacer, database) = scene.open();
            let outcomes = replace_all(&replacer, &database, generation, 3, Cut::Never);
            let fine = |outcome: &Result<Outcome, RetireError>| {
                matches!(outcome, Ok(Outcome::Replaced) | Err(RetireError::Restless | RetireError::Scan(_)))
            };
            assert!(outcomes.iter().all(fine), "{outcomes:?}");
            drop((replacer, database));
            scene.recover();
        }
        over.store(true, Ordering::Relaxed);
        mail_program.join().unwrap()
    });
    let census = scene.census();
    assert_eq!(census.len(), MESSAGES);
    assert!(set.values().map(BTreeSet::len).sum::<usize>() > MESSAGES, "the mail program never came to work");
    for (id, found) in census {
        assert_eq!(found.len(), 1, "{found:?}");
        let letters: BTreeSet<char> = found[0].1.split_once(":2,").map_or("", |(_, letters)| letters).chars().collect();
        assert_eq!(letters, set.get(&id).cloned().unwrap_or_default(), "{id}");
    }
}

/// Sets one letter after another, mostly on originals whose copies are there already, and remembers for each message which
/// were set. There are only so many letters, so others get one but now and then.
fn set_flags(mail: &Path, over: &AtomicBool) -> BTreeMap<String, BTreeSet<char>> {
    let mut set: BTreeMap<String, BTreeSet<char>> = BTreeMap::new();
    for round in 0u32.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let mut found: BTreeMap<String, Vec<(u64, PathBuf)>> = BTreeMap::new();
        for place in ["new", "cur"] {
            for entry in fs::read_dir(mail.join(place)).unwrap() {
                let path = entry.unwrap().path();
                let Ok(octets) = fs::read_to_string(&path) else {
                    continue;
                };
                let mut parts = octets.split(':');
                let generation = parts.next().unwrap().parse().unwrap();
                let id = parts.next().unwrap().to_owned();
                found.entry(id).or_default().push((generation, path));
            }
        }
        for (id, mut files) in found {
            files.sort();
            if files.len() < 2 && round % 100 != 0 {
                continue;
            }
            let path = &files[0].1;
            let name = path.file_name().unwrap().to_str().unwrap();
            let (unique, flags) = name.split_once(":2,").unwrap_or((name, ""));
            let letters = set.entry(id).or_default();
            let mut free = ('A'..='Z').chain('a'..='z').filter(|letter| *letter != 'T' && !letters.contains(letter));
            let Some(letter) = free.next() else { continue };
            if fs::rename(path, mail.join(format!("cur/{unique}:2,{flags}{letter}"))).is_ok() {
                letters.insert(letter);
            }
        }
    }
    set
}
