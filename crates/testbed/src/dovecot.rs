//! A Dovecot on loopback, 2.3 or 2.4, for one test. It never touches the machine's own Dovecot: directory, ports and processes are its own.

mod configuration;

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::chown,
    path::PathBuf,
    process::Command,
};

pub use configuration::Format;
use configuration::{Settings, Version};

use crate::{authority::certify, daemon::Daemon, directory::Directory, port::Port};

/// Whom mail belongs to when root runs the server: a number is enough, no such user has to exist.
const MAIL_USER: u32 = 54_321;
/// Another server may take a port in the same instant.
const TRIES: usize = 3;

/// What a test may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// How messages are stored.
    pub format: Format,
    /// The announced capabilities. The server still does what it no longer announces; [`Faults`](crate::Faults) takes that away too.
    pub capabilities: Option<&'static str>,
    /// Quota of each user, such as `1M`.
    pub quota: Option<&'static str>,
    /// More lines of configuration, in the syntax of the installed version.
    pub extra: String,
    /// Whether there are TLS and STARTTLS.
    pub tls: bool,
    /// Where the users' mail lies, such as a small file system; else in a directory of its own.
    pub mail: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            format: Format::Maildir,
            capabilities: None,
            quota: None,
            extra: String::new(),
            tls: true,
            mail: None,
        }
    }
}

/// A running Dovecot with the users alice (alice-pw) and bob (bob-pw), the separator `/`, and the mailboxes Drafts, Sent, Trash, Archive and Junk
/// with their special uses.
pub struct Dovecot {
    // The daemon ends before its directory goes.
    daemon: Option<Daemon>,
    ports: [Port; 3],
    tls: bool,
    authority: PathBuf,
    mail: PathBuf,
    directory: Directory,
}

impl Dovecot {
    /// With mail in `format` and everything else as it comes.
    pub fn start(format: Format) -> Dovecot {
        Dovecot::with(Options { format, ..Options::default() })
    }

    /// Panics, saying why, when there is no Dovecot or it does not start.
    pub fn with(options: Options) -> Dovecot {
        let mut failures = String::new();
        for _ in 0..TRIES {
            let mut server = Dovecot::prepare(&options);
            if server.launch() {
                return server;
            }
            failures += &server.log();
        }
        panic!("Dovecot does not start:\n{failures}");
    }

    /// Where it speaks IMAP in the clear, and takes STARTTLS.
    pub fn imap(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where it speaks IMAP within TLS.
    pub fn imaps(&self) -> SocketAddr {
        assert!(self.tls, "this Dovecot was started without TLS");
        self.ports[1].address()
    }

    /// Where it takes deliveries.
    pub fn lmtp(&self) -> SocketAddr {
        self.ports[2].address()
    }

    /// Certificate (PEM) of the authority that signed the server's, which is for localhost and 127.0.0.1. Another server has another authority.
    pub fn authority(&self) -> PathBuf {
        self.authority.clone()
    }

    /// The directory that holds everything of alice: mail, indexes, control files.
    pub fn mail(&self) -> PathBuf {
        self.mail.join("alice")
    }

    /// Stops and starts again: same ports, same mail.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.launch(), "Dovecot does not start again:\n{}", self.log());
    }

    /// Lets it end in order. Sessions are closed, the ports refuse.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.end();
        }
    }

    /// Ends every process of it at once.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        let read = |name| fs::read(self.directory.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("out"), read("log")].concat()).into_owned()
    }

    fn prepare(options: &Options) -> Dovecot {
        let directory = Directory::create();
        let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
        let authority = certify(&directory);
        let mail = options.mail.clone().unwrap_or_else(|| directory.make("mail"));
        let root = rustix::process::geteuid().is_root();
        let (user, group) = match root {
            true => (MAIL_USER, MAIL_USER),
            false => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        };
        if root {
            chown(&mail, Some(user), Some(group)).expect("the mail directory given to its user");
        }
        let users = ["alice", "bob"]
            .map(|name| format!("{name}:{{PLAIN}}{name}-pw:{user}:{group}::{}/{name}::\n", mail.display()));
        directory.write("users", &users.concat());
        let names = (!root).then(|| (said("id", "-un"), said("id", "-gn")));
        let settings = Settings {
            version: version(),
            format: options.format,
            directory: directory.path(),
            ports: [ports[0].number(), ports[1].number(), ports[2].number()],
            tls: options.tls,
            capabilities: options.capabilities,
            quota: options.quota,
            unprivileged: names.as_ref().map(|(user, group)| (user.as_str(), group.as_str())),
            extra: &options.extra,
        };
        let text = settings.text();
        directory.write("dovecot.conf", &text);
        Dovecot { daemon: None, ports, tls: options.tls, authority, mail, directory }
    }

    fn launch(&mut self) -> bool {
        let out = File::create(self.directory.join("out")).expect("a file for what the server prints");
        let mut command = Command::new(program());
        command.arg("-F").arg("-c").arg(self.directory.join("dovecot.conf"));
        command.stdout(out.try_clone().expect("the same file")).stderr(out);
        let mut daemon = Daemon::spawn(&mut command).expect("a process");
        let greets = daemon.greets(self.imap());
        self.daemon = greets.then_some(daemon);
        greets
    }
}

fn program() -> PathBuf {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).chain([PathBuf::from("/usr/sbin")]).map(|folder| folder.join("dovecot"));
    found.into_iter().find(|file| file.is_file()).expect(
        "Dovecot is not installed (Debian: dovecot-core dovecot-imapd dovecot-lmtpd; ./test installs them). \
         SEALPOST_NO_SERVERS=1 leaves out the tests that need it.",
    )
}

fn version() -> Version {
    let said = said(&program().display().to_string(), "--version");
    match said.split_whitespace().next().unwrap_or_default() {
        version if version.starts_with("2.3.") => Version::V23,
        version if version.starts_with("2.4.") => Version::V24,
        version => panic!("Dovecot {version} is not known here, 2.3 and 2.4 are"),
    }
}

fn said(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().expect("a program that runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
