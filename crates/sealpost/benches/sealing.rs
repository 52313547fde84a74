//! How fast sealing and opening are, beside the primitives that bound them, in one run: `cargo bench`.
//!
//! Prints ratios; a figure without its bound or its peer says nothing. Every figure is the median of several rounds on one
//! core, but for the pipes, which are the shipped program as a user runs it.
#![expect(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::{
    fs::File,
    hint::black_box,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use aes::Aes256;
use aws_lc_rs::{
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    digest::{SHA256, digest},
    signature::Ed25519KeyPair,
};
use cfb_mode::cipher::{AsyncStreamCipher, KeyIvInit};
use open::{Algorithm, Keyring, SecretKey};
use seal::{Compression, NewId, Padding, Policy, Settings};
use sealed::{
    identity::Profile,
    index::Way,
    signature::{SealerKey, Trust},
};
use sha1::{Digest, Sha1};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(300);
/// A mail of 8 KB.
const SMALL: usize = 8 * 1024;
const LARGE: usize = 100 * 1024 * 1024;

fn main() {
    // `cargo bench` and `cargo test --benches` pass arguments of their own.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let small = mail(SMALL);
    let primitives = Primitives::measure();
    let household = Household::new();
    engines(&household, &small, &primitives);
    pipes();
}

/// Seconds that one call takes, the median of the rounds.
fn seconds(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            let mut calls = 0_u32;
            while started.elapsed() < ROUND {
                call();
                calls += 1;
            }
            started.elapsed().as_secs_f64() / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Seconds per call or per octet of what nothing can be faster than.
struct Primitives {
    x25519_encrypt: f64,
    x25519_decrypt: f64,
    ed25519_sign: f64,
    ed25519_verify: f64,
    cfb_encrypt: f64,
    cfb_decrypt: f64,
    sha1: f64,
    sha256: f64,
}

impl Primitives {
    fn measure() -> Self {
        let peer = PrivateKey::generate(&X25519).unwrap();
        let public = peer.compute_public_key().unwrap();
        let agreed = |own: &PrivateKey| {
            agree(own, UnparsedPublicKey::new(&X25519, public.as_ref()), (), |shared| Ok(black_box(shared[0])))
                .unwrap();
        };
        let pair = Ed25519KeyPair::generate().unwrap();
        let message = [7; 200];
        let signature = pair.sign(&message);
        let verifying = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec(),
        );
        let mut octets = vec![7; SMALL];
        let (key, iv) = ([7; 32], [0; 16]);
        let per_octet = |seconds: f64| seconds / SMALL as f64;
        Self {
            x25519_encrypt: seconds(|| {
                let own = PrivateKey::generate(&X25519).unwrap();
                black_box(own.compute_public_key().unwrap());
                agreed(&own);
            }),
            x25519_decrypt: seconds(|| agreed(&peer)),
            ed25519_sign: seconds(|| {
                black_box(pair.sign(&message));
            }),
            ed25519_verify: seconds(|| verifying.verify(&message, signature.as_ref()).unwrap()),
            cfb_encrypt: per_octet(seconds(|| {
                cfb_mode::Encryptor::<Aes256>::new(&key.into(), &iv.into()).encrypt(black_box(&mut octets));
            })),
            cfb_decrypt: per_octet(seconds(|| {
                cfb_mode::Decryptor::<Aes256>::new(&key.into(), &iv.into()).decrypt(black_box(&mut vec![7; SMALL]));
            })),
            sha1: per_octet(seconds(|| {
                black_box(Sha1::digest(black_box([7; SMALL])));
            })),
            sha256: per_octet(seconds(|| {
                black_box(digest(&SHA256, black_box(&[7; SMALL])));
            })),
        }
    }

    /// Sealing one mail to two recipients: two key agreements, two signatures, the payload encrypted and hashed, opened again.
    fn seal(&self, original: usize, content: usize) -> f64 {
        let (original, content) = (original as f64, content as f64);
        2.0 * self.x25519_encrypt
            + 2.0 * self.ed25519_sign
            + content * (self.cfb_encrypt + self.sha1)
            + (original + content) * self.sha256
            + content * (self.cfb_decrypt + self.sha1)
            + original * self.sha256
    }

    fn open(&self, original: usize, content: usize) -> f64 {
        let (original, content) = (original as f64, content as f64);
        self.x25519_decrypt
            + 2.0 * self.ed25519_verify
            + 2.0 * content * (self.cfb_decrypt + self.sha1)
            + content * self.sha256
            + 2.0 * original * self.sha256
    }

    fn headers(&self) -> f64 {
        self.x25519_decrypt + self.ed25519_verify
    }
}

