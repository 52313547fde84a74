//! Our mail in other programs and their keys in ours: GnuPG and Sequoia. What they decrypt is cut by its boundaries alone, as
//! a person without this program would do it (format §4.9), and must hold the original octet by octet.

use std::{
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use open::{Algorithm, KeyError, Keyring, Lock, SecretKey};
use seal::{Certificate, CertificateError};
use sealed::signature::Trust;

use crate::{
    corpus::{files, for_each_message, shared},
    household::{Household, now},
    programs::{GnuPg, armor, cut, installed, output, run},
};

const ADDRESS: &str = "carl@example.net";
const MAIL: &[u8] =
    b"From: Eve <eve@example.com>\nTo: carl@example.net\nSubject: numbers\n\nLF, \0, \xff and CR:\r\rend";

/// Keys that GnuPG makes: a name, and the lines of its unattended generation.
const GNUPG_KEYS: [(&str, &str); 7] = [
    ("RSA-2048", "Key-Type: rsa\nKey-Length: 2048\nSubkey-Type: rsa\nSubkey-Length: 2048"),
    ("RSA-3072", "Key-Type: rsa\nKey-Length: 3072\nSubkey-Type: rsa\nSubkey-Length: 3072"),
    ("RSA-4096", "Key-Type: rsa\nKey-Length: 4096\nSubkey-Type: rsa\nSubkey-Length: 4096"),
    ("Curve25519", "Key-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519"),
    ("P-256", "Key-Type: ecdsa\nKey-Curve: nistp256\nSubkey-Type: ecdh\nSubkey-Curve: nistp256"),
    ("P-384", "Key-Type: ecdsa\nKey-Curve: nistp384\nSubkey-Type: ecdh\nSubkey-Curve: nistp384"),
    ("P-521", "Key-Type: ecdsa\nKey-Curve: nistp521\nSubkey-Type: ecdh\nSubkey-Curve: nistp521"),
];

fn one_certificate(octets: &[u8]) -> Result<Certificate, CertificateError> {
    let mut certificates = Certificate::parse_all(octets, now())?;
    assert_eq!(certificates.len(), 1);
    Ok(certificates.remove(0))
}

/// An owner with somebody else's certificate beside the keys of the household.
fn sealing_to(certificate: &[u8]) -> Household {
    let certificate = one_certificate(certificate).unwrap();
    let mut household = Household::new();
    household.account = certificate.account();
    household.recipients.insert(0, certificate.recipient);
    household.trust = Trust { accounts: vec![household.account], ..household.trust };
    household
}

/// Originals of several kinds: small, odd, compressed, more than a few buffers.
fn originals() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let text: String = (0..20_000_u32).map(|number| format!("{:x}\r\n", number.wrapping_mul(2_654_435_761))).collect();
    vec![MAIL.to_vec(), Vec::new(), b"\r\n--=_sealed_\r\n".to_vec(), noise, [MAIL, text.repeat(2).as_bytes()].concat()]
}

fn sq_decrypt(key: &[u8], armored: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), key).unwrap();
    let mut sq = Command::new("sq");
    output(sq.args(["decrypt", "--recipient-key", "key"]).current_dir(folder.path()), armored)
}

#[test]
fn keys_made_by_gnupg() {
    if !installed(&["gpg", "sq"]) {
        return;
    }
    for (name, parameters) in GNUPG_KEYS {
        let gpg = GnuPg::new();
        gpg.make(ADDRESS, parameters);
        let mut household = sealing_to(&gpg.certificate(ADDRESS));
        let secret = gpg.run(&["--armor", "--export-secret-keys"], b"");
        // Its owner reads with us, too, and with nothing but this key.
        let key = SecretKey::parse(&secret).unwrap();
        assert!(!key.is_locked());
        household.keys = Keyring::default();
        household.keys.add(key.unlock(None).unwrap());
        for original in originals() {
            let sealed = household.seal(&original);
            let by_gpg = gpg.run(&["--decrypt"], armor(&sealed));
            assert!(cut(&by_gpg) == original, "{name}, gpg, {} octets", original.len());
            assert!(cut(&sq_decrypt(&secret, armor(&sealed))) == original, "{name}, sq, {} octets", original.len());
            assert!(household.open(&sealed).unwrap() == original, "{name}, ours, {} octets", original.len());
        }
    }
}

