//! The S/MIME body of a sealed message (format §8, RFC 8551 §3.2): one CMS ContentInfo, base64. Written streaming from K and
//! C, with indefinite lengths around what may change; read streaming, with the ciphertext C going to a place that the
//! caller gives.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Write},
};

use base64_simd::STANDARD;
use mail::HeaderSection;

use crate::{
    base64_lines::Base64Lines,
    cms::{self, AUTH_ENVELOPED, CONTEXT_0, DATA, ENVELOPED, INTEGER, OCTET_STRING, OID, SEQUENCE},
    cms_split::{CmsParts, CmsSplitter},
    identity::CmsCipher,
};

/// Header fields of the body, from `Content-Type` on, and the empty line.
pub(crate) fn structure(cipher: CmsCipher) -> String {
    let kind = match cipher {
        CmsCipher::Cbc => "enveloped-data",
        CmsCipher::Gcm => "authEnveloped-data",
    };
    format!(
        "Content-Type: application/pkcs7-mime; smime-type={kind};\r\n name=\"smime.p7m\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"smime.p7m\"\r\n\r\n"
    )
}

/// Begin and end of something of indefinite length (X.690 §8.1.3.6).
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// Writes K and C as the body.
pub struct BodyWriter<W: Write> {
    lines: Base64Lines<W>,
    /// Octets of C that were written, and that will be.
    written: u64,
    length: u64,
    /// What stands between the pieces of C, but is no part of it: at which octet of C, and what.
    between: VecDeque<(u64, Vec<u8>)>,
}

impl<W: Write> BodyWriter<W> {
    /// Begins the body. `key`: K. `content`: octets of C.
    pub fn begin(to: W, cipher: CmsCipher, key: &[u8], content: u64) -> io::Result<Self> {
        let no_content = || io::Error::new(io::ErrorKind::InvalidInput, "this is no content");
        let starts = cipher.algorithm_length() as u64;
        let ends = content.checked_sub(cipher.tag_length() as u64).ok_or_else(no_content)?;
        let ciphertext =
            ends.checked_sub(starts).and_then(|length| u32::try_from(length).ok()).ok_or_else(no_content)?;
        let (kind, version) = match cipher {
            CmsCipher::Cbc => (ENVELOPED, cms::enveloped_version(key)),
            CmsCipher::Gcm => (AUTH_ENVELOPED, 0),
        };
        // quirk: gpgsm 2.2 takes no primitive string within an indefinite length, so it is a constructed one of one piece.
        let before = [&[CONTEXT_0, INDEFINITE, OCTET_STRING][..], &length_octets(ciphertext)].concat();
        let mut after = [END_OF_CONTENTS; 2].concat();
        if cipher == CmsCipher::Gcm {
            after.extend_from_slice(&[OCTET_STRING, cipher.tag_length() as u8]);
        }
        let between = VecDeque::from([(starts, before), (ends, after)]);
        let mut lines = Base64Lines::new(to);
        lines.write(&[SEQUENCE, INDEFINITE, OID, kind.len() as u8])?;
        lines.write(kind)?;
        lines.write(&[CONTEXT_0, INDEFINITE, SEQUENCE, INDEFINITE, INTEGER, 1, version])?;
        lines.write(key)?;
        lines.write(&[SEQUENCE, INDEFINITE, OID, DATA.len() as u8])?;
        lines.write(DATA)?;
        Ok(Self { lines, written: 0, length: content, between })
    }

    /// Writes more of C.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut rest = octets;
        while let Some((position, _)) = self.between.front() {
            let before = usize::try_from(position.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let Some((now, later)) = rest.split_at_checked(before) else { break };
            self.content(now)?;
            if let Some((_, octets)) = self.between.pop_front() {
                self.lines.write(&octets)?;
            }
            rest = later;
        }
        self.content(rest)
    }

    /// Ends the body and gives the writer back. An error unless exactly the announced content was written.
    pub fn finish(mut self) -> io::Result<W> {
        if self.written != self.length || !self.between.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "other content than announced"));
        }
        self.lines.write(&[END_OF_CONTENTS; 3].concat())?;
        self.lines.finish()
    }

    fn content(&mut self, octets: &[u8]) -> io::Result<()> {
        self.written += octets.len() as u64;
        self.lines.write(octets)
    }
}

/// The shortest form of a definite length (X.690 §8.1.3, §10.1).
fn length_octets(length: u32) -> Vec<u8> {
    if length < 0x80 {
        return vec![length as u8];
    }
    let octets = length.to_be_bytes();
    let zeros = length.leading_zeros() as usize / 8;
    let digits = octets.get(zeros..).unwrap_or_default();
    [&[0x80 | digits.len() as u8], digits].concat()
}

