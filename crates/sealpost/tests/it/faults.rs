//! What a gateway leaves when it, or what stands around it, fails again and again: nothing lost, nothing readable.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::Child,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use testbed::{Dovecot, Language, Options, Postfix, submit};

use crate::{
    gateway::{ALICE, PATIENCE, add_gateway, configure, end, files, free, inbox, mail, run, stage},
    program::{CANARY, Stage, on_small_disk},
};

/// Senders that try again until they are told "taken", as mail servers do, against a gateway that is killed again and again.
#[test]
fn a_killed_gateway_loses_nothing_and_leaves_nothing_readable() {
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, senders, kills) = if long { (10_000, 8, 100) } else { (400, 4, 8) };
    let stage = stage();
    let listen = free();
    configure(&stage, "gate", listen, "certificates = \"certs\"", "{ maildir = \"out\" }", "");
    stage.good("--home gate directory add alice@example.org alice.enrolment", b"");
    let next = AtomicUsize::new(0);
    let mut killed = 0;
    let again: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..senders)
            .map(|_| {
                scope.spawn(|| {
                    let mut again = 0;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return again;
                        }
                        let octets = [mail(number), vec![b'x'; number % 7 * 20_000]].concat();
                        let begun = Instant::now();
                        while !submit(Language::Lmtp, listen, "eve@example.com", &[ALICE], &octets)
                            .is_ok_and(|said| said[0].starts_with("250"))
                        {
                            again += 1;
                            assert!(begun.elapsed() < PATIENCE * 3, "message {number} is not taken");
                            thread::sleep(Duration::from_millis(10));
                        }
                    }
                })
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            let mut gateway = run(&stage, "gate", listen);
            let lives = Instant::now();
            while lives.elapsed() < Duration::from_millis(150) && !workers.iter().all(|worker| worker.is_finished()) {
                thread::sleep(Duration::from_millis(5));
            }
            if killed < kills {
                killed += 1;
                gateway.kill().unwrap();
                gateway.wait().unwrap();
            } else {
                while !workers.iter().all(|worker| worker.is_finished()) {
                    thread::sleep(Duration::from_millis(20));
                }
                end(gateway);
            }
        }
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    let mut found = BTreeMap::<Vec<u8>, usize>::new();
    stage.good("open --batch gate/out/new opened", b"");
    for file in files(&stage.path("opened")) {
        *found.entry(fs::read(file).unwrap()).or_default() += 1;
    }
    let twice: usize = found.values().map(|times| times - 1).sum();
    println!("{count} messages, {killed} kills, {again} tries again, {twice} twice");
    assert_eq!(found.len(), count, "lost");
    // What was taken and not answered comes again: at most one for each sender and kill.
    assert!(twice <= killed * senders, "{twice} twice");
    fs::remove_dir_all(stage.path("opened")).unwrap();
    for file in files(&stage.path("gate")).into_iter().chain(files(&stage.path("tmp"))) {
        let octets = fs::read(&file).unwrap();
        assert!(!octets.windows(CANARY.len()).any(|part| part == CANARY), "readable in {}", file.display());
    }
}

/// Where the child of [`whatever_fails_every_message_arrives_sealed`] finds a small file system for the store.
const SMALL: &str = "SEALPOST_TEST_SMALL";

/// A mail server, two gateways that share a directory, a store: each of them fails, again and again. The store's disk is one that can be filled.
#[test]
fn whatever_fails_every_message_arrives_sealed() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    if !on_small_disk("faults::child", SMALL, "200m") {
        println!("no mount namespaces here: the store's disk is not filled");
        everything_fails(None);
    }
}

#[test]
#[ignore = "runs as the child of another test"]
fn child() {
    everything_fails(std::env::var_os(SMALL).as_deref().map(Path::new));
}

