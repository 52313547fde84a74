//! The extended test bench, where it lies beside the checkout (`../shared/bench`): its tools as they are, run with python3 and bash. Nothing here
//! works without it, and no ordinary test needs it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{daemon::Daemon, directory::Directory, port::Port};

/// Where the tools are.
pub struct Bench(PathBuf);

/// A tool that listens, until it is dropped.
pub struct Tool {
    _daemon: Daemon,
    port: Port,
}

impl Tool {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

impl Bench {
    /// `None`, and it says so, when there is no bench.
    pub fn find() -> Option<Bench> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/bench");
        let found = path.canonicalize().ok().filter(|path| path.join("tools/oracle.py").is_file());
        if found.is_none() {
            println!("SKIPPED: ../shared/bench is not beside this checkout");
        }
        found.map(Bench)
    }

    /// A path in `../shared`, such as a corpus.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.0.join("..").join(name)
    }

    /// Fills a mailbox from `corpus` (files and directories) with at most `limit` messages, flags and dates chosen by `seed`, and
    /// remembers them in `state`. What the tool says.
    pub fn oracle_load(
        &self,
        server: SocketAddr,
        mailbox: &str,
        state: &Path,
        corpus: &[PathBuf],
        limit: u32,
        seed: u64,
    ) -> Result<String, String> {
        let mut command = self.tool("oracle.py");
        command.args(["load", &server.to_string(), mailbox]).arg(state).args(corpus);
        command.arg(format!("--limit={limit}")).arg(format!("--seed={seed}"));
        run(&mut command)
    }

    /// Whether all that was loaded is still there, once, sealed, unchanged within. `keys` as `tools/mkkeys.sh` writes it; in the files of
    /// `maildir`, if given, no plaintext may be left.
    pub fn oracle_check(
        &self,
        server: SocketAddr,
        mailbox: &str,
        state: &Path,
        keys: &Path,
        maildir: Option<&Path>,
    ) -> Result<String, String> {
        let mut command = self.tool("oracle.py");
        command.args(["check", &server.to_string(), mailbox]).arg(state).arg(keys);
        command.args(maildir.map(|path| format!("--maildir={}", path.display())));
        run(&mut command)
    }

    /// Keys of alice and bob for the oracle, into a directory.
    pub fn keys(&self, into: &Path) -> Result<String, String> {
        run(Command::new("bash").arg(self.0.join("tools/mkkeys.sh")).arg(into))
    }

    /// The bench's own Gmail; `dedup` is `ignore`, `replace` or `off`.
    pub fn fake_gmail(&self, dedup: &str) -> Tool {
        let port = Port::reserve();
        let mut command = self.tool("fakegmail.py");
        command.arg(port.number().to_string()).arg(format!("--dedup={dedup}"));
        listening(&mut command, port)
    }

    /// The bench's own man in the middle, with its own options.
    pub fn imap_fault(&self, upstream: SocketAddr, options: &[&str]) -> Tool {
        let port = Port::reserve();
        let mut command = self.tool("imapfault.py");
        command.arg(port.number().to_string()).arg(upstream.to_string()).args(options);
        listening(&mut command, port)
    }

    /// Starts `command` and kills it, `kills` times, then lets it run until the shell command `settled` succeeds, and runs `check`.
    pub fn kill_test(&self, kills: u32, settled: &str, check: &str, command: &[&str]) -> Result<String, String> {
        let mut tool = self.tool("killtest.py");
        tool.arg(format!("--kills={kills}")).arg(format!("--settle={settled}")).arg(format!("--check={check}"));
        run(tool.arg("--").args(command))
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.0.join("tools").join(name));
        command
    }
}

/// A Dovecot 2.4 (with IMAP REPLACE) in a Debian 13 beside this machine's own, which the bench makes on first use, in minutes.
pub struct Dovecot24 {
    bench: PathBuf,
    directory: Directory,
    ports: [Port; 3],
}

/// `None`, and it says so, without the bench, or without root, or when it does not start.
pub fn dovecot24() -> Option<Dovecot24> {
    let bench = Bench::find()?.0;
    let server = Dovecot24 { bench, directory: Directory::create(), ports: Port::reserve_row() };
    let mut command = Command::new("bash");
    command
        .arg(server.bench.join("servers/dovecot24.sh"))
        .arg(server.directory.path())
        .arg(server.ports[0].number().to_string());
    // Its server inherits the output, so its end is not waited for: what counts is the exit code.
    let log = std::fs::File::create(server.directory.join("started")).expect("a file");
    let status = command.stdin(Stdio::null()).stdout(log.try_clone().expect("the same file")).stderr(log).status();
    if !status.is_ok_and(|status| status.success()) {
        let said = std::fs::read_to_string(server.directory.join("started")).unwrap_or_default();
        println!("SKIPPED: the bench's Dovecot 2.4 does not start: {said}");
        return None;
    }
    Some(server)
}

impl Dovecot24 {
    /// Where it speaks IMAP in the clear, and takes STARTTLS.
    pub fn imap(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where it speaks IMAP within TLS.
    pub fn imaps(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// Where it takes deliveries.
    pub fn lmtp(&self) -> SocketAddr {
        self.ports[2].address()
    }

    /// Certificate (PEM) of the authority that signed the server's.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The directory that holds everything of alice.
    pub fn mail(&self) -> PathBuf {
        self.directory.join("mail/alice")
    }
}

impl Drop for Dovecot24 {
    fn drop(&mut self) {
        let _ = run(Command::new("bash").arg(self.bench.join("down.sh")).arg(self.directory.path()));
    }
}

fn listening(command: &mut Command, port: Port) -> Tool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut daemon = Daemon::spawn(command).expect("python3 runs");
    assert!(daemon.greets(port.address()), "a tool of the bench does not start");
    Tool { _daemon: daemon, port }
}

/// What it printed: `Err` when it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}
