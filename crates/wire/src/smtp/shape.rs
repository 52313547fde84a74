//! What a message is made of, as far as handing it on as it is depends on it.
//!
//! In: its octets, as they pass. Out: lines of ASCII, lines of any octets, or neither. Nothing is changed.

use memchr::{memchr, memchr2_iter};

/// What a message is made of, the easiest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// ASCII in lines (RFC 5321 §2.3.8).
    #[default]
    Lines,
    /// Octets beyond ASCII, in lines (RFC 6152).
    EightBit,
    /// A CR or LF by itself, a NUL, or an end without CRLF: only counted octets carry it safely (RFC 3030).
    Binary,
}

/// Looks at the octets of one message as they pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looking {
    shape: Shape,
    /// The octet before was a CR.
    after_cr: bool,
    /// The last line has no end yet. Long lines are no reason to count: they go on as long as they came.
    open: bool,
}

impl Looking {
    /// The next octets.
    pub fn look(&mut self, octets: &[u8]) {
        if self.shape == Shape::Binary {
            return;
        }
        if !octets.is_ascii() {
            self.shape = Shape::EightBit;
        }
        if memchr(0, octets).is_some() {
            self.shape = Shape::Binary;
        }
        let mut start = 0;
        for at in memchr2_iter(b'\r', b'\n', octets) {
            if at > start {
                self.text();
            }
            match octets.get(at) {
                // A CR after a CR: the first one stands by itself.
                Some(b'\r') if self.after_cr => self.shape = Shape::Binary,
                Some(b'\r') => self.after_cr = true,
                _ if self.after_cr => (self.after_cr, self.open) = (false, false),
                _ => self.shape = Shape::Binary,
            }
            start = at.saturating_add(1);
        }
        if octets.len() > start {
            self.text();
        }
    }

    fn text(&mut self) {
        if self.after_cr {
            self.shape = Shape::Binary;
        }
        (self.after_cr, self.open) = (false, true);
    }

    /// That was the last of them.
    pub fn finish(self) -> Shape {
        if self.after_cr || self.open { Shape::Binary } else { self.shape }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_however_the_octets_come() {
        let long = format!("{}\r\n", "x".repeat(5000));
        for (octets, shape) in [
            (&b""[..], Shape::Lines),
            (b"a\r\nb\r\n", Shape::Lines),
            (b"\r\n\r\n", Shape::Lines),
            ("ä\r\n".as_bytes(), Shape::EightBit),
            (b"a\nb\r\n", Shape::Binary),
            (b"a\rb\r\n", Shape::Binary),
            (b"a\r\r\n", Shape::Binary),
            (b"a\r\n\n", Shape::Binary),
            (b"a\0\r\n", Shape::Binary),
            (b"a", Shape::Binary),
            (b"a\r", Shape::Binary),
            (long.as_bytes(), Shape::Lines),
        ] {
            let mut whole = Looking::default();
            whole.look(octets);
            let mut each = Looking::default();
            octets.iter().for_each(|octet| each.look(&[*octet]));
            assert_eq!((whole.finish(), each.finish()), (shape, shape), "{octets:?}");
        }
    }
}
