//! A CMS message taken apart as it comes: DER or BER octets of a ContentInfo with EnvelopedData or AuthEnvelopedData in
//! (RFC 5652 §6.1, RFC 5083 §2.1), K and C out (format §8). Constant memory, however long the ciphertext.
//!
//! Definite and indefinite lengths (X.690 §8.1.3) and strings in pieces are read alike, since servers write a message anew.
//! Whatever has something beside that, such as attributes or originator information, is no sealed message.

use std::io::{self, Write};

use aws_lc_rs::digest;

use crate::{
    cms::{AUTH_ENVELOPED, CONTEXT_0, CONTEXT_0_PRIMITIVE, DATA, ENVELOPED, INTEGER, OCTET_STRING, OID, SEQUENCE, SET},
    cms_content,
    identity::{CmsCipher, Hash},
    limit,
};

/// Octets of the small elements: object identifiers, version, algorithm, tag.
const MAX_SMALL: u64 = 64;

/// Splits a message that is handed over in pieces.
pub(crate) struct CmsSplitter {
    cipher: CmsCipher,
    pending: Vec<u8>,
    /// Octets of `pending` that were taken, and octets before them and all that were.
    taken: usize,
    offset: u64,
    expected: Expected,
    /// Where each open container ends; None for one of indefinite length.
    open: Vec<Option<u64>>,
    key: Vec<u8>,
    hash: digest::Context,
    length: u64,
    invalid: bool,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The begin of a container with this tag.
    Begin(u8, After),
    /// A whole element.
    Element(Element),
    /// `encryptedContent`, in one piece or in several.
    Ciphertext,
    /// The next piece of it, or its end.
    Piece,
    /// So many more octets of it.
    Octets(u64, Within),
    /// The end of a container.
    End(Closing),
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    ContentInfo,
    Explicit,
    Enveloped,
    EncryptedContent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Kind,
    Version,
    Recipients,
    ContentType,
    Algorithm,
    Tag,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Whole,
    Piece,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    EncryptedContent,
    Enveloped,
    Explicit,
    ContentInfo,
}

/// What a message was split into.
pub(crate) struct CmsParts {
    /// K: the SET OF RecipientInfo.
    pub(crate) key: Vec<u8>,
    /// SHA-256 of C.
    pub(crate) content_hash: Hash,
    /// Octets of C.
    pub(crate) content_length: u64,
}

/// No octets are there yet, or they are wrong.
enum Stop {
    More,
    Invalid,
    Io(io::Error),
}

impl CmsSplitter {
    /// For a message of this kind; the other one is invalid.
    pub(crate) fn new(cipher: CmsCipher) -> Self {
        Self {
            cipher,
            pending: Vec::new(),
            taken: 0,
            offset: 0,
            expected: Expected::Begin(SEQUENCE, After::ContentInfo),
            open: Vec::new(),
            key: Vec::new(),
            hash: digest::Context::new(&digest::SHA256),
            length: 0,
            invalid: false,
        }
    }

    /// Takes more octets; those of C are written to `to`.
    pub(crate) fn take(&mut self, octets: &[u8], to: &mut impl Write) -> io::Result<()> {
        if self.invalid {
            return Ok(());
        }
        self.pending.extend_from_slice(octets);
        let stopped = loop {
            match self.step(to) {
                Ok(()) => {}
                Err(Stop::More) => break Ok(()),
                Err(Stop::Invalid) => {
                    self.invalid = true;
                    break Ok(());
                }
                Err(Stop::Io(error)) => break Err(error),
            }
        };
        // Once for all that was taken: a string may come in very many pieces.
        self.pending.drain(..self.taken.min(self.pending.len()));
        self.taken = 0;
        stopped
    }

    /// What was not taken yet.
    fn rest(&self) -> &[u8] {
        self.pending.get(self.taken..).unwrap_or_default()
    }

    /// All octets were taken. None when they were no sealed message's.
    pub(crate) fn finish(self) -> Option<CmsParts> {
        let whole = !self.invalid && self.expected == Expected::Nothing && self.pending.is_empty();
        let content_hash = self.hash.finish().as_ref().try_into().ok()?;
        whole.then_some(CmsParts { key: self.key, content_hash, content_length: self.length })
    }

