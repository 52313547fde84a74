//! How an account is reached, and who may work on it.
//!
//! In: endpoint, credentials that are asked for anew at each connection (tokens expire). Out: authenticated sessions; a lock
//! that one flow holds on this machine. Never keeps a password between two connections.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use wire::imap::{Credentials, Endpoint, ImapError, Session, Timeouts, Trust};

/// An IMAP account. No `Debug`: it leads to secrets.
pub struct Account {
    /// Where the server is.
    pub endpoint: Endpoint,
    /// Whose certificate is believed.
    pub trust: Trust,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// Whether what goes both ways is compressed.
    pub compress: Compress,
    /// Gives user and password or token, each time anew.
    pub credentials: Box<dyn Fn() -> Result<Credentials, CredentialsError> + Send + Sync>,
}

/// Whether a connection is compressed (RFC 4978). What is compressed together tells by its length what it has in common, also through TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// It is not.
    #[default]
    Never,
    /// It is where the server offers it.
    Auto,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(
    /// What is wrong, in words for the owner; no secret in it.
    pub String,
);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing to log in with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The server, or the way to it.
    #[error(transparent)]
    Imap(#[from] ImapError),
}

impl Account {
    /// A new authenticated session. It obeys `stop` in every call.
    pub fn connect(&self, stop: &Arc<AtomicBool>) -> Result<Session, ConnectError> {
        let credentials = (self.credentials)()?;
        let mut session =
            Session::connect(&self.endpoint, &self.trust, &credentials, &self.timeouts, Arc::clone(stop))?;
        if self.compress == Compress::Auto {
            session.compress()?;
        }
        Ok(session)
    }
}

/// Held: no other process with the same state directory works for that flow.
#[derive(Debug)]
pub struct FlowLock {
    _file: File,
}

impl FlowLock {
    /// Takes the lock; `None` if another process, or another lock in this one, has it.
    ///
    /// The file stays: removing it would let two processes hold "the" lock on two files.
    pub fn take(state: &Path, flow: &str) -> io::Result<Option<FlowLock>> {
        let plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let name: String = match flow.as_bytes().iter().all(plain) {
            true => flow.to_owned(),
            false => flow.bytes().map(|octet| format!("{octet:02x}")).collect::<String>() + ".x",
        };
        let path = state.join(format!("flow-{name}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FlowLock { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn one_flow_has_one_lock() {
        let home = tempfile::tempdir().unwrap();
        let held = FlowLock::take(home.path(), "in/box").unwrap();
        assert!(held.is_some());
        assert!(FlowLock::take(home.path(), "in/box").unwrap().is_none());
        assert!(FlowLock::take(home.path(), "other").unwrap().is_some());
        drop(held);
        assert!(FlowLock::take(home.path(), "in/box").unwrap().is_some());
    }
}
