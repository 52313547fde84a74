//! From nothing to an authenticated session.
//!
//! In: an endpoint, trust, credentials. Out: a session. RFC 3501 §6.1, §6.2; RFC 8314; RFC 2595 §2.4 (STARTTLS); RFC
//! 4959 (SASL-IR); RFC 2971 (ID); RFC 5161 (ENABLE); RFC 4978 (COMPRESS). Never: credentials or mail over an unencrypted connection to another
//! machine; anything believed that came before the handshake of STARTTLS.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::session::{Event, Session, deadline, done, no_body, string, text};
use crate::imap::error::{Code, ImapError};
use crate::imap::response::{Kind, Reply};
use crate::limit;
use crate::sasl::{Credentials, Exchange, Mechanism};
use crate::stream::{STEP, Stream, Timeouts};
use crate::tls::{self, Trust};

/// Where a server listens, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port: 993 for [`Security::Tls`], else 143, as a rule.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first octet (RFC 8314).
    Tls,
    /// TLS after STARTTLS; without it, no session.
    StartTls,
    /// None. Refused unless the host resolves to loopback addresses only.
    Plain,
}

impl Session {
    /// Connects and logs in: with SCRAM-SHA-256, PLAIN, the LOGIN command or LOGIN, whichever is the first offered; with
    /// a token, OAUTHBEARER or XOAUTH2. Then says who we are and enables CONDSTORE, where that is offered.
    ///
    /// `stop` is looked at about every 200 ms while anything is waited for, in this and every other call; once it is
    /// set, the call ends with [`ImapError::Stopped`].
    pub fn connect(
        endpoint: &Endpoint,
        trust: &Trust,
        credentials: &Credentials,
        timeouts: &Timeouts,
        stop: Arc<AtomicBool>,
    ) -> Result<Session, ImapError> {
        let socket = dial(endpoint, timeouts.connect, &stop)?;
        // A server greets at once; one that does not waits for a TLS handshake on a port where we do not begin one.
        let mut stream = Stream::new(socket, timeouts.connect, stop).map_err(ImapError::Connect)?;
        if endpoint.security == Security::Tls {
            stream.secure(tls::connection(&endpoint.host, trust)?)?;
        }
        let mut session = Session::new(stream);
        let known = session.greeting()?;
        session.frame.source().be_patient(timeouts.response);
        if endpoint.security == Security::StartTls {
            // Who is known already may not say STARTTLS any more (RFC 3501 §6.2.1): someone in between could make us
            // believe so.
            if known {
                return Err(ImapError::Plaintext);
            }
            session.start_tls(&endpoint.host, trust)?;
        }
        session.ask_capabilities()?;
        if !known {
            session.log_in(endpoint, credentials)?;
            session.ask_capabilities()?;
        }
        session.introduce()?;
        Ok(session)
    }

    /// Whether the server knows us without a login (PREAUTH).
    fn greeting(&mut self) -> Result<bool, ImapError> {
        match self.event::<io::Sink>(&mut no_body)? {
            Event::Status(Reply { kind: Kind::Ok, .. }) => Ok(false),
            Event::Status(Reply { kind: Kind::PreAuth, .. }) => Ok(true),
            _ => self.protocol("no greeting"),
        }
    }

    /// Has everything deflated from here on, both ways (RFC 4978), where the server offers it. Whether it is.
    pub fn compress(&mut self) -> Result<bool, ImapError> {
        if !self.has("COMPRESS=DEFLATE") {
            return Ok(false);
        }
        match self.run(vec![text("COMPRESS DEFLATE")], |_| Ok(())) {
            Err(error) if error.is_refusal() => return Ok(false),
            ended => drop(ended?),
        }
        self.step(|session| Ok(session.frame.source().pack()?))?;
        Ok(true)
    }

    fn start_tls(&mut self, host: &str, trust: &Trust) -> Result<(), ImapError> {
        self.ask_capabilities()?;
        if !self.has("STARTTLS") {
            return Err(ImapError::Plaintext);
        }
        match self.run(vec![text("STARTTLS")], |_| Ok(())) {
            Err(error) if error.is_refusal() => return Err(ImapError::Plaintext),
            ended => drop(ended?),
        }
        self.frame.source().secure(tls::connection(host, trust)?)?;
        self.forget_capabilities();
        Ok(())
    }

    /// Asks what the server offers, unless it has said so by itself.
    fn ask_capabilities(&mut self) -> Result<(), ImapError> {
        if !self.knows_capabilities() {
            self.run(vec![text("CAPABILITY")], |_| Ok(()))?;
        }
        Ok(())
    }

