//! Lines and octets of a session, in both directions.
//!
//! In: a stream. Out: lines up to a limit, counted octets, written replies. Holds almost nothing while it waits: thousands of sessions wait at
//! once. Never waits longer than it was told to.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::smtp::duplex::Duplex;

/// Octets read at a time while a command is waited for.
pub(crate) const SMALL: usize = 1024;
/// Octets read at a time while a message comes.
pub(crate) const LARGE: usize = 32 * 1024;
/// Octets that are gathered before they are sent unasked.
const PENDING: usize = 16 * 1024;

/// Why a line, or an octet, did not come.
#[derive(Debug)]
pub(crate) enum Gone {
    /// The other side has ended the connection.
    Closed,
    /// Nothing came in time.
    TimedOut,
    /// The line is longer than it may be.
    TooLong,
    /// The line ends in LF alone, or holds a CR.
    BareLineEnd,
    /// The connection broke.
    Io(io::Error),
}

pub(crate) struct Lines {
    /// Absent only while TLS is begun.
    stream: Option<Box<dyn Duplex>>,
    input: Vec<u8>,
    /// Octets of `input` that were taken already.
    taken: usize,
    output: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(stream: Box<dyn Duplex>) -> Lines {
        Lines { stream: Some(stream), input: Vec::new(), taken: 0, output: Vec::new() }
    }

    /// Takes the stream out, to be wrapped; whoever does so puts another one in.
    pub(crate) fn take_stream(&mut self) -> Option<Box<dyn Duplex>> {
        self.stream.take()
    }

    fn stream(&mut self) -> io::Result<&mut Box<dyn Duplex>> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Is there anything that was not asked for yet?
    pub(crate) fn has_more(&self) -> bool {
        self.taken < self.input.len()
    }

    /// What has been read and not taken.
    pub(crate) fn ahead(&self) -> &[u8] {
        self.input.get(self.taken..).unwrap_or_default()
    }

    /// Takes so many of [`ahead`](Lines::ahead).
    pub(crate) fn take(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count).min(self.input.len());
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
    }

    /// Has the next line come, as a whole?
    pub(crate) fn has_line(&self) -> bool {
        memchr(b'\n', self.ahead()).is_some()
    }

    /// The next line, without its CRLF. May be dropped while it waits: nothing is lost then.
    pub(crate) async fn line(&mut self, longest: usize, patience: Duration) -> Result<Vec<u8>, Gone> {
        let until = Instant::now() + patience;
        let mut searched = 0;
        loop {
            let ahead = self.ahead();
            if let Some(at) = ahead.get(searched..).and_then(|rest| memchr(b'\n', rest)) {
                let end = searched.saturating_add(at);
                if end > longest {
                    return Err(Gone::TooLong);
                }
                let line = ahead.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").filter(|line| memchr(b'\r', line).is_none());
                let line = line.ok_or(Gone::BareLineEnd).map(<[u8]>::to_vec);
                self.take(end.saturating_add(1));
                return line;
            }
            searched = ahead.len();
            if searched > longest {
                return Err(Gone::TooLong);
            }
            if !self.has_more() {
                self.let_go();
            }
            self.fill(SMALL, until).await?;
        }
    }

    /// A session that waits keeps no room for a message. To be called when nothing is [`ahead`](Lines::ahead).
    pub(crate) fn let_go(&mut self) {
        self.input = Vec::new();
        self.taken = 0;
    }

    /// Reads more, about `room` octets. May be dropped while it waits.
    pub(crate) async fn fill(&mut self, room: usize, until: Instant) -> Result<(), Gone> {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        self.input.reserve(room);
        let Some(stream) = self.stream.as_mut() else { return Err(Gone::Closed) };
        match timeout_at(until, stream.read_buf(&mut self.input)).await {
            Err(_) => Err(Gone::TimedOut),
            Ok(Err(error)) => Err(Gone::Io(error)),
            Ok(Ok(0)) => Err(Gone::Closed),
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// Is the connection open, and has the other side said nothing that was not read, as far as can be seen? Takes an octet if not.
    pub(crate) async fn is_silent(&mut self) -> bool {
        if self.has_more() {
            return false;
        }
        // So that the runtime looks at its sockets.
        tokio::task::yield_now().await;
        let Some(stream) = self.stream.as_mut() else { return false };
        let mut octet = [0];
        let mut read = ReadBuf::new(&mut octet);
        poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut read).is_pending())).await
    }

    /// Gathers octets to be sent.
    pub(crate) async fn put(&mut self, octets: &[u8], patience: Duration) -> Result<(), Gone> {
        self.output.extend_from_slice(octets);
        if self.output.len() >= PENDING { self.flush(patience).await } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub(crate) async fn flush(&mut self, patience: Duration) -> Result<(), Gone> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.send(&output, patience).await
    }

    /// Sends at once.
    pub(crate) async fn send(&mut self, octets: &[u8], patience: Duration) -> Result<(), Gone> {
        let until = Instant::now() + patience;
        let sent = async {
            let stream = self.stream()?;
            stream.write_all(octets).await?;
            stream.flush().await
        };
        match timeout_at(until, sent).await {
            Err(_) => Err(Gone::TimedOut),
            Ok(Err(error)) => Err(Gone::Io(error)),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Ends the connection in order, as far as the other side lets us.
    pub(crate) async fn close(mut self, patience: Duration) {
        let _ = self.flush(patience).await;
        if let Ok(stream) = self.stream() {
            let _ = timeout_at(Instant::now() + patience, stream.shutdown()).await;
        }
    }
}
