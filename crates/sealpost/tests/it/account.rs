//! An IMAP account from its check to its service, as it is typed, on a real server.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testbed::{Dovecot, Format};
use wire::{
    Credentials, MailboxName, Timeouts, Trust, UidSet,
    imap::{Access, Append, Endpoint, Security, Session},
};

use crate::{
    flow::ends,
    program::{CANARY, Stage, holds, sample, samples},
};

/// As far as a test looks into the future.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stage with an owner's home whose flow `inbox` takes mail of alice's account.
fn stage(server: &Dovecot) -> Stage {
    let stage = Stage::with_owner();
    configure(&stage, "home", server, "password = { file = \"secrets/imap\" }");
    stage
}

fn configure(stage: &Stage, home: &str, server: &Dovecot, password: &str) {
    let secret = stage.write(&format!("{home}/secrets/imap"), "alice-pw\n");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(server.authority(), stage.path(home).join("ca.pem")).unwrap();
    let port = server.imaps().port();
    stage.write(
        &format!("{home}/config.toml"),
        format!(
            "[account.test]\naddress = \"alice@example.org\"\nuser = \"alice\"\nimap = \"imaps://localhost:{port}\"\n\
             ca-file = \"ca.pem\"\n{password}\n\n[flow.inbox]\nsource = {{ account = \"test\", grace = \"0s\" }}\n\
             seal = {{ to = \"alice@example.org\" }}\nsink = \"in-place\"\n"
        ),
    );
}

/// Another mail program of alice's.
struct Alice(Session);

impl Alice {
    fn at(server: &Dovecot) -> Self {
        let address = server.imap();
        let endpoint = Endpoint { host: address.ip().to_string(), port: address.port(), security: Security::Plain };
        let credentials = Credentials::Password { user: "alice".to_owned(), password: "alice-pw".to_owned().into() };
        let trust = Trust::default();
        Self(Session::connect(&endpoint, &trust, &credentials, &Timeouts::default(), Arc::default()).unwrap())
    }

    fn put(&mut self, mail: &[u8], flags: &[&str]) {
        let mut octets = mail;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let internal_date = Some("17-Jul-2019 02:44:25 +0000".to_owned());
        let length = mail.len() as u64;
        let mut message = [Append { flags, internal_date, length, octets: &mut octets }];
        let answers = self.0.append(&MailboxName::from_utf8("INBOX"), &mut message).map_err(|lost| lost.error).unwrap();
        assert!(answers[0].is_ok());
    }

    /// Octets, date and flags of every message in the INBOX.
    fn mails(&mut self) -> Vec<(Vec<u8>, String, Vec<String>)> {
        self.0.select(&MailboxName::from_utf8("INBOX"), Access::Read).unwrap();
        let mut every = UidSet::new();
        every.insert_range(1, u32::MAX);
        let mut mails = Vec::new();
        let items = "UID FLAGS INTERNALDATE BODY.PEEK[]";
        self.0
            .uid_fetch(
                &every,
                items,
                |_| Ok(Vec::new()),
                |fetched| {
                    if let Some(body) = fetched.body {
                        let mut flags = fetched.flags.unwrap_or_default();
                        flags.retain(|flag| flag != "\\Recent");
                        flags.sort();
                        mails.push((body.unwrap(), fetched.internal_date.unwrap(), flags));
                    }
                },
            )
            .unwrap();
        mails
    }

