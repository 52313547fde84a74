//! Whole folders: one bad file among good ones stops nothing, and leaves nothing.

use std::{collections::BTreeMap, fs, path::Path};

use crate::program::{Outcome, Stage, samples};

/// Names and octets of a folder's files.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// The rest is done, the bad ones are named, the code tells.
fn fails_in_part(outcome: &Outcome, code: i32, named: &[&str], counts: &str) {
    assert_eq!(outcome.code, code, "{outcome}");
    assert!(outcome.out.is_empty() && outcome.err.contains(counts), "{outcome}");
    for name in named {
        assert_eq!(outcome.err.lines().filter(|line| line.contains(name)).count(), 1, "{name}: {outcome}");
    }
    assert!(outcome.err.lines().last().unwrap().starts_with("sealpost: hint: "), "{outcome}");
}

#[test]
fn a_folder_is_sealed_and_opened_again() {
    let stage = Stage::with_owner();
    for (name, mail) in samples() {
        stage.write(&format!("in/{name}"), mail);
    }
    fs::create_dir(stage.path("in/folder")).unwrap();
    stage.write("elsewhere", "Subject: by a link\n\nx\n");
    std::os::unix::fs::symlink(stage.path("elsewhere"), stage.path("in/link.eml")).unwrap();
    stage.good("seal --batch in sealed", b"");
    stage.good("open --batch sealed opened", b"");
    let mut originals: BTreeMap<String, Vec<u8>> = samples().into_iter().collect();
    originals.insert("link.eml".to_owned(), b"Subject: by a link\n\nx\n".to_vec());
    assert_eq!(files(&stage.path("opened")), originals);
    let sealed = files(&stage.path("sealed"));
    assert_eq!(sealed.len(), originals.len());
    assert!(sealed.iter().all(|(name, octets)| octets != &originals[name]));
    // Sealed mail passes through.
    stage.good("seal --batch sealed again", b"");
    assert_eq!(files(&stage.path("again")), sealed);
}

#[test]
fn a_bad_file_among_good_ones_stops_nothing() {
    let stage = Stage::with_owner();
    for (name, mail) in samples() {
        stage.write(&format!("in/{name}"), mail);
    }
    stage.good("seal --batch in sealed", b"");
    stage.good("--home bob init --address bob@example.org --no-passphrase", b"");
    let sealed = fs::read(stage.path("sealed/plain.eml")).unwrap();
    stage.write("sealed/bad-cut", &sealed[..sealed.len() - 200]);
    stage.write("sealed/bad-plain", "Subject: x\n\nx\n");
    let outcome = stage.run("open --batch sealed opened", b"");
    fails_in_part(&outcome, 65, &["bad-cut", "bad-plain"], "2 of ");
    let originals: BTreeMap<String, Vec<u8>> = samples().into_iter().collect();
    assert_eq!(files(&stage.path("opened")), originals, "the good ones, and no half file");

    // Of several reasons, the code is the one that asks for the most.
    stage.write("sealed/bad-foreign", stage.good("--home bob seal", b"Subject: x\n\nx\n"));
    let outcome = stage.run("open --batch sealed opened-2", b"");
    fails_in_part(&outcome, 77, &["bad-cut", "bad-plain", "bad-foreign"], "3 of ");
    assert_eq!(files(&stage.path("opened-2")), originals);

    // What cannot be read fails alone when sealing, too.
    std::os::unix::fs::symlink(stage.path("missing"), stage.path("in/bad-link")).unwrap();
    let outcome = stage.run("seal --batch in sealed-2", b"");
    fails_in_part(&outcome, 75, &["bad-link"], "1 of ");
    assert_eq!(files(&stage.path("sealed-2")).len(), originals.len());
}

#[test]
fn folders_that_cannot_be_are_refused() {
    let stage = Stage::with_owner();
    stage.write("in/a", "Subject: a\n\na\n");
    std::os::unix::fs::symlink(stage.path("in"), stage.path("link")).unwrap();
    for (folders, says) in [
        ("in in", "the two folders are the same"),
        ("in in/../in/.", "the two folders are the same"),
        ("in link", "the two folders are the same"),
        ("missing out", "cannot read missing"),
        ("in/a out", "cannot read in/a"),
        ("in in/a", "cannot make in/a"),
    ] {
        stage.bad(&format!("seal --batch {folders}"), b"", 64, says);
        stage.bad(&format!("open --batch {folders}"), b"", 64, says);
    }
    assert_eq!(files(&stage.path("in")), BTreeMap::from([("a".to_owned(), b"Subject: a\n\na\n".to_vec())]));
    assert!(!stage.path("out").exists());
    // An empty folder is done at once.
    fs::create_dir(stage.path("empty")).unwrap();
    stage.good("seal --batch empty out", b"");
    assert_eq!(files(&stage.path("out")).len(), 0);
}
