//! A forward flow, running: connections taken in, sessions led, copies handed on, until it is asked to end.
//!
//! In: settings. Out: nothing but what became of the mail. Asked to end, it takes no more connections, finishes what is under way, and leaves; what
//! is in the spool waits there.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seal::OuterId;
use store::Fate;
use store::imap::FlowLock;
use wire::smtp::server;
use wire::smtp::{Place, limit};

use crate::delivery::connections::{Connection, Connections};
use crate::delivery::current::Current;
use crate::delivery::serve::{open, remove_own};
use crate::delivery::{self, Health};
use crate::forward::checks::Checks;
use crate::forward::counts::Counts;
use crate::forward::door::{Peer, attend};
use crate::forward::intake::Intake;
use crate::forward::rate::{Rate, Rates};
use crate::forward::recipients::Recipients;
use crate::forward::runner::{Parts, Runner, Tell};
use crate::forward::schedule::Schedule;
use crate::forward::sealing::{Sealer, whose};
use crate::forward::settings::{Growth, Own, Settings, Sink};
use crate::forward::spool::{Spool, SpoolError};
use crate::forward::target::Target;
use crate::forward::verdict::Strictness;

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
    next: Mutex<Option<Settings>>,
}

impl Controls {
    /// `stop`: becomes true when it is to end.
    pub fn new(stop: Arc<AtomicBool>) -> Controls {
        Controls { stop, ..Controls::default() }
    }

    /// Keys, certificates, checks, rates and recipients of these settings count from the next session or message on. Where it listens, where mail goes and
    /// where it waits stay as they were.
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

/// Between two looks whether what stood in the way still does.
const LOOK: Duration = Duration::from_secs(60);
/// How long a target may take to say what it takes, before senders are let in.
const GREETING: Duration = Duration::from_secs(5);

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
    let connections = Connections::new(listener, settings.sessions.clamp(1, limit::SESSIONS));
    let house = House::of(settings, tell, controls)?;
    let (runner, stop) = (Arc::clone(&house.runner), Arc::clone(&controls.stop));
    let target = Arc::clone(&runner);
    // A target that hangs does not keep senders out: there is the queue.
    let greeting = tokio::spawn(async move { target.target.greet().await });
    let _ = tokio::time::timeout(GREETING, greeting).await;
    controls.health.listens();
    let running = tokio::spawn(Arc::clone(&runner).run(stop));
    let looking = tokio::spawn(look_again(Arc::clone(&runner)));
    let desk = Current::new(house.desk);
    let begin = |connection| {
        controls.sealing.session();
        let desk = desk.now();
        tokio::spawn(lead(connection, desk));
    };
    let step = || {
        runner.counts.meets(runner.target.plight());
        if let Some(settings) = controls.next() {
            renew(settings, &runner, &desk, controls);
        }
    };
    connections.take(&controls.stop, begin, step).await;
    controls.health.drains();
    connections.drain(|| runner.under_way() > 0).await;
    looking.abort();
    running.abort();
    Ok(())
}

/// Whoever mends what stands in the way need not wait for the next message to see that it is mended.
async fn look_again(runner: Arc<Runner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if runner.target.plight().is_some_and(|plight| plight.obstacle.meets_greetings()) {
            runner.target.greet().await;
        }
    }
}

/// Others take the place of what sessions and messages go by. Target, spool and place stay.
fn renew(settings: Settings, runner: &Arc<Runner>, desk: &Current<Desk>, controls: &Controls) {
    let parts = Parted::of(settings, controls);
    let Ok(Parted { sealer, own, session, recipients, rates, checks, growth, .. }) = parts else { return };
    runner.target.renew(own);
    runner.sealer.set(sealer);
    let intake = Arc::new(Intake::new(Arc::clone(runner), recipients, Rate::new(rates), checks));
    let temporary = desk.now().temporary.clone();
    desk.set(Desk::new(intake, session, growth, temporary));
}

/// A flow that begins.
struct House {
    runner: Arc<Runner>,
    desk: Desk,
}

/// What sessions go by.
struct Desk {
    intake: Arc<Intake>,
    session: server::Settings,
    /// How much sealing adds to a message.
    growth: Growth,
    temporary: PathBuf,
}

/// Settings, sorted by who needs them.
struct Parted {
    sealer: Sealer,
    own: Option<Arc<Own>>,
    session: server::Settings,
    recipients: Recipients,
    rates: Rates,
    checks: Option<(Checks, Strictness)>,
    growth: Growth,
    sink: Sink,
    spool: Spool,
    schedule: Schedule,
    temporary: PathBuf,
}

impl Parted {
    fn of(settings: Settings, controls: &Controls) -> Result<Parted, ForwardError> {
        let growth = settings.growth();
        let outer_id = match &settings.sink {
            Sink::Account { .. } => OuterId::Own,
            Sink::Hop { .. } | Sink::Domain { .. } | Sink::Maildir(_) => OuterId::Kept,
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
            temporary: settings.temporary.clone(),
            counts: Arc::clone(&controls.sealing),
        };
        Ok(Parted {
            sealer,
            own,
            session: settings.session,
            recipients: settings.recipients,
            rates: settings.rates,
            checks: settings.checks,
            growth,
            sink: settings.sink,
            spool: settings.spool,
            schedule: settings.schedule,
            temporary: settings.temporary,
        })
    }
}

impl House {
    fn of(settings: Settings, tell: Tell, controls: &Controls) -> Result<House, ForwardError> {
        let parted = Parted::of(settings, controls)?;
        let Parted { sealer, own, session, recipients, rates, checks, growth, sink, spool, schedule, temporary } =
            parted;
        let hello = session.hello.clone();
        let spool = Arc::new(spool);
        let target = Target::new(sink, &hello, recipients.owner(), own, temporary.clone(), &spool)
            .map_err(ForwardError::Begin)?;
        let runner = Arc::new(Runner::new(Parts {
            spool,
            target,
            sealer,
            schedule,
            hello,
            counts: Arc::clone(&controls.counts),
            tell,
            temporary: temporary.clone(),
        }));
        let intake = Arc::new(Intake::new(Arc::clone(&runner), recipients, Rate::new(rates), checks));
        Ok(House { runner, desk: Desk::new(intake, session, growth, temporary) })
    }
}

impl Desk {
    fn new(intake: Arc<Intake>, mut session: server::Settings, growth: Growth, temporary: PathBuf) -> Desk {
        let hearing = Arc::clone(&intake);
        session.hears = Some(Arc::new(move |refused, code| hearing.refused(refused.into(), code)));
        Desk { intake, session, growth, temporary }
    }

    /// How the next session is led: what it announces (RFC 1870) is what the target takes now.
    fn session(&self) -> server::Settings {
        let room = self.intake.runner.target.takes().map_or(u64::MAX, |takes| self.growth.room(takes));
        server::Settings { max_message: self.session.max_message.min(room), ..self.session.clone() }
    }
}

/// One session, from its greeting to its end. How it ends is its client's business: nothing was lost, and there is nobody to tell.
async fn lead(connection: Connection, desk: Arc<Desk>) {
    let Connection { stream, address, seat } = connection;
    let settings = desk.session();
    let peer = if settings.trusts(address) { Peer::Trusted } else { Peer::Stranger };
    let activity = Arc::clone(&seat.activity);
    if let Ok(mut session) = server::Session::begin(stream, address, Arc::new(settings), activity).await {
        let _ = attend(&mut session, &desk.intake, peer, &desk.temporary).await;
        session.end().await;
    }
    drop(seat);
}
