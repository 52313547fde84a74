//! A server's process, with all that it starts. In: a command that stays in the foreground. It ends, group and all, with this value, or with the
//! test's own process, whichever way that goes. No other process is ever ended.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a server may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// How long a server may take to greet; generous, for busy machines.
const START: Duration = Duration::from_secs(60);

pub(crate) struct Daemon {
    child: Child,
    group: Pid,
    watchdog: Child,
}

impl Daemon {
    /// In a process group of its own.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Daemon> {
        let child = command.process_group(0).stdin(Stdio::null()).spawn()?;
        let group = Pid::from_child(&child);
        // Its input ends when this process does, however that happens; then it ends the group.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r line; kill -KILL -- \"-$0\" 2>/dev/null"])
            .arg(child.id().to_string())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Daemon { child, group, watchdog })
    }

    /// Waits until the server speaks at `address`; false when it ended before.
    pub(crate) fn greets(&mut self, address: SocketAddr) -> bool {
        self.answers(|| TcpStream::connect(address).is_ok_and(|stream| first_octet(&stream)))
    }

    /// Waits until the server `answers`; false when it ended before.
    pub(crate) fn answers(&mut self, answers: impl Fn() -> bool) -> bool {
        let until = Instant::now() + START;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if answers() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Asks the server to end, and makes sure that nothing of it is left.
    pub(crate) fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(self.group, Signal::TERM);
            let until = Instant::now() + GRACE;
            while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill();
    }

    /// Ends the whole group at once, as a power failure would.
    pub(crate) fn kill(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) && !lives(self.group) {
            let _ = (self.watchdog.kill(), self.watchdog.wait());
            return;
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
        let until = Instant::now() + GRACE;
        while Instant::now() < until && lives(self.group) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = (self.watchdog.kill(), self.watchdog.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nobody looks at what is left, and Dovecot takes a second to end in order.
        self.kill();
    }
}

fn first_octet(stream: &TcpStream) -> bool {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    matches!(stream.peek(&mut [0]), Ok(1))
}

/// Whether a process of the group still runs. What waits to be reaped (state Z) does not.
fn lives(group: Pid) -> bool {
    let group = group.as_raw_nonzero().get().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok()).any(|stat| {
        // pid (name) state parent group; the name may hold blanks and brackets.
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = words.next();
        state != Some("Z") && words.nth(1) == Some(group.as_str())
    })
}
