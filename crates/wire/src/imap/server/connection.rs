//! One connection of a mail program: commands gathered with their literals (RFC 3501 §7.5, RFC 7888), answers written.
//!
//! In: a stream whose reads may time out. Out: whole commands; the message of an APPEND as a stream. Whoever calls is told of each time-out,
//! and may look at other things meanwhile. Never holds more than `limit.rs` allows; never keeps a command that may hold a password.

use std::io::{self, ErrorKind, Read, Write};

use zeroize::{Zeroize, Zeroizing};

use super::command::{AppendOrder, Closing, Command};
use super::cursor::Names;
use super::limit::{MAX_APPEND, MAX_BAD, MAX_COMMAND, MAX_LINE};
use super::parse::{Parsed, parse, parse_append};

/// A connection.
pub struct Connection<R, W> {
    source: R,
    sink: W,
    /// Read and not yet used.
    ahead: Zeroizing<Vec<u8>>,
    /// The command so far, literals in their places.
    gathered: Zeroizing<Vec<u8>>,
    /// Octets of a literal that are to come.
    literal: usize,
    bad: u32,
    names: Names,
}

/// What a mail program has sent.
pub enum Incoming {
    /// A command with its tag.
    Command(String, Command),
    /// An APPEND with its tag: call [`Connection::message`] for its message, or [`Connection::decline`].
    Append(String, AppendOrder, Literal),
    /// What cannot be read; the tag if it had one, and why.
    Bad(Option<String>, &'static str),
    /// Nothing yet.
    Nothing,
    /// The client has closed the connection.
    Closed,
    /// It cannot be followed any longer.
    Gone,
}

/// Whether a literal's octets wait for our word (RFC 7888).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// They do.
    Waits,
    /// They are on their way.
    Comes,
}

/// Octets read at a time.
const STEP: usize = 16 << 10;

impl<R: Read, W: Write> Connection<R, W> {
    /// A connection over a stream.
    pub fn new(source: R, sink: W) -> Self {
        let (ahead, gathered) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        Self { source, sink, ahead, gathered, literal: 0, bad: 0, names: Names::Utf7 }
    }

    /// What comes next. After a time-out of the stream: [`Incoming::Nothing`]; the next call goes on.
    pub fn incoming(&mut self) -> io::Result<Incoming> {
        loop {
            if self.literal > 0 {
                let count = self.literal.min(self.ahead.len());
                self.gathered.extend(self.ahead.drain(..count));
                self.literal -= count;
                if self.literal > 0 {
                    match self.fill()? {
                        Filled::More => continue,
                        Filled::Later => return Ok(Incoming::Nothing),
                        Filled::Gone => return Ok(Incoming::Closed),
                    }
                }
            }
            let Some(line) = (match self.take_line()? {
                Line::Whole(line) => Some(line),
                Line::Later => return Ok(Incoming::Nothing),
                Line::Gone => return Ok(Incoming::Closed),
                Line::TooLong => None,
            }) else {
                self.gathered.zeroize();
                return Ok(Incoming::Gone);
            };
            self.gathered.extend_from_slice(&line);
            match literal_at_end(&line) {
                None => return Ok(self.whole()),
                Some((length, literal)) => {
                    if let Some(incoming) = self.literal_follows(length, literal)? {
                        return Ok(incoming);
                    }
                }
            }
        }
    }

    /// A command is whole.
    fn whole(&mut self) -> Incoming {
        let Parsed { tag, command } = parse(&self.gathered, self.names);
        self.gathered.zeroize();
        match (tag, command) {
            (Some(tag), Ok(command)) => {
                self.bad = 0;
                Incoming::Command(tag, command)
            }
            (tag, Err(why)) => self.is_bad(tag, why),
            (None, Ok(_)) => self.is_bad(None, "a tag is missing"),
        }
    }

    fn is_bad(&mut self, tag: Option<String>, why: &'static str) -> Incoming {
        self.bad = self.bad.saturating_add(1);
        if self.bad > MAX_BAD { Incoming::Gone } else { Incoming::Bad(tag, why) }
    }

    /// A literal is announced: it is asked for, or the command ends here.
    fn literal_follows(&mut self, length: u64, literal: Literal) -> io::Result<Option<Incoming>> {
        if let Some((tag, order)) = parse_append(&self.gathered, self.names) {
            self.gathered.zeroize();
            return Ok(Some(match order {
                Ok(order) => Incoming::Append(tag, order, literal),
                // Where the next command begins is not known.
                Err(_) if literal == Literal::Comes => Incoming::Gone,
                Err(why) => self.is_bad(Some(tag), why),
            }));
        }
        let fits =
            usize::try_from(length).ok().filter(|length| self.gathered.len().saturating_add(*length) <= MAX_COMMAND);
        match (fits, literal) {
            (Some(length), _) => {
                if literal == Literal::Waits {
                    self.sink.write_all(b"+ go on\r\n")?;
                    self.sink.flush()?;
                }
                self.gathered.extend_from_slice(b"\r\n");
                self.literal = length;
                Ok(None)
            }
            (None, Literal::Comes) => Ok(Some(Incoming::Gone)),
            (None, Literal::Waits) => {
                let tag = parse(&self.gathered, self.names).tag;
                self.gathered.zeroize();
                Ok(Some(self.is_bad(tag, "a literal is too long")))
            }
        }
    }

