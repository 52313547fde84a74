//! Other people's programs, run by the tests: gpg with a home of its own, sq, openssl, python3. A program that is not
//! installed makes its test print why it was skipped; where SEALPOST_ALL_PROGRAMS=1 is set it makes it fail.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// Are all of these installed? If not, that is printed.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !found(program)).collect();
    for program in &missing {
        println!("skipped: {program} is not installed");
    }
    assert!(
        missing.is_empty() || std::env::var_os("SEALPOST_ALL_PROGRAMS").is_none(),
        "programs are missing: {missing:?}"
    );
    missing.is_empty()
}

/// Runs a command with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that refuses its input may close it early.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

/// The same, and it must succeed: what it printed.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let done = run(command, input);
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// A home of gpg, with an agent that ends with it.
pub(crate) struct GnuPg {
    home: TempDir,
}

impl GnuPg {
    pub(crate) fn new() -> Self {
        // A short path: the agent's socket lies in it.
        let home = tempfile::Builder::new().prefix("sp").tempdir_in("/tmp").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        // A cheap passphrase derivation: what is tested is that we read it, not what it costs.
        std::fs::write(home.path().join("gpg-agent.conf"), "s2k-count 65536\n").unwrap();
        Self { home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", self.home.path()).env("LC_ALL", "C");
        command.args(["--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]);
        command.args(["--trust-model", "always"]).args(arguments);
        command
    }

    /// Runs gpg, which must succeed.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        output(&mut self.command(arguments), input)
    }

    /// Makes a key from the lines of gpg's unattended generation.
    pub(crate) fn make(&self, address: &str, parameters: &str) {
        let script = format!("%no-protection\n{parameters}\nName-Email: {address}\n%commit\n");
        self.run(&["--full-generate-key"], script.as_bytes());
    }

    pub(crate) fn certificate(&self, address: &str) -> Vec<u8> {
        self.run(&["--armor", "--export", address], b"")
    }
}

impl Drop for GnuPg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.home.path()).args(["--kill", "all"]).output();
    }
}

/// The armored message of a sealed mail, with the lines around it gone.
pub(crate) fn armor(sealed: &[u8]) -> &[u8] {
    let (begin, end) = (b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----\r\n");
    let start = find(sealed, begin).unwrap();
    &sealed[start..start + find(&sealed[start..], end).unwrap() + end.len()]
}

/// The original in a decrypted payload, by nothing but its boundaries (format §4.9).
pub(crate) fn cut(payload: &[u8]) -> &[u8] {
    let start = find(payload, b"\r\n\r\n--=_sealed_").unwrap() + 4;
    let line = find(&payload[start..], b"\r\n").unwrap();
    let end = [b"\r\n", &payload[start..start + line], b"--"].concat();
    let begin = start + line + 2;
    let last = payload.windows(end.len()).rposition(|window| window == end.as_slice()).unwrap();
    &payload[begin..last]
}

pub(crate) fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}
