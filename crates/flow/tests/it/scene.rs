//! A home with a Maildir, an owner's key and a sealer; mail of all kinds in it; and a look at everything that is there
//! afterwards, through the owner's eyes. Also used by the tests of `reader`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flow::Settings;
use open::{Algorithm, Keyring, SecretKey};
use seal::{Compression, Enrolment, Padding};
use sealed::signature::{SealerKey, Trust};

pub(crate) const FLOW: &str = "inbox";
/// In every subject, every body and nowhere else.
pub(crate) const CANARY: &str = "kanarienvogel";

pub(crate) struct Scene {
    pub(crate) home: PathBuf,
    key: SecretKey,
    sealer_seed: [u8; 32],
}

/// What a sweep is to do with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It lies open.
    Open,
    /// It is sealed by a sealer that is pinned.
    Sealed,
    /// It is sealed by somebody else.
    Unknown,
    /// Its sender encrypted it.
    EndToEnd,
    /// Its flags or its mailbox keep it as it is.
    LeftAlone,
}

/// A mail to be put into the Maildir.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) kind: Kind,
    /// Mailbox directory, `new` or `cur`, and name, from the root.
    pub(crate) file: String,
    /// What its owner reads.
    pub(crate) original: Vec<u8>,
    /// What lies there, if it is something else.
    pub(crate) stored: Option<Vec<u8>>,
}

/// A mail as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) file: PathBuf,
    pub(crate) folder: String,
    pub(crate) flags: String,
    pub(crate) arrived: i64,
    pub(crate) sealed: bool,
}

/// Everything in the Maildir, by what its owner reads.
pub(crate) type Census = BTreeMap<Vec<u8>, Vec<Found>>;

