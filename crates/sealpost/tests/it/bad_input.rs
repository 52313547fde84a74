//! Input that is not what it should be: each fault has its code and two lines on stderr, and nothing is written.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::program::{Gpg, Outcome, Stage, large, sample};

#[test]
fn open_refuses_what_is_not_sealed_for_us() {
    let stage = Stage::with_owner();
    let sealed = stage.good("seal", &sample("plain.eml"));
    let cut = |at: usize| sealed[..at].to_vec();
    let text = String::from_utf8(sealed.clone()).unwrap();
    let header = text.find("\r\n\r\n").unwrap();
    let armor = text.find("-----BEGIN PGP MESSAGE").unwrap();
    let changed = |at: usize| {
        let mut octets = sealed.clone();
        octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
        octets
    };
    let inside = |name: &str, after: &str| {
        changed(text.find(name).unwrap() + text[text.find(name).unwrap()..].find(after).unwrap() + after.len() + 5)
    };
    let cases: [(&str, Vec<u8>, i32, &str); 20] = [
        ("empty", Vec::new(), 65, "not a sealed message"),
        ("one octet", b"x".to_vec(), 65, "not a sealed message"),
        ("NUL", b"\0".to_vec(), 65, "not a sealed message"),
        ("no header", b"\r\nbody\r\n".to_vec(), 65, "not a sealed message"),
        ("no header, no end", b"noise".repeat(1000), 65, "not a sealed message"),
        ("plain mail", sample("plain.eml"), 65, "not a sealed message"),
        ("cut in the first field", cut(10), 65, "not a sealed message"),
        ("cut in Sealed-Mail", cut(text.find("Sealed-Mail").unwrap() + 40), 65, ""),
        ("cut in Sealed-Fields", cut(text.find("Sealed-Fields").unwrap() + 300), 65, ""),
        ("cut after the header section", cut(header + 4), 65, "damaged"),
        ("cut before the armor", cut(armor), 65, "damaged"),
        ("cut in the armor", cut(armor + 700), 65, "damaged"),
        ("cut in the armor's end", cut(text.find("-----END PGP MESSAGE").unwrap() + 5), 65, "damaged"),
        ("changed Sealed-Mail", inside("Sealed-Mail", "sig="), 77, "signature does not verify"),
        ("changed Sealed-Key", inside("Sealed-Key", "d="), 65, "session keys in header and body differ"),
        ("changed Sealed-Fields", inside("Sealed-Fields: v=1; n=2/2", "d="), 77, "signature does not verify"),
        ("changed id", inside("Sealed-Mail", "id="), 77, "signature does not verify"),
        ("changed sealer", inside("Sealed-Mail", " s="), 77, "a sealer that is not trusted here"),
        ("changed content", changed(armor + 900), 65, "damaged"),
        ("one field left out", text.replacen("Sealed-Key:", "X-Key:", 1).into_bytes(), 65, "not a sealed message"),
    ];
    for (what, mail, code, says) in cases {
        stage.run("open", &mail).is_failure(what, code, says);
        let file = stage.write("mail", &mail);
        stage.run_file("open", &file).is_failure(what, code, says);
    }
}

#[test]
fn open_refuses_mail_of_others() {
    let stage = Stage::with_owner();
    let mail = sample("plain.eml");
    stage.good("--home bob init --address bob@example.org --no-passphrase --recovery bob.asc", b"");
    let foreign = stage.good("--home bob seal", &mail);
    stage.bad("open", &foreign, 77, "a sealer that is not trusted here");
    // A sealer that is believed, and mail that is not for this account.
    stage.write("line", stage.good("--home bob key export --sealer", b""));
    stage.bad("open --trust-sealer line", &foreign, 77, "does not verify for this account");
    // The right account, the wrong key.
    let own = stage.good("seal", &mail);
    stage.write("bob.secret", stage.good("--home bob key export --secret --no-passphrase", b""));
    stage.bad("open --key bob.secret", &own, 77, "sealed to another key");
}

#[test]
fn open_ends_early_on_endless_junk() {
    let stage = Stage::with_owner();
    let line = b"X-Junk: these octets go on and on and are no mail of any kind\r\n".repeat(16 * 1024);
    let junk: [&[u8]; 3] = [&vec![b'x'; 1 << 20], &vec![0; 1 << 20], &line];
    for piece in junk {
        let mut child = stage.command("open").spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let outcome = thread::scope(|scope| {
            scope.spawn(move || (0..200).try_for_each(|_| pipe.write_all(piece)));
            Outcome::of(child)
        });
        outcome.is_failure("200 MiB of junk", 65, "");
    }
}

