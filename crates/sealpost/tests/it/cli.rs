//! init, seal, open, headers and inspect, as they are typed.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::program::{CANARY, Gpg, Outcome, Stage, feed, holds, is_there, large, sample, samples};

#[test]
fn init_makes_a_home_that_works_and_keeps_secrets_to_itself() {
    let stage = Stage::new();
    let outcome = stage.run("init --address Alice@Example.org --no-passphrase --recovery recovery.asc", b"");
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.out.is_empty() && outcome.err.contains("recovery.asc: take it off this machine"), "{outcome}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for secret in ["recovery.asc", "home/keys/mailbox.secret.asc", "home/keys/sealer.secret", "home/keys/dedup.secret"]
    {
        assert_eq!(mode(&stage.path(secret)), 0o600, "{secret}");
    }
    assert_eq!(mode(&stage.path("home")), 0o700);
    assert_eq!(mode(&stage.path("home/keys")), 0o700);
    stage.good("check", b"");
}

#[test]
fn init_prints_the_recovery_key_once_where_no_file_is_named() {
    let stage = Stage::new();
    let printed = stage.text("init --address alice@example.org --no-passphrase", b"");
    assert!(printed.contains("-----BEGIN PGP PRIVATE KEY BLOCK-----"), "{printed}");
    let sealed = stage.good("seal", &sample("plain.eml"));
    stage.write("printed.asc", printed);
    assert_eq!(stage.good("--home nowhere open --key printed.asc", &sealed), sample("plain.eml"));
}

#[test]
fn init_never_overwrites() {
    let stage = Stage::with_owner();
    let secret = fs::read(stage.path("home/keys/mailbox.secret.asc")).unwrap();
    stage.bad("init --address bob@example.org --no-passphrase", b"", 78, "there are keys in");
    stage.bad("init --sealer", b"", 78, "there are keys in");
    stage.bad(
        "--home other init --address b@example.org --no-passphrase --recovery recovery.asc",
        b"",
        64,
        "exists already",
    );
    assert!(!stage.path("other").exists());
    assert_eq!(fs::read(stage.path("home/keys/mailbox.secret.asc")).unwrap(), secret);
}

#[test]
fn init_refuses_a_recovery_file_inside_the_home() {
    let stage = Stage::new();
    fs::create_dir(stage.path("there")).unwrap();
    std::os::unix::fs::symlink(stage.path(""), stage.path("link")).unwrap();
    let absolute = stage.path("home/recovery.asc").display().to_string();
    let files = [
        ("home", "home/recovery.asc"),
        ("home", absolute.as_str()),
        ("home", "./home/recovery.asc"),
        ("home", "there/../home/recovery.asc"),
        ("home", "home/keys/recovery.asc"),
        ("home", "link/home/recovery.asc"),
        ("link/home", "home/recovery.asc"),
        ("there", "there/recovery.asc"),
        (".", "recovery.asc"),
    ];
    for (home, file) in files {
        let line = format!("--home {home} init --address alice@example.org --no-passphrase --recovery {file}");
        stage.bad(&line, b"", 64, "must not lie in the home");
        assert!(!stage.path(home).join("keys").exists(), "{line}");
    }
}

#[test]
fn init_names_what_is_wrong_with_its_arguments() {
    let stage = Stage::new();
    for address in ["alice", "", "a\u{7}@example.org", "../a@example.org", ".@example.org"] {
        let mut command = stage.command("init --no-passphrase --address");
        command.arg(address);
        feed(command, b"").is_failure(address, 64, "address");
    }
    stage.write("empty", "\nsecond line\n");
    stage.bad("init --address a@example.org --passphrase-file empty", b"", 64, "the passphrase is empty");
    stage.bad("init --address a@example.org --passphrase-file missing", b"", 78, "cannot read the passphrase file");
    stage.bad("init --address a@example.org", b"", 78, "no terminal to ask on");
    stage.bad("init --address a@example.org --no-passphrase --recovery missing/r.asc", b"", 78, "cannot write");
    // After all of that, the home can still be made.
    stage.good("init --address a@example.org --no-passphrase --recovery r.asc", b"");
}

#[test]
fn what_is_typed_wrongly_is_a_usage_error() {
    let stage = Stage::new();
    let lines = ["", "unseal", "init", "seal --policy loud", "init --sealer --address a@b", "open --batch one", "key"];
    for line in lines {
        let outcome = stage.run(line, b"");
        assert_eq!((outcome.code, outcome.out.len()), (64, 0), "{line}: {outcome}");
    }
    for line in ["--help", "--version", "seal --help"] {
        let outcome = stage.run(line, b"");
        assert!(outcome.code == 0 && !outcome.out.is_empty() && outcome.err.is_empty(), "{line}: {outcome}");
    }
}

