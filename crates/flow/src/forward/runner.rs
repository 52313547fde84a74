//! Put and settle: copies from the spool to their target, at once and then as the schedule says.
//!
//! In: a copy that was just kept, or rows whose time has come. Out: each at its target and out of the queue, or back in it with a time and a reason.
//! A row goes only against a receipt ([`Arrived`]). Nobody is sent a bounce: what a target refuses for good stays, and its owner is written a note.

mod notes;
mod failed;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealed::identity::MessageId;
use store::{Fate, UnixSeconds};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::smtp::Shape;

use crate::delivery::current::Current;
use crate::delivery::sealing::Octets;
use crate::forward::append::Way;
use crate::forward::arrived::Arrived;
use crate::forward::counts::{Counts, Event, Plight};
use crate::forward::envelope::Envelope;
use crate::forward::group::Group;
use crate::forward::met::Met;
use crate::forward::note::{Copy, What};
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::{Evidence, Look, Parcel};
use crate::forward::refusal::Refusal;
use crate::forward::schedule::Schedule;
use crate::forward::sealing::Sealer;
use crate::forward::settings::Own;
use crate::forward::spool::{
    Announced, Change, End, Kind, New, Room, Row, Spool, SpoolError, Tenure, Turn, Which, Written,
};
use crate::forward::target::Target;

use self::notes::News;
pub(crate) use self::notes::Noted;

/// Copies under way at once.
const UNDER_WAY: usize = 128;
/// The same when there is hardly any room.
const FEW: usize = 8;
/// Rows that are taken at a time.
const MANY: usize = 64;
/// Between two looks into the spool.
const LOOK: Duration = Duration::from_millis(500);
/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// Between two times of forgetting.
const FORGET: Duration = Duration::from_secs(60);
/// Before a change is written again that could not be.
const AGAIN: Duration = Duration::from_secs(1);
/// Ciphertext of one copy that is kept in memory; octets.
const IN_MEMORY: usize = 256 * 1024;

/// Who is told what became of a copy that did not simply arrive.
pub type Tell = Arc<dyn Fn(&Told<'_>) + Send + Sync>;

/// What became of a copy.
#[derive(Debug)]
pub struct Told<'a> {
    /// The flow.
    pub flow: &'a str,
    /// What happened.
    pub event: Event,
    /// What stood in the way.
    pub why: Option<Obstacle>,
    /// Why it was not taken from its sender, if its target has nothing to do with that.
    pub refusal: Option<Refusal>,
    /// The copy's id, if there is one.
    pub id: Option<MessageId>,
    /// Code of the answer to its sender, if there was one.
    pub code: Option<u16>,
}

/// All that handing on needs.
pub(crate) struct Runner {
    pub(crate) spool: Arc<Spool>,
    pub(crate) group: Group,
    pub(crate) target: Target,
    pub(crate) sealer: Current<Sealer>,
    pub(crate) schedule: Schedule,
    pub(crate) hello: String,
    pub(crate) counts: Arc<Counts>,
    pub(crate) tell: Tell,
    pub(crate) temporary: PathBuf,
    in_hand: InHand,
    under_way: Arc<Semaphore>,
    /// Held while a copy that came back is seen to, so that its owner is told once.
    coming_back: tokio::sync::Mutex<()>,
    /// Since when no more is taken, and why.
    crowded: Mutex<Option<Plight>>,
    /// Too much of what the target refused lies in the spool.
    overfull: AtomicBool,
    /// A note was refused the first time that it was tried.
    note_refused: AtomicBool,
}

/// Ids of the copies under way.
type InHand = Arc<Mutex<HashSet<[u8; 16]>>>;

/// What a runner is made of.
pub(crate) struct Parts {
    pub(crate) spool: Arc<Spool>,
    pub(crate) target: Target,
    pub(crate) sealer: Sealer,
    pub(crate) schedule: Schedule,
    pub(crate) hello: String,
    pub(crate) counts: Arc<Counts>,
    pub(crate) tell: Tell,
    pub(crate) temporary: PathBuf,
}

/// A place among the copies that are under way. With it the copy is out of hand, however that comes about.
struct Hold {
    id: MessageId,
    /// What stood in its way the last time, and was told then.
    told: Option<Obstacle>,
    in_hand: InHand,
    _place: OwnedSemaphorePermit,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id.0);
    }
}

