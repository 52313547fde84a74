//! How fast the bridge over an account is, beside the Dovecot that it reads. Figures, not laws: run by hand.
//! `cargo nextest run --release -p sealpost --run-ignored only --no-capture bridge::rates`

use std::{fs, time::Instant};

use super::{
    account::Scene,
    client::Client,
    differential::own,
    scene::{ARRIVED, message, put},
    upstream::resident,
};

/// Messages of [`rates`].
const MANY: usize = 10_000;

/// The figures of docs/performance.md. `SEALPOST_MANY=10` makes ten times as many messages of it.
#[test]
#[ignore = "takes minutes: figures, not laws"]
fn rates() {
    let scene = Scene::new();
    let local = scene.stage.path("Local");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(local.join(folder)).unwrap();
    }
    let mails: Vec<Vec<u8>> = (0..MANY)
        .map(|number| {
            message(&format!("subject of number {number}"), &format!("word{number} {}", "some text. ".repeat(700)))
        })
        .collect();
    put(&local, &mails);
    let config = fs::read_to_string(scene.stage.path("home/config.toml")).unwrap();
    let flow = format!(
        "\n[flow.local]\nsource = {{ maildir = {local:?}, grace = \"0s\" }}\nseal = {{ to = \"alice@example.org\" }}\nsink = \"in-place\"\n"
    );
    scene.stage.write("home/config.toml", config + &flow);
    scene.stage.good("sweep local", b"");
    let times: usize = std::env::var("SEALPOST_MANY").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let inbox = scene.server.mail().join("Maildir");
    for (number, entry) in fs::read_dir(local.join("cur")).unwrap().enumerate() {
        let path = entry.unwrap().path();
        for time in 0..times {
            fs::copy(&path, inbox.join(format!("cur/{}.M{number}T{time}P1.host:2,S", ARRIVED))).unwrap();
        }
    }
    own(&inbox, &scene.server.mail());
    let count = MANY * times;
    let timed = |what: &str, client: &mut Client, line: &str| {
        let began = Instant::now();
        client.good(line);
        println!("{what}: {} ms", began.elapsed().as_millis());
    };
    let mut direct = scene.direct();
    for what in ["Dovecot, first", "Dovecot, later"] {
        timed(&format!("{what}, SELECT"), &mut direct, "SELECT INBOX");
        timed(what, &mut direct, "FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)");
    }
    let bridge = scene.bridge();
    for what in ["bridge, first", "bridge, later", "bridge, later still"] {
        let mut client = bridge.client();
        timed(&format!("{what}, SELECT"), &mut client, "SELECT INBOX");
        timed(what, &mut client, "FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)");
        println!("{count} messages; resident {} KiB", resident(&bridge));
    }
    let mut client = bridge.selected("INBOX");
    for line in ["SORT (REVERSE DATE SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "FETCH 1:* (UID MODSEQ)"] {
        timed(&format!("Dovecot, {line}"), &mut direct, line);
        timed(&format!("bridge, {line}"), &mut client, line);
    }
    for (what, client) in [("Dovecot", &mut direct), ("bridge", &mut client)] {
        let began = Instant::now();
        for number in 1..=200 {
            client.good(&format!("UID FETCH {} BODY.PEEK[]", number * 37));
        }
        println!("{what}: a message opened in {} us", began.elapsed().as_micros() / 200);
    }
    if times == 1 {
        timed("bridge, SEARCH SUBJECT", &mut client, "SEARCH SUBJECT \"number 77\"");
        timed("bridge, first SEARCH BODY", &mut client, "SEARCH BODY word777");
        timed("bridge, later SEARCH BODY", &mut client, "SEARCH BODY word777");
    }
    println!("resident {} KiB", resident(&bridge));
}
