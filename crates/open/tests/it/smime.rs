//! S/MIME: our mail in OpenSSL and gpgsm, their keys and certificates in ours. What they decrypt is cut by its boundaries alone,
//! as a person without this program would do it (format §4.9), and must hold the original octet by octet.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64_simd::STANDARD;
use open::{AnySecretKey, KeyError, X509SecretKey};
use seal::{Certificate, CertificateError, Enrolment, EnrolmentError, Scheme};
use sealed::{
    identity::Profile,
    recognise::{EndToEnd, ForgedLabel, What, recognise},
    signature::Trust,
};
use tempfile::TempDir;

use crate::{
    corpus::{files, for_each_message, shared},
    household::{Household, now},
    programs::{cut, find, installed, output, run},
};

const ADDRESS: &str = "carl@example.net";
const MAIL: &[u8] =
    b"From: Eve <eve@example.com>\nTo: carl@example.net\nSubject: numbers\n\nLF, \0, \xff and CR:\r\rend";
/// What the extensions of a certificate for encrypted mail say.
const GOOD: &str = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment,keyAgreement\n\
                    extendedKeyUsage=emailProtection\nsubjectAltName=email:carl@example.net\n";

/// A folder in which OpenSSL makes keys.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=Authority -days 99",
        );
        authority
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(self.path());
        command
    }

    fn openssl(&self, line: &str) -> Vec<u8> {
        output(&mut self.command(line), b"")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// A key by the words of `openssl genpkey`, and its certificate with these extensions: PEM, in one text.
    pub(crate) fn key(&self, words: &str, extensions: &str, dates: &str) -> String {
        self.openssl(&format!("genpkey {words} -out new.key"));
        self.openssl("pkey -in new.key -pubout -out new.pub");
        std::fs::write(self.path().join("new.ext"), extensions).unwrap();
        // The request is of another key: one that only agrees cannot sign it.
        self.openssl("req -new -key ca.key -out new.csr -subj /O=Test/CN=Carl");
        self.openssl(&format!(
            "x509 -req -in new.csr -force_pubkey new.pub -CA ca.pem -CAkey ca.key -set_serial {} -extfile new.ext -out new.pem {dates}",
            u64::from_le_bytes(sealed::identity::random()) | 1
        ));
        String::from_utf8([self.read("new.key"), self.read("new.pem")].concat()).unwrap()
    }

    /// `openssl cms -decrypt` of a whole message.
    fn decrypted(&self, key: &str, message: &[u8]) -> Vec<u8> {
        std::fs::write(self.path().join("reader.pem"), key).unwrap();
        output(&mut self.command("cms -decrypt -inkey reader.pem -recip reader.pem"), message)
    }
}

