//! stub
use std::time::Duration;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For names to be resolved and a connection to be made.
    pub connect: Duration,
    /// For the next octet, or for room to send one.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), response: Duration::from_secs(120) }
    }
}