    /// Waits until nothing lies open any more.
    fn waits_until_sealed(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mails = self.mails();
            if mails.len() == count && mails.iter().all(|(mail, ..)| holds(mail, b"Sealed-Mail:")) {
                return;
            }
            assert!(Instant::now() < deadline, "not sealed in time: {} messages", mails.len());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn count(value: &Value) -> u64 {
    value["messages"].as_u64().unwrap_or_default()
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn check_plan_sweep_status_watch() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let stage = stage(&server);
    let mut alice = Alice::at(&server);
    for (number, (_, mail)) in samples().iter().enumerate() {
        alice.put(mail, [&["\\Seen"][..], &[], &["\\Flagged", "\\Seen"]][number % 3]);
    }
    let before = alice.mails();
    let all = before.len() as u64;
    assert_eq!(before.len(), samples().len());

    let findings = stage.json("check --json", b"");
    let said = |what: &str| {
        let found =
            findings.as_array().unwrap().iter().find(|finding| finding["what"].as_str().unwrap().contains(what));
        found.unwrap_or_else(|| panic!("{what}: {findings}")).clone()
    };
    for what in ["account test", "UIDPLUS", "CONDSTORE", "IDLE", "MULTIAPPEND", "APPENDLIMIT", "flow inbox"] {
        assert_eq!(said(what)["verdict"], "good", "{what}: {findings}");
    }
    assert!(said("mailboxes")["detail"].as_str().unwrap().contains("INBOX, "), "{findings}");

    let plan = stage.json("plan inbox --json", b"");
    assert_eq!((count(&plan["to_seal"]), count(&plan["sealed"])), (all, 0), "{plan}");
    let text = stage.text("plan inbox", b"");
    assert!(text.contains("doveadm purge") && text.contains("kept for 7 days"), "{text}");
    assert!(alice.mails() == before && !stage.path("home/backup").exists());

    let swept = stage.json("sweep inbox --json", b"");
    assert_eq!((count(&swept["sealed"]), &swept["interrupted"]), (all, &false.into()), "{swept}");
    let mut left: Vec<_> = before.clone();
    for (mail, date, flags) in alice.mails() {
        assert!(!holds(&mail, CANARY));
        let original = stage.good("open", &mail);
        let place = left.iter().position(|one| *one == (original.clone(), date.clone(), flags.clone()));
        left.remove(place.expect("an original with this text, date and these flags"));
    }
    assert!(left.is_empty());
    let kept = files_below(&stage.path("home/backup/inbox"));
    assert!(!kept.is_empty() && kept.iter().all(|file| !holds(&fs::read(file).unwrap(), CANARY)));

    let status = stage.json("status inbox --json", b"");
    assert_eq!((count(&status["inbox"]["plaintext"]), count(&status["inbox"]["sealed"])), (0, all), "{status}");
    assert!(stage.text("sweep inbox", b"").contains("0  sealed now"));

    let child = stage.command("watch inbox").spawn().unwrap();
    let process = Pid::from_child(&child);
    alice.put(&sample("plain.eml"), &[]);
    alice.waits_until_sealed(before.len() + 1);
    alice.put(&sample("plain.eml"), &["\\Seen"]);
    alice.waits_until_sealed(before.len() + 2);
    kill_process(process, Signal::TERM).unwrap();
    let outcome = ends(child, Duration::from_secs(5));
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.err.contains("inbox: watching 3 mailboxes"), "{outcome}");
    assert!(outcome.out.is_empty(), "{outcome}");
    assert_eq!(stage.json("status inbox --json", b"")["inbox"]["sealed_ever"], all + 2);
}

#[test]
fn verify_restore_undo() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let stage = stage(&server);
    let mut alice = Alice::at(&server);
    for (_, mail) in samples() {
        alice.put(&mail, &["\\Seen"]);
    }
    let sorted = |mut mails: Vec<(Vec<u8>, String, Vec<String>)>| {
        mails.sort();
        mails
    };
    let before = sorted(alice.mails());
    let all = before.len() as u64;
    stage.bad("restore inbox", b"", 78, "there is no backup");
    stage.good("sweep inbox", b"");

    let verified = stage.json("verify inbox --json", b"");
    assert_eq!((&verified["opened"], verified["gaps"].as_array().unwrap().len()), (&all.into(), 0), "{verified}");

    // All is there already; in a directory, nothing is.
    let restored = stage.json("restore inbox --json", b"");
    assert_eq!((&restored["restored"], &restored["there"]), (&0.into(), &all.into()), "{restored}");
    assert_eq!(stage.json("restore inbox --since 2999-12-31 --into none --json", b"")["older"], all);
    assert_eq!(stage.run("restore inbox --since yesterday", b"").code, 64);
    assert_eq!(stage.json("restore inbox --into originals --json", b"")["restored"], all);
    let originals = files_below(&stage.path("originals"));
    let texts: Vec<Vec<u8>> = originals.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before.iter().all(|(mail, ..)| texts.contains(mail)));

    let undone = stage.json("undo inbox --json", b"");
    assert_eq!(undone["restored"], all, "{undone}");
    let mut after = alice.mails();
    for (_, _, flags) in &mut after {
        // By it other sealers know what was put back.
        assert!(flags.iter().any(|flag| flag == "$Unsealed"), "{flags:?}");
        flags.retain(|flag| flag != "$Unsealed");
    }
    assert!(sorted(after) == before, "all as it was");
    stage.bad("sweep inbox", b"", 78, "the flow is stopped");
    stage.bad("watch inbox", b"", 78, "the flow is stopped");
}

