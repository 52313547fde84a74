//! Copies put into the owner's account: APPEND, FETCH, compare (RFC 9051 §6.3.12; format §12).
//!
//! In: copies, many at a time. Out: for each a receipt, made against the copy as it was fetched back, or what stood in the way. A copy that may be
//! there already is looked for first by its id (format §4.3), among what has the same INTERNALDATE, which is when the copy came. One connection on
//! a thread of its own; what a broken connection leaves in doubt is looked for before it is put again. Never removes anything.

mod look;

use std::collections::HashMap;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use store::UnixSeconds;
use store::imap::{Account, ConnectError, Mailbox};
use tempfile::SpooledTempFile;
use time::macros::format_description;
use tokio::sync::oneshot;
use wire::imap::{Access, Append, Fetched, ImapError, Leave, Moment, Session, UidSet};

use crate::forward::arrived::Arrived;
use crate::forward::lease::Lease;
use crate::forward::met::Met;
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::{Evidence, Look, Parcel};

use self::look::{LookedAt, look_for};

/// Copies of one round.
const MANY: usize = 64;
/// Octets of one round; a single copy may have more.
const OCTETS: u64 = 4 * 1024 * 1024;
/// Ciphertext of one copy, read back, that is kept in memory; octets.
const IN_MEMORY: usize = 256 * 1024;
/// A connection that was idle for so long is asked whether it still stands; before, it is only looked whether the server has closed it.
const FRESH: Duration = Duration::from_secs(10);
/// How a copy got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It was put.
    Put,
    /// It was there already.
    Found,
    /// Its content was there already, under its name, and nothing else came.
    Like,
}

type Outcome = Result<(Arrived, Way), Met>;

/// A job and whoever waits for it.
enum Job {
    Put(Box<Parcel>, oneshot::Sender<Outcome>),
    Greet(oneshot::Sender<Result<(), Met>>),
}

