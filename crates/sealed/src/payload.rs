//! The payload P (format §4.6): what is encrypted. A root header with the protected fields and the signed origin, then one
//! child, the original octets verbatim, then padding. Written in pieces around the original; read streaming.

use std::io::{self, BufRead, Write};

use base64_simd::STANDARD;
use mail::{ContentType, HeaderSection};

use crate::{
    content::ContentError,
    field::{decode_exact, decode_id, encode_id},
    identity::{AccountId, MessageId, SealerId, random},
    index::Way,
    limit,
    signature::{Origin, SealerKey},
    tag_list::{self, TagList},
};

const ORIGIN: &str = "Sealed-Origin";
const BOUNDARY_START: &str = "=_sealed_";

/// What stands around the original.
pub struct Frame {
    /// Everything before the first octet of the original.
    pub head: Vec<u8>,
    /// Everything after its last octet, without padding.
    pub tail: Vec<u8>,
}

impl Frame {
    /// `outer`: the fields outside (folded lines with CRLF); `copies`: protected copies, likewise.
    pub fn new(outer: &[u8], copies: &[u8], origin: &Origin, way: Way, sealer: &SealerKey) -> Self {
        let boundary = boundary();
        let mut head = Vec::with_capacity(2 * outer.len() + copies.len() + 1024);
        for field in HeaderSection::parse(outer).fields() {
            head.extend_from_slice(b"HP-Outer: ");
            head.extend_from_slice(field.raw());
        }
        head.extend_from_slice(copies);
        write_origin(&mut head, origin, way, sealer);
        let structure = format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{boundary}\";\r\n \
             protected-headers=\"v1\"; hp=\"cipher\"\r\n\r\n--{boundary}\r\n"
        );
        head.extend_from_slice(structure.as_bytes());
        Self { head, tail: end_of(&boundary) }
    }
}

/// Writes `octets` octets of padding: lines of spaces, at most 76 columns.
pub fn write_padding(out: &mut impl Write, octets: u64) -> io::Result<()> {
    const LINE: &[u8; 76] = b"                                                                          \r\n";
    for _ in 0..octets / LINE.len() as u64 {
        out.write_all(LINE)?;
    }
    let rest = (octets % LINE.len() as u64) as usize;
    out.write_all(&LINE.map(|_| b' ')[..rest])
}

/// The size that a payload of `length` octets is padded to: at least 1 KiB, then PADMÉ (format §7.2).
pub fn bucket(length: u64) -> u64 {
    const LEAST: u64 = 1024;
    if length <= LEAST {
        return LEAST;
    }
    let exponent = length.ilog2();
    let mantissa = exponent.ilog2() + 1;
    length.next_multiple_of(1 << (exponent - mantissa))
}

/// What the root header says, not verified yet.
pub struct Head {
    /// The protected header section, as written.
    pub header: Vec<u8>,
    /// What the sealer signed.
    pub origin: Origin,
    /// Who signed, as claimed.
    pub sealer: SealerId,
    /// The signature over the origin.
    pub signature: [u8; 64],
    tail: Vec<u8>,
}