#[test]
fn keys_made_by_gnupg_under_a_passphrase() {
    if !installed(&["gpg"]) {
        return;
    }
    let secret = "correct horse ä";
    for (name, parameters) in GNUPG_KEYS.iter().filter(|(name, _)| ["RSA-2048", "Curve25519", "P-256"].contains(name)) {
        let gpg = GnuPg::new();
        let script = format!("{parameters}\nName-Email: {ADDRESS}\nPassphrase: {secret}\n%commit\n");
        gpg.run(&["--full-generate-key"], script.as_bytes());
        let mut household = sealing_to(&gpg.certificate(ADDRESS));
        let exported = gpg.run(&["--passphrase", secret, "--armor", "--export-secret-keys"], b"");
        let key = SecretKey::parse(&exported).unwrap();
        assert!(key.is_locked(), "{name}");
        assert_eq!(key.unlock(None).err(), Some(KeyError::Locked), "{name}");
        assert_eq!(key.unlock(Some("wrong")).err(), Some(KeyError::Passphrase), "{name}");
        household.keys = Keyring::default();
        household.keys.add(key.unlock(Some(secret)).unwrap());
        let sealed = household.seal(MAIL);
        assert_eq!(household.open(&sealed).unwrap(), MAIL, "{name}");
        if *name != "Curve25519" {
            continue;
        }
        // Under another passphrase it is still the same key.
        let relocked = key.relock(Some(secret), Some(("other", Lock::Argon2))).unwrap();
        let relocked = SecretKey::parse(relocked.armored().unwrap().as_bytes()).unwrap();
        assert_eq!(relocked.unlock(Some(secret)).err(), Some(KeyError::Passphrase), "{name}");
        household.keys = Keyring::default();
        household.keys.add(relocked.unlock(Some("other")).unwrap());
        assert_eq!(household.open(&sealed).unwrap(), MAIL, "{name}");
    }
}

#[test]
fn keys_made_by_sequoia() {
    if !installed(&["sq"]) {
        return;
    }
    for suite in ["cv25519", "rsa3k"] {
        let folder = tempfile::tempdir().unwrap();
        let sq = |arguments: &[&str]| output(Command::new("sq").args(arguments).current_dir(folder.path()), b"");
        sq(&["key", "generate", "--userid", ADDRESS, "--cipher-suite", suite, "--export", "key"]);
        let secret = std::fs::read(folder.path().join("key")).unwrap();
        let certificate = sq(&["key", "extract-cert", "key"]);
        let mut household = sealing_to(&certificate);
        household.keys = Keyring::default();
        household.keys.add(SecretKey::parse(&secret).unwrap().unlock(None).unwrap());
        for original in originals() {
            let sealed = household.seal(&original);
            assert!(cut(&sq_decrypt(&secret, armor(&sealed))) == original, "{suite}, {} octets", original.len());
            assert!(household.open(&sealed).unwrap() == original, "{suite}, ours, {} octets", original.len());
        }
        assert_eq!(one_certificate(&secret).err(), Some(CertificateError::Secret), "{suite}");
    }
}

#[test]
fn our_keys_in_other_programs() {
    if !installed(&["gpg", "sq"]) {
        return;
    }
    let household = Household::new();
    let passphrase = "for export";
    for (key, passphrase) in [
        (household.mailbox.relock(None, Some((passphrase, Lock::Iterated))).unwrap(), passphrase),
        (household.mailbox.relock(None, None).unwrap(), ""),
    ] {
        let gpg = GnuPg::new();
        gpg.run(&["--passphrase", passphrase, "--import"], key.armored().unwrap().as_bytes());
        let listed = gpg.run(&["--with-colons", "--list-secret-keys"], b"");
        let fingerprint: String = key.fingerprint().iter().map(|octet| format!("{octet:02X}")).collect();
        assert!(String::from_utf8(listed).unwrap().contains(&fingerprint), "gpg lists the key");
        for original in originals() {
            let sealed = household.seal(&original);
            let decrypted = gpg.run(&["--passphrase", passphrase, "--decrypt"], armor(&sealed));
            assert!(cut(&decrypted) == original, "{} octets", original.len());
        }
        // Exported by gpg again it is still a key of ours.
        let exported = gpg.run(&["--passphrase", passphrase, "--armor", "--export-secret-keys"], b"");
        let back = SecretKey::parse(&exported).unwrap();
        assert_eq!(back.fingerprint(), key.fingerprint());
        let mut keys = Keyring::default();
        keys.add(back.unlock((!passphrase.is_empty()).then_some(passphrase)).unwrap());
        let sealed = household.seal(MAIL);
        assert_eq!(crate::household::open_with(&sealed, &keys, &household.trust).unwrap(), MAIL);
    }
    let secret = household.mailbox.armored().unwrap();
    for original in originals() {
        let sealed = household.seal(&original);
        assert!(cut(&sq_decrypt(secret.as_bytes(), armor(&sealed))) == original, "{} octets", original.len());
    }
    // The certificate that is handed to sealers is one for both.
    let certificate = household.mailbox.certificate_armored().unwrap();
    let gpg = GnuPg::new();
    gpg.run(&["--import"], certificate.as_bytes());
    let encrypted = gpg.run(&["--armor", "--encrypt", "-r", "alice@example.org"], MAIL);
    assert_eq!(sq_decrypt(secret.as_bytes(), &encrypted), MAIL);
}

