//! One pass over an account's mailboxes.
//!
//! In: settings. Out: sealed mail, and what came of it. A lost connection is made anew, as long as something gets done
//! between two losses. What is too young is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use store::UnixSeconds;

use super::patience::{Over, Patience, guard, wait};
use super::worker::{Scope, Worker};
use crate::progress::Progress;
use crate::pump::Moved;
use crate::reason;
use crate::settings::{Imap, Settings};
use crate::survey::{Survey, SurveyError};
use crate::swept::{SweepError, Swept};

/// A batch has so long to come to its end after a stop was asked for.
const MERCY_OF_A_SWEEP: Duration = Duration::from_secs(10);

/// Seals everything that lies open.
pub(crate) fn sweep(
    settings: &Settings,
    place: &Imap,
    progress: &mut impl Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Swept, SweepError> {
    let cut = Arc::new(AtomicBool::new(false));
    let mut worker = Worker::new(settings, place, stop, &cut)?;
    let (busy, over) = (AtomicBool::new(true), AtomicBool::new(false));
    thread::scope(|scope| {
        // A batch that is under way is brought to its end, unless the server takes too long.
        scope.spawn(|| guard(stop, &cut, &busy, &over, MERCY_OF_A_SWEEP));
        let _over = Over(&over);
        run(settings, place, &mut worker, progress, stop)
    })
}

fn run(
    settings: &Settings,
    place: &Imap,
    worker: &mut Worker<'_>,
    progress: &mut impl Progress,
    stop: &AtomicBool,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let mut moved = Moved::default();
    let mut first = true;
    let mut patience = Patience::new();
    loop {
        let before = moved.sealed.messages;
        let mut found = Survey::default();
        let ended = over_all(worker, &mut found, &mut moved, &mut swept, progress);
        if std::mem::take(&mut first) || swept.found.mailboxes == 0 {
            swept.found = found;
        } else {
            add_grown(&mut swept.found, found);
        }
        match ended {
            Ok(()) => {}
            Err(SweepError::Survey(SurveyError::Interrupted)) => moved.interrupted = true,
            Err(error) if error.is_lost() && !error.is_refusal() => {
                if moved.sealed.messages > before {
                    patience.renew();
                }
                if worker.drop_link(patience.losses())? {
                    patience.renew();
                }
                if patience.losses() >= place.most_losses {
                    return Err(error);
                }
                progress.lost(&error);
                wait(patience.next(), stop);
                if stop.load(Ordering::Relaxed) {
                    moved.interrupted = true;
                } else {
                    first = true;
                    continue;
                }
            }
            Err(error) => return Err(error),
        }
        let due = worker.due().filter(|_| settings.grace > Duration::ZERO);
        let grace = i64::try_from(settings.grace.as_secs()).unwrap_or(i64::MAX);
        let now = UnixSeconds::now();
        // Only for what is too young; what failed is for another day.
        match due.filter(|due| due.0.saturating_sub(now.0) <= grace && !moved.interrupted) {
            None => break,
            Some(due) => {
                let seconds = u64::try_from(due.0.saturating_sub(now.0)).unwrap_or_default().max(1);
                progress.waiting(seconds);
                wait(Duration::from_secs(seconds), stop);
                if stop.load(Ordering::Relaxed) {
                    moved.interrupted = true;
                    break;
                }
            }
        }
    }
    worker.prune()?;
    worker.leave();
    let Moved { sealed, skipped, failed, unsettled, interrupted } = moved;
    swept.unsettled = swept.unsettled.max(unsettled);
    Ok(Swept { sealed, skipped, failed, interrupted, ..swept })
}

fn over_all(
    worker: &mut Worker<'_>,
    found: &mut Survey,
    moved: &mut Moved,
    swept: &mut Swept,
    progress: &mut impl Progress,
) -> Result<(), SweepError> {
    swept.unsettled = 0;
    let mailboxes = worker.connect(swept)?;
    found.mailboxes = u64::try_from(mailboxes.len()).unwrap_or(u64::MAX);
    for mailbox in &mailboxes {
        worker.pass(mailbox, Scope::All, found, moved, progress)?;
        if moved.interrupted {
            break;
        }
    }
    Ok(())
}

/// What was too young when it was first counted is old enough now, or still is not.
fn add_grown(before: &mut Survey, now: Survey) {
    before.to_seal.messages = before.to_seal.messages.saturating_add(now.to_seal.messages);
    before.to_seal.octets = before.to_seal.octets.saturating_add(now.to_seal.octets);
    let young = reason::TOO_YOUNG.as_str();
    before.skipped.remove(young);
    if let Some(count) = now.skipped.get(young) {
        before.skipped.insert(young.to_owned(), *count);
    }
}
