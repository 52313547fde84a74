//! A message as IMAP carries it: every line ends in CRLF (RFC 3501 §2.3.4, RFC 5321 §2.3.8).
//!
//! In: octets in pieces. Out: the same with CR before each LF that lacks it. quirk: NUL, which no literal may hold (RFC 3501 §9), becomes 0x80, as Dovecot
//! has it.

use std::borrow::Cow;

/// A piece in the form of the wire. `before`: the last octet of the piece before it, as it was; zero at the beginning.
pub fn wire_form(before: u8, octets: &[u8]) -> Cow<'_, [u8]> {
    if is_wire_form(before, octets) {
        return Cow::Borrowed(octets);
    }
    let mut wire = Vec::with_capacity(octets.len().saturating_add(octets.len() / 16).saturating_add(16));
    let mut last = before;
    for &octet in octets {
        match octet {
            b'\n' if last != b'\r' => wire.extend_from_slice(b"\r\n"),
            0 => wire.push(0x80),
            other => wire.push(other),
        }
        last = octet;
    }
    Cow::Owned(wire)
}

fn is_wire_form(before: u8, octets: &[u8]) -> bool {
    if memchr::memchr(0, octets).is_some() {
        return false;
    }
    memchr::memchr_iter(b'\n', octets).all(|at| match at.checked_sub(1) {
        Some(previous) => octets.get(previous) == Some(&b'\r'),
        None => before == b'\r',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_crlf_wherever_the_pieces_are_cut() {
        for (octets, wire) in [
            (&b"A: 1\r\n\r\nx\r\n"[..], &b"A: 1\r\n\r\nx\r\n"[..]),
            (b"A: 1\n\nx\n", b"A: 1\r\n\r\nx\r\n"),
            (b"\n\r\n\n\r\r\n", b"\r\n\r\n\r\n\r\r\n"),
            (b"a\0b\n", b"a\x80b\r\n"),
            (b"a\rb", b"a\rb"),
            (b"", b""),
        ] {
            for step in 1..=octets.len().max(1) {
                let mut out = Vec::new();
                let mut before = 0;
                for piece in octets.chunks(step) {
                    out.extend_from_slice(&wire_form(before, piece));
                    before = piece.last().copied().unwrap_or(before);
                }
                assert_eq!(out, wire, "{step}");
            }
        }
    }
}
