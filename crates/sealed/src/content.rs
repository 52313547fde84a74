//! The content C: one symmetrically encrypted, integrity protected data packet (RFC 9580 §5.13), always with a definite
//! length in the 5-octet form. Written streaming when the plaintext's length is known, read streaming.
//!
//! In: plaintext packets and the session key; out: C; and back. The reader gives plaintext before the end was verified:
//! whoever uses it must discard all of it unless the end was reached without an error.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use aes::Aes256;
use aws_lc_rs::hkdf;
use cfb_mode::cipher::{AsyncStreamCipher, BlockDecryptMut, BlockEncryptMut, KeyIvInit, inout::InOutBuf};
use ocb3::{
    Ocb3,
    aead::{AeadInPlace, KeyInit, generic_array::GenericArray},
};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::{
    identity::{Seipd, random},
    packet::{Length, PacketHeader, long_header, tag},
    session::SessionKey,
};

/// Octets encrypted or decrypted at a time; a multiple of the cipher's block.
const STEP: usize = 64 * 1024;
const BLOCK: usize = 16;
/// Random octets of which the last two are repeated, before the plaintext (SEIPD v1).
const PREFIX: usize = BLOCK + 2;
/// Modification detection code packet at the end of the plaintext (SEIPD v1): header and SHA-1.
const MDC: usize = 22;
const MDC_HEADER: [u8; 2] = [0xd3, 0x14];
/// Version, cipher AES-256, mode OCB, chunk size (SEIPD v2).
const V2_PARAMETERS: [u8; 4] = [2, 9, 2, CHUNK_OCTET];
const CHUNK_OCTET: u8 = 12;
/// 2^(12+6) octets of plaintext in a chunk.
const CHUNK: usize = 1 << (CHUNK_OCTET + 6);
const SALT: usize = 32;
const TAG: usize = 16;
/// Octets of the nonce that are derived; the other eight are the chunk's number.
const NONCE_PREFIX: usize = 7;

/// Writes C.
pub struct ContentWriter<W: Write> {
    to: W,
    buffer: Zeroizing<Vec<u8>>,
    cipher: Cipher,
    left: u64,
}

enum Cipher {
    V1 { encryptor: Box<cfb_mode::Encryptor<Aes256>>, mdc: Sha1 },
    V2(Box<Chunks>),
}

impl<W: Write> ContentWriter<W> {
    /// Begins C for exactly `length` octets of plaintext packets.
    pub fn begin(mut to: W, version: Seipd, key: &SessionKey, length: u64) -> io::Result<Self> {
        let body = match version {
            Seipd::V1 => 1 + PREFIX as u64 + length + MDC as u64,
            Seipd::V2 => {
                (V2_PARAMETERS.len() + SALT + TAG) as u64 + length + TAG as u64 * length.div_ceil(CHUNK as u64)
            }
        };
        let body = u32::try_from(body).map_err(|_| io::Error::new(ErrorKind::FileTooLarge, "content over 4 GiB"))?;
        to.write_all(&long_header(tag::SEIPD, body))?;
        let capacity = usize::try_from(length).unwrap_or(CHUNK).min(CHUNK) + PREFIX + MDC;
        let mut buffer = Zeroizing::new(Vec::with_capacity(capacity));
        let cipher = match version {
            Seipd::V1 => {
                to.write_all(&[1])?;
                let prefix: [u8; BLOCK] = random();
                buffer.extend_from_slice(&prefix);
                buffer.extend(prefix.last_chunk::<2>().copied().unwrap_or_default());
                let encryptor = cfb_mode::Encryptor::new(key.octets().into(), &[0; BLOCK].into());
                Cipher::V1 { encryptor: Box::new(encryptor), mdc: Sha1::new() }
            }
            Seipd::V2 => {
                let salt: [u8; SALT] = random();
                to.write_all(&V2_PARAMETERS)?;
                to.write_all(&salt)?;
                Cipher::V2(Box::new(Chunks::new(key, &salt)))
            }
        };
        Ok(Self { to, buffer, cipher, left: length })
    }