/// The thread that works, and what it has learned.
pub(crate) struct Appender {
    jobs: mpsc::Sender<Job>,
    takes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Appender {
    /// Nothing is connected yet.
    pub(crate) fn start(account: Account, mailbox: String, temporary: PathBuf, lease: Lease) -> io::Result<Appender> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (takes, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut clerk = Clerk {
            account,
            name: mailbox,
            temporary,
            lease,
            desk: None,
            takes: Arc::clone(&takes),
            stop: Arc::clone(&stop),
        };
        std::thread::Builder::new().name("append".to_owned()).spawn(move || {
            while let Ok(first) = waiting.recv() {
                let (mut parcels, mut puts, mut octets) = (Vec::new(), Vec::new(), 0_u64);
                let mut next = Some(first);
                while let Some(job) = next.take() {
                    match job {
                        Job::Greet(done) => drop(done.send(clerk.desk().map(drop))),
                        Job::Put(parcel, done) => {
                            octets = octets.saturating_add(parcel.length);
                            parcels.push(*parcel);
                            puts.push(done);
                        }
                    }
                    next = if puts.len() < MANY && octets < OCTETS { waiting.try_recv().ok() } else { None };
                }
                clerk.round(parcels, puts);
            }
            if let Some(desk) = clerk.desk.take() {
                desk.session.logout();
            }
        })?;
        Ok(Appender { jobs, takes, stop })
    }

    /// Puts one copy.
    pub(crate) async fn put(&self, parcel: Parcel) -> Outcome {
        let (done, outcome) = oneshot::channel();
        self.jobs.send(Job::Put(Box::new(parcel), done)).map_err(|_| Obstacle::Unreachable)?;
        outcome.await.unwrap_or(Err(Obstacle::Unknown.into()))
    }

    /// Connects, if there is no connection.
    pub(crate) async fn greet(&self) -> Result<(), Met> {
        let (done, met) = oneshot::channel();
        self.jobs.send(Job::Greet(done)).map_err(|_| Obstacle::Unreachable)?;
        met.await.unwrap_or(Err(Obstacle::Unreachable.into()))
    }

    /// Octets of the largest message that the mailbox takes, as its server said last.
    pub(crate) fn takes(&self) -> Option<u64> {
        Some(self.takes.load(Ordering::Relaxed)).filter(|size| *size > 0)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // Whatever it waits for: nobody waits for it any more.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Who works.
struct Clerk {
    account: Account,
    name: String,
    temporary: PathBuf,
    lease: Lease,
    desk: Option<Desk>,
    takes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// A session in which the mailbox lies open.
struct Desk {
    session: Session,
    mailbox: Mailbox,
    used: Instant,
    /// Marks of messages that were looked at, by UID, so that many copies that are looked for cost one look.
    looked_at: LookedAt,
}

/// Whether a connection served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Old,
    New,
}

impl Clerk {
    fn round(&mut self, mut parcels: Vec<Parcel>, puts: Vec<oneshot::Sender<Outcome>>) {
        if puts.is_empty() {
            return;
        }
        let mut outcomes: Vec<Option<Outcome>> = parcels.iter().map(|_| None).collect();
        // What was not sent when an old connection broke is sent at once over a new one.
        let rest = loop {
            let age = match self.desk() {
                Ok(age) => age,
                Err(met) => break met,
            };
            let Some(mut desk) = self.desk.take() else { break Obstacle::Unreachable.into() };
            let done = steps(&mut desk, &mut parcels, &mut outcomes, &self.temporary, &self.lease);
            desk.used = Instant::now();
            self.desk = done.as_ref().err().is_none_or(|error| !error.is_lost()).then_some(desk);
            match done {
                Ok(()) => break Obstacle::NotNow.into(),
                Err(error) if age == Age::New || !error.is_lost() || is_ours(&error) => break Met::of_imap(&error),
                Err(_) => {}
            }
        };
        for (done, outcome) in puts.into_iter().zip(outcomes) {
            // What has no outcome was never sent, or was looked for in vain; what was sent and not seen again has one.
            // Whoever waited may be gone; the spool looks first, then.
            let _ = done.send(outcome.unwrap_or_else(|| Err(rest.clone())));
        }
    }

    /// A session that stands, as far as can be seen.
    fn desk(&mut self) -> Result<Age, Met> {
        if let Some(desk) = &mut self.desk
            && desk.session.still_stands()
            && (desk.used.elapsed() < FRESH || desk.session.noop().is_ok())
        {
            return Ok(Age::Old);
        }
        self.desk = None;
        let (mut session, mailbox) = connect(&self.account, &self.name, &self.stop)?;
        let selected = match session.select(mailbox.wire(), Access::Write) {
            Err(error) if error.is_refusal() => {
                // It is not there, as a rule. Somebody else may make it at this moment.
                let _ = session.create(mailbox.wire()).and_then(|()| session.subscribe(mailbox.wire()));
                session.select(mailbox.wire(), Access::Write)
            }
            selected => selected,
        };
        let selected = selected.map_err(|error| Met::of_select(&error))?;
        let takes = selected.append_limit.or(session.append_limit()).unwrap_or_default();
        self.takes.store(takes, Ordering::Relaxed);
        self.desk = Some(Desk { session, mailbox, used: Instant::now(), looked_at: HashMap::new() });
        Ok(Age::New)
    }
}

/// A session, and what its server calls the mailbox; nothing is opened yet.
pub(crate) fn connect(account: &Account, name: &str, stop: &Arc<AtomicBool>) -> Result<(Session, Mailbox), Met> {
    let mut session = account.connect(stop).map_err(|error| match error {
        ConnectError::Credentials(_) => Obstacle::Login.into(),
        ConnectError::Imap(error) => Met::of_imap(&error),
        _ => Met::from(Obstacle::Unreachable),
    })?;
    let delimiter = session.list("", "INBOX").ok().and_then(|listed| listed.first().and_then(|one| one.delimiter));
    Ok((session, Mailbox::named(name, delimiter)))
}

/// Was it us who broke off?
fn is_ours(error: &ImapError) -> bool {
    matches!(error, ImapError::Withdrawn | ImapError::Stopped)
}

fn steps(
    desk: &mut Desk,
    parcels: &mut [Parcel],
    outcomes: &mut [Option<Outcome>],
    temporary: &Path,
    lease: &Lease,
) -> Result<(), ImapError> {
    let Desk { session, mailbox, looked_at, .. } = desk;
    // Where the server does not say where it puts them, what bears their name already is another message, or the same one from before.
    let says_where = session.has("UIDPLUS");
    let is_sought = |at: &usize| is(parcels, *at, Look::First) || !says_where && is_known_by_name(parcels, *at);
    let sought: Vec<usize> = open(outcomes).into_iter().filter(is_sought).collect();
    let mut before = HashMap::new();
    if !sought.is_empty() {
        before = look_for(session, looked_at, parcels, &sought)?;
        let first = before.iter().filter(|(_, at)| is(parcels, **at, Look::First));
        let first = first.map(|(uid, at)| (*uid, *at)).collect();
        fetch_back(session, parcels, &first, Way::Found, outcomes, temporary)?;
    }
    let open = open(outcomes);
    let asked = Asked { open: &open, before: &before };
    let (put, like) = put(session, looked_at, mailbox, parcels, asked, outcomes, lease)?;
    fetch_back(session, parcels, &like, Way::Like, outcomes, temporary)?;
    fetch_back(session, parcels, &put, Way::Put, outcomes, temporary)
}

/// Those that have no outcome yet.
fn open(outcomes: &[Option<Outcome>]) -> Vec<usize> {
    outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_none()).map(|(at, _)| at).collect()
}

fn is(parcels: &[Parcel], at: usize, look: Look) -> bool {
    parcels.get(at).is_some_and(|parcel| parcel.look == look)
}

/// Is it looked for by its Message-ID, which others may bear, too?
fn is_known_by_name(parcels: &[Parcel], at: usize) -> bool {
    let evidence = parcels.get(at).map(|parcel| &parcel.evidence);
    matches!(evidence, Some(Evidence::AsItCame(likeness)) if likeness.name.is_some())
}

/// Which copies are to be put.
#[derive(Clone, Copy)]
struct Asked<'a> {
    open: &'a [usize],
    /// What bore the name of one of them before, by UID.
    before: &'a HashMap<u32, usize>,
}

/// Copies by UID.
type Placed = HashMap<u32, usize>;

/// APPENDs those; where they lie, and what bore their names before. What was refused has its outcome.
fn put(
    session: &mut Session,
    looked_at: &mut LookedAt,
    mailbox: &Mailbox,
    parcels: &mut [Parcel],
    Asked { open, before }: Asked<'_>,
    outcomes: &mut [Option<Outcome>],
    lease: &Lease,
) -> Result<(Placed, Placed), ImapError> {
    let (mut order, mut tenures) = (Vec::new(), Vec::new());
    let mut messages: Vec<Append<'_>> = Vec::new();
    for (at, parcel) in parcels.iter_mut().enumerate().filter(|(at, _)| open.contains(at)) {
        if parcel.octets.rewind().is_err() {
            settle(outcomes, at, Err(Obstacle::Unwritable.into()));
            continue;
        }
        order.push(at);
        tenures.push(parcel.tenure);
        messages.push(Append {
            flags: Vec::new(),
            internal_date: Some(date_time(parcel.received)),
            length: parcel.length,
            octets: &mut parcel.octets,
        });
    }
    let mut ask = |number: usize, moment: Moment| {
        tenures.get(number).map_or(Leave::Withdrawn, |tenure| lease.leave(*tenure, moment))
    };
    let ask = lease.can_end().then_some(&mut ask as wire::imap::Ask<'_>);
    let (results, lost) = match session.append_with_leave(mailbox.wire(), &mut messages, ask) {
        Ok(results) => (results.into_iter().map(Some).collect(), None),
        Err(lost) => (lost.done, Some(lost.error)),
    };
    drop(messages);
    let (mut placed, mut unplaced) = (HashMap::new(), Vec::new());
    for (at, result) in order.into_iter().zip(results) {
        match result {
            Some(Ok(Some(uid))) => {
                // Of two that the server takes for one, the other one stays in doubt, and is looked for when it comes again.
                placed.insert(uid.uid, at);
                // Until it was seen.
                settle(outcomes, at, Err(Obstacle::Unknown.into()));
            }
            Some(Ok(None)) => unplaced.push(at),
            // It has no outcome yet.
            Some(Err(ImapError::NotSent)) => {}
            Some(Err(error)) => settle(outcomes, at, Err(Met::of_imap(&error))),
            None => settle(outcomes, at, Err(Obstacle::Unknown.into())),
        }
    }
    for at in &unplaced {
        // Put again at each try, it would be there as often.
        let nameless = parcels.get(*at).and_then(|parcel| match &parcel.evidence {
            Evidence::AsItCame(likeness) => likeness.nameless(),
            _ => None,
        });
        let word = nameless.map(|nameless| (Arrived::by_word(nameless), Way::Put));
        settle(outcomes, *at, word.ok_or_else(|| Obstacle::Unknown.into()));
    }
    unplaced.retain(|at| !matches!(outcomes.get(*at), Some(Some(Ok(_)))));
    if let Some(error) = lost {
        return Err(error);
    }
    if !unplaced.is_empty() {
        // Without UIDPLUS the server does not say where.
        // If only what was there before is there, the copy may still come: it stays in doubt, unless that has its content.
        let found = look_for(session, looked_at, parcels, &unplaced)?;
        let (like, new): (Placed, Placed) = found.into_iter().partition(|(uid, _)| before.contains_key(uid));
        placed.extend(new);
        return Ok((placed, like));
    }
    Ok((placed, Placed::new()))
}

/// Reads them back, and compares.
fn fetch_back(
    session: &mut Session,
    parcels: &[Parcel],
    placed: &HashMap<u32, usize>,
    way: Way,
    outcomes: &mut [Option<Outcome>],
    temporary: &Path,
) -> Result<(), ImapError> {
    if placed.is_empty() {
        return Ok(());
    }
    let uids: UidSet = placed.keys().copied().collect();
    let scratch = || tempfile::spooled_tempfile_in(IN_MEMORY, temporary);
    session.uid_fetch(
        &uids,
        "UID BODY.PEEK[]",
        |_| Ok(scratch()),
        |fetched: Fetched<SpooledTempFile>| {
            let Some((at, parcel)) = placed.get(&fetched.uid).and_then(|at| Some((*at, parcels.get(*at)?))) else {
                return;
            };
            let outcome = match fetched.body {
                Some(Ok(mut copy)) => {
                    let shown = copy.rewind().ok().and_then(|()| match way {
                        Way::Put | Way::Like => parcel.evidence.proves(copy, &mut scratch()),
                        Way::Found => parcel.evidence.is(copy, &mut scratch()),
                    });
                    match (shown, &parcel.evidence) {
                        (Some(shown), _) => Ok((Arrived::seen(shown), way)),
                        // It has the same Message-ID, and is another one.
                        (None, Evidence::AsItCame(_)) if way != Way::Put => return,
                        (None, _) => Err(Obstacle::NotAsSent.into()),
                    }
                }
                Some(Err(_)) => Err(Obstacle::Unwritable.into()),
                // A change of flags, told unasked.
                None => return,
            };
            // Of two copies with one id, one that is good is enough.
            if !matches!(outcomes.get(at), Some(Some(Ok(_)))) {
                settle(outcomes, at, outcome);
            }
        },
    )
}

fn settle(outcomes: &mut [Option<Outcome>], at: usize, outcome: Outcome) {
    if let Some(place) = outcomes.get_mut(at) {
        *place = Some(outcome);
    }
}

/// `"25-Nov-2026 10:00:00 +0000"` without its quotes.
fn date_time(at: UnixSeconds) -> String {
    let format = format_description!("[day padding:space]-[month repr:short]-[year] [hour]:[minute]:[second] +0000");
    look::moment(at.0).format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_imap_reads_them() {
        assert_eq!(date_time(UnixSeconds(1_793_584_861)), " 2-Nov-2026 02:01:01 +0000");
        assert_eq!(store::imap::parse_date(&date_time(UnixSeconds(1_793_584_861))), Some(UnixSeconds(1_793_584_861)));
    }
}
