//! Keys as they are handed around: between homes, to and from GnuPG; and `check`, which looks at all of them.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::program::{Gpg, Stage, holds, is_there, sample};

#[test]
fn a_sealer_and_an_owner_get_to_know_each_other() {
    let stage = Stage::with_owner();
    let sealer = |line: &str| format!("--home sealer {line}");
    let mail = sample("plain.eml");
    stage.good(&sealer("init --sealer"), b"");
    let inside = fs::read_dir(stage.path("sealer/keys")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(inside.into_iter().all(|name| !name.to_str().unwrap().contains("mailbox")));
    stage.bad(&sealer("seal"), &mail, 78, "there are no keys in");

    let enrolment = stage.good("key enrolment --policy hidden --reader thunderbird", b"");
    assert!(!holds(&enrolment, b"PRIVATE"));
    stage.write("enrolment", enrolment);
    stage.good(&sealer("key import enrolment"), b"");
    let sealed = stage.good(&sealer("seal"), &mail);
    assert!(!holds(&sealed, b"harbourchoir"), "the owner's wish counts");
    stage.bad(&sealer("open"), &sealed, 78, "there is no secret key in");

    // The owner does not believe just anybody.
    assert_eq!(stage.json("inspect --json", &sealed)["what"], "sealed-by-unknown");
    stage.bad("open", &sealed, 77, "a sealer that is not trusted here");
    stage.bad("headers", &sealed, 77, "a sealer that is not trusted here");
    let line = stage.good(&sealer("key export --sealer"), b"");
    stage.write("sealer-line", &line);
    assert_eq!(stage.good("open --trust-sealer sealer-line", &sealed), mail);
    stage.bad("open", &sealed, 77, "a sealer that is not trusted here");
    stage.good("key trust-sealer -", &line);
    stage.good("key trust-sealer sealer-line", b"");
    assert_eq!(stage.good("open", &sealed), mail);
    assert_eq!(stage.json("key list --json", b"")["trusted_sealers"].as_array().unwrap().len(), 2);
    stage.good(&sealer("check"), b"");
    stage.good("check", b"");
}

#[test]
fn a_sealer_line_that_is_none_is_refused() {
    let stage = Stage::with_owner();
    let line = stage.text("key export --sealer", b"");
    let flipped = line.replace("k=A", "k=B").replace("s=", "s=x");
    for text in ["", "nonsense\n", &line[..line.len() / 2], &flipped] {
        stage.bad("key trust-sealer -", text.as_bytes(), 65, "no sealer key in it");
    }
    stage.bad("key trust-sealer missing", b"", 78, "cannot read missing");
}

#[test]
fn the_recovery_key_alone_opens_everything() {
    let stage = Stage::with_owner();
    let mail = sample("signed.eml");
    let sealed = stage.good("seal --policy hidden", &mail);
    fs::rename(stage.path("home"), stage.path("burnt")).unwrap();
    assert_eq!(stage.good("open --key recovery.asc", &sealed), mail);
    assert!(stage.text("headers --key recovery.asc", &sealed).contains("Subject: "));
    assert!(!stage.path("home").exists(), "nothing was made by the way");
    stage.bad("open", &sealed, 78, "there is no secret key in");
    stage.bad("open --key missing", &sealed, 78, "cannot read missing");
    stage.write("noise", "noise");
    stage.bad("open --key noise", &sealed, 78, "no secret key in it");
}

#[test]
fn list_shows_what_is_there_and_no_secret() {
    let stage = Stage::with_owner();
    let text = stage.text("key list", b"");
    for expected in
        ["alice@example.org  (policy baseline", "  mailbox ", "  recovery", "NOT under a passphrase", "(this home)"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let json = stage.json("key list --json", b"");
    let owner = &json["owners"][0];
    assert_eq!(
        (&owner["address"], &owner["certificates"][1]["role"]),
        (&"alice@example.org".into(), &"recovery".into())
    );
    assert_eq!(owner["certificates"][0]["fingerprint"], json["secret_keys"][0]["fingerprint"]);
    assert_eq!(stage.text("--home nowhere key list", b""), "");
    for line in ["export", "enrolment", "export --sealer", "export --secret"] {
        stage.bad(&format!("--home nowhere key {line}"), b"", 78, "");
    }
    stage.bad("key export --to bob@example.org", b"", 78, "no enrolment of this owner");
}

#[test]
fn keys_go_to_gpg_and_come_back() {
    let Some(gpg) = Gpg::new() else { return };
    let stage = Stage::with_owner();
    let mail = sample("plain.eml");
    stage.write("passphrase", "for gpg\n");
    for line in ["key export --secret --no-passphrase", "key export --secret --no-passphrase --key recovery.asc"] {
        let exported = stage.good(line, b"");
        gpg.run(&["--import"], &exported);
    }
    gpg.run(&["--import"], &stage.good("key export", b""));
    // GnuPG opens what was sealed, with each key; the original is inside.
    let sealed = stage.good("seal", &mail);
    let opened = gpg.run(&["--decrypt"], armor(&sealed).as_bytes());
    assert!(holds(&opened, &mail), "gpg does not find the original");

    // A key that GnuPG made seals and opens.
    gpg.run(&["--quick-gen-key", "bob@example.org", "default", "default", "never"], b"");
    stage.write("bob.asc", gpg.run(&["--armor", "--export", "bob@example.org"], b""));
    stage.write("bob.secret", gpg.run(&["--armor", "--export-secret-keys", "bob@example.org"], b""));
    let sealed = stage.good("seal --cert bob.asc", &mail);
    assert_eq!(stage.good("open --key bob.secret", &sealed), mail);
    stage.bad("open", &sealed, 77, "");
    stage.good("key import bob.secret --no-passphrase", b"");
    assert_eq!(stage.good("open", &sealed), mail);
    assert_eq!(stage.json("key list --json", b"")["secret_keys"].as_array().unwrap().len(), 2);

    // Two certificates: either opens.
    stage.write("alice.asc", stage.good("key export", b""));
    let both = stage.good("seal --cert alice.asc --cert bob.asc", &mail);
    assert_eq!(stage.good("open", &both), mail);
    assert_eq!(stage.good("open --key bob.secret", &both), mail);
    assert_eq!(stage.json("inspect --json", &both)["sealed"]["recipients"], 2);

    // Under a passphrase on the way out, and the same one on the way in.
    let locked = stage.good("key export --secret --passphrase-file passphrase", b"");
    stage.write("locked.secret", &locked);
    stage.good("--home other init --sealer", b"");
    stage.bad("--home other key import locked.secret --no-passphrase", b"", 78, "no terminal to ask on");
    stage.good("--home other key import locked.secret --no-passphrase --old-passphrase-file passphrase", b"");
    let sealed = stage.good("seal", &mail);
    stage.write("sealer-line", stage.good("key export --sealer", b""));
    assert_eq!(stage.good("--home other open --trust-sealer sealer-line", &sealed), mail);
    gpg.run(&["--passphrase", "for gpg", "--import"], &locked);
}

/// The OpenPGP message in a sealed mail.
fn armor(sealed: &[u8]) -> String {
    let text = String::from_utf8(sealed.to_vec()).unwrap();
    let (start, end) = (text.find("-----BEGIN PGP MESSAGE").unwrap(), text.find("-----END PGP MESSAGE").unwrap());
    format!("{}-----END PGP MESSAGE-----\n", &text[start..end])
}

#[test]
fn import_says_what_is_missing() {
    let stage = Stage::with_owner();
    stage.write("enrolment", stage.good("key enrolment", b""));
    stage.bad("--home nowhere key import enrolment", b"", 78, "there is no home in");
    stage.bad("key import missing", b"", 78, "cannot read missing");
    stage.write("noise", "noise");
    stage.bad("key import noise", b"", 78, "");
    stage.bad("key import recovery.asc", b"", 78, "no terminal to ask on");
    let twice = stage.run("key import enrolment", b"");
    assert_eq!(twice.code, 0, "{twice}");
}

#[test]
fn check_names_every_fault_with_what_to_do() {
    let stage = Stage::with_owner();
    let wrong = |line: &str, expected: &[&str]| {
        let outcome = stage.run(line, b"");
        let text = String::from_utf8(outcome.out.clone()).unwrap();
        assert_eq!(outcome.code, 78, "{line}: {outcome}");
        for expected in expected {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    };
    let good = stage.text("check", b"");
    assert!(good.lines().all(|line| !line.starts_with("WRONG")) && good.contains("ok       home: "), "{good}");

    let secret = stage.path("home/keys/mailbox.secret.asc");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    wrong("check", &["WRONG    permissions: others can read", "-> chmod 600"]);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    stage.good("check", b"");

    stage.write("home/config.toml", "# a comment\n\n[flow.a]\nsorce = { maildir = \"/m\" }\n");
    wrong("check", &["WRONG    config.toml", "line 4", "unknown field `sorce`", "-> did you mean `source`?"]);
    stage.bad("sweep a", b"", 78, "line 4");
    stage.write("home/config.toml", "[flow.a]\nsource = { maildir = \"/m\" \n");
    wrong("check", &["WRONG    config.toml", "line 2"]);

    let flow = |maildir: &str, to: &str| {
        format!("[flow.a]\nsource = {{ maildir = \"{maildir}\" }}\nseal = {{ to = \"{to}\" }}\nsink = \"in-place\"\n")
    };
    let maildir = stage.path("Maildir").display().to_string();
    stage.write("home/config.toml", flow(&maildir, "alice@example.org"));
    wrong("check", &["WRONG    flow a", "is no Maildir: it has no cur, new, tmp", "-> "]);
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(stage.path("Maildir").join(folder)).unwrap();
    }
    stage.good("check", b"");
    stage.write("home/config.toml", flow(&maildir, "bob@example.org"));
    wrong("check", &["WRONG    flow a: no enrolment of this owner", "-> "]);

    stage.write("home/keys/sealer.secret", "noise");
    fs::write(&secret, "noise").unwrap();
    // Everything is looked at, not only up to the first fault.
    wrong("check", &["WRONG    sealer key", "WRONG    secret key", "WRONG    flow a"]);
    let outcome = stage.run("check --json", b"");
    let json: serde_json::Value = serde_json::from_slice(&outcome.out).unwrap();
    let verdicts = json.as_array().unwrap().iter().filter(|finding| finding["verdict"] == "wrong").count();
    assert!(outcome.code == 78 && verdicts >= 3, "{outcome}");
    wrong("--home nowhere check", &["WRONG    home: there is no home in", "-> make one"]);
}

#[test]
fn a_dkim_key_of_openssl_gets_its_record() {
    if !is_there("openssl", "version") {
        return;
    }
    let stage = Stage::new();
    for (kind, begins) in [
        (
            ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"].as_slice(),
            "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
        ),
        (&["-algorithm", "ED25519"], "v=DKIM1; k=ed25519; p="),
    ] {
        let mut openssl = std::process::Command::new("openssl");
        openssl.arg("genpkey").args(kind).args(["-out", "dkim.pem"]).current_dir(stage.path(""));
        assert!(openssl.output().unwrap().status.success());
        let line = stage.text("key dkim dkim.pem --domain example.net --selector sp1", b"");
        assert!(line.starts_with(&format!("sp1._domainkey.example.net. IN TXT ( \"{begins}")), "{line}");
    }
    stage.write("weak.pem", "nothing");
    stage.bad("key dkim weak.pem --domain example.net --selector sp1", b"", 78, "not a private key");
    stage.bad(
        "key dkim dkim.pem --domain example.net --selector s;p",
        b"",
        78,
        "the selector is not a name in the DNS",
    );
    stage.bad("key dkim dkim.pem --domain example..net --selector sp", b"", 78, "the domain is not a name in the DNS");
}
