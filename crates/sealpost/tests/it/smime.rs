//! S/MIME as it is typed: keys made, certificates and .p12 files imported, mail that OpenSSL opens.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::program::{Stage, feed, holds, is_there, sample, samples};

/// OpenSSL in the directory of the stage; what it printed.
fn openssl(stage: &Stage, line: &str, stdin: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(line.split_whitespace()).current_dir(stage.path("")).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let outcome = feed(command, stdin);
    assert_eq!(outcome.code, 0, "openssl {line}: {outcome}");
    outcome.out
}

fn installed() -> bool {
    is_there("openssl", "version")
}

#[test]
fn init_makes_keys_and_a_file_for_phones() {
    if !installed() {
        return;
    }
    let stage = Stage::new();
    stage.write("passphrase", "open sesame\n");
    let line = "init --smime --address alice@example.org --passphrase-file passphrase --recovery recovery.pem --reader ios-mail";
    let made = stage.run(line, b"");
    assert_eq!(made.code, 0, "{made}");
    let password = made.err.split("shown once: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(password.len() == 23 && made.out.is_empty(), "{password}");
    assert!(!made.err.contains("Say what you read with"), "{made}");
    for (file, begins) in
        [("home/keys/mailbox.secret.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----"), ("recovery.pem", "Sealed-")]
    {
        assert_eq!(fs::metadata(stage.path(file)).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(stage.path(file)).unwrap();
        assert!(text.starts_with(begins) && !text.contains("BEGIN PRIVATE KEY"), "{file}");
    }
    assert!(stage.text("check --passphrase-file passphrase", b"").contains("the passphrase unlocks it"));
    assert!(stage.text("key list", b"").contains("profile cms1"));
    // What the phone gets opens what is sealed.
    fs::copy(stage.path("home/mailbox.p12"), stage.path("phone.p12")).unwrap();
    let phone = openssl(&stage, &format!("pkcs12 -legacy -nodes -in phone.p12 -passin pass:{password}"), b"");
    stage.write("phone.pem", phone);
    for (name, mail) in samples() {
        let sealed = stage.good("seal", &mail);
        assert!(holds(&sealed, b"p=cms1;") && holds(&sealed, b"Content-Type: application/pkcs7-mime"), "{name}");
        assert_eq!(stage.json("inspect --json", &sealed)["what"], "sealed");
        assert_eq!(stage.good("open --passphrase-file passphrase", &sealed), mail, "{name}");
        assert_eq!(stage.good("open --key recovery.pem --passphrase-file passphrase", &sealed), mail, "{name}");
        assert!(holds(&openssl(&stage, "cms -decrypt -inkey phone.pem -recip phone.pem", &sealed), &mail), "{name}");
    }
    let sealed = stage.good("seal", &sample("plain.eml"));
    let listed = stage.text("headers --passphrase-file passphrase", &sealed);
    assert!(listed.contains("Subject: The boathouse key"), "{listed}");
    assert_eq!(stage.good("seal", &sealed), sealed, "what is sealed passes");
    stage.write("wrong", "another\n");
    stage.bad("open --passphrase-file wrong", &sealed, 77, "the passphrase does not unlock the key");
    // Without the home the recovery key says whose mail it opens.
    fs::rename(stage.path("home"), stage.path("burnt")).unwrap();
    assert_eq!(stage.good("open --key recovery.pem --passphrase-file passphrase", &sealed), sample("plain.eml"));
}

#[test]
fn init_refuses_what_it_cannot_do() {
    let stage = Stage::with_smime_owner();
    stage.bad("init --smime --address a@b.c --no-passphrase", b"", 78, "there are keys in");
    stage.write("taken.p12", "mine");
    stage.bad("--home new init --smime --address a@b.c --no-passphrase --p12 taken.p12", b"", 64, "exists already");
    assert!(fs::read(stage.path("taken.p12")).unwrap() == b"mine" && !stage.path("new").exists());
    for line in ["--smime --v6 --address a@b.c", "--smime --sealer", "--p12 x --address a@b.c"] {
        assert_eq!(stage.run(&format!("--home new init {line}"), b"").code, 64, "{line}");
    }
    assert!(!stage.path("new").exists());
    // A password of the owner's own choice, a place of his own choice.
    stage.write("password", "mine alone\n");
    let line = "--home new init --smime --address a@b.c --no-passphrase --recovery r.pem --p12 phone.p12 --p12-passphrase-file password";
    let made = stage.run(line, b"");
    assert!(made.err.contains("Say what you read with"), "{made}");
    assert!(made.code == 0 && !made.err.contains("shown once") && stage.path("phone.p12").exists(), "{made}");
    assert!(!stage.path("new/mailbox.p12").exists());
}

/// Makes `NAME.key`, `NAME.pem`, `NAME.der` and `NAME.p12` (password `sesame`).
fn make(stage: &Stage, name: &str, key: &str, usage: &str) {
    openssl(
        stage,
        &format!(
            "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 99 \
             -addext subjectAltName=email:{name}@example.net -addext keyUsage={usage}"
        ),
        b"",
    );
    openssl(stage, &format!("x509 -in {name}.pem -outform DER -out {name}.der"), b"");
    openssl(
        stage,
        &format!("pkcs12 -export -inkey {name}.key -in {name}.pem -out {name}.p12 -passout pass:sesame"),
        b"",
    );
    let both =
        [fs::read(stage.path(&format!("{name}.key"))).unwrap(), fs::read(stage.path(&format!("{name}.pem"))).unwrap()];
    stage.write(&format!("{name}.both"), both.concat());
}

#[test]
fn existing_certificates_and_keys_are_imported() {
    if !installed() {
        return;
    }
    let stage = Stage::new();
    stage.write("password", "sesame\n");
    stage.good("init --sealer", b"");
    make(&stage, "rsa", "rsa:2048", "keyEncipherment");
    make(&stage, "ec", "ec -pkeyopt ec_paramgen_curve:P-384", "keyAgreement");
    make(&stage, "sign", "rsa:2048", "digitalSignature");
    make(&stage, "weak", "rsa:1024", "keyEncipherment");
    let mail = sample("signed.eml");

    // A certificate, PEM or DER: mail can be sealed to it.
    let told = stage.run("key import rsa.pem", b"");
    assert!(told.code == 0 && told.err.contains("Mail for rsa@example.net can be sealed now"), "{told}");
    stage.good("key import ec.der --address other@example.org", b"");
    for (to, name) in [("rsa@example.net", "rsa"), ("other@example.org", "ec")] {
        let sealed = stage.good(&format!("seal --to {to}"), &mail);
        stage.bad("open", &sealed, 78, "there is no secret key");
        assert!(holds(&openssl(&stage, &format!("cms -decrypt -inkey {name}.key -recip {name}.pem"), &sealed), &mail));
        // Key and certificate in one file open it without being imported.
        assert_eq!(stage.good(&format!("open --key {name}.both"), &sealed), mail);
    }
    stage.good("check", b"");

    // What was imported as it came goes on as an enrolment.
    let enrolment = stage.text("key enrolment --to other@example.org --reader openssl", b"");
    assert!(enrolment.contains("Scheme: smime\nReader: openssl\n\n-----BEGIN CERTIFICATE-----"), "{enrolment}");
    assert!(stage.text("key export --to other@example.org", b"").starts_with("-----BEGIN CERTIFICATE-----"));

    // A .p12 file: its key opens from now on, and an address that nobody had is sealed to it.
    stage.bad("key import rsa.p12 --no-passphrase", b"", 78, "no terminal to ask on");
    stage.write("wrong", "simsala\n");
    stage.bad(
        "key import rsa.p12 --no-passphrase --old-passphrase-file wrong",
        b"",
        77,
        "the PKCS #12 file cannot be read",
    );
    let told = stage.run("key import rsa.p12 --no-passphrase --old-passphrase-file password", b"");
    assert!(told.code == 0 && told.err.contains("stays as it is"), "{told}");
    let told = stage.run("key import ec.p12 --passphrase-file password --old-passphrase-file password", b"");
    assert!(told.code == 0 && told.err.contains("Mail for ec@example.net can be sealed now"), "{told}");
    for to in ["rsa@example.net", "ec@example.net"] {
        let sealed = stage.good(&format!("seal --to {to}"), &mail);
        assert_eq!(stage.good("open --passphrase-file password", &sealed), mail, "{to}");
    }
    let secrets = stage.json("key list --json", b"")["secret_keys"].clone();
    let locked = secrets.as_array().unwrap().iter().filter(|secret| secret["under_passphrase"] == true).count();
    assert_eq!((secrets.as_array().unwrap().len(), locked), (2, 1));

    // Two certificates of one kind, never of two kinds.
    let both = stage.good("seal --cert rsa.pem --cert ec.pem", &mail);
    assert_eq!(stage.json("inspect --json", &both)["sealed"]["recipients"], 2);
    let openpgp = Stage::with_owner();
    stage.write("openpgp.asc", openpgp.good("key export", b""));
    stage.bad("seal --cert rsa.pem --cert openpgp.asc", &mail, 64, "cannot be mixed");

    // An owner with both: the enrolment says which, the command line and a flow's config may say otherwise.
    let certificates = [openpgp.text("key export", b""), fs::read_to_string(stage.path("rsa.pem")).unwrap()].concat();
    stage.bad("key import -", b"", 78, "cannot read");
    stage.write("both.pem", &certificates);
    stage.bad("key import both.pem --address both@example.org", b"", 78, "no line says which are meant");
    stage.write(
        "both.enrolment",
        format!("Sealed-Enrolment: v=1\nAddress: both@example.org\nScheme: smime\n\n{certificates}"),
    );
    stage.good("key import both.enrolment", b"");
    let profile = |line: &str| stage.json("inspect --json", &stage.good(line, &mail))["sealed"]["profile"].clone();
    assert_eq!(profile("seal --to both@example.org"), "cms1");
    assert_eq!(profile("seal --to both@example.org --scheme pgp"), "pgp1");
    stage.bad("seal --to ec@example.net --scheme pgp", &mail, 78, "holds no certificate for it");

    // What cannot be used, and why.
    for (file, says) in [("sign.pem", "can only sign"), ("weak.der", "too weak (RSA, 1024 bits)")] {
        stage.bad(&format!("key import {file}"), b"", 78, says);
        stage.bad(&format!("seal --cert {file}"), &mail, 78, says);
    }
    stage.bad("seal --cert rsa.both", &mail, 78, "this is a secret key");
    stage.bad("seal --cert rsa.p12", &mail, 78, "this is a secret key");
    stage.bad("key import rsa.key --no-passphrase", b"", 78, "no certificate stands beside the secret key");
}

#[test]
fn a_key_goes_out_as_p12_and_comes_back() {
    if !installed() {
        return;
    }
    let stage = Stage::with_smime_owner();
    stage.write("password", "sesame\n");
    stage.write("out.p12", stage.good("key export --secret --passphrase-file password", b""));
    openssl(&stage, "pkcs12 -legacy -in out.p12 -noout -passin pass:sesame", b"");
    let open = stage.text("key export --secret --no-passphrase", b"");
    assert!(open.contains("BEGIN PRIVATE KEY") && open.contains("BEGIN CERTIFICATE"));
    let certificate = stage.text("key export", b"");
    assert_eq!(certificate.matches("BEGIN CERTIFICATE").count(), 1);
    openssl(&stage, "x509 -noout", certificate.as_bytes());

    // Another machine of the same owner, and one that only seals.
    stage.write("enrolment", stage.good("key enrolment --reader openssl --reader sealpost", b""));
    stage.good("--home sealer init --sealer", b"");
    stage.good("--home sealer key import enrolment", b"");
    let mail = sample("eight-bit.eml");
    let sealed = stage.good("--home sealer seal", &mail);
    assert!(holds(&sealed, b"p=cms2;") && holds(&sealed, b"smime-type=authEnveloped-data"));
    stage.bad("open", &sealed, 77, "a sealer that is not trusted here");
    stage.write("line", stage.good("--home sealer key export --sealer", b""));
    stage.good("key trust-sealer line", b"");
    assert_eq!(stage.good("open", &sealed), mail);
    stage.good("--home second init --sealer", b"");
    stage.good("--home second key import out.p12 --old-passphrase-file password --no-passphrase", b"");
    assert_eq!(stage.good("--home second open --trust-sealer line", &sealed), mail);
    let mut changed = sealed.clone();
    let middle = changed.len() - changed.len() / 4;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    stage.bad("open", &changed, 65, "the sealed message is damaged");
}
