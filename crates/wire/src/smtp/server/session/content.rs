//! The content of a message: DATA (RFC 5321 §4.1.1.4), BDAT (RFC 3030 §2).
//!
//! In: octets. Out: the content, piece by piece, to whoever keeps it; what it is made of. What is too large is passed over, what is far too large ends
//! the session.

use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Request, Session, SessionError, Stage};
use crate::smtp::limit;
use crate::smtp::lines::LARGE;
use crate::smtp::reply::Reply;
use crate::smtp::server::command::{Command, Last};
use crate::smtp::server::settings::{Extension, Refused};
use crate::smtp::server::unstuff::{Unstuff, Unstuffed};
use crate::smtp::shape::{Looking, Shape};

/// What came of a message's content.
#[derive(Debug)]
pub enum Received {
    /// It is whole.
    Whole {
        /// What it is made of.
        shape: Shape,
        /// Whether the caller could keep it.
        kept: io::Result<()>,
    },
    /// It was given up, or was too large; answered already.
    Abandoned,
}

/// How the content comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coming {
    /// After 354.
    Data,
    /// So many octets, counted, and whether they are the last ones.
    Chunk(u64, Last),
}

impl Session {
    /// The content, piece by piece, to `keep`. What `keep` cannot take is passed over, so that the session goes on.
    pub async fn receive(
        &mut self,
        keep: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<Received, SessionError> {
        let mut content =
            Content { keep, kept: Ok(()), looking: Looking::default(), octets: 0, most: self.settings.max_message };
        let until = Instant::now() + limit::CONTENT_TIME;
        match self.coming.take() {
            Some(Coming::Chunk(octets, last)) => {
                if !self.chunks(&mut content, octets, last, until).await? {
                    return Ok(Received::Abandoned);
                }
            }
            _ => self.data(&mut content, until).await?,
        }
        self.activity.works();
        if content.is_too_large() {
            self.settings.refused(Refused::Size, 552);
            let text = "the message is too large";
            let replies = vec![Reply::new(552, (5, 3, 4), text); self.accepted.max(1)];
            self.reply_all(&replies).await?;
            return Ok(Received::Abandoned);
        }
        Ok(Received::Whole { shape: content.looking.finish(), kept: content.kept })
    }

    async fn data(&mut self, content: &mut Content<'_>, until: Instant) -> Result<(), SessionError> {
        self.say(&Reply::bare(354, vec!["end with CRLF.CRLF".to_owned()])).await?;
        let mut unstuff = Unstuff::default();
        loop {
            if self.lines.has_more() {
                let ahead = self.lines.ahead();
                let count = ahead.len();
                match unstuff.feed(ahead, &mut |octets| content.take(octets)) {
                    Unstuffed::End(count) => {
                        self.lines.take(count);
                        return Ok(());
                    }
                    Unstuffed::More => self.lines.take(count),
                }
                if content.is_flood() {
                    self.settings.refused(Refused::Size, 552);
                    return Err(self.farewell(552, (5, 3, 4), "far too large", SessionError::Protocol).await);
                }
            }
            self.more(LARGE, until).await?;
        }
    }

    /// False: the message was given up.
    async fn chunks(
        &mut self,
        content: &mut Content<'_>,
        mut left: u64,
        mut last: Last,
        until: Instant,
    ) -> Result<bool, SessionError> {
        let mut announced = left;
        loop {
            self.chunk(left, until, &mut |octets| content.take(octets)).await?;
            if content.is_flood() {
                self.settings.refused(Refused::Size, 552);
                return Err(self.farewell(552, (5, 3, 4), "far too large", SessionError::Protocol).await);
            }
            if last == Last::Yes {
                return Ok(true);
            }
            self.put(&Reply::new(250, (2, 0, 0), &format!("{announced} octets received"))).await?;
            loop {
                let line = self.command_line().await?;
                match Command::parse(&line) {
                    Command::Bdat { octets, last: more } => {
                        (left, announced, last) = (octets, octets, more);
                        break;
                    }
                    Command::Rset => {
                        self.over();
                        self.put(&Reply::new(250, (2, 0, 0), "ok")).await?;
                        return Ok(false);
                    }
                    Command::Quit => {
                        return Err(self.farewell(221, (2, 0, 0), "bye", SessionError::Closed).await);
                    }
                    Command::Noop => self.put(&Reply::new(250, (2, 0, 0), "ok")).await?,
                    _ => self.wrong(503, (5, 5, 1), "BDAT is under way").await?,
                }
            }
        }
    }

    /// So many octets, counted.
    async fn chunk(
        &mut self,
        mut left: u64,
        until: Instant,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), SessionError> {
        while left > 0 {
            if !self.lines.has_more() {
                self.more(LARGE, until).await?;
            }
            let ahead = self.lines.ahead();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(ahead.len());
            take(ahead.get(..count).unwrap_or_default());
            self.lines.take(count);
            left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Waits for more octets of a message.
    async fn more(&mut self, room: usize, until: Instant) -> Result<(), SessionError> {
        let patience = self.settings.block_time;
        self.lines.flush(patience).await?;
        self.activity.waits();
        let activity = Arc::clone(&self.activity);
        let until = until.min(Instant::now() + patience);
        loop {
            tokio::select! {
                read = self.lines.fill(room, until) => {
                    self.activity.works();
                    return Ok(read?);
                }
                // A message under way is finished first, unless somebody else needs the place.
                () = activity.asked() => if activity.is_evicted() {
                    return Err(SessionError::Ended);
                },
            }
        }
    }

    pub(super) async fn bdat(&mut self, octets: u64, last: Last) -> Result<Option<Request>, SessionError> {
        let (code, why) = match self.unready() {
            _ if !self.settings.offers(Extension::Chunking) => (502, "BDAT was not offered"),
            Some(why) => (503, why),
            None => {
                self.coming = Some(Coming::Chunk(octets, last));
                return Ok(Some(Request::Content));
            }
        };
        // The octets come all the same (RFC 3030 §2).
        if octets > self.settings.max_message {
            self.settings.refused(Refused::Size, 552);
            return Err(self.farewell(552, (5, 3, 4), "far too large", SessionError::Protocol).await);
        }
        self.chunk(octets, Instant::now() + limit::CONTENT_TIME, &mut |_| ()).await?;
        self.wrong(code, (5, 5, 1), why).await?;
        Ok(None)
    }

    /// Why no content can come now.
    pub(super) fn unready(&self) -> Option<&'static str> {
        match self.stage {
            Stage::Mail if self.accepted > 0 => None,
            Stage::Mail => Some("no recipient was accepted"),
            _ => Some("MAIL first"),
        }
    }
}

/// The content of a message while it comes.
struct Content<'a> {
    keep: &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    kept: io::Result<()>,
    looking: Looking,
    octets: u64,
    most: u64,
}

impl Content<'_> {
    fn take(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if self.is_too_large() || self.kept.is_err() {
            return;
        }
        self.looking.look(octets);
        self.kept = (self.keep)(octets);
    }

    fn is_too_large(&self) -> bool {
        self.octets > self.most
    }

    /// So large that waiting for its end would be a gift to whoever sends it.
    fn is_flood(&self) -> bool {
        self.octets > self.most.saturating_mul(2).saturating_add(1024 * 1024)
    }
}
