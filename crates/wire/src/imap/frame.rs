//! One response after the other, read as a stream.
//!
//! In: octets of a server. Out: words, values, literals, in the order in which they stand. RFC 3501 §2.2.2, §4, §9; RFC
//! 3516 §4.1 (`literal8`). Whoever reads decides what a literal becomes: a value held in memory, or a stream. Never: a
//! guess where a response ends; more in memory than `limit.rs` allows.

use std::io::{self, BufRead, Write};

use memchr::memchr;
use thiserror::Error;

use super::value::{self, Value};
use crate::limit;

/// Why a response cannot be read. The connection is of no more use.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Limit(&'static str),
}

/// What became of a literal that was to be written elsewhere.
pub(crate) type Written = io::Result<()>;

/// Reads responses from a server.
#[derive(Debug)]
pub(crate) struct Frame<R> {
    source: R,
    /// The line under way: from the last line end or literal to the next line end, without that.
    line: Vec<u8>,
    at: usize,
    /// Octets of the earlier lines of this response.
    earlier: usize,
    /// Octets of literals of this response that were held in memory.
    held: u64,
    /// List items of this response.
    items: usize,
}

impl<R> Frame<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, line: Vec::new(), at: 0, earlier: 0, held: 0, items: 0 }
    }

    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// The next octet of the line; none at its end.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    /// Steps over an octet, if it is this one.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        if there {
            self.at = self.at.saturating_add(1);
        }
        there
    }

    /// Steps over spaces. quirk: DavMail and others write two where one should be.
    pub(crate) fn spaces(&mut self) {
        while self.eat(b' ') {}
    }

    /// What is left of the line, and steps over it.
    pub(crate) fn rest(&mut self) -> &[u8] {
        let from = std::mem::replace(&mut self.at, self.line.len());
        self.line.get(from..).unwrap_or_default()
    }

    /// Up to the next space, parenthesis or line end. May be empty.
    pub(crate) fn word(&mut self) -> &[u8] {
        let from = self.at;
        let rest = self.line.get(from..).unwrap_or_default();
        let length = rest.iter().position(|octet| matches!(octet, b' ' | b'(' | b')')).unwrap_or(rest.len());
        self.at = from.saturating_add(length);
        rest.get(..length).unwrap_or_default()
    }

    /// A word that goes on over spaces and parentheses while a bracket is open: `BODY[HEADER.FIELDS (TO)]<0>`.
    pub(crate) fn bracketed_word(&mut self) -> &[u8] {
        let from = self.at;
        let rest = self.line.get(from..).unwrap_or_default();
        let mut open = false;
        let length = rest.iter().position(|octet| match octet {
            b'[' => {
                open = true;
                false
            }
            b']' => {
                open = false;
                false
            }
            b' ' | b'(' | b')' => !open,
            _ => false,
        });
        let length = length.unwrap_or(rest.len());
        self.at = from.saturating_add(length);
        rest.get(..length).unwrap_or_default()
    }
}

impl<R: BufRead> Frame<R> {
    /// Begins the next response; what is left of the last one's line is left behind.
    pub(crate) fn start(&mut self) -> Result<(), FrameError> {
        self.line.clear();
        (self.at, self.earlier, self.held, self.items) = (0, 0, 0, 0);
        self.load()
    }

    /// Reads a value, its literals held in memory.
    pub(crate) fn value(&mut self) -> Result<Value, FrameError> {
        self.nested(0)
    }

    /// If a literal stands here, how many octets it has. It is to be read next.
    pub(crate) fn literal(&mut self) -> Result<Option<u64>, FrameError> {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let Some(rest) = rest.strip_prefix(b"~").unwrap_or(rest).strip_prefix(b"{") else { return Ok(None) };
        let digits = rest.strip_suffix(b"}").ok_or(FrameError::Protocol("a literal without its end of line"))?;
        let digits = digits.strip_suffix(b"+").unwrap_or(digits);
        let length = Some(digits).filter(|digits| !digits.is_empty()).and_then(value::number);
        length.map(Some).ok_or(FrameError::Protocol("a literal without a length"))
    }

