//! Where the secret of an account comes from: a command, a file, the environment. In: what the config names. Out: the first
//! line, or what is wrong in words for the owner. Never prints, logs or keeps a secret.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

/// How long a command may take.
pub const TIME: Duration = Duration::from_secs(60);
/// Octets of a secret, and of what stands after its line.
const MOST: u64 = 64 * 1024;
/// Between two looks at the stop sign.
const STEP: Duration = Duration::from_millis(100);

/// The first line that `sh -c` prints, run in `directory`. What it says on standard error goes to ours.
pub fn from_command(
    command: &str,
    directory: &Path,
    time: Duration,
    stop: &AtomicBool,
) -> Result<Zeroizing<String>, String> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| format!("the password command cannot be run: {error}"))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        // It ends when the pipe does; what a killed command left behind may hold that open for longer than we wait.
        thread::spawn(move || sender.send(first_line(out)));
    }
    let end = Instant::now() + time;
    let line = loop {
        match receiver.recv_timeout(STEP) {
            Ok(line) => break line.map_err(|why| format!("the password command {why}")),
            Err(RecvTimeoutError::Disconnected) => break Err("the password command cannot be read".to_owned()),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                break Err("asked to stop while the password command ran".to_owned());
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= end => {
                break Err(format!("the password command did not end within {} seconds", time.as_secs()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    let line = line.and_then(|line| ended(&mut child, end).map(|()| line));
    if line.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
    line?.ok_or_else(|| "the password command printed nothing".to_owned())
}

/// Waits for it; a code other than 0 is a failure, whatever it printed.
fn ended(child: &mut std::process::Child, end: Instant) -> Result<(), String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the password command failed ({status})")),
            Ok(None) if Instant::now() >= end => return Err("the password command does not end".to_owned()),
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(format!("the password command cannot be waited for: {error}")),
        }
    }
}

/// The first line of a file that nobody else may read.
pub fn from_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot read the password file {shown}: {error}"))?;
    let mode = file.metadata().map_err(|error| format!("cannot look at {shown}: {error}"))?.mode();
    if mode & 0o077 != 0 {
        return Err(format!("others may read the password file: chmod 600 {shown}"));
    }
    let line = first_line(file).map_err(|why| format!("the password file {shown} {why}"))?;
    line.ok_or_else(|| format!("the first line of the password file {shown} is empty"))
}

/// An environment variable.
pub fn from_environment(name: &str) -> Result<Zeroizing<String>, String> {
    match std::env::var(name) {
        Ok(secret) if !secret.is_empty() => Ok(Zeroizing::new(secret)),
        _ => Err(format!("the environment has no variable {name}, or it is empty")),
    }
}

/// Without its end; `None` when there is nothing in it.
fn first_line(from: impl Read) -> Result<Option<Zeroizing<String>>, &'static str> {
    // As large as it can get, so that no part of the secret is left behind by growing.
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST).unwrap_or_default() + 1));
    from.take(MOST + 1).read_to_end(&mut octets).map_err(|_| "cannot be read")?;
    if u64::try_from(octets.len()).is_ok_and(|length| length > MOST) {
        return Err("says more than 64 KiB");
    }
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(|_| "does not begin with text (UTF-8)")?;
    Ok((!line.is_empty()).then(|| Zeroizing::new(line.to_owned())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_command_prints_it() {
        let go = AtomicBool::new(false);
        let run = |command: &str| from_command(command, Path::new("/"), TIME, &go).map(|secret| secret.to_string());
        assert_eq!(run("printf 'one\\ntwo\\n'").unwrap(), "one");
        assert_eq!(run("printf ' spaces stay \\r\\n'").unwrap(), " spaces stay ");
        assert_eq!(run("printf %s no-end").unwrap(), "no-end");
        for (command, says) in [
            ("true", "printed nothing"),
            ("echo; echo late", "printed nothing"),
            ("echo swordfish; exit 3", "failed (exit status: 3)"),
            ("head -c 70000 /dev/zero", "more than 64 KiB"),
            ("printf '\\377\\n'", "UTF-8"),
            ("/nowhere/at/all 2>/dev/null", "failed"),
        ] {
            let error = run(command).unwrap_err();
            assert!(error.contains(says) && !error.contains("swordfish"), "{command}: {error}");
        }
        let error = from_command("echo swordfish; exec sleep 600", Path::new("/"), Duration::from_millis(300), &go)
            .unwrap_err();
        assert!(error.contains("did not end within"), "{error}");
        let stop = AtomicBool::new(true);
        assert!(from_command("exec sleep 600", Path::new("/"), TIME, &stop).unwrap_err().contains("asked to stop"));
    }

    #[test]
    fn a_file_is_for_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret");
        fs::write(&path, "pass word\nmore\n").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = from_file(&path).map(|secret| secret.to_string());
            match good {
                true => assert_eq!(read.unwrap(), "pass word"),
                false => assert!(read.unwrap_err().contains("chmod 600 "), "{mode:o}"),
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "\nlate\n").unwrap();
        assert!(from_file(&path).unwrap_err().contains("is empty"));
        assert!(from_file(&home.path().join("none")).unwrap_err().contains("cannot read"));
    }

    #[test]
    fn the_environment_has_it_or_not() {
        assert!(from_environment("PATH").is_ok());
        assert!(from_environment("SEALPOST_NO_SUCH_VARIABLE").unwrap_err().contains("SEALPOST_NO_SUCH_VARIABLE"));
    }
}