/// Reads a whole body: `rest` of it was read already. None when it is not one CMS message of this kind, or damaged.
pub(crate) fn read_body(
    section: &HeaderSection<'_>,
    rest: &[u8],
    from: &mut impl BufRead,
    cipher: CmsCipher,
    content: &mut impl Write,
) -> io::Result<Option<CmsParts>> {
    let mut decoder = Decoder { cms: CmsSplitter::new(cipher), text: is_base64(section).then(Text::default) };
    decoder.feed(rest, content)?;
    loop {
        let more = from.fill_buf()?;
        if more.is_empty() {
            return Ok(decoder.finish());
        }
        let count = more.len();
        decoder.feed(more, content)?;
        from.consume(count);
    }
}

/// Is the body base64, as every S/MIME program writes it? Some gateways take it apart to the octets themselves.
pub(crate) fn is_base64(section: &HeaderSection<'_>) -> bool {
    let encoding = section.first("Content-Transfer-Encoding").map(|field| field.unfolded()).unwrap_or_default();
    encoding.trim_ascii().eq_ignore_ascii_case(b"base64")
}

/// Octets of a body within which the kind of its CMS message is told.
pub const KIND_WITHIN: u64 = 64;

/// Is this how such a body begins? However much of it is missing.
pub fn begins_enveloped(body: &[u8]) -> bool {
    let text = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace());
    let text: Vec<u8> = text.take(KIND_WITHIN as usize).collect();
    let whole = text.get(..text.len() / 4 * 4).unwrap_or_default();
    STANDARD.decode_to_vec(whole).is_ok_and(|octets| cms::begins_enveloped(&octets))
}

struct Decoder {
    cms: CmsSplitter,
    /// None when the body needs no decoding.
    text: Option<Text>,
}

/// base64 text on its way.
#[derive(Default)]
struct Text {
    /// Characters that wait for the rest of their quantum.
    quantum: Vec<u8>,
    /// Padding was seen: nothing may follow.
    ended: bool,
    invalid: bool,
}