impl Head {
    /// Reads up to the first octet of the original.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let malformed = || io::Error::from(ContentError::Malformed);
        let mut header = Vec::new();
        loop {
            let before = header.len();
            let mut bounded = io::Read::take(&mut *from, (limit::MAX_PAYLOAD_HEADER - before + 1) as u64);
            bounded.read_until(b'\n', &mut header)?;
            match header.get(before..) {
                Some(b"\r\n") => break,
                Some(line) if line.ends_with(b"\r\n") && header.len() <= limit::MAX_PAYLOAD_HEADER => {}
                _ => return Err(malformed()),
            }
        }
        let section = HeaderSection::parse(&header);
        let once = |name| {
            let mut found = section.all(name);
            found.next().filter(|_| found.next().is_none()).ok_or_else(malformed)
        };
        let structure = ContentType::parse(once("Content-Type")?.value());
        let boundary = structure
            .boundary()
            .and_then(|boundary| String::from_utf8(boundary.into_owned()).ok())
            .filter(|boundary| boundary.starts_with(BOUNDARY_START))
            .ok_or_else(malformed)?;
        let mut delimiter = Vec::new();
        io::Read::take(&mut *from, boundary.len() as u64 + 4).read_until(b'\n', &mut delimiter)?;
        if delimiter != format!("--{boundary}\r\n").into_bytes() {
            return Err(malformed());
        }
        let (origin, sealer, signature) = parse_origin(once(ORIGIN)?.value()).ok_or_else(malformed)?;
        let tail = end_of(&boundary);
        Ok(Self { header, origin, sealer, signature, tail })
    }

    /// After the original was read: its end, and padding to the end of the payload.
    pub fn read_tail(&self, from: &mut impl BufRead) -> io::Result<()> {
        let mut tail = vec![0; self.tail.len()];
        from.read_exact(&mut tail)?;
        if tail != self.tail {
            return Err(ContentError::Malformed.into());
        }
        loop {
            let padding = from.fill_buf()?;
            if padding.is_empty() {
                return Ok(());
            }
            if padding.iter().any(|octet| !matches!(octet, b' ' | b'\r' | b'\n')) {
                return Err(ContentError::Malformed.into());
            }
            let count = padding.len();
            from.consume(count);
        }
    }
}

fn write_origin(out: &mut Vec<u8>, origin: &Origin, way: Way, sealer: &SealerKey) {
    let id = sealer.public().id();
    let signature = STANDARD.encode_to_string(sealer.sign(&origin.transcript(id)));
    let tags = [
        ("v", "1"),
        ("acct", &encode_id(&origin.account.0)),
        ("id", &encode_id(&origin.id.0)),
        ("len", &origin.length.to_string()),
        ("h", &STANDARD.encode_to_string(origin.hash)),
        ("t", &origin.time.to_string()),
        ("q", &origin.sequence.to_string()),
        ("m", way.word()),
        ("s", &encode_id(&id.0)),
        ("sig", &signature),
    ];
    tag_list::write(out, ORIGIN, &tags);
}

fn parse_origin(value: &[u8]) -> Option<(Origin, SealerId, [u8; 64])> {
    let tags = TagList::parse(value)?;
    if tags.get("v")? != b"1" {
        return None;
    }
    let number = |name| std::str::from_utf8(tags.get(name)?).ok()?.parse::<u64>().ok();
    let origin = Origin {
        account: AccountId(decode_id(tags.get("acct")?)?),
        id: MessageId(decode_id(tags.get("id")?)?),
        length: number("len")?,
        hash: decode_exact(tags.get("h")?)?,
        time: number("t")?,
        sequence: number("q")?,
    };
    Some((origin, SealerId(decode_id(tags.get("s")?)?), decode_exact(tags.get("sig")?)?))
}

/// Drawn at random, so that nobody who sends a message can know it.
fn boundary() -> String {
    let octets: [u8; 16] = random();
    let mut boundary = String::with_capacity(BOUNDARY_START.len() + 32);
    boundary.push_str(BOUNDARY_START);
    for octet in octets {
        for digit in [octet >> 4, octet & 15] {
            boundary.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    boundary
}

fn end_of(boundary: &str) -> Vec<u8> {
    format!("\r\n--{boundary}--\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_slowly_and_never_shrink() {
        assert_eq!(bucket(1), 1024);
        assert_eq!(bucket(1024), 1024);
        let mut last = 0;
        for length in (1..100_000).step_by(37) {
            let padded = bucket(length);
            assert!(padded >= length && padded >= last && bucket(padded) == padded, "{length}");
            assert!(length < 1024 || padded * 100 <= length * 112, "{length}");
            last = padded;
        }
    }

    #[test]
    fn padding_has_the_length_asked_for() {
        for octets in [0_u64, 1, 75, 76, 77, 1000] {
            let mut out = Vec::new();
            write_padding(&mut out, octets).expect("memory");
            assert_eq!(out.len() as u64, octets);
            assert!(out.split(|&octet| octet == b'\n').all(|line| line.len() <= 76));
        }
    }
}