#[test]
fn keys_under_a_passphrase_open_with_it_alone() {
    let stage = Stage::new();
    stage.write("right", "correct horse\n");
    stage.write("wrong", "battery staple\n");
    let init = "init --address alice@example.org --passphrase-file right --recovery recovery.asc --recovery-passphrase-file wrong";
    stage.good(init, b"");
    let mail = sample("plain.eml");
    let sealed = stage.good("seal", &mail);
    assert_eq!(stage.good("open --passphrase-file right", &sealed), mail);
    stage.bad("open --passphrase-file wrong", &sealed, 77, "the passphrase does not unlock the key");
    stage.bad("open", &sealed, 78, "no terminal to ask on");
    // `check` tries a passphrase where it is given one.
    assert!(stage.text("check", b"").contains("not tried"));
    assert!(stage.text("check --passphrase-file right", b"").contains("the passphrase unlocks it"));
    let outcome = stage.run("check --passphrase-file wrong", b"");
    assert!(outcome.code == 78 && holds(&outcome.out, b"does not unlock"), "{outcome}");
    // The recovery key has another one, and its file is all that it needs.
    assert_eq!(stage.good("--home nowhere open --key recovery.asc --passphrase-file wrong", &sealed), mail);
    stage.bad("--home nowhere open --key recovery.asc --passphrase-file right", &sealed, 77, "does not unlock");
}

#[test]
fn every_sample_comes_back_octet_for_octet() {
    let stage = Stage::with_owner();
    for (name, mail) in samples() {
        let file = stage.write("mail", &mail);
        for sealed in [stage.good("seal", &mail), stage.run_file("seal", &file).out] {
            assert!(!holds(&sealed, CANARY), "{name}");
            assert_eq!(stage.good("open", &sealed), mail, "{name}, from a pipe");
            let file = stage.write("sealed", &sealed);
            assert_eq!(stage.run_file("open", &file).out, mail, "{name}, from a file");
        }
    }
}

#[test]
fn newer_keys_do_the_same() {
    let stage = Stage::new();
    stage.good("init --address alice@example.org --no-passphrase --v6 --recovery recovery.asc", b"");
    let mail = sample("signed.eml");
    let sealed = stage.good("seal", &mail);
    assert_eq!(stage.good("open", &sealed), mail);
    assert_eq!(stage.good("--home nowhere open --key recovery.asc", &sealed), mail);
    let fingerprint = stage.json("key list --json", b"")["secret_keys"][0]["fingerprint"].as_str().unwrap().len();
    assert_eq!(fingerprint, 64, "32 octets: RFC 9580 §5.5.4.3");
}

#[test]
fn a_file_is_read_from_where_it_stands() {
    let stage = Stage::with_owner();
    let mail = sample("plain.eml");
    let file = stage.write("spool", [b"From somebody Mon Nov 23\n".as_slice(), &mail].concat());
    let mut standing = fs::File::open(&file).unwrap();
    standing.read_exact(&mut [0; 25]).unwrap();
    let mut command = stage.command("seal");
    command.stdin(standing);
    let sealed = Outcome::of(command.spawn().unwrap());
    assert_eq!(sealed.code, 0, "{sealed}");
    assert_eq!(stage.good("open", &sealed.out), mail);
}

#[test]
fn odd_input_is_sealed_and_comes_back() {
    let stage = Stage::with_owner();
    let odd: [&[u8]; 7] =
        [b"", b"x", b"\0", b"\r", b"\n", b"no header at all\nnor an end", b"Subject: only\r\nno body: yet"];
    for mail in odd {
        let sealed = stage.good("seal", mail);
        assert_eq!(stage.good("open", &sealed), mail, "{mail:?}");
    }
}