impl Runner {
    pub(crate) fn new(parts: Parts) -> Runner {
        let Parts { spool, target, sealer, schedule, hello, counts, tell, temporary } = parts;
        Runner {
            group: Group::start(Arc::clone(&spool)),
            spool,
            target,
            sealer: Current::new(sealer),
            schedule,
            hello,
            counts,
            tell,
            temporary,
            in_hand: InHand::default(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
            coming_back: tokio::sync::Mutex::default(),
            crowded: Mutex::default(),
            overfull: AtomicBool::new(false),
            note_refused: AtomicBool::new(false),
        }
    }

    /// Keeps a copy: durable when this returns. It is handed on at once if there is a place and nothing is known to stand in the way.
    pub(crate) async fn keep(self: &Arc<Self>, parcel: Parcel, kind: Kind) -> Result<Written, Arc<SpoolError>> {
        let Evidence::Sealing(_, expectation) = &parcel.evidence else { return Err(Arc::new(SpoolError::NotWhole)) };
        let expectation = expectation.clone();
        let obstacle = self.target.obstacle(parcel.length);
        let tenure = self.spool.tenure();
        let place = match obstacle {
            None if self.spool.holds(tenure) => Arc::clone(&self.under_way).try_acquire_owned().ok(),
            _ => None,
        };
        let hold = place.and_then(|place| self.hold(parcel.id, place));
        // What is known to stand in the way is not run into by every message that comes: the schedule finds out when it is gone.
        let wait = if obstacle.is_some() { self.schedule.after(1) } else { Duration::ZERO };
        let Parcel { id, envelope, octets, length, shape, received, evidence, look, .. } = parcel;
        let turn = if hold.is_some() { Turn::Ours(tenure) } else { Turn::Later(wait) };
        let new = New { id, kind, envelope: envelope.write(), expectation, octets, length, received, turn };
        let written = self.group.write(Change::Put(Box::new(new))).await;
        let (octets, written) = match written {
            Some((Change::Put(new), written)) => (new.octets, written),
            _ => return Err(Arc::new(SpoolError::NotWhole)),
        };
        if let (Ok(Written::Now), Some(hold)) = (&written, hold) {
            let parcel = Parcel { id, envelope, octets, length, shape, received, evidence, look, tenure };
            let runner = Arc::clone(self);
            tokio::spawn(async move { runner.attempt(parcel, 0, kind, hold).await });
        }
        written
    }

    /// Until it is asked to end. What is under way then is finished.
    pub(crate) async fn run(self: Arc<Self>, stop: Arc<AtomicBool>) {
        let (mut beaten, mut forgotten, mut cleared) = (None::<Instant>, None::<Instant>, None::<Instant>);
        let mut failed = None;
        let mut step = tokio::time::interval(LOOK);
        step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            step.tick().await;
            if beaten.is_none_or(|beaten| beaten.elapsed() >= BEAT) && self.spool.beat().await.is_ok() {
                beaten = Some(Instant::now());
            }
            if forgotten.is_none_or(|forgotten| forgotten.elapsed() >= FORGET) {
                forgotten = Some(Instant::now());
                // Another time, then.
                let _ = self.spool.forget(self.schedule.keep()).await;
            }
            if cleared.is_none_or(|cleared| cleared.elapsed() >= self.schedule.clearing()) {
                cleared = Some(Instant::now());
                self.clear().await;
            }
            // What fails shows as too little room.
            let _ = self.spool.make_room().await;
            self.look_at_room();
            for gone in self.target.overcome() {
                let _ = self.spool.retry(Which::Behind(gone)).await;
            }
            if let Ok(tally) = self.spool.tally().await {
                self.counts.queue(tally.waiting, tally.failed, tally.octets);
                if failed != Some(tally.failed) && self.weigh().await {
                    failed = Some(tally.failed);
                }
            }
            let in_hand = self.lock().iter().map(|id| MessageId(*id)).collect();
            // What fails here is tried again at the next step.
            let _ = self.spool.adopt(in_hand, self.schedule.grace()).await;
            while self.look().await && !stop.load(Ordering::Relaxed) {}
        }
    }

