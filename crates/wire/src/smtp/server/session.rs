//! One session, from its greeting to its end.
//!
//! In: a stream. Out: MAIL, RCPT, the content of a message: each to be answered by whoever asks for the next request. The rest is answered here.
//! Answers are gathered while requests are at hand, and sent when there are none (RFC 2920 §3.2).

mod content;
mod offer;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use self::content::Coming;
pub use self::content::Received;
use super::activity::Activity;
use super::command::Command;
use super::settings::{Refused, Settings};
use crate::smtp::duplex::Duplex;
use crate::smtp::limit;
use crate::smtp::lines::{Gone, Lines};
use crate::smtp::path::{Body, MailFrom, RcptTo};
use crate::smtp::place::Dialect;
use crate::smtp::reply::Reply;
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
/// How long the next command of a message that is begun may take when the session is asked to end.
const LAST: Duration = Duration::from_secs(2);

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

    /// Ends the connection.
    pub async fn end(self) {
        self.lines.close(FAREWELL).await;
    }

    async fn command_line(&mut self) -> Result<Vec<u8>, SessionError> {
        let activity = Arc::clone(&self.activity);
        let mut patience = self.settings.command_time;
        if !self.lines.has_line() {
            self.lines.flush(patience).await?;
        }
        loop {
            let idle = matches!(self.stage, Stage::New | Stage::Ready) && !self.lines.has_more();
            if idle && activity.is_draining() {
                return Err(self.farewell(421, (4, 3, 2), "ending", SessionError::Ended).await);
            }
            if activity.is_draining() {
                // No content has come: nothing is lost, and whoever has begun a message comes again with it.
                patience = patience.min(LAST);
            }
            activity.waits();
            tokio::select! {
                line = self.lines.line(limit::COMMAND_LINE, patience) => {
                    activity.works();
                    return match line {
                        Ok(line) => Ok(line),
                        Err(Gone::TimedOut) if activity.is_draining() => {
                            Err(self.farewell(421, (4, 3, 2), "ending", SessionError::Ended).await)
                        }
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
                self.settings.refused(Refused::Size, 552);
                self.put(&Reply::new(552, (5, 3, 4), "the message is too large")).await?;
            }
            Stage::Ready if self.settings.withholds_from(&mail) => {
                // RFC 5321 §4.1.1.11.
                self.settings.refused(Refused::Parameter, 555);
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
                self.settings.refused(Refused::Recipients, 452);
                self.put(&Reply::new(452, (4, 5, 3), "too many recipients")).await?;
            }
            Stage::Mail if self.settings.withholds_to(&to) => {
                self.settings.refused(Refused::Parameter, 555);
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
