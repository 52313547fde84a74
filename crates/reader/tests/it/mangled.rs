//! Sealed mail whose outside a server spoiled, and mail that cannot be read: never taken for "all is well".

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use reader::{Undone, Verified, reason};

use crate::scene::{Kind, Scene, only};
use crate::{settings, undo};

/// A scene with sealed mail in INBOX and in Archive/2024, and where it lies.
fn sealed() -> (tempfile::TempDir, Scene, Vec<PathBuf>) {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut mails = only(&scene.mails(12), Kind::Open);
    mails.retain(|mail| !mail.file.contains("nested") && !mail.file.contains("Sent"));
    scene.put(&mails);
    scene.sweep();
    let files = scene.messages();
    assert!(files.len() > 3 && files.iter().any(|file| file.to_str().unwrap().contains(".Archive.2024")));
    (home, scene, files)
}

fn verify(scene: &Scene) -> Verified {
    reader::verify(&settings(scene), &mut (), &Default::default()).unwrap()
}

/// A message without some of its fields' beginnings, in which something else stands instead.
fn change(message: &[u8], what: &str) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    let without = |name: &str| {
        let mut dropping = false;
        let kept = header.split("\r\n").filter(|line| {
            dropping = if line.starts_with([' ', '\t']) { dropping } else { line.starts_with(name) };
            !dropping
        });
        kept.collect::<Vec<_>>().join("\r\n")
    };
    let changed = match what {
        "newer" => {
            let at = header.find("Sealed-Mail:").unwrap();
            let (before, mark) = header.split_at(at);
            format!("{before}{}\r\n\r\n{body}", mark.replacen("v=1", "v=2", 1))
        }
        "doubled" => format!("{header}\r\nSealed-Mail: v=1\r\n\r\n{body}"),
        "malformed" => format!("{}\r\n\r\n{body}", header.replacen(" id=", " ix=", 1)),
        "cut off" => format!("{}\r\n\r\n{}", without("Sealed-Key"), &body[..body.len() - 300]),
        "in base64" => {
            let mut lines = body.split_inclusive("\r\n");
            let mut all = String::new();
            for line in lines.by_ref() {
                all.push_str(line);
                if line.starts_with("Content-Type: application/octet-stream") {
                    all.push_str("Content-Transfer-Encoding: quoted-printable\r\n");
                }
            }
            format!("{}\r\n\r\n{}", without("Sealed-Key"), all.replace("=\r\n", "=3D\r\n"))
        }
        "many fields" => format!("{}{}\r\n\r\n{body}", "X-Added: by a server\r\n".repeat(20_000), header),
        "only label" => format!("{}\r\n\r\nreadable\r\n", without("Sealed-Key")),
        name => format!("{}\r\n\r\n{body}", without(name)),
    };
    assert_ne!(changed, text, "{what}");
    changed.into_bytes()
}

#[test]
fn spoiled_fields_are_damage() {
    let table = [
        ("Sealed-Mail", reason::DAMAGED),
        ("Sealed-Key", reason::DAMAGED),
        ("Sealed-Fields", reason::DAMAGED),
        ("doubled", reason::DAMAGED),
        ("malformed", reason::DAMAGED),
        ("cut off", reason::DAMAGED),
        ("in base64", reason::DAMAGED),
        ("many fields", reason::DAMAGED),
        ("newer", reason::NEWER),
        ("only label", reason::LABEL_ONLY),
    ];
    let (_home, scene, files) = sealed();
    let whole = fs::read(&files[0]).unwrap();
    for (what, reason) in table {
        let changed = change(&whole, what);
        fs::write(&files[0], &changed).unwrap();
        let verified = verify(&scene);
        let found: Vec<_> = verified.reasons.iter().map(|(reason, count)| (*reason, *count)).collect();
        assert_eq!(found, [(reason, 1)], "{what}");
        assert_eq!(verified.is_sound(), reason == reason::LABEL_ONLY, "{what}");
        // The undo leaves it, and says so; the others go back the first time.
        let undone = undo(&scene);
        assert_eq!(undone.reasons.get(reason), Some(&1), "{what}");
        assert_eq!(undone.left[0].1, reason, "{what}");
        assert_eq!(fs::read(&files[0]).unwrap(), changed, "{what}");
    }
    fs::write(&files[0], &whole).unwrap();
    assert_eq!(undo(&scene).restored, 1);
}