#[test]
fn a_large_mail_from_a_pipe_leaves_nothing_readable_under_tmpdir() {
    let stage = Stage::with_owner();
    let mail = large(5 << 20);
    let (first, rest) = mail.split_at(3 << 20);
    let mut child = stage.command("seal").spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(first).unwrap();
    // It waits for the rest now; what it has spooled until here is looked at through its open files.
    let deadline = Instant::now() + Duration::from_secs(30);
    let spooled = loop {
        let open = spooled(child.id(), &stage.path("tmp"));
        if open.iter().map(Vec::len).sum::<usize>() > 1 << 20 {
            break open;
        }
        assert!(Instant::now() < deadline, "nothing was spooled");
        thread::sleep(Duration::from_millis(5));
    };
    assert!(spooled.iter().all(|octets| !holds(octets, &CANARY[..12])), "the spool can be read");
    assert_eq!(fs::read_dir(stage.path("tmp")).unwrap().count(), 0, "the spool has a name");
    thread::scope(|scope| {
        scope.spawn(move || pipe.write_all(rest).unwrap());
        let sealed = Outcome::of(child);
        assert_eq!(sealed.code, 0, "{sealed}");
        assert_eq!(stage.good("open", &sealed.out), mail);
    });
    assert_eq!(fs::read_dir(stage.path("tmp")).unwrap().count(), 0, "a file remains");
}

