//! The bridge's door: connections from this machine, each with a thread of its own.
//!
//! In: a listening socket on loopback. Out: sessions, until asked to stop. Never takes a connection from elsewhere; never more than [`MAX_SESSIONS`] that have logged in.

use std::io::{self, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::database::OpenDatabaseError;
use store::{Database, Fate};
use wire::imap::server::{Connection, Leg};

use super::places::{Place, Places};
use super::session::{NEWCOMER, Session};
use super::settings::{Bridge, Shield};
use crate::depot::{ReachError, TICK, Way};
use crate::vault::{make_key, read_key};

/// Connections at once that have logged in: mail programs open a handful each.
pub const MAX_SESSIONS: usize = 64;
/// Connections at once where each has one upstream: providers allow some ten to twenty for a user.
const MAX_UPSTREAM: usize = 16;
/// How long a client may not take what it is sent.
const DEAF: Duration = Duration::from_secs(120);
/// Between two looks for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Octets collected before they are sent.
const WRITE_BUFFER: usize = 64 << 10;

/// Why the bridge does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// It would be reachable from elsewhere.
    #[error("the bridge listens on addresses of this machine only")]
    NotLoopback,
    /// No Maildir there.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// The socket.
    #[error("the bridge cannot listen")]
    Listen(#[from] io::Error),
}

impl BridgeError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            BridgeError::NotLoopback => Fate::Refuse,
            BridgeError::Reach(error) => error.fate(),
            _ => Fate::Stop,
        }
    }
}

/// Serves mail programs until `stop` is set.
pub fn serve(bridge: &Bridge, listener: &TcpListener, stop: &Arc<AtomicBool>) -> Result<(), BridgeError> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(BridgeError::NotLoopback);
    }
    // Whatever is wrong here shows now, and not to a mail program.
    drop(Database::open(&bridge.mail.state)?);
    let way = Way::find(&bridge.mail)?;
    let most = match &way {
        Way::Maildir(_) => MAX_SESSIONS,
        Way::Account(_) => MAX_UPSTREAM,
    };
    // What lists and searches need is kept encrypted; without a key it is looked for each time.
    if let Some(with) = bridge.seal.as_ref().filter(|_| read_key(&bridge.mail).is_none()) {
        let _ = make_key(&bridge.mail, with);
    }
    listener.set_nonblocking(true)?;
    let places = Places::new(most);
    let places = &places;
    std::thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            let stream = match listener.accept() {
                Ok((stream, peer)) if peer.ip().is_loopback() => stream,
                Ok(_) => continue,
                // No file descriptor left, or nobody there: later.
                Err(_) => {
                    std::thread::sleep(ACCEPT_PAUSE);
                    continue;
                }
            };
            let Some(place) = places.take() else {
                let mut stream = stream;
                if !matches!(bridge.shield, Shield::Tls(_)) {
                    let _ = stream.write_all(b"* BYE too many connections\r\n");
                }
                continue;
            };
            let way = &way;
            scope.spawn(move || {
                // A session that ends with an error, or by a bug, ends; there is nobody to tell but the client, who is gone.
                let _ = catch_unwind(AssertUnwindSafe(|| attend(bridge, way, stream, &place, stop)));
                drop(place);
            });
        }
    });
    Ok(())
}

fn attend(
    bridge: &Bridge,
    way: &Way<'_>,
    stream: TcpStream,
    place: &Place<'_>,
    stop: &Arc<AtomicBool>,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(DEAF))?;
    let leg = Leg::new(stream);
    if let Shield::Tls(tls) = &bridge.shield {
        let began = Instant::now();
        let may_go_on = || !stop.load(Ordering::Relaxed) && !place.is_over() && began.elapsed() < NEWCOMER;
        leg.secure(tls, &mut { may_go_on })?;
    }
    let link = Connection::new(leg.clone(), BufWriter::with_capacity(WRITE_BUFFER, leg));
    let door = || {
        let reached = way.reach(bridge.means(), stop);
        bridge.news.tried(reached.as_ref().err());
        reached
    };
    Session::new(bridge, &door, link, place, stop).run()
}
