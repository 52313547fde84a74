//! The connection upstream. In: steps of a session. Out: their results; whether the connection is lost. While a mail program idles it idles too.

use std::time::{Duration, Instant};

use wire::imap::{Idling, ImapError, Session};

use crate::answer::Answer;

/// A connection.
pub(crate) struct Upstream {
    session: Option<Session>,
    idling: Option<Idling>,
    end: End,
    began: Instant,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It broke: another one may do.
    Broken,
    /// What came over it made no sense.
    Nonsense,
}

/// A connection that breaks so soon after it was made is not made again.
const STEADY: Duration = Duration::from_secs(5);

impl Upstream {
    pub(crate) fn new(session: Session) -> Self {
        Self { session: Some(session), idling: None, end: End::Nonsense, began: Instant::now() }
    }

    /// Whether nothing more can be had of it.
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_none()
    }

    /// Gives it up: what it says cannot be followed.
    pub(crate) fn give_up(&mut self) {
        if self.session.take().is_some() {
            self.end = End::Nonsense;
        }
    }

    /// Whether another connection may do.
    pub(crate) fn may_connect_again(&self) -> bool {
        self.session.is_none() && self.end == End::Broken && self.began.elapsed() > STEADY
    }

    fn lose(&mut self, error: &ImapError) {
        self.session = None;
        self.end = match error {
            ImapError::Closed | ImapError::Io(_) | ImapError::TimedOut | ImapError::Tls(_) => End::Broken,
            _ => End::Nonsense,
        };
    }

    /// Takes a step.
    pub(crate) fn ask<T>(&mut self, step: impl FnOnce(&mut Session) -> Result<T, ImapError>) -> Result<T, ImapError> {
        let session = self.session.as_mut().ok_or(ImapError::Closed)?;
        let waited = self.idling.take().map_or(Ok(()), |idling| session.end_idle(idling));
        let taken = waited.and_then(|()| step(session));
        if let Err(error) = &taken
            && error.is_lost()
        {
            self.lose(error);
        }
        taken
    }

    /// Takes in what the server tells unasked.
    pub(crate) fn wait(&mut self) -> Result<(), ImapError> {
        let mut idling = match self.idling.take() {
            Some(idling) => idling,
            None => self.ask(Session::begin_idle)?,
        };
        let session = self.session.as_mut().ok_or(ImapError::Closed)?;
        match session.look(&mut idling) {
            Ok(()) => {
                self.idling = Some(idling);
                Ok(())
            }
            Err(error) => {
                self.lose(&error);
                Err(error)
            }
        }
    }

    /// What it has told; nothing is asked.
    pub(crate) fn told(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Octets that a message may have, where the server tells it.
    pub(crate) fn append_limit(&self) -> Option<u64> {
        self.session.as_ref()?.append_limit()
    }

    /// Whether the server offers this.
    pub(crate) fn has(&self, capability: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.has(capability))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && self.idling.is_none()
        {
            session.logout();
        }
    }
}

/// A refusal, in words of our own: the server's text is not passed on.
pub(crate) fn answer_of(error: &ImapError) -> Answer {
    match error {
        ImapError::No(Some(code)) if code.to_string() != "OTHER" => Answer::No(format!("[{code}] the server refused")),
        ImapError::No(_) | ImapError::Bad => Answer::no("the server refused"),
        ImapError::Unsupported(_) => Answer::no("[CANNOT] the server has no means for it"),
        // The session ends.
        _ => Answer::unreadable(),
    }
}