    fn step(&mut self, to: &mut impl Write) -> Result<(), Stop> {
        self.expected = match self.expected {
            Expected::Begin(tag, after) => {
                let length = self.header(tag)?;
                self.enter(length);
                match after {
                    After::ContentInfo => Expected::Element(Element::Kind),
                    After::Explicit => Expected::Begin(SEQUENCE, After::Enveloped),
                    After::Enveloped => Expected::Element(Element::Version),
                    After::EncryptedContent => Expected::Element(Element::ContentType),
                }
            }
            Expected::Element(element) => self.element(element, to)?,
            Expected::Ciphertext => match self.rest().first() {
                None => return Err(Stop::More),
                Some(&CONTEXT_0_PRIMITIVE) => {
                    let length = self.header(CONTEXT_0_PRIMITIVE)?.ok_or(Stop::Invalid)?;
                    Expected::Octets(length, Within::Whole)
                }
                Some(_) => {
                    let length = self.header(CONTEXT_0)?;
                    self.enter(length);
                    Expected::Piece
                }
            },
            Expected::Piece => {
                if self.leave()? {
                    Expected::End(Closing::EncryptedContent)
                } else {
                    Expected::Octets(self.header(OCTET_STRING)?.ok_or(Stop::Invalid)?, Within::Piece)
                }
            }
            Expected::Octets(0, Within::Whole) => Expected::End(Closing::EncryptedContent),
            Expected::Octets(0, Within::Piece) => Expected::Piece,
            Expected::Octets(left, within) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.rest().len());
                if count == 0 {
                    return Err(Stop::More);
                }
                let octets = self.draw(count);
                self.content(&octets, to)?;
                Expected::Octets(left - count as u64, within)
            }
            Expected::End(closing) => {
                if !self.leave()? {
                    return Err(Stop::Invalid);
                }
                match (closing, self.cipher) {
                    (Closing::EncryptedContent, CmsCipher::Gcm) => Expected::Element(Element::Tag),
                    (Closing::EncryptedContent, CmsCipher::Cbc) => Expected::End(Closing::Enveloped),
                    (Closing::Enveloped, _) => Expected::End(Closing::Explicit),
                    (Closing::Explicit, _) => Expected::End(Closing::ContentInfo),
                    (Closing::ContentInfo, _) => Expected::Nothing,
                }
            }
            // Nothing may follow.
            Expected::Nothing if self.rest().is_empty() => return Err(Stop::More),
            Expected::Nothing => return Err(Stop::Invalid),
        };
        Ok(())
    }

    fn element(&mut self, element: Element, to: &mut impl Write) -> Result<Expected, Stop> {
        let (tag, most) = match element {
            Element::Kind | Element::ContentType => (OID, MAX_SMALL),
            Element::Version => (INTEGER, MAX_SMALL),
            Element::Recipients => (SET, limit::MAX_KEY_MATERIAL as u64),
            Element::Algorithm => (SEQUENCE, MAX_SMALL),
            Element::Tag => (OCTET_STRING, MAX_SMALL),
        };
        let (header, length) = parse_header(self.rest(), tag)?;
        let length = length.filter(|&length| length <= most).ok_or(Stop::Invalid)?;
        let whole = header + usize::try_from(length).map_err(|_| Stop::Invalid)?;
        if self.rest().len() < whole {
            return Err(Stop::More);
        }
        let octets = self.draw(whole);
        let body = octets.get(header..).unwrap_or_default();
        let kind = match self.cipher {
            CmsCipher::Cbc => ENVELOPED,
            CmsCipher::Gcm => AUTH_ENVELOPED,
        };
        Ok(match element {
            Element::Kind if body == kind => Expected::Begin(CONTEXT_0, After::Explicit),
            Element::Version if body.len() == 1 => Expected::Element(Element::Recipients),
            Element::Recipients => {
                self.key = octets;
                Expected::Begin(SEQUENCE, After::EncryptedContent)
            }
            Element::ContentType if body == DATA => Expected::Element(Element::Algorithm),
            Element::Algorithm => {
                self.content(&octets, to)?;
                Expected::Ciphertext
            }
            Element::Tag if body.len() == cms_content::TAG => {
                self.content(body, to)?;
                Expected::End(Closing::Enveloped)
            }
            Element::Kind | Element::Version | Element::ContentType | Element::Tag => return Err(Stop::Invalid),
        })
    }

    /// Octets of C.
    fn content(&mut self, octets: &[u8], to: &mut impl Write) -> Result<(), Stop> {
        self.hash.update(octets);
        self.length += octets.len() as u64;
        to.write_all(octets).map_err(Stop::Io)
    }

    /// Takes a header: the length that it states, None for an indefinite one.
    fn header(&mut self, tag: u8) -> Result<Option<u64>, Stop> {
        let (header, length) = parse_header(self.rest(), tag)?;
        self.draw(header);
        Ok(length)
    }

    fn enter(&mut self, length: Option<u64>) {
        self.open.push(length.map(|length| self.offset.saturating_add(length)));
    }

    /// Is the innermost container at its end? It is left, then.
    fn leave(&mut self) -> Result<bool, Stop> {
        let ended = match self.open.last() {
            None => return Err(Stop::Invalid),
            Some(Some(end)) if self.offset > *end => return Err(Stop::Invalid),
            Some(Some(end)) => self.offset == *end,
            // End-of-contents octets.
            Some(None) => match self.rest() {
                [0, 0, ..] => {
                    self.draw(2);
                    true
                }
                [] | [0] => return Err(Stop::More),
                _ => false,
            },
        };
        if ended {
            self.open.pop();
        }
        Ok(ended)
    }

    /// Takes octets; there are as many.
    fn draw(&mut self, count: usize) -> Vec<u8> {
        let octets = self.rest().get(..count).unwrap_or_default().to_vec();
        self.offset += count as u64;
        self.taken += count;
        octets
    }
}

/// Octets of the header, and the length that it states.
fn parse_header(octets: &[u8], tag: u8) -> Result<(usize, Option<u64>), Stop> {
    let mut rest = octets.iter().copied();
    if rest.next().ok_or(Stop::More)? != tag {
        return Err(Stop::Invalid);
    }
    match rest.next().ok_or(Stop::More)? {
        0x80 => Ok((2, None)),
        short @ 0..0x80 => Ok((2, Some(u64::from(short)))),
        long => {
            let count = usize::from(long & 0x7f);
            if count > 8 {
                return Err(Stop::Invalid);
            }
            let digits = octets.get(2..2 + count).ok_or(Stop::More)?;
            Ok((2 + count, Some(digits.iter().fold(0, |length, &digit| length << 8 | u64::from(digit)))))
        }
    }
}
