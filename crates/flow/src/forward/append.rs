//! Copies put into the owner's account: APPEND, FETCH, compare (RFC 9051 §6.3.12; format §12).
//!
//! In: copies, many at a time. Out: for each a receipt, made against the copy as it was fetched back, or what stood in the way. A copy that may be
//! there already is looked for first by its id (format §4.3), among what has the same INTERNALDATE, which is when the copy came. One connection on
//! a thread of its own; what a broken connection leaves in doubt is looked for before it is put again. Never removes anything.

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
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::oneshot;
use wire::imap::{Access, Append, Code, Fetched, ImapError, Session, UidSet};

use crate::forward::arrived::Arrived;
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::{Look, Parcel};
use crate::imap::mark_of;

/// Copies of one round.
const MANY: usize = 64;
/// Octets of one round; a single copy may have more.
const OCTETS: u64 = 4 * 1024 * 1024;
/// Ciphertext of one copy, read back, that is kept in memory; octets.
const IN_MEMORY: usize = 256 * 1024;
/// A connection that was idle for so long is asked whether it still stands.
const FRESH: Duration = Duration::from_secs(10);
/// Octets of header fields that hold a mark.
const MOST_FIELDS: usize = 16 * 1024;
/// UIDs of one FETCH of marks.
const MOST_LOOKED_AT: usize = 100_000;

/// How a copy got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It was put.
    Put,
    /// It was there already.
    Found,
}

/// What marks messages bear, by UID.
type LookedAt = HashMap<u32, Option<[u8; 16]>>;

type Outcome = Result<(Arrived, Way), Obstacle>;

/// A job and whoever waits for it.
enum Job {
    Put(Box<Parcel>, oneshot::Sender<Outcome>),
    Greet(oneshot::Sender<Result<(), Obstacle>>),
}

