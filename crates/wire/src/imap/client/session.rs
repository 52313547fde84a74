//! A session: commands go out with a tag each, responses come in until the tag is back.
//!
//! In: commands. Out: events, and how each command ended. RFC 3501 §2.2, §5.5 (pipelining), RFC 7888 (literals). Never:
//! another word on a connection that is lost; more commands in flight than the window holds, so that the server can
//! always read what we write.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::imap::answer::Fetched;
use crate::imap::client::tidings::Tidings;
use crate::imap::error::{Code, ImapError};
use crate::imap::frame::{Frame, FrameError};
use crate::imap::response::{self, Head, Kind, Reply, Untagged, words};
use crate::limit;
use crate::stream::{Readiness, Stream};

/// An authenticated session.
#[derive(Debug)]
pub struct Session {
    pub(super) frame: Frame<Stream>,
    tag: u32,
    /// In upper case.
    capabilities: BTreeSet<String>,
    pub(super) exists: u32,
    pub(super) selected: bool,
    /// Counts what the server told of changes in the selected mailbox.
    pub(super) changes: u64,
    /// The same one by one, for who asked for it.
    pub(super) tidings: Option<Tidings>,
    /// Untagged responses since the last tagged one.
    untagged: u32,
    lost: bool,
}

/// One response, taken in.
pub(super) enum Event<B> {
    Tagged(u32, Reply),
    Continue(Vec<u8>),
    Fetched(Fetched<B>),
    Status(Reply),
    Untagged(Untagged),
}

/// A piece of a command. It may hold a password.
pub(super) enum Part {
    Text(Zeroizing<String>),
    Literal(Zeroizing<Vec<u8>>),
}

/// How long a session's last words may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

impl Session {
    /// What the server told of the selected mailbox since the last call, or since it was selected. From the first call on it is kept.
    pub fn tidings(&mut self) -> Tidings {
        self.tidings.replace(Tidings::default()).unwrap_or_default()
    }

