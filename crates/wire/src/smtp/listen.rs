//! Connections taken in, and who gives way when there are too many.
//!
//! In: an address, or a socket that is open already. Out: streams, each with its place. At the limit, the session that has waited longest for
//! its client ends, so that slow clients cannot keep others out; one that is at work never does.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use crate::smtp::duplex::Duplex;
use crate::smtp::place::Place;
use crate::smtp::server::Activity;

/// Where connections come in.
pub enum Listener {
    /// By TCP.
    Tcp(TcpListener),
    /// By a unix socket.
    Unix(UnixListener),
}

/// After an error of the system (no file descriptor left, as a rule).
const PAUSE: Duration = Duration::from_millis(100);

impl Listener {
    /// Opens it. A unix socket may be used by everybody who may enter its folder.
    pub async fn bind(place: &Place) -> io::Result<Listener> {
        match place {
            Place::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address.as_str()).await?)),
            Place::Unix(path) => {
                // What an earlier process has left behind; a live one answers.
                if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
                    std::fs::remove_file(path)?;
                }
                let socket = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
                Ok(Listener::Unix(socket))
            }
        }
    }

    /// Takes over a socket of TCP.
    pub fn of_tcp(socket: std::net::TcpListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Ok(Listener::Tcp(TcpListener::from_std(socket)?))
    }

    /// Takes over a unix socket.
    pub fn of_unix(socket: std::os::unix::net::UnixListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Ok(Listener::Unix(UnixListener::from_std(socket)?))
    }

    /// The next connection, and the address it comes from. Errors of the system are waited out. May be dropped while it waits.
    pub async fn next(&self) -> (Box<dyn Duplex>, Option<IpAddr>) {
        loop {
            match self {
                Listener::Tcp(socket) => {
                    if let Ok((stream, peer)) = socket.accept().await {
                        let _ = stream.set_nodelay(true);
                        return (Box::new(stream), Some(peer.ip()));
                    }
                }
                Listener::Unix(socket) => {
                    if let Ok((stream, _)) = socket.accept().await {
                        return (Box::new(stream), None);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The sessions there are.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    sessions: HashMap<u64, Arc<Activity>>,
}

/// A session's place; it is free again when this goes.
pub struct Seat {
    sessions: Sessions,
    number: u64,
    /// What the session tells of itself.
    pub activity: Arc<Activity>,
}

impl Sessions {
    /// A place for another session. At `most`, the one that has waited longest is asked to end.
    pub fn seat(&self, most: usize) -> Seat {
        let activity = Arc::new(Activity::default());
        activity.waits();
        let mut table = self.lock();
        if table.sessions.len() >= most {
            let waiting = table.sessions.values().filter(|one| !one.is_evicted());
            let waiting = waiting.filter_map(|one| Some((one.waiting_since()?, one)));
            if let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) {
                longest.evict();
            }
        }
        let number = table.next;
        table.next = table.next.wrapping_add(1);
        table.sessions.insert(number, Arc::clone(&activity));
        drop(table);
        Seat { sessions: self.clone(), number, activity }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Asks all of them to end when their message is through.
    pub fn drain(&self) {
        self.lock().sessions.values().for_each(|activity| activity.drain());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.lock().sessions.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_gives_way_and_work_does_not() {
        let sessions = Sessions::default();
        let seats: Vec<Seat> = (0..3).map(|_| sessions.seat(3)).collect();
        seats.iter().for_each(|seat| assert!(!seat.activity.is_evicted()));
        if let Some(first) = seats.first() {
            first.activity.works();
        }
        let fourth = sessions.seat(3);
        let evicted = seats.iter().filter(|seat| seat.activity.is_evicted()).count();
        assert_eq!((evicted, seats.first().map(|seat| seat.activity.is_evicted())), (1, Some(false)));
        assert!(!fourth.activity.is_evicted());
        assert_eq!(sessions.count(), 4);
        drop((seats, fourth));
        assert_eq!(sessions.count(), 0);
    }
}
