//! Changes of many sessions, written together: one sync for all that wait.
//!
//! In: a change, from whoever needs it written. Out: that it is. While one transaction is being synced the next one fills up, so that with many
//! sessions the disk is asked once for many messages, and with one session nothing waits.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::forward::spool::{Change, Kind, Room, Spool, SpoolError, Written};

/// Changes of one transaction.
const MANY: usize = 256;
/// Octets of new copies in one transaction: after a large one, the others do not wait for the next.
const OCTETS: u64 = 4 * 1024 * 1024;
/// Changes that wait; whoever has one more waits himself.
const WAITING: usize = 1024;

/// Whoever has it can write.
#[derive(Clone)]
pub(crate) struct Group(mpsc::Sender<Order>);

struct Order {
    change: Change,
    done: oneshot::Sender<(Change, Result<Written, Arc<SpoolError>>)>,
}

impl Group {
    /// Writes until nobody can order any more.
    pub(crate) fn start(spool: Arc<Spool>) -> Group {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(work(spool, receiver));
        Group(sender)
    }

    /// Returns when it is written, durably, or was not. The change comes back.
    pub(crate) async fn write(&self, change: Change) -> Option<(Change, Result<Written, Arc<SpoolError>>)> {
        let (done, answer) = oneshot::channel();
        self.0.send(Order { change, done }).await.ok()?;
        answer.await.ok()
    }
}

async fn work(spool: Arc<Spool>, mut orders: mpsc::Receiver<Order>) {
    while let Some(first) = orders.recv().await {
        let (mut changes, mut answers, mut octets) = (Vec::new(), Vec::new(), 0_u64);
        let mut next = Some(first);
        while let Some(Order { change, done }) = next {
            let length = match &change {
                Change::Put(new) => new.length,
                _ => 0,
            };
            // A note is small, and tells of what lies there.
            let is_mail = matches!(&change, Change::Put(new) if new.kind == Kind::Mail);
            if is_mail && spool.room(octets.saturating_add(length)) == Room::Short {
                let _ = done.send((change, Err(Arc::new(SpoolError::NoRoom))));
            } else {
                octets = octets.saturating_add(length);
                changes.push(change);
                answers.push(done);
            }
            next = if changes.len() < MANY && octets < OCTETS { orders.try_recv().ok() } else { None };
        }
        let (changes, written) = spool.write(changes).await;
        let results: Vec<Result<Written, Arc<SpoolError>>> = match written {
            Ok(written) => written.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(Arc::new(error)); answers.len()],
        };
        for ((change, result), answer) in changes.into_iter().zip(results).zip(answers) {
            // Whoever asked may be gone.
            let _ = answer.send((change, result));
        }
    }
}
