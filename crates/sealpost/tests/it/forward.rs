//! A forwarder as its owner types it: config, queue, metrics; what killed ones leave, alone and two on one spool.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Child,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use testbed::{Dovecot, Format, Language, submit};

use crate::{
    gateway::{PATIENCE, end, files, free, get, inbox, run, until},
    program::{CANARY, Stage},
};

pub const ME: &str = "me@my.example";

/// An owner's home `home`, and a forwarder's homes, which seal to the owner and hold no secret of his.
pub fn stage(homes: &[&str]) -> Stage {
    let stage = Stage::with_owner();
    let enrolment = stage.good("key enrolment", b"");
    stage.write("alice.enrolment", enrolment);
    stage.write("secret", "alice-pw\n");
    stage.good("--home gate init --sealer", b"");
    stage.good("--home gate key import alice.enrolment", b"");
    let sealer = stage.good("--home gate key export --sealer", b"");
    stage.write("gate.sealer", sealer);
    stage.good("key trust-sealer gate.sealer", b"");
    // Another node is a copy of the first one.
    for copy in homes.iter().filter(|home| **home != "gate") {
        for file in files(&stage.path("gate")) {
            let to = stage.path(copy).join(file.strip_prefix(stage.path("gate")).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file, to).unwrap();
        }
    }
    stage
}