/// The ways in which keys are made: a name, and the words.
const KEYS: [(&str, &str); 6] = [
    ("RSA-2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ("RSA-3072", "-algorithm RSA -pkeyopt rsa_keygen_bits:3072"),
    ("RSA-4096", "-algorithm RSA -pkeyopt rsa_keygen_bits:4096"),
    ("P-256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
    ("P-384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
    ("X25519", "-algorithm X25519"),
];

fn generate() -> X509SecretKey {
    X509SecretKey::generate(ADDRESS, now()).unwrap()
}

/// Not every OpenSSL knows X25519 in CMS; one that encrypts to such a certificate also decrypts. The certificate is in `new.pem`.
fn knows_x25519(authority: &Authority) -> bool {
    let done = run(&mut authority.command("cms -encrypt -binary -aes256 new.pem"), MAIL);
    done.status.success()
}

#[test]
fn keys_made_by_openssl() {
    if !installed(&["openssl"]) {
        return;
    }
    let authority = Authority::new();
    let recovery = generate();
    for (name, words) in KEYS {
        let text = authority.key(words, GOOD, "-days 99");
        let key = X509SecretKey::parse(text.as_bytes()).unwrap();
        for (readers, profile) in
            [(&[][..], Profile::Cms1), (&["apple-mail"], Profile::Cms1), (&["openssl", "sealpost"], Profile::Cms2)]
        {
            let household = Household::with_x509(&[&key, &recovery], readers);
            assert_eq!(household.profile, profile, "{name}");
            let sealed = household.seal(MAIL);
            assert_eq!(household.open(&sealed).unwrap(), MAIL, "{name}");
            assert_eq!(household.headers(&sealed).unwrap().length, MAIL.len() as u64, "{name}");
            assert!(matches!(recognise(&mut sealed.as_slice(), &household.trust).unwrap(), What::Sealed(_)));
            // Each key by itself opens it.
            let mut alone = Household::with_x509(&[&recovery], readers);
            alone.trust = household.trust.clone();
            assert_eq!(alone.open(&sealed).unwrap(), MAIL, "{name}, recovery");
            assert_eq!(cut(&authority.decrypted(&recovery.armored().unwrap(), &sealed)), MAIL, "{name}, recovery");
            if name != "X25519" || knows_x25519(&authority) {
                assert_eq!(cut(&authority.decrypted(&text, &sealed)), MAIL, "{name} {readers:?}");
            } else {
                println!("skipped: this OpenSSL does not read X25519 in CMS");
            }
        }
    }
}

#[test]
fn a_new_key_is_locked_and_unlocked_and_goes_to_others() {
    let key = generate();
    assert!(!key.is_locked());
    let locked = key.relock(None, Some("open sesame")).unwrap();
    let text = locked.armored().unwrap();
    assert!(text.contains("BEGIN ENCRYPTED PRIVATE KEY") && !text.contains("BEGIN PRIVATE KEY"));
    let read = AnySecretKey::parse(text.as_bytes()).unwrap();
    assert!(read.is_locked() && read.scheme() == Scheme::Smime);
    assert_eq!(read.fingerprint(), key.fingerprint());
    assert_eq!(read.unlock(None).err(), Some(KeyError::Locked));
    assert_eq!(read.unlock(Some("open")).err(), Some(KeyError::Passphrase));
    assert!(read.unlock(Some("open sesame")).is_ok());
    let again = read.relock(Some("open sesame"), None).unwrap();
    assert_eq!(*again.armored().unwrap(), *key.armored().unwrap());
    // Keys that OpenSSL locked, with either derivation.
    if installed(&["openssl"]) {
        let authority = Authority::new();
        std::fs::write(authority.path().join("open.pem"), key.armored().unwrap().as_bytes()).unwrap();
        for derivation in ["-v2 aes256", "-scrypt", "-v2 aes256 -iter 100000"] {
            let line = format!("pkcs8 -topk8 -in open.pem {derivation} -passout pass:simsalabim");
            let theirs = authority.openssl(&line);
            let text = [theirs.as_slice(), key.certificate_armored().unwrap().as_bytes()].concat();
            let read = X509SecretKey::parse(&text).unwrap();
            assert!(read.is_locked() && read.unlock(Some("simsalabim")).is_ok(), "{derivation}");
            assert_eq!(read.unlock(Some("x")).err(), Some(KeyError::Passphrase), "{derivation}");
        }
    }
    // Without a certificate, with another's, with none of both.
    let other = generate();
    let only = |key: &X509SecretKey| {
        let text = key.armored().unwrap();
        text.split("-----BEGIN CERTIFICATE").next().unwrap().to_owned()
    };
    let mixed = only(&key) + &other.certificate_armored().unwrap();
    assert_eq!(X509SecretKey::parse(only(&key).as_bytes()).err(), Some(KeyError::NoCertificate));
    assert_eq!(X509SecretKey::parse(mixed.as_bytes()).unwrap().unlock(None).err(), Some(KeyError::OtherCertificate));
    assert_eq!(AnySecretKey::parse(b"nothing").err(), Some(KeyError::Unparsable));
    assert_eq!(X509SecretKey::parse((only(&key) + &text).as_bytes()).err(), Some(KeyError::Unparsable));
    // What it says of itself.
    let certificate = key.certificate(now()).unwrap();
    assert_eq!(certificate.user_ids[0], ADDRESS);
    assert!(certificate.expires.unwrap() > now() + 19 * 365 * 86_400);
    assert_eq!(certificate.fingerprint, key.fingerprint().unwrap());
}

#[test]
fn pkcs12_files_come_and_go() {
    if !installed(&["openssl"]) {
        return;
    }
    let authority = Authority::new();
    for (name, words) in KEYS {
        let text = authority.key(words, GOOD, "-days 99");
        let key = X509SecretKey::parse(text.as_bytes()).unwrap();
        // Theirs: the new encryption and the old one, with the certificate of the issuer in it.
        for form in ["", "-legacy "] {
            let p12 = authority.openssl(&format!(
                "pkcs12 -export {form}-inkey new.key -in new.pem -certfile ca.pem -passout pass:sesame"
            ));
            assert!(X509SecretKey::is_p12(&p12), "{name}");
            let read = X509SecretKey::from_p12(&p12, "sesame").unwrap_or_else(|error| panic!("{name}{form}: {error}"));
            assert_eq!(read.fingerprint(), key.fingerprint(), "{name}");
            let household = Household::with_x509(&[&read], &[]);
            assert_eq!(household.open(&household.seal(MAIL)).unwrap(), MAIL, "{name}");
            assert_eq!(X509SecretKey::from_p12(&p12, "Sesame").err(), Some(KeyError::P12));
            for end in [0, 10, p12.len() / 2, p12.len() - 1] {
                assert!(X509SecretKey::from_p12(&p12[..end], "sesame").is_err(), "{name}, cut at {end}");
            }
            assert_eq!(Certificate::parse_all(&p12, now()).err(), Some(CertificateError::Secret));
        }
        // Ours.
        let p12 = key.to_p12(None, "a long one, 1234").unwrap();
        std::fs::write(authority.path().join("ours.p12"), &p12).unwrap();
        let mut command = authority.command("pkcs12 -legacy -nodes -in ours.p12 -passin");
        let opened = output(command.arg("pass:a long one, 1234"), b"");
        let text = String::from_utf8(opened).unwrap();
        let back = X509SecretKey::parse(text.as_bytes()).unwrap();
        assert!(back.fingerprint() == key.fingerprint() && back.unlock(None).is_ok(), "{name}");
    }
    assert!(!X509SecretKey::is_p12(b"") && !X509SecretKey::is_p12(&generate().certificate(now()).unwrap().octets));
}

/// Certificates that nothing may be sealed to, each with its reason.
#[test]
fn unusable_certificates_are_named() {
    if !installed(&["openssl"]) {
        return;
    }
    let authority = Authority::new();
    let rsa = KEYS[0].1;
    let certificate = |words: &str, extensions: &str, dates: &str| {
        authority.key(words, extensions, dates);
        authority.read("new.pem")
    };
    let usage = |line: &str| GOOD.replace("digitalSignature,keyEncipherment,keyAgreement", line);
    let good = certificate(rsa, GOOD, "-days 99");
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged.drain(middle..middle + 64);
    let kind = |error: CertificateError| match error {
        CertificateError::Unparsable => "unparsable".to_owned(),
        CertificateError::Secret => "secret".to_owned(),
        CertificateError::Expired(_, day) => format!("expired {day}"),
        CertificateError::NotYet(..) => "not yet".to_owned(),
        CertificateError::SignOnly(_) => "sign-only".to_owned(),
        CertificateError::TooWeak(_, what) => format!("weak {what}"),
        CertificateError::Unsupported(_, what) => format!("unsupported {what}"),
        other => panic!("{other}"),
    };
    let expired = certificate(rsa, GOOD, "-days 99");
    let in_a_century = now() + 100 * 365 * 86_400;
    let table: [(&str, Vec<u8>, u64, &str); 14] = [
        ("years later", expired, in_a_century, "expired "),
        ("years before", good.clone(), now() - 10 * 365 * 86_400, "not yet"),
        ("only signs", certificate(rsa, &usage("digitalSignature"), "-days 99"), now(), "sign-only"),
        ("RSA for agreement", certificate(rsa, &usage("keyAgreement"), "-days 99"), now(), "sign-only"),
        ("P-256 for encipherment", certificate(KEYS[3].1, &usage("keyEncipherment"), "-days 99"), now(), "sign-only"),
        (
            "a web server's",
            certificate(rsa, &GOOD.replace("emailProtection", "serverAuth"), "-days 99"),
            now(),
            "sign-only",
        ),
        (
            "RSA, 1024 bits",
            certificate("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", GOOD, "-days 99"),
            now(),
            "weak RSA, 1024 bits",
        ),
        (
            "P-521",
            certificate("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", GOOD, "-days 99"),
            now(),
            "unsupported curve other than P-256 and P-384",
        ),
        (
            "Ed25519",
            certificate("-algorithm ED25519", GOOD, "-days 99"),
            now(),
            "unsupported neither RSA, P-256, P-384 nor X25519",
        ),
        ("damaged", damaged, now(), "unparsable"),
        ("cut off", good[..good.len() / 2].to_vec(), now(), "unparsable"),
        ("with the secret key", authority.key(rsa, GOOD, "-days 99").into_bytes(), now(), "secret"),
        ("the secret key alone", authority.read("new.key"), now(), "secret"),
        ("the secret key in DER", authority.openssl("pkey -in new.key -outform DER"), now(), "secret"),
    ];
    for (name, octets, when, expected) in table {
        let error = Certificate::parse_all(&octets, when).map(|found| found.len()).expect_err(name);
        let found = kind(error);
        assert!(found.starts_with(expected), "{name}: {found}");
    }
    // What is no obstacle: no extensions at all, PEM or DER, a chain.
    authority.key(rsa, GOOD, "-days 99");
    let der = authority.openssl("x509 -in new.pem -outform DER");
    let chain = [authority.read("new.pem"), authority.read("ca.pem")].concat();
    let upside_down = [authority.read("ca.pem"), authority.read("new.pem")].concat();
    // In an enrolment nothing is passed over: its author named it. This authority may do everything, so it is a recipient.
    let said = [b"Sealed-Enrolment: v=1\n\n", chain.as_slice()].concat();
    assert_eq!(Certificate::parse_all(&said, now()).unwrap().len(), 2);
    for octets in [authority.read("new.pem"), der.clone(), chain.clone(), upside_down] {
        let found = Certificate::parse_all(&octets, now()).unwrap();
        assert_eq!((found.len(), &found[0].octets), (1, &der));
        assert_eq!(found[0].user_ids[0], ADDRESS);
        assert_eq!(Certificate::account_named_in(&octets).unwrap(), found[0].account());
    }
    assert_eq!(Certificate::parse_all(&certificate(rsa, "", "-days 99"), now()).unwrap().len(), 1);
    // Two that signed themselves under one name did not issue each other.
    let twin = "req -x509 -newkey rsa:2048 -nodes -keyout twin.key -out twin.pem -subj /CN=Twin -days 9";
    let twins: Vec<Vec<u8>> = (0..2).map(|_| (authority.openssl(twin), authority.read("twin.pem")).1).collect();
    assert_eq!(Certificate::parse_all(&twins.concat(), now()).unwrap().len(), 2);
    // A file with both kinds must say which are meant.
    let openpgp = Household::new().mailbox.certificate_armored().unwrap();
    let both = [authority.read("new.pem"), openpgp.clone().into_bytes()].concat();
    assert_eq!(Enrolment::parse(&both, now()).err(), Some(EnrolmentError::Mixed));
    for (scheme, word) in [(Scheme::Pgp, "pgp"), (Scheme::Smime, "smime")] {
        let said = [format!("Sealed-Enrolment: v=1\nScheme: {word}\n\n").as_bytes(), &both].concat();
        let enrolment = Enrolment::parse(&said, now()).unwrap();
        assert_eq!((enrolment.scheme, enrolment.used().count(), enrolment.recipients().len()), (scheme, 1, 1));
        // The account stays that of the OpenPGP certificate (A1).
        let first = Certificate::parse_all(openpgp.as_bytes(), now()).unwrap();
        assert_eq!(enrolment.account(), Some(first[0].account()));
    }
    let none = format!("Sealed-Enrolment: v=1\nScheme: smime\n\n{openpgp}");
    assert_eq!(Enrolment::parse(none.as_bytes(), now()).err(), Some(EnrolmentError::NoneForScheme(Scheme::Smime)));
}

/// A home of gpgsm with a key in it.
struct GpgSm(TempDir);

impl GpgSm {
    fn with(key: &X509SecretKey) -> Self {
        let home = tempfile::Builder::new().prefix("sm").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::write(home.path().join("gpg-agent.conf"), "allow-loopback-pinentry\ns2k-count 65536\n").unwrap();
        std::fs::write(home.path().join("passphrase"), "sesame\n").unwrap();
        let gpgsm = Self(home);
        output(gpgsm.command().arg("--import"), &key.to_p12(None, "sesame").unwrap());
        gpgsm
    }

    fn command(&self) -> Command {
        // It takes a passphrase by a file descriptor only.
        let line = "exec gpgsm --batch --no-tty --quiet --pinentry-mode loopback --passphrase-fd 3 \"$1\" \
                    3< \"$GNUPGHOME/passphrase\"";
        let mut command = Command::new("sh");
        command.env("GNUPGHOME", self.0.path()).env("LC_ALL", "C").args(["-c", line, "sh"]);
        command
    }

    fn decrypted(&self, message: &[u8]) -> Vec<u8> {
        let done = run(self.command().arg("--decrypt"), &der(message));
        // It ends with 2 when the recovery certificate, which it does not know, stands before its own: which one does, depends
        // on serial numbers. What it then prints is whole all the same.
        let said = String::from_utf8_lossy(&done.stderr);
        let other = said.lines().filter(|line| !line.contains("failed to find the certificate")).count();
        assert!(done.status.success() || (done.status.code() == Some(2) && other == 0), "{said}");
        done.stdout
    }
}

impl Drop for GpgSm {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "all"]).output();
    }
}

