//! A forward flow, running: connections taken in, sessions led, copies handed on, until it is asked to end.
//!
//! In: settings. Out: nothing but what became of the mail. Asked to end, it takes no more connections, finishes what is under way, and leaves; what
//! is in the spool waits there.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::Fate;
use store::imap::FlowLock;
use wire::smtp::{Place, limit};

use crate::delivery::connections::Connections;
use crate::delivery::current::Current;
use crate::delivery::serve::{open, remove_own};
use crate::delivery::{self, Health};
use crate::forward::counts::Counts;
use crate::forward::desk::{Desk, Parted, lead, renew};
use crate::forward::intake::Intake;
use crate::forward::rate::Rate;
use crate::forward::runner::{Parts, Runner, Tell};
use crate::forward::settings::Settings;
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

/// Whether another process runs this flow. Nothing is kept from it: `serve` asks again.
pub fn is_free(settings: &Settings) -> Result<(), ForwardError> {
    lock(settings).map(drop)
}

fn lock(settings: &Settings) -> Result<Option<FlowLock>, ForwardError> {
    let Some(state) = &settings.lock else { return Ok(None) };
    let lock = FlowLock::take(state, &settings.name).map_err(ForwardError::Begin)?;
    lock.map(Some).ok_or(ForwardError::Busy)
}

/// Runs until it is asked to end.
pub fn serve(settings: Settings, tell: Tell, controls: &Controls) -> Result<(), ForwardError> {
    // Fail at the start, not at the first large message.
    tempfile::tempfile_in(&settings.temporary).map_err(ForwardError::Temporary)?;
    let _lock = lock(&settings)?;
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
    // On a full disk that fails, and what waits is handed on all the same.
    let _ = settings.spool.make_room().await;
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
    let desk = Arc::new(Current::new(house.desk));
    let looking = tokio::spawn(look_again(Arc::clone(&runner), Arc::clone(&desk)));
    let begin = |connection| {
        controls.sealing.session();
        let desk = desk.now();
        tokio::spawn(lead(connection, desk));
    };
    let step = || {
        runner.counts.meets(runner.plight().or_else(|| desk.now().intake().plight()));
        if let Some(settings) = controls.next() {
            renew(settings, &runner, &desk, &controls.sealing);
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
async fn look_again(runner: Arc<Runner>, desk: Arc<Current<Desk>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let intake = Arc::clone(desk.now().intake());
        intake.look_at_dns().await;
        if runner.target.plight().is_some_and(|plight| plight.obstacle.meets_greetings()) {
            runner.target.greet().await;
        }
    }
}

/// A flow that begins.
struct House {
    runner: Arc<Runner>,
    desk: Desk,
}

impl House {
    fn of(settings: Settings, tell: Tell, controls: &Controls) -> Result<House, ForwardError> {
        let parted = Parted::of(settings, &controls.sealing).ok_or(ForwardError::NoCertificate)?;
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