#[test]
fn what_cannot_be_read_is_told() {
    type Spoil = fn(&Scene, &PathBuf);
    /// What is done; how many files cannot be read then, how many mailboxes.
    type Case = (&'static str, Spoil, u64, usize);
    let file_is_link: Spoil = |scene, file| {
        let away = scene.home.join("away");
        fs::rename(file, &away).unwrap();
        symlink(away, file).unwrap();
    };
    let folder_is_link: Spoil = |scene, _| {
        let folder = scene.mail().join(".Archive.2024");
        fs::rename(&folder, scene.home.join("away")).unwrap();
        symlink(scene.home.join("away"), folder).unwrap();
    };
    let file_is_secret: Spoil = |_, file| fs::set_permissions(file, PermissionsExt::from_mode(0o000)).unwrap();
    let cur_is_secret: Spoil = |scene, _| {
        fs::set_permissions(scene.mail().join(".Archive.2024/cur"), PermissionsExt::from_mode(0o000)).unwrap();
    };
    let mut cases: Vec<Case> =
        vec![("a file is a link", file_is_link, 1, 0), ("a folder is a link", folder_is_link, 0, 1)];
    let secret: [Case; 2] =
        [("a file may not be read", file_is_secret, 1, 0), ("a folder may not be read", cur_is_secret, 0, 1)];
    if reads_everything() {
        eprintln!("skipped in part: this user may read everything");
    } else {
        cases.extend(secret);
    }
    for (what, spoil, files_unread, mailboxes) in cases {
        let (_home, scene, files) = sealed();
        let inbox = files.iter().find(|file| file.parent().unwrap().ends_with("mail/cur")).unwrap();
        spoil(&scene, inbox);
        let verified = verify(&scene);
        assert_eq!((verified.unreadable, verified.left_out.len()), (files_unread, mailboxes), "{what}");
        assert!(verified.is_intact() && !verified.is_complete() && !verified.is_sound(), "{what}");
        let Undone { unreadable, left_out, restored, .. } = undo(&scene);
        assert_eq!((unreadable, left_out.len()), (files_unread, mailboxes), "{what}");
        assert!(restored > 0 && restored < files.len() as u64, "{what}");
    }
}

fn reads_everything() -> bool {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    fs::File::open(file).is_ok()
}

#[test]
fn only_the_mailboxes_of_the_flow() {
    let (_home, scene, files) = sealed();
    let archived = files.iter().filter(|file| file.to_str().unwrap().contains(".Archive.2024")).count() as u64;
    let all = files.len() as u64;
    let with = |patterns: &[&str]| {
        let mut settings = settings(&scene);
        settings.mailboxes = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        settings
    };
    let table: [(&[&str], u64, usize); 6] = [
        (&[], all, 0),
        (&["*"], all, 0),
        (&["INBOX"], all - archived, 0),
        (&["Archive/*"], archived, 0),
        (&["inbox", "Archive/2024"], all, 0),
        (&["inbox", "Nothing"], all - archived, 1),
    ];
    for (patterns, opened, left_out) in table {
        let verified = reader::verify(&with(patterns), &mut (), &Default::default()).unwrap();
        assert_eq!((verified.opened, verified.left_out.len()), (opened, left_out), "{patterns:?}");
    }
    let undo = |patterns| reader::undo(&with(patterns), &mut (), &Default::default()).unwrap().restored;
    assert_eq!(undo(&["Archive/*"]), archived);
    assert_eq!(verify(&scene).opened, all - archived);
    // A link elsewhere is none of its business.
    symlink(scene.mail().join(".Archive.2024"), scene.mail().join(".Link")).unwrap();
    let verified = reader::verify(&with(&["INBOX"]), &mut (), &Default::default()).unwrap();
    assert_eq!((verified.opened, verified.is_sound()), (all - archived, true));
    assert_eq!(undo(&[]), all - archived);
}

#[test]
fn without_room_for_ciphertext_nothing_is_called_damaged() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut mails = only(&scene.mails(2), Kind::Open);
    // More than a spool keeps in memory, and it does not compress.
    let mut state: u64 = 1;
    for _ in 0..200_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        mails[0].original.extend(format!("{state:016x}\r\n").into_bytes());
    }
    mails.truncate(1);
    scene.put(&mails);
    scene.sweep();
    let mut nowhere = settings(&scene);
    nowhere.temporary = home.path().join("missing");
    let verified = reader::verify(&nowhere, &mut (), &Default::default()).unwrap();
    let reasons: Vec<_> = verified.reasons.into_iter().collect();
    assert_eq!(reasons, [(reason::UNREADABLE, 1)]);
    let undone = reader::undo(&nowhere, &mut (), &Default::default()).unwrap();
    assert_eq!((undone.restored, undone.reasons.get(reason::DAMAGED)), (0, None));
    assert_eq!(undo(&scene).restored, 1);
}