    /// Whether the server offers this capability: any case, the exact word.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(&capability.to_ascii_uppercase())
    }

    /// Octets that a message may have (RFC 7889), when the server tells it for all mailboxes alike.
    pub fn append_limit(&self) -> Option<u64> {
        self.capabilities.iter().find_map(|capability| capability.strip_prefix("APPENDLIMIT=")?.parse().ok())
    }

    /// How many messages the selected mailbox has, as last told by the server.
    pub fn exists(&self) -> u32 {
        self.exists
    }

    /// NOOP: asks for news.
    pub fn noop(&mut self) -> Result<(), ImapError> {
        self.run(vec![text("NOOP")], |_| Ok(())).map(drop)
    }

    /// Whether the connection still stands, as far as it shows without a word: a server that went, or sent us away, has
    /// closed it. What it has said meanwhile is taken in.
    pub fn still_stands(&mut self) -> bool {
        match self.step(|session| Ok(session.frame.source().glance()?)) {
            Ok(Readiness::Octets) => self.noop().is_ok(),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// Says good-bye: best effort, bounded by 2 s.
    pub fn logout(mut self) {
        if !self.lost {
            // The stop flag may be why we leave: from here on only the clock counts.
            let _ = self.frame.source().last_words(deadline(FAREWELL));
            let _ = self.run(vec![text("LOGOUT")], |_| Ok(()));
        }
        self.frame.source().close();
    }

    pub(super) fn new(stream: Stream) -> Self {
        Self {
            frame: Frame::new(stream),
            tag: 0,
            capabilities: BTreeSet::new(),
            exists: 0,
            selected: false,
            changes: 0,
            tidings: None,
            untagged: 0,
            lost: false,
        }
    }

    /// Takes a step on the connection; after a fault that ends it, no other is taken.
    pub(super) fn step<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, ImapError>) -> Result<T, ImapError> {
        if self.lost {
            return Err(ImapError::Closed);
        }
        let result = step(self);
        self.lost = matches!(&result, Err(error) if error.is_lost());
        result
    }

    /// Gives the connection up.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.frame.source().cut();
    }

    /// Reads what came before the connection was lost, as long as `on` wants more; for a moment at most.
    pub(super) fn last_events(&mut self, mut on: impl FnMut(Event<io::Sink>) -> bool) {
        let _ = self.frame.source().last_words(deadline(FAREWELL));
        while let Ok(event) = self.read(&mut no_body) {
            if self.note(&event).is_err() || !on(event) {
                break;
            }
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// What the server offers is forgotten: it said so over an unprotected connection, or before we logged in.
    pub(super) fn forget_capabilities(&mut self) {
        self.capabilities.clear();
    }

    pub(super) fn knows_capabilities(&self) -> bool {
        !self.capabilities.is_empty()
    }

    pub(super) fn requires(&self, offered: &[&str], what: &'static str) -> Result<(), ImapError> {
        let any = offered.iter().any(|capability| self.has(capability));
        if any { Ok(()) } else { Err(ImapError::Unsupported(what)) }
    }

    /// Whether a literal of this length needs no round trip (RFC 7888).
    pub(super) fn flows(&self, length: u64) -> bool {
        self.has("LITERAL+") || (length <= 4096 && (self.has("LITERAL-") || self.has("IMAP4rev2")))
    }

    /// Begins a command: writes its tag.
    pub(super) fn tag(&mut self) -> Result<u32, ImapError> {
        self.tag = self.tag.checked_add(1).ok_or(ImapError::Limit("commands of a session"))?;
        let tag = self.tag;
        self.write(format!("{}{tag} ", response::TAG).as_bytes())?;
        Ok(tag)
    }

    /// Writes octets; they leave with the next flush.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), ImapError> {
        self.step(|session| Ok(session.frame.source().write_all(octets)?))
    }

    pub(super) fn flush(&mut self) -> Result<(), ImapError> {
        self.step(|session| Ok(session.frame.source().flush()?))
    }

    /// Reads one response, and keeps what is to be known of the mailbox and the server.
    pub(super) fn event<B: Write>(
        &mut self,
        body: &mut dyn FnMut(u64) -> io::Result<B>,
    ) -> Result<Event<B>, ImapError> {
        self.step(|session| {
            let event = session.read(body)?;
            session.note(&event)?;
            Ok(event)
        })
    }

    /// Reads events up to the end of one command, which is the only one under way.
    pub(super) fn run(
        &mut self,
        parts: Vec<Part>,
        mut on: impl FnMut(Event<io::Sink>) -> Result<(), ImapError>,
    ) -> Result<Reply, ImapError> {
        let tag = self.tag()?;
        for part in parts {
            match part {
                Part::Text(text) => self.write(text.as_bytes())?,
                Part::Literal(octets) => {
                    if let Some(refusal) = self.announce(tag, octets.len() as u64, &mut on)? {
                        return Err(refusal);
                    }
                    self.write(&octets)?;
                }
            }
        }
        self.write(b"\r\n")?;
        self.flush()?;
        loop {
            match self.event(&mut no_body)? {
                Event::Tagged(ended, reply) if ended == tag => return done(reply),
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                event => on(event).inspect_err(|error| self.lost |= error.is_lost())?,
            }
        }
    }

    /// Sends many commands, each a line without literals; as many at a time as `window` lets. `ended` is told how each
    /// ended, by its number.
    pub(super) fn pipeline<B: Write>(
        &mut self,
        commands: &[String],
        window: usize,
        body: &mut dyn FnMut(u64) -> io::Result<B>,
        mut on: impl FnMut(Event<B>),
        mut ended: impl FnMut(usize, Reply),
    ) -> Result<(), ImapError> {
        let mut commands = commands.iter().enumerate().peekable();
        let mut flying: VecDeque<(u32, usize, usize)> = VecDeque::new();
        let mut octets = 0_usize;
        loop {
            // Half the window is answered before it is filled again: many small commands leave in one piece.
            let refill = flying.len() <= window / 2;
            while let Some((number, command)) = commands.next_if(|(_, command)| {
                flying.is_empty()
                    || (refill && flying.len() < window && octets.saturating_add(command.len()) <= limit::WINDOW_OCTETS)
            }) {
                let tag = self.tag()?;
                self.write(command.as_bytes())?;
                self.write(b"\r\n")?;
                octets = octets.saturating_add(command.len());
                flying.push_back((tag, number, command.len()));
            }
            if flying.is_empty() {
                return Ok(());
            }
            self.flush()?;
            match self.event(body)? {
                Event::Tagged(tag, reply) => {
                    let at = flying.iter().position(|(flying, _, _)| *flying == tag);
                    let Some((_, number, length)) = at.and_then(|at| flying.remove(at)) else {
                        return self.protocol("an answer to nothing");
                    };
                    octets = octets.saturating_sub(length);
                    ended(number, reply);
                }
                event => on(event),
            }
        }
    }

    /// Announces a literal and waits for the server's leave where that is needed. `Some`: refused.
    pub(super) fn announce(
        &mut self,
        tag: u32,
        length: u64,
        on: &mut impl FnMut(Event<io::Sink>) -> Result<(), ImapError>,
    ) -> Result<Option<ImapError>, ImapError> {
        if self.flows(length) {
            self.write(format!("{{{length}+}}\r\n").as_bytes())?;
            return Ok(None);
        }
        self.write(format!("{{{length}}}\r\n").as_bytes())?;
        self.flush()?;
        loop {
            match self.event(&mut no_body)? {
                Event::Continue(_) => return Ok(None),
                Event::Tagged(ended, reply) if ended == tag => {
                    return match done(reply) {
                        Err(refusal) => Ok(Some(refusal)),
                        Ok(_) => self.protocol("a command done before it was sent"),
                    };
                }
                event => on(event).inspect_err(|error| self.lost |= error.is_lost())?,
            }
        }
    }

    /// The server broke the rules: the end.
    pub(super) fn protocol<T>(&mut self, what: &'static str) -> Result<T, ImapError> {
        self.step(|_| Err(ImapError::Protocol(what)))
    }

    fn read<B: Write>(&mut self, body: &mut dyn FnMut(u64) -> io::Result<B>) -> Result<Event<B>, FrameError> {
        Ok(match response::head(&mut self.frame)? {
            Head::Continue(text) => Event::Continue(text),
            Head::Tagged(tag, reply) => Event::Tagged(tag, reply),
            Head::Status(reply) => Event::Status(reply),
            Head::Untagged(untagged) => Event::Untagged(untagged),
            Head::Fetch(number) => {
                self.changes = self.changes.wrapping_add(1);
                let fetched = response::fetched(&mut self.frame, body)?;
                if let (Some(tidings), Some(flags)) = (&mut self.tidings, &fetched.flags) {
                    tidings.flags(number, flags, fetched.modseq);
                }
                match fetched.uid {
                    0 => Event::Untagged(Untagged::Other),
                    _ => Event::Fetched(Fetched { number, ..fetched }),
                }
            }
        })
    }

    fn note<B>(&mut self, event: &Event<B>) -> Result<(), ImapError> {
        self.untagged = if matches!(event, Event::Tagged(..)) { 0 } else { self.untagged.saturating_add(1) };
        if self.untagged > limit::UNTAGGED {
            return Err(ImapError::Limit("responses to one command"));
        }
        let told = self.changes;
        match event {
            Event::Tagged(_, reply) | Event::Status(reply) => {
                if let Some(offered) = reply.code("CAPABILITY") {
                    self.learn(&words(offered))?;
                }
                if reply.kind == Kind::Bye {
                    return Err(ImapError::Closed);
                }
            }
            Event::Untagged(Untagged::Capability(offered)) => self.learn(offered)?,
            Event::Untagged(Untagged::Exists(exists)) => {
                self.exists = *exists;
                self.changes = told.wrapping_add(1);
            }
            Event::Untagged(Untagged::Expunge(number)) => {
                if let Some(tidings) = &mut self.tidings {
                    tidings.gone(*number);
                }
                self.exists = self.exists.saturating_sub(1);
                self.changes = told.wrapping_add(1);
            }
            Event::Untagged(Untagged::Vanished(gone)) => {
                if let Some(tidings) = &mut self.tidings {
                    tidings.lose_count();
                }
                self.exists = self.exists.saturating_sub(u32::try_from(*gone).unwrap_or(u32::MAX));
                self.changes = told.wrapping_add(1);
            }
            _ => {}
        }
        Ok(())
    }

    fn learn(&mut self, offered: &[String]) -> Result<(), ImapError> {
        if offered.len() > limit::CAPABILITIES {
            return Err(ImapError::Limit("capabilities of a server"));
        }
        self.capabilities = offered.iter().map(|capability| capability.to_ascii_uppercase()).collect();
        Ok(())
    }
}