#[test]
fn seal_names_what_is_wrong_with_a_certificate() {
    let Some(gpg) = Gpg::new() else { return };
    let stage = Stage::with_owner();
    let mail = sample("plain.eml");
    let export = |name: &str| gpg.run(&["--armor", "--export", name], b"");
    gpg.run(&["--quick-gen-key", "revoked@example.org", "default", "default", "never"], b"");
    let fingerprint =
        String::from_utf8(gpg.run(&["--with-colons", "--list-keys", "revoked@example.org"], b"")).unwrap();
    let fingerprint =
        fingerprint.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned();
    let revocation = gpg.read(&format!("openpgp-revocs.d/{fingerprint}.rev")).replace(":-----BEGIN", "-----BEGIN");
    let good = export("revoked@example.org");
    let secret = gpg.run(&["--armor", "--export-secret-keys", "revoked@example.org"], b"");
    gpg.run(&["--import"], revocation.as_bytes());
    gpg.run(
        &[
            "--faked-system-time",
            "20200101T000000!",
            "--quick-gen-key",
            "expired@example.org",
            "default",
            "default",
            "1y",
        ],
        b"",
    );
    gpg.run(&["--quick-gen-key", "signs@example.org", "ed25519", "sign", "never"], b"");
    let half = good[..good.len() / 2].to_vec();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("expired", export("expired@example.org"), "expired on 2020-12-31"),
        ("revoked", export("revoked@example.org"), "was revoked"),
        ("sign-only", export("signs@example.org"), "can only sign"),
        ("secret", secret, "this is a secret key"),
        ("garbage", vec![0x99; 4000], ""),
        ("text", b"no certificate\n".to_vec(), ""),
        ("empty", Vec::new(), ""),
        ("half", half, ""),
    ];
    stage.write("good", &good);
    stage.good("seal --cert good", &mail);
    for (name, octets, says) in cases {
        stage.write(name, octets);
        stage.bad(&format!("seal --cert {name}"), &mail, 78, says);
        // One good certificate does not make up for a bad one.
        stage.bad(&format!("seal --cert good --cert {name}"), &mail, 78, says);
    }
    stage.bad("seal --cert missing", &mail, 78, "cannot read missing");
    stage.bad("--home nowhere seal --cert good", &mail, 78, "there is no sealer key in");
    stage.bad("seal --to bob@example.org", &mail, 78, "no enrolment of this owner");
}

#[test]
fn a_full_disk_is_a_temporary_failure() {
    let stage = Stage::with_owner();
    let Some(disk) = Disk::small(&stage.path("disk")) else { return };
    let mail = large(12 << 20);
    let file = stage.write("mail", &mail);
    let sealed = stage.good("seal", &mail);
    let sealed_file = stage.write("sealed", &sealed);
    let on_full_disk = |line: &str, from: Result<&Path, &[u8]>| {
        let mut command = stage.command(line);
        command.env("TMPDIR", &disk.at);
        match from {
            Ok(file) => {
                command.stdin(std::fs::File::open(file).unwrap());
                Outcome::of(command.spawn().unwrap())
            }
            Err(octets) => crate::program::feed(command, octets),
        }
    };
    for (line, from) in
        [("seal", Err(mail.as_slice())), ("seal", Ok(&*file)), ("open", Err(&sealed)), ("open", Ok(&*sealed_file))]
    {
        let outcome = on_full_disk(line, from);
        outcome.is_failure(line, 75, "cannot");
        assert!(outcome.err.contains("No space left") && outcome.err.contains("disk full"), "{line}: {outcome}");
        assert_eq!(std::fs::read_dir(&disk.at).unwrap().count(), 0, "{line}: a file remains");
    }
    let missing = |line: &str, octets: &[u8]| {
        let mut command = stage.command(line);
        command.env("TMPDIR", stage.path("missing"));
        crate::program::feed(command, octets)
    };
    missing("seal", &mail).is_failure("no TMPDIR", 75, "cannot");
    missing("open", &sealed).is_failure("no TMPDIR", 75, "cannot");
}

/// A file system of 4 MiB.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// None where this user may not mount one.
    fn small(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: only root may mount a small file system");
            return None;
        }
        Some(Self { at: at.to_path_buf() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}
