//! Connections to the next server, kept while there is work.
//!
//! In: messages. Out: their answers. A connection that the server ended meanwhile costs a new one, never a message; and there are never more of them
//! at once than the limit says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::session::{Content, DeliverError, NextHop, Session};
use crate::smtp::limit;
use crate::smtp::path::{MailFrom, RcptTo};
use crate::smtp::reply::Reply;
use crate::smtp::xforward::Xforward;

/// Connections to the next server.
pub struct Pool {
    hop: Arc<NextHop>,
    idle: Mutex<Vec<Session>>,
    places: Semaphore,
    /// Octets of the largest message that the server takes, as it said last; zero: it has not said.
    takes: AtomicU64,
}

impl Pool {
    /// Nothing is connected yet.
    pub fn new(hop: NextHop) -> Pool {
        Pool {
            hop: Arc::new(hop),
            idle: Mutex::default(),
            places: Semaphore::new(limit::CONNECTIONS_OUT),
            takes: AtomicU64::new(0),
        }
    }

    /// Hands one message over; an answer for each recipient.
    pub async fn deliver(
        &self,
        from: &MailFrom,
        to: &[RcptTo],
        said: Option<&Xforward>,
        mut content: Content,
    ) -> Result<Vec<Reply>, DeliverError> {
        self.offer(from, to, said, &mut content).await
    }

    /// The same; what is not taken here may be offered elsewhere.
    pub async fn offer(
        &self,
        from: &MailFrom,
        to: &[RcptTo],
        said: Option<&Xforward>,
        content: &mut Content,
    ) -> Result<Vec<Reply>, DeliverError> {
        let _place = self.places.acquire().await;
        if let Some(mut session) = self.reusable().await {
            match session.deliver(from, to, said, content).await {
                Ok(replies) => {
                    self.keep(session).await;
                    return Ok(replies);
                }
                // Ended by the server while it was idle, most likely. Nothing was taken: a new connection.
                Err(DeliverError::NotSent(_)) => {}
                Err(error @ (DeliverError::TooLarge | DeliverError::Lacks(_))) => {
                    self.keep(session).await;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        let mut session = self.connect().await?;
        let replies = session.deliver(from, to, said, content).await;
        if matches!(replies, Ok(_) | Err(DeliverError::TooLarge | DeliverError::Lacks(_))) {
            self.keep(session).await;
        }
        replies
    }

    /// Can the next server be reached, and does it want to talk?
    pub async fn probe(&self) -> Result<(), DeliverError> {
        self.connect().await?.quit().await;
        Ok(())
    }

    /// Octets of the largest message that the server takes (RFC 1870), as it said when it was reached last.
    pub fn takes(&self) -> Option<u64> {
        Some(self.takes.load(Ordering::Relaxed)).filter(|size| *size > 0)
    }

    async fn connect(&self) -> Result<Session, DeliverError> {
        let session = Session::connect(Arc::clone(&self.hop)).await?;
        self.takes.store(session.takes().unwrap_or_default(), Ordering::Relaxed);
        Ok(session)
    }

    async fn reusable(&self) -> Option<Session> {
        loop {
            let mut session = self.lock().pop()?;
            if session.used.elapsed() > limit::IDLE_TIME {
                tokio::spawn(session.quit());
            } else if session.is_usable().await {
                return Some(session);
            }
        }
    }

    async fn keep(&self, mut session: Session) {
        if session.is_usable().await {
            session.used = Instant::now();
            self.lock().push(session);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