    /// What stands in the way, here or at the target.
    pub(crate) fn plight(&self) -> Option<Plight> {
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner).or_else(|| self.target.plight())
    }

    fn look_at_room(&self) {
        let mut crowded = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        let obstacle = self.no_room(0);
        if obstacle != crowded.map(|plight| plight.obstacle) {
            *crowded = obstacle.map(|obstacle| Plight { obstacle, since: UnixSeconds::now() });
        }
    }

    /// Why no message of so many octets is taken, if that is not of the target.
    pub(crate) fn no_room(&self, octets: u64) -> Option<Obstacle> {
        match self.spool.room(octets) {
            Room::Short => Some(Obstacle::NoRoom),
            Room::Enough => self.overfull.load(Ordering::Relaxed).then_some(Obstacle::Overfull),
        }
    }

    /// How many copies are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.lock().len()
    }

    /// Takes rows whose time has come. True: there may be more.
    async fn look(self: &Arc<Self>) -> bool {
        let free = match self.spool.room(0) {
            Room::Enough => self.under_way.available_permits(),
            // Each has temporary files of its own.
            Room::Short => FEW.saturating_sub(self.under_way()),
        };
        // From before: what is taken in another name is not ours under this one.
        let tenure = self.spool.tenure();
        if free == 0 || !self.spool.holds(tenure) {
            return false;
        }
        let Ok(rows) = self.spool.take(free.min(MANY)).await else { return false };
        let some = !rows.is_empty();
        for row in rows {
            let Ok(place) = Arc::clone(&self.under_way).acquire_owned().await else { return false };
            // Kept by a session at this very moment: that one has it.
            let Some(mut hold) = self.hold(row.id, place) else { continue };
            hold.told = row.why;
            let runner = Arc::clone(self);
            tokio::spawn(async move { runner.again(row, tenure, hold).await });
        }
        some
    }

    /// Another try, from the spool.
    async fn again(self: Arc<Self>, row: Row, tenure: Tenure, hold: Hold) {
        let age = UnixSeconds::now().0.saturating_sub(row.received.0);
        let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
        // A copy that somebody asks for once more has its try, however old it is.
        // Nor does a note end: it tells of what did, once its way is open again.
        let over = self.schedule.is_over(age) && row.tries > 0 && row.kind == Kind::Mail;
        match self.fetch(&row, tenure).await {
            Ok(parcel) => {
                let tries = if over { u32::MAX } else { row.tries };
                self.attempt(parcel, tries, row.kind, hold).await;
            }
            Err(None) => self.release(row.id, Obstacle::Unwritable.into(), row.tries, row.look, hold).await,
            Err(Some(obstacle)) => {
                let envelope = Envelope::read(&row.envelope).unwrap_or_default();
                self.fail(row.id, &envelope, row.received, row.kind, obstacle.into(), hold).await;
            }
        }
    }

    /// A copy, as it lies in the spool; it must be what was put there.
    async fn fetch(&self, row: &Row, tenure: Tenure) -> Result<Parcel, Option<Obstacle>> {
        let damaged = Some(Obstacle::Damaged);
        let mut envelope = Envelope::read(&row.envelope).ok_or(damaged)?;
        self.renew(&mut envelope, row.id);
        let place = tempfile::spooled_tempfile_in(IN_MEMORY, &self.temporary);
        let octets = self.spool.read(row, place).await.map_err(|error| match error {
            SpoolError::NotWhole => damaged,
            _ => None,
        })?;
        let (id, length, received) = (row.id, row.length, row.received);
        let evidence = self.sealer.now().evidence(&row.expectation).ok_or(damaged)?;
        let temporary = self.temporary.clone();
        let proved = tokio::task::spawn_blocking(move || {
            let mut octets = octets;
            let mut place = tempfile::spooled_tempfile_in(IN_MEMORY, temporary);
            let proved = evidence.proves(&mut octets, &mut place).is_some();
            (proved && std::io::Seek::rewind(&mut octets).is_ok()).then_some((octets, evidence))
        });
        let (octets, evidence) = proved.await.ok().flatten().ok_or(damaged)?;
        let look = if row.look { Look::First } else { Look::NotNeeded };
        let octets = Octets::Sealed(octets);
        Ok(Parcel { id, envelope, octets, length, shape: Shape::Lines, received, evidence, look, tenure })
    }

    /// What comes back of a copy that has waited for long must be believed, too; and so if the forwarder's name or secret is another one by now.
    fn renew(&self, envelope: &mut Envelope, id: MessageId) {
        let sealer = self.sealer.now();
        let now = u64::try_from(UnixSeconds::now().0).unwrap_or_default();
        // The null sender stays: nobody answers a note with a note.
        let sent = Some(&envelope.from.address).filter(|sender| !sender.is_empty());
        let renew = |own: &Arc<Own>| own.return_path.renewed(sent?, &envelope.to.address, id.0, now);
        if let Some(renewed) = sealer.own.as_ref().and_then(renew) {
            envelope.from.address = renewed;
        }
    }

    /// One try. `tries`: before this one; the largest number: it is the last.
    async fn attempt(self: Arc<Self>, parcel: Parcel, tries: u32, kind: Kind, hold: Hold) {
        let (id, envelope, received, look) = (parcel.id, parcel.envelope.clone(), parcel.received, parcel.look);
        if !self.spool.holds(parcel.tenure) {
            return self.release(id, Obstacle::Unreachable.into(), tries, look == Look::First, hold).await;
        }
        match self.target.put(parcel).await {
            Ok((arrived, way)) => {
                self.counts.event(if way == Way::Put { Event::Arrived } else { Event::Found });
                let change = if self.may_come_back(kind, &envelope) { Change::Relayed(id) } else { Change::Done(id) };
                self.settle(change, Some(arrived)).await;
                // It takes mail again: a note that it refused is tried once more.
                if kind == Kind::Mail && self.note_refused.swap(false, Ordering::Relaxed) {
                    let _ = self.spool.retry(Which::Notes).await;
                }
            }
            Err(met) if met.fate() == Fate::Refuse => {
                self.fail(id, &envelope, received, kind, met, hold).await;
                if kind == Kind::Note && tries == 0 {
                    self.note_refused.store(true, Ordering::Relaxed);
                }
                return;
            }
            Err(met) if tries == u32::MAX => {
                let met = Met { obstacle: Obstacle::Expired, ..met };
                return self.fail(id, &envelope, received, kind, met, hold).await;
            }
            Err(met) => {
                let look = look == Look::First || met.obstacle == Obstacle::Unknown;
                return self.release(id, met, tries, look, hold).await;
            }
        }
        drop(hold);
    }

    /// Back into the queue, until later.
    async fn release(&self, id: MessageId, why: Met, tries: u32, look: bool, hold: Hold) {
        let event = if why.obstacle == Obstacle::Unknown { Event::Unknown } else { Event::Retried };
        // Once, until it is something else: a copy may be tried for days.
        match hold.told == Some(why.obstacle) {
            true => self.counts.event(event),
            false => self.note(event, Some(why.obstacle), id),
        }
        let wait = match why.obstacle {
            // It is looked for as soon as may be: it is there already, as a rule.
            Obstacle::Unknown if tries == 0 => self.schedule.grace(),
            _ => self.schedule.after(tries.saturating_add(1)),
        };
        let wait = if look { wait.max(self.schedule.grace()) } else { wait };
        self.settle(Change::Later { id, wait, why, look }, None).await;
        drop(hold);
    }

    /// It stays in the queue until somebody asks for it, and the owner is told; of a note that was not taken, nobody is.
    async fn fail(
        self: &Arc<Self>,
        id: MessageId,
        envelope: &Envelope,
        received: UnixSeconds,
        kind: Kind,
        why: Met,
        hold: Hold,
    ) {
        // First the note: whoever dies between the two writes another one, rather than none.
        if kind == Kind::Mail {
            let what = if why.obstacle == Obstacle::Expired { What::Expired } else { What::Refused };
            let codes = why.said.as_ref().map(|said| format!(" ({})", said.text())).unwrap_or_default();
            let said = format!("{}{codes}", why.obstacle.text());
            let news = News { what, id, received: Some(received), said, copy: Copy::Here };
            if self.notify(news, envelope.to.address.clone()).await == Noted::No {
                // No space, as a rule. What nobody has been told of has not failed: once more, then.
                return self.release(id, why, 1, false, hold).await;
            }
        }
        self.note(Event::Failed, Some(why.obstacle), id);
        self.settle(Change::Failed(id, why), None).await;
        drop(hold);
    }

    /// Only what goes on in our own name comes back to us.
    fn may_come_back(&self, kind: Kind, envelope: &Envelope) -> bool {
        kind == Kind::Mail && !self.schedule.keep().is_zero() && self.has_return_path(envelope)
    }

    fn has_return_path(&self, envelope: &Envelope) -> bool {
        let sealer = self.sealer.now();
        sealer.own.as_ref().is_some_and(|own| own.return_path.looks_like_ours(&envelope.from.address))
    }

    /// A message that is not kept here is about to be handed on.
    pub(crate) async fn announce(&self, parcel: &Parcel) -> Result<Announced, SpoolError> {
        self.spool.announce(parcel.id, parcel.received, parcel.tenure, self.schedule.grace()).await
    }

    /// It arrived. Not written, it is found at its target when it comes again.
    pub(crate) async fn arrived(&self, id: MessageId, way: Way) {
        self.counts.event(if way == Way::Put { Event::Encrypted } else { Event::Found });
        drop(self.group.write(Change::Done(id)).await);
    }

    /// It did not; however long that takes to be written, since until then nobody hands it on.
    pub(crate) async fn withdraw(&self, id: MessageId, tenure: Tenure, end: End) {
        while self.spool.withdraw(id, end, tenure, self.schedule.grace()).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Written, however long that takes: without it, the copy would be handed on again, or never.
    async fn settle(&self, change: Change, _against: Option<Arrived>) {
        let mut change = change;
        loop {
            match self.group.write(change).await {
                Some((_, Ok(_))) | None => return,
                Some((back, Err(_))) => change = back,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(crate) fn note(&self, event: Event, why: Option<Obstacle>, id: MessageId) {
        self.counts.event(event);
        (self.tell)(&Told { flow: &self.sealer.now().flow, event, why, refusal: None, id: Some(id), code: None });
    }

    /// None: it is in hand already.
    fn hold(&self, id: MessageId, place: OwnedSemaphorePermit) -> Option<Hold> {
        self.lock().insert(id.0).then(|| Hold { id, told: None, in_hand: Arc::clone(&self.in_hand), _place: place })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 16]>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