/// An owner with mailbox and recovery key, and a sealer.
struct Household {
    recipients: Vec<seal::RecipientKey>,
    sealer: SealerKey,
    keys: Keyring,
    trust: Trust,
}

impl Household {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let secrets: Vec<SecretKey> =
            (0..2).map(|_| SecretKey::generate("alice@example.org", Algorithm::V4Curve25519).unwrap()).collect();
        let certificates: Vec<_> = secrets.iter().map(|secret| secret.certificate(now).unwrap()).collect();
        let sealer = SealerKey::generate();
        let mut keys = Keyring::default();
        keys.add(secrets[0].unlock(None).unwrap());
        Self {
            recipients: certificates.iter().map(|certificate| certificate.recipient.clone()).collect(),
            trust: Trust { accounts: vec![certificates[0].account()], sealers: vec![sealer.public().clone()] },
            sealer,
            keys,
        }
    }

    fn seal(&self, original: &[u8]) -> Vec<u8> {
        let settings = Settings {
            account: self.trust.accounts[0],
            recipients: &self.recipients,
            sealer: &self.sealer,
            profile: Profile::Pgp1,
            policy: Policy::Baseline,
            outer_id: seal::OuterId::Kept,
            outer_from: None,
            compression: Compression::Auto,
            padding: Padding::Bucket,
            id: NewId::Random,
            sequence: 1,
            time: 1_795_424_400,
            way: Way::Client,
            place: seal::Place::default(),
        };
        let mut out = Vec::with_capacity(original.len() * 3 / 2 + 8192);
        seal::seal(&mut Cursor::new(original), || Ok(Cursor::new(Vec::new())), &mut out, &settings).unwrap();
        out
    }

    fn open(&self, sealed: &[u8]) -> Vec<u8> {
        let mut message = sealed;
        let mut original = Vec::with_capacity(sealed.len());
        open::open(&mut message, Cursor::new(Vec::new()), &self.keys, &self.trust)
            .unwrap()
            .write(&mut original)
            .unwrap();
        original
    }
}

fn engines(household: &Household, small: &[u8], primitives: &Primitives) {
    let sealed = household.seal(small);
    assert_eq!(household.open(&sealed), small);
    let header = mail::header_section_end(&sealed).unwrap();
    let content = small.len() + 2048;
    let us = |seconds: f64| seconds * 1e6;
    println!(
        "primitives, one core: X25519 {:.0} us ({:.0} us to unwrap), Ed25519 {:.0} us ({:.0} us to verify), AES-256-CFB {:.0} MB/s, SHA-1 {:.0}, SHA-256 {:.0}",
        us(primitives.x25519_encrypt),
        us(primitives.x25519_decrypt),
        us(primitives.ed25519_sign),
        us(primitives.ed25519_verify),
        1e-6 / primitives.cfb_encrypt,
        1e-6 / primitives.sha1,
        1e-6 / primitives.sha256
    );
    let report = |what: &str, took: f64, bound: f64| {
        println!("{what:<44} {:>7.0}/s   bound {:>7.0}/s   ratio {:.2}", 1.0 / took, 1.0 / bound, bound / took);
    };
    report(
        "seal 8 KB to two Curve25519 keys",
        seconds(|| drop(black_box(household.seal(black_box(small))))),
        primitives.seal(small.len(), content),
    );
    report(
        "open 8 KB",
        seconds(|| drop(black_box(household.open(black_box(&sealed))))),
        primitives.open(small.len(), content),
    );
    let list = seconds(|| {
        let index = open::headers(black_box(&sealed[..header]), &household.keys, &household.trust).unwrap();
        black_box(index);
    });
    report("header fields only", list, primitives.headers());
}

