//! A Cyrus IMAP on loopback, for one test, from programs that `install-cyrus` unpacked. It expunges late and keeps what is expunged on disk, as
//! Cyrus does unless told otherwise; it refuses bare LF, NUL and malformed header lines.

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{authority::certify, daemon::Daemon, directory::Directory, port::Port};

/// Another server may take a port in the same instant.
const TRIES: usize = 3;
const SERVER: &str = "mail.example.test";
const SPECIAL: [&str; 5] = ["Drafts", "Sent", "Trash", "Archive", "Junk"];

/// A running Cyrus with the users alice (alice-pw) and bob (bob-pw), the separator `/`, and the mailboxes Drafts, Sent, Trash, Archive and Junk
/// with their special uses, made at the first login. Special uses come in small letters (`\\trash`), which is legal (RFC 6154 §6).
pub struct Cyrus {
    // The daemon ends before its directory goes.
    daemon: Option<Daemon>,
    ports: [Port; 3],
    authority: PathBuf,
    programs: PathBuf,
    directory: Directory,
}

impl Cyrus {
    /// As it comes. Panics, saying why, when there is no Cyrus or it does not start.
    pub fn start() -> Cyrus {
        Cyrus::with("")
    }

    /// With more lines of imapd.conf, such as `expunge_mode: immediate` or `suppress_capabilities: UIDPLUS MOVE`.
    pub fn with(extra: &str) -> Cyrus {
        let mut failures = String::new();
        for _ in 0..TRIES {
            let mut server = Cyrus::prepare(extra);
            if server.launch() {
                return server;
            }
            failures += &server.log();
        }
        panic!("Cyrus does not start:\n{failures}");
    }

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

    /// Certificate (PEM) of the authority that signed the server's, which is for localhost and 127.0.0.1.
    pub fn authority(&self) -> PathBuf {
        self.authority.clone()
    }

    /// The directory that holds the mail of all users: Cyrus names those in it by numbers of its own.
    pub fn mail(&self) -> PathBuf {
        self.directory.join("spool")
    }

    /// Stops and starts again: same ports, same mail.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.launch(), "Cyrus does not start again:\n{}", self.log());
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

    /// What its master printed so far; the rest goes to the machine's syslog.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("out")).unwrap_or_default()).into_owned()
    }

    fn prepare(extra: &str) -> Cyrus {
        let programs = programs();
        let directory = Directory::create();
        let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
        let authority = certify(&directory);
        for name in ["db", "socket", "proc", "log", "msg", "sync", "ptclient"] {
            directory.make(&format!("conf/{name}"));
        }
        directory.make("spool");
        let root = rustix::process::geteuid().is_root();
        let user = if root { "nobody".to_owned() } else { said("id", &["-un"]) };
        directory.write("imapd.conf", &imapd_conf(directory.path(), &user, extra));
        directory.write("cyrus.conf", &cyrus_conf(directory.path(), &programs, ports.each_ref().map(Port::number)));
        let server = Cyrus { daemon: None, ports, authority, programs, directory };
        server.passwords();
        if root {
            let number = |flag| said("id", &[flag, &user]).parse().expect("a number of a user");
            give(server.directory.path(), number("-u"), number("-g"));
        }
        server
    }

    fn passwords(&self) {
        for user in ["alice", "bob"] {
            let mut command = self.command("usr/sbin/saslpasswd2");
            command.args(["-p", "-c", "-u", SERVER, "-f"]).arg(self.directory.join("sasldb2")).arg(user);
            let mut child = command.stdin(Stdio::piped()).spawn().expect("saslpasswd2 runs");
            let input = child.stdin.take().expect("a pipe");
            (&input).write_all(format!("{user}-pw").as_bytes()).expect("a password is taken");
            drop(input);
            assert!(child.wait().is_ok_and(|status| status.success()), "saslpasswd2 fails");
        }
    }

    fn launch(&mut self) -> bool {
        let out = File::create(self.directory.join("out")).expect("a file for what the server prints");
        let mut command = self.command("usr/lib/cyrus/bin/master");
        let file = |name| self.directory.join(name);
        command
            .arg("-C")
            .arg(file("imapd.conf"))
            .arg("-M")
            .arg(file("cyrus.conf"))
            .arg("-p")
            .arg(file("conf/pid"))
            .arg("-D");
        command.stdout(out.try_clone().expect("the same file")).stderr(out);
        let mut daemon = Daemon::spawn(&mut command).expect("a process");
        let greets = daemon.greets(self.imap());
        self.daemon = greets.then_some(daemon);
        greets
    }

    /// A program of Cyrus, with its libraries.
    fn command(&self, name: &str) -> Command {
        let folders = |name: &str| {
            let found = ["usr/lib", "lib"]
                .into_iter()
                .flat_map(|lib| fs::read_dir(self.programs.join(lib)))
                .flatten()
                .flatten();
            let found: Vec<String> =
                found.map(|entry| entry.path().join(name)).map(|path| path.display().to_string()).collect();
            found.join(":")
        };
        let mut command = Command::new(self.programs.join(name));
        command
            .env("LD_LIBRARY_PATH", folders(""))
            .env("SASL_PATH", format!("{}:{}", folders("sasl2"), machine_plugins()));
        command
    }
}