#[test]
fn the_recovery_script_brings_the_original_back() {
    if !installed(&["gpg", "python3"]) {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recover.py");
    let household = Household::new();
    let gpg = GnuPg::new();
    gpg.run(&["--import"], household.recovery.armored().unwrap().as_bytes());
    let recover = |message: &[u8]| {
        let mut python = Command::new("python3");
        run(python.arg(&script).env("GNUPGHOME", gpg.home()), message)
    };
    for original in originals() {
        let done = recover(&household.seal(&original));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(done.stdout == original, "{} octets", original.len());
    }
    // Damaged: nothing comes out.
    let mut damaged = household.seal(MAIL);
    let middle = damaged.len() * 3 / 4;
    damaged[middle] = if damaged[middle] == b'A' { b'B' } else { b'A' };
    let done = recover(&damaged);
    assert!(!done.status.success() && done.stdout.is_empty());
}

/// Certificates that nothing may be sealed to, each with its reason.
#[test]
fn unusable_certificates_are_named() {
    if !installed(&["gpg"]) {
        return;
    }
    let curve = GNUPG_KEYS[3].1;
    let made = |parameters: &str| {
        let gpg = GnuPg::new();
        gpg.make(ADDRESS, parameters);
        gpg
    };
    let certificate = |parameters: &str| made(parameters).certificate(ADDRESS);

    let expired = {
        let gpg = GnuPg::new();
        let script = format!("%no-protection\n{curve}\nName-Email: {ADDRESS}\nExpire-Date: 1y\n%commit\n");
        gpg.run(&["--faked-system-time", "20200101T000000", "--full-generate-key"], script.as_bytes());
        gpg.certificate(ADDRESS)
    };
    let (good, revoked, secret) = {
        let gpg = made(curve);
        let good = gpg.certificate(ADDRESS);
        let secret = gpg.run(&["--armor", "--export-secret-keys"], b"");
        let folder = std::fs::read_dir(gpg.home().join("openpgp-revocs.d")).unwrap();
        let path = folder.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some()).unwrap();
        // gpg puts a colon before the armor, so that nobody revokes a key by accident.
        let revocation = std::fs::read_to_string(path).unwrap().replace(":-----BEGIN", "-----BEGIN");
        gpg.run(&["--import"], revocation.as_bytes());
        (good, gpg.certificate(ADDRESS), secret)
    };
    let revoked_subkey = {
        let gpg = made(curve);
        let commands = b"key 1\nrevkey\ny\n0\n\ny\nsave\n";
        // In batch mode gpg revokes nothing.
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", gpg.home()).args(["--no-tty", "--quiet", "--pinentry-mode", "loopback"]);
        output(command.args(["--passphrase", "", "--command-fd", "0", "--edit-key", ADDRESS]), commands);
        gpg.certificate(ADDRESS)
    };
    let binary_secret = {
        let gpg = made(curve);
        gpg.run(&["--export-secret-keys"], b"")
    };
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] = if damaged[middle] == b'A' { b'B' } else { b'A' };
    let kind = |error: CertificateError| match error {
        CertificateError::Unparsable => "unparsable".to_owned(),
        CertificateError::Secret => "secret".to_owned(),
        CertificateError::Unsigned(_) => "unsigned".to_owned(),
        CertificateError::Expired(_, day) => format!("expired {day}"),
        CertificateError::Revoked(_) => "revoked".to_owned(),
        CertificateError::SignOnly(_) => "sign-only".to_owned(),
        CertificateError::TooWeak(_, what) => format!("weak {what}"),
        CertificateError::Unsupported(_, what) => format!("unsupported {what}"),
        CertificateError::NotYet(..) => "not yet".to_owned(),
    };
    let table: [(&str, Vec<u8>, &str); 14] = [
        ("expired", expired, "expired 2020-12-31"),
        ("revoked", revoked, "revoked"),
        ("encryption key revoked", revoked_subkey, "revoked"),
        ("sign-only", certificate("Key-Type: eddsa\nKey-Curve: ed25519\nKey-Usage: sign"), "sign-only"),
        ("sign-only RSA", certificate("Key-Type: rsa\nKey-Length: 2048\nKey-Usage: sign"), "sign-only"),
        (
            "RSA-1024",
            certificate("Key-Type: rsa\nKey-Length: 1024\nSubkey-Type: rsa\nSubkey-Length: 1024"),
            "weak RSA, 1024 bits",
        ),
        (
            "Elgamal",
            certificate("Key-Type: rsa\nKey-Length: 2048\nKey-Usage: sign\nSubkey-Type: ELG-E\nSubkey-Length: 1024"),
            "unsupported Elgamal",
        ),
        ("a secret key", secret, "secret"),
        ("a secret key, binary", binary_secret, "secret"),
        ("text", b"this is no certificate\n".to_vec(), "unparsable"),
        ("nothing", Vec::new(), "unparsable"),
        ("cut off", good[..good.len() / 2].to_vec(), "unparsable"),
        (
            "an empty block",
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n".to_vec(),
            "unparsable",
        ),
        (
            "random octets",
            (0..500_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 9) as u8).collect(),
            "unparsable",
        ),
    ];
    assert!(one_certificate(&good).is_ok());
    for (name, octets, expected) in table {
        let error = Certificate::parse_all(&octets, now()).expect_err(name);
        assert_eq!(kind(error), expected, "{name}");
        // One bad certificate spoils the file: nothing is skipped silently.
        if !octets.is_empty() && octets.is_ascii() && expected != "unparsable" {
            assert!(
                Certificate::parse_all(&[good.as_slice(), &octets].concat(), now()).is_err(),
                "{name}, with a good one"
            );
        }
    }
    assert!(Certificate::parse_all(&damaged, now()).is_err(), "damaged");
    let both = [good.as_slice(), &Household::new().mailbox.certificate_armored().unwrap().into_bytes()].concat();
    assert_eq!(Certificate::parse_all(&both, now()).unwrap().len(), 2);
}