    /// Ends C and gives the writer back. An error unless exactly the announced length was written.
    pub fn finish(mut self) -> io::Result<W> {
        if self.left != 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "less content than announced"));
        }
        match self.cipher {
            Cipher::V1 { encryptor, mut mdc } => {
                self.buffer.extend_from_slice(&MDC_HEADER);
                mdc.update(&*self.buffer);
                self.buffer.extend_from_slice(&mdc.finalize());
                encryptor.encrypt(&mut self.buffer);
                self.to.write_all(&self.buffer)?;
            }
            Cipher::V2(mut chunks) => {
                if !self.buffer.is_empty() {
                    let tag = chunks.encrypt(&mut self.buffer);
                    self.to.write_all(&self.buffer)?;
                    self.to.write_all(&tag)?;
                }
                self.to.write_all(&chunks.final_tag())?;
            }
        }
        Ok(self.to)
    }

    fn flush_step(&mut self) -> io::Result<()> {
        match &mut self.cipher {
            Cipher::V1 { encryptor, mdc } => {
                mdc.update(&*self.buffer);
                let (blocks, _) = InOutBuf::from(self.buffer.as_mut_slice()).into_chunks();
                encryptor.encrypt_blocks_inout_mut(blocks);
                self.to.write_all(&self.buffer)?;
            }
            Cipher::V2(chunks) => {
                let tag = chunks.encrypt(&mut self.buffer);
                self.to.write_all(&self.buffer)?;
                self.to.write_all(&tag)?;
            }
        }
        self.buffer.clear();
        Ok(())
    }

    fn step(&self) -> usize {
        match self.cipher {
            Cipher::V1 { .. } => STEP,
            Cipher::V2(_) => CHUNK,
        }
    }
}

impl<W: Write> Write for ContentWriter<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let step = self.step();
        let mut rest = octets;
        while !rest.is_empty() {
            if self.buffer.len() == step {
                self.flush_step()?;
            }
            let (now, later) = rest.split_at_checked(step - self.buffer.len()).unwrap_or((rest, b""));
            self.buffer.extend_from_slice(now);
            rest = later;
        }
        self.left = (self.left)
            .checked_sub(octets.len() as u64)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "more content than announced"))?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why C cannot be decrypted. It travels inside an [`io::Error`], since C is read through [`Read`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ContentError {
    /// Not one encrypted packet of the profile, with a definite length.
    #[error("the encrypted content is malformed")]
    Malformed,
    /// It ends too early.
    #[error("the encrypted content is cut off")]
    Truncated,
    /// Another key, or changed on the way.
    #[error("the encrypted content was changed or the key is another one")]
    Forged,
}

impl From<ContentError> for io::Error {
    fn from(error: ContentError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Reads the plaintext packets of C. Gives the end of file only after everything was verified; what it gave before is
/// not verified yet.
pub struct ContentReader<R: Read> {
    from: R,
    buffer: Zeroizing<Vec<u8>>,
    /// What of the buffer was handed out already.
    given: usize,
    decryption: Decryption,
    /// Octets of ciphertext still to read, without what ends the packet.
    left: u64,
    verified: bool,
}

enum Decryption {
    V1 { decryptor: Box<cfb_mode::Decryptor<Aes256>>, mdc: Sha1, prefix: usize },
    V2(Box<Chunks>),
}

impl<R: Read> ContentReader<R> {
    /// Begins to read C, header first. Nothing may follow C.
    pub fn begin(mut from: R, version: Seipd, key: &SessionKey) -> io::Result<Self> {
        let body = read_header(&mut from)?;
        let (decryption, taken, ending, minimum) = match version {
            Seipd::V1 => {
                let mut version = [0];
                read_exactly(&mut from, &mut version)?;
                if version != [1] {
                    return Err(ContentError::Malformed.into());
                }
                let decryptor = Box::new(cfb_mode::Decryptor::new(key.octets().into(), &[0; BLOCK].into()));
                (Decryption::V1 { decryptor, mdc: Sha1::new(), prefix: PREFIX }, 1, 0, 1 + PREFIX + MDC)
            }
            Seipd::V2 => {
                let mut parameters = [0; V2_PARAMETERS.len()];
                read_exactly(&mut from, &mut parameters)?;
                if parameters != V2_PARAMETERS {
                    return Err(ContentError::Malformed.into());
                }
                let mut salt = [0; SALT];
                read_exactly(&mut from, &mut salt)?;
                let taken = V2_PARAMETERS.len() + SALT;
                (Decryption::V2(Box::new(Chunks::new(key, &salt))), taken, TAG, taken + TAG)
            }
        };
        if body < minimum as u64 {
            return Err(ContentError::Malformed.into());
        }
        let left = body - (taken + ending) as u64;
        Ok(Self { from, buffer: Zeroizing::new(Vec::new()), given: 0, decryption, left, verified: false })
    }

    /// Octets that the next step takes of the ciphertext.
    fn next_step(&self) -> usize {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        match self.decryption {
            // The last step takes the whole detection code with it.
            Decryption::V1 { .. } if left <= STEP + MDC => left,
            Decryption::V1 { .. } => STEP,
            Decryption::V2(_) => left.min(CHUNK + TAG),
        }
    }

    /// Decrypts the next step into the buffer.
    fn fill(&mut self) -> io::Result<()> {
        let size = self.next_step();
        self.buffer.clear();
        self.buffer.resize(size, 0);
        self.given = 0;
        read_exactly(&mut self.from, &mut self.buffer)?;
        self.left -= size as u64;
        let last = self.left == 0;
        match &mut self.decryption {
            Decryption::V1 { decryptor, mdc, prefix } => {
                let (blocks, tail) = InOutBuf::from(self.buffer.as_mut_slice()).into_chunks();
                decryptor.decrypt_blocks_inout_mut(blocks);
                if !tail.is_empty() {
                    decryptor.as_ref().clone().decrypt_inout(tail);
                }
                self.given = std::mem::take(prefix);
                if last {
                    self.verified = true;
                    return self.verify_mdc();
                }
                mdc.update(&*self.buffer);
            }
            Decryption::V2(chunks) => {
                if size > 0 {
                    chunks.decrypt(&mut self.buffer)?;
                }
                if last {
                    let mut tag = [0; TAG];
                    read_exactly(&mut self.from, &mut tag)?;
                    aws_lc_rs::constant_time::verify_slices_are_equal(&tag, &chunks.final_tag())
                        .map_err(|_| ContentError::Forged)?;
                    self.verified = true;
                }
            }
        }
        Ok(())
    }

    fn verify_mdc(&mut self) -> io::Result<()> {
        let Decryption::V1 { mdc, .. } = &mut self.decryption else { return Ok(()) };
        let code = self.buffer.len().checked_sub(MDC - MDC_HEADER.len()).ok_or(ContentError::Malformed)?;
        let (hashed, expected) = self.buffer.split_at_checked(code).ok_or(ContentError::Malformed)?;
        mdc.update(hashed);
        let found = mdc.finalize_reset();
        aws_lc_rs::constant_time::verify_slices_are_equal(&found, expected).map_err(|_| ContentError::Forged)?;
        if !hashed.ends_with(&MDC_HEADER) {
            return Err(ContentError::Forged.into());
        }
        let plain = self.buffer.len() - MDC;
        self.buffer.truncate(plain);
        Ok(())
    }
}

impl<R: Read> BufRead for ContentReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given >= self.buffer.len() && !self.verified {
            self.fill()?;
        }
        if self.given >= self.buffer.len() && self.from.read(&mut [0])? != 0 {
            return Err(ContentError::Malformed.into());
        }
        Ok(self.buffer.get(self.given..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.given += count;
    }
}

impl<R: Read> Read for ContentReader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        copy_out(self, to)
    }
}

/// [`Read::read`] in terms of [`BufRead`].
pub(crate) fn copy_out(from: &mut impl BufRead, to: &mut [u8]) -> io::Result<usize> {
    if to.is_empty() {
        return Ok(0);
    }
    let ready = from.fill_buf()?;
    let count = ready.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..count), ready.get(..count)) {
        to.copy_from_slice(from);
    }
    from.consume(count);
    Ok(count)
}

