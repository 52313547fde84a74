//! The program as it is typed, on a stage of its own: a temporary directory that is current directory, HOME and TMPDIR's
//! parent at once. Never touches the user's files.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

/// Stands in the body of every sample.
pub const CANARY: &[u8] = b"canary-7f3a-only-the-owner-reads-this";

/// Where a test plays.
pub struct Stage {
    directory: TempDir,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Stage {
    /// Without any home yet.
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        Self { directory }
    }

    /// With an owner's home `home`, its keys without passphrase, the recovery key in `recovery.asc`.
    pub fn with_owner() -> Self {
        let stage = Self::new();
        stage.good("init --address alice@example.org --no-passphrase --recovery recovery.asc", b"");
        stage
    }

    /// The same with S/MIME keys.
    pub fn with_smime_owner() -> Self {
        let stage = Self::new();
        stage.good("init --smime --address alice@example.org --no-passphrase --recovery recovery.pem", b"");
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, octets: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, octets).unwrap();
        path
    }

    /// The program with arguments that are separated by spaces.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command
            .args(line.split_whitespace())
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("SEALPOST_HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it with `stdin` from a pipe.
    pub fn run(&self, line: &str, stdin: &[u8]) -> Outcome {
        feed(self.command(line), stdin)
    }

    /// Runs it with a file as standard input.
    pub fn run_file(&self, line: &str, file: &Path) -> Outcome {
        let mut command = self.command(line);
        command.stdin(fs::File::open(file).unwrap());
        Outcome::of(command.spawn().unwrap())
    }

    /// Runs what must end well: what it printed.
    pub fn good(&self, line: &str, stdin: &[u8]) -> Vec<u8> {
        let outcome = self.run(line, stdin);
        assert_eq!(outcome.code, 0, "{line}: {outcome}");
        outcome.out
    }

    /// The same, as text.
    pub fn text(&self, line: &str, stdin: &[u8]) -> String {
        String::from_utf8(self.good(line, stdin)).unwrap()
    }

    /// The same, as JSON.
    pub fn json(&self, line: &str, stdin: &[u8]) -> serde_json::Value {
        serde_json::from_slice(&self.good(line, stdin)).unwrap()
    }

    /// Runs what must fail, and how.
    pub fn bad(&self, line: &str, stdin: &[u8], code: i32, says: &str) -> Outcome {
        let outcome = self.run(line, stdin);
        outcome.is_failure(line, code, says);
        outcome
    }
}

/// Runs a command with `stdin` from a pipe; a program that stops reading is no fault of the test.
pub fn feed(mut command: Command, stdin: &[u8]) -> Outcome {
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || match pipe.write_all(stdin) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
            Ok(()) => drop(pipe),
        });
        Outcome::of(child)
    })
}

impl Outcome {
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("panicked"), "{err}");
        Self { code: output.status.code().unwrap_or(-1), out: output.stdout, err }
    }

    /// One line says what is wrong, one what to do, nothing else; and no output.
    pub fn is_failure(&self, what: &str, code: i32, says: &str) {
        let lines: Vec<&str> = self.err.lines().collect();
        assert_eq!(self.code, code, "{what}: {self}");
        assert_eq!(lines.len(), 2, "{what}: {self}");
        assert!(lines[0].starts_with("sealpost: error: ") && lines[0].contains(says), "{what}: {self}");
        assert!(lines[1].starts_with("sealpost: hint: ") && lines[1].len() > 25, "{what}: {self}");
        assert!(self.out.is_empty(), "{what}: {} octets of output", self.out.len());
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let out = String::from_utf8_lossy(self.out.get(..400).unwrap_or(&self.out));
        write!(to, "code {}\n--- stderr\n{}--- stdout, its beginning\n{out}", self.code, self.err)
    }
}

/// The sample mails: name and octets.
pub fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/samples");
    let mut samples: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    samples.sort();
    assert!(samples.len() >= 11);
    samples
}

/// One of them.
pub fn sample(name: &str) -> Vec<u8> {
    samples().into_iter().find(|(known, _)| known == name).unwrap().1
}

/// A mail of about so many octets that does not compress, with the canary in every line.
pub fn large(octets: usize) -> Vec<u8> {
    let mut mail = b"From: a@example.org\r\nSubject: large\r\n\r\n".to_vec();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    while mail.len() < octets {
        mail.extend_from_slice(CANARY);
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            mail.extend_from_slice(format!("{state:016x}").as_bytes());
        }
        mail.extend_from_slice(b"\r\n");
    }
    mail
}

/// Does `octets` hold `wanted`?
pub fn holds(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}

/// Is a program there? If not, says so; the test is skipped then.
pub fn is_there(program: &str, version: &str) -> bool {
    let there = Command::new(program).arg(version).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

/// GnuPG with a keyring of its own, whose agent ends with it.
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    /// None where it is not installed.
    pub fn new() -> Option<Self> {
        is_there("gpg", "--version").then(|| Self { home: TempDir::with_prefix("gpg").unwrap() })
    }

    /// Runs it; what it printed.
    pub fn run(&self, arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command
            .arg("--homedir")
            .arg(self.home.path())
            .args([
                "--batch",
                "--yes",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--trust-model",
                "always",
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let outcome = feed(command, stdin);
        assert_eq!(outcome.code, 0, "gpg {arguments:?}: {outcome}");
        outcome.out
    }

    /// A file in its directory.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(name)).unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

/// Runs a test as a child that finds in that variable a file system of that size (tmpfs(5)), in a mount namespace of its own: it ends with the child, whatever
/// happens. False: there are no such namespaces here, and nothing was run.
pub fn on_small_disk(test: &str, variable: &str, size: &str) -> bool {
    let small = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size={size} none \"$0\" || exit 77; exec \"$@\"");
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(small.path())
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(variable, small.path())
        .output();
    match child {
        Ok(child) if child.status.code() != Some(77) && !child.stderr.starts_with(b"unshare:") => {
            let said = [child.stdout, child.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(child.status.success(), "{said}");
            println!("{said}");
            true
        }
        _ => false,
    }
}