impl Scene {
    /// A new home.
    pub(crate) fn new(home: &Path) -> Scene {
        for folder in ["", ".Archive.2024", ".Sent", ".Drafts", ".Junk", ".Trash", "nested/deep"] {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(home.join("mail").join(folder).join(part)).unwrap();
            }
        }
        for part in ["state", "tmp"] {
            fs::create_dir_all(home.join(part)).unwrap();
        }
        let key = SecretKey::generate("alice@example.org", Algorithm::V4Curve25519).unwrap();
        fs::write(home.join("key.asc"), key.armored().unwrap().as_bytes()).unwrap();
        fs::write(home.join("sealer"), [9; 32]).unwrap();
        Scene::at(home)
    }

    /// A home that is there, as another process finds it.
    pub(crate) fn at(home: &Path) -> Scene {
        let key = SecretKey::parse(&fs::read(home.join("key.asc")).unwrap()).unwrap();
        let sealer_seed = fs::read(home.join("sealer")).unwrap().try_into().unwrap();
        Scene { home: home.to_path_buf(), key, sealer_seed }
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.home.join("mail")
    }

    pub(crate) fn settings(&self) -> Settings {
        let certificate = self.key.certificate_armored().unwrap();
        Settings {
            name: FLOW.to_owned(),
            route: flow::Route::Maildir(self.mail()),
            mailboxes: Vec::new(),
            grace: Duration::ZERO,
            since: None,
            max_size: None,
            enrolment: Enrolment::parse(certificate.as_bytes(), now()).unwrap(),
            sealer: self.sealer(),
            trust: Trust::default(),
            dedup: [3; 32],
            compression: Compression::Auto,
            padding: Padding::Bucket,
            state: self.home.join("state/state.db"),
            temporary: self.home.join("tmp"),
        }
    }

    pub(crate) fn sealer(&self) -> SealerKey {
        SealerKey::from_seed(&self.sealer_seed).unwrap()
    }

    pub(crate) fn keyring(&self) -> Keyring {
        let mut keys = Keyring::default();
        keys.add(self.key.unlock(None).unwrap());
        keys
    }

    pub(crate) fn trust(&self) -> Trust {
        let account = self.settings().enrolment.account().unwrap();
        Trust { accounts: vec![account], sealers: vec![self.sealer().public().clone()] }
    }

    pub(crate) fn sweep(&self) -> flow::Swept {
        flow::sweep(&self.settings(), &mut (), &std::sync::Arc::default()).unwrap()
    }

    /// A mail sealed by that sealer outside of any flow.
    pub(crate) fn seal(&self, original: &[u8], sealer: &SealerKey) -> Vec<u8> {
        self.seal_numbered(original, sealer, 0)
    }

    pub(crate) fn seal_numbered(&self, original: &[u8], sealer: &SealerKey, sequence: u64) -> Vec<u8> {
        let settings = self.settings();
        let certificates = settings.enrolment.certificates.iter();
        let recipients: Vec<_> = certificates.map(|certificate| certificate.recipient.clone()).collect();
        let seal_settings = seal::Settings {
            account: settings.enrolment.account().unwrap(),
            recipients: &recipients,
            sealer,
            profile: settings.enrolment.profile(),
            policy: settings.enrolment.policy,
            outer_id: seal::OuterId::Kept,
            outer_from: None,
            compression: settings.compression,
            padding: settings.padding,
            id: seal::NewId::Random,
            sequence,
            time: now(),
            way: sealed::index::Way::Delivery,
            place: seal::Place::default(),
        };
        let mut out = Vec::new();
        let spool = || Ok(Cursor::new(Vec::new()));
        seal::seal(&mut Cursor::new(original), spool, &mut out, &seal_settings).unwrap();
        out
    }

    /// Puts mail into the Maildir; each has a time of arrival of its own.
    pub(crate) fn put(&self, mails: &[Mail]) {
        for (number, mail) in mails.iter().enumerate() {
            let path = self.mail().join(&mail.file);
            fs::write(&path, mail.stored.as_ref().unwrap_or(&mail.original)).unwrap();
            let arrived = UNIX_EPOCH + Duration::new(arrival(number).unsigned_abs(), 5_000);
            File::options().write(true).open(path).unwrap().set_modified(arrived).unwrap();
        }
    }

    /// Everything that is there, read as its owner reads it.
    pub(crate) fn census(&self) -> Census {
        let (keys, trust) = (self.keyring(), self.trust());
        let mut census = Census::new();
        for file in self.messages() {
            // Somebody may be renaming.
            let Ok(stored) = fs::read(&file) else {
                continue;
            };
            let opened = open::open(&mut &stored[..], Cursor::new(Vec::new()), &keys, &trust).ok();
            let original = opened.map(|opened| {
                let mut original = Vec::new();
                opened.write(&mut original).unwrap();
                original
            });
            let sealed = original.is_some();
            let arrived = fs::metadata(&file).map_or(0, |metadata| unix(metadata.modified().unwrap()));
            let name = file.file_name().unwrap().to_str().unwrap();
            let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
            let flags = flags.chars().take_while(char::is_ascii_alphabetic).collect();
            let folder = file.strip_prefix(self.mail()).unwrap().parent().unwrap();
            let folder = folder.to_str().unwrap().to_owned();
            census.entry(original.unwrap_or(stored)).or_default().push(Found { file, folder, flags, arrived, sealed });
        }
        census
    }

    /// The files in every `new/` and `cur/`.
    pub(crate) fn messages(&self) -> Vec<PathBuf> {
        files_below(&self.mail())
            .into_iter()
            .filter(|file| matches!(file.parent().unwrap().file_name().unwrap().to_str(), Some("new" | "cur")))
            .collect()
    }

    /// Nothing is left in any `tmp/`.
    pub(crate) fn assert_no_litter(&self) {
        for file in files_below(&self.home) {
            assert_ne!(file.parent().unwrap().file_name().unwrap(), "tmp", "{}", file.display());
        }
    }

    /// Removes all mail.
    pub(crate) fn clear(&self) {
        for file in self.messages() {
            fs::remove_file(file).unwrap();
        }
    }

    /// Each mail is there exactly once, where it was, with its flags (or more) and its time; sealed if it is to be.
    pub(crate) fn assert_each_once(&self, mails: &[Mail], sealed: bool) {
        let mut census = self.census();
        self.assert_no_litter();
        for (number, mail) in mails.iter().enumerate() {
            let seen = if sealed && mail.kind == Kind::Open || mail.kind == Kind::Sealed {
                &mail.original
            } else {
                mail.stored.as_ref().unwrap_or(&mail.original)
            };
            let found = census.remove(seen).unwrap_or_default();
            assert_eq!(found.len(), 1, "{} ({:?}): {found:?}", mail.file, mail.kind);
            let found = &found[0];
            assert_eq!(found.sealed, sealed && mail.kind == Kind::Open || mail.kind == Kind::Sealed, "{}", mail.file);
            let (folder, name) = mail.file.rsplit_once('/').unwrap();
            let box_of = |folder: &str| folder.trim_end_matches("new").trim_end_matches("cur").to_owned();
            assert_eq!(box_of(&found.folder), box_of(folder));
            assert_eq!(found.arrived, arrival(number), "{}", mail.file);
            let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
            let flags = flags.chars().take_while(char::is_ascii_alphabetic);
            assert!(flags.into_iter().all(|flag| found.flags.contains(flag)), "{}: {found:?}", mail.file);
        }
        assert!(census.is_empty(), "beyond what was put there: {:?}", census.values());
    }

    /// Mail of all kinds, about `count` of them.
    pub(crate) fn mails(&self, count: usize) -> Vec<Mail> {
        let stranger = SealerKey::generate();
        (0..count).map(|number| self.mail_of(number, &stranger)).collect()
    }

    fn mail_of(&self, number: usize, stranger: &SealerKey) -> Mail {
        let original = original(number);
        let file = file_of(number);
        let (kind, file, stored) = match number % 40 {
            3 => (Kind::LeftAlone, format!("cur/{number}.draft.host:2,DS"), None),
            7 => (Kind::LeftAlone, format!("cur/{number}.gone.host:2,ST"), None),
            11 => (Kind::LeftAlone, format!(".Drafts/cur/{number}.a.host:2,S"), None),
            13 => (Kind::LeftAlone, format!(".Trash/new/{number}.a.host"), None),
            17 => (Kind::Sealed, file, Some(self.seal(&original, &self.sealer()))),
            19 => (Kind::Unknown, file, Some(self.seal(&original, stranger))),
            23 => (Kind::EndToEnd, file, Some(without_marks(&self.seal(&original, stranger)))),
            _ => (Kind::Open, file, None),
        };
        Mail { kind, file, original, stored }
    }
}

