//! Waiting for news.
//!
//! In: how long. Out: whether the selected mailbox changed. RFC 2177; without it NOOP now and then (RFC 3501 §6.1.2).
//! Never: IDLE left open: DONE is sent in any case.

use std::io;
use std::time::{Duration, Instant};

use super::session::{Event, FAREWELL, Session, deadline, done, no_body};
use crate::imap::error::ImapError;
use crate::stream::Readiness;

/// What IDLE brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The selected mailbox changed.
    Changed,
    /// Nothing happened.
    Quiet,
    /// The caller asked to stop.
    Stopped,
}

/// An IDLE that is open: who waits for others too looks now and then.
#[derive(Debug)]
pub struct Idling {
    /// None: the server has no IDLE, and is asked from time to time.
    tag: Option<u32>,
    began: Instant,
}

/// An IDLE is begun anew after so long (RFC 2177).
const RENEW: Duration = Duration::from_secs(9 * 60);
/// How long a look may take.
const LOOK: Duration = Duration::from_millis(1);
/// Between two NOOPs.
const POLL: Duration = Duration::from_secs(15);

impl Session {
    /// Waits for news of the selected mailbox, for `most` at most: servers log off who idles for 30 minutes (RFC 2177),
    /// some earlier. Without IDLE: NOOP every 15 s, or after `most` if that is less.
    pub fn idle(&mut self, most: Duration) -> Result<News, ImapError> {
        let until = deadline(most);
        let news = if self.has("IDLE") { self.idle_until(until) } else { self.poll_until(until) };
        match news {
            Err(ImapError::Stopped) => Ok(News::Stopped),
            news => news,
        }
    }

    /// Begins to wait for news. Before any other command: [`Session::end_idle`].
    pub fn begin_idle(&mut self) -> Result<Idling, ImapError> {
        let began = Instant::now();
        if !self.has("IDLE") {
            return Ok(Idling { tag: None, began });
        }
        let tag = self.tag()?;
        self.write(b"IDLE\r\n")?;
        self.flush()?;
        loop {
            match self.event::<io::Sink>(&mut no_body)? {
                Event::Continue(_) => return Ok(Idling { tag: Some(tag), began }),
                Event::Tagged(ended, reply) if ended == tag => {
                    done(reply)?;
                    return Ok(Idling { tag: None, began });
                }
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                _ => {}
            }
        }
    }

    /// Takes what has come meanwhile, without waiting for more.
    pub fn look(&mut self, idling: &mut Idling) -> Result<(), ImapError> {
        let most = if idling.tag.is_some() { RENEW } else { POLL };
        if idling.began.elapsed() > most {
            let old = std::mem::replace(idling, Idling { tag: None, began: Instant::now() });
            self.end_idle(old)?;
            if !self.has("IDLE") {
                self.noop()?;
            }
            *idling = self.begin_idle()?;
        }
        while let Readiness::Octets = self.step(|session| Ok(session.frame.source().readable(deadline(LOOK))?))? {
            match self.event::<io::Sink>(&mut no_body)? {
                Event::Tagged(ended, _) if idling.tag == Some(ended) => idling.tag = None,
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends the waiting.
    pub fn end_idle(&mut self, idling: Idling) -> Result<(), ImapError> {
        idling.tag.map_or(Ok(()), |tag| self.leave(tag))
    }

    fn idle_until(&mut self, until: Instant) -> Result<News, ImapError> {
        let before = self.changes;
        let tag = self.tag()?;
        self.write(b"IDLE\r\n")?;
        self.flush()?;
        let mut open = false;
        let news = loop {
            if open && self.changes != before {
                break News::Changed;
            }
            if open {
                match self.step(|session| Ok(session.frame.source().readable(until)?))? {
                    Readiness::Octets => {}
                    Readiness::Nothing => break News::Quiet,
                    Readiness::Stopped => break News::Stopped,
                }
            }
            match self.event::<io::Sink>(&mut no_body)? {
                Event::Continue(_) => open = true,
                // The server ends it by itself: there is nothing to be DONE with.
                Event::Tagged(ended, reply) if ended == tag => {
                    done(reply)?;
                    return Ok(if self.changes == before { News::Quiet } else { News::Changed });
                }
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                _ => {}
            }
        };
        // Even who is told to stop leaves properly, in a moment.
        let stop = (news == News::Stopped).then(|| self.frame.source().last_words(deadline(FAREWELL)));
        let left = self.leave(tag);
        if let Some(stop) = stop {
            self.frame.source().resume(stop);
            return Ok(News::Stopped);
        }
        left?;
        Ok(if self.changes == before { news } else { News::Changed })
    }

    fn leave(&mut self, tag: u32) -> Result<(), ImapError> {
        self.write(b"DONE\r\n")?;
        self.flush()?;
        loop {
            match self.event::<io::Sink>(&mut no_body)? {
                Event::Tagged(ended, reply) if ended == tag => return done(reply).map(drop),
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                _ => {}
            }
        }
    }

    fn poll_until(&mut self, until: Instant) -> Result<News, ImapError> {
        let before = self.changes;
        loop {
            let next = until.min(deadline(POLL));
            match self.step(|session| Ok(session.frame.source().readable(next)?))? {
                Readiness::Octets => drop(self.event::<io::Sink>(&mut no_body)?),
                Readiness::Nothing => self.noop()?,
                Readiness::Stopped => return Ok(News::Stopped),
            }
            if self.changes != before {
                return Ok(News::Changed);
            }
            if Instant::now() >= until {
                return Ok(News::Quiet);
            }
        }
    }
}
