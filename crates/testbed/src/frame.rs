//! The frame of IMAP, in either direction. In: octets of a connection. Out: lines, and literals as they are announced (RFC 9051 §4.3, RFC 7888,
//! RFC 3516 §4.4). Knows no command.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
};

/// A literal announced at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) size: u64,
    /// `{n+}`: the sender does not wait.
    pub(crate) runs_on: bool,
}

/// The literal that `line` ends with.
pub(crate) fn literal(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_suffix(b"}")?;
    let open = line.iter().rposition(|&octet| octet == b'{')?;
    let digits = line.get(open + 1..)?;
    let runs_on = digits.ends_with(b"+");
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Literal { size, runs_on })
}

/// One direction of a connection, read.
pub(crate) struct Frames {
    stream: Arc<TcpStream>,
    held: Vec<u8>,
}

impl Frames {
    pub(crate) fn over(stream: Arc<TcpStream>) -> Frames {
        Frames { stream, held: Vec::new() }
    }

    /// With its line end; `None` when the connection ends first. A timeout keeps what was read, for the next call.
    pub(crate) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.held.iter().skip(searched).position(|&octet| octet == b'\n') {
                let rest = self.held.split_off(searched + end + 1);
                return Ok(Some(std::mem::replace(&mut self.held, rest)));
            }
            searched = self.held.len();
            if self.more()? == 0 {
                return Ok(None);
            }
        }
    }

    /// At most `most` octets, at least one; empty when the connection ends.
    pub(crate) fn some(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.held.is_empty() && self.more()? == 0 {
            return Ok(Vec::new());
        }
        let count = self.held.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let rest = self.held.split_off(count);
        Ok(std::mem::replace(&mut self.held, rest))
    }

    /// Exactly `size` octets, or `None` when the connection ends first.
    pub(crate) fn exactly(&mut self, size: u64) -> io::Result<Option<Vec<u8>>> {
        let mut all = Vec::new();
        while (all.len() as u64) < size {
            let part = self.some(size - all.len() as u64)?;
            if part.is_empty() {
                return Ok(None);
            }
            all.extend(part);
        }
        Ok(Some(all))
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 65_536];
        let count = (&*self.stream).read(&mut buffer)?;
        self.held.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Ends our side of a connection in order: what was written still arrives, however much of the other's was not read.
pub(crate) fn hang_up(stream: &TcpStream) {
    let _ = (&*stream).flush();
    let _ = stream.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_seen_at_the_end_of_a_line_only() {
        let check = |line: &str, expected: Option<(u64, bool)>| {
            let found = literal(line.as_bytes()).map(|literal| (literal.size, literal.runs_on));
            assert_eq!(found, expected, "{line:?}");
        };
        check("a APPEND x {12}\r\n", Some((12, false)));
        check("a APPEND x {12+}\r\n", Some((12, true)));
        check("a APPEND x ~{3+}\r\n", Some((3, true)));
        check("* 1 FETCH (BODY[] {0}\r\n", Some((0, false)));
        check("a APPEND x {12} \r\n", None);
        check("a APPEND x {}\r\n", None);
        check("a APPEND x {1-}\r\n", None);
        check("a APPEND x {99999999999999999999}\r\n", None);
        check("a NOOP\r\n", None);
    }
}