/// Sealed mails are to be opened.
pub(crate) fn only(mails: &[Mail], kind: Kind) -> Vec<Mail> {
    mails.iter().filter(|mail| mail.kind == kind).cloned().collect()
}

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let Ok(entry) = entry else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            _ => files.push(entry.path()),
        }
    }
    files
}

/// All octets of all files below a directory that hold the needle.
pub(crate) fn holding(directory: &Path, needle: &str) -> Vec<PathBuf> {
    let holds = |file: &PathBuf| {
        let mut octets = Vec::new();
        File::open(file).unwrap().read_to_end(&mut octets).unwrap();
        octets.make_ascii_lowercase();
        String::from_utf8_lossy(&octets).contains(needle)
    };
    files_below(directory).into_iter().filter(holds).collect()
}

pub(crate) fn now() -> u64 {
    unix(SystemTime::now()).unsigned_abs()
}

fn unix(at: SystemTime) -> i64 {
    i64::try_from(at.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn arrival(number: usize) -> i64 {
    1_500_000_000 + i64::try_from(number).unwrap() * 61
}

fn file_of(number: usize) -> String {
    let folders = ["", "", "", ".Archive.2024/", ".Sent/", "nested/deep/"];
    let folder = folders[number % folders.len()];
    match number % 7 {
        0 => format!("{folder}new/{number}.M1P2.host"),
        1 => format!("{folder}new/{number}.M1P2.host,S=999,W=1010"),
        2 => format!("{folder}cur/{number}.M1P2.host,S=999,W=1010:2,FS"),
        3 => format!("{folder}cur/{number}.M1P2.host:2,"),
        4 => format!("{folder}cur/{number}.M1P2.host:2,RSac"),
        5 => format!("{folder}cur/{number}.M1P2.host:2,PS,X=1"),
        _ => format!("{folder}cur/{number}.M1P2.host:2,S"),
    }
}

/// Mail as it comes, and as it should not come.
fn original(number: usize) -> Vec<u8> {
    let header = format!(
        "Return-Path: <bob@example.net>\r\nFrom: Bob <bob@example.net>\r\nTo: alice@example.org\r\n\
         Subject: {CANARY} number {number}\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{number}@example.net>\r\n"
    );
    let body = format!("{CANARY} {number}: the text of the message.\r\n").repeat(1 + number % 50);
    match number % 13 {
        0 => format!("{header}\r\n{body}").into_bytes(),
        1 => format!("{header}\n{body}").replace("\r\n", "\n").into_bytes(),
        2 => [header.as_bytes(), b"\r\n", body.as_bytes(), b"\x00\xff\xfe\r bare\n", body.as_bytes()].concat(),
        3 => format!("{header}Sealed-Mail: v=1; p=pgp1; id=AAAAAAAAAAAAAAAAAAAAAA; s=AAAAAAAAAAA\r\n\r\n{body}").into_bytes(),
        4 => format!("{header}Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\r\n\r\n--b\r\n\r\n{body}\r\n--b--\r\n").into_bytes(),
        5 => format!("{header}Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\n{body}").into_bytes(),
        6 => format!("{header}X-No-Body: {number}").into_bytes(),
        7 => format!("\r\n{body}").into_bytes(),
        8 => format!("no header {CANARY} {number}").into_bytes(),
        9 => format!("{header}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{body}\r\n--b\r\n").into_bytes(),
        // Large enough to be compressed.
        10 if number.is_multiple_of(4) => format!("{header}\r\n{}", body.repeat(1 + 300_000 / body.len())).into_bytes(),
        11 => format!("{header}Subject: =?utf-8?q?{CANARY}?= again\r\n\r\n{body}").into_bytes(),
        _ => format!("{header}\r\n{body}{}", "x".repeat(8_192)).into_bytes(),
    }
}

/// What an encrypting sender's program makes: the same body, without our fields.
fn without_marks(sealed: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(sealed.to_vec()).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    let mut kept = String::new();
    let mut ours = false;
    for line in header.split("\r\n") {
        ours = if line.starts_with([' ', '\t']) { ours } else { line.starts_with("Sealed-") };
        if !ours {
            kept.push_str(&format!("{line}\r\n"));
        }
    }
    format!("{kept}\r\n{body}").into_bytes()
}
