//! OpenPGP packet framing (RFC 9580 §4.2): the header of a packet read, and the forms that we write.
//! Octets in, tag and body length out. It never looks into a packet's body.

/// Packet tags that we meet (RFC 9580 §5).
pub mod tag {
    /// Public-key encrypted session key.
    pub const PKESK: u8 = 1;
    /// Symmetric-key encrypted session key.
    pub const SKESK: u8 = 3;
    /// Compressed data.
    pub const COMPRESSED: u8 = 8;
    /// Symmetrically encrypted data, without integrity protection.
    pub const SED: u8 = 9;
    /// Marker.
    pub const MARKER: u8 = 10;
    /// Literal data.
    pub const LITERAL: u8 = 11;
    /// Symmetrically encrypted, integrity protected data.
    pub const SEIPD: u8 = 18;
    /// Modification detection code.
    pub const MDC: u8 = 19;
    /// GnuPG's own authenticated encryption (LibrePGP).
    pub const GNUPG_OCB: u8 = 20;
    /// Padding.
    pub const PADDING: u8 = 21;
}

/// A packet's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketHeader {
    /// What packet it is.
    pub tag: u8,
    /// Octets that the header itself takes.
    pub header: usize,
    /// Octets of the body.
    pub body: Length,
}

/// How long a packet's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// This many octets.
    Definite(u64),
    /// New-format partial body lengths; the first part has this many octets.
    Partial(u64),
    /// Old-format: to the end of what holds it.
    Indeterminate,
}

/// Why no packet header could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    /// More octets are needed.
    #[error("a packet is cut off")]
    Truncated,
    /// The first octet is no packet tag.
    #[error("not an OpenPGP packet")]
    NotAPacket,
}

impl PacketHeader {
    /// Reads the header at the start of `octets`.
    pub fn parse(octets: &[u8]) -> Result<Self, PacketError> {
        let mut rest = octets.iter().copied();
        let first = rest.next().ok_or(PacketError::Truncated)?;
        if first & 0x80 == 0 {
            return Err(PacketError::NotAPacket);
        }
        let mut number = |count: usize| {
            let mut value = 0_u64;
            for _ in 0..count {
                value = value << 8 | u64::from(rest.next().ok_or(PacketError::Truncated)?);
            }
            Ok(value)
        };
        if first & 0x40 == 0 {
            let (size, indeterminate) = match first & 0x03 {
                0 => (1, false),
                1 => (2, false),
                2 => (4, false),
                _ => (0, true),
            };
            let length = number(size)?;
            let body = if indeterminate { Length::Indeterminate } else { Length::Definite(length) };
            return Ok(Self { tag: first >> 2 & 0x0f, header: 1 + size, body });
        }
        let tag = first & 0x3f;
        let (header, body) = match number(1)? {
            short @ 0..=191 => (2, Length::Definite(short)),
            middle @ 192..=223 => (3, Length::Definite(((middle - 192) << 8) + number(1)? + 192)),
            partial @ 224..=254 => (2, Length::Partial(1 << (partial & 0x1f))),
            _ => (6, Length::Definite(number(4)?)),
        };
        Ok(Self { tag, header, body })
    }
}

/// A new-format header with the 5-octet length form, whatever the length.
pub fn long_header(tag: u8, body: u32) -> [u8; 6] {
    let [a, b, c, d] = body.to_be_bytes();
    [0xc0 | tag, 0xff, a, b, c, d]
}

/// Splits key material into its packets, header included. None unless it is one or more whole PKESK packets with
/// definite lengths and nothing else.
pub fn split_wrapped_keys(key: &[u8]) -> Option<Vec<WrappedKey<'_>>> {
    let mut packets = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let header = PacketHeader::parse(rest).ok()?;
        let Length::Definite(body) = header.body else { return None };
        let whole = header.header.checked_add(usize::try_from(body).ok()?)?;
        let (packet, after) = rest.split_at_checked(whole)?;
        if header.tag != tag::PKESK || packets.len() == crate::limit::MAX_WRAPPED_KEYS {
            return None;
        }
        packets.push(WrappedKey { body: packet.get(header.header..)?, whole: packet });
        rest = after;
    }
    if packets.is_empty() { None } else { Some(packets) }
}

/// One PKESK packet of the key material.
#[derive(Clone, Copy, Debug)]
pub struct WrappedKey<'a> {
    /// Header and body.
    pub whole: &'a [u8],
    /// The body alone: version, recipient, algorithm, encrypted session key.
    pub body: &'a [u8],
}