#[test]
fn a_machine_that_only_seals_runs_as_a_service() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let stage = Stage::with_owner();
    stage.good("--home sealer init --sealer", b"");
    let enrolment = stage.good("key enrolment", b"");
    stage.write("alice.enrolment", enrolment);
    stage.good("--home sealer key import alice.enrolment", b"");
    configure(&stage, "sealer", &server, "password = { command = \"cat secrets/imap\" }");
    assert!(!stage.path("sealer/keys/mailbox.secret.asc").exists());
    let mut alice = Alice::at(&server);
    alice.put(&sample("plain.eml"), &[]);

    assert_eq!(count(&stage.json("--home sealer plan inbox --json", b"")["to_seal"]), 1);
    assert_eq!(count(&stage.json("--home sealer sweep inbox --json", b"")["sealed"]), 1);
    stage.write("sealer.pub", stage.good("--home sealer key export --sealer", b""));
    let sealed = alice.mails().remove(0).0;
    assert!(holds(&stage.good("open --trust-sealer sealer.pub", &sealed), CANARY));

    let socket = UnixDatagram::bind(stage.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hears = |line: &[u8]| {
        let mut octets = [0; 64];
        let length = socket.recv(&mut octets).unwrap();
        assert_eq!(&octets[..length], line);
    };
    let mut command = stage.command("--home sealer run");
    let child = command.env("NOTIFY_SOCKET", stage.path("notify")).spawn().unwrap();
    let process = Pid::from_child(&child);
    hears(b"READY=1");
    alice.put(&sample("plain.eml"), &[]);
    alice.waits_until_sealed(2);
    kill_process(process, Signal::INT).unwrap();
    hears(b"STOPPING=1");
    let outcome = ends(child, Duration::from_secs(5));
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.err.contains("ended, as asked; 1 messages"), "{outcome}");
}

#[test]
fn what_keeps_it_from_an_account_is_said() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let stage = stage(&server);
    let good = fs::read_to_string(stage.path("home/config.toml")).unwrap();
    let port = server.imaps().port().to_string();
    let plain = server.imap().port().to_string();
    let pin = format!("pin = \"sha256:{}\"", "00".repeat(32));
    let cases: [(&str, &str, i32, &str); 10] = [
        (
            "{ file = \"secrets/imap\" }",
            "{ command = \"echo swordfish\" }",
            78,
            "refused the user name or the password",
        ),
        ("{ file = \"secrets/imap\" }", "{ token-command = \"echo swordfish\" }", 78, "no way to log in"),
        ("{ file = \"secrets/imap\" }", "{ command = \"echo swordfish; exit 3\" }", 78, "exit status: 3"),
        ("{ file = \"secrets/imap\" }", "{ env = \"NO_SUCH_VARIABLE\" }", 78, "NO_SUCH_VARIABLE"),
        ("{ file = \"secrets/imap\" }", "{ file = \"ca.pem\" }", 78, "chmod 600"),
        ("{ file = \"secrets/imap\" }", "\"swordfish\"", 78, "line 6: no password stands in this file"),
        ("ca-file = \"ca.pem\"", "", 78, "its issuer is not known"),
        ("ca-file = \"ca.pem\"", &pin, 78, "it is not the pinned one"),
        ("ca-file = \"ca.pem\"", "ca-file = \"none.pem\"", 78, "cannot read the ca-file"),
        (&port, &plain, 75, "TLS failed"),
    ];
    for (from, to, code, says) in cases {
        stage.write("home/config.toml", good.replace(from, to));
        let outcome = stage.bad("plan inbox", b"", code, says);
        assert!(!outcome.err.contains("swordfish"), "{to}: {outcome}");
        // The same words, among all the other findings.
        let outcome = stage.run("check", b"");
        let text = String::from_utf8_lossy(&outcome.out);
        assert!(outcome.code == 78 && (text.contains(says) || outcome.err.contains(says)), "{to}: {outcome}");
        assert!(!text.contains("swordfish"), "{to}: {outcome}");
    }
    stage.write(
        "home/config.toml",
        good.replace("\"test\", grace", "\"test\", mailboxes = [\"Sent\", \"Nowhere\"], grace"),
    );
    stage.bad("plan inbox", b"", 78, "there is no mailbox \"Nowhere\"");
    stage.bad("watch inbox", b"", 78, "there is no mailbox \"Nowhere\"");
    stage.bad("watch inbox other", b"", 78, "no flow named other");
    stage.write("home/config.toml", "");
    stage.bad("run", b"", 78, "has no flows");
}
