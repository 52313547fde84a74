//! Where copies go: an account, another server, a Maildir.
//!
//! In: a copy. Out: a receipt, or what stood in the way. Remembers what stands in the way of all mail, so that senders hear of it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::{Fate, UnixSeconds};

use crate::forward::append::{Appender, Way};
use crate::forward::arrived::Arrived;
use crate::forward::counts::Plight;
use crate::forward::hop::{Hop, file};
use crate::forward::lease::Lease;
use crate::forward::link::Link;
use crate::forward::met::Met;
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::Parcel;
use crate::forward::settings::{Own, Sink};
use crate::forward::spool::Spool;

/// Where copies go, and how it stands there.
pub(crate) struct Target {
    place: Place,
    standing: Mutex<Option<Standing>>,
    /// What was met since a copy arrived the last time.
    met: Mutex<BTreeSet<Obstacle>>,
    overcome: Mutex<BTreeSet<Obstacle>>,
    /// What was met last, and since when nothing else was.
    plight: Mutex<Option<Plight>>,
    /// Copies that it has refused since one arrived the last time.
    refused: AtomicU32,
}

/// Copies refused one after the other, from which on it seems to refuse all.
const REFUSES_ALL: u32 = 3;

/// What stands in the way.
#[derive(Clone, Copy)]
struct Standing {
    obstacle: Obstacle,
    since: Instant,
    /// Octets of the copy that met it. A mailbox that has no room for a large one may have room for a small one.
    length: u64,
}

impl Standing {
    /// Does it stand in the way of a copy of so many octets?
    fn stops(&self, length: u64) -> bool {
        self.since.elapsed() < KNOWN && (self.obstacle != Obstacle::Full || length >= self.length)
    }
}

enum Place {
    Account(Appender),
    Hop(Hop),
    Maildir { path: PathBuf, owner: String, hello: String },
}

/// What stands in the way is known for so long; then the next copy finds out.
const KNOWN: Duration = Duration::from_secs(60);

impl Target {
    /// `hello`: our own name; `owner`: an address of the owner; `own`: in whose name it goes on. `temporary`: a directory for unlinked files of ciphertext.
    pub(crate) fn new(
        sink: Sink,
        hello: &str,
        owner: String,
        own: Option<Arc<Own>>,
        temporary: PathBuf,
        spool: &Arc<Spool>,
    ) -> io::Result<Target> {
        let place = match sink {
            Sink::Account { account, mailbox } => {
                Place::Account(Appender::start(account, mailbox, temporary, Lease::of(Arc::clone(spool)))?)
            }
            Sink::Hop { hop, to } => {
                let hello = hop.hello.clone();
                Place::Hop(Hop::new(Link::to_server(hop), hello, owner, to, own))
            }
            Sink::Domain { mx, to } => {
                let hello = mx.hello.clone();
                Place::Hop(Hop::new(Link::to_domain(*mx), hello, owner, Some(to), own))
            }
            Sink::Maildir(path) => Place::Maildir { path, owner, hello: hello.to_owned() },
        };
        Ok(Target {
            place,
            standing: Mutex::default(),
            met: Mutex::default(),
            overcome: Mutex::default(),
            plight: Mutex::default(),
            refused: AtomicU32::new(0),
        })
    }

    /// Puts one copy.
    pub(crate) async fn put(&self, parcel: Parcel) -> Result<(Arrived, Way), Met> {
        let length = parcel.length;
        let put = match &self.place {
            Place::Account(appender) => appender.put(parcel).await,
            Place::Hop(hop) => hop.put(parcel).await.map(|arrived| (arrived, Way::Put)),
            Place::Maildir { path, owner, hello } => {
                file(path.clone(), owner, hello, parcel).await.map(|arrived| (arrived, Way::Put)).map_err(Met::from)
            }
        };
        let met = match &put {
            Ok(_) => None,
            // One copy is refused; that says nothing of others, but that the target is there.
            Err(met) if met.fate() == Fate::Refuse => None,
            Err(met) => Some(met.obstacle),
        };
        if put.is_ok() {
            self.refused.store(0, Ordering::Relaxed);
        }
        self.learn(met, length);
        match &put {
            Ok(_) => {}
            Err(met) if met.obstacle == Obstacle::Refused => self.refuses(),
            Err(_) => {}
        }
        put
    }

    /// One copy that is refused says nothing of others; many, and none that is taken, do.
    fn refuses(&self) {
        if self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= REFUSES_ALL {
            lock(&self.plight).get_or_insert(Plight { obstacle: Obstacle::Refused, since: UnixSeconds::now() });
        }
    }