/// The chunks of SEIPD v2 (RFC 9580 §5.13.2): each encrypted on its own, then one tag over the whole length.
struct Chunks {
    cipher: Ocb3<Aes256, ocb3::consts::U15>,
    nonce_prefix: [u8; NONCE_PREFIX],
    next: u64,
    length: u64,
}

/// Key and nonce prefix are derived together.
struct KeyAndNonce;

impl hkdf::KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        32 + NONCE_PREFIX
    }
}

impl Chunks {
    fn new(key: &SessionKey, salt: &[u8; SALT]) -> Self {
        let mut derived = Zeroizing::new([0; 32 + NONCE_PREFIX]);
        let [version, cipher, mode, chunk] = V2_PARAMETERS;
        let info = [0xc0 | tag::SEIPD, version, cipher, mode, chunk];
        let info: [&[u8]; 1] = [&info];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.octets());
        extracted
            .expand(&info, KeyAndNonce)
            .and_then(|octets| octets.fill(&mut *derived))
            .expect("39 octets are a length HKDF gives");
        let (key, nonce) = derived.split_at(32);
        let mut nonce_prefix = [0; NONCE_PREFIX];
        nonce_prefix.copy_from_slice(nonce);
        Self { cipher: Ocb3::new(GenericArray::from_slice(key)), nonce_prefix, next: 0, length: 0 }
    }

    fn nonce(&self) -> [u8; 15] {
        let mut nonce = [0; 15];
        nonce[..NONCE_PREFIX].copy_from_slice(&self.nonce_prefix);
        nonce[NONCE_PREFIX..].copy_from_slice(&self.next.to_be_bytes());
        nonce
    }

    fn associated() -> [u8; 5] {
        let [version, cipher, mode, chunk] = V2_PARAMETERS;
        [0xc0 | tag::SEIPD, version, cipher, mode, chunk]
    }

    fn encrypt(&mut self, plain: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .cipher
            .encrypt_in_place_detached(&self.nonce().into(), &Self::associated(), plain)
            .expect("OCB takes a chunk of this size");
        self.next += 1;
        self.length += plain.len() as u64;
        tag.into()
    }

    fn decrypt(&mut self, chunk: &mut Vec<u8>) -> Result<(), ContentError> {
        let plain = chunk.len().checked_sub(TAG).ok_or(ContentError::Malformed)?;
        let (octets, tag) = chunk.split_at_mut(plain);
        self.cipher
            .decrypt_in_place_detached(&self.nonce().into(), &Self::associated(), octets, GenericArray::from_slice(tag))
            .map_err(|_| ContentError::Forged)?;
        chunk.truncate(plain);
        self.next += 1;
        self.length += plain as u64;
        Ok(())
    }

    fn final_tag(&mut self) -> [u8; TAG] {
        let mut associated = Self::associated().to_vec();
        associated.extend_from_slice(&self.length.to_be_bytes());
        self.cipher
            .encrypt_in_place_detached(&self.nonce().into(), &associated, &mut [])
            .expect("OCB takes an empty chunk")
            .into()
    }
}

