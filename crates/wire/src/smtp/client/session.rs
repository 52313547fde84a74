//! One connection to the next server.
//!
//! In: where it is, how it is reached. Out: a session that hands over one message after the other, each in as few round trips as the server
//! allows (RFC 2920).

use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::time::Duration;

use base64_simd::STANDARD;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::stuff::Stuff;
use crate::sasl::{Credentials, Exchange, Mechanism};
use crate::smtp::duplex::Duplex;
use crate::smtp::limit;
use crate::smtp::lines::{Gone, Lines};
use crate::smtp::path::{MailFrom, RcptTo};
use crate::smtp::place::{Dialect, Place};
use crate::smtp::reply::{Gathered, Gathering, Reply};
use crate::smtp::shape::Shape;
use crate::smtp::xforward::Xforward;
use crate::tls::{self, Trust, WrapError};

/// Who asks for a login, at every connection anew; the inner error says why there is none.
pub type Login = Arc<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// How TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    #[default]
    Plain,
    /// By STARTTLS, or no session.
    StartTls,
    /// From the first octet.
    Tls,
}

/// The next server.
#[derive(Clone)]
pub struct NextHop {
    /// Where it is.
    pub place: Place,
    /// The language.
    pub dialect: Dialect,
    /// How TLS is spoken.
    pub security: Security,
    /// Whom to trust then.
    pub trust: Trust,
    /// Who we say we are.
    pub login: Option<Login>,
    /// Our own name.
    pub hello: String,
    /// How long a connection may take.
    pub connect_time: Duration,
    /// How long an answer may take.
    pub answer_time: Duration,
    /// How long the last answer may take.
    pub final_time: Duration,
}

impl NextHop {
    /// With the usual times, in clear, without a login.
    pub fn new(place: Place, dialect: Dialect, hello: String) -> NextHop {
        NextHop {
            place,
            dialect,
            security: Security::Plain,
            trust: Trust::default(),
            login: None,
            hello,
            connect_time: limit::CONNECT_TIME,
            answer_time: limit::ANSWER_TIME,
            final_time: limit::FINAL_TIME,
        }
    }
}

/// Octets that can be read again.
pub trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// A message's octets.
pub struct Content {
    /// How many.
    pub length: u64,
    /// What they are made of.
    pub shape: Shape,
    /// They themselves; read from the beginning.
    pub octets: Box<dyn ReadSeek>,
}