    /// What stood in the way and does not any more; told once.
    pub(crate) fn overcome(&self) -> BTreeSet<Obstacle> {
        std::mem::take(&mut *lock(&self.overcome))
    }

    /// What stands in the way of a copy of so many octets, as was learned within the last minute.
    pub(crate) fn obstacle(&self, length: u64) -> Option<Obstacle> {
        lock(&self.standing).filter(|standing| standing.stops(length)).map(|standing| standing.obstacle)
    }

    /// From the next copy on, this is in whose name it goes on.
    pub(crate) fn renew(&self, own: Option<Arc<Own>>) {
        if let Place::Hop(hop) = &self.place {
            hop.renew(own);
        }
    }

    /// What stands in the way, until something arrives.
    pub(crate) fn plight(&self) -> Option<Plight> {
        *lock(&self.plight)
    }

    /// Octets of the largest copy that it takes, if it has said so.
    pub(crate) fn takes(&self) -> Option<u64> {
        match &self.place {
            Place::Account(appender) => appender.takes(),
            Place::Hop(hop) => hop.takes(),
            Place::Maildir { .. } => None,
        }
    }

    /// Learns what it takes, before the first message comes. What fails here, fails again with mail.
    pub(crate) async fn greet(&self) {
        let met = match &self.place {
            Place::Account(appender) => appender.greet().await,
            Place::Hop(hop) => hop.probe().await,
            Place::Maildir { .. } => Ok(()),
        };
        self.learn(met.err().map(|met| met.obstacle), 0);
    }

    fn learn(&self, obstacle: Option<Obstacle>, length: u64) {
        let (mut standing, mut met) = (lock(&self.standing), lock(&self.met));
        if let Some(obstacle) = obstacle {
            met.insert(obstacle);
            let mut plight = lock(&self.plight);
            if plight.is_none_or(|plight| plight.obstacle != obstacle) {
                *plight = Some(Plight { obstacle, since: UnixSeconds::now() });
            }
            *standing = Some(Standing { obstacle, since: Instant::now(), length });
            return;
        }
        let no_room = standing.filter(|standing| standing.obstacle == Obstacle::Full && length < standing.length);
        let mut gone = std::mem::take(&mut *met);
        // What passes once a limit of pace is met says nothing of all that waits for it at once.
        gone.remove(&Obstacle::Throttled);
        if no_room.is_some() {
            // A small one found room: the large one is no better off.
            gone.remove(&Obstacle::Full);
            met.insert(Obstacle::Full);
        } else {
            *standing = None;
            let mut plight = lock(&self.plight);
            *plight = plight
                .filter(|plight| plight.obstacle == Obstacle::Refused && self.refused.load(Ordering::Relaxed) > 0);
        }
        lock(&self.overcome).extend(gone);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        let sink = Sink::Maildir(PathBuf::from("nowhere"));
        let spool = Arc::new(Spool::sqlite(PathBuf::from("nowhere"), "f"));
        Target::new(sink, "gw.example", "me@my.example".to_owned(), None, std::env::temp_dir(), &spool)
            .expect("a target")
    }

    #[test]
    fn a_mailbox_that_is_full_for_a_large_copy_takes_small_ones() {
        let target = target();
        target.learn(Some(Obstacle::Full), 1_000_000);
        assert_eq!((target.obstacle(999_999), target.obstacle(1_000_000)), (None, Some(Obstacle::Full)));
        // A small one arrived: that says nothing of large ones, and they are not tried again because of it.
        target.learn(None, 5_000);
        assert!(target.overcome().is_empty() && target.obstacle(2_000_000).is_some());
        target.learn(None, 1_000_000);
        assert_eq!(target.overcome().into_iter().collect::<Vec<_>>(), [Obstacle::Full]);
        assert_eq!(target.obstacle(2_000_000), None);
    }

    #[test]
    fn who_refuses_all_stands_in_the_way() {
        let target = target();
        for count in 1..=4 {
            target.learn(None, 1);
            target.refuses();
            let met = target.plight().map(|plight| plight.obstacle);
            assert_eq!(met, (count >= REFUSES_ALL).then_some(Obstacle::Refused), "{count}");
        }
        target.refused.store(0, Ordering::Relaxed);
        target.learn(None, 1);
        assert_eq!(target.plight(), None);
    }

    #[test]
    fn when_it_is_there_again_all_that_waited_is_tried() {
        let target = target();
        target.learn(Some(Obstacle::Unreachable), 1);
        target.learn(Some(Obstacle::Login), 1);
        target.learn(None, 1);
        assert_eq!(target.overcome().into_iter().collect::<Vec<_>>(), [Obstacle::Unreachable, Obstacle::Login]);
        assert!(target.overcome().is_empty());
    }
}
