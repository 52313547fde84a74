//! How fast mail is sealed on its way, beside the same way without sealing, in one run: `cargo bench --bench delivery [ROUNDS] [MESSAGES]`.
//!
//! Prints ratios. Needs Postfix (its `smtp-source` and `smtp-sink` too) and Dovecot, and root for the former; everything runs on this machine's cores.
#![expect(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use testbed::{Dovecot, Format, Postfix};

/// Octets of a mail's text.
const SIZE: &str = "4096";
const SESSIONS: &str = "10";
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo bench` and `cargo test --benches` pass arguments of their own.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if !testbed::servers() || !rustix::process::geteuid().is_root() {
        println!("skipped: needs Postfix, Dovecot, and root for the former");
        return;
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let rounds = numbers.next().unwrap_or(5);
    let messages = numbers.next().unwrap_or(2000);
    let home = Home::new();
    alone(&home, rounds, messages);
    between_servers(&home, rounds, messages);
}

/// Nothing but the gateway: a source that waits for nobody, a sink that keeps nothing.
fn alone(home: &Home, rounds: usize, messages: usize) {
    let sink = free();
    let _sink = Ended(
        Command::new("/usr/sbin/smtp-sink")
            .args(["-u", "nobody", "-L", &sink.to_string(), "1000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the sink listens", || TcpStream::connect(sink).is_ok());
    let gateway = home.gateway(sink);
    let source = |to: SocketAddr| {
        let begun = Instant::now();
        send(true, to, "alice@example.test", messages * 2);
        rate(messages * 2, begun.elapsed())
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(source(sink));
        with.push(source(gateway.listen));
    }
    let (with, without) = (median(with), median(without));
    println!("smtp-source -> sealpost -> smtp-sink: {with:.0}/s, {:.1} MB resident", gateway.resident());
    println!("smtp-source -> smtp-sink: {without:.0}/s; with sealing {:.2} of it", with / without);
}

/// From Postfix to Dovecot, with the gateway in between and without, by turns.
fn between_servers(home: &Home, rounds: usize, messages: usize) {
    let store = Dovecot::start(Format::Maildir);
    let gateway = home.gateway(store.lmtp());
    let sealed = Postfix::start(&format!("lmtp:inet:{}", gateway.listen), None);
    let plain = Postfix::start(&format!("lmtp:inet:{}", store.lmtp()), None);
    let users = store.mail().parent().unwrap().to_path_buf();
    let deliver = |server: &Postfix, user: &str| {
        let before = stored(&users.join(user));
        let begun = Instant::now();
        send(false, server.smtp(), &format!("{user}@example.test"), messages);
        until("all is stored", || stored(&users.join(user)) >= before + messages);
        rate(messages, begun.elapsed())
    };
    let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds + 1 {
        let bare = deliver(&plain, "bob");
        let gated = deliver(&sealed, "alice");
        // The first round finds no mailbox yet.
        if round > 0 {
            with.push(gated);
            without.push(bare);
            ratios.push(gated / bare);
        }
    }
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!(
        "Postfix -> sealpost -> Dovecot: {:.0}/s; Postfix -> Dovecot: {:.0}/s; ratio {:.2} (rounds: {})",
        median(with),
        median(without),
        median(ratios),
        each.join(", ")
    );
}

/// A gateway's home with one recipient, who has a mailbox key and a recovery key.
struct Home(PathBuf);

impl Home {
    fn new() -> Home {
        let home = Home(std::env::temp_dir().join(format!("sealpost-bench-{}", std::process::id())));
        fs::create_dir_all(&home.0).unwrap();
        home.run("--home owner init --address alice@example.test --no-passphrase --recovery recovery.asc");
        let enrolment = home.run("--home owner key enrolment");
        fs::write(home.0.join("enrolment"), enrolment).unwrap();
        home.run("--home gate init --sealer");
        home.run("--home gate directory add alice@example.test enrolment --directory certs");
        home
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command.args(line.split_whitespace()).current_dir(&self.0).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Vec<u8> {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "{line}");
        output.stdout
    }

    fn gateway(&self, sink: SocketAddr) -> Gateway {
        let listen = free();
        let config = format!(
            "[flow.delivery]\nsource = {{ lmtp = \"{listen}\" }}\nseal = {{ certificates = \"certs\" }}\nsink = {{ lmtp = \"{sink}\" }}\n"
        );
        fs::write(self.0.join("gate/config.toml"), config).unwrap();
        let child = Ended(self.command("--home gate run").spawn().unwrap());
        until("the gateway listens", || TcpStream::connect(listen).is_ok());
        Gateway { child, listen }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Gateway {
    child: Ended,
    listen: SocketAddr,
}

impl Gateway {
    /// MB.
    fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn send(lmtp: bool, to: SocketAddr, recipient: &str, messages: usize) {
    let mut command = Command::new("/usr/sbin/smtp-source");
    if lmtp {
        command.arg("-L");
    }
    command.args(["-s", SESSIONS, "-l", SIZE, "-m", &messages.to_string(), "-f", "eve@example.com", "-t", recipient]);
    assert!(command.arg(to.to_string()).status().unwrap().success());
}

/// Messages in an INBOX.
fn stored(user: &Path) -> usize {
    let folders = ["Maildir/new", "Maildir/cur", "mail/new", "mail/cur", "new", "cur"];
    folders.iter().filter_map(|folder| fs::read_dir(user.join(folder)).ok()).map(Iterator::count).sum()
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time");
        thread::sleep(Duration::from_millis(10));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(messages: usize, time: Duration) -> f64 {
    messages as f64 / time.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap()
}
