//! Where copies go: an account, another server, a Maildir.
//!
//! In: a copy. Out: a receipt, or what stood in the way. Remembers what stands in the way of all mail, so that senders hear of it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::Fate;

use crate::forward::append::{Appender, Way};
use crate::forward::arrived::Arrived;
use crate::forward::hop::{Hop, file};
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::Parcel;
use crate::forward::settings::{Own, Sink};

/// Where copies go, and how it stands there.
pub(crate) struct Target {
    place: Place,
    standing: Mutex<Option<(Obstacle, Instant)>>,
    overcome: Mutex<Option<Obstacle>>,
}

enum Place {
    Account(Appender),
    Hop(Hop),
    Maildir(PathBuf, String),
}

/// What stands in the way is known for so long; then the next copy finds out.
const KNOWN: Duration = Duration::from_secs(60);

impl Target {
    /// `hello`: our own name; `own`: in whose name it goes on. `temporary`: a directory for unlinked files of ciphertext.
    pub(crate) fn new(sink: Sink, hello: &str, own: Option<Arc<Own>>, temporary: PathBuf) -> io::Result<Target> {
        let place = match sink {
            Sink::Account { account, mailbox } => Place::Account(Appender::start(account, mailbox, temporary)?),
            Sink::Hop { hop, to } => Place::Hop(Hop::new(hop, to, own)),
            Sink::Maildir(path) => Place::Maildir(path, hello.to_owned()),
        };
        Ok(Target { place, standing: Mutex::default(), overcome: Mutex::default() })
    }

    /// Puts one copy.
    pub(crate) async fn put(&self, parcel: Parcel) -> Result<(Arrived, Way), Obstacle> {
        let put = match &self.place {
            Place::Account(appender) => appender.put(parcel).await,
            Place::Hop(hop) => hop.put(parcel).await.map(|arrived| (arrived, Way::Put)),
            Place::Maildir(path, hello) => file(path.clone(), hello, parcel).await.map(|arrived| (arrived, Way::Put)),
        };
        let standing = match &put {
            Ok(_) => None,
            // One copy is refused; that says nothing of others, but that the target is there.
            Err(obstacle) if obstacle.fate() == Fate::Refuse => None,
            Err(obstacle) => Some((*obstacle, Instant::now())),
        };
        self.learn(standing);
        put
    }

    /// What stood in the way and does not any more; told once.
    pub(crate) fn overcome(&self) -> Option<Obstacle> {
        self.overcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What stands in the way of all mail, as was learned within the last minute.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        self.lock().filter(|(_, since)| since.elapsed() < KNOWN).map(|(obstacle, _)| obstacle)
    }

    /// Octets of the largest copy that it takes, if it has said so.
    pub(crate) fn takes(&self) -> Option<u64> {
        match &self.place {
            Place::Account(appender) => appender.takes(),
            Place::Hop(hop) => hop.takes(),
            Place::Maildir(..) => None,
        }
    }

    /// Learns what it takes, before the first message comes. What fails here, fails again with mail.
    pub(crate) async fn greet(&self) {
        let met = match &self.place {
            Place::Account(appender) => appender.greet().await,
            Place::Hop(hop) => hop.probe().await,
            Place::Maildir(..) => Ok(()),
        };
        self.learn(met.err().map(|obstacle| (obstacle, Instant::now())));
    }

    fn learn(&self, now: Option<(Obstacle, Instant)>) {
        let before = std::mem::replace(&mut *self.lock(), now);
        if let (Some((gone, _)), None) = (before, now) {
            *self.overcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(gone);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Obstacle, Instant)>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