/// The CMS message in a sealed mail.
fn der(message: &[u8]) -> Vec<u8> {
    let body = &message[mail::HeaderSection::parse(message).body_offset()..];
    let text: Vec<u8> = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    STANDARD.decode_to_vec(text).unwrap()
}

#[test]
fn our_mail_in_gpgsm() {
    if !installed(&["gpgsm", "gpgconf"]) {
        return;
    }
    let key = generate();
    let gpgsm = GpgSm::with(&key);
    let household = Household::with_x509(&[&key, &generate()], &["gpgsm"]);
    let samples = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata"));
    let mut count = 0;
    for_each_sample(&samples, |name, original| {
        let sealed = household.seal(original);
        assert!(cut(&gpgsm.decrypted(&sealed)) == original, "{name}");
        count += 1;
    });
    assert!(count > 15, "{count}");
    let Some(shared) = shared() else { return };
    let corpus = files(&shared.join("corpus"));
    let sample: Vec<_> = corpus.into_iter().step_by(20).collect();
    for_each_sample(&sample, |name, original| {
        assert!(cut(&gpgsm.decrypted(&household.seal(original))) == original, "{name}");
        count += 1;
    });
    println!("{count} messages in gpgsm: all came back");
    assert!(count > 200);
}

fn for_each_sample(files: &[std::path::PathBuf], mut check: impl FnMut(&str, &[u8])) {
    for path in files {
        for (number, message) in crate::corpus::messages(path).into_iter().enumerate() {
            check(&format!("{} #{number}", path.display()), &message);
        }
    }
}

