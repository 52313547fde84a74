//! ASCII armor of an OpenPGP message (RFC 9580 §6): base64 in lines of 64, CRC-24. Written streaming; found and decoded
//! streaming in the text around it. In: octets; out: octets. It never judges what the armor holds.

use std::io::{self, Write};

use base64_simd::STANDARD;
use memchr::memchr;

use crate::{base64_lines::Base64Lines, limit};

/// First line of an armored message.
pub const BEGIN: &[u8] = b"-----BEGIN PGP MESSAGE-----";
/// Last line of an armored message.
pub const END: &[u8] = b"-----END PGP MESSAGE-----";

/// Writes K and C as one armored message, each beginning on its own line where K allows it.
pub struct ArmorWriter<W: Write> {
    lines: Base64Lines<W>,
    checksum: Option<Crc24>,
}

impl<W: Write> ArmorWriter<W> {
    /// Begins the armor and writes the key material. `with_checksum`: pgp1 must carry a CRC-24, pgp2 must not.
    pub fn begin(mut to: W, key: &[u8], with_checksum: Checksum) -> io::Result<Self> {
        to.write_all(BEGIN)?;
        to.write_all(b"\r\n\r\n")?;
        let checksum = (with_checksum == Checksum::Crc24).then(Crc24::new);
        let mut writer = Self { lines: Base64Lines::new(to), checksum };
        writer.write(key)?;
        if key.len().is_multiple_of(3) {
            writer.lines.end_line()?;
        }
        Ok(writer)
    }

    /// Writes more content.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(octets);
        }
        self.lines.write(octets)
    }

    /// Ends the armor and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        let mut to = self.lines.finish()?;
        if let Some(checksum) = self.checksum {
            write!(to, "={}\r\n", STANDARD.encode_to_string(checksum.octets()))?;
        }
        to.write_all(END)?;
        to.write_all(b"\r\n")?;
        Ok(to)
    }
}

/// Does the armor end with a CRC-24 line?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// Yes: GnuPG 2.2 needs it.
    Crc24,
    /// No: RFC 9580 §6.1 forbids it with version 2 of the encrypted packet.
    Absent,
}

/// Why a text holds no single armored message.
#[derive(Debug, thiserror::Error)]
pub enum ArmorError {
    /// A character that does not belong there.
    #[error("the armored message is malformed")]
    Malformed,
    /// The CRC-24 does not fit.
    #[error("the armored message is damaged (checksum)")]
    Checksum,
    /// No end line, or none at all.
    #[error("the armored message is cut off")]
    Truncated,
    /// More than one.
    #[error("more than one armored message")]
    Several,
    /// More text around it than is kept.
    #[error("too much text around the armored message")]
    Surroundings,
    /// Where the decoded octets go refused them.
    #[error("cannot store the ciphertext")]
    Sink(#[from] io::Error),
}

/// Finds the one armored message in a text that is fed in pieces, and hands its octets on as they come.
pub struct ArmorScanner {
    state: State,
    /// A line that is not complete yet (outside the data), or the characters of data not yet decoded.
    line: Vec<u8>,
    characters: Vec<u8>,
    crc: Crc24,
    crc_line: Option<Vec<u8>>,
    surroundings: Surroundings,
}

/// What stood around the armored message.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// Text before the begin line.
    pub before: Vec<u8>,
    /// Armor header lines (`Version:`, `Comment:`), each with its line end.
    pub armor_headers: Vec<u8>,
    /// Text after the end line.
    pub after: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    ArmorHeaders,
    Data,
    Checksum,
    After,
}

/// Data is decoded when this many characters are there.
const DECODE_AT: usize = 32 * 1024;
/// A line outside the data may be this long.
const MAX_LINE: usize = 4 * 1024;

