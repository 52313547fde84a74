//! For whom mail is forwarded, as `source` says it beside its door. In: words. Out: the same, in every build: what cannot forward says so.

use std::net::SocketAddr;

/// What `source` says of such a flow besides its door.
#[cfg_attr(not(feature = "forward"), expect(dead_code, reason = "a build that forwards reads it"))]
pub(super) struct WrittenFor {
    pub(super) recipients: Vec<String>,
    pub(super) per_ip: Option<u32>,
    pub(super) per_sender: Option<u32>,
    pub(super) checks: Option<String>,
    pub(super) resolver: Option<SocketAddr>,
}
