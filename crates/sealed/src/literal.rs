//! The one literal data packet inside the encryption (RFC 9580 §5.9), as it is or in one compressed data packet (§5.6).
//! Written: packet headers and the exact padding of compressed content. Read: plaintext packets in, the payload out; the
//! end of file comes only after everything around the payload was consumed and verified.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use flate2::bufread::DeflateDecoder;

use crate::{
    content::{ContentError, copy_out},
    limit,
    packet::{Length, PacketHeader, long_header, tag},
};

/// Octets before the payload: packet header, format, empty name, no date.
pub const LITERAL_HEADER: usize = 6 + LITERAL_START.len();
/// Octets before the compressed stream: packet header and algorithm.
pub const COMPRESSED_HEADER: usize = 6 + 1;

/// Binary, no file name, no date.
const LITERAL_START: [u8; 6] = [b'b', 0, 0, 0, 0, 0];
/// Raw DEFLATE (RFC 1951).
const ZIP: u8 = 1;
/// Octets a DEFLATE block that stores holds at most, and what its header takes (RFC 1951 §3.2.4), when it begins at an
/// octet boundary.
const STORED_MOST: usize = 0xffff;
const STORED_HEADER: usize = 5;

/// The header of a literal packet that holds `payload` octets. None above what its length can say.
pub fn literal_header(payload: u64) -> Option<[u8; LITERAL_HEADER]> {
    let body = u32::try_from(payload.checked_add(LITERAL_START.len() as u64)?).ok()?;
    let mut header = [0; LITERAL_HEADER];
    header[..6].copy_from_slice(&long_header(tag::LITERAL, body));
    header[6..].copy_from_slice(&LITERAL_START);
    Some(header)
}

/// The header of a compressed packet that holds `deflated` octets. None above what its length can say.
pub fn compressed_header(deflated: u64) -> Option<[u8; COMPRESSED_HEADER]> {
    let body = u32::try_from(deflated.checked_add(1)?).ok()?;
    let mut header = [ZIP; COMPRESSED_HEADER];
    header[..6].copy_from_slice(&long_header(tag::COMPRESSED, body));
    Some(header)
}

/// Writes octets as DEFLATE blocks that store, exactly `blocks` of them; blocks beyond the octets stay empty.
/// `blocks` must be enough for the octets. `last`: does the stream end with them?
pub fn write_stored(out: &mut impl Write, octets: &[u8], blocks: usize, last: Last) -> io::Result<()> {
    for number in 1..=blocks {
        let start = (number - 1).saturating_mul(STORED_MOST).min(octets.len());
        let block = octets.get(start..octets.len().min(start + STORED_MOST)).unwrap_or_default();
        let length = block.len() as u16;
        out.write_all(&[u8::from(last == Last::Yes && number == blocks)])?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&(!length).to_le_bytes())?;
        out.write_all(block)?;
    }
    Ok(())
}

/// The fewest blocks that store so many octets.
pub fn stored_blocks(octets: usize) -> usize {
    octets.div_ceil(STORED_MOST).max(1)
}

/// Octets that `octets` take in the fewest blocks that store them.
pub fn stored_length(octets: usize) -> usize {
    octets + STORED_HEADER * stored_blocks(octets)
}

/// How blocks that store take exactly `total` octets: the number of blocks, and the octets that they hold.
/// None below the size of one empty block.
pub fn stored_exactly(total: usize) -> Option<(usize, usize)> {
    let blocks = total.div_ceil(STORED_MOST + STORED_HEADER).max(1);
    Some((blocks, total.checked_sub(STORED_HEADER * blocks)?))
}

/// Does a DEFLATE stream end here?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// Yes.
    Yes,
    /// More blocks follow.
    No,
}

/// Reads the payload out of the plaintext packets.
pub struct LiteralReader<R: BufRead> {
    from: Packets<R>,
    /// Octets of the payload still to come.
    left: u64,
    ended: bool,
}

enum Packets<R: BufRead> {
    Stored(R),
    Deflated(Box<BufReader<DeflateDecoder<io::Take<R>>>>),
}

impl<R: BufRead> LiteralReader<R> {
    /// Reads the packet headers. Anything but one literal, or one literal in one compressed packet, is refused.
    pub fn begin(mut from: R) -> io::Result<Self> {
        let (outer, length) = read_header(&mut from)?;
        match outer {
            tag::LITERAL => Self::literal(Packets::Stored(from), length, limit::MAX_ORIGINAL),
            tag::COMPRESSED => {
                let mut algorithm = [0];
                read_exactly(&mut from, &mut algorithm)?;
                let length = length.checked_sub(1).ok_or(ContentError::Malformed)?;
                if algorithm != [ZIP] {
                    return Err(ContentError::Malformed.into());
                }
                let mut inflated = BufReader::with_capacity(64 * 1024, DeflateDecoder::new(from.take(length)));
                let (inner, payload) = read_header(&mut inflated)?;
                if inner != tag::LITERAL {
                    return Err(ContentError::Malformed.into());
                }
                let most = length.saturating_mul(limit::MAX_COMPRESSION_RATIO).saturating_add(64 * 1024);
                Self::literal(Packets::Deflated(Box::new(inflated)), payload, most)
            }
            _ => Err(ContentError::Malformed.into()),
        }
    }