    fn log_in(&mut self, endpoint: &Endpoint, credentials: &Credentials) -> Result<(), ImapError> {
        let mechanism = Mechanism::choose(credentials, |name| self.has(&format!("AUTH={name}")));
        let ended = match (credentials, mechanism) {
            (Credentials::Password { user, password }, None | Some(Mechanism::Login)) if !self.has("LOGINDISABLED") => {
                let command = vec![text("LOGIN "), string(user.as_bytes())?, text(" "), string(password.as_bytes())?];
                self.forget_capabilities();
                self.run(command, |_| Ok(()))
            }
            (_, None) => return Err(ImapError::NoMechanism),
            (_, Some(mechanism)) => {
                let exchange = Exchange::new(mechanism, credentials, &endpoint.host, endpoint.port)?;
                self.authenticate(mechanism, exchange)
            }
        };
        self.frame.source().wipe();
        ended.map(drop).map_err(|error| match error {
            // A server in trouble says so (RFC 5530 §3); any other refusal is about the credentials.
            ImapError::No(Some(Code::Unavailable | Code::Limit | Code::InUse | Code::ServerBug | Code::Throttled)) => {
                error
            }
            ImapError::No(_) => ImapError::Authentication,
            error => error,
        })
    }

    /// RFC 3501 §6.2.2.
    fn authenticate(&mut self, mechanism: Mechanism, mut exchange: Exchange<'_>) -> Result<Reply, ImapError> {
        let initial = self.has("SASL-IR") && exchange.speaks_first();
        self.forget_capabilities();
        let tag = self.tag()?;
        self.write(format!("AUTHENTICATE {}", mechanism.name()).as_bytes())?;
        if initial {
            self.write(b" ")?;
            self.write_base64(&exchange.answer(b"")?)?;
        }
        self.write(b"\r\n")?;
        self.flush()?;
        let mut rounds = 0_u32;
        loop {
            match self.event::<io::Sink>(&mut no_body)? {
                Event::Continue(challenge) => {
                    rounds = rounds.saturating_add(1);
                    if rounds > limit::AUTH_ROUNDS {
                        return Err(ImapError::Limit("rounds of authentication"));
                    }
                    let challenge = base64_simd::STANDARD
                        .decode_to_vec(challenge.trim_ascii())
                        .map_err(|_| ImapError::Protocol("a challenge that is no base64"))?;
                    self.write_base64(&exchange.answer(&challenge)?)?;
                    self.write(b"\r\n")?;
                    self.flush()?;
                }
                Event::Tagged(ended, reply) if ended == tag => {
                    let reply = done(reply)?;
                    exchange.finish()?;
                    return Ok(reply);
                }
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                _ => {}
            }
        }
    }

    fn write_base64(&mut self, octets: &[u8]) -> Result<(), ImapError> {
        let line = Zeroizing::new(base64_simd::STANDARD.encode_to_string(octets));
        self.write(line.as_bytes())
    }

    /// Who we are, and what we would like to be told. A refusal of either changes nothing.
    fn introduce(&mut self) -> Result<(), ImapError> {
        let mut commands = Vec::new();
        if self.has("ID") {
            commands.push(format!("ID (\"name\" \"Sealpost\" \"version\" \"{}\")", env!("CARGO_PKG_VERSION")));
        }
        if self.has("ENABLE") && self.has("CONDSTORE") {
            commands.push("ENABLE CONDSTORE".to_owned());
        }
        self.pipeline::<io::Sink>(&commands, limit::WINDOW, &mut no_body, |_| {}, |_, _| {})
    }
}

/// Resolves the name and connects. Both block for as long as the system likes, so another thread does it: it is left to
/// itself when time is up.
fn dial(endpoint: &Endpoint, most: Duration, stop: &AtomicBool) -> Result<TcpStream, ImapError> {
    let (sender, receiver) = mpsc::channel();
    let host = endpoint.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (port, plain, end) = (endpoint.port, endpoint.security == Security::Plain, deadline(most));
    thread::Builder::new()
        .name("connect".to_owned())
        .spawn(move || drop(sender.send(reach(&host, port, plain, end))))
        .map_err(ImapError::Connect)?;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(ImapError::Stopped);
        }
        match receiver.recv_timeout(STEP.min(end.saturating_duration_since(Instant::now()))) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
            Err(RecvTimeoutError::Timeout) => return Err(ImapError::Connect(io::ErrorKind::TimedOut.into())),
            Err(RecvTimeoutError::Disconnected) => return Err(ImapError::Connect(io::ErrorKind::Other.into())),
        }
    }
}

fn reach(host: &str, port: u16, plain: bool, end: Instant) -> Result<TcpStream, ImapError> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(ImapError::Connect)?.collect();
    if plain && !addresses.iter().all(|address| address.ip().to_canonical().is_loopback()) {
        return Err(ImapError::Plaintext);
    }
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (tried, address) in addresses.iter().enumerate() {
        // What time is left is shared among the addresses that are left, so that a silent one does not take it all.
        let rest = u32::try_from(addresses.len().saturating_sub(tried)).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()).checked_div(rest).unwrap_or_default();
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(ImapError::Connect(last))
}
