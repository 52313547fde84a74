//! One session, from its greeting to its end.
//!
//! In: a stream. Out: MAIL, RCPT, the content of a message: each to be answered by whoever asks for the next request. The rest is answered here.
//! Answers are gathered while requests are at hand, and sent when there are none (RFC 2920 §3.2).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::activity::Activity;
use super::command::{Command, Last};
use super::settings::{Extension, Settings};
use super::unstuff::{Unstuff, Unstuffed};
use crate::smtp::duplex::Duplex;
use crate::smtp::limit;
use crate::smtp::lines::{Gone, LARGE, Lines};
use crate::smtp::path::{Body, MailFrom, RcptTo};
use crate::smtp::place::Dialect;
use crate::smtp::reply::Reply;
use crate::smtp::shape::{Looking, Shape};
use crate::smtp::xforward::Xforward;

/// What the other side asks for.
#[derive(Debug)]
pub enum Request {
    /// A message begins. To be answered with [`Session::reply`].
    Mail(MailFrom),
    /// It is for this recipient. To be answered with [`Session::reply`].
    Rcpt(RcptTo),
    /// Its content comes: [`Session::receive`], then [`Session::reply_all`].
    Content,
    /// The message is given up; answered already.
    Reset,
    /// The session is over; answered already.
    Quit,
}

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

/// Why a session is over before its time. Nothing was lost: a message without an answer is still its sender's.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The other side ended the connection.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came in time.
    #[error("nothing came in time")]
    TimedOut,
    /// What came is no mail session, or could be read in two ways.
    #[error("this is no mail session")]
    Protocol,
    /// It was asked to end.
    #[error("it was asked to end")]
    Ended,
    /// TLS could not be begun.
    #[error("TLS could not be begun")]
    Tls(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

/// Who is at the other side.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its address; none: it came by a unix socket.
    pub address: Option<IpAddr>,
    /// What it calls itself (HELO, EHLO, LHLO).
    pub name: String,
    /// What it says of the client that it has the message from: by XFORWARD for this message, or by XCLIENT for all.
    pub xforward: Option<Xforward>,
    /// Whether the session is within TLS.
    pub tls: bool,
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No greeting yet.
    New,
    /// Greeted; no message under way.
    Ready,
    /// MAIL was shown and is not answered.
    MailAsked,
    /// MAIL was accepted.
    Mail,
    /// RCPT was shown and is not answered.
    RcptAsked,
}

/// How the content comes.
#[derive(Clone, Copy, Debug)]
enum Coming {
    /// After 354.
    Data,
    /// So many octets, counted, and whether they are the last ones.
    Chunk(u64, Last),
}

/// A session.
pub struct Session {
    settings: Arc<Settings>,
    activity: Arc<Activity>,
    lines: Lines,
    client: Client,
    /// What XCLIENT said; it holds for the whole session.
    introduced: Option<Xforward>,
    stage: Stage,
    body: Body,
    smtputf8: bool,
    accepted: usize,
    coming: Option<Coming>,
    errors: u32,
    extended: bool,
}

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

impl Session {
    /// Greets. `address`: the other side's; none by a unix socket.
    pub async fn begin(
        stream: Box<dyn Duplex>,
        address: Option<IpAddr>,
        settings: Arc<Settings>,
        activity: Arc<Activity>,
    ) -> Result<Session, SessionError> {
        let protocol = match settings.dialect {
            Dialect::Smtp => "ESMTP",
            Dialect::Lmtp => "LMTP",
        };
        let greeting = Reply::bare(220, vec![format!("{} {protocol}", settings.hello)]);
        let client = Client { address, ..Client::default() };
        let mut session = Session {
            settings,
            activity,
            lines: Lines::new(stream),
            client,
            introduced: None,
            stage: Stage::New,
            body: Body::SevenBit,
            smtputf8: false,
            accepted: 0,
            coming: None,
            errors: 0,
            extended: false,
        };
        session.say(&greeting).await?;
        Ok(session)
    }

    /// Who is at the other side.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The language.
    pub fn dialect(&self) -> Dialect {
        self.settings.dialect
    }

    /// The next request.
    pub async fn next(&mut self) -> Result<Request, SessionError> {
        loop {
            let line = self.command_line().await?;
            if let Some(request) = self.obey(&line).await? {
                return Ok(request);
            }
        }
    }

