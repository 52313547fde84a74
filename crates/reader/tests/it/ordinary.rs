//! A sealed Maildir that nobody disturbs.

use std::fs;
use std::path::PathBuf;

use flow::SweepError;
use mail::HeaderSection;
use reader::reason;
use sealed::signature::SealerKey;
use store::{Database, Ledger};

use crate::scene::{CANARY, FLOW, Found, Kind, Scene, only};
use crate::{settings, undo, unsealed};

#[test]
fn a_list_needs_header_sections_only() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(60), Kind::Open);
    scene.put(&mails);
    scene.sweep();
    for file in scene.messages() {
        let octets = fs::read(&file).unwrap();
        let body = HeaderSection::parse(&octets).body_offset();
        fs::write(&file, &octets[..body]).unwrap();
    }
    let (mut lines, mut others) = (Vec::new(), 0);
    let settings = settings(&scene);
    let mut shelf = reader::Shelf::open(&settings, &Default::default()).unwrap();
    for name in shelf.mailboxes() {
        shelf
            .list(&name, |line| match line.state {
                "sealed" => lines.push(line),
                _ => others += 1,
            })
            .unwrap();
    }
    assert_eq!((lines.len(), others), (mails.len(), 0));
    let mut subjects: Vec<String> = lines.iter().map(|line| line.subject.clone()).collect();
    let with_subject = |mail: &&crate::scene::Mail| mail.original.starts_with(b"Return-Path");
    let mut expected: Vec<String> = mails
        .iter()
        .map(|mail| match with_subject(&mail) {
            true => {
                let number = mail.file.rsplit('/').next().unwrap().split('.').next().unwrap();
                format!("{CANARY} number {number}")
            }
            false => String::new(),
        })
        .collect();
    subjects.sort();
    expected.sort();
    assert_eq!(subjects, expected);
    assert!(lines.iter().any(|line| line.from == "Bob <bob@example.net>" && line.date == "2024-01-01"));
}

#[test]
fn what_is_whole_verifies_and_what_is_not_is_told() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut mails = only(&scene.mails(80), Kind::Open);
    mails.retain(|mail| mail.file.contains("/cur/") || mail.file.starts_with("cur/"));
    scene.put(&mails);
    scene.sweep();
    let count = u64::try_from(mails.len()).unwrap();
    let verified = reader::verify(&settings(&scene), &mut (), &Default::default()).unwrap();
    assert_eq!((verified.opened, verified.others, verified.is_sound()), (count, 0, true));
    assert!(verified.gaps.is_empty() && verified.copies.is_empty() && verified.broken.is_empty());
    let octets: usize = mails.iter().map(|mail| mail.original.len()).sum();
    assert_eq!(verified.octets, u64::try_from(octets).unwrap());

    let inbox = scene.mail().join("cur");
    let mut sealed: Vec<Found> = scene.census().into_values().flatten().collect();
    sealed.sort_by_key(|found| {
        open::headers(&fs::read(&found.file).unwrap(), &scene.keyring(), &scene.trust()).unwrap().sequence
    });
    // Gone: numbers 2 and 3.
    fs::remove_file(&sealed[1].file).unwrap();
    fs::remove_file(&sealed[2].file).unwrap();
    // A copy of number 5.
    fs::copy(&sealed[4].file, inbox.join("copy.a.host:2,S")).unwrap();
    // One octet of number 6 changed.
    let mut octets = fs::read(&sealed[5].file).unwrap();
    let at = octets.len() - 500;
    octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
    fs::write(&sealed[5].file, octets).unwrap();
    // Somebody else's, a label alone, and one by the same sealer with a number that was given to another.
    let stranger = SealerKey::generate();
    fs::write(inbox.join("foreign.a.host:2,S"), scene.seal(b"a: b\r\n\r\nc", &stranger)).unwrap();
    fs::write(inbox.join("number.a.host:2,S"), scene.seal_numbered(b"a: b\r\n\r\nd", &scene.sealer(), 1)).unwrap();
    fs::write(inbox.join("label.a.host:2,S"), b"Sealed-Mail: v=1\r\n\r\nplain").unwrap();
    fs::write(inbox.join("plain.a.host:2,S"), b"a: b\r\n\r\nplain").unwrap();
    let verified = reader::verify(&settings(&scene), &mut (), &Default::default()).unwrap();
    assert_eq!((verified.opened, verified.others), (count - 3 + 2, 1));
    let reasons: Vec<(&str, u64)> = verified.reasons.iter().map(|(reason, count)| (*reason, *count)).collect();
    assert_eq!(reasons, [(reason::DAMAGED, 1), (reason::LABEL_ONLY, 1), (reason::UNKNOWN_SEALER, 1)]);
    assert!(!verified.is_sound());
    assert_eq!(verified.broken.len(), 3);
    assert_eq!((verified.copies.len(), verified.same_number.len()), (1, 1));
    let gaps: Vec<(u64, u64)> = verified.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(gaps, [(2, 3), (6, 6)], "a message that does not open carries no number");
    // What the ledger knows of is no gap.
    let database = Database::open(&scene.settings().state).unwrap();
    let (sealer, account) = (scene.sealer(), scene.trust().accounts[0]);
    Ledger::on(&database).note_gap(sealer.public().octets(), &account.0, 2..4).unwrap();
    let verified = reader::verify(&settings(&scene), &mut (), &Default::default()).unwrap();
    assert_eq!(verified.gaps.len(), 1);
}

