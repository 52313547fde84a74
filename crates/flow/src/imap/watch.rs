//! New mail sealed as it comes.
//!
//! In: settings. Out: nothing but sealed mail, until it is asked to stop. One mailbox, INBOX where it is among them, is waited for
//! with IDLE (RFC 2177); the others are asked for news every half minute. Whatever goes wrong on the way to the server is tried
//! again, with longer and longer waits; what the owner must mend ends it. Never idles longer than the server allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use store::UnixSeconds;
use store::imap::{Desk, Mailbox};
use wire::imap::{ImapError, News, UidSet};

use super::patience::{MERCY, Over, Patience, guard, wait};
use super::worker::{Scope, Worker};
use crate::progress::Progress;
use crate::pump::Moved;
use crate::settings::{Imap, Settings};
use crate::survey::{Survey, SurveyError};
use crate::swept::{SweepError, Swept, Watching};

/// RFC 2177: to be issued again at least every 29 minutes.
const IDLE: Duration = Duration::from_secs(25 * 60);
/// Between two looks at the mailboxes that nobody waits at.
const ROUND: Duration = Duration::from_secs(30);
/// Between two looks at everything: flags may have changed that kept us away.
const ALL: Duration = Duration::from_secs(60 * 60);
/// Refusals of credentials in a row that are believed: tokens expire, and their helpers are slow at times.
const MOST_REFUSALS: u32 = 5;

/// Watches until asked to stop.
pub(crate) fn watch(
    settings: &Settings,
    place: &Imap,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Watching, SweepError> {
    let cut = Arc::new(AtomicBool::new(false));
    let over = AtomicBool::new(false);
    let busy = AtomicBool::new(false);
    let mut worker = Worker::new(settings, place, stop, &cut)?;
    thread::scope(|scope| {
        scope.spawn(|| guard(stop, &cut, &busy, &over, MERCY));
        let _over = Over(&over);
        let watching = Watcher { stop, busy: &busy, watching: Watching::default() };
        watching.run(&mut worker, progress)
    })
}

struct Watcher<'a> {
    stop: &'a AtomicBool,
    busy: &'a AtomicBool,
    watching: Watching,
}

