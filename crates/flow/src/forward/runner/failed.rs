//! The end of what failed: strangers choose what comes, so that what the target refuses must not fill the queue for ever.
//!
//! In: how long and how much of it may lie there. Out: a note to the owner, which says how many there are and how to get at them; long after, it goes. Nothing
//! goes of which no note lies in the queue. Of what is too much nothing goes: no more is taken then, so that no stranger can make anything go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealed::identity::MessageId;
use store::UnixSeconds;

use super::Runner;
use crate::forward::counts::Event;
use crate::forward::note::{End, Many, compose_many};
use crate::forward::spool::{Lying, Pile};

impl Runner {
    /// To be done now and then. What fails here, comes again.
    pub(super) async fn clear(self: &Arc<Self>) {
        if let Some((failed, notice)) = self.schedule.failed() {
            self.give_notice(failed, notice).await;
            if let Ok(over) = self.spool.pile(Lying::Over { failed, told: notice }).await {
                self.remove(over.ids).await;
            }
        }
    }

    /// Finds out whether so much of what the target refused lies there that no more is taken. To be done when the number of what failed is another one, until it
    /// succeeds.
    pub(super) async fn weigh(self: &Arc<Self>) -> bool {
        let (octets, number) = self.schedule.most_refused();
        // What cannot be asked now stays as it was.
        let Ok(beyond) = self.spool.pile(Lying::Beyond { octets, number }).await else { return false };
        let is_over = !beyond.ids.is_empty();
        if !self.overfull.swap(is_over, Ordering::Relaxed)
            && is_over
            && let Ok(all) = self.spool.pile(Lying::Beyond { octets: 0, number: 0 }).await
        {
            self.tell_of(&all, End::Overfull).await;
        }
        true
    }

    /// One note for all that were not told of, and not more often than is useful.
    async fn give_notice(self: &Arc<Self>, failed: Duration, notice: Duration) {
        // The first one has waited for the others.
        let Ok(first) = self.spool.pile(Lying::Untold(failed.saturating_sub(notice))).await else { return };
        if first.ids.is_empty() {
            return;
        }
        let early = failed.saturating_sub(notice).saturating_sub(notice / 7);
        let Ok(all) = self.spool.pile(Lying::Untold(early)).await else { return };
        let removal = UnixSeconds::now().0.saturating_add(i64::try_from(notice.as_secs()).unwrap_or(i64::MAX / 2));
        if self.tell_of(&all, End::Removal(u64::try_from(removal).unwrap_or_default())).await {
            // Not written, the note comes again.
            let _ = self.spool.told(all.ids).await;
        }
    }

    /// A note to the owner; whether it lies in the queue.
    async fn tell_of(self: &Arc<Self>, pile: &Pile, end: End) -> bool {
        let (Some(first), Some((came, last))) = (pile.ids.first(), pile.came) else { return false };
        let seconds = |at: UnixSeconds| u64::try_from(at.0).unwrap_or_default();
        let to = self.sealer.now().owner.clone();
        let text = compose_many(&Many {
            end,
            count: pile.ids.len(),
            octets: pile.octets,
            came: (seconds(came), seconds(last)),
            id: &sealed::field::encode_id(&first.0),
            host: &self.hello,
            from: &self.from(),
            to: &to,
            now: seconds(UnixSeconds::now()),
        });
        let noted = self.post(text, to).await.is_some();
        if noted {
            self.note(Event::Noted, None, *first);
        }
        noted
    }

    async fn remove(&self, ids: Vec<MessageId>) {
        if !ids.is_empty() && self.spool.remove(ids.clone()).await.is_ok() {
            ids.into_iter().for_each(|id| self.note(Event::Removed, None, id));
        }
    }
}