impl Default for ArmorScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ArmorScanner {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            state: State::Before,
            line: Vec::new(),
            characters: Vec::new(),
            crc: Crc24::new(),
            crc_line: None,
            surroundings: Surroundings::default(),
        }
    }

    /// Takes more text; decoded octets go to `sink`.
    pub fn feed(&mut self, text: &[u8], sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), ArmorError> {
        let mut text = text;
        while let Some(end) = memchr(b'\n', text) {
            let (line, after) = text.split_at_checked(end + 1).unwrap_or((text, b""));
            text = after;
            if self.line.is_empty() {
                self.take_line(line, sink)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, sink)?;
                whole.clear();
                self.line = whole;
            }
        }
        self.line.extend_from_slice(text);
        if self.line.len() > MAX_LINE && self.state != State::Data {
            return Err(ArmorError::Surroundings);
        }
        if self.line.len() > DECODE_AT && self.state == State::Data {
            // One continuous base64 text without line ends is legal.
            let line = std::mem::take(&mut self.line);
            self.take_data(&line, sink)?;
        }
        Ok(())
    }

    /// All text was fed: what stood around the message.
    pub fn finish(mut self, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<Surroundings, ArmorError> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, sink)?;
        }
        if self.state == State::After { Ok(self.surroundings) } else { Err(ArmorError::Truncated) }
    }

    /// Has the begin line been seen?
    pub fn has_begun(&self) -> bool {
        self.state != State::Before
    }

    /// All text that was fed, when no armored message began in it.
    pub fn into_unarmored(mut self) -> Option<Vec<u8>> {
        self.surroundings.before.append(&mut self.line);
        (self.state == State::Before).then_some(self.surroundings.before)
    }

    fn take_line(&mut self, line: &[u8], sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), ArmorError> {
        let bare = line.trim_ascii_end();
        match self.state {
            State::Before if bare == BEGIN => self.state = State::ArmorHeaders,
            State::Before => keep(&mut self.surroundings.before, line)?,
            State::ArmorHeaders if bare.is_empty() => self.state = State::Data,
            State::ArmorHeaders if bare.contains(&b':') => keep(&mut self.surroundings.armor_headers, line)?,
            State::ArmorHeaders => {
                self.state = State::Data;
                self.take_data(bare, sink)?;
            }
            State::Data | State::Checksum if bare == END => self.end_data(sink)?,
            State::Data if bare.len() == 5 && bare.starts_with(b"=") => {
                self.crc_line = bare.get(1..).map(<[u8]>::to_vec);
                self.state = State::Checksum;
            }
            State::Data => self.take_data(bare, sink)?,
            State::Checksum => return Err(ArmorError::Malformed),
            State::After if bare == BEGIN => return Err(ArmorError::Several),
            State::After => keep(&mut self.surroundings.after, line)?,
        }
        Ok(())
    }

    fn take_data(&mut self, text: &[u8], sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), ArmorError> {
        self.characters.extend_from_slice(text);
        // The last quantum waits: only it may end in padding.
        let ready = self.characters.len().saturating_sub(4) / 4 * 4;
        if ready < DECODE_AT {
            return Ok(());
        }
        self.decode(ready, sink)
    }

    fn end_data(&mut self, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), ArmorError> {
        self.decode(self.characters.len(), sink)?;
        self.state = State::After;
        match &self.crc_line {
            None => Ok(()),
            Some(line) => match STANDARD.decode_to_vec(line) {
                Ok(expected) if expected == self.crc.octets() => Ok(()),
                Ok(_) => Err(ArmorError::Checksum),
                Err(_) => Err(ArmorError::Malformed),
            },
        }
    }

    fn decode(&mut self, count: usize, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), ArmorError> {
        let Some(ready) = self.characters.get_mut(..count) else { return Err(ArmorError::Malformed) };
        let octets = STANDARD.decode_inplace(ready).map_err(|_| ArmorError::Malformed)?;
        self.crc.update(octets);
        sink(octets)?;
        self.characters.drain(..count);
        Ok(())
    }
}

fn keep(kept: &mut Vec<u8>, line: &[u8]) -> Result<(), ArmorError> {
    kept.extend_from_slice(line);
    if kept.len() > limit::MAX_SURROUNDINGS { Err(ArmorError::Surroundings) } else { Ok(()) }
}

