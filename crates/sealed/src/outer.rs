//! The outer message (format §4.2, §8): an ordinary PGP/MIME (RFC 3156) or S/MIME (RFC 8551) message whose header carries our
//! three fields. Written in pieces around what is encrypted; read streaming, with the ciphertext C going to a place that the caller gives.

use std::io::{self, BufRead, Write};

use aws_lc_rs::digest;
use mail::{HeaderSection, header_section_end};

use crate::{
    armor::{ArmorError, ArmorScanner, Surroundings},
    cms_split::CmsParts,
    field::{FieldError, SealedFields},
    identity::{Encryption, Hash, random},
    limit,
    packet::{Length, PacketError, PacketHeader, tag},
    smime,
    transfer::TolerantScanner,
};

/// The line before the first part, for people whose mail program knows no MIME.
pub const PREAMBLE: &str = "This is an OpenPGP/MIME encrypted message (RFC 3156).";

/// What stands around the armor, or the S/MIME body, in the outer message.
pub struct Frame {
    /// Header section; with PGP/MIME also preamble, first part, header of the second part.
    pub head: Vec<u8>,
    /// The closing delimiter; nothing with S/MIME.
    pub tail: Vec<u8>,
}

impl Frame {
    /// `display`: the fields that the policy leaves outside, each line ended by CRLF.
    pub fn new(display: &[u8], fields: &SealedFields) -> Result<Self, FieldError> {
        let mut head = Vec::with_capacity(display.len() + 4 * 1024);
        head.extend_from_slice(display);
        head.extend_from_slice(b"MIME-Version: 1.0\r\n");
        fields.write(&mut head)?;
        if let Encryption::Cms(cipher) = fields.mark.profile.encryption() {
            head.extend_from_slice(smime::structure(cipher).as_bytes());
            return Ok(Self { head, tail: Vec::new() });
        }
        let number = u128::from_be_bytes(random());
        // It holds characters that base64 lacks: some clients take any line that merely contains the boundary for a
        // delimiter (A4).
        let boundary = format!("=_{number:032x}");
        let structure = format!(
            "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n \
             boundary=\"{boundary}\"\r\n\r\n\
             {PREAMBLE}\r\n\
             --{boundary}\r\n\
             Content-Type: application/pgp-encrypted\r\n\
             Content-Description: PGP/MIME version identification\r\n\r\n\
             Version: 1\r\n\r\n\
             --{boundary}\r\n\
             Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\
             Content-Description: OpenPGP encrypted message\r\n\
             Content-Disposition: inline; filename=\"encrypted.asc\"\r\n\r\n"
        );
        head.extend_from_slice(structure.as_bytes());
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        Ok(Self { head, tail })
    }
}

/// A sealed message taken apart: nothing of it is verified yet but that its pieces fit together.
pub struct Outer {
    /// The outer header section, with the empty line.
    pub header: Vec<u8>,
    /// The three fields.
    pub fields: SealedFields,
    /// SHA-256 of C, computed; equal to the mark's.
    pub content_hash: Hash,
    /// Octets of C.
    pub content_length: u64,
    /// What stood around the armored message; nothing with S/MIME.
    pub surroundings: Surroundings,
}

