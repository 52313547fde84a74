//! The content of DATA: dots taken out, its end found (RFC 5321 §4.5.2).
//!
//! In: octets as they come. Out: the content, and how many octets it and its end took. The end is CR LF . CR LF and nothing that looks like
//! it; a line begins after CR LF and nowhere else. Whoever reads this loosely lets one message hold another (SMTP smuggling).

use memchr::memchr;

/// Where the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// After CRLF, or at the beginning.
    #[default]
    LineStart,
    /// After a dot at the beginning of a line, which is kept back.
    Dot,
    /// After a dot and a CR at the beginning of a line, which are kept back.
    DotCr,
    /// Within a line.
    Text,
    /// After a CR, which was given out.
    Cr,
}

/// Takes dots out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unstuff {
    at: At,
}

/// What came of some octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unstuffed {
    /// All of them were content.
    More,
    /// The content is over; so many octets belonged to it and to its end.
    End(usize),
}

impl Unstuff {
    /// Gives the content among `octets` to `out`.
    pub(crate) fn feed(&mut self, octets: &[u8], out: &mut impl FnMut(&[u8])) -> Unstuffed {
        // Content from `start` on was not given out yet.
        let (mut start, mut here) = (0, 0);
        while let Some(&octet) = octets.get(here) {
            self.at = match (self.at, octet) {
                (At::Text, _) => {
                    let rest = octets.get(here..).unwrap_or_default();
                    match memchr(b'\r', rest) {
                        Some(at) => here = here.saturating_add(at),
                        None => {
                            here = octets.len();
                            continue;
                        }
                    }
                    At::Cr
                }
                (At::LineStart, b'.') => {
                    give(octets, start, here, out);
                    start = here.saturating_add(1);
                    At::Dot
                }
                (At::Dot, b'\r') => {
                    start = here.saturating_add(1);
                    At::DotCr
                }
                (At::DotCr, b'\n') => return Unstuffed::End(here.saturating_add(1)),
                (At::DotCr, other) => {
                    // The line holds more than the dot: the dot goes, the CR is content.
                    out(b"\r");
                    start = here;
                    if other == b'\r' { At::Cr } else { At::Text }
                }
                (At::Cr, b'\n') => At::LineStart,
                (At::Cr | At::LineStart, b'\r') => At::Cr,
                (At::Cr | At::LineStart | At::Dot, _) => At::Text,
            };
            here = here.saturating_add(1);
        }
        give(octets, start, octets.len(), out);
        Unstuffed::More
    }
}

fn give(octets: &[u8], start: usize, end: usize, out: &mut impl FnMut(&[u8])) {
    if let Some(content) = octets.get(start..end).filter(|content| !content.is_empty()) {
        out(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content and what is left, however the octets come.
    fn unstuff(octets: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
        let (mut content, mut unstuff, mut before) = (Vec::new(), Unstuff::default(), 0);
        for part in octets.chunks(step) {
            match unstuff.feed(part, &mut |octets| content.extend_from_slice(octets)) {
                Unstuffed::More => before += part.len(),
                Unstuffed::End(count) => return Some((content, before + count)),
            }
        }
        None
    }

    #[test]
    fn content_ends_at_its_end_only() {
        for (octets, content) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"\r\n.\r\n", b"\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b"a\n.\n\r\n.\r\n", b"a\n.\n\r\n"),
            (b"a\n.\r\n\r\n.\r\n", b"a\n.\r\n\r\n"),
            (b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n"),
            (b"a\r\n.\n\r\n.\r\n", b"a\r\n\n\r\n"),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n"),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\r\n"),
            (b"\0\xff\r\n.\r\n", b"\0\xff\r\n"),
        ] {
            let whole = [octets, b"QUIT\r\n"].concat();
            for step in 1..=whole.len() {
                let got = unstuff(&whole, step);
                assert_eq!(got, Some((content.to_vec(), octets.len())), "{octets:?} {step}");
            }
        }
        for endless in [&b"a\n.\n"[..], b"a\r\n.\r", b"a\r\n.", b"a\r.\r", b"a\n.\r\n", b"a\r\n.\n", b"a.\r\n"] {
            (1..=endless.len()).for_each(|step| assert_eq!(unstuff(endless, step), None, "{endless:?}"));
        }
    }
}