/// Asked to stop at the first message.
struct Stopping(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl reader::Progress for Stopping {
    fn done(&mut self, _: u64) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn what_is_stopped_gives_no_verdict_and_no_half_of_a_file() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(80), Kind::Open);
    scene.put(&mails);
    scene.sweep();
    let stop = || Stopping(std::sync::Arc::default());
    let mut stopping = stop();
    let flag = std::sync::Arc::clone(&stopping.0);
    let error = reader::verify(&settings(&scene), &mut stopping, &flag).unwrap_err();
    assert!(matches!(error, reader::VerifyError::Stopped), "{error}");
    for form in [reader::Form::Mbox, reader::Form::Maildir, reader::Form::Eml] {
        let mut stopping = stop();
        let settings = settings(&scene);
        let mut shelf = reader::Shelf::open(&settings, &stopping.0).unwrap();
        let to = home.path().join(format!("{form:?}"));
        let mailboxes = shelf.mailboxes();
        let error = reader::export(&mut shelf, &mailboxes, form, &to, &mut stopping).unwrap_err();
        assert!(matches!(error, reader::ShelfError::Stopped), "{error}");
        if form == reader::Form::Mbox {
            assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "nothing has its name before it is whole");
        }
    }
}

#[test]
fn undo_puts_everything_back_and_seals_no_more() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = scene.mails(200);
    scene.put(&mails);
    scene.sweep();
    scene.assert_each_once(&mails, true);
    let count = |kind| u64::try_from(only(&mails, kind).len()).unwrap();
    let undone = undo(&scene);
    assert_eq!(undone.restored, count(Kind::Open) + count(Kind::Sealed));
    assert_eq!(undone.reasons[reason::UNKNOWN_SEALER], count(Kind::Unknown));
    assert!(undone.reasons.keys().all(|reason| [reason::UNKNOWN_SEALER, reason::LABEL_ONLY].contains(reason)));
    assert_eq!((undone.skipped, undone.recovered, undone.interrupted), (0, 0, false));
    let back = unsealed(&mails);
    scene.assert_each_once(&back, false);

    let before = scene.census();
    let error = flow::sweep(&scene.settings(), &mut (), &std::sync::Arc::default()).unwrap_err();
    assert!(matches!(error, SweepError::Stopped));
    assert_eq!(undo(&scene).restored, 0);
    assert_eq!(scene.census(), before);
    // The stop taken away, all is sealed again, once.
    Ledger::on(&Database::open(&scene.settings().state).unwrap()).clear_stop(FLOW).unwrap();
    scene.sweep();
    scene.assert_each_once(&back, true);
}

#[test]
fn what_does_not_open_stays_and_is_listed() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mails = only(&scene.mails(30), Kind::Open);
    scene.put(&mails);
    scene.sweep();
    let damaged: PathBuf = scene.messages().remove(0);
    let mut octets = fs::read(&damaged).unwrap();
    octets.truncate(octets.len() - 300);
    fs::write(&damaged, &octets).unwrap();
    let undone = undo(&scene);
    assert_eq!(undone.restored, u64::try_from(mails.len()).unwrap() - 1);
    assert_eq!(undone.reasons[reason::DAMAGED], 1);
    let listed = undone.left.iter().filter(|(_, reason)| *reason == reason::DAMAGED).collect::<Vec<_>>();
    let name = damaged.file_name().unwrap().to_str().unwrap().split(':').next().unwrap();
    assert!(listed.len() == 1 && listed[0].0.message == name, "{listed:?}");
    assert_eq!(fs::read(&damaged).unwrap(), octets);
    scene.assert_no_litter();
}