fn everything_fails(small: Option<&Path>) {
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, senders, rounds) = if long { (10_000, 4, 60) } else { (400, 2, 8) };
    let stage = stage();
    add_gateway(&stage, "other");
    let mut store = Dovecot::with(Options { mail: small.map(Path::to_path_buf), ..Options::default() });
    #[cfg(feature = "postgres")]
    let mut database = testbed::Postgres::start();
    #[cfg(feature = "postgres")]
    let directory = database.url();
    #[cfg(not(feature = "postgres"))]
    let directory = format!("sqlite:{}", stage.path("recipients.db").display());
    let mut nodes = ["gate", "other"].map(|home| {
        let listen = free();
        let sink = format!("{{ lmtp = \"{}\" }}", store.lmtp());
        configure(&stage, home, listen, &format!("certificates = \"{directory}\""), &sink, "");
        Node { stage: &stage, home, listen, runs: None }
    });
    stage.good("--home gate directory add alice@example.test alice.enrolment --force", b"");
    nodes.iter_mut().for_each(Node::start);
    // Whichever node is there: Postfix asks the second when the first does not answer.
    let next_hop = format!("lmtp:inet:{}, {}", nodes[0].listen, nodes[1].listen);
    let before = Postfix::start(&next_hop, None);
    let (smtp, next) = (before.smtp(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let to = ["alice@example.test"];
                    let said = submit(Language::Smtp, smtp, "eve@example.com", &to, &mail(number)).unwrap();
                    assert!(said[0].starts_with("250"), "{said:?}");
                    // So that there is mail under way in each round.
                    thread::sleep(Duration::from_millis(if long { 20 } else { 10 }));
                }
            });
        }
        for round in 0..rounds {
            thread::sleep(Duration::from_millis(300));
            match round % 4 {
                // The one dies, now this one, now that one; the other is there.
                0 => {
                    let node = &mut nodes[round / 4 % 2];
                    node.kill();
                    thread::sleep(Duration::from_millis(300));
                    node.start();
                }
                1 => {
                    store.stop();
                    thread::sleep(Duration::from_millis(300));
                    store.restart();
                }
                2 => {
                    #[cfg(feature = "postgres")]
                    {
                        database.stop();
                        thread::sleep(Duration::from_millis(300));
                        database.restart();
                    }
                }
                _ => {
                    if let Some(small) = small {
                        let filler = small.join("filler");
                        fill(&filler);
                        thread::sleep(Duration::from_millis(300));
                        fs::remove_file(&filler).unwrap();
                    }
                }
            }
        }
    });
    let begun = Instant::now();
    while !before.queue().is_empty() {
        before.flush();
        thread::sleep(Duration::from_secs(1));
        assert!(begun.elapsed() < PATIENCE * 10, "{} messages still wait", before.queue().len());
    }
    let log = nodes.map(Node::end).concat();
    let stored = inbox(store.imap());
    for (number, octets) in stored.iter().enumerate() {
        stage.write(&format!("stored/{number}"), octets);
    }
    stage.good("open --batch stored opened", b"");
    let mut found = BTreeMap::<Vec<u8>, usize>::new();
    for file in files(&stage.path("opened")) {
        let octets = fs::read(file).unwrap();
        // Above the message stands what Postfix added.
        let start = octets.windows(6).position(|part| part == b"From: ").unwrap();
        *found.entry(octets[start..].to_vec()).or_default() += 1;
    }
    let twice: usize = found.values().map(|times| times - 1).sum();
    println!("{count} messages, {rounds} faults, {twice} twice, {} lines of log", log.lines().count());
    assert_eq!(found.len(), count, "lost");
    assert!((0..count).all(|number| found.contains_key(&mail(number))));
    // Only what a killed gateway, or a store that was stopped, had taken and not answered: Postfix delivers 20 at once.
    assert!(twice <= rounds * 20, "{twice} twice");
    fs::remove_dir_all(stage.path("opened")).unwrap();
    let places =
        vec![stage.path("gate"), stage.path("other"), stage.path("tmp"), store.mail().parent().unwrap().to_path_buf()];
    #[cfg(feature = "postgres")]
    let places = [places, vec![database.directory().to_path_buf()]].concat();
    for file in places.iter().flat_map(|place| files(place)) {
        let octets = fs::read(&file).unwrap_or_default();
        assert!(!octets.windows(CANARY.len()).any(|part| part == CANARY), "readable in {}", file.display());
    }
    assert!(!log.contains("alice") && !log.contains("eve@"), "{log}");
}

/// One gateway of several.
struct Node<'a> {
    stage: &'a Stage,
    home: &'a str,
    listen: SocketAddr,
    runs: Option<Child>,
}

impl Node<'_> {
    fn start(&mut self) {
        self.runs = Some(run(self.stage, self.home, self.listen));
    }

    fn kill(&mut self) {
        let mut child = self.runs.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What it said.
    fn end(self) -> String {
        end(self.runs.unwrap())
    }
}

/// Takes all space that is left.
pub fn fill(file: &Path) {
    let mut filler = fs::File::create(file).unwrap();
    while filler.write_all(&[1; 1 << 16]).is_ok() {}
    while filler.write_all(&[1; 512]).is_ok() {}
}