/// The shipped program, 100 MB through a pipe, beside gpg where it is installed.
fn pipes() {
    let sealpost = Path::new(env!("CARGO_BIN_EXE_sealpost"));
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let home = path("home");
    let init = Command::new(sealpost)
        .args([
            "--home".as_ref(),
            home.as_os_str(),
            "init".as_ref(),
            "--address".as_ref(),
            "alice@example.org".as_ref(),
        ])
        .args(["--no-passphrase".as_ref(), "--recovery".as_ref(), path("recovery").as_os_str()])
        .stderr(Stdio::null())
        .status();
    assert!(init.unwrap().success());
    let large = path("large.eml");
    File::create(&large).unwrap().write_all(&mail(LARGE)).unwrap();
    let megabytes = LARGE as f64 / 1e6;
    let run = |arguments: &[&str], input: &Path, output: &Path| -> (f64, u64) {
        let mut times: Vec<(f64, u64)> = (0..3)
            .map(|_| {
                let mut cat = Command::new("cat").arg(input).stdout(Stdio::piped()).spawn().unwrap();
                let started = Instant::now();
                let mut child = Command::new(sealpost)
                    .arg("--home")
                    .arg(&home)
                    .args(arguments)
                    .stdin(cat.stdout.take().unwrap())
                    .stdout(File::create(output).unwrap())
                    .spawn()
                    .unwrap();
                let memory = peak_memory(&mut child);
                let took = started.elapsed().as_secs_f64();
                assert!(cat.wait().unwrap().success());
                (took, memory)
            })
            .collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        times[1]
    };
    let line = |what: &str, (took, memory): (f64, u64)| {
        println!("{what:<44} {:>7.0} MB/s   {memory} KB resident at most", megabytes / took);
        took
    };
    println!("100 MB through a pipe, {:.0} MB with base64 attachment:", megabytes);
    line("seal --compress never", run(&["seal", "--compress", "never"], &large, &path("never.eml")));
    line("open", run(&["open"], &path("never.eml"), &path("opened.eml")));
    assert!(same(&path("opened.eml"), &large));
    let compressed = line("seal (compressed)", run(&["seal"], &large, &path("auto.eml")));
    line("open (compressed)", run(&["open"], &path("auto.eml"), &path("opened.eml")));
    assert!(same(&path("opened.eml"), &large));
    match gpg(sealpost, &home, place.path(), &large) {
        Some(took) => println!(
            "gpg -e of the same mail (it compresses too)  {:>7.0} MB/s   seal is {:.1} times as fast",
            megabytes / took,
            took / compressed
        ),
        None => println!("gpg -e: skipped, gpg is not installed"),
    }
}

/// Waits for a child and tells the most memory it had, in KiB.
fn peak_memory(child: &mut std::process::Child) -> u64 {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak = peak.max(high.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn gpg(sealpost: &Path, home: &Path, place: &Path, large: &Path) -> Option<f64> {
    let keyring = place.join("gnupg");
    std::fs::create_dir(&keyring).unwrap();
    let certificate = Command::new(sealpost).arg("--home").arg(home).args(["key", "export"]).output().unwrap().stdout;
    let file = place.join("certificate.asc");
    std::fs::write(&file, certificate).unwrap();
    let gpg = || {
        let mut command = Command::new("gpg");
        command
            .arg("--homedir")
            .arg(&keyring)
            .args(["--batch", "--quiet", "--trust-model", "always"])
            .stderr(Stdio::null());
        command
    };
    if !gpg().arg("--import").arg(&file).status().ok()?.success() {
        return None;
    }
    let started = Instant::now();
    let status =
        gpg().args(["-e", "-a", "-r", "alice@example.org", "-o"]).arg(place.join("gpg.asc")).arg(large).status();
    status.ok()?.success().then(|| started.elapsed().as_secs_f64())
}

fn same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").arg(one).arg(other).status().unwrap().success()
}

/// A mail with an attachment in base64, of about this many octets.
fn mail(octets: usize) -> Vec<u8> {
    let mut mail = b"Received: from mx.example.net by mail.example.org; Mon, 23 Nov 2026 09:00:01 +0000\r\n\
        From: Eve Example <eve@example.com>\r\nTo: Alice <alice@example.org>\r\nSubject: the photographs\r\n\
        Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n\
        Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while mail.len() < octets {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            mail.push(alphabet[(state >> 58) as usize]);
        }
        mail.extend_from_slice(b"\r\n");
    }
    mail
}