#[test]
fn every_sample_and_the_whole_corpus_in_openssl() {
    if !installed(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mailbox, recovery) = (generate(), generate());
    std::fs::write(folder.path().join("key.pem"), mailbox.armored().unwrap().as_bytes()).unwrap();
    let households =
        [&["outlook"][..], &[], &["openssl"]].map(|readers| Household::with_x509(&[&mailbox, &recovery], readers));
    let profiles: Vec<Profile> = households.iter().map(|household| household.profile).collect();
    assert_eq!(profiles, [Profile::Cms1, Profile::Cms1, Profile::Cms2]);
    let mut found = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata"));
    assert!(found.len() > 15);
    let corpus = shared().map(|shared| files(&shared.join("corpus")));
    let whole = corpus.is_some();
    found.extend(corpus.into_iter().flatten());
    let turn = AtomicUsize::new(0);
    let count = for_each_message(&found, |path, number, original| {
        // Both profiles, and in turn both paddings.
        let padding = turn.fetch_add(1, Ordering::Relaxed) % 2;
        for household in [&households[padding], &households[2]] {
            let sealed = household.seal(&original);
            let mut command = Command::new("openssl");
            command.args(["cms", "-decrypt", "-inkey", "key.pem", "-recip", "key.pem"]).current_dir(folder.path());
            let opened = output(&mut command, &sealed);
            assert!(cut(&opened) == original, "{} #{number}", path.display());
        }
    });
    println!("{count} messages, each as cms1 and as cms2, in openssl: all came back");
    assert!(count > if whole { 4000 } else { 15 });
}

