//! A mail server's gateway as its admin types it: directory, pipe, service, held mail; and what a killed gateway leaves.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use testbed::{Dovecot, Format, Language, Postfix, submit};
use wire::imap::{Access, Credentials, Endpoint, Fetched, MailboxName, Security, Session, Timeouts, Trust, UidSet};

use crate::program::{CANARY, Stage};

const ALICE: &str = "alice@example.org";
/// As far as a test looks into the future.
const PATIENCE: Duration = Duration::from_secs(60);

/// An owner's home `home`, a gateway's home `gate` that the owner trusts, and the owner's public file.
fn stage() -> Stage {
    let stage = Stage::with_owner();
    stage.good("--home gate init --sealer", b"");
    let sealer = stage.good("--home gate key export --sealer", b"");
    stage.write("gate.sealer", sealer);
    stage.good("key trust-sealer gate.sealer", b"");
    let enrolment = stage.good("key enrolment", b"");
    stage.write("alice.enrolment", enrolment);
    stage
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn configure(stage: &Stage, listen: SocketAddr, seal: &str, sink: &str, more: &str) {
    stage.write(
        "gate/config.toml",
        format!("[flow.delivery]\nsource = {{ lmtp = \"{listen}\" }}\nseal = {{ {seal} }}\nsink = {sink}\n{more}\n"),
    );
}

/// The gateway; it has begun to listen.
fn run(stage: &Stage, listen: SocketAddr) -> Child {
    let child = stage.command("--home gate run").stdin(Stdio::null()).spawn().unwrap();
    until("the gateway listens", || TcpStream::connect(listen).is_ok());
    child
}

fn ask(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Ends it in order; what it said.
fn end(child: Child) -> String {
    ask(&child, Signal::TERM);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    said
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

/// With all the fields that a mail server would add.
fn mail(number: usize) -> Vec<u8> {
    let canary = String::from_utf8_lossy(CANARY).into_owned();
    format!(
        "From: eve@example.com\r\nTo: {ALICE}\r\nSubject: {canary} {number}\r\nMessage-ID: <{number}@example.com>\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nnumber {number}: {canary}\r\n"
    )
    .into_bytes()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_directory_is_kept_from_the_command_line() {
    let stage = stage();
    for place in ["certs", "sqlite:recipients.db"] {
        let line = |rest: &str| format!("--home gate directory {rest} --directory {place}");
        stage.good(&line("add Alice@Example.org alice.enrolment"), b"");
        stage.good(&line("add info@example.org --alias-of alice@example.org"), b"");
        let list = stage.json(&line("list --json"), b"");
        assert_eq!((list[0]["address"].as_str(), list[1]["address"].as_str()), (Some(ALICE), Some("info@example.org")));
        assert_eq!(list[0]["keys"].as_array().unwrap().len(), 2, "{list}");
        assert!(stage.text(&line("check"), b"").contains("2 entries tried, 0 cannot be sealed to"));
        stage.write("wrong", "hello");
        stage.bad(&line("add bob@example.org wrong"), b"", 65, "no mail can be sealed to this");
        stage.bad(&line("add bob@example.org home/keys/mailbox.secret.asc"), b"", 65, "secret key");
        stage.bad(&line("add @ alice.enrolment"), b"", 64, "no address");
        stage.bad(&line("add bob@example.org"), b"", 64, "--alias-of");
        stage.good(&line("add lost@example.org --alias-of nobody@example.org"), b"");
        let checked = stage.run(&line("check"), b"");
        assert!(checked.code == 78 && checked.err.contains("1 entries cannot be sealed to"), "{checked}");
        stage.good(&line("remove lost@example.org"), b"");
        stage.bad(&line("remove lost@example.org"), b"", 65, "not in the directory");
    }
    stage.bad("--home gate directory list", b"", 64, "no flow has a recipient directory");
    stage.write("gate/foreign.db", fs::read(stage.path("gate/recipients.db")).unwrap());
    let state = rusqlite::Connection::open(stage.path("gate/foreign.db")).unwrap();
    state.pragma_update(None, "application_id", 7).unwrap();
    drop(state);
    stage.bad("--home gate directory list --directory sqlite:foreign.db", b"", 69, "another program");
}

#[test]
fn a_pipe_seals_to_the_envelope_recipient() {
    let stage = stage();
    stage.good("--home gate directory add alice@example.org alice.enrolment --directory certs", b"");
    let sealed =
        stage.good("--home gate seal --rcpt Alice+x@example.org --sender eve@example.com --directory certs", &mail(1));
    assert_eq!(stage.good("open", &sealed), mail(1));
    stage.bad("--home gate seal --rcpt bob@example.org --directory certs", &mail(1), 75, "no key to seal");
    stage.bad("--home gate seal --rcpt bob@example.org --directory nowhere", &mail(1), 75, "directory");
}

#[test]
fn a_gateway_runs_reloads_counts_and_drains() {
    let stage = stage();
    let (listen, metrics) = (free(), free());
    let more = format!("[metrics]\nlisten = \"{metrics}\"");
    configure(&stage, listen, "certificates = \"certs\"", "{ maildir = \"out\" }", &more);
    stage.good("--home gate directory add alice@example.org alice.enrolment", b"");
    stage.good("--home gate check", b"");
    stage.bad("--home gate sweep delivery", b"", 78, "seals mail that passes by");
    let gateway = run(&stage, listen);
    let ask_for = |to: &str| submit(Language::Lmtp, listen, "eve@example.com", &[to], &mail(1)).unwrap().remove(0);
    assert!(ask_for(ALICE).starts_with("250") && ask_for("bob@example.org").starts_with("451 4.7.5"));
    assert!(get(metrics, "/healthz").starts_with("HTTP/1.1 200"));
    let counters = get(metrics, "/metrics");
    assert!(counters.contains("sealpost_copies_total{flow=\"delivery\",outcome=\"sealed\"} 1\n"), "{counters}");
    assert!(counters.contains("sealpost_troubles_total{flow=\"delivery\",reason=\"no-key\"} 1\n"), "{counters}");
    assert!(get(metrics, "/x").starts_with("HTTP/1.1 404"));
    // Another policy, without a new process; a broken config changes nothing.
    configure(&stage, listen, "certificates = \"certs\", on-failure = \"reject\"", "{ maildir = \"out\" }", &more);
    ask(&gateway, Signal::HUP);
    until("the new policy counts", || ask_for("bob@example.org").starts_with("550 5.7.5"));
    stage.write("gate/config.toml", "[flow");
    ask(&gateway, Signal::HUP);
    thread::sleep(Duration::from_millis(300));
    assert!(ask_for("bob@example.org").starts_with("550 5.7.5"));
    configure(&stage, listen, "certificates = \"certs\"", "{ maildir = \"out\" }", &more);
    // A message that is under way when it is asked to end is taken, and an idle session is told.
    let mut slow = TcpStream::connect(listen).unwrap();
    slow.write_all(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: x\r\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    ask(&gateway, Signal::TERM);
    thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(listen).is_err(), "no more connections");
    slow.write_all(b"\r\nlate\r\n.\r\n").unwrap();
    let mut said = String::new();
    slow.read_to_string(&mut said).unwrap();
    assert!(said.contains("250 2.0.0 delivered") && said.contains("421 4.3.2"), "{said}");
    let ended = gateway.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && log.contains("goes on as it was"), "{log}");
    assert!(log.contains("flow=delivery outcome=deferred code=451 reason=no-key"), "{log}");
    assert!(!log.contains("alice") && !log.contains("bob") && !log.contains("canary"), "{log}");
    let out = files(&stage.path("gate/out/new"));
    assert_eq!(out.len(), 2);
    let status = stage.json("--home gate status delivery --json", b"");
    assert_eq!(status["delivery"]["copies"]["sealed"], 2, "{status}");
    assert!(stage.text("--home gate status", b"").contains("copies sealed and taken by the next server"));
}

#[test]
fn held_mail_is_let_go_where_its_key_is() {
    let stage = stage();
    // Whoever may release has a home of his own, on another machine.
    stage.good("--home keeper init --address keeper@example.org --no-passphrase --recovery keeper.asc", b"");
    let enrolment = stage.good("--home keeper key enrolment", b"");
    stage.write("gate/holding.enrolment", enrolment);
    stage.good("--home keeper key trust-sealer gate.sealer", b"");
    let keeper = stage.good("--home keeper key export --sealer", b"");
    stage.write("keeper.sealer", keeper);
    stage.good("key trust-sealer keeper.sealer", b"");
    let listen = free();
    let seal = "certificates = \"certs\", on-failure = \"hold\", \
                hold = { certificate = \"holding.enrolment\", maildir = \"held\" }";
    configure(&stage, listen, seal, "{ maildir = \"out\" }", "");
    fs::create_dir(stage.path("gate/certs")).unwrap();
    let gateway = run(&stage, listen);
    // A header as long as the list view, so that nothing of it crowds out whom it is for.
    let long = [format!("References: {}\r\n", "<a@b> ".repeat(3000)).as_bytes(), &mail(1)].concat();
    for (number, octets) in [mail(0), long.clone()].iter().enumerate() {
        let to = if number == 0 { "bob@example.org" } else { ALICE };
        let said = submit(Language::Lmtp, listen, "eve@example.com", &[to], octets).unwrap();
        assert!(said[0].starts_with("250 2.0.0 held"), "{said:?}");
    }
    end(gateway);
    for file in files(&stage.path("gate")) {
        let octets = fs::read(&file).unwrap();
        for secret in [CANARY, b"eve@example.com", b"bob@example.org"] {
            let shown = String::from_utf8_lossy(secret).into_owned();
            assert!(!octets.windows(secret.len()).any(|part| part == secret), "{shown} in {}", file.display());
        }
    }
    // The gateway cannot list it; the keeper can.
    stage.bad("--home gate held list gate/held", b"", 78, "no secret key");
    let list = stage.json("--home keeper held list gate/held --json", b"");
    assert_eq!((list[0]["to"].as_str(), list[1]["to"].as_str()), (Some("bob@example.org"), Some(ALICE)), "{list}");
    stage.good("--home keeper directory add alice@example.org alice.enrolment --directory certs", b"");
    let line = "--home keeper held release gate/held --directory certs --to released";
    let outcome = stage.run(line, b"");
    assert!(outcome.code == 65 && outcome.err.contains("no key for whom it is for yet"), "{outcome}");
    assert_eq!(files(&stage.path("gate/held")).len(), 1);
    let released = files(&stage.path("released/new"));
    assert_eq!(released.len(), 1);
    assert!(stage.good("open", &fs::read(&released[0]).unwrap()) == long);
    // Bob's key arrives; his mail goes by LMTP.
    stage.good("--home keeper directory add bob@example.org alice.enrolment --directory certs", b"");
    configure(&stage, listen, "certificates = \"certs\"", "{ maildir = \"out\" }", "");
    fs::copy(stage.path("alice.enrolment"), stage.path("gate/certs/bob@example.org.enrolment")).unwrap();
    let gateway = run(&stage, listen);
    stage.good(&format!("--home keeper held release gate/held --directory certs --to lmtp:{listen}"), b"");
    end(gateway);
    assert!(files(&stage.path("gate/held")).is_empty());
    let out = files(&stage.path("gate/out/new"));
    assert!(out.len() == 1 && stage.good("open", &fs::read(&out[0]).unwrap()) == mail(0));
}

/// Senders that try again until they are told "taken", as mail servers do, against a gateway that is killed again and again.
#[test]
fn a_killed_gateway_loses_nothing_and_leaves_nothing_readable() {
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, senders, kills) = if long { (10_000, 8, 100) } else { (400, 4, 8) };
    let stage = stage();
    let listen = free();
    configure(&stage, listen, "certificates = \"certs\"", "{ maildir = \"out\" }", "");
    stage.good("--home gate directory add alice@example.org alice.enrolment", b"");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut killed = 0;
    let again: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..senders)
            .map(|_| {
                scope.spawn(|| {
                    let mut again = 0;
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
            let mut gateway = run(&stage, listen);
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

/// Everything in alice's INBOX.
fn inbox(server: SocketAddr) -> Vec<Vec<u8>> {
    let endpoint = Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain };
    let credentials = Credentials::Password { user: "alice".to_owned(), password: "alice-pw".to_owned().into() };
    let patience = Timeouts { connect: PATIENCE, response: PATIENCE * 5 };
    let mut session =
        Session::connect(&endpoint, &Trust::default(), &credentials, &patience, std::sync::Arc::default()).unwrap();
    let mut messages = Vec::new();
    if session.select(&MailboxName::from_utf8("INBOX"), Access::Read).unwrap().exists > 0 {
        let mut all = UidSet::new();
        all.insert_range(1, u32::MAX);
        let each = |fetched: Fetched<Vec<u8>>| messages.extend(fetched.body.map(Result::unwrap));
        session.uid_fetch(&all, "UID BODY.PEEK[]", |_| Ok(Vec::new()), each).unwrap();
    }
    session.logout();
    messages
}

/// A mail server before and a store behind the gateway, a database beside it; each of them fails, again and again.
#[test]
fn whatever_fails_every_message_arrives_sealed() {
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, rounds) = if long { (10_000, 60) } else { (250, 6) };
    let stage = stage();
    let listen = free();
    let mut store = Dovecot::start(Format::Maildir);
    #[cfg(feature = "postgres")]
    let mut database = testbed::Postgres::start();
    #[cfg(feature = "postgres")]
    let directory = database.url();
    #[cfg(not(feature = "postgres"))]
    let directory = "sqlite:recipients.db".to_owned();
    let sink = format!("{{ lmtp = \"{}\" }}", store.lmtp());
    configure(&stage, listen, &format!("certificates = \"{directory}\""), &sink, "");
    stage.good("--home gate directory add alice@example.test alice.enrolment", b"");
    let before = Postfix::start(&format!("lmtp:inet:{listen}"), None);
    let smtp = before.smtp();
    let sender = thread::spawn(move || {
        for number in 0..count {
            let said = submit(Language::Smtp, smtp, "eve@example.com", &["alice@example.test"], &mail(number)).unwrap();
            assert!(said[0].starts_with("250"), "{said:?}");
        }
    });
    let mut gateway = run(&stage, listen);
    for round in 0..rounds {
        thread::sleep(Duration::from_millis(300));
        match round % 3 {
            0 => {
                gateway.kill().unwrap();
                gateway.wait().unwrap();
                gateway = run(&stage, listen);
            }
            1 => {
                store.stop();
                thread::sleep(Duration::from_millis(300));
                store.restart();
            }
            _ => {
                #[cfg(feature = "postgres")]
                {
                    database.stop();
                    thread::sleep(Duration::from_millis(300));
                    database.restart();
                }
            }
        }
    }
    sender.join().unwrap();
    let begun = Instant::now();
    while !before.queue().is_empty() {
        before.flush();
        thread::sleep(Duration::from_millis(300));
        assert!(begun.elapsed() < PATIENCE * 10, "{} messages still wait", before.queue().len());
    }
    let log = end(gateway);
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
    let places = vec![stage.path("gate"), stage.path("tmp"), store.mail().parent().unwrap().to_path_buf()];
    #[cfg(feature = "postgres")]
    let places = [places, vec![database.directory().to_path_buf()]].concat();
    for file in places.iter().flat_map(|place| files(place)) {
        let octets = fs::read(&file).unwrap_or_default();
        assert!(!octets.windows(CANARY.len()).any(|part| part == CANARY), "readable in {}", file.display());
    }
    assert!(!log.contains("alice") && !log.contains("eve@"), "{log}");
}