/// Joins PKESK bodies to key material whose length is divisible by three where packet headers of another form allow it
/// (format §4.2, A11), so that the armor of the content does not depend on the keys.
pub fn join_wrapped_keys(bodies: &[Vec<u8>]) -> Vec<u8> {
    let usual: usize = bodies.iter().map(|body| usual_header(body.len()).len() + body.len()).sum();
    // Modulo three, the other form makes a short packet longer by one octet and a long one by two.
    let (short, long): (Vec<usize>, Vec<usize>) =
        (0..bodies.len()).partition(|&position| bodies.get(position).is_some_and(|body| body.len() < 192));
    let (first, second) = match usual % 3 {
        0 => (&[][..], &[][..]),
        1 => (long.get(..1).unwrap_or(&[]), short.get(..2).unwrap_or(&[])),
        _ => (short.get(..1).unwrap_or(&[]), long.get(..2).unwrap_or(&[])),
    };
    let regrown = if first.is_empty() { second } else { first };
    let mut key = Vec::with_capacity(usual + 8);
    for (position, body) in bodies.iter().enumerate() {
        let regrow = regrown.contains(&position);
        key.extend_from_slice(&if regrow { unusual_header(body.len()) } else { usual_header(body.len()) });
        key.extend_from_slice(body);
    }
    key
}

fn usual_header(body: usize) -> Vec<u8> {
    let first = 0xc0 | tag::PKESK;
    match body {
        0..192 => vec![first, body as u8],
        192..8384 => vec![first, (((body - 192) >> 8) + 192) as u8, (body - 192) as u8],
        _ => long_header(tag::PKESK, body as u32).to_vec(),
    }
}

fn unusual_header(body: usize) -> Vec<u8> {
    if body < 192 {
        return long_header(tag::PKESK, body as u32).to_vec();
    }
    let mut header = vec![0x80 | tag::PKESK << 2 | 2];
    header.extend_from_slice(&(body as u32).to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_form() {
        let cases: [(&[u8], PacketHeader); 7] = [
            (&[0xc1, 94], PacketHeader { tag: 1, header: 2, body: Length::Definite(94) }),
            (&[0xc1, 192, 0], PacketHeader { tag: 1, header: 3, body: Length::Definite(192) }),
            (&[0xd2, 0xff, 0, 0, 8, 53], PacketHeader { tag: 18, header: 6, body: Length::Definite(2101) }),
            (&[0x86, 0, 0, 1, 0], PacketHeader { tag: 1, header: 5, body: Length::Definite(256) }),
            (&[0x85, 1, 0], PacketHeader { tag: 1, header: 3, body: Length::Definite(256) }),
            (&[0xa3], PacketHeader { tag: 8, header: 1, body: Length::Indeterminate }),
            (&[0xd2, 0xe9], PacketHeader { tag: 18, header: 2, body: Length::Partial(512) }),
        ];
        for (octets, expected) in cases {
            assert_eq!(PacketHeader::parse(octets), Ok(expected));
            for end in 0..octets.len() {
                assert_eq!(PacketHeader::parse(&octets[..end]), Err(PacketError::Truncated));
            }
        }
        assert_eq!(PacketHeader::parse(b"x"), Err(PacketError::NotAPacket));
    }

    #[test]
    fn joined_keys_are_aligned_and_split_again() {
        let cases: [(&[usize], bool); 10] = [
            (&[94], true),
            (&[94, 94], true),
            // A single short packet can only grow by one, a single long one by two.
            (&[95], false),
            (&[96], true),
            (&[399], true),
            (&[400], true),
            (&[401], false),
            (&[401, 402], true),
            (&[95, 94], true),
            (&[95, 96, 401], true),
        ];
        for (sizes, aligned) in cases {
            let bodies: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![3; size]).collect();
            let key = join_wrapped_keys(&bodies);
            let split = split_wrapped_keys(&key).expect("whole packets");
            assert!(split.iter().map(|packet| packet.body).eq(bodies.iter().map(Vec::as_slice)), "{sizes:?}");
            assert_eq!(key.len().is_multiple_of(3), aligned, "{sizes:?}");
        }
        assert!(split_wrapped_keys(&[]).is_none());
        assert!(split_wrapped_keys(&[0xc1, 3, 0]).is_none());
        assert!(split_wrapped_keys(&[0xd2, 1, 0]).is_none());
    }
}