#[test]
fn what_servers_do_to_smime_still_opens() {
    if !installed(&["openssl"]) {
        return;
    }
    let large: Vec<u8> = (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    for profile in [Profile::Cms1, Profile::Cms2] {
        for original in [MAIL, &large] {
            let household = Household::smime(profile, 0);
            let sealed = household.seal(original);
            let text = String::from_utf8(sealed.clone()).unwrap();
            let (head, _) = text.split_once("\r\n\r\n").unwrap();
            let octets = der(&sealed);
            let in_lines = |width: usize, end: &str| {
                let text = STANDARD.encode_to_string(&octets);
                let lines = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
                format!("{head}\r\n\r\n{}{end}", lines.collect::<Vec<_>>().join(end)).into_bytes()
            };
            // Written anew with definite lengths, as by a gateway that takes messages apart.
            let definite = output(Command::new("openssl").args(["cms", "-cmsout", "-outform", "DER"]), &sealed);
            let encoded = STANDARD.encode_to_string(&definite);
            let binary = head.replace("Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: binary");
            let table: Vec<(&str, Vec<u8>)> = vec![
                ("LF line ends", text.replace("\r\n", "\n").into_bytes()),
                ("lines of 76", in_lines(76, "\r\n")),
                ("lines of 60 with spaces", in_lines(60, " \r\n")),
                ("one line", in_lines(usize::MAX, "\r\n")),
                ("definite lengths", format!("{head}\r\n\r\n{encoded}\r\n").into_bytes()),
                ("in binary", [binary.as_bytes(), b"\r\n\r\n", &octets].concat()),
                ("other parameters", text.replace("smime.p7m", "att0001.p7m").into_bytes()),
                ("no structure at all", text.replace("Content-Type", "X-Type").into_bytes()),
                ("trace fields on top", [b"Received: from a by b; now\r\n", &sealed[..]].concat()),
                ("another Subject", text.replace("Subject: [...]", "Subject: [SPAM] [...]").into_bytes()),
                ("empty lines behind", [&sealed[..], b"\r\n\r\n"].concat()),
            ];
            for (name, message) in table {
                assert_ne!(message, sealed, "{name}: nothing changed");
                let opened = household.open(&message).unwrap_or_else(|error| panic!("{profile:?}, {name}: {error}"));
                assert!(opened == original, "{profile:?}, {name}");
            }
        }
    }
}

#[test]
fn sealed_smime_and_what_looks_like_it() {
    for profile in [Profile::Cms1, Profile::Cms2] {
        let (alice, bob) = (Household::smime(profile, 0), Household::smime(profile, 1));
        let (sealed, other) = (alice.seal(MAIL), alice.seal(b"Subject: another\r\n\r\nmail\r\n"));
        let text = String::from_utf8(sealed.clone()).unwrap();
        let replaced = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1).into_bytes()
        };
        let body = |message: &[u8]| mail::HeaderSection::parse(message).body_offset();
        let other_body = [&sealed[..body(&sealed)], &other[body(&other)..]].concat();
        let section = mail::HeaderSection::parse(&sealed);
        let own = |field: &&mail::HeaderField<'_>| field.name().starts_with(b"Sealed-");
        let without: Vec<u8> =
            section.fields().iter().filter(|field| !own(field)).flat_map(|field| field.raw().to_vec()).collect();
        let without = [&without[..], b"\r\n", &sealed[body(&sealed)..]].concat();
        let openpgp = Household::new().seal(MAIL);
        let label = What::Plain(Some(ForgedLabel::SealedFields));
        let What::Sealed(said) = recognise(&mut sealed.as_slice(), &alice.trust).unwrap() else { panic!("ours") };
        assert_eq!((said.mark.profile, said.wrapped_keys), (profile, 2));
        let word = profile.word();
        let cases: Vec<(&str, Vec<u8>, What)> = vec![
            ("ours", sealed.clone(), What::Sealed(said.clone())),
            ("trace fields", [b"Received: from a by b; now\r\n", &sealed[..]].concat(), What::Sealed(said.clone())),
            ("the body of another mail", other_body, label.clone()),
            (
                "the body of an OpenPGP mail",
                [&sealed[..body(&sealed)], &openpgp[body(&openpgp)..]].concat(),
                label.clone(),
            ),
            ("the fields over text", [&sealed[..body(&sealed)], b"hello\r\n"].concat(), label.clone()),
            ("text behind the body", [&sealed[..], b"--\r\nhello\r\n"].concat(), label.clone()),
            ("letters behind the body", [&sealed[..], b"hell"].concat(), label.clone()),
            ("text before the body", replaced("\r\n\r\nMI", "\r\n\r\nhello\r\nMI"), label.clone()),
            ("in binary", replaced("Encoding: base64", "Encoding: binary"), label.clone()),
            (
                "a text in the header",
                replaced("MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nhello\r\n"),
                label.clone(),
            ),
            ("two types", replaced("MIME-Version: 1.0\r\n", "Content-Type: text/plain\r\n"), label.clone()),
            ("another type", replaced("application/pkcs7-mime", "text/plain"), label.clone()),
            ("another profile", replaced(&format!("p={word}"), "p=pgp1"), label.clone()),
            (
                "the other S/MIME profile",
                replaced(&format!("p={word}"), if profile == Profile::Cms1 { "p=cms2" } else { "p=cms1" }),
                label.clone(),
            ),
            ("cut off", sealed[..sealed.len() - 6].to_vec(), label.clone()),
            ("without our fields", without, What::EndToEnd(EndToEnd::Cms)),
        ];
        for (name, message, expected) in &cases {
            assert_eq!(recognise(&mut message.as_slice(), &alice.trust).unwrap(), *expected, "{word}: {name}");
            let mut slowly = std::io::BufReader::with_capacity(1, message.as_slice());
            assert_eq!(recognise(&mut slowly, &alice.trust).unwrap(), *expected, "{word}: {name}, slowly");
        }
        assert_eq!(recognise(&mut sealed.as_slice(), &Trust::default()).unwrap(), What::SealedByUnknown(said));
        let for_bob = Trust { accounts: vec![bob.account], ..alice.trust.clone() };
        assert_eq!(recognise(&mut sealed.as_slice(), &for_bob).unwrap(), label);
    }
}

/// `docs/recover.py --cut`, after `openssl cms -decrypt`.
#[test]
fn the_script_recovers_what_openssl_decrypts() {
    if !installed(&["python3", "openssl"]) {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recover.py");
    let authority = Authority::new();
    let key = generate();
    for readers in [&[][..], &["openssl"]] {
        let household = Household::with_x509(&[&key], readers);
        let payload = authority.decrypted(&key.armored().unwrap(), &household.seal(MAIL));
        let done = run(Command::new("python3").arg(&script).arg("--cut"), &payload);
        assert!(done.status.success() && done.stdout == MAIL, "{}", String::from_utf8_lossy(&done.stderr));
        let at = find(&payload, b"numbers\n").unwrap();
        let mut changed = payload.clone();
        changed[at] = b'N';
        let done = run(Command::new("python3").arg(&script).arg("--cut"), &changed);
        assert!(!done.status.success() && done.stdout.is_empty());
    }
}
