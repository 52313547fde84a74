//! What others do between publishing and retiring, in one process: each row of the outcome table.

use std::fs;
use std::io;
use std::path::Path;

use store::journal::Begin;
use store::maildir::Publish;
use store::{Journal, Outcome, Published, Retired};

use crate::scene::{FLOW, NOW, NextGeneration, Scene, content};

/// Gets the Maildir, the original's path, the copy's path.
type Deed = fn(&Path, &Path, &Path);

#[test]
fn each_deed_of_others_has_its_outcome() {
    let table: &[(&str, Deed, Outcome, &[&str])] = &[
        ("nothing", |_, _, _| {}, Outcome::Replaced, &["cur/COPY:2,S"]),
        (
            "the original expunged",
            |_, original, _| fs::remove_file(original).unwrap(),
            Outcome::Expunged,
            &["cur/COPY:2,ST"],
        ),
        (
            "the original moved",
            |mail, original, _| moved(original, mail, ".Archive/cur/1.a.host:2,S"),
            Outcome::MovedElsewhere,
            &[".Archive/cur/1.a.host:2,S"],
        ),
        (
            "the original moved under a new name, as Dovecot does",
            |mail, original, _| moved(original, mail, ".Archive/cur/9.z.host:2,S"),
            Outcome::MovedElsewhere,
            &[".Archive/cur/9.z.host:2,S"],
        ),
        (
            "another file under the original's name",
            |_, original, _| fs::write(original, content(5, "other")).unwrap(),
            Outcome::OriginalChanged,
            &["cur/1.a.host:2,S", "cur/COPY:2,S"],
        ),
        ("the copy expunged", |_, _, copy| fs::remove_file(copy).unwrap(), Outcome::CopyGone, &["cur/1.a.host:2,S"]),
        (
            "the copy spoilt",
            |_, _, copy| fs::write(copy, b"").unwrap(),
            Outcome::CopyGone,
            &["cur/1.a.host:2,S", "cur/COPY:2,S"],
        ),
        (
            "the copy moved",
            |mail, _, copy| moved(copy, mail, &format!(".Archive/cur/{}", name(copy))),
            Outcome::Replaced,
            &[".Archive/cur/COPY:2,S"],
        ),
        (
            "both expunged",
            |_, original, copy| [original, copy].iter().for_each(|path| fs::remove_file(path).unwrap()),
            Outcome::BothGone,
            &[],
        ),
        (
            "the original flagged, the copy unflagged",
            |mail, original, copy| {
                moved(original, mail, "cur/1.a.host:2,aSR");
                moved(copy, mail, &format!("cur/{}", name(copy).replace(":2,S", ":2,F")));
            },
            Outcome::Replaced,
            &["cur/COPY:2,FRa"],
        ),
        (
            "the original trashed",
            |mail, original, _| moved(original, mail, "cur/1.a.host:2,ST"),
            Outcome::Replaced,
            &["cur/COPY:2,ST"],
        ),
    ];
    for (case, deed, outcome, left) in table {
        check(case, *deed, *outcome, left);
    }
}

fn check(case: &str, deed: Deed, expected: Outcome, left: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    scene.put("cur/1.a.host:2,S", "a");
    let (replacer, database) = scene.open();
    let inbox = replacer.maildir().inbox();
    let original = inbox.messages().unwrap().next().unwrap().unwrap();
    let copy = replacer.new_unique();
    let row = Begin {
        mailbox: inbox.name(),
        original: original.unique().as_bytes(),
        copy: copy.as_bytes(),
        expectation: b"",
    };
    let journal = Journal::on(&database);
    let ids = journal.begin(FLOW, &[row], NOW).unwrap();
    let mut staging = replacer.stage(&inbox, &original, &copy).unwrap();
    io::Write::write_all(&mut staging, &content(1, "a")).unwrap();
    let staged = staging.finish().unwrap().sync().unwrap();
    let proven = staged.read_back(|_| Ok::<_, io::Error>(NextGeneration)).unwrap();
    let Publish::Published(published) = proven.publish().unwrap() else { panic!("{case}") };
    let durable = Published::make_durable(vec![published]).unwrap().remove(0);
    let announced = journal.announce(&ids, NOW).unwrap();
    let unique = std::str::from_utf8(copy.as_bytes()).unwrap();
    let mail = scene.mail();
    deed(&mail, &mail.join("cur/1.a.host:2,S"), &mail.join(format!("cur/{unique}:2,S")));
    let retired = durable.retire(&replacer, &announced).unwrap();
    assert_eq!(Retired::make_durable(vec![retired]).unwrap(), [expected], "{case}");
    let mut files = Vec::new();
    for place in ["new", "cur", "tmp", ".Archive/new", ".Archive/cur", ".Archive/tmp"] {
        for entry in fs::read_dir(mail.join(place)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            files.push(format!("{place}/{}", file.replace(unique, "COPY")));
        }
    }
    files.sort();
    let mut left = left.to_vec();
    left.sort_unstable();
    assert_eq!(files, left, "{case}");
}

fn moved(from: &Path, mail: &Path, to: &str) {
    fs::rename(from, mail.join(to)).unwrap();
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
