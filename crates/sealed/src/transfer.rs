//! The armored message found through a transfer encoding: some servers put base64 or quoted-printable (RFC 2045 §6.7, §6.8)
//! around parts that need none. Text of a MIME body in; the octets of the one armored message out, streaming.
//!
//! For readers only: what was decoded proves nothing by its shape, and [`crate::recognise`] never comes here. No MIME tree
//! is built: the line `Content-Transfer-Encoding` in a part's header says how the text after the next empty line is read,
//! up to the next delimiter line.

use std::io;

use base64_simd::STANDARD;
use memchr::memchr;

use crate::{
    armor::{ArmorError, ArmorScanner, BEGIN, END, Surroundings},
    limit::MAX_ENCODED_LINE,
};

type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// An [`ArmorScanner`] that also sees through a transfer encoding.
pub(crate) struct TolerantScanner {
    armor: ArmorScanner,
    reading: Reading,
    /// What the part header at hand announces.
    announced: Option<Encoding>,
    /// A line that is not complete yet.
    line: Vec<u8>,
    /// base64 characters that wait for the rest of their quantum.
    quantum: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Line by line, up to the armor.
    Plain,
    Encoded(Encoding),
    /// The armor began as it is: from here on everything passes.
    Through,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Base64,
    QuotedPrintable,
}

impl TolerantScanner {
    pub(crate) fn new() -> Self {
        let (line, quantum) = (Vec::new(), Vec::new());
        Self { armor: ArmorScanner::new(), reading: Reading::Plain, announced: None, line, quantum }
    }

    /// Takes more text; decoded octets of the armored message go to `sink`.
    pub(crate) fn feed(&mut self, text: &[u8], sink: &mut Sink<'_>) -> Result<(), ArmorError> {
        let mut text = text;
        while self.reading != Reading::Through {
            let Some(end) = memchr(b'\n', text) else {
                self.line.extend_from_slice(text);
                return if self.line.len() > MAX_ENCODED_LINE { Err(ArmorError::Surroundings) } else { Ok(()) };
            };
            let (line, after) = text.split_at_checked(end + 1).unwrap_or((text, b""));
            text = after;
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.take_line(&whole, sink)?;
        }
        self.armor.feed(text, &mut |octets: &[u8]| sink(octets))
    }

    /// All text was fed: what stood around the message.
    pub(crate) fn finish(mut self, sink: &mut Sink<'_>) -> Result<Surroundings, ArmorError> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, sink)?;
        }
        self.end_of_encoding(sink)?;
        self.armor.finish(&mut |octets: &[u8]| sink(octets))
    }

    fn take_line(&mut self, line: &[u8], sink: &mut Sink<'_>) -> Result<(), ArmorError> {
        let bare = line.trim_ascii_end();
        if let Reading::Encoded(encoding) = self.reading {
            let delimiter = bare.starts_with(b"--") && bare != BEGIN && bare != END;
            if !delimiter {
                return self.decode(encoding, line, sink);
            }
            self.end_of_encoding(sink)?;
        }
        if bare.is_empty() {
            if let Some(encoding) = self.announced.take() {
                self.reading = Reading::Encoded(encoding);
            }
        } else if bare.starts_with(b"--") {
            self.announced = None;
        } else if let Some(encoding) = announced(bare) {
            self.announced = Some(encoding);
        }
        self.pass(line, sink)?;
        if self.reading == Reading::Plain && self.armor.has_begun() {
            self.reading = Reading::Through;
        }
        Ok(())
    }

    fn decode(&mut self, encoding: Encoding, line: &[u8], sink: &mut Sink<'_>) -> Result<(), ArmorError> {
        match encoding {
            Encoding::QuotedPrintable => {
                let decoded = unquoted(line);
                self.pass(&decoded, sink)
            }
            Encoding::Base64 => {
                self.quantum.extend(line.iter().copied().filter(|octet| !octet.is_ascii_whitespace()));
                let ready = self.quantum.len() / 4 * 4;
                let whole = self.quantum.get(..ready).unwrap_or_default();
                let decoded = STANDARD.decode_to_vec(whole).map_err(|_| ArmorError::Malformed)?;
                self.quantum.drain(..ready);
                self.pass(&decoded, sink)
            }
        }
    }

    /// What was decoded need not end in a line end; what follows is a new line in any case.
    fn end_of_encoding(&mut self, sink: &mut Sink<'_>) -> Result<(), ArmorError> {
        if !matches!(self.reading, Reading::Encoded(_)) {
            return Ok(());
        }
        if !self.quantum.is_empty() {
            return Err(ArmorError::Malformed);
        }
        self.reading = Reading::Plain;
        self.pass(b"\r\n", sink)
    }

    fn pass(&mut self, text: &[u8], sink: &mut Sink<'_>) -> Result<(), ArmorError> {
        self.armor.feed(text, &mut |octets: &[u8]| sink(octets))
    }
}

