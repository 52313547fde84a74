//! What sessions go by, and what takes its place when the configuration was read again.
//!
//! In: settings. Out: a session, led from its greeting to its end. One that is under way keeps what it began with.

use std::path::PathBuf;
use std::sync::Arc;

use seal::OuterId;
use wire::smtp::server;

use crate::delivery;
use crate::delivery::connections::Connection;
use crate::delivery::current::Current;
use crate::forward::checks::Checks;
use crate::forward::door::{Peer, attend};
use crate::forward::intake::Intake;
use crate::forward::rate::{Rate, Rates};
use crate::forward::recipients::Recipients;
use crate::forward::runner::Runner;
use crate::forward::schedule::Schedule;
use crate::forward::sealing::{Sealer, whose};
use crate::forward::settings::{Growth, Own, Settings, Sink};
use crate::forward::spool::Spool;
use crate::forward::verdict::Strictness;

/// What sessions go by.
pub(crate) struct Desk {
    intake: Arc<Intake>,
    session: server::Settings,
    /// How much sealing adds to a message.
    growth: Growth,
    temporary: PathBuf,
}

/// Settings, sorted by who needs them.
pub(crate) struct Parted {
    pub(crate) sealer: Sealer,
    pub(crate) own: Option<Arc<Own>>,
    pub(crate) session: server::Settings,
    pub(crate) recipients: Recipients,
    pub(crate) rates: Rates,
    pub(crate) checks: Option<(Checks, Strictness)>,
    pub(crate) growth: Growth,
    pub(crate) sink: Sink,
    pub(crate) spool: Spool,
    pub(crate) schedule: Schedule,
    pub(crate) temporary: PathBuf,
}

impl Parted {
    /// None: the enrolment has no certificate. `counts`: what is sealed counts there.
    pub(crate) fn of(settings: Settings, counts: &Arc<delivery::Counts>) -> Option<Parted> {
        let growth = settings.growth();
        let outer_id = match &settings.sink {
            Sink::Account { .. } => OuterId::Own,
            Sink::Hop { .. } | Sink::Domain { .. } | Sink::Maildir(_) => OuterId::Kept,
        };
        let own = settings.own.map(Arc::new);
        let sealer = Sealer {
            flow: settings.name,
            owner: settings.recipients.owner(),
            whose: whose(&settings.enrolment)?,
            key: settings.sealer,
            trust: settings.trust,
            dedup: settings.dedup,
            compression: settings.compression,
            padding: settings.padding,
            authserv_id: settings.authserv_id,
            outer_id,
            own: own.clone(),
            temporary: settings.temporary.clone(),
            counts: Arc::clone(counts),
        };
        Some(Parted {
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

/// Others take the place of what sessions and messages go by. Target, spool and place stay.
pub(crate) fn renew(settings: Settings, runner: &Arc<Runner>, desk: &Current<Desk>, counts: &Arc<delivery::Counts>) {
    let parts = Parted::of(settings, counts);
    let Some(Parted { sealer, own, session, recipients, rates, checks, growth, .. }) = parts else { return };
    runner.target.renew(own);
    runner.sealer.set(sealer);
    let intake = Arc::new(Intake::new(Arc::clone(runner), recipients, Rate::new(rates), checks));
    let temporary = desk.now().temporary.clone();
    desk.set(Desk::new(intake, session, growth, temporary));
}

impl Desk {
    pub(crate) fn new(intake: Arc<Intake>, mut session: server::Settings, growth: Growth, temporary: PathBuf) -> Desk {
        let hearing = Arc::clone(&intake);
        session.hears = Some(Arc::new(move |refused, code| hearing.refused(refused.into(), code)));
        Desk { intake, session, growth, temporary }
    }

    /// Who takes mail in.
    pub(crate) fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// How the next session is led: what it announces (RFC 1870) is what the target takes now.
    fn session(&self) -> server::Settings {
        let room = self.intake.runner.target.takes().map_or(u64::MAX, |takes| self.growth.room(takes));
        server::Settings { max_message: self.session.max_message.min(room), ..self.session.clone() }
    }
}

/// One session, from its greeting to its end. How it ends is its client's business: nothing was lost, and there is nobody to tell.
pub(crate) async fn lead(connection: Connection, desk: Arc<Desk>) {
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