/// Why a message is no sealed message, or a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum OuterError {
    /// The three fields.
    #[error(transparent)]
    Fields(#[from] FieldError),
    /// The armored message in the body.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The header section is larger than any sealed message's.
    #[error("the header section is larger than a sealed message's")]
    HeaderTooLarge,
    /// The armored message is not session keys and one encrypted packet.
    #[error("the encrypted message is malformed or cut off")]
    Packets,
    /// The session keys of the body are not those of the header.
    #[error("the session keys in header and body differ")]
    OtherKey,
    /// The content is not the one that the header names.
    #[error("the content was changed or cut off")]
    OtherContent,
    /// The message could not be read, or the ciphertext not stored.
    #[error("cannot read the message: {0}")]
    Io(#[from] io::Error),
}

impl Outer {
    /// Reads a whole message; C goes to `content`. Tolerant of what servers make of the outside (format A8, "Mangled by a
    /// server"): any MIME structure, other parts beside it, a transfer encoding around the armor.
    pub fn read(from: &mut impl BufRead, content: &mut impl Write) -> Result<Self, OuterError> {
        let (header, rest) = read_header_section(from)?.ok_or(OuterError::HeaderTooLarge)?;
        let section = HeaderSection::parse(&header);
        let fields = SealedFields::parse(&section)?;
        let (parts, surroundings) = match fields.mark.profile.encryption() {
            Encryption::OpenPgp(_) => {
                let mut packets = PacketSplitter::new();
                let surroundings = read_tolerantly(&rest, from, &mut |octets| packets.take(octets, content))?;
                (packets.finish(), surroundings)
            }
            Encryption::Cms(cipher) => {
                let parts = smime::read_body(&section, &rest, from, cipher, content)?;
                (parts.map(Parts::from), Surroundings::default())
            }
        };
        let parts = parts.ok_or(OuterError::Packets)?;
        if parts.key != fields.key {
            return Err(OuterError::OtherKey);
        }
        if parts.content_hash != fields.mark.content_hash {
            return Err(OuterError::OtherContent);
        }
        let Parts { content_hash, content_length, .. } = parts;
        Ok(Self { header, fields, content_hash, content_length, surroundings })
    }
}

/// Reads up to the end of the header section, bounded: the section with its empty line, and what was read beyond it.
/// None when the section is larger than a sealed message's may be. A message without a body is all header.
pub fn read_header_section(from: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut octets = Vec::new();
    // Each look begins at the front: only when twice as much is there, so that small pieces cost no more than large ones.
    let mut look_at = 0;
    loop {
        let more = from.fill_buf()?;
        if more.is_empty() || octets.len() >= look_at {
            if let Some(end) = header_section_end(&octets) {
                let rest = octets.split_off(end.min(octets.len()));
                return Ok((octets.len() <= limit::MAX_HEADER_SECTION).then_some((octets, rest)));
            }
            if octets.len() > limit::MAX_HEADER_SECTION {
                return Ok(None);
            }
            if more.is_empty() {
                return Ok(Some((octets, Vec::new())));
            }
            look_at = (2 * octets.len()).min(limit::MAX_HEADER_SECTION + 1);
        }
        // A header section is small: taking much at once would only be copied again.
        let count = more.len().min(4 * 1024);
        octets.extend_from_slice(more.get(..count).unwrap_or_default());
        from.consume(count);
    }
}

/// Scans a body for its armored message.
pub fn scan_body(
    rest: Vec<u8>,
    from: &mut impl BufRead,
    sink: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Surroundings, ArmorError> {
    let mut scanner = ArmorScanner::new();
    scanner.feed(&rest, sink)?;
    loop {
        let more = from.fill_buf().map_err(ArmorError::Sink)?;
        if more.is_empty() {
            return scanner.finish(sink);
        }
        let count = more.len();
        scanner.feed(more, sink)?;
        from.consume(count);
    }
}

/// The same for a reader: also through a transfer encoding.
fn read_tolerantly(
    rest: &[u8],
    from: &mut impl BufRead,
    sink: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Surroundings, ArmorError> {
    let mut scanner = TolerantScanner::new();
    scanner.feed(rest, sink)?;
    loop {
        let more = from.fill_buf().map_err(ArmorError::Sink)?;
        if more.is_empty() {
            return scanner.finish(sink);
        }
        let count = more.len();
        scanner.feed(more, sink)?;
        from.consume(count);
    }
}

/// Splits the octets of an OpenPGP message into key material and content as they come. Whatever is not one or more
/// session key packets and then exactly one encrypted packet of definite length makes it invalid.
pub struct PacketSplitter {
    key: Vec<u8>,
    pending: Vec<u8>,
    content: Option<Content>,
    marker: bool,
    invalid: bool,
}

/// The marker packet.
const MARKER: &[u8] = &[0xca, 3, b'P', b'G', b'P'];

struct Content {
    hash: digest::Context,
    length: u64,
    left: u64,
}

/// What a valid message was split into.
pub struct Parts {
    /// K.
    pub key: Vec<u8>,
    /// SHA-256 of C.
    pub content_hash: Hash,
    /// Octets of C.
    pub content_length: u64,
    /// A marker packet stood before K: a reader tolerates one (format §4.8), a writer never writes one.
    pub marker: bool,
}

impl From<CmsParts> for Parts {
    fn from(parts: CmsParts) -> Self {
        let CmsParts { key, content_hash, content_length } = parts;
        Self { key, content_hash, content_length, marker: false }
    }
}

impl Default for PacketSplitter {
    fn default() -> Self {
        Self::new()
    }
}

impl PacketSplitter {
    /// Nothing taken yet.
    pub fn new() -> Self {
        Self { key: Vec::new(), pending: Vec::new(), content: None, marker: false, invalid: false }
    }

    /// Takes more octets; those of C are written to `to`.
    pub fn take(&mut self, octets: &[u8], to: &mut impl Write) -> io::Result<()> {
        if self.invalid {
            return Ok(());
        }
        if let Some(content) = &mut self.content {
            return content.take(octets, to).map(|within| self.invalid |= !within);
        }
        self.pending.extend_from_slice(octets);
        loop {
            match PacketHeader::parse(&self.pending) {
                Err(PacketError::Truncated) => break,
                Ok(PacketHeader { tag: tag::MARKER, .. }) if !self.marker && self.key.is_empty() => {
                    // RFC 9580 §5.8: three octets, always the same.
                    match self.pending.get(..MARKER.len()) {
                        None => break,
                        Some(packet) if packet == MARKER => {
                            self.marker = true;
                            self.pending.drain(..MARKER.len());
                        }
                        Some(_) => {
                            self.invalid = true;
                            break;
                        }
                    }
                }
                Ok(PacketHeader { tag: tag::PKESK, header, body: Length::Definite(body) }) => {
                    let whole = usize::try_from(body).unwrap_or(usize::MAX).saturating_add(header);
                    if whole > limit::MAX_KEY_MATERIAL - self.key.len() {
                        self.invalid = true;
                        break;
                    }
                    if self.pending.len() < whole {
                        break;
                    }
                    self.key.extend(self.pending.drain(..whole));
                }
                Ok(PacketHeader { tag: tag::SEIPD, header, body: Length::Definite(body) }) if !self.key.is_empty() => {
                    let left = body.saturating_add(header as u64);
                    let mut content = Content { hash: digest::Context::new(&digest::SHA256), length: left, left };
                    let pending = std::mem::take(&mut self.pending);
                    self.invalid = !content.take(&pending, to)?;
                    self.content = Some(content);
                    break;
                }
                _ => {
                    self.invalid = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// All octets were taken. None when they were no sealed message's packets.
    pub fn finish(self) -> Option<Parts> {
        let content = self.content.filter(|content| content.left == 0 && !self.invalid)?;
        let content_hash = content.hash.finish().as_ref().try_into().ok()?;
        Some(Parts { key: self.key, content_hash, content_length: content.length, marker: self.marker })
    }
}

impl Content {
    /// False when more comes than the packet holds.
    fn take(&mut self, octets: &[u8], to: &mut impl Write) -> io::Result<bool> {
        let Some(left) = self.left.checked_sub(octets.len() as u64) else { return Ok(false) };
        self.left = left;
        self.hash.update(octets);
        to.write_all(octets)?;
        Ok(true)
    }
}