fn announced(line: &[u8]) -> Option<Encoding> {
    let colon = line.iter().position(|&octet| octet == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let value = value.get(1..)?.trim_ascii();
    if !name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
        None
    } else if value.eq_ignore_ascii_case(b"base64") {
        Some(Encoding::Base64)
    } else {
        value.eq_ignore_ascii_case(b"quoted-printable").then_some(Encoding::QuotedPrintable)
    }
}

/// One line without its quoted-printable encoding. What is no valid encoding stays as it is (RFC 2045 §6.7, note 1).
fn unquoted(line: &[u8]) -> Vec<u8> {
    let bare = line.trim_ascii_end();
    let (mut rest, soft) = match bare.strip_suffix(b"=") {
        Some(before) => (before, true),
        None => (bare, false),
    };
    let mut out = Vec::with_capacity(line.len());
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'=', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    if !soft {
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &[u8], step: usize) -> Result<Vec<u8>, ArmorError> {
        let mut octets = Vec::new();
        let mut sink = |piece: &[u8]| {
            octets.extend_from_slice(piece);
            Ok(())
        };
        let mut scanner = TolerantScanner::new();
        for piece in text.chunks(step) {
            scanner.feed(piece, &mut sink)?;
        }
        scanner.finish(&mut sink)?;
        Ok(octets)
    }

    #[test]
    fn every_encoding_in_every_step() {
        let armor = "-----BEGIN PGP MESSAGE-----\r\n\r\nAAECAwQFBgcICQ==\r\n-----END PGP MESSAGE-----\r\n";
        let base64: String = STANDARD
            .encode_to_string(armor.trim_end())
            .as_bytes()
            .chunks(76)
            .flat_map(|line| [std::str::from_utf8(line).expect("ASCII"), "\r\n"])
            .collect();
        let quoted = armor.replace('=', "=3D").replace("BgcI", "Bgc=\r\nI");
        let empty = "--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n";
        let parts = [
            ("", armor.to_owned()),
            ("Content-Transfer-Encoding: 7bit\r\n", armor.to_owned()),
            ("content-transfer-encoding:BASE64\r\nContent-Id: <x@y>\r\n", base64),
            ("Content-Transfer-Encoding: Quoted-Printable\r\n", quoted),
        ];
        for (header, body) in parts {
            for before in ["", empty] {
                let text =
                    format!("{before}--b\r\nContent-Type: application/octet-stream\r\n{header}\r\n{body}\r\n--b--\r\n");
                for step in [1, 7, 50, 10_000] {
                    assert_eq!(scan(text.as_bytes(), step).expect("one message"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_damage_an_error() {
        let header = "--b\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        let endless = [header.as_bytes(), &vec![b'A'; MAX_ENCODED_LINE + 1]].concat();
        assert!(matches!(scan(&endless, 1000), Err(ArmorError::Surroundings)));
        let rubbish = format!("{header}LS0tL\r\n--b--\r\n");
        assert!(matches!(scan(rubbish.as_bytes(), 1000), Err(ArmorError::Malformed)));
        let nothing = format!("{header}\r\n--b--\r\n");
        assert!(matches!(scan(nothing.as_bytes(), 1000), Err(ArmorError::Truncated)));
    }
}
