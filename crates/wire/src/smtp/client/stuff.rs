//! The content of DATA: dots doubled at the beginning of lines (RFC 5321 §4.5.2).
//!
//! In: octets, piece by piece. Out: the same with dots doubled. A line begins after CR LF. Content with line ends that could be read otherwise is not
//! sent this way at all.

use memchr::memchr_iter;

/// Doubles dots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuff {
    /// The last two octets.
    before: [u8; 2],
}

impl Default for Stuff {
    fn default() -> Stuff {
        Stuff { before: *b"\r\n" }
    }
}

impl Stuff {
    pub(crate) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut start = 0;
        for at in memchr_iter(b'.', octets) {
            if self.ends_before(octets, at) == *b"\r\n" {
                out.extend_from_slice(octets.get(start..at).unwrap_or_default());
                out.push(b'.');
                start = at;
            }
        }
        out.extend_from_slice(octets.get(start..).unwrap_or_default());
        self.before = self.ends_before(octets, octets.len());
    }

    /// The end of the content: what is missing of its last line end, and the dot.
    pub(crate) fn finish(self) -> &'static [u8] {
        if self.before == *b"\r\n" { b".\r\n" } else { b"\r\n.\r\n" }
    }

    /// The two octets before the one at `at`.
    fn ends_before(&self, octets: &[u8], at: usize) -> [u8; 2] {
        let octet = |back: usize| at.checked_sub(back).and_then(|at| octets.get(at)).copied();
        let [first, second] = self.before;
        match (octet(2), octet(1)) {
            (Some(one), Some(two)) => [one, two],
            (None, Some(two)) => [second, two],
            _ => [first, second],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_however_the_octets_come() {
        for (octets, stuffed) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".a\r\n.\r\n..b\r\nc.d\r\n", b"..a\r\n..\r\n...b\r\nc.d\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\n.b\r\n", b"a\n.b\r\n.\r\n"),
        ] {
            for step in 1..=octets.len().max(1) {
                let (mut out, mut stuff) = (Vec::new(), Stuff::default());
                octets.chunks(step).for_each(|part| stuff.feed(part, &mut out));
                out.extend_from_slice(stuff.finish());
                assert_eq!(out, stuffed, "{octets:?} {step}");
            }
        }
    }
}