impl Watcher<'_> {
    fn run(mut self, worker: &mut Worker<'_>, progress: &mut impl Progress) -> Result<Watching, SweepError> {
        let (mut patience, mut refusals) = (Patience::new(), 0_u32);
        while !self.stop.load(Ordering::Relaxed) {
            let before = self.watching.sealed.messages;
            match self.until_lost(worker, progress) {
                Ok(()) | Err(SweepError::Survey(SurveyError::Interrupted)) => break,
                Err(error) if error.is_lost() => {
                    refusals = 0;
                    progress.lost(&error);
                }
                Err(error) if is_refused(&error) && refusals < MOST_REFUSALS => {
                    refusals = refusals.saturating_add(1);
                    progress.lost(&error);
                }
                Err(error) => return Err(error),
            }
            self.watching.losses = self.watching.losses.saturating_add(1);
            if self.watching.sealed.messages > before {
                patience.renew();
            }
            if worker.drop_link(patience.losses())? {
                patience.renew();
            }
            wait(patience.next(), self.stop);
        }
        worker.leave();
        worker.prune()?;
        Ok(self.watching)
    }

    /// Until the connection is lost or a stop is asked for.
    fn until_lost(&mut self, worker: &mut Worker<'_>, progress: &mut impl Progress) -> Result<(), SweepError> {
        let mut swept = Swept::default();
        self.busy.store(true, Ordering::Relaxed);
        let mailboxes = worker.connect(&mut swept);
        self.busy.store(false, Ordering::Relaxed);
        let mailboxes = mailboxes?;
        let Some(first) = mailboxes.first().cloned() else {
            return Err(SurveyError::NoMailbox("*".to_owned()).into());
        };
        self.pass(worker, &mailboxes, Scope::All, progress)?;
        progress.watching(mailboxes.len());
        let (mut everything, mut round) = (Instant::now(), Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            let news = self.idle(worker, &first, mailboxes.len())?;
            if news == News::Stopped {
                break;
            }
            let is_due = worker.due().is_some_and(|due| due <= UnixSeconds::now());
            if everything.elapsed() >= ALL {
                self.pass(worker, &mailboxes, Scope::All, progress)?;
                (everything, round) = (Instant::now(), Instant::now());
            } else if is_due || (mailboxes.len() > 1 && round.elapsed() >= ROUND) {
                let news = self.with_news(worker, &mailboxes)?;
                self.pass(worker, &news, Scope::News, progress)?;
                round = Instant::now();
            } else if news == News::Changed {
                self.pass(worker, std::slice::from_ref(&first), Scope::News, progress)?;
            }
        }
        Ok(())
    }

    fn idle(&self, worker: &mut Worker<'_>, at: &Mailbox, mailboxes: usize) -> Result<News, SweepError> {
        let most = if mailboxes > 1 { ROUND } else { IDLE };
        let now = UnixSeconds::now();
        let due = worker.due().map(|due| u64::try_from(due.0.saturating_sub(now.0)).unwrap_or_default().max(1));
        let most = due.map_or(most, |seconds| most.min(Duration::from_secs(seconds)));
        let seen = worker.seen(at);
        let Some(desk) = worker.desk() else { return Ok(News::Quiet) };
        desk.turn_to(at)?;
        if has_come(desk, seen.map_or(1, |seen| seen.next))? {
            return Ok(News::Changed);
        }
        match desk.session().idle(most) {
            Err(ImapError::Stopped) => Ok(News::Stopped),
            news => Ok(news?),
        }
    }

    /// Those that changed since they were looked at.
    fn with_news(&self, worker: &mut Worker<'_>, mailboxes: &[Mailbox]) -> Result<Vec<Mailbox>, SweepError> {
        let mut news = Vec::new();
        let now = UnixSeconds::now();
        for mailbox in mailboxes {
            let seen = worker.seen(mailbox);
            let Some(desk) = worker.desk() else { break };
            let changed = match desk.session().status(mailbox.wire()) {
                Ok(status) => seen.is_none_or(|seen| {
                    status.uid_validity != Some(seen.validity)
                        || status.uid_next.is_none_or(|next| next > seen.next)
                        || seen.due.is_some_and(|due| due <= now)
                }),
                // It went away.
                Err(error) if error.is_refusal() => false,
                Err(error) => return Err(error.into()),
            };
            if changed {
                news.push(mailbox.clone());
            }
        }
        Ok(news)
    }

    fn pass(
        &mut self,
        worker: &mut Worker<'_>,
        mailboxes: &[Mailbox],
        scope: Scope,
        progress: &mut impl Progress,
    ) -> Result<(), SweepError> {
        self.busy.store(true, Ordering::Relaxed);
        let mut moved = Moved::default();
        let ended = mailboxes.iter().try_for_each(|mailbox| {
            let mut found = Survey::default();
            worker.pass(mailbox, scope, &mut found, &mut moved, progress)
        });
        self.busy.store(false, Ordering::Relaxed);
        let Moved { sealed, failed, .. } = moved;
        let watching = &mut self.watching;
        watching.sealed.messages = watching.sealed.messages.saturating_add(sealed.messages);
        watching.sealed.octets = watching.sealed.octets.saturating_add(sealed.octets);
        super::worker::merge(&mut watching.failed, failed);
        if sealed.messages > 0 {
            worker.prune()?;
        }
        ended
    }
}

/// Whether there is mail from that UID on. What a server told of in the middle of our work it does not tell again while we idle.
fn has_come(desk: &mut Desk, next: u32) -> Result<bool, SweepError> {
    let session = desk.session();
    session.noop()?;
    loop {
        let before = session.exists();
        let mut come = false;
        if before > 0 {
            let mut news = UidSet::new();
            news.insert_range(next, u32::MAX);
            let no_body = |_| Ok(std::io::sink());
            session.uid_fetch(&news, "UID", no_body, |fetched| come |= fetched.uid >= next)?;
        }
        // Something may have come in between.
        if come || session.exists() == before {
            return Ok(come);
        }
    }
}

fn is_refused(error: &SweepError) -> bool {
    use store::imap::ConnectError;
    matches!(
        error,
        SweepError::Survey(SurveyError::Connect(
            ConnectError::Credentials(_) | ConnectError::Imap(ImapError::Authentication)
        ))
    )
}