/// How a command ended, as a result.
pub(super) fn done(reply: Reply) -> Result<Reply, ImapError> {
    match reply.kind {
        Kind::Ok => Ok(reply),
        Kind::No => Err(ImapError::No(reply.code.map(|(name, _)| Code::of(&name)))),
        _ => Err(ImapError::Bad),
    }
}

/// Where no whole message was asked for, none is taken.
pub(super) fn no_body<B>(_: u64) -> io::Result<B> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn text(text: impl Into<String>) -> Part {
    Part::Text(Zeroizing::new(text.into()))
}

/// A string: quoted, or a literal where it has more than printable ASCII (RFC 3501 §4.3).
pub(super) fn string(octets: &[u8]) -> Result<Part, ImapError> {
    if octets.contains(&0) {
        return Err(ImapError::Unsupported("a NUL in a command"));
    }
    if octets.len() > 1000 || !octets.iter().all(|octet| (b' '..=b'~').contains(octet)) {
        return Ok(Part::Literal(Zeroizing::new(octets.to_vec())));
    }
    let text = std::str::from_utf8(octets).unwrap_or_default();
    Ok(Part::Text(Zeroizing::new(quoted(text))))
}

/// A quoted string. Built in one piece of memory, so that no part of a password is left behind by growing.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_mul(2).saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Refuses what would end a command line, or begin a literal, in the middle of it.
pub(super) fn on_one_line(text: &str) -> Result<&str, ImapError> {
    if text.ends_with('}') || !text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
        return Err(ImapError::Unsupported("a command with what is not printable ASCII"));
    }
    Ok(text)
}

pub(super) fn deadline(from_now: Duration) -> Instant {
    let now = Instant::now();
    // A time that no clock can tell is a year from now.
    now.checked_add(from_now).unwrap_or_else(|| now + Duration::from_secs(365 * 86_400))
}