    /// Reads the literal of [`Frame::literal`] and writes it to `sink`. When that fails, the rest is read and thrown
    /// away: the response goes on behind it.
    pub(crate) fn stream(&mut self, length: u64, sink: Option<&mut dyn Write>) -> Result<Written, FrameError> {
        if length > limit::BODY {
            return Err(FrameError::Limit("octets of a message"));
        }
        let (mut sink, mut written) = (sink, Ok(()));
        let mut left = length;
        while left > 0 {
            let octets = fill(&mut self.source)?;
            let taken = octets.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let octets = octets.get(..taken).unwrap_or_default();
            if let (Some(sink), Ok(())) = (&mut sink, &written) {
                written = sink.write_all(octets);
            }
            self.source.consume(taken);
            left = left.saturating_sub(taken as u64);
        }
        self.go_on()?;
        Ok(written)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, FrameError> {
        self.items = self.items.saturating_add(1);
        if self.items > limit::LIST_ITEMS {
            return Err(FrameError::Limit("items of a list"));
        }
        match self.peek() {
            Some(b'(') => self.list(depth),
            Some(b'"') => Ok(Value::Text(self.quoted()?)),
            Some(b'{' | b'~') => match self.literal()? {
                Some(length) => Ok(Value::Text(self.held(length)?)),
                None => Ok(self.atom()),
            },
            None | Some(b')') => Err(FrameError::Protocol("a value is missing")),
            Some(_) => Ok(self.atom()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, FrameError> {
        if depth >= limit::NESTING {
            return Err(FrameError::Limit("nested lists"));
        }
        self.eat(b'(');
        let mut values = Vec::new();
        loop {
            self.spaces();
            if self.eat(b')') {
                return Ok(Value::List(values));
            }
            values.push(self.nested(depth.saturating_add(1))?);
        }
    }

    fn atom(&mut self) -> Value {
        let word = self.word();
        if word.eq_ignore_ascii_case(b"NIL") { Value::Nil } else { Value::Atom(word.to_vec()) }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, FrameError> {
        self.eat(b'"');
        let mut text = Vec::new();
        let mut rest = self.line.get(self.at..).unwrap_or_default().iter();
        loop {
            match rest.next() {
                Some(b'"') => break,
                Some(b'\\') => text.extend(rest.next()),
                Some(octet) => text.push(*octet),
                None => return Err(FrameError::Protocol("a quoted string without its end")),
            }
        }
        self.at = self.line.len().saturating_sub(rest.len());
        Ok(text)
    }

    /// Reads a literal into memory.
    fn held(&mut self, length: u64) -> Result<Vec<u8>, FrameError> {
        self.held = self.held.saturating_add(length);
        if length > limit::HELD_LITERAL || self.held > limit::HELD_RESPONSE {
            return Err(FrameError::Limit("octets of a literal"));
        }
        // Memory grows with what comes, not with what is announced.
        let mut octets = Vec::new();
        match self.stream(length, Some(&mut octets))? {
            Ok(()) => Ok(octets),
            Err(error) => Err(FrameError::Io(error)),
        }
    }

    /// Behind a literal: the response goes on with another line.
    fn go_on(&mut self) -> Result<(), FrameError> {
        self.earlier = self.earlier.saturating_add(self.line.len());
        self.line.clear();
        self.at = 0;
        self.load()
    }

    fn load(&mut self) -> Result<(), FrameError> {
        loop {
            let octets = fill(&mut self.source)?;
            let end = memchr(b'\n', octets);
            let taken = octets.get(..end.unwrap_or(octets.len())).unwrap_or_default();
            self.line.extend_from_slice(taken);
            let consumed = taken.len().saturating_add(usize::from(end.is_some()));
            self.source.consume(consumed);
            if self.line.len().saturating_add(self.earlier) > self.most() {
                return Err(FrameError::Limit("octets of a response"));
            }
            if end.is_some() {
                break;
            }
        }
        // quirk: a line feed alone ends a line, too; servers behind rewriting proxies send it.
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(())
    }

    fn most(&self) -> usize {
        const SEARCH: &[u8] = b"* SEARCH";
        let head = self.line.get(..SEARCH.len()).unwrap_or_default();
        if head.eq_ignore_ascii_case(SEARCH) { limit::SEARCH_LINE } else { limit::LINE }
    }
}

fn fill<R: BufRead>(source: &mut R) -> Result<&[u8], FrameError> {
    // Twice the call for once the borrow: the first may wait, the second finds what is there.
    if source.fill_buf()?.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(source.fill_buf()?)
}
