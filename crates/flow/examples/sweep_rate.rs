//! Measures a sweep of a fresh Maildir under the directory given: messages a second and the most memory used.
//!
//! `sweep_rate DIRECTORY [MESSAGES [OCTETS]]`. Prints one line.
#![expect(clippy::unwrap_used, reason = "a measurement run by hand")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use open::{Algorithm, SecretKey};
use seal::{Compression, Enrolment, Padding};
use sealed::signature::{SealerKey, Trust};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, or: usize| arguments.get(index).map_or(or, |text| text.parse().unwrap());
    let home = PathBuf::from(arguments.first().unwrap()).join(format!("rate-{}", std::process::id()));
    let (messages, octets) = (number(1, 5_000), number(2, 8_192));
    for part in ["mail/cur", "mail/new", "mail/tmp", "tmp"] {
        fs::create_dir_all(home.join(part)).unwrap();
    }
    let line = "A line of mail as people write them, more or less, 72 octets of it.\r\n";
    for message in 0..messages {
        let header = format!(
            "From: bob@example.net\r\nTo: alice@example.org\r\nSubject: Mail {message}\r\n\
             Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{message}@example.net>\r\n\r\n"
        );
        let mut mail = [header.as_str(), &line.repeat(octets / line.len() + 1)].concat();
        mail.truncate(octets);
        fs::write(home.join(format!("mail/cur/{message}.x.host:2,S")), mail).unwrap();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let keys = [0; 2].map(|_| SecretKey::generate("alice@example.org", Algorithm::V4Curve25519).unwrap());
    let certificates = keys.map(|key| key.certificate_armored().unwrap()).concat();
    let settings = flow::Settings {
        name: "rate".to_owned(),
        route: flow::Route::Maildir(home.join("mail")),
        mailboxes: Vec::new(),
        grace: Duration::ZERO,
        since: None,
        max_size: None,
        enrolment: Enrolment::parse(certificates.as_bytes(), now).unwrap(),
        sealer: SealerKey::generate(),
        trust: Trust::default(),
        dedup: [1; 32],
        compression: Compression::Auto,
        padding: Padding::Bucket,
        state: home.join("state.db"),
        temporary: home.join("tmp"),
    };
    let began = Instant::now();
    let swept = flow::sweep(&settings, &mut (), &std::sync::Arc::default()).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    println!(
        "{} of {messages} messages of {octets} octets: {:.0} a second; {memory}",
        swept.sealed.messages,
        f64::from(u32::try_from(swept.sealed.messages).unwrap()) / seconds
    );
    fs::remove_dir_all(home).unwrap();
}
