//! A connection's octets, plain or within TLS, deflated or not.
//!
//! In: a connected socket, octets to send. Out: octets received, as [`BufRead`]. Waits in short steps, so that a stop
//! flag is seen; counts the time without an octet. A write that finds no room reads aside meanwhile, so that two sides
//! that both write never wait for each other. Never: an octet sent before [`Stream::flush`], except when much waits.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::{CertificateError, ClientConnection};
use thiserror::Error;
use zeroize::Zeroize;

use crate::deflate::{Deflate, Inflate};
use crate::limit;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For names to be resolved and a connection to be made.
    pub connect: Duration,
    /// For the next octet, or for room to send one.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), response: Duration::from_secs(120) }
    }
}

/// One step of waiting.
pub(crate) const STEP: Duration = Duration::from_millis(200);

/// What a stream's `io::Error` holds when it is no fault of the operating system.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum Fault {
    #[error("closed")]
    Closed,
    #[error("timed out")]
    TimedOut,
    #[error("stopped")]
    Stopped,
    #[error("{0}")]
    Tls(&'static str),
    #[error("{0}")]
    Certificate(&'static str),
    #[error("{0}")]
    Limit(&'static str),
    #[error("octets that are not deflated as they should be")]
    Deflate,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        io::Error::other(fault)
    }
}

/// Whether something can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Octets,
    Nothing,
    Stopped,
}

/// See the file's head.
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    stop: Arc<AtomicBool>,
    patience: Duration,
    /// When everything ends, whatever comes.
    deadline: Option<Instant>,
    /// Octets as the socket gave them.
    raw: Vec<u8>,
    /// Octets received, and how many of them are consumed.
    received: Vec<u8>,
    consumed: usize,
    /// Octets to send.
    waiting: Vec<u8>,
    packing: Option<Box<Packing>>,
}

/// Octets deflated both ways (RFC 4978).
struct Packing {
    inflate: Inflate,
    deflate: Deflate,
}

/// Octets of one read from the socket, and of waiting octets before they are sent unasked.
const CHUNK: usize = 64 << 10;