/// `queue` takes more words of the queue.
pub fn configure(stage: &Stage, home: &str, listen: SocketAddr, store: SocketAddr, queue: &str, more: &str) {
    stage.write(&format!("{home}/secret"), "alice-pw\n");
    let secret = stage.path(home).join("secret");
    fs::set_permissions(secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    stage.write(
        &format!("{home}/config.toml"),
        format!(
            "[account.work]\naddress = \"alice@example.org\"\nimap = \"imap://{store}\"\nuser = \"alice\"\n\
             password = {{ file = \"secret\" }}\ntls = \"off\"\n\n\
             [flow.forward]\nsource = {{ smtp = \"{listen}\", for = [\"{ME}\"] }}\nseal = {{ to = \"alice@example.org\" }}\n\
             sink = {{ account = \"work\", mailbox = \"INBOX\" }}\nqueue = {{ retry = [\"1s\"]{queue} }}\n{more}\n"
        ),
    );
}

pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

pub fn mail(number: usize) -> Vec<u8> {
    let canary = String::from_utf8_lossy(CANARY).into_owned();
    format!(
        "From: eve@example.com\r\nTo: {ME}\r\nSubject: {canary} {number}\r\nMessage-ID: <{number}@example.com>\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nnumber {number}: {canary}\r\n"
    )
    .into_bytes()
}

fn assert_nothing_readable(places: &[PathBuf]) {
    for file in places.iter().flat_map(|place| files(place)) {
        let octets = fs::read(&file).unwrap_or_default();
        assert!(!octets.windows(CANARY.len()).any(|part| part == CANARY), "readable in {}", file.display());
    }
}

/// Each of so many messages is there, once.
pub fn assert_once(stage: &Stage, stored: &[Vec<u8>], sent: &[Vec<u8>]) {
    for (number, octets) in stored.iter().enumerate() {
        stage.write(&format!("stored/{number}"), octets);
    }
    stage.good("open --batch stored opened", b"");
    let mut found = BTreeMap::<Vec<u8>, usize>::new();
    for file in files(&stage.path("opened")) {
        *found.entry(fs::read(file).unwrap()).or_default() += 1;
    }
    fs::remove_dir_all(stage.path("opened")).unwrap();
    let twice: usize = found.values().map(|times| times - 1).sum();
    let lost = sent.iter().filter(|one| !found.contains_key(*one)).count();
    assert_eq!((lost, twice, found.len()), (0, 0, sent.len()), "lost, doubled, all");
}

/// Hands over what is to be sent, from several senders, each of which comes again until he is told 250; how often. `to`: of the n-th try.
fn send_all(sent: &[Vec<u8>], senders: usize, to: impl Fn(usize) -> SocketAddr + Sync) -> usize {
    let next = AtomicUsize::new(0);
    let again = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| {
                while let Some(octets) = sent.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    for attempt in 0.. {
                        let said = submit(Language::Smtp, to(attempt), "eve@example.com", &[ME], octets);
                        if said.is_ok_and(|said| said[0].starts_with("250")) {
                            break;
                        }
                        again.fetch_add(1, Ordering::Relaxed);
                        assert!(begun.elapsed() < PATIENCE * 3, "a message is not taken");
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
    });
    again.into_inner()
}

pub fn waiting(stage: &Stage, home: &str) -> usize {
    stage.json(&format!("--home {home} queue list --json"), b"").as_array().unwrap().len()
}

/// Waits until nothing waits; it may take long, but it must get less.
fn drain(stage: &Stage, home: &str) {
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        match waiting(stage, home) {
            0 => return,
            left if left < least => (least, since) = (left, Instant::now()),
            left => assert!(since.elapsed() < PATIENCE, "{left} wait, and for a minute they got no fewer"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_queue_is_shown_tried_and_dropped() {
    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate"]);
    let (listen, metrics) = (free(), free());
    let mut store = Dovecot::start(Format::Maildir);
    configure(&stage, "gate", listen, store.imap(), "", &format!("[metrics]\nlisten = \"{metrics}\""));
    assert_eq!(stage.text("--home gate queue list", b""), "nothing waits\n");
    let forwarder = run(&stage, "gate", listen);
    let busy = stage.run("--home gate watch forward", b"");
    assert!(busy.code == 75 || busy.code == 69, "{busy}");
    let send =
        |number: usize| submit(Language::Smtp, listen, "eve@example.com", &[ME], &mail(number)).unwrap().remove(0);
    assert!(send(1).starts_with("250"));
    until("it is there", || inbox(store.imap()).len() == 1);
    store.stop();
    // Longer than the tests run: nothing is tried but what is asked for.
    let forwarder = {
        end(forwarder);
        configure(
            &stage,
            "gate",
            listen,
            store.imap(),
            ", expire = \"1d\"",
            &format!("[metrics]\nlisten = \"{metrics}\""),
        );
        let text = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
        stage.write("gate/config.toml", text.replace("\"1s\"", "\"1h\""));
        run(&stage, "gate", listen)
    };
    (2..5).for_each(|number| assert!(send(number).starts_with("250"), "the queue takes it"));
    until("they wait", || {
        let list = stage.json("--home gate queue list --json", b"");
        list.as_array().unwrap().iter().filter(|one| one["state"] == "waiting").count() == 3
    });
    let list = stage.json("--home gate queue list --json", b"");
    assert_eq!((list[0]["from"].as_str(), list[0]["to"].as_str()), (Some("eve@example.com"), Some(ME)), "{list}");
    assert!(stage.text("--home gate queue list", b"").contains("eve@example.com -> me@my.example"));
    let status = stage.json("--home gate status forward --json", b"");
    assert_eq!(status["forward"]["waiting"], 3, "{status}");
    // Under another name of the flow nobody hands them on, and that is said.
    let config = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    stage.write("gate/config.toml", config.replace("[flow.forward]", "[flow.renamed]"));
    let status = stage.json("--home gate status renamed --json", b"");
    assert_eq!(status["renamed"]["other_flows"]["forward"], 3, "{status}");
    for command in ["status renamed", "queue list", "check"] {
        let said = stage.run(&format!("--home gate {command}"), b"");
        let said = format!("{}{}", said.err, String::from_utf8_lossy(&said.out));
        assert!(said.contains("3 of a flow `forward`, which config.toml does not know"), "{command}: {said}");
    }
    stage.write("gate/config.toml", config);
    until("the metrics tell", || get(metrics, "/metrics").contains("sealpost_queue_waiting{flow=\"forward\"} 3\n"));
    let id = list[0]["id"].as_str().unwrap().to_owned();
    // Its owner can have what waits; nobody else can read it.
    let copy = stage.good(&format!("--home gate queue cat -- {id}"), b"");
    assert!(!copy.windows(CANARY.len()).any(|part| part == CANARY));
    let opened = stage.good("open", &copy);
    assert!(opened.windows(CANARY.len()).any(|part| part == CANARY));
    stage.good(&format!("--home gate queue drop -- {id}"), b"");
    stage.bad(&format!("--home gate queue cat -- {id}"), b"", 65, "no such copy");
    stage.bad(&format!("--home gate queue drop -- {id}"), b"", 65, "no such copy");
    stage.bad("--home gate queue drop xx", b"", 64, "no id");
    stage.bad("--home gate queue retry", b"", 64, "--all");
    store.restart();
    stage.good(&format!("--home gate queue retry -- {}", list[1]["id"].as_str().unwrap()), b"");
    until("what was asked for is there", || inbox(store.imap()).len() >= 2);
    stage.good("--home gate queue retry --all", b"");
    until("all of it is there", || inbox(store.imap()).len() == 3);
    until("the queue is empty", || waiting(&stage, "gate") == 0);
    let counters = get(metrics, "/metrics");
    assert!(counters.contains("sealpost_forwarded_total{flow=\"forward\",event=\"kept\"} 3\n"), "{counters}");
    let log = end(forwarder);
    assert!(log.contains("event=retried reason=unreachable") || log.contains("3 kept"), "{log}");
    assert!(!log.contains("eve@") && !log.contains("my.example") && !log.contains("canary"), "{log}");
    let text = stage.text("--home gate status forward", b"");
    assert!(text.contains("copies handed on") && text.contains("wait in the queue"), "{text}");
    stage.bad("--home gate sweep forward", b"", 78, "passes by");
    assert_nothing_readable(&[stage.path("gate"), stage.path("tmp")]);
}

#[test]
fn a_killed_forwarder_loses_and_doubles_nothing() {
    if !testbed::servers() {
        return;
    }
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, senders, kills) = if long { (10_000, 8, 200) } else { (300, 6, 12) };
    let stage = stage(&["gate"]);
    let listen = free();
    let store = Dovecot::start(Format::Maildir);
    configure(&stage, "gate", listen, store.imap(), "", "");
    let sent: Vec<Vec<u8>> =
        (0..count).map(|number| [mail(number), vec![b'x'; number % 7 * 20_000]].concat()).collect();
    let mut killed = 0;
    let again = thread::scope(|scope| {
        let sender = scope.spawn(|| send_all(&sent, senders, |_| listen));
        while killed < kills && !(sender.is_finished() && waiting(&stage, "gate") == 0) {
            let forwarder = run(&stage, "gate", listen);
            let lives = Instant::now();
            while lives.elapsed() < Duration::from_millis(200 + killed as u64 * 37 % 300) {
                thread::sleep(Duration::from_millis(5));
            }
            kill(forwarder);
            killed += 1;
        }
        let forwarder = run(&stage, "gate", listen);
        let again = sender.join().unwrap();
        drain(&stage, "gate");
        end(forwarder);
        again
    });
    println!("{count} messages, {killed} kills, {again} tries again");
    assert_once(&stage, &inbox(store.imap()), &sent);
    assert_nothing_readable(&[stage.path("gate"), stage.path("tmp"), store.mail().parent().unwrap().to_path_buf()]);
}

#[cfg(feature = "postgres")]
#[test]
fn two_nodes_on_one_spool_survive_each_other_and_the_database() {
    if !testbed::servers() {
        return;
    }
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, rounds) = if long { (10_000, 40) } else { (300, 4) };
    let stage = stage(&["gate", "gate2"]);
    let listens = [free(), free()];
    let store = Dovecot::start(Format::Maildir);
    let mut database = testbed::Postgres::start();
    for (home, listen) in ["gate", "gate2"].iter().zip(listens) {
        configure(&stage, home, listen, store.imap(), &format!(", spool = \"{}\"", database.url()), "");
    }
    let sent: Vec<Vec<u8>> = (0..count).map(mail).collect();
    let again = thread::scope(|scope| {
        let sender = scope.spawn(|| send_all(&sent, 6, |attempt| listens[attempt % 2]));
        let mut first = run(&stage, "gate", listens[0]);
        let mut second = run(&stage, "gate2", listens[1]);
        for round in 0..rounds {
            thread::sleep(Duration::from_millis(300));
            match round % 4 {
                0 => {
                    kill(first);
                    first = run(&stage, "gate", listens[0]);
                }
                1 => database.restart(),
                2 => {
                    kill(second);
                    second = run(&stage, "gate2", listens[1]);
                }
                _ => {}
            }
        }
        let again = sender.join().unwrap();
        // One dies for good, with what it had in hand: the other takes that over.
        kill(first);
        drain(&stage, "gate2");
        end(second);
        again
    });
    println!("{count} messages, {rounds} rounds, {again} tries again");
    assert_once(&stage, &inbox(store.imap()), &sent);
    let places = ["gate", "gate2", "tmp"].map(|place| stage.path(place));
    assert_nothing_readable(&[&places[..], &[database.directory().to_path_buf()]].concat());
}

/// Between a node and its account: when so many octets of an APPEND have passed, the others wait until they are let go.
#[cfg(feature = "postgres")]
struct Weir {
    address: SocketAddr,
    holds: std::sync::Arc<std::sync::atomic::AtomicBool>,
    open: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

#[cfg(feature = "postgres")]
impl Weir {
    fn before(server: SocketAddr, most: usize) -> Weir {
        use std::{
            io::{Read, Write},
            net::{TcpListener, TcpStream},
            sync::{Arc, atomic::AtomicBool},
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (holds, open) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let weir = Weir { address: listener.local_addr().unwrap(), holds: Arc::clone(&holds), open: Arc::clone(&open) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(server).unwrap();
                let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut back, &mut to_client));
                let (holds, open) = (Arc::clone(&holds), Arc::clone(&open));
                thread::spawn(move || {
                    let (mut from, mut to) = (client, server);
                    let (mut octets, mut passed) = (vec![0; 4096], None);
                    loop {
                        let count = from.read(&mut octets).unwrap_or_default();
                        if count == 0 {
                            let _ = to.shutdown(std::net::Shutdown::Write);
                            return;
                        }
                        if octets[..count].windows(6).any(|word| word == b"APPEND") {
                            passed = passed.or(Some(0));
                        }
                        passed = passed.map(|passed| passed + count);
                        if passed.is_some_and(|passed| passed > most) && !open.load(Ordering::Relaxed) {
                            holds.store(true, Ordering::Relaxed);
                            while !open.load(Ordering::Relaxed) {
                                thread::sleep(Duration::from_millis(5));
                            }
                        }
                        if to.write_all(&octets[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        weir
    }
}

/// A node that is stopped in the middle of an APPEND, and goes on when another one has put the message: it must not finish.
#[cfg(feature = "postgres")]
#[test]
fn a_node_that_was_stopped_for_too_long_finishes_nothing() {
    use rustix::process::Signal;

    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate", "gate2"]);
    let listens = [free(), free()];
    let store = Dovecot::start(Format::Maildir);
    let database = testbed::Postgres::start();
    let weir = Weir::before(store.imap(), 100_000);
    let queue = format!(", spool = \"{}\"", database.url());
    configure(&stage, "gate", listens[0], weir.address, &queue, "");
    configure(&stage, "gate2", listens[1], store.imap(), &queue, "");
    let first = run(&stage, "gate", listens[0]);
    // More than what lies between two programs.
    let long: Vec<u8> =
        (0..1_500_000_u32).flat_map(|at| format!("{:08x}\r\n", at.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    let sent = vec![[mail(1), long].concat()];
    let said = submit(Language::Smtp, listens[0], "eve@example.com", &[ME], &sent[0]).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("it is in the middle", || weir.holds.load(Ordering::Relaxed));
    thread::sleep(Duration::from_millis(200));
    crate::gateway::ask(&first, Signal::STOP);
    weir.open.store(true, Ordering::Relaxed);
    let second = run(&stage, "gate2", listens[1]);
    until("the other one has put it", || inbox(store.imap()).len() == 1);
    crate::gateway::ask(&first, Signal::CONT);
    until("the queue is empty", || waiting(&stage, "gate2") == 0);
    // As long as it would take the first one to finish.
    thread::sleep(Duration::from_secs(3));
    assert_once(&stage, &inbox(store.imap()), &sent);
    // It goes on with what is its own.
    let said = submit(Language::Smtp, listens[0], "eve@example.com", &[ME], &mail(2)).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("that is there", || inbox(store.imap()).len() == 2);
    end(first);
    end(second);
}

#[test]
fn what_is_wrong_in_a_forwarders_config_is_said() {
    let stage = stage(&["gate"]);
    let flow = |source: &str, sink: &str, more: &str| {
        format!(
            "[account.work]\naddress = \"a@b\"\nimap = \"imaps://h\"\npassword = {{ env = \"P\" }}\n[flow.f]\n\
             source = {{ {source} }}\nseal = {{ to = \"alice@example.org\" }}\nsink = {sink}\n{more}\n"
        )
    };
    let good = "smtp = \"127.0.0.1:2525\", for = [\"me@my.example\"]";
    let account = "{ account = \"work\" }";
    for (source, sink, more, says) in [
        ("lmtp = \"127.0.0.1:24\", for = [\"me@my.example\"]", account, "", "comes by `smtp`"),
        ("smtp = \"127.0.0.1:2525\", for = []", account, "", "names nobody"),
        ("smtp = \"127.0.0.1:2525\", for = [\"me\"]", account, "", "takes addresses"),
        (good, "{ account = \"home\" }", "", "there is no [account.home]"),
        (good, "{ smtp = \"h:25\", auth = \"home\" }", "", "there is no [account.home]"),
        (good, "{ account = \"work\", smtp = \"h:25\" }", "", "an account is all"),
        (good, "{ smtp = \"h:25\", mailbox = \"INBOX\" }", "", "`mailbox` goes with `account`"),
        (good, "\"in-place\"", "", "no place of its own"),
        (good, account, "queue = { spol = \"x\" }", "unknown field `spol`"),
        (good, account, "queue = { retry = [\"soon\"] }", "a duration is"),
        (good, account, "queue = { keep = \"long\" }", "a duration is"),
        (good, account, "backup = \"7d\"", "`backup` is for flows of an account"),
        (good, account, "queue = { retry = [] }", "an empty list"),
        (good, account, "queue = { retry = [\"0s\"] }", "longer than nothing"),
        (good, account, "queue = { expire = \"0s\" }", "longer than nothing"),
        (good, "{ mx = \"provider.example\" }", "", "`mx` needs `to`"),
        (good, "{ mx = \"provider.example\", to = \"a@provider.example\" }", "", "`mx` needs `from`"),
        (good, "{ mx = \"192.0.2.1\", to = \"a@b\" }", "", "is the domain of a mail address"),
        (good, "{ mx = \"provider.example\", to = \"a@b\", tls = \"off\" }", "", "TLS is always spoken"),
        (good, "{ smtp = \"h:25\", dnssec = \"off\" }", "", "`dnssec` goes with `mx`"),
        ("smtp = \"127.0.0.1:2525\", per-ip = 3", account, "", "are for mail that is forwarded"),
    ] {
        stage.write("gate/config.toml", flow(source, sink, more));
        stage.bad("--home gate status", b"", 78, says);
    }
    stage.write("gate/config.toml", flow(good, account, "queue = { spool = \"files\" }"));
    stage.bad("--home gate queue list", b"", 78, "\"sqlite:PATH\"");
    stage.write("gate/config.toml", "");
    stage.bad("--home gate queue list", b"", 64, "no such flow");
}