/// Every message of the corpus, sealed by us and decrypted by gpg; every 20th by sq as well.
#[test]
fn the_whole_corpus_in_other_programs() {
    let Some(shared) = shared() else { return };
    if !installed(&["gpg", "sq"]) {
        return;
    }
    let household = Household::new();
    let gpg = GnuPg::new();
    let secret = household.mailbox.armored().unwrap();
    gpg.run(&["--import"], secret.as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let originals: Mutex<Vec<(String, Vec<u8>)>> = Mutex::default();
    let next = AtomicUsize::new(0);
    for_each_message(&files(&shared.join("corpus")), |_, _, original| {
        let name = next.fetch_add(1, Ordering::Relaxed).to_string();
        let sealed = household.seal(&original);
        std::fs::write(folder.path().join(format!("{name}.asc")), armor(&sealed)).unwrap();
        originals.lock().unwrap().push((name, original));
    });
    let originals = originals.into_inner().unwrap();
    let names: Vec<String> = originals.iter().map(|(name, _)| format!("{name}.asc")).collect();
    std::thread::scope(|scope| {
        for half in names.chunks(names.len().div_ceil(2)) {
            let mut command = gpg.command(&["--multifile", "--decrypt"]);
            command.args(half).current_dir(folder.path());
            scope.spawn(move || output(&mut command, b""));
        }
    });
    for (name, original) in &originals {
        let decrypted = std::fs::read(folder.path().join(name)).unwrap();
        assert!(cut(&decrypted) == original, "gpg, message {name}");
    }
    let sample: Vec<_> = originals.iter().step_by(20).collect();
    for (name, original) in &sample {
        let armored = std::fs::read(folder.path().join(format!("{name}.asc"))).unwrap();
        assert!(cut(&sq_decrypt(secret.as_bytes(), &armored)) == *original, "sq, message {name}");
    }
    println!("{} messages in gpg, {} in sq: all came back", originals.len(), sample.len());
    assert!(originals.len() > 4000 && sample.len() > 200);
}

/// GnuPG 2.2 knows no version 6 and must not be led to think that it does.
#[test]
fn version_six_stays_closed_to_old_programs() {
    if !installed(&["gpg"]) {
        return;
    }
    let household = Household::of(Algorithm::V6X25519);
    let gpg = GnuPg::new();
    let done = run(&mut gpg.command(&["--decrypt"]), armor(&household.seal(MAIL)));
    assert!(!done.status.success() && done.stdout.is_empty());
}