impl Stream {
    pub(crate) fn new(socket: TcpStream, patience: Duration, stop: Arc<AtomicBool>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(STEP))?;
        socket.set_write_timeout(Some(STEP))?;
        Ok(Self {
            socket,
            tls: None,
            stop,
            patience,
            deadline: None,
            raw: vec![0; CHUNK],
            received: Vec::new(),
            consumed: 0,
            // Room for a login, so that growing leaves no copy of it behind.
            waiting: Vec::with_capacity(2 * limit::AUTH_LINE),
            packing: None,
        })
    }

    /// From now on nothing may come for so long.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Puts TLS over the connection, and shakes hands. Nothing may have been received that was not consumed: it would
    /// have come unprotected.
    pub(crate) fn secure(&mut self, tls: ClientConnection) -> io::Result<()> {
        self.flush()?;
        if self.consumed < self.received.len() {
            return Err(Fault::Tls("octets came before the handshake").into());
        }
        self.tls = Some(Box::new(tls));
        self.flush_tls()?;
        let mut since = Instant::now();
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.pull(&mut since)?;
        }
        self.flush_tls()
    }

    /// From now on all is deflated; so is what was received and not consumed.
    pub(crate) fn pack(&mut self) -> io::Result<()> {
        self.flush()?;
        let mut inflate = Inflate::new();
        inflate.feed(self.received.get(self.consumed..).unwrap_or_default());
        self.received.clear();
        self.consumed = 0;
        self.packing = Some(Box::new(Packing { inflate, deflate: Deflate::new() }));
        Ok(())
    }

    /// Unpacks a piece of what was received, where all that was unpacked before is consumed. Whether there is something to consume.
    fn unpack(&mut self) -> io::Result<bool> {
        if self.consumed < self.received.len() {
            return Ok(true);
        }
        let Some(packing) = &mut self.packing else { return Ok(false) };
        self.received.resize(CHUNK, 0);
        self.consumed = 0;
        let made = packing.inflate.give(&mut self.received);
        self.received.truncate(*made.as_ref().unwrap_or(&0));
        made.map(|made| made > 0).map_err(|_| Fault::Deflate.into())
    }

    /// Waits until something can be read, until `until` at most.
    pub(crate) fn readable(&mut self, until: Instant) -> io::Result<Readiness> {
        let mut idle = Instant::now();
        while !self.unpack()? {
            if self.stopped() {
                return Ok(Readiness::Stopped);
            }
            if Instant::now() >= until {
                return Ok(Readiness::Nothing);
            }
            // This wait has its own end: the time without an octet does not count.
            self.pull_once(&mut idle)?;
        }
        Ok(Readiness::Octets)
    }

    /// Whether something can be read now; that the other side has closed is an error. Waits for nothing.
    pub(crate) fn glance(&mut self) -> io::Result<Readiness> {
        if self.unpack()? {
            return Ok(Readiness::Octets);
        }
        self.read_aside()?;
        Ok(if self.unpack()? { Readiness::Octets } else { Readiness::Nothing })
    }

    /// Puts the caller's stop flag aside, and ends everything at `deadline`: for the last words of a session.
    pub(crate) fn last_words(&mut self, deadline: Instant) -> Arc<AtomicBool> {
        self.deadline = Some(deadline);
        std::mem::take(&mut self.stop)
    }

    /// Takes [`Stream::last_words`] back.
    pub(crate) fn resume(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
        self.deadline = None;
    }

    /// Overwrites what was sent: a password was in it.
    pub(crate) fn wipe(&mut self) {
        self.waiting.zeroize();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells the other side that no more will come.
    pub(crate) fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let _ = self.flush_tls();
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Cuts the connection without a word, so that nothing half-sent is taken for whole.
    pub(crate) fn cut(&mut self) {
        self.waiting.clear();
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Waits for octets and takes them in.
    fn pull(&mut self, since: &mut Instant) -> io::Result<()> {
        if self.stopped() {
            return Err(Fault::Stopped.into());
        }
        if since.elapsed() >= self.patience {
            return Err(Fault::TimedOut.into());
        }
        self.pull_once(since)
    }

    /// Reads from the socket once.
    fn pull_once(&mut self, since: &mut Instant) -> io::Result<()> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Fault::TimedOut.into());
        }
        let length = match self.socket.read(&mut self.raw) {
            Ok(0) => return Err(Fault::Closed.into()),
            Ok(length) => length,
            Err(error) if nothing_yet(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        *since = Instant::now();
        self.take_in(length)?;
        // Key updates and the like are answered (RFC 8446 §4.6.3).
        self.flush_tls()
    }

    /// Makes received octets of the first `length` raw ones. Sends nothing: it may be called while something is sent.
    fn take_in(&mut self, length: usize) -> io::Result<()> {
        self.received.drain(..self.consumed);
        self.consumed = 0;
        let mut raw = self.raw.get(..length).unwrap_or_default();
        let Some(tls) = &mut self.tls else {
            match &mut self.packing {
                Some(packing) => packing.inflate.feed(raw),
                None => self.received.extend_from_slice(raw),
            }
            return Ok(());
        };
        while !raw.is_empty() {
            // Nothing is taken after close_notify (RFC 8446 §6.1): what follows it is not the server's.
            if tls.read_tls(&mut raw)? == 0 {
                break;
            }
            let state = match tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert tells the other side why; whether it arrives does not matter.
                    let _ = tls.write_tls(&mut self.socket);
                    return Err(fault(&error).into());
                }
            };
            let new = state.plaintext_bytes_to_read();
            if let Some(packing) = &mut self.packing {
                let mut fresh = vec![0; new];
                tls.reader().read_exact(&mut fresh)?;
                packing.inflate.feed(&fresh);
            } else {
                let held = self.received.len();
                self.received.resize(held.saturating_add(new), 0);
                tls.reader().read_exact(self.received.get_mut(held..).unwrap_or_default())?;
            }
            let is_packed = self.packing.as_ref().is_some_and(|packing| packing.inflate.waiting() > 0);
            if state.peer_has_closed() && self.received.is_empty() && !is_packed {
                return Err(Fault::Closed.into());
            }
        }
        Ok(())
    }

    /// Sends what waits, through TLS or not.
    fn send(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let packed = match &mut self.packing {
            Some(packing) if !waiting.is_empty() => {
                let mut packed = packing.deflate.pack(&waiting)?.to_vec();
                packed.extend_from_slice(packing.deflate.finish_piece()?);
                Some(packed)
            }
            _ => None,
        };
        let mut rest = packed.as_deref().unwrap_or(&waiting);
        while !rest.is_empty() {
            if let Some(tls) = &mut self.tls {
                let taken = tls.writer().write(rest)?;
                rest = rest.get(taken..).unwrap_or_default();
                self.flush_tls()?;
            } else {
                let sent = self.push(|socket, _| socket.write(rest))?;
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
        // Its room is kept.
        self.waiting = waiting;
        self.waiting.clear();
        Ok(())
    }

    fn flush_tls(&mut self) -> io::Result<()> {
        while self.tls.as_ref().is_some_and(|tls| tls.wants_write()) {
            self.push(|socket, tls| tls.map_or(Ok(1), |tls| tls.write_tls(socket)))?;
        }
        Ok(())
    }

    /// Writes once, however long it takes to find room.
    fn push(
        &mut self,
        mut write: impl FnMut(&mut TcpStream, Option<&mut ClientConnection>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            match write(&mut self.socket, self.tls.as_deref_mut()) {
                Ok(0) => return Err(Fault::Closed.into()),
                Ok(sent) => return Ok(sent),
                Err(error) if nothing_yet(&error) => {}
                Err(error) => return Err(error),
            }
            if self.stopped() {
                return Err(Fault::Stopped.into());
            }
            if since.elapsed() >= self.patience || self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Fault::TimedOut.into());
            }
            self.read_aside()?;
        }
    }

    /// Takes in what the other side has sent already: it may have no room until then, and wait for us.
    fn read_aside(&mut self) -> io::Result<()> {
        // Within TLS a handshake answers by itself; reading it here would call back into writing.
        if self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            return Ok(());
        }
        loop {
            let packed = self.packing.as_ref().map_or(0, |packing| packing.inflate.waiting());
            if self.received.len().saturating_sub(self.consumed).saturating_add(packed) >= limit::READ_ASIDE {
                return Err(Fault::Limit("octets received while sending").into());
            }
            self.socket.set_nonblocking(true)?;
            let read = self.socket.read(&mut self.raw);
            self.socket.set_nonblocking(false)?;
            match read {
                Ok(0) => return Err(Fault::Closed.into()),
                Ok(length) => self.take_in(length)?,
                Err(error) if nothing_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let octets = self.fill_buf()?;
        let length = octets.len().min(into.len());
        if let (Some(into), Some(octets)) = (into.get_mut(..length), octets.get(..length)) {
            into.copy_from_slice(octets);
        }
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Stream {
    /// Never empty: the end is [`Fault::Closed`].
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let mut since = Instant::now();
        while !self.unpack()? {
            self.pull(&mut since)?;
        }
        Ok(self.received.get(self.consumed..).unwrap_or_default())
    }

    fn consume(&mut self, octets: usize) {
        self.consumed = self.consumed.saturating_add(octets).min(self.received.len());
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(octets);
        if self.waiting.len() >= CHUNK {
            self.send()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

fn nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// TLS faults in our own words: rustls' own name the hosts that a certificate is for.
fn fault(error: &rustls::Error) -> Fault {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return Fault::Tls(match error {
            rustls::Error::AlertReceived(_) => "the server broke the handshake off",
            rustls::Error::PeerIncompatible(_) => "no version or cipher in common",
            rustls::Error::InvalidMessage(_) => "the server does not speak TLS here, or wrongly",
            rustls::Error::NoCertificatesPresented => "the server showed no certificate",
            rustls::Error::DecryptError => "a record is damaged",
            _ => "the server broke the rules of TLS",
        });
    };
    use CertificateError as E;
    Fault::Certificate(match certificate {
        E::BadSignature => "it bears a false signature of its issuer",
        E::UnknownIssuer => "its issuer is not known",
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another host",
        E::Expired | E::ExpiredContext { .. } => "it has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet",
        E::Revoked => "it was revoked",
        E::ApplicationVerificationFailure => "it is not the pinned one",
        _ => "it is not a proper server certificate",
    })
}
