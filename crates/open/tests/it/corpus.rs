//! Real and tortured mail: every message of a corpus beside the repository, sealed and opened again. What comes out is what
//! went in, octet by octet; so a DKIM signature in it is as good after opening as it was before. Without the corpus this
//! says so and does nothing.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use sealed::{
    identity::Profile,
    recognise::{What, recognise},
};

use crate::{
    household::Household,
    programs::{installed, output},
};

/// The folder of things that are not part of the repository.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    if !folder.is_dir() {
        println!("skipped: ../shared is not here");
        return None;
    }
    Some(folder)
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "eml" || extension == "mbox") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The messages of a file: an mbox is cut before each `From ` line that begins it or follows an empty line; the line
/// itself belongs to no message. Otherwise the octets stay as they are.
pub(crate) fn messages(path: &Path) -> Vec<Vec<u8>> {
    let octets = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "eml") {
        return vec![octets];
    }
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut after_empty = true;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if after_empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            message.extend_from_slice(line);
        } else {
            messages.push(line.to_vec());
        }
        after_empty = line.trim_ascii().is_empty();
    }
    messages
}

/// Runs `check` for every message of every file on two threads; how many messages there were.
pub(crate) fn for_each_message(files: &[PathBuf], check: impl Fn(&Path, usize, Vec<u8>) + Sync) -> usize {
    let (next, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (number, message) in messages(path).into_iter().enumerate() {
                        count.fetch_add(1, Ordering::Relaxed);
                        check(path, number, message);
                    }
                }
            });
        }
    });
    count.into_inner()
}

/// PGP/MIME as most have it, and both kinds of S/MIME.
fn every_profile() -> [Household; 3] {
    [Household::new(), Household::smime(Profile::Cms1, 0), Household::smime(Profile::Cms2, 0)]
}

fn check(household: &Household, path: &Path, number: usize, original: &[u8]) {
    let name = || format!("{} #{number}", path.display());
    let mut sealed = Vec::new();
    if let Err(error) = household.seal_to(original, &mut sealed) {
        panic!("{}: {error}", name());
    }
    let opened = household.open(&sealed).unwrap_or_else(|error| panic!("{}: {error}", name()));
    assert!(opened == original, "{}: opened to something else", name());
    let what = recognise(&mut sealed.as_slice(), &household.trust).unwrap();
    assert!(matches!(what, What::Sealed(_)), "{}: {what:?}", name());
    let index = household.headers(&sealed).unwrap_or_else(|error| panic!("{}: {error}", name()));
    assert_eq!(index.length, original.len() as u64, "{}", name());
    // Whatever it is, looking at it does not panic, and it is not ours.
    let before = recognise(&mut &*original, &household.trust).unwrap();
    assert!(!matches!(before, What::Sealed(_)), "{}", name());
}

#[test]
fn every_message_of_the_corpus_comes_back() {
    let Some(shared) = shared() else { return };
    let files = files(&shared.join("corpus"));
    let households = every_profile();
    let (octets, signed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = for_each_message(&files, |path, number, original| {
        octets.fetch_add(original.len(), Ordering::Relaxed);
        let dkim = mail::HeaderSection::parse(&original).first("DKIM-Signature").is_some();
        signed.fetch_add(usize::from(dkim), Ordering::Relaxed);
        households.iter().for_each(|household| check(household, path, number, &original));
    });
    let (octets, signed) = (octets.into_inner(), signed.into_inner());
    println!(
        "{} files, {count} messages ({signed} with a DKIM signature), {octets} octets: all came back",
        files.len()
    );
    assert!(files.len() > 4000 && count >= files.len() && signed > 100 && octets > 30_000_000);
}

#[test]
fn every_tortured_message_comes_back() {
    let Some(shared) = shared() else { return };
    let generator = shared.join("bench/tools/gen_torture.py");
    if !generator.is_file() {
        println!("skipped: the generator of tortured mail is not in ../shared");
        return;
    }
    if !installed(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    output(Command::new("python3").arg(generator).arg(folder.path()).arg("--giant"), b"");
    let files = files(folder.path());
    let households = every_profile();
    let count = for_each_message(&files, |path, number, original| {
        households.iter().for_each(|household| check(household, path, number, &original));
    });
    println!("{count} tortured messages: all came back");
    assert!(count > 110);
}
