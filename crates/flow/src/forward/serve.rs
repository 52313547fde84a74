//! A forward flow, running: connections taken in, sessions led, copies handed on, until it is asked to end.
//!
//! In: settings. Out: nothing but what became of the mail. Asked to end, it takes no more connections, finishes what is under way, and leaves; what
//! is in the spool waits there.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seal::OuterId;
use store::Fate;
use store::imap::FlowLock;
use wire::smtp::listen::{Listener, Seat, Sessions};
use wire::smtp::server;
use wire::smtp::{Duplex, Place, limit};

use crate::delivery::serve::{open, remove_own};
use crate::delivery::{self, Health};
use crate::forward::counts::Counts;
use crate::forward::door::{Peer, attend};
use crate::forward::intake::Intake;
use crate::forward::rate::Rate;
use crate::forward::runner::{Parts, Runner, Tell};
use crate::forward::sealing::{Sealer, whose};
use crate::forward::settings::{Growth, Settings, Sink};
use crate::forward::spool::SpoolError;
use crate::forward::target::Target;

/// What others may do with a flow that runs, and see of it.
#[derive(Default)]
pub struct Controls {
    /// Becomes true when it is to end.
    pub stop: Arc<AtomicBool>,
    /// What became of its mail.
    pub counts: Arc<Counts>,
    /// What was sealed, and how many sessions there were.
    pub sealing: Arc<delivery::Counts>,
    /// Whether it can work.
    pub health: Arc<Health>,
}

