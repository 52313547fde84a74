//! What a message looks like that was not sealed here: its Message-ID and its lines.
//!
//! In: a message. Out: hashes, so that it is known again where a server has stored it, whatever line ends it has there. Nothing of it is kept.

use std::io::{self, BufRead, BufReader, Read};

use aws_lc_rs::digest::{Context, SHA256};
use mail::HeaderSection;
use sealed::identity::{Hash, sha256};
use sealed::outer::read_header_section;

/// A Message-ID, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(Hash);

/// What a message looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    /// None: it has no Message-ID.
    pub(crate) name: Option<Name>,
    lines: Hash,
    /// Its body without white space: what servers that add header fields or break lines anew leave as it is.
    body: Hash,
}

/// That a message has no Message-ID, nor any other name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nameless(());

impl Name {
    /// Of the message whose header section that is.
    pub(crate) fn of(header: &[u8]) -> Option<Name> {
        let section = HeaderSection::parse(header);
        let name = section.first("Message-ID")?.unfolded_text().trim().to_owned();
        (!name.is_empty()).then(|| Name(sha256(name.as_bytes())))
    }
}

impl Likeness {
    pub(crate) fn of(message: &mut impl Read) -> io::Result<Likeness> {
        let mut message = BufReader::new(message);
        // What is too large for a header section names nothing: it is read over all the same.
        let section = read_header_section(&mut message)?;
        let (header, rest) = section.unwrap_or_default();
        let mut lines = Lines { context: Context::new(&SHA256), ends: 0 };
        let mut body = Context::new(&SHA256);
        lines.take(&header);
        lines.take(&rest);
        dense(&mut body, &rest);
        loop {
            let octets = message.fill_buf()?;
            if octets.is_empty() {
                break;
            }
            lines.take(octets);
            dense(&mut body, octets);
            let count = octets.len();
            message.consume(count);
        }
        Ok(Likeness { name: Name::of(&header), lines: lines.hash(), body: hash(body) })
    }

    /// Whether there is no name to look for it by.
    pub(crate) fn nameless(&self) -> Option<Nameless> {
        self.name.is_none().then_some(Nameless(()))
    }

    /// Whether what a server shows for it has its content, in whatever form.
    pub(crate) fn has_content_of(&self, other: &Likeness) -> bool {
        self.body == other.body
    }
}

fn dense(body: &mut Context, octets: &[u8]) {
    octets.split(u8::is_ascii_whitespace).for_each(|word| body.update(word));
}

fn hash(context: Context) -> Hash {
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// Lines, whatever ends them; those that are empty at the end count for nothing.
struct Lines {
    context: Context,
    ends: u64,
}

impl Lines {
    fn take(&mut self, octets: &[u8]) {
        for part in octets.split_inclusive(|octet| *octet == b'\n') {
            let (line, ends) = part.strip_suffix(b"\n").map_or((part, 0), |line| (line, 1));
            for piece in line.split(|octet| *octet == b'\r').filter(|piece| !piece.is_empty()) {
                for _ in 0..std::mem::take(&mut self.ends) {
                    self.context.update(b"\n");
                }
                self.context.update(piece);
            }
            self.ends = self.ends.saturating_add(ends);
        }
    }

    fn hash(self) -> Hash {
        hash(self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_make_no_difference_and_everything_else_does() {
        let of = |text: &str| Likeness::of(&mut text.as_bytes()).expect("in memory");
        let one = of("Message-ID: <a@b>\r\nSubject: x\r\n\r\none\r\n\r\ntwo\r\n");
        assert_eq!(one, of("Message-ID: <a@b>\nSubject: x\n\none\n\ntwo\n\n"));
        assert_eq!(one.name, of("message-id:\r\n <a@b>\r\n\r\nother").name);
        for other in ["Message-ID: <a@b>\nSubject: x\n\none\ntwo\n", "Message-ID: <a@b>\nSubject: x\n\none\n\ntwo."] {
            assert_ne!(one, of(other), "{other}");
        }
        assert_eq!(of("Subject: x\n\nMessage-ID: <a@b>\n").name, None);
        let rewrapped = of("X-Added: y\nMessage-ID: <a@b>\nSubject: x\n\none two\n");
        assert!(rewrapped != one && rewrapped.has_content_of(&one));
        assert!(!of("Message-ID: <a@b>\nSubject: x\n\none three\n").has_content_of(&one));
    }
}