    /// Answers MAIL or RCPT.
    pub async fn reply(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.stage = match (self.stage, reply.is_positive()) {
            (Stage::MailAsked, true) => Stage::Mail,
            (Stage::MailAsked, false) => Stage::Ready,
            (Stage::RcptAsked, positive) => {
                self.accepted = self.accepted.saturating_add(usize::from(positive));
                Stage::Mail
            }
            (stage, _) => stage,
        };
        self.put(reply).await
    }

    /// Answers a message: for each accepted recipient in LMTP, once in SMTP. An answer that is missing is made a 451.
    pub async fn reply_all(&mut self, replies: &[Reply]) -> Result<(), SessionError> {
        let count = match self.settings.dialect {
            Dialect::Smtp => 1,
            Dialect::Lmtp => self.accepted,
        };
        let missing = Reply::new(451, (4, 3, 0), "no answer");
        for at in 0..count {
            self.put(replies.get(at).unwrap_or(&missing)).await?;
        }
        self.over();
        Ok(())
    }

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
            let text = "the message is too large";
            let replies = vec![Reply::new(552, (5, 3, 4), text); self.accepted.max(1)];
            self.reply_all(&replies).await?;
            return Ok(Received::Abandoned);
        }
        Ok(Received::Whole { shape: content.looking.finish(), kept: content.kept })
    }

    /// Ends the connection.
    pub async fn end(self) {
        self.lines.close(FAREWELL).await;
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

    async fn command_line(&mut self) -> Result<Vec<u8>, SessionError> {
        let activity = Arc::clone(&self.activity);
        let patience = self.settings.command_time;
        if !self.lines.has_line() {
            self.lines.flush(patience).await?;
        }
        loop {
            let idle = matches!(self.stage, Stage::New | Stage::Ready) && !self.lines.has_more();
            if idle && activity.is_draining() {
                return Err(self.farewell(421, (4, 3, 2), "ending", SessionError::Ended).await);
            }
            activity.waits();
            tokio::select! {
                line = self.lines.line(limit::COMMAND_LINE, patience) => {
                    activity.works();
                    return match line {
                        Ok(line) => Ok(line),
                        Err(Gone::TimedOut) => {
                            Err(self.farewell(421, (4, 4, 2), "nothing came in time", SessionError::TimedOut).await)
                        }
                        Err(Gone::TooLong) => {
                            Err(self.farewell(500, (5, 5, 2), "the line is too long", SessionError::Protocol).await)
                        }
                        Err(Gone::BareLineEnd) => {
                            let text = "a line ends in CR LF";
                            Err(self.farewell(500, (5, 5, 2), text, SessionError::Protocol).await)
                        }
                        Err(gone) => Err(gone.into()),
                    };
                }
                () = activity.asked() => if activity.is_evicted() {
                    return Err(self.farewell(421, (4, 3, 2), "too many sessions", SessionError::Ended).await);
                },
            }
        }
    }

    /// Answers what can be answered here.
    async fn obey(&mut self, line: &[u8]) -> Result<Option<Request>, SessionError> {
        let ok = Reply::new(250, (2, 0, 0), "ok");
        match Command::parse(line) {
            Command::Helo(name) if self.settings.dialect == Dialect::Smtp => {
                name.clone_into(&mut self.client.name);
                self.over();
                self.extended = false;
                let name = self.settings.hello.clone();
                self.put(&Reply::bare(250, vec![name])).await?;
            }
            Command::Ehlo(name) if self.settings.dialect == Dialect::Smtp => {
                name.clone_into(&mut self.client.name);
                self.offer().await?;
            }
            Command::Lhlo(name) if self.settings.dialect == Dialect::Lmtp => {
                name.clone_into(&mut self.client.name);
                self.offer().await?;
            }
            Command::Helo(_) | Command::Ehlo(_) | Command::Lhlo(_) => {
                self.wrong(500, (5, 5, 1), "the other greeting: SMTP says EHLO, LMTP says LHLO").await?;
            }
            Command::Mail(mail) => return self.mail(mail).await,
            Command::Rcpt(to) => return self.rcpt(to).await,
            Command::Data => {
                if let Some(why) = self.unready() {
                    self.wrong(503, (5, 5, 1), why).await?;
                } else if self.body == Body::BinaryMime {
                    // RFC 3030 §3: such content is sent with BDAT only.
                    self.wrong(503, (5, 5, 1), "BODY=BINARYMIME needs BDAT").await?;
                } else {
                    self.coming = Some(Coming::Data);
                    return Ok(Some(Request::Content));
                }
            }
            Command::Bdat { octets, last } => return self.bdat(octets, last).await,
            Command::Rset => {
                self.over();
                self.put(&ok).await?;
                return Ok(Some(Request::Reset));
            }
            Command::Noop => self.put(&ok).await?,
            Command::Vrfy => self.put(&Reply::new(252, (2, 5, 0), "send some mail, it will be tried")).await?,
            Command::Help => self.put(&Reply::new(214, (2, 0, 0), "RFC 5321 and RFC 2033 tell")).await?,
            Command::Quit => {
                self.put(&Reply::new(221, (2, 0, 0), "bye")).await?;
                let _ = self.lines.flush(FAREWELL).await;
                return Ok(Some(Request::Quit));
            }
            Command::StartTls => self.start_tls().await?,
            Command::Xforward(said) => self.xforward(said).await?,
            Command::Xclient(said) => self.xclient(said).await?,
            Command::Wrong(syntax) => self.wrong(501, (5, 5, 4), syntax).await?,
            Command::Unknown => self.wrong(500, (5, 5, 1), "not known here").await?,
            Command::Foreign => {
                return Err(self.farewell(421, (4, 7, 0), "this is for mail", SessionError::Protocol).await);
            }
        }
        Ok(None)
    }

    async fn mail(&mut self, mail: MailFrom) -> Result<Option<Request>, SessionError> {
        let greeted = if self.settings.dialect == Dialect::Lmtp { "LHLO first" } else { "EHLO first" };
        match self.stage {
            Stage::New => self.wrong(503, (5, 5, 1), greeted).await?,
            Stage::Ready if mail.size.is_some_and(|size| size > self.settings.max_message) => {
                self.put(&Reply::new(552, (5, 3, 4), "the message is too large")).await?;
            }
            Stage::Ready if self.settings.withholds_from(&mail) => {
                // RFC 5321 §4.1.1.11.
                self.wrong(555, (5, 5, 4), "a parameter that was not offered").await?;
            }
            Stage::Ready if !mail.smtputf8 && !mail.address.is_ascii() => {
                self.wrong(553, (5, 6, 7), "such an address needs SMTPUTF8").await?;
            }
            Stage::Ready => {
                (self.stage, self.body, self.smtputf8) = (Stage::MailAsked, mail.body, mail.smtputf8);
                return Ok(Some(Request::Mail(mail)));
            }
            _ => self.wrong(503, (5, 5, 1), "one message at a time").await?,
        }
        Ok(None)
    }

    async fn rcpt(&mut self, to: RcptTo) -> Result<Option<Request>, SessionError> {
        match self.stage {
            Stage::Mail if self.accepted >= self.settings.max_recipients => {
                self.put(&Reply::new(452, (4, 5, 3), "too many recipients")).await?;
            }
            Stage::Mail if self.settings.withholds_to(&to) => {
                self.wrong(555, (5, 5, 4), "a parameter that was not offered").await?;
            }
            // RFC 6531 §3.4.
            Stage::Mail if !self.smtputf8 && !to.address.is_ascii() => {
                self.wrong(553, (5, 6, 7), "such an address needs SMTPUTF8").await?;
            }
            Stage::Mail => {
                self.stage = Stage::RcptAsked;
                return Ok(Some(Request::Rcpt(to)));
            }
            _ => self.wrong(503, (5, 5, 1), "MAIL first").await?,
        }
        Ok(None)
    }

    async fn bdat(&mut self, octets: u64, last: Last) -> Result<Option<Request>, SessionError> {
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
            return Err(self.farewell(552, (5, 3, 4), "far too large", SessionError::Protocol).await);
        }
        self.chunk(octets, Instant::now() + limit::CONTENT_TIME, &mut |_| ()).await?;
        self.wrong(code, (5, 5, 1), why).await?;
        Ok(None)
    }

    /// Why no content can come now.
    fn unready(&self) -> Option<&'static str> {
        match self.stage {
            Stage::Mail if self.accepted > 0 => None,
            Stage::Mail => Some("no recipient was accepted"),
            _ => Some("MAIL first"),
        }
    }

    async fn offer(&mut self) -> Result<(), SessionError> {
        self.over();
        self.extended = true;
        let mut lines = vec![self.settings.hello.clone(), "PIPELINING".to_owned()];
        lines.push(format!("SIZE {}", self.settings.max_message));
        if self.settings.tls.is_some() && !self.client.tls {
            lines.push("STARTTLS".to_owned());
        }
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        let more = [
            ("8BITMIME", Extension::EightBitMime),
            ("DSN", Extension::Dsn),
            ("SMTPUTF8", Extension::SmtpUtf8),
            ("CHUNKING", Extension::Chunking),
            ("BINARYMIME", Extension::BinaryMime),
        ];
        let offered = more.iter().filter(|(_, extension)| self.settings.offers(*extension));
        lines.extend(offered.map(|(name, _)| (*name).to_owned()));
        if self.settings.trusts(self.client.address) {
            lines.push("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE".to_owned());
            lines.push("XCLIENT NAME ADDR PORT PROTO HELO LOGIN".to_owned());
        }
        self.put(&Reply::bare(250, lines)).await
    }

    async fn start_tls(&mut self) -> Result<(), SessionError> {
        let Some(config) = self.settings.tls.clone().filter(|_| !self.client.tls && self.extended) else {
            return self.wrong(503, (5, 5, 1), "not now").await;
        };
        if self.lines.has_more() {
            // Sent in clear, to be read as if it had come within TLS (CVE-2011-0411).
            let text = "nothing may follow STARTTLS";
            return Err(self.farewell(501, (5, 5, 1), text, SessionError::Protocol).await);
        }
        self.say(&Reply::new(220, (2, 0, 0), "go on")).await?;
        let stream = self.lines.take_stream().ok_or(SessionError::Closed)?;
        let accept = tokio_rustls::TlsAcceptor::from(config).accept(stream);
        let patience = self.settings.command_time;
        let stream = tokio::time::timeout(patience, accept).await.map_err(|_| SessionError::TimedOut)?;
        self.lines = Lines::new(Box::new(stream.map_err(SessionError::Tls)?));
        self.client.tls = true;
        // All that was said in clear is forgotten (RFC 3207 §4.2).
        self.over();
        (self.stage, self.extended) = (Stage::New, false);
        Ok(())
    }

    async fn xforward(&mut self, said: &str) -> Result<(), SessionError> {
        if !self.settings.trusts(self.client.address) {
            return self.wrong(550, (5, 7, 1), "not believed").await;
        }
        let mut xforward = self.client.xforward.take().unwrap_or_default();
        if !matches!(self.stage, Stage::Ready) || !xforward.take(said) {
            return self.wrong(501, (5, 5, 4), "XFORWARD name=value, between messages").await;
        }
        self.client.xforward = Some(xforward);
        self.put(&Reply::new(250, (2, 0, 0), "ok")).await
    }

    async fn xclient(&mut self, said: &str) -> Result<(), SessionError> {
        if !self.settings.trusts(self.client.address) {
            return self.wrong(550, (5, 7, 1), "not believed").await;
        }
        let mut xforward = Xforward::default();
        if !matches!(self.stage, Stage::Ready | Stage::New) || !xforward.take(said) {
            return self.wrong(501, (5, 5, 4), "XCLIENT name=value, between messages").await;
        }
        self.introduced = Some(xforward);
        self.over();
        (self.stage, self.extended) = (Stage::New, false);
        let hello = self.settings.hello.clone();
        self.put(&Reply::bare(220, vec![hello])).await
    }

    /// No message is under way.
    fn over(&mut self) {
        self.client.xforward = self.introduced.clone();
        (self.stage, self.accepted, self.coming) = (Stage::Ready, 0, None);
        (self.body, self.smtputf8) = (Body::SevenBit, false);
    }

    async fn wrong(&mut self, code: u16, enhanced: (u16, u16, u16), text: &str) -> Result<(), SessionError> {
        self.errors = self.errors.saturating_add(1);
        if self.errors > limit::ERRORS {
            return Err(self.farewell(421, (4, 7, 0), "too many errors", SessionError::Protocol).await);
        }
        self.put(&Reply::new(code, enhanced, text)).await
    }

    async fn put(&mut self, reply: &Reply) -> Result<(), SessionError> {
        let mut octets = Vec::new();
        reply.write(&mut octets);
        Ok(self.lines.put(&octets, self.settings.command_time).await?)
    }

    async fn say(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.put(reply).await?;
        Ok(self.lines.flush(self.settings.command_time).await?)
    }

    /// A last word; the error that ends the session.
    async fn farewell(
        &mut self,
        code: u16,
        enhanced: (u16, u16, u16),
        text: &str,
        error: SessionError,
    ) -> SessionError {
        let _ = self.put(&Reply::new(code, enhanced, text)).await;
        let _ = self.lines.flush(FAREWELL).await;
        error
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

impl From<Gone> for SessionError {
    fn from(gone: Gone) -> SessionError {
        match gone {
            Gone::Closed => SessionError::Closed,
            Gone::TimedOut => SessionError::TimedOut,
            Gone::TooLong | Gone::BareLineEnd => SessionError::Protocol,
            Gone::Io(error) => SessionError::Io(error),
        }
    }
}
