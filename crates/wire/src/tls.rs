//! stub

/// Whom to trust when TLS is spoken.
#[derive(Default, Clone)]
pub struct Trust {
    /// PEM of one's own authorities, beside the system's. May be empty.
    pub authorities: Vec<u8>,
    /// SHA-256 of the server's end-entity certificate (DER). When set, exactly that certificate is accepted and nothing
    /// else is asked.
    pub pin: Option<[u8; 32]>,
}