/// What a process has in files that are or were below a folder.
fn spooled(process: u32, folder: &Path) -> Vec<Vec<u8>> {
    let folder = folder.canonicalize().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let below = descriptors.filter(|file| fs::read_link(file).is_ok_and(|target| target.starts_with(&folder)));
    below.map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn the_header_section_alone_shows_the_true_fields() {
    let stage = Stage::with_owner();
    for (name, mail) in samples() {
        let sealed = stage.good("seal --policy hidden", &mail);
        let end = sealed.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let header = &sealed[..end + 4];
        let text = stage.text("headers", header);
        let json = stage.json("headers --json", header);
        let subject = json["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Subject");
        let has = String::from_utf8_lossy(&mail)
            .lines()
            .take_while(|line| !line.is_empty())
            .any(|line| line.starts_with("Subject:"));
        assert_eq!(subject.is_some(), has, "{name}");
        assert_eq!(text.contains("Subject:"), has, "{name}");
        assert_eq!(json["length"], mail.len(), "{name}");
    }
    let plain = stage.json("headers --json", &stage.good("seal", &sample("plain.eml")));
    let subject = plain["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Subject").unwrap();
    assert_eq!(subject["value"], "The boathouse key is under the blue flower pot");
    stage.bad("headers", &sample("plain.eml"), 65, "not a sealed message");
    stage.bad("headers", b"", 65, "not a sealed message");
}

#[test]
fn inspect_tells_each_kind_apart_without_any_secret() {
    let stage = Stage::with_owner();
    let sealed = stage.good("seal", &sample("plain.eml"));
    let sealed_text = String::from_utf8(sealed.clone()).unwrap();
    let (header, body) = sealed_text.split_once("\r\n\r\n").unwrap();
    let fields = &header[header.find("Sealed-Mail").unwrap()..header.find("Content-Type").unwrap()];
    let forged_fields = format!("Subject: x\r\n{fields}\r\nin clear\r\n");
    let multipart = "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n\
        --b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\nin clear\r\n--b--\r\n";
    let smime = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nin clear\r\n";
    let cases: [(&str, Vec<u8>); 8] = [
        ("plain", sample("plain.eml")),
        ("plain", Vec::new()),
        ("plain", sample("signed.eml")),
        ("sealed", sealed.clone()),
        ("end-to-end-openpgp", format!("{}\r\n\r\n{body}", header.replace(fields, "")).into_bytes()),
        ("forged-sealed-fields", forged_fields.into_bytes()),
        ("forged-multipart-encrypted", multipart.into()),
        ("forged-smime", smime.into()),
    ];
    for (what, mail) in cases {
        let json = stage.json("inspect --json", &mail);
        assert_eq!(json["what"], what, "{}", String::from_utf8_lossy(&mail));
        assert!(stage.text("inspect", &mail).starts_with(&format!("{what}: ")));
    }
    let json = stage.json("inspect --json", &sealed);
    assert_eq!((&json["sealed"]["profile"], &json["sealed"]["recipients"]), (&"pgp1".into(), &2.into()));
    // Whoever has no home trusts nobody.
    assert_eq!(stage.json("--home nowhere inspect --json", &sealed)["what"], "sealed-by-unknown");
}

#[test]
fn mail_that_is_encrypted_already_passes_through_unchanged() {
    let stage = Stage::with_owner();
    let mut mails = vec![stage.good("seal", &sample("plain.eml")), stage.good("seal", &large(3 << 20))];
    if let Some(gpg) = Gpg::new() {
        gpg.run(&["--quick-gen-key", "bob@example.org", "default", "default", "never"], b"");
        let armored =
            gpg.run(&["--armor", "--encrypt", "-r", "bob@example.org"], b"Content-Type: text/plain\r\n\r\nx\r\n");
        let armored = String::from_utf8(armored).unwrap();
        mails.push(
            format!(
                "Subject: visible\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\n\n\
                 --b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--b\nContent-Type: application/octet-stream\n\n{armored}\n--b--\n"
            )
            .into_bytes(),
        );
    }
    if is_there("openssl", "version") {
        mails.push(smime(&stage));
    }
    for mail in mails {
        let file = stage.write("mail", &mail);
        for outcome in [stage.run("seal", &mail), stage.run_file("seal", &file)] {
            assert_eq!(outcome.code, 0, "{outcome}");
            assert!(outcome.out == mail && outcome.err.contains("passed through unchanged"), "{outcome}");
        }
    }
}

/// A mail that OpenSSL has encrypted.
fn smime(stage: &Stage) -> Vec<u8> {
    let openssl = |line: &str, stdin: &[u8]| {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(stage.path(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = feed(command, stdin);
        assert_eq!(outcome.code, 0, "openssl {line}: {outcome}");
        outcome.out
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=bob", b"");
    openssl("cms -encrypt -aes256 -subject visible cert.pem", b"Content-Type: text/plain\r\n\r\nx\r\n")
}

#[test]
fn policies_say_what_stays_outside() {
    let stage = Stage::with_owner();
    let mail = sample("plain.eml");
    // Policy; are Subject, sender's address, sender's name visible?
    let cases = [
        ("open", true, true, true),
        ("baseline", false, true, true),
        ("shy", false, true, false),
        ("hidden", false, false, false),
    ];
    for (policy, subject, address, name) in cases {
        let sealed = stage.good(&format!("seal --policy {policy}"), &mail);
        let shown = [b"blue flower pot".as_slice(), b"tomas@harbourchoir.test", b"Tomas Brandt"]
            .map(|text| holds(&sealed, text));
        assert_eq!(shown, [subject, address, name], "{policy}");
        assert_eq!(stage.good("open", &sealed), mail, "{policy}");
    }
}

#[test]
fn large_mail_is_compressed_unless_told_not_to() {
    let stage = Stage::with_owner();
    let lines: String =
        (0..40_000_u32).map(|line| format!("{} and more of the same\r\n", line.wrapping_mul(2_654_435_761))).collect();
    let mail = format!("Subject: x\r\n\r\n{lines}").into_bytes();
    let auto = stage.good("seal", &mail);
    let never = stage.good("seal --compress never", &mail);
    assert!(auto.len() * 2 < mail.len() && never.len() > mail.len(), "{} {}", auto.len(), never.len());
    for sealed in [auto, never] {
        assert_eq!(stage.good("open", &sealed), mail);
    }
}

#[test]
fn a_reader_that_is_gone_is_an_error_where_mail_would_be_lost_and_never_a_panic() {
    let stage = Stage::with_owner();
    let mail = sample("plain.eml");
    let (mail_large, sealed) = (large(2 << 20), stage.good("seal", &mail));
    let sealed_large = stage.good("seal", &mail_large);
    let inputs: [(&str, &[u8]); 5] =
        [("seal", &mail), ("seal", &mail_large), ("seal", &sealed_large), ("open", &sealed), ("open", &sealed_large)];
    for (line, stdin) in inputs {
        let mut command = stage.command(line);
        command.stdout(gone());
        let outcome = feed(command, stdin);
        assert_eq!(outcome.code, 75, "{line}: {outcome}");
        assert!(
            outcome.err.contains("sealpost: error: ") && outcome.err.contains("sealpost: hint: "),
            "{line}: {outcome}"
        );
    }
    // Of text the first lines may be all that is wanted.
    let inputs: [(&str, &[u8]); 4] =
        [("headers", &sealed), ("inspect", &sealed), ("key list", b""), ("completions bash", b"")];
    for (line, stdin) in inputs {
        let mut command = stage.command(line);
        command.stdout(gone());
        let outcome = feed(command, stdin);
        assert!(outcome.code == 0 && !outcome.err.contains("error"), "{line}: {outcome}");
    }
    // Where nobody reads what went wrong, the code still tells.
    for (line, stdin, code) in
        [("seal", &mail, 0), ("open", &mail, 65), ("key list", &mail, 0), ("--home b init --sealer", &mail, 0)]
    {
        let mut command = stage.command(line);
        command.stderr(gone());
        assert_eq!(feed(command, stdin).code, code, "{line}");
    }
}

/// A pipe whose reading end is closed.
fn gone() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}