/// Reads the packet header of C: the length of its body.
fn read_header(from: &mut impl Read) -> io::Result<u64> {
    let mut octets = [0; 6];
    // quirk: the 1- and 2-octet length forms are read too (RFC 9580 §4.2.1); a writer never uses them.
    let mut known = 2;
    read_exactly(from, &mut octets[..known])?;
    loop {
        match PacketHeader::parse(&octets[..known]) {
            Ok(PacketHeader { tag: tag::SEIPD, body: Length::Definite(body), .. }) => return Ok(body),
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
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(version: Seipd, plain: &[u8], key: &SessionKey) -> Vec<u8> {
        let mut writer = ContentWriter::begin(Vec::new(), version, key, plain.len() as u64).expect("memory");
        for piece in plain.chunks(40_000) {
            writer.write_all(piece).expect("memory");
        }
        writer.finish().expect("the announced length")
    }

    fn decrypted(version: Seipd, content: &[u8], key: &SessionKey) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        ContentReader::begin(content, version, key)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    const VERSIONS: [Seipd; 2] = [Seipd::V1, Seipd::V2];

    #[test]
    fn every_awkward_length_comes_back() {
        let key = SessionKey::generate();
        for around in [0, 16, STEP, 2 * STEP, CHUNK, 2 * CHUNK] {
            for length in around.saturating_sub(50)..around + 50 {
                let plain: Vec<u8> = (0..length).map(|octet| (octet * 31) as u8).collect();
                for version in VERSIONS {
                    let content = encrypted(version, &plain, &key);
                    assert!(decrypted(version, &content, &key).is_ok_and(|octets| octets == plain), "{length}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_length_is_no_content() {
        let key = SessionKey::generate();
        for version in VERSIONS {
            let mut writer = ContentWriter::begin(Vec::new(), version, &key, 3).expect("memory");
            writer.write_all(b"ab").expect("memory");
            assert!(writer.finish().is_err());
            let mut writer = ContentWriter::begin(Vec::new(), version, &key, 3).expect("memory");
            assert!(writer.write_all(b"abcd").is_err());
        }
    }

    #[test]
    fn every_change_and_every_cut_is_an_error() {
        let key = SessionKey::generate();
        for version in VERSIONS {
            let content = encrypted(version, b"a short text", &key);
            for end in 0..content.len() {
                assert!(decrypted(version, &content[..end], &key).is_err(), "cut at {end}");
                let mut changed = content.clone();
                changed[end] ^= 0x10;
                assert!(decrypted(version, &changed, &key).is_err(), "changed at {end}");
            }
            assert!(decrypted(version, &[content.as_slice(), b"x"].concat(), &key).is_err());
            assert!(decrypted(version, &content, &SessionKey::generate()).is_err());
        }
    }
}
