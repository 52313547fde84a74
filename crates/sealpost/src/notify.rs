//! What a service manager is told: sd_notify(3), where `$NOTIFY_SOCKET` names a socket. In: a line. Out: a datagram. That
//! nobody listens is no error.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
};

/// All flows have begun.
pub const READY: &str = "READY=1";
/// Asked to stop; what is under way is brought to its end.
pub const STOPPING: &str = "STOPPING=1";

/// Tells it.
pub fn notify(line: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes() {
        // systemd writes the NUL of an abstract name as `@`.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(Path::new(&name)),
    };
    let _ = address
        .and_then(|address| UnixDatagram::unbound().map(|socket| (socket, address)))
        .and_then(|(socket, address)| socket.send_to_addr(line.as_bytes(), &address));
}
