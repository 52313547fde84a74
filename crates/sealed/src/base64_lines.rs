//! base64 in lines of 64 characters with CRLF (RFC 4648 §4, RFC 2045 §6.8), written streaming. Octets in, text out.

use std::io::{self, Write};

use base64_simd::{AsOut, STANDARD};

/// Octets of one full line of 64 characters.
const LINE: usize = 48;

/// Writes octets as lines of text.
pub(crate) struct Base64Lines<W: Write> {
    to: W,
    /// Octets not yet written: fewer than one line's worth.
    rest: Vec<u8>,
    text: Vec<u8>,
}

impl<W: Write> Base64Lines<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, rest: Vec::with_capacity(LINE), text: Vec::new() }
    }

    /// Writes more octets.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut octets = octets;
        if !self.rest.is_empty() {
            let (fill, after) = octets.split_at_checked(LINE - self.rest.len()).unwrap_or((octets, b""));
            self.rest.extend_from_slice(fill);
            octets = after;
            if self.rest.len() < LINE {
                return Ok(());
            }
            self.end_line()?;
        }
        let lines = octets.chunks_exact(LINE);
        self.rest.extend_from_slice(lines.remainder());
        self.text.clear();
        self.text.reserve(octets.len() / LINE * (64 + 2));
        for line in lines {
            let mut characters = [0; 64];
            let _ = STANDARD.encode(line, characters.as_mut_slice().as_out());
            self.text.extend_from_slice(&characters);
            self.text.extend_from_slice(b"\r\n");
        }
        self.to.write_all(&self.text)
    }

    /// Ends the line at hand. What follows must begin at a multiple of three octets, or not at all.
    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.to.write_all(STANDARD.encode_to_string(&self.rest).as_bytes())?;
        self.rest.clear();
        self.to.write_all(b"\r\n")
    }

    /// Ends the text and gives the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.end_line()?;
        Ok(self.to)
    }
}