impl Decoder {
    fn feed(&mut self, octets: &[u8], content: &mut impl Write) -> io::Result<()> {
        let Some(text) = &mut self.text else { return self.cms.take(octets, content) };
        let mut fresh = octets.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).peekable();
        if text.invalid || fresh.peek().is_none() {
            return Ok(());
        }
        text.quantum.extend(fresh);
        let ready = text.quantum.len() / 4 * 4;
        let whole = text.quantum.get(..ready).unwrap_or_default();
        let decoded = STANDARD.decode_to_vec(whole).ok().filter(|decoded| decoded.is_empty() || !text.ended);
        let Some(decoded) = decoded else {
            text.invalid = true;
            return Ok(());
        };
        text.ended |= whole.ends_with(b"=");
        text.quantum.drain(..ready);
        self.cms.take(&decoded, content)
    }

    fn finish(self) -> Option<CmsParts> {
        let whole = self.text.is_none_or(|text| !text.invalid && text.quantum.is_empty());
        self.cms.finish().filter(|_| whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cms::CONTEXT_0_PRIMITIVE, identity::sha256};

    fn key() -> Vec<u8> {
        // SET { SEQUENCE { INTEGER 0, OCTET STRING }, [1] { INTEGER 3 } }
        vec![0x31, 14, 0x30, 7, 2, 1, 0, 4, 2, 9, 9, 0xa1, 3, 2, 1, 3]
    }

    fn content(cipher: CmsCipher, ciphertext: usize) -> Vec<u8> {
        let mut algorithm = vec![0x30, cipher.algorithm_length() as u8 - 2];
        algorithm.resize(cipher.algorithm_length(), 5);
        [algorithm, vec![7; ciphertext], vec![8; cipher.tag_length()]].concat()
    }

    fn body(cipher: CmsCipher, content: &[u8], step: usize) -> Vec<u8> {
        let mut writer = BodyWriter::begin(Vec::new(), cipher, &key(), content.len() as u64).expect("memory");
        for piece in content.chunks(step) {
            writer.write(piece).expect("memory");
        }
        writer.finish().expect("the announced length")
    }

    fn read(body: &[u8], cipher: CmsCipher, step: usize) -> Option<(CmsParts, Vec<u8>)> {
        let section = HeaderSection::parse(b"Content-Transfer-Encoding: base64\r\n\r\n");
        let mut from = io::BufReader::with_capacity(step, body);
        let mut content = Vec::new();
        let parts = read_body(&section, b"", &mut from, cipher, &mut content).expect("memory")?;
        Some((parts, content))
    }

    #[test]
    fn what_was_written_is_read_in_every_step() {
        for cipher in [CmsCipher::Cbc, CmsCipher::Gcm] {
            for length in [0, 1, 16, 127, 128, 255, 256, 5000, 70_000] {
                let content = content(cipher, length);
                for step in [1, 7, 64, 10_000] {
                    let text = body(cipher, &content, step);
                    assert!(text.split(|&octet| octet == b'\n').all(|line| line.len() <= 65));
                    let (parts, read) = read(&text, cipher, step).expect("a body of ours");
                    assert_eq!((parts.key, read.len()), (key(), content.len()));
                    assert!(read == content && parts.content_hash == sha256(&content));
                    assert_eq!(parts.content_length, content.len() as u64);
                }
            }
        }
    }

    #[test]
    fn what_is_more_or_less_or_another_kind_is_none() {
        for (cipher, other) in [(CmsCipher::Cbc, CmsCipher::Gcm), (CmsCipher::Gcm, CmsCipher::Cbc)] {
            let whole = content(cipher, 300);
            let text = body(cipher, &whole, 1000);
            assert!(read(&text, cipher, 1000).is_some());
            assert!(read(&text, other, 1000).is_none());
            for end in 0..text.len() - 2 {
                assert!(read(&text[..end], cipher, 1000).is_none(), "cut at {end}");
            }
            for more in [&b"AAAA"[..], b"text", b"\r\n--\r\n", b"="] {
                assert!(read(&[text.as_slice(), more].concat(), cipher, 1000).is_none());
            }
            let mut writer = BodyWriter::begin(Vec::new(), cipher, &key(), whole.len() as u64).expect("memory");
            writer.write(&whole[1..]).expect("memory");
            assert!(writer.finish().is_err());
        }
    }

    /// Pieces of one octet each: as many headers as octets, and still no more work than for one piece.
    #[test]
    fn very_many_pieces() {
        let content = content(CmsCipher::Cbc, 300_000);
        let (algorithm, ciphertext) = content.split_at(CmsCipher::Cbc.algorithm_length());
        let pieces: Vec<u8> = ciphertext.iter().flat_map(|&octet| [OCTET_STRING, 0, OCTET_STRING, 1, octet]).collect();
        let begin = [SEQUENCE, INDEFINITE, OID, ENVELOPED.len() as u8];
        let middle = [CONTEXT_0, INDEFINITE, SEQUENCE, INDEFINITE, INTEGER, 1, 2];
        let encrypted = [&[SEQUENCE, INDEFINITE, OID, DATA.len() as u8], DATA, algorithm].concat();
        let string = [&[CONTEXT_0, INDEFINITE], pieces.as_slice()].concat();
        let octets =
            [&begin[..], ENVELOPED, &middle, &key(), &encrypted, &string, &[END_OF_CONTENTS; 5].concat()].concat();
        let (_, found) = read(STANDARD.encode_to_string(&octets).as_bytes(), CmsCipher::Cbc, 1 << 20).expect("ours");
        assert!(found == content);
    }

    #[test]
    fn definite_lengths_and_pieces_say_the_same() {
        let der = |tag: u8, body: &[u8]| [&[tag, 0x82, (body.len() >> 8) as u8, body.len() as u8], body].concat();
        let content = content(CmsCipher::Cbc, 300);
        let (algorithm, ciphertext) = content.split_at(CmsCipher::Cbc.algorithm_length());
        let pieces: Vec<u8> = ciphertext.chunks(70).flat_map(|piece| der(OCTET_STRING, piece)).collect();
        for string in [der(CONTEXT_0_PRIMITIVE, ciphertext), der(CONTEXT_0, &pieces)] {
            let encrypted = der(SEQUENCE, &[&der(OID, DATA), algorithm, &string].concat());
            let enveloped = der(SEQUENCE, &[&der(INTEGER, &[2]), key().as_slice(), &encrypted].concat());
            let info = der(SEQUENCE, &[der(OID, ENVELOPED), der(CONTEXT_0, &enveloped)].concat());
            let text = STANDARD.encode_to_string(&info);
            let (parts, found) = read(text.as_bytes(), CmsCipher::Cbc, 10).expect("the same in other lengths");
            assert!(found == content && parts.key == key());
            // One octet more inside than a container says.
            for at in [3, 22] {
                let mut wrong = info.clone();
                wrong[at] ^= 1;
                assert!(read(STANDARD.encode_to_string(&wrong).as_bytes(), CmsCipher::Cbc, 10).is_none(), "{at}");
            }
        }
    }
}