/// Why a message has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The server was not reached, or broke off before it had the whole message: it cannot have taken it.
    #[error("the next server {0}")]
    NotSent(&'static str),
    /// The server does not prove that it is the right one: its certificate is not trusted.
    #[error("the certificate of the next server is not trusted")]
    Untrusted,
    /// The server refuses the login, or there is none to be had: no message at all is taken until somebody mends that.
    #[error("the next server {0}")]
    NoLogin(&'static str),
    /// A login is wanted here, and the server offers none (RFC 4954).
    #[error("the next server offers no login (AUTH)")]
    NoAuth,
    /// The connection broke after the server had everything.
    #[error("the next server broke off without an answer")]
    Unknown,
    /// The server takes no message of this size (RFC 1870).
    #[error("the message is larger than the next server takes")]
    TooLarge,
    /// The server lacks an extension without which the message cannot be handed over as it is.
    #[error("the next server lacks {0}")]
    Lacks(&'static str),
    /// The message cannot be read.
    #[error("the message cannot be read")]
    Read(#[source] io::Error),
}

/// What a server offers (RFC 5321 §4.1.1.1).
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    words: Vec<(String, String)>,
}

impl Capabilities {
    fn of(reply: &Reply) -> Capabilities {
        let words = reply.lines().iter().skip(1).map(|line| {
            let (name, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            (name.to_ascii_uppercase(), rest.to_ascii_uppercase())
        });
        Capabilities { words: words.collect() }
    }

    /// Is it offered?
    pub fn has(&self, name: &str) -> bool {
        self.words.iter().any(|(known, _)| known == name)
    }

    fn arguments(&self, name: &str) -> impl Iterator<Item = &str> {
        let words = self.words.iter().filter(move |(known, _)| known == name);
        words.flat_map(|(_, arguments)| arguments.split(' ')).filter(|word| !word.is_empty())
    }

    /// Octets of the largest message; none: not told.
    pub fn size(&self) -> Option<u64> {
        self.arguments("SIZE").next()?.parse().ok().filter(|size| *size > 0)
    }
}

/// A connection.
pub(crate) struct Session {
    hop: Arc<NextHop>,
    lines: Lines,
    capabilities: Capabilities,
    /// A message was refused half-way: the server must be told that it is over.
    dirty: bool,
    /// A message came to no end, or an answer did not fit what was asked: whose answer the next one would be, nobody knows.
    out_of_step: bool,
    pub(crate) used: Instant,
}

/// The server says what no server may.
const NONSENSE: DeliverError = DeliverError::NotSent("does not speak this protocol");
/// Octets of the message sent at a time.
const BLOCK: usize = 64 * 1024;

impl Session {
    pub(crate) async fn connect(hop: Arc<NextHop>) -> Result<Session, DeliverError> {
        let connected = timeout(hop.connect_time, connect(&hop)).await;
        let stream = connected.map_err(|_| DeliverError::NotSent("cannot be reached in time"))?;
        let stream = stream.map_err(|_| DeliverError::NotSent("cannot be reached"))?;
        let mut session = Session {
            lines: Lines::new(stream),
            hop,
            capabilities: Capabilities::default(),
            dirty: false,
            out_of_step: false,
            used: Instant::now(),
        };
        if session.hop.security == Security::Tls {
            session.wrap().await?;
        }
        let greeting = session.answer(session.hop.answer_time).await?;
        if !greeting.is_positive() {
            return Err(DeliverError::NotSent("does not want to talk"));
        }
        session.hello().await?;
        if session.hop.security == Security::StartTls {
            if !session.capabilities.has("STARTTLS") {
                return Err(DeliverError::NotSent("offers no STARTTLS"));
            }
            let reply = session.ask("STARTTLS").await?;
            // What came with the answer was sent in clear, to be taken for what comes within TLS.
            if !reply.is_positive() || session.lines.has_more() {
                return Err(DeliverError::NotSent("does not begin TLS"));
            }
            session.wrap().await?;
            session.hello().await?;
        }
        session.log_in().await?;
        Ok(session)
    }

    /// Octets of the largest message that the server takes, if it says so.
    pub(crate) fn takes(&self) -> Option<u64> {
        self.capabilities.size()
    }

    /// May another message go this way? Not if an answer did not fit, nor if the server says anything unasked: that it ends, or one answer too
    /// many, after which each would be taken for the next one's.
    pub(crate) async fn is_usable(&mut self) -> bool {
        !self.out_of_step && self.lines.is_silent().await
    }

    /// Hands one message over. An error but for what the server does not take leaves a session that is not usable.
    pub(crate) async fn deliver(
        &mut self,
        from: &MailFrom,
        to: &[RcptTo],
        said: Option<&Xforward>,
        content: &mut Content,
    ) -> Result<Vec<Reply>, DeliverError> {
        let counted = self.check(from, to, content)?;
        let mut commands = Vec::new();
        self.out_of_step = true;
        let dirty = std::mem::replace(&mut self.dirty, true);
        if dirty {
            commands.push("RSET".to_owned());
        }
        let takes = |name: &str| self.capabilities.arguments("XFORWARD").any(|word| word == name);
        let xforward = said.and_then(|said| said.write(takes));
        commands.extend(xforward.iter().map(|words| format!("XFORWARD {words}")));
        let before = commands.len();
        commands.push(self.mail(from, content, counted));
        commands.extend(to.iter().map(|to| self.rcpt(to)));
        if !counted {
            commands.push("DATA".to_owned());
        }
        let replies = self.ask_all(&commands).await?;
        if replies.iter().take(before + 1 + to.len()).any(Reply::is_intermediate) {
            return Err(NONSENSE);
        }
        let mut replies = replies.into_iter().skip(before);
        let mail = replies.next().ok_or(NONSENSE)?;
        let recipients: Vec<Reply> = replies.by_ref().take(to.len()).collect();
        let ready = replies.next();
        if ready.as_ref().is_some_and(Reply::is_positive) {
            return Err(NONSENSE);
        }
        let accepted = recipients.iter().filter(|reply| reply.is_positive()).count();
        if !mail.is_positive() || accepted == 0 {
            // If it waits for content that nobody may have, only the end of the connection says so.
            self.out_of_step = ready.is_some_and(|reply| reply.is_intermediate());
            return Ok(if mail.is_positive() { recipients } else { vec![mail; to.len()] });
        }
        if ready.is_none() && !counted {
            return Err(NONSENSE);
        }
        if let Some(reply) = ready.filter(|reply| !reply.is_intermediate()) {
            self.out_of_step = false;
            return Ok(merge(recipients, std::iter::repeat_n(reply, accepted).collect()));
        }
        if !self.lines.is_silent().await {
            return Err(NONSENSE);
        }
        self.send_content(content, counted).await?;
        let finals = match self.hop.dialect {
            Dialect::Smtp => vec![self.last_answer().await?; accepted],
            Dialect::Lmtp => {
                let mut finals = Vec::new();
                for _ in 0..accepted {
                    finals.push(self.last_answer().await?);
                }
                finals
            }
        };
        (self.dirty, self.out_of_step) = (false, false);
        Ok(merge(recipients, finals))
    }

    pub(crate) async fn quit(mut self) {
        const FAREWELL: Duration = Duration::from_secs(2);
        let _ = self.lines.send(b"QUIT\r\n", FAREWELL).await;
        self.lines.close(FAREWELL).await;
    }

    /// Can this server take it? True: with counted octets.
    fn check(&self, from: &MailFrom, to: &[RcptTo], content: &Content) -> Result<bool, DeliverError> {
        let has = |name| self.capabilities.has(name);
        if self.capabilities.size().is_some_and(|size| content.length > size) {
            return Err(DeliverError::TooLarge);
        }
        let ascii = from.address.is_ascii() && to.iter().all(|to| to.address.is_ascii());
        if (from.smtputf8 || !ascii) && !has("SMTPUTF8") {
            return Err(DeliverError::Lacks("SMTPUTF8"));
        }
        // RFC 8689 §4.2.1: offered, and within TLS.
        let safe = self.hop.security != Security::Plain && has("REQUIRETLS");
        if from.parameters.iter().any(|parameter| parameter.name == "REQUIRETLS") && !safe {
            return Err(DeliverError::Lacks("REQUIRETLS"));
        }
        match content.shape {
            Shape::Lines => Ok(false),
            Shape::EightBit if has("8BITMIME") => Ok(false),
            Shape::EightBit => Err(DeliverError::Lacks("8BITMIME")),
            Shape::Binary if has("CHUNKING") => Ok(true),
            Shape::Binary => Err(DeliverError::Lacks("CHUNKING")),
        }
    }

    fn mail(&self, from: &MailFrom, content: &Content, counted: bool) -> String {
        let has = |name| self.capabilities.has(name);
        let mut line = format!("MAIL FROM:<{}>", from.address);
        if has("SIZE") {
            line.push_str(&format!(" SIZE={}", content.length));
        }
        if content.shape == Shape::EightBit {
            line.push_str(" BODY=8BITMIME");
        }
        if counted && has("BINARYMIME") {
            line.push_str(" BODY=BINARYMIME");
        }
        if from.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        for parameter in &from.parameters {
            let needs = match parameter.name.as_str() {
                "RET" | "ENVID" => "DSN",
                other => other,
            };
            // AUTH says who vouches for the sender (RFC 4954 §5): nobody here does.
            if parameter.name != "AUTH" && has(needs) {
                parameter.write(&mut line);
            }
        }
        line
    }

    fn rcpt(&self, to: &RcptTo) -> String {
        let mut line = format!("RCPT TO:<{}>", to.address);
        for parameter in &to.parameters {
            let needs = match parameter.name.as_str() {
                "NOTIFY" | "ORCPT" => "DSN",
                other => other,
            };
            if self.capabilities.has(needs) {
                parameter.write(&mut line);
            }
        }
        line
    }

    /// Sends commands, all at once where the server lets us, and reads as many answers.
    async fn ask_all(&mut self, commands: &[String]) -> Result<Vec<Reply>, DeliverError> {
        let mut replies = Vec::new();
        if self.capabilities.has("PIPELINING") {
            let all: String = commands.iter().map(|command| format!("{command}\r\n")).collect();
            self.lines.send(all.as_bytes(), self.hop.answer_time).await.map_err(lost)?;
            for _ in commands {
                replies.push(self.answer(self.hop.answer_time).await?);
            }
        } else {
            for command in commands {
                let taken = |(said, reply): (&String, &Reply)| said.starts_with("RCPT") && reply.is_positive();
                if command == "DATA" && !commands.iter().zip(&replies).any(taken) {
                    // There is nobody to send it to.
                    break;
                }
                replies.push(self.ask(command).await?);
            }
        }
        Ok(replies)
    }

    async fn ask(&mut self, command: &str) -> Result<Reply, DeliverError> {
        let line = Zeroizing::new(format!("{command}\r\n"));
        self.lines.send(line.as_bytes(), self.hop.answer_time).await.map_err(lost)?;
        self.answer(self.hop.answer_time).await
    }

    async fn answer(&mut self, patience: Duration) -> Result<Reply, DeliverError> {
        let mut gathering = Gathering::default();
        loop {
            let line = self.lines.line(limit::REPLY_LINE, patience).await.map_err(lost)?;
            match gathering.add(&line) {
                Gathered::More => {}
                Gathered::Whole(reply) => return Ok(reply),
                Gathered::Nonsense => return Err(NONSENSE),
            }
        }
    }

    async fn last_answer(&mut self) -> Result<Reply, DeliverError> {
        let reply = self.answer(self.hop.final_time).await.map_err(|_| DeliverError::Unknown)?;
        // "Go on" is no end: who knows what the server has.
        if reply.is_intermediate() { Err(DeliverError::Unknown) } else { Ok(reply) }
    }

    async fn send_content(&mut self, content: &mut Content, counted: bool) -> Result<(), DeliverError> {
        content.octets.rewind().map_err(DeliverError::Read)?;
        let patience = self.hop.answer_time;
        // No larger than there is use for: what is wiped costs time.
        let most = usize::try_from(content.length).unwrap_or(BLOCK).saturating_add(1).min(BLOCK);
        let mut block = Zeroizing::new(vec![0; most]);
        let (mut stuff, mut out, mut left) = (Stuff::default(), Zeroizing::new(Vec::new()), content.length);
        if counted {
            out.extend_from_slice(format!("BDAT {left} LAST\r\n").as_bytes());
        }
        loop {
            let count = content.octets.read(&mut block).map_err(DeliverError::Read)?;
            let octets = block.get(..count).unwrap_or_default();
            left = match left.checked_sub(u64::try_from(count).unwrap_or(u64::MAX)) {
                Some(left) if count > 0 || left == 0 => left,
                // Not the octets that were announced: the server has not the end of them, so it takes nothing.
                _ => return Err(DeliverError::Read(io::ErrorKind::UnexpectedEof.into())),
            };
            match counted {
                true => out.extend_from_slice(octets),
                false => stuff.feed(octets, &mut out),
            }
            if count == 0 && !counted {
                out.extend_from_slice(stuff.finish());
            }
            // The end goes out last and alone may be lost: before it, the server cannot have taken anything.
            let sent = self.lines.send(&out, patience).await;
            if count == 0 {
                return sent.map_err(|_| DeliverError::Unknown);
            }
            sent.map_err(|gone| if counted && left == 0 { DeliverError::Unknown } else { lost(gone) })?;
            out.clear();
        }
    }

    async fn hello(&mut self) -> Result<(), DeliverError> {
        let verb = match self.hop.dialect {
            Dialect::Smtp => "EHLO",
            Dialect::Lmtp => "LHLO",
        };
        let reply = self.ask(&format!("{verb} {}", self.hop.hello)).await?;
        if reply.is_positive() {
            self.capabilities = Capabilities::of(&reply);
            return Ok(());
        }
        if self.hop.dialect == Dialect::Smtp && reply.is_permanent() {
            let reply = self.ask(&format!("HELO {}", self.hop.hello)).await?;
            if reply.is_positive() {
                self.capabilities = Capabilities::default();
                return Ok(());
            }
        }
        Err(DeliverError::NotSent("does not return the greeting"))
    }

    async fn wrap(&mut self) -> Result<(), DeliverError> {
        const FAILED: DeliverError = DeliverError::NotSent("cannot be spoken to by TLS");
        let host = self.hop.place.host().unwrap_or("localhost").to_owned();
        let stream = self.lines.take_stream().ok_or(FAILED)?;
        let wrapped = timeout(self.hop.connect_time, tls::wrap(stream, &host, &self.hop.trust)).await;
        self.lines = Lines::new(Box::new(wrapped.map_err(|_| FAILED)?.map_err(|error| match error {
            WrapError::Untrusted => DeliverError::Untrusted,
            WrapError::Failed => FAILED,
        })?));
        Ok(())
    }

    /// RFC 4954.
    async fn log_in(&mut self) -> Result<(), DeliverError> {
        const REFUSED: DeliverError = DeliverError::NoLogin("refuses the login");
        let Some(login) = self.hop.login.clone() else { return Ok(()) };
        let asked = tokio::task::spawn_blocking(move || login()).await;
        let credentials =
            asked.ok().and_then(Result::ok).ok_or(DeliverError::NoLogin("needs a login that is not to be had"))?;
        let offered: Vec<String> = self.capabilities.arguments("AUTH").map(str::to_owned).collect();
        if offered.is_empty() {
            return Err(DeliverError::NoAuth);
        }
        let mechanism = Mechanism::choose(&credentials, |name| offered.iter().any(|one| one == name));
        let mechanism = mechanism.ok_or(DeliverError::NoLogin("offers no way to log in"))?;
        let mut exchange = Exchange::new(mechanism, &credentials, self.hop.place.host().unwrap_or_default(), 0)
            .map_err(|_| REFUSED)?;
        let mut line = Zeroizing::new(format!("AUTH {}", mechanism.name()));
        if exchange.speaks_first() {
            let first = exchange.answer(b"").map_err(|_| REFUSED)?;
            line.push(' ');
            line.push_str(&if first.is_empty() { "=".to_owned() } else { STANDARD.encode_to_string(&*first) });
        }
        let mut reply = self.ask(&line).await?;
        for _ in 0..crate::limit::AUTH_ROUNDS {
            if !reply.is_intermediate() {
                break;
            }
            let challenge = reply.lines().first().map(String::as_str).unwrap_or_default().trim().to_owned();
            let challenge = STANDARD.decode_to_vec(challenge.as_bytes()).map_err(|_| REFUSED)?;
            let answer = exchange.answer(&challenge).map_err(|_| REFUSED)?;
            reply = self.ask(&Zeroizing::new(STANDARD.encode_to_string(&*answer))).await?;
        }
        if !reply.is_positive() {
            return Err(REFUSED);
        }
        exchange.finish().map_err(|_| REFUSED)
    }
}

async fn connect(hop: &NextHop) -> io::Result<Box<dyn Duplex>> {
    match &hop.place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}

/// The answers to all recipients: to RCPT where it was refused, else the last ones.
fn merge(recipients: Vec<Reply>, finals: Vec<Reply>) -> Vec<Reply> {
    let mut finals = finals.into_iter();
    let last = |reply: Reply| if reply.is_positive() { finals.next().unwrap_or(reply) } else { reply };
    recipients.into_iter().map(last).collect()
}

fn lost(gone: Gone) -> DeliverError {
    DeliverError::NotSent(match gone {
        Gone::Closed | Gone::Io(_) => "broke off",
        Gone::TimedOut => "does not answer in time",
        Gone::TooLong | Gone::BareLineEnd => return NONSENSE,
    })
}