    /// Takes the message of an APPEND, whole, in pieces. An error of `into` does not end the connection: the rest is read and dropped, and the error
    /// is the inner result. `patience`: called at each time-out of the stream; false ends the connection.
    pub fn message(
        &mut self,
        order: &AppendOrder,
        literal: Literal,
        into: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        patience: &mut dyn FnMut() -> bool,
    ) -> io::Result<io::Result<()>> {
        if literal == Literal::Waits {
            self.sink.write_all(b"+ go on\r\n")?;
            self.sink.flush()?;
        }
        let mut left = order.length;
        let mut taken = Ok(());
        while left > 0 {
            if self.ahead.is_empty() {
                match self.fill()? {
                    Filled::More => {}
                    Filled::Later if patience() => continue,
                    Filled::Later | Filled::Gone => return Err(ErrorKind::UnexpectedEof.into()),
                }
            }
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead.len());
            if taken.is_ok() {
                taken = into(self.ahead.get(..count).unwrap_or_default());
            }
            self.ahead.drain(..count);
            left = left.saturating_sub(count as u64);
        }
        // The command ends with its line.
        let closing: &[u8] = if order.closing == Closing::Parenthesis { b")" } else { b"" };
        loop {
            match self.take_line()? {
                Line::Whole(line) if line.as_slice() == closing => return Ok(taken),
                Line::Whole(_) => return Ok(taken.and(Err(ErrorKind::Unsupported.into()))),
                Line::Later if patience() => {}
                Line::Later | Line::Gone | Line::TooLong => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Lets the message of an APPEND go: it is not asked for, or read and dropped.
    pub fn decline(
        &mut self,
        order: &AppendOrder,
        literal: Literal,
        patience: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        match literal {
            Literal::Waits => Ok(()),
            // Nobody sends that much to be told that it was too much.
            Literal::Comes if order.length > 4 * MAX_APPEND => Err(ErrorKind::InvalidData.into()),
            Literal::Comes => self.message(order, literal, &mut |_| Ok(()), patience).map(drop),
        }
    }

    /// One line by itself: an answer in AUTHENTICATE, DONE in IDLE. `None` after a time-out; an error when the client is gone.
    pub fn line(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        match self.take_line()? {
            Line::Whole(line) => Ok(Some(line)),
            Line::Later => Ok(None),
            Line::Gone | Line::TooLong => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// From now on names of mailboxes are written so.
    pub fn speak(&mut self, names: Names) {
        self.names = names;
    }

    /// The stream that is read.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Whether more was read than the command before: what was sent before the stream changes may be another's (RFC 2595 §3.1).
    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The stream for answers.
    pub fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    fn take_line(&mut self) -> io::Result<Line> {
        let mut looked = 0;
        loop {
            let fresh = self.ahead.get(looked..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', fresh) {
                let end = looked.saturating_add(end);
                let mut line = Zeroizing::new(Vec::with_capacity(end.saturating_add(1)));
                line.extend(self.ahead.drain(..=end));
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(if line.len() > MAX_LINE { Line::TooLong } else { Line::Whole(line) });
            }
            looked = self.ahead.len();
            if looked > MAX_LINE {
                return Ok(Line::TooLong);
            }
            match self.fill()? {
                Filled::More => {}
                Filled::Later => return Ok(Line::Later),
                Filled::Gone => return Ok(Line::Gone),
            }
        }
    }

    fn fill(&mut self) -> io::Result<Filled> {
        let mut step = Zeroizing::new([0; STEP]);
        loop {
            return match self.source.read(step.as_mut_slice()) {
                Ok(0) => Ok(Filled::Gone),
                Ok(count) => {
                    self.ahead.extend_from_slice(step.get(..count).unwrap_or_default());
                    Ok(Filled::More)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(Filled::Later),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                    Ok(Filled::Gone)
                }
                Err(error) => Err(error),
            };
        }
    }
}

enum Filled {
    More,
    Later,
    Gone,
}

enum Line {
    Whole(Zeroizing<Vec<u8>>),
    Later,
    Gone,
    TooLong,
}

/// `{123}` or `{123+}` at the end of a line.
fn literal_at_end(line: &[u8]) -> Option<(u64, Literal)> {
    let line = line.strip_suffix(b"}")?;
    let (line, literal) = match line.strip_suffix(b"+") {
        Some(line) => (line, Literal::Comes),
        None => (line, Literal::Waits),
    };
    let open = memchr::memrchr(b'{', line)?;
    let digits = line.get(open.checked_add(1)?..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number too large to be one is too large a literal.
    Some((std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX), literal))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    /// Gives one octet at a time, with a time-out before each.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = self.0.len().min(1);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// What becomes of the input, a word for each thing.
    fn said(mut connection: Connection<impl Read, &mut Vec<u8>>) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            match connection.incoming().unwrap() {
                Incoming::Command(tag, _) => words.push(tag),
                Incoming::Bad(tag, why) => words.push(format!("{}!{why}", tag.unwrap_or_default())),
                Incoming::Append(tag, order, literal) => {
                    let mut message = Vec::new();
                    let mut into = |octets: &[u8]| {
                        message.extend_from_slice(octets);
                        Ok(())
                    };
                    let taken = connection.message(&order, literal, &mut into, &mut || true).unwrap();
                    words.push(format!("{tag}={} {}", String::from_utf8(message).unwrap(), taken.is_ok()));
                }
                Incoming::Nothing => {}
                Incoming::Gone | Incoming::Closed => return words,
            }
        }
    }

    fn check(input: &[u8], expected: &[&str], asked: usize) {
        let mut out = Vec::new();
        assert_eq!(said(Connection::new(input, &mut out)), expected);
        assert_eq!(out.windows(2).filter(|window| window == b"+ ").count(), asked);
        let mut out = Vec::new();
        assert_eq!(said(Connection::new(Slow(input, false), &mut out)), expected, "one octet at a time");
    }

    #[test]
    fn commands_are_gathered_with_their_literals() {
        check(b"a NOOP\r\nb LOGIN {1}\r\nx {2+}\r\nyz\r\nc NOOP\n", &["a", "b", "c"], 1);
        check(b"a SELECT {0}\r\n\r\nb NOOP\r\n", &["a", "b"], 1);
        check(b"a LOGIN \"{5}\" \"b {6}\"\r\n", &["a"], 0);
        check(b"a FOO\r\nb NOOP\r\n\r\n", &["a!no such command", "b", "!a word is missing"], 0);
        check(b"a NOOP", &[], 0);
    }

    #[test]
    fn messages_of_appends_come_as_they_are() {
        check(b"a APPEND x {5}\r\nab\r\nc\r\nb NOOP\r\n", &["a=ab\r\nc true", "b"], 1);
        check(b"a APPEND {1+}\r\nx (\\Seen) {2+}\r\nab\r\nb NOOP\r\n", &["a=ab true", "b"], 0);
        check(b"a APPEND x {2+}\r\nab {3+}\r\nb NOOP\r\n", &["a=ab false", "b"], 0);
        check(b"a APPEND x (\\Foo) {2}\r\nb NOOP\r\n", &["a!no such system flag", "b"], 0);
        check(b"a APPEND x (\\Foo) {2+}\r\nab\r\nb NOOP\r\n", &[], 0);
    }

    #[test]
    fn limits_are_kept() {
        check(format!("a LOGIN {{{}}}\r\nb NOOP\r\n", MAX_COMMAND).as_bytes(), &["a!a literal is too long", "b"], 0);
        check(format!("a LOGIN {{{}+}}\r\nb NOOP\r\n", MAX_COMMAND).as_bytes(), &[], 0);
        check(b"a LOGIN {99999999999999999999999}\r\nb NOOP\r\n", &["a!a literal is too long", "b"], 0);
        let long = [vec![b'x'; MAX_LINE + 1], b"\r\nb NOOP\r\n".to_vec()].concat();
        check(&long, &[], 0);
        let bad = b"a FOO\r\n".repeat(MAX_BAD as usize + 5);
        check(&bad, &vec!["a!no such command"; MAX_BAD as usize], 0);
    }

    #[test]
    fn a_message_that_cannot_be_kept_ends_no_connection() {
        let mut out = Vec::new();
        let mut connection = Connection::new(&b"a APPEND x {5+}\r\nabcde\r\nb NOOP\r\n"[..], &mut out);
        let Incoming::Append(_, order, literal) = connection.incoming().unwrap() else { panic!("an APPEND") };
        let full = connection.message(&order, literal, &mut |_| Err(ErrorKind::StorageFull.into()), &mut || true);
        assert_eq!(full.unwrap().unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(matches!(connection.incoming().unwrap(), Incoming::Command(tag, Command::Noop) if tag == "b"));
    }
}
