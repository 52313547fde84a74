//! Connections, taken in until somebody asks for the end; then the sessions under way, until theirs.
//!
//! In: a listener, what to do with a connection. Out: nothing; what is not finished in time stays with its senders.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wire::smtp::Duplex;
use wire::smtp::listen::{Listener, Seat, Sessions};

/// Between two looks at the stop sign.
const STEP: Duration = Duration::from_millis(50);
/// How long messages under way may take to end.
const DRAIN: Duration = Duration::from_secs(30);

/// A connection, as it comes in.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) seat: Seat,
}

/// Connections that come in.
pub(crate) struct Connections {
    listener: Option<Listener>,
    most: usize,
    sessions: Sessions,
}

impl Connections {
    /// `most`: sessions at once.
    pub(crate) fn new(listener: Listener, most: usize) -> Connections {
        Connections { listener: Some(listener), most, sessions: Sessions::default() }
    }

    /// `begin`: leads a session, elsewhere. `step`: is done now and then.
    pub(crate) async fn take(&self, stop: &AtomicBool, mut begin: impl FnMut(Connection), mut step: impl FnMut()) {
        let Some(listener) = &self.listener else { return };
        let mut ticks = tokio::time::interval(STEP);
        while !stop.load(Ordering::Relaxed) {
            tokio::select! {
                (stream, address) = listener.next() => {
                    begin(Connection { stream, address, seat: self.sessions.seat(self.most) });
                }
                _ = ticks.tick() => step(),
            }
        }
    }

    /// Takes no more; waits until the sessions have ended, and nothing else is under way. Whoever connects now is refused, and goes elsewhere or comes
    /// again.
    pub(crate) async fn drain(mut self, is_busy: impl Fn() -> bool) {
        drop(self.listener.take());
        self.sessions.drain();
        let asked = Instant::now();
        while (self.sessions.count() > 0 || is_busy()) && asked.elapsed() < DRAIN {
            tokio::time::sleep(STEP).await;
        }
    }
}