/// Why a flow does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// It cannot listen.
    #[error("cannot listen at {0}")]
    Listen(Place, #[source] io::Error),
    /// The folder for temporary files cannot be written.
    #[error("temporary files cannot be written")]
    Temporary(#[source] io::Error),
    /// The operating system gives no threads, or no lock.
    #[error("cannot begin")]
    Begin(#[source] io::Error),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Another process works on this spool.
    #[error("another process runs this flow")]
    Busy,
    /// The enrolment has no certificate.
    #[error("the enrolment holds no certificate")]
    NoCertificate,
}

impl ForwardError {
    /// Whose turn it is.
    pub fn fate(&self) -> Fate {
        match self {
            ForwardError::Listen(_, error) if error.kind() == io::ErrorKind::AddrInUse => Fate::Retry,
            ForwardError::Busy | ForwardError::Spool(SpoolError::Postgres(_)) => Fate::Retry,
            ForwardError::Listen(..) | ForwardError::NoCertificate => Fate::Refuse,
            ForwardError::Spool(SpoolError::Foreign | SpoolError::Newer | SpoolError::NoPostgres) => Fate::Refuse,
            ForwardError::Temporary(_) | ForwardError::Begin(_) | ForwardError::Spool(_) => Fate::Stop,
        }
    }
}

/// Between two looks at the stop sign.
const STEP: Duration = Duration::from_millis(50);
/// How long messages under way may take to end.
const DRAIN: Duration = Duration::from_secs(30);

/// Runs until it is asked to end.
pub fn serve(settings: Settings, tell: Tell, controls: &Controls) -> Result<(), ForwardError> {
    // Fail at the start, not at the first large message.
    tempfile::tempfile_in(&settings.temporary).map_err(ForwardError::Temporary)?;
    let _lock = match &settings.lock {
        None => None,
        Some(state) => {
            let lock = FlowLock::take(state, &settings.name).map_err(ForwardError::Begin)?;
            Some(lock.ok_or(ForwardError::Busy)?)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ForwardError::Begin)?;
    let place = settings.listen.place.clone();
    let served = runtime.block_on(run(settings, tell, controls));
    // Whoever does not end now has a message that stays with its sender, or a copy that stays in the spool.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Place::Unix(path) = &place {
        let _ = remove_own(path);
    }
    served
}

async fn run(mut settings: Settings, tell: Tell, controls: &Controls) -> Result<(), ForwardError> {
    // A spool that cannot be used is known before the first sender is.
    settings.spool.beat().await?;
    settings.spool.tally().await?;
    let place = settings.listen.place.clone();
    let listener = open(&mut settings.listen).await.map_err(|error| ForwardError::Listen(place, error))?;
    let most = settings.sessions.clamp(1, limit::SESSIONS);
    let house = House::of(settings, tell, controls)?;
    let (runner, stop) = (Arc::clone(&house.intake.runner), Arc::clone(&controls.stop));
    house.intake.runner.target.greet().await;
    let running = tokio::spawn(Arc::clone(&runner).run(stop));
    controls.health.listens();
    let sessions = Sessions::default();
    take_connections(&listener, most, &house, &sessions, controls).await;
    // Whoever connects now is refused, and goes elsewhere or comes again.
    drop(listener);
    controls.health.drains();
    sessions.drain();
    let asked = Instant::now();
    while (sessions.count() > 0 || runner.under_way() > 0) && asked.elapsed() < DRAIN {
        tokio::time::sleep(STEP).await;
    }
    running.abort();
    Ok(())
}

/// All that sessions share.
struct House {
    intake: Arc<Intake>,
    session: server::Settings,
    /// Octets that a message may have, whatever the target takes.
    most: u64,
    /// How much sealing adds to it.
    growth: Growth,
    temporary: PathBuf,
}

impl House {
    fn of(settings: Settings, tell: Tell, controls: &Controls) -> Result<House, ForwardError> {
        let growth = settings.growth();
        let temporary = settings.temporary.clone();
        let outer_id = match &settings.sink {
            Sink::Account { .. } => OuterId::Own,
            Sink::Hop { .. } | Sink::Maildir(_) => OuterId::Kept,
        };
        let own = settings.own.map(Arc::new);
        let sealer = Sealer {
            flow: settings.name,
            whose: whose(&settings.enrolment).ok_or(ForwardError::NoCertificate)?,
            key: settings.sealer,
            trust: settings.trust,
            dedup: settings.dedup,
            compression: settings.compression,
            padding: settings.padding,
            authserv_id: settings.authserv_id,
            outer_id,
            own: own.clone(),
            temporary: temporary.clone(),
            counts: Arc::clone(&controls.sealing),
        };
        let hello = settings.session.hello.clone();
        let spool = Arc::new(settings.spool);
        let target = Target::new(settings.sink, &hello, settings.recipients.owner(), own, temporary.clone(), &spool)
            .map_err(ForwardError::Begin)?;
        let runner = Runner::new(Parts {
            spool,
            target,
            sealer,
            schedule: settings.schedule,
            hello,
            counts: Arc::clone(&controls.counts),
            tell,
            temporary: temporary.clone(),
        });
        let intake = Intake::new(Arc::new(runner), settings.recipients, Rate::new(settings.rates), settings.checks);
        let most = settings.session.max_message;
        Ok(House { intake: Arc::new(intake), session: settings.session, most, growth, temporary })
    }

    /// How the next session is led: what it announces (RFC 1870) is what the target takes now.
    fn session(&self) -> server::Settings {
        let room = self.intake.runner.target.takes().map_or(u64::MAX, |takes| self.growth.room(takes));
        server::Settings { max_message: self.most.min(room), ..self.session.clone() }
    }
}

async fn take_connections(listener: &Listener, most: usize, house: &House, sessions: &Sessions, controls: &Controls) {
    let mut step = tokio::time::interval(STEP);
    while !controls.stop.load(Ordering::Relaxed) {
        tokio::select! {
            (stream, address) = listener.next() => {
                controls.sealing.session();
                let seat = sessions.seat(most);
                let (intake, temporary) = (Arc::clone(&house.intake), house.temporary.clone());
                tokio::spawn(lead(stream, address, house.session(), intake, temporary, seat));
            }
            _ = step.tick() => {}
        }
    }
}

/// One session, from its greeting to its end. How it ends is its client's business: nothing was lost, and there is nobody to tell.
async fn lead(
    stream: Box<dyn Duplex>,
    address: Option<IpAddr>,
    settings: server::Settings,
    intake: Arc<Intake>,
    temporary: PathBuf,
    seat: Seat,
) {
    let peer = if settings.trusts(address) { Peer::Trusted } else { Peer::Stranger };
    let activity = Arc::clone(&seat.activity);
    if let Ok(mut session) = server::Session::begin(stream, address, Arc::new(settings), activity).await {
        let _ = attend(&mut session, &intake, peer, &temporary).await;
        session.end().await;
    }
    drop(seat);
}