/// The thread that works, and what it has learned.
pub(crate) struct Appender {
    jobs: mpsc::Sender<Job>,
    takes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Appender {
    /// Nothing is connected yet.
    pub(crate) fn start(account: Account, mailbox: String, temporary: PathBuf) -> io::Result<Appender> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (takes, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut clerk =
            Clerk { account, name: mailbox, temporary, desk: None, takes: Arc::clone(&takes), stop: Arc::clone(&stop) };
        std::thread::Builder::new().name("append".to_owned()).spawn(move || {
            while let Ok(first) = waiting.recv() {
                let (mut parcels, mut puts, mut octets) = (Vec::new(), Vec::new(), 0_u64);
                let mut next = Some(first);
                while let Some(job) = next.take() {
                    match job {
                        Job::Greet(done) => drop(done.send(clerk.desk())),
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
        outcome.await.unwrap_or(Err(Obstacle::Unknown))
    }

    /// Connects, if there is no connection.
    pub(crate) async fn greet(&self) -> Result<(), Obstacle> {
        let (done, met) = oneshot::channel();
        self.jobs.send(Job::Greet(done)).map_err(|_| Obstacle::Unreachable)?;
        met.await.unwrap_or(Err(Obstacle::Unreachable))
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

impl Clerk {
    fn round(&mut self, mut parcels: Vec<Parcel>, puts: Vec<oneshot::Sender<Outcome>>) {
        if puts.is_empty() {
            return;
        }
        let met = self.desk();
        let outcomes = match (met, self.desk.take()) {
            (Ok(()), Some(mut desk)) => {
                let (outcomes, stands) = work(&mut desk, &mut parcels, &self.temporary);
                desk.used = Instant::now();
                self.desk = stands.then_some(desk);
                outcomes
            }
            (met, _) => {
                let obstacle = met.err().unwrap_or(Obstacle::Unreachable);
                parcels.iter().map(|_| Err(obstacle)).collect()
            }
        };
        for (done, outcome) in puts.into_iter().zip(outcomes) {
            // Whoever waited may be gone; the spool looks first, then.
            let _ = done.send(outcome);
        }
    }

    /// A session that stands, as far as can be seen.
    fn desk(&mut self) -> Result<(), Obstacle> {
        if let Some(desk) = &mut self.desk
            && (desk.used.elapsed() < FRESH || desk.session.noop().is_ok())
        {
            return Ok(());
        }
        self.desk = None;
        let mut session = self.account.connect(&self.stop).map_err(|error| match error {
            ConnectError::Credentials(_) => Obstacle::Login,
            ConnectError::Imap(error) => obstacle(&error),
            _ => Obstacle::Unreachable,
        })?;
        let delimiter = session.list("", "INBOX").ok().and_then(|listed| listed.first().and_then(|one| one.delimiter));
        let mailbox = Mailbox::named(&self.name, delimiter);
        let selected = match session.select(mailbox.wire(), Access::Write) {
            Err(error) if error.is_refusal() => {
                // It is not there, as a rule. Somebody else may make it at this moment.
                let _ = session.create(mailbox.wire()).and_then(|()| session.subscribe(mailbox.wire()));
                session.select(mailbox.wire(), Access::Write)
            }
            selected => selected,
        };
        let selected =
            selected.map_err(|error| if error.is_refusal() { Obstacle::NoMailbox } else { obstacle(&error) })?;
        let takes = selected.append_limit.or(session.append_limit()).unwrap_or_default();
        self.takes.store(takes, Ordering::Relaxed);
        self.desk = Some(Desk { session, mailbox, used: Instant::now(), looked_at: HashMap::new() });
        Ok(())
    }
}

/// One round. Also says whether the connection still stands.
fn work(desk: &mut Desk, parcels: &mut [Parcel], temporary: &Path) -> (Vec<Outcome>, bool) {
    let mut outcomes: Vec<Option<Outcome>> = parcels.iter().map(|_| None).collect();
    let done = steps(desk, parcels, &mut outcomes, temporary);
    // What has no outcome was never sent, or was looked for in vain; what was sent and not seen again has one.
    let rest = done.as_ref().err().map_or(Obstacle::NotNow, obstacle);
    let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(rest))).collect();
    (outcomes, done.map_or_else(|error| !error.is_lost(), |()| true))
}

fn steps(
    desk: &mut Desk,
    parcels: &mut [Parcel],
    outcomes: &mut [Option<Outcome>],
    temporary: &Path,
) -> Result<(), ImapError> {
    let Desk { session, mailbox, looked_at, .. } = desk;
    let sought: Vec<usize> = (0..parcels.len()).filter(|at| is(parcels, *at, Look::First)).collect();
    if !sought.is_empty() {
        let found = look_for(session, looked_at, parcels, &sought)?;
        fetch_back(session, parcels, &found, Way::Found, outcomes, temporary)?;
    }
    let open: Vec<usize> = (0..parcels.len()).filter(|at| outcomes.get(*at).is_some_and(Option::is_none)).collect();
    let put = put(session, looked_at, mailbox, parcels, &open, outcomes)?;
    fetch_back(session, parcels, &put, Way::Put, outcomes, temporary)
}

fn is(parcels: &[Parcel], at: usize, look: Look) -> bool {
    parcels.get(at).is_some_and(|parcel| parcel.look == look)
}

/// Which of them are there, and where. SEARCH by date is cheap everywhere; by header it is not (format §12.1).
fn look_for(
    session: &mut Session,
    looked_at: &mut LookedAt,
    parcels: &[Parcel],
    sought: &[usize],
) -> Result<HashMap<u32, usize>, ImapError> {
    let times = || sought.iter().filter_map(|at| parcels.get(*at)).map(|parcel| parcel.received.0);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(HashMap::new()) };
    // What others have put there since the last command may have to be asked for.
    session.noop()?;
    // RFC 9051 §6.4.4: the date counts, whatever its time zone.
    let query = format!("SINCE {} BEFORE {}", day(first - 86_400), day(last + 2 * 86_400));
    let mut candidates: Vec<u32> = session.uid_search(&query)?.iter().collect();
    candidates.reverse();
    candidates.truncate(MOST_LOOKED_AT);
    let new: UidSet = candidates.iter().copied().filter(|uid| !looked_at.contains_key(uid)).collect();
    if !new.is_empty() {
        let items = format!("UID BODY.PEEK[HEADER.FIELDS (SEALED-MAIL)]<0.{MOST_FIELDS}>");
        let each = |fetched: Fetched<io::Sink>| {
            if let Some((_, header)) = fetched.sections.first() {
                looked_at.insert(fetched.uid, mark_of(header).and_then(|mark| mark.try_into().ok()));
            }
        };
        session.uid_fetch(&new, &items, |_| Ok(io::sink()), each)?;
    }
    let by_id: HashMap<[u8; 16], usize> = sought.iter().filter_map(|at| Some((parcels.get(*at)?.id.0, *at))).collect();
    let found = |uid: u32| Some((uid, *by_id.get(looked_at.get(&uid)?.as_ref()?)?));
    Ok(candidates.into_iter().filter_map(found).collect())
}

/// APPENDs those; where they lie, by UID. What was refused has its outcome.
fn put(
    session: &mut Session,
    looked_at: &mut LookedAt,
    mailbox: &Mailbox,
    parcels: &mut [Parcel],
    open: &[usize],
    outcomes: &mut [Option<Outcome>],
) -> Result<HashMap<u32, usize>, ImapError> {
    let mut order = Vec::new();
    let mut messages: Vec<Append<'_>> = Vec::new();
    for (at, parcel) in parcels.iter_mut().enumerate().filter(|(at, _)| open.contains(at)) {
        if parcel.octets.rewind().is_err() {
            settle(outcomes, at, Err(Obstacle::Unwritable));
            continue;
        }
        order.push(at);
        messages.push(Append {
            flags: Vec::new(),
            internal_date: Some(date_time(parcel.received)),
            length: parcel.length,
            octets: &mut parcel.octets,
        });
    }
    let (results, lost) = match session.append(mailbox.wire(), &mut messages) {
        Ok(results) => (results.into_iter().map(Some).collect(), None),
        Err(lost) => (lost.done, Some(lost.error)),
    };
    drop(messages);
    let (mut placed, mut unplaced) = (HashMap::new(), Vec::new());
    for (at, result) in order.into_iter().zip(results) {
        match result {
            Some(Ok(Some(uid))) => {
                placed.insert(uid.uid, at);
                // Until it was seen.
                settle(outcomes, at, Err(Obstacle::Unknown));
            }
            Some(Ok(None)) => unplaced.push(at),
            Some(Err(error)) => settle(outcomes, at, Err(obstacle(&error))),
            None => settle(outcomes, at, Err(Obstacle::Unknown)),
        }
    }
    for at in &unplaced {
        settle(outcomes, *at, Err(Obstacle::Unknown));
    }
    if let Some(error) = lost {
        return Err(error);
    }
    if !unplaced.is_empty() {
        // Without UIDPLUS the server does not say where.
        placed.extend(look_for(session, looked_at, parcels, &unplaced)?);
    }
    Ok(placed)
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
                    match copy.rewind().ok().and_then(|()| parcel.evidence.proves(copy, &mut scratch())) {
                        Some(identical) => Ok((Arrived::seen(identical), way)),
                        None => Err(Obstacle::NotAsSent),
                    }
                }
                Some(Err(_)) => Err(Obstacle::Unwritable),
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

fn obstacle(error: &ImapError) -> Obstacle {
    match error {
        ImapError::Authentication | ImapError::NoMechanism => Obstacle::Login,
        ImapError::No(Some(Code::OverQuota)) => Obstacle::Full,
        ImapError::No(Some(Code::TooBig)) => Obstacle::TooLarge,
        ImapError::No(Some(
            Code::TryCreate
            | Code::NonExistent
            | Code::NoPerm
            | Code::ReadOnly
            | Code::AuthorizationFailed
            | Code::Cannot,
        )) => Obstacle::NoMailbox,
        ImapError::No(Some(Code::AuthenticationFailed | Code::Expired)) => Obstacle::Login,
        ImapError::No(_) | ImapError::Bad => Obstacle::NotNow,
        ImapError::Certificate(_) => Obstacle::Untrusted,
        _ => Obstacle::Unreachable,
    }
}

/// `25-Nov-2026`.
fn day(at: i64) -> String {
    let format = format_description!("[day padding:none]-[month repr:short]-[year]");
    moment(at).date().format(&format).unwrap_or_default()
}

/// `"25-Nov-2026 10:00:00 +0000"` without its quotes.
fn date_time(at: UnixSeconds) -> String {
    let format = format_description!("[day padding:space]-[month repr:short]-[year] [hour]:[minute]:[second] +0000");
    moment(at.0).format(&format).unwrap_or_default()
}

fn moment(at: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_imap_reads_them() {
        assert_eq!(day(1_795_651_200), "26-Nov-2026");
        assert_eq!(date_time(UnixSeconds(1_793_584_861)), " 2-Nov-2026 02:01:01 +0000");
        assert_eq!(store::imap::parse_date(&date_time(UnixSeconds(1_793_584_861))), Some(UnixSeconds(1_793_584_861)));
    }
}