fn imapd_conf(directory: &Path, user: &str, extra: &str) -> String {
    let directory = directory.display();
    let mut text = format!(
        "configdirectory: {directory}/conf\ndefaultpartition: default\npartition-default: {directory}/spool\n\
         servername: {SERVER}\ncyrus_user: {user}\nadmins: {user}\nunixhierarchysep: yes\naltnamespace: yes\n\
         allowplaintext: yes\nsasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_mech_list: PLAIN\n\
         sasl_sasldb_path: {directory}/sasldb2\ntls_server_cert: {directory}/server.pem\ntls_server_key: {directory}/server.key\n\
         autocreate_quota: 0\nautocreate_post: yes\nautocreate_inbox_folders: {}\nspecialusealways: yes\nimapidlepoll: 1\n\
         idlesocket: {directory}/conf/socket/idle\nlmtp_downcase_rcpt: yes\nmaxmessagesize: 0\ndelete_mode: immediate\n",
        SPECIAL.join(" | "),
    );
    for name in SPECIAL {
        text += &format!("xlist-{}: {name}\n", name.to_lowercase());
    }
    text + extra + "\n"
}

fn cyrus_conf(directory: &Path, programs: &Path, ports: [u16; 3]) -> String {
    let [imap, imaps, lmtp] = ports;
    let (bin, conf) = (programs.join("usr/lib/cyrus/bin"), directory.join("imapd.conf"));
    let (bin, conf) = (bin.display(), conf.display());
    let service = |name: &str, program: &str, port: u16, ready: u8| {
        format!(
            "  {name} cmd=\"{bin}/{program} -C {conf}\" listen=\"127.0.0.1:{port}\" proto=tcp4 prefork={ready} maxchild=100\n"
        )
    };
    format!(
        "START {{\n  recover cmd=\"{bin}/ctl_cyrusdb -C {conf} -r\"\n}}\nSERVICES {{\n{}{}{}}}\nEVENTS {{\n}}\n\
         DAEMON {{\n  idled cmd=\"{bin}/idled -C {conf}\"\n}}\n",
        service("imap", "imapd", imap, 1),
        service("imaps", "imapd -s", imaps, 0),
        service("lmtp", "lmtpd -a", lmtp, 0),
    )
}

/// Where `install-cyrus` puts them.
fn programs() -> PathBuf {
    let found =
        std::env::var_os("SEALPOST_CYRUS").map(PathBuf::from).unwrap_or_else(|| {
            match rustix::process::geteuid().is_root() {
                true => PathBuf::from("/opt/sealpost-cyrus"),
                false => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cyrus"),
            }
        });
    found.canonicalize().ok().filter(|folder| folder.join("usr/lib/cyrus/bin/imapd").is_file()).expect(
        "Cyrus is not there (crates/testbed/install-cyrus unpacks it, ./test calls that). \
         SEALPOST_NO_SERVERS=1 leaves out the tests that need it.",
    )
}

/// Where the machine has SASL plug-ins, which are unpacked only when it has none.
fn machine_plugins() -> String {
    let found = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path().join("sasl2"));
    let found: Vec<String> = found.filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect();
    found.join(":")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("a program that runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A directory with all that is in it.
fn give(path: &Path, user: u32, group: u32) {
    chown(path, Some(user), Some(group)).expect("a file given to the server's user");
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path(), user, group);
    }
}