/// CRC-24 of RFC 9580 §6.1.1.
#[derive(Clone)]
pub struct Crc24(u32);

/// Eight tables: eight octets a step instead of one.
static TABLES: [[u32; 256]; 8] = tables();

impl Crc24 {
    fn new() -> Self {
        // The register is kept in the upper 24 of 32 bits.
        Self(0x00b7_04ce << 8)
    }

    fn update(&mut self, octets: &[u8]) {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
        let mut register = self.0;
        let (eights, rest) = octets.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in eights {
            let [w, x, y, z] = (register ^ u32::from_be_bytes([*a, *b, *c, *d])).to_be_bytes();
            register = t7[usize::from(w)]
                ^ t6[usize::from(x)]
                ^ t5[usize::from(y)]
                ^ t4[usize::from(z)]
                ^ t3[usize::from(*e)]
                ^ t2[usize::from(*f)]
                ^ t1[usize::from(*g)]
                ^ t0[usize::from(*h)];
        }
        for octet in rest {
            let [top, ..] = register.to_be_bytes();
            register = (register << 8) ^ t0[usize::from(top ^ octet)];
        }
        self.0 = register;
    }

    fn octets(&self) -> [u8; 3] {
        let [a, b, c, _] = self.0.to_be_bytes();
        [a, b, c]
    }
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut octet = 0;
    while octet < 256 {
        let mut register = (octet as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 0x8000_0000 == 0 { register << 1 } else { register << 1 ^ 0x0186_4cfb << 8 };
            bit += 1;
        }
        tables[0][octet] = register;
        octet += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut octet = 0;
        while octet < 256 {
            let before = tables[table - 1][octet];
            tables[table][octet] = before << 8 ^ tables[0][(before >> 24) as usize];
            octet += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_standard_check_text() {
        let mut crc = Crc24::new();
        crc.update(b"1234");
        crc.update(b"56789");
        assert_eq!(crc.octets(), [0x21, 0xcf, 0x02]);
    }

    fn scan(text: &[u8], step: usize) -> Result<(Surroundings, Vec<u8>), ArmorError> {
        let mut octets = Vec::new();
        let mut sink = |piece: &[u8]| {
            octets.extend_from_slice(piece);
            Ok(())
        };
        let mut scanner = ArmorScanner::new();
        for piece in text.chunks(step) {
            scanner.feed(piece, &mut sink)?;
        }
        let surroundings = scanner.finish(&mut sink)?;
        Ok((surroundings, octets))
    }

    #[test]
    fn every_length_comes_back_in_every_step() {
        for length in [0_usize, 1, 2, 3, 47, 48, 49, 95, 96, 97, 1000, 70_000] {
            for key_length in [96, 97, 98] {
                let key: Vec<u8> = (0..key_length).map(|octet| octet as u8).collect();
                let content: Vec<u8> = (0..length).map(|octet| (octet * 7) as u8).collect();
                let mut writer = ArmorWriter::begin(b"before\r\n".to_vec(), &key, Checksum::Crc24).expect("a Vec");
                for piece in content.chunks(31) {
                    writer.write(piece).expect("a Vec");
                }
                let mut text = writer.finish().expect("a Vec");
                text.extend_from_slice(b"after");
                for step in [7, 4096, 100_000] {
                    let (around, octets) = scan(&text, step).expect("armor");
                    assert_eq!(around.before, b"before\r\n");
                    assert_eq!(around.after, b"after");
                    assert_eq!(octets, [key.as_slice(), &content].concat());
                }
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let writer = ArmorWriter::begin(Vec::new(), &[1; 96], Checksum::Crc24).expect("a Vec");
        let text = writer.finish().expect("a Vec");
        for end in 0..text.len() - 2 {
            assert!(scan(&text[..end], 1000).is_err(), "{end}");
        }
        assert!(matches!(scan(&[text.clone(), text.clone()].concat(), 1000), Err(ArmorError::Several)));
        let mut changed = text;
        changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
        assert!(matches!(scan(&changed, 1000), Err(ArmorError::Checksum)));
    }
}