    /// Octets of the payload that were not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    fn literal(mut from: Packets<R>, body: u64, most: u64) -> io::Result<Self> {
        let mut start = [0; LITERAL_START.len()];
        match &mut from {
            Packets::Stored(from) => read_exactly(from, &mut start)?,
            Packets::Deflated(from) => read_exactly(from, &mut start)?,
        }
        let left = body.checked_sub(start.len() as u64).ok_or(ContentError::Malformed)?;
        if start != LITERAL_START || left > most {
            return Err(ContentError::Malformed.into());
        }
        Ok(Self { from, left, ended: false })
    }

    /// The payload is read: nothing may follow, and the end of the encryption must verify.
    fn end(&mut self) -> io::Result<()> {
        let trailing = match &mut self.from {
            Packets::Stored(from) => !from.fill_buf()?.is_empty(),
            Packets::Deflated(from) => {
                if !from.fill_buf()?.is_empty() {
                    return Err(ContentError::Malformed.into());
                }
                let compressed = from.get_mut().get_mut();
                compressed.limit() != 0 || !compressed.get_mut().fill_buf()?.is_empty()
            }
        };
        if trailing {
            return Err(ContentError::Malformed.into());
        }
        self.ended = true;
        Ok(())
    }
}

impl<R: BufRead> BufRead for LiteralReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            if !self.ended {
                self.end()?;
            }
            return Ok(&[]);
        }
        let ready = match &mut self.from {
            Packets::Stored(from) => from.fill_buf()?,
            Packets::Deflated(from) => from.fill_buf().map_err(inflate_error)?,
        };
        if ready.is_empty() {
            return Err(ContentError::Truncated.into());
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(ready.len());
        Ok(ready.get(..most).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        match &mut self.from {
            Packets::Stored(from) => from.consume(count),
            Packets::Deflated(from) => from.consume(count),
        }
    }
}

impl<R: BufRead> Read for LiteralReader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        copy_out(self, to)
    }
}

/// Reads a packet header with a definite length.
fn read_header(from: &mut impl Read) -> io::Result<(u8, u64)> {
    let mut octets = [0; 6];
    let mut known = 1;
    read_exactly(from, &mut octets[..known])?;
    loop {
        match PacketHeader::parse(&octets[..known]) {
            Ok(PacketHeader { tag, body: Length::Definite(body), .. }) => return Ok((tag, body)),
            Err(crate::packet::PacketError::Truncated) if known < octets.len() => {
                read_exactly(from, &mut octets[known..=known])?;
                known += 1;
            }
            _ => return Err(ContentError::Malformed.into()),
        }
    }
}

fn read_exactly(from: &mut impl Read, to: &mut [u8]) -> io::Result<()> {
    from.read_exact(to).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => ContentError::Truncated.into(),
        _ => inflate_error(error),
    })
}

/// A malformed DEFLATE stream is malformed content; an error from below passes.
fn inflate_error(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData
            if error.get_ref().is_none_or(|inner| !inner.is::<ContentError>()) =>
        {
            ContentError::Malformed.into()
        }
        ErrorKind::UnexpectedEof => ContentError::Truncated.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_blocks_fill_any_total_from_one_block_on() {
        for total in (5..200).chain(65_530..65_560).chain(131_070..131_100) {
            let (blocks, octets) = stored_exactly(total).expect("at least one block");
            let mut out = Vec::new();
            write_stored(&mut out, &vec![b' '; octets], blocks, Last::Yes).expect("memory");
            assert_eq!(out.len(), total);
            let mut inflated = Vec::new();
            DeflateDecoder::new(out.as_slice()).read_to_end(&mut inflated).expect("DEFLATE");
            assert_eq!(inflated.len(), octets);
        }
        assert_eq!(stored_exactly(4), None);
    }

    #[test]
    fn what_is_not_one_literal_is_refused() {
        let literal = [&literal_header(5).expect("small")[..], b"hello"].concat();
        let read = |octets: &[u8]| -> io::Result<Vec<u8>> {
            let mut payload = Vec::new();
            LiteralReader::begin(octets)?.read_to_end(&mut payload)?;
            Ok(payload)
        };
        assert_eq!(read(&literal).expect("one literal"), b"hello");
        let stored = |octets: &[u8]| {
            let mut out = Vec::new();
            write_stored(&mut out, octets, 1, Last::Yes).expect("memory");
            out
        };
        let deflated = stored(&literal);
        let compressed = [&compressed_header(deflated.len() as u64).expect("small")[..], &deflated].concat();
        assert_eq!(read(&compressed).expect("one compressed literal"), b"hello");
        for end in 0..literal.len() {
            assert!(read(&literal[..end]).is_err());
        }
        for end in 0..compressed.len() {
            assert!(read(&compressed[..end]).is_err());
        }
        assert!(read(&[literal.as_slice(), &literal].concat()).is_err());
        assert!(read(&[compressed.as_slice(), &literal].concat()).is_err());
        let nested =
            [&compressed_header(compressed.len() as u64 + 5).expect("small")[..], &stored(&compressed)].concat();
        assert!(read(&nested).is_err());
    }
}
