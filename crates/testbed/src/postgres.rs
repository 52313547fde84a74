//! A PostgreSQL on loopback, for one test. It never touches the machine's own clusters: directory, port and processes are its own.

use std::{
    fs::{self, File},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{daemon::Daemon, directory::Directory, port::Port};

/// Whom the cluster belongs to when root runs the tests: PostgreSQL refuses root.
const USER: &str = "nobody";

/// A running PostgreSQL with the database `postgres` and the user `sealpost`.
pub struct Postgres {
    // The daemon ends before its directory goes.
    daemon: Option<Daemon>,
    port: Port,
    directory: Directory,
    programs: PathBuf,
}

impl Postgres {
    /// Panics, saying why, when there is no PostgreSQL or it does not start.
    pub fn start() -> Postgres {
        let directory = Directory::create();
        let programs = programs();
        let data = directory.make("data");
        let owner = user();
        if let Some((user, group)) = owner {
            for path in [directory.path(), &data] {
                chown(path, Some(user), Some(group)).expect("the directory given to its user");
            }
        }
        let mut command = as_user(&programs.join("initdb"), owner);
        command.args(["-U", "sealpost", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"]).arg(&data);
        let made = command.output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = Postgres { daemon: None, port: Port::reserve(), directory, programs };
        server.restart();
        server
    }

    /// How it is reached.
    pub fn url(&self) -> String {
        format!("postgres://sealpost@127.0.0.1:{}/postgres?sslmode=disable", self.port.number())
    }

    /// Every file of it is below here.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Stops and starts again: same port, same rows.
    pub fn restart(&mut self) {
        self.stop();
        let data = self.directory.join("data");
        // A server that was ended at once leaves it behind, and refuses to start while its number belongs to another process.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        let out = File::create(self.directory.join("log")).expect("a file for what the server prints");
        let mut command = as_user(&self.programs.join("postgres"), user());
        command.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c"]);
        command.arg(format!("port={}", self.port.number())).arg("-c");
        command.arg(format!("unix_socket_directories={}", self.directory.path().display()));
        command.stdout(out.try_clone().expect("the same file")).stderr(out);
        let mut daemon = Daemon::spawn(&mut command).expect("a process");
        let answers = daemon.answers(|| {
            let mut ask = as_user(&self.programs.join("pg_isready"), user());
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.number().to_string()]);
            ask.status().is_ok_and(|status| status.success())
        });
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        assert!(answers, "PostgreSQL does not start:\n{log}");
        self.daemon = Some(daemon);
    }
}

/// Number and group of [`USER`], if we are root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let line = users.lines().find(|line| line.starts_with(&format!("{USER}:"))).expect("the user nobody");
    let mut words = line.split(':').skip(2).map(|word| word.parse().expect("a number"));
    Some((words.next().expect("a user"), words.next().expect("a group")))
}

fn as_user(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").is_file());
    found.sort();
    found.pop().expect(
        "PostgreSQL is not installed (Debian: postgresql; ./test installs it). \
         SEALPOST_NO_SERVERS=1 leaves out the tests that need it.",
    )
}
