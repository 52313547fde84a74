//! stub
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::session::Session;
use crate::imap::error::ImapError;
use crate::sasl::Credentials;
use crate::stream::Timeouts;
use crate::tls::Trust;

/// Where a server listens, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port: 993 for [`Security::Tls`], else 143, as a rule.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first octet (RFC 8314).
    Tls,
    /// TLS after STARTTLS; without it, no session.
    StartTls,
    /// None. Refused unless the host resolves to loopback addresses only.
    Plain,
}

impl Session {
    /// Connects and logs in.
    pub fn connect(
        endpoint: &Endpoint,
        trust: &Trust,
        credentials: &Credentials,
        timeouts: &Timeouts,
        stop: Arc<AtomicBool>,
    ) -> Result<Session, ImapError> {
        let _ = (endpoint, trust, credentials, timeouts, stop);
        Err(ImapError::Unsupported(""))
    }
}
