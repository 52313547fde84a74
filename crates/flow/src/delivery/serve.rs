//! A delivery flow, running: connections taken in, sessions led, until it is asked to end.
//!
//! In: settings; later, perhaps, others that take their place. Out: nothing but what became of the mail. Asked to end, it takes no more connections,
//! finishes the messages that are under way, and leaves; what is not finished in time stays with its senders. Sealing runs on other threads than
//! sessions.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::Fate;
use wire::milter;
use wire::smtp::listen::Listener;
use wire::smtp::server;
use wire::smtp::{Place, limit};

use crate::delivery::carry::{Gateway, Shared, Tell};
use crate::delivery::connections::{Connection, Connections};
use crate::delivery::counts::Counts;
use crate::delivery::current::Current;
use crate::delivery::door::attend;
use crate::delivery::health::Health;
use crate::delivery::memo::Memo;
use crate::delivery::milter::watch;
use crate::delivery::settings::{Door, Listen, Settings, Socket};

/// What others may do with a flow that runs, and see of it.
#[derive(Default)]
pub struct Controls {
    /// Becomes true when it is to end.
    pub stop: Arc<AtomicBool>,
    /// What became of its mail.
    pub counts: Arc<Counts>,
    /// Whether it can work.
    pub health: Arc<Health>,
    next: Mutex<Option<Settings>>,
}

impl Controls {
    /// `stop`: becomes true when it is to end.
    pub fn new(stop: Arc<AtomicBool>) -> Controls {
        Controls { stop, ..Controls::default() }
    }

    /// From the next message on, these settings count. Where it listens, and how sessions are led, stays as it was.
    pub fn reload(&self, settings: Settings) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    }

    fn next(&self) -> Option<Settings> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a flow does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It cannot listen.
    #[error("cannot listen at {0}")]
    Listen(Place, #[source] io::Error),
    /// The folder for temporary files cannot be written.
    #[error("temporary files cannot be written")]
    Temporary(#[source] io::Error),
    /// The operating system gives no threads.
    #[error("cannot begin")]
    Begin(#[source] io::Error),
}

impl ServeError {
    /// Whose turn it is.
    pub fn fate(&self) -> Fate {
        match self {
            ServeError::Listen(_, error) if error.kind() == io::ErrorKind::AddrInUse => Fate::Retry,
            ServeError::Listen(..) => Fate::Refuse,
            ServeError::Temporary(_) | ServeError::Begin(_) => Fate::Stop,
        }
    }
}

/// Runs until it is asked to end.
pub fn serve(mut settings: Settings, tell: Tell, controls: &Controls) -> Result<(), ServeError> {
    // Fail at the start, not at the first large message.
    tempfile::tempfile_in(&settings.temporary).map_err(ServeError::Temporary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Begin)?;
    let place = settings.door.listen().place.clone();
    let listener =
        runtime.block_on(open(settings.door.listen_mut())).map_err(|error| ServeError::Listen(place.clone(), error))?;
    let shared = Shared {
        counts: Arc::clone(&controls.counts),
        health: Arc::clone(&controls.health),
        memo: Arc::new(Memo::default()),
        tell,
    };
    let led = match &settings.door {
        Door::Mail { session, .. } => Led::Mail(Arc::clone(session)),
        Door::Milter { session, .. } => Led::Milter(Arc::clone(session)),
    };
    let most = settings.sessions.clamp(1, limit::SESSIONS);
    let current = Arc::new(Current::new(Gateway::new(settings, &shared)));
    controls.health.listens();
    runtime.block_on(run(listener, most, &led, &current, &shared, controls));
    // Whoever does not end now has a message that stays with its sender.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Place::Unix(path) = &place {
        let _ = remove_own(path);
    }
    Ok(())
}

async fn run(
    listener: Listener,
    most: usize,
    led: &Led,
    current: &Arc<Current<Gateway>>,
    shared: &Shared,
    controls: &Controls,
) {
    let connections = Connections::new(listener, most);
    let begin = |connection| {
        shared.counts.session();
        tokio::spawn(lead(connection, led.clone(), Arc::clone(current)));
    };
    let renew = || {
        if let Some(settings) = controls.next() {
            current.set(Gateway::new(settings, shared));
        }
    };
    connections.take(&controls.stop, begin, renew).await;
    controls.health.drains();
    connections.drain(|| false).await;
}

/// How sessions are led.
#[derive(Clone)]
enum Led {
    Mail(Arc<server::Settings>),
    Milter(Arc<milter::Settings>),
}

/// One session, from its greeting to its end. How it ends is its client's business: nothing was lost, and there is nobody to tell.
async fn lead(connection: Connection, led: Led, current: Arc<Current<Gateway>>) {
    let Connection { stream, address, seat } = connection;
    let activity = Arc::clone(&seat.activity);
    match led {
        Led::Mail(settings) => {
            if let Ok(mut session) = server::Session::begin(stream, address, settings, activity).await {
                let _ = attend(&mut session, &current).await;
                session.end().await;
            }
        }
        Led::Milter(settings) => {
            if let Ok(mut session) = milter::Session::begin(stream, settings, activity).await {
                let _ = watch(&mut session, &current).await;
                session.end().await;
            }
        }
    }
    drop(seat);
}

/// Takes a socket over, or opens one.
pub(crate) async fn open(listen: &mut Listen) -> io::Result<Listener> {
    let Listen { place, socket } = listen;
    match socket.take() {
        Some(Socket::Tcp(socket)) => Listener::of_tcp(socket),
        Some(Socket::Unix(socket)) => Listener::of_unix(socket),
        None => Listener::bind(place).await,
    }
}

/// A socket that nobody listens at any more.
pub(crate) fn remove_own(path: &Path) -> io::Result<()> {
    if std::os::unix::net::UnixStream::connect(path).is_err() { std::fs::remove_file(path) } else { Ok(()) }
}
