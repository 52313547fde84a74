//! The content C of S/MIME (format §8): DER(contentEncryptionAlgorithm), ciphertext, and with GCM the authentication tag.
//! AES-256-CBC with PKCS #7 padding (RFC 5652 §6.3, RFC 3565 §4.1) or AES-256-GCM (RFC 5084 §3.2), written and read streaming.
//!
//! In: the payload and the session key; out: C; and back. Like [`crate::content`], the reader gives plaintext before the
//! end was verified, and CBC verifies nothing but its padding: whoever uses it must discard all of it unless the end was
//! reached without an error and what is inside proved whole.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use aes::Aes256;
use aws_lc_rs::{
    cipher::{
        AES_256, DecryptionContext, EncryptionContext, StreamingDecryptingKey, StreamingEncryptingKey, UnboundCipherKey,
    },
    iv::FixedLength,
};
use cfb_mode::cipher::{BlockEncrypt, KeyInit, KeyIvInit, StreamCipher};
use ghash::{GHash, universal_hash::UniversalHash};
use zeroize::Zeroizing;

use crate::{
    content::{ContentError, copy_out},
    identity::{CmsCipher, random},
    session::SessionKey,
};

/// Octets encrypted or decrypted at a time; a multiple of the cipher's block.
const STEP: usize = 64 * 1024;
const BLOCK: usize = 16;
/// Octets of a GCM tag.
pub(crate) const TAG: usize = 16;
const IV: usize = 16;
/// RFC 5084 §3.2: 12 is recommended.
const NONCE: usize = 12;
/// GCM counts blocks in 32 bits (NIST SP 800-38D §5.2.1.1).
const MAX_GCM: u64 = (1 << 36) - 32;

/// SEQUENCE { aes256-CBC, OCTET STRING of 16 }: what stands before the IV.
const CBC_START: [u8; 15] =
    [0x30, 0x1d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a, 0x04, IV as u8];
/// SEQUENCE { aes256-GCM, SEQUENCE { OCTET STRING of 12, INTEGER 16 } }: what stands before the nonce, and after it.
const GCM_START: [u8; 17] =
    [0x30, 0x1e, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e, 0x30, 0x11, 0x04, NONCE as u8];
const GCM_END: [u8; 3] = [0x02, 0x01, TAG as u8];

impl CmsCipher {
    /// Octets of DER(contentEncryptionAlgorithm), as it is written.
    pub fn algorithm_length(self) -> usize {
        match self {
            Self::Cbc => CBC_START.len() + IV,
            Self::Gcm => GCM_START.len() + NONCE + GCM_END.len(),
        }
    }

    /// Octets of C behind the ciphertext.
    pub fn tag_length(self) -> usize {
        match self {
            Self::Cbc => 0,
            Self::Gcm => TAG,
        }
    }
}

/// Writes C.
pub struct CmsWriter<W: Write> {
    to: W,
    /// Plaintext of less than a step.
    buffer: Zeroizing<Vec<u8>>,
    cipher: Encrypting,
}

enum Encrypting {
    /// The buffer beside it takes the ciphertext.
    Cbc(StreamingEncryptingKey, Vec<u8>),
    Gcm(Box<Gcm>),
}

impl<W: Write> CmsWriter<W> {
    /// Begins C with its algorithm.
    pub fn begin(mut to: W, cipher: CmsCipher, key: &SessionKey) -> io::Result<Self> {
        let cipher = match cipher {
            CmsCipher::Cbc => {
                let iv: [u8; IV] = random();
                to.write_all(&CBC_START)?;
                to.write_all(&iv)?;
                let context = EncryptionContext::Iv128(FixedLength::from(iv));
                let key = StreamingEncryptingKey::less_safe_cbc_pkcs7(cipher_key(key)?, context).map_err(failed)?;
                Encrypting::Cbc(key, vec![0; STEP + BLOCK])
            }
            CmsCipher::Gcm => {
                let nonce: [u8; NONCE] = random();
                to.write_all(&GCM_START)?;
                to.write_all(&nonce)?;
                to.write_all(&GCM_END)?;
                Encrypting::Gcm(Box::new(Gcm::new(key, &nonce)))
            }
        };
        Ok(Self { to, buffer: Zeroizing::new(Vec::with_capacity(STEP)), cipher })
    }

    /// Ends C and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_step()?;
        match self.cipher {
            Encrypting::Cbc(key, mut out) => {
                let (_, last) = key.finish(&mut out).map_err(failed)?;
                self.to.write_all(last.written())?;
            }
            Encrypting::Gcm(gcm) => self.to.write_all(&gcm.tag())?,
        }
        Ok(self.to)
    }

    fn flush_step(&mut self) -> io::Result<()> {
        match &mut self.cipher {
            Encrypting::Cbc(key, out) => {
                let ready = key.update(&self.buffer, out).map_err(failed)?;
                self.to.write_all(ready.written())?;
            }
            Encrypting::Gcm(gcm) => {
                gcm.encrypt(&mut self.buffer)?;
                self.to.write_all(&self.buffer)?;
            }
        }
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for CmsWriter<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.buffer.len() == STEP {
                self.flush_step()?;
            }
            let (now, later) = rest.split_at_checked(STEP - self.buffer.len()).unwrap_or((rest, b""));
            self.buffer.extend_from_slice(now);
            rest = later;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the payload out of C. Gives the end of file only after the padding, or the tag, was verified.
pub struct CmsReader<R: Read> {
    from: R,
    /// Plaintext, of which `given` octets were handed out.
    buffer: Zeroizing<Vec<u8>>,
    given: usize,
    /// Ciphertext that may be the last: the tag, or what is not a whole step yet.
    ahead: Vec<u8>,
    decryption: Decrypting,
}

enum Decrypting {
    Cbc(StreamingDecryptingKey),
    Gcm(Box<Gcm>),
    /// All was read and verified.
    Done,
}

impl<R: Read> CmsReader<R> {
    /// Begins to read C, its algorithm first. Any other than the one that is written is refused.
    pub fn begin(mut from: R, cipher: CmsCipher, key: &SessionKey) -> io::Result<Self> {
        let decryption = match cipher {
            CmsCipher::Cbc => {
                expect(&mut from, &CBC_START)?;
                let mut iv = [0; IV];
                read_exactly(&mut from, &mut iv)?;
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                Decrypting::Cbc(StreamingDecryptingKey::cbc_pkcs7(cipher_key(key)?, context).map_err(failed)?)
            }
            CmsCipher::Gcm => {
                expect(&mut from, &GCM_START)?;
                let mut nonce = [0; NONCE];
                read_exactly(&mut from, &mut nonce)?;
                expect(&mut from, &GCM_END)?;
                Decrypting::Gcm(Box::new(Gcm::new(key, &nonce)))
            }
        };
        let (buffer, ahead) = (Zeroizing::new(Vec::new()), Vec::new());
        Ok(Self { from, buffer, given: 0, ahead, decryption })
    }

    /// Decrypts the next step into the buffer.
    fn fill(&mut self) -> io::Result<()> {
        let wanted = (STEP + TAG - self.ahead.len()) as u64;
        self.from.by_ref().take(wanted).read_to_end(&mut self.ahead)?;
        let last = self.ahead.len() < STEP + TAG;
        self.given = 0;
        match std::mem::replace(&mut self.decryption, Decrypting::Done) {
            Decrypting::Cbc(mut key) => {
                let now = if last { self.ahead.len() } else { STEP };
                self.buffer.clear();
                self.buffer.resize(now + 2 * BLOCK, 0);
                let taken = self.ahead.get(..now).unwrap_or_default();
                let mut count = key.update(taken, &mut self.buffer).map_err(forged)?.written().len();
                if last {
                    let rest = self.buffer.get_mut(count..).unwrap_or_default();
                    count += key.finish(rest).map_err(forged)?.written().len();
                } else {
                    self.decryption = Decrypting::Cbc(key);
                }
                self.buffer.truncate(count);
                self.ahead.drain(..now);
            }
            Decrypting::Gcm(mut gcm) => {
                let now = if last { self.ahead.len().checked_sub(TAG).ok_or(ContentError::Truncated)? } else { STEP };
                self.buffer.clear();
                self.buffer.extend(self.ahead.drain(..now));
                gcm.decrypt(&mut self.buffer)?;
                if last {
                    aws_lc_rs::constant_time::verify_slices_are_equal(&gcm.tag(), &self.ahead)
                        .map_err(|_| ContentError::Forged)?;
                } else {
                    self.decryption = Decrypting::Gcm(gcm);
                }
            }
            Decrypting::Done => {}
        }
        Ok(())
    }
}

impl<R: Read> BufRead for CmsReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given >= self.buffer.len() && !matches!(self.decryption, Decrypting::Done) {
            self.fill()?;
        }
        Ok(self.buffer.get(self.given..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.given += count;
    }
}

impl<R: Read> Read for CmsReader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        copy_out(self, to)
    }
}

/// AES-256-GCM without associated data (NIST SP 800-38D §7), in steps: aws-lc takes a message only as a whole.
struct Gcm {
    counter: ctr::Ctr32BE<Aes256>,
    hash: GHash,
    mask: [u8; BLOCK],
    length: u64,
}

impl Gcm {
    fn new(key: &SessionKey, nonce: &[u8; NONCE]) -> Self {
        let mut hash_key = ghash::Key::default();
        Aes256::new(key.octets().into()).encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        zeroize::Zeroize::zeroize(hash_key.as_mut_slice());
        let mut first = [0; BLOCK];
        first[..NONCE].copy_from_slice(nonce);
        first[BLOCK - 1] = 1;
        let mut counter = ctr::Ctr32BE::<Aes256>::new(key.octets().into(), &first.into());
        let mut mask = [0; BLOCK];
        counter.apply_keystream(&mut mask);
        Self { counter, hash, mask, length: 0 }
    }

    /// Only the last step may have a length that is no multiple of the block.
    fn encrypt(&mut self, octets: &mut [u8]) -> io::Result<()> {
        self.count(octets)?;
        self.counter.apply_keystream(octets);
        self.hash.update_padded(octets);
        Ok(())
    }

    fn decrypt(&mut self, octets: &mut [u8]) -> io::Result<()> {
        self.count(octets)?;
        self.hash.update_padded(octets);
        self.counter.apply_keystream(octets);
        Ok(())
    }

    fn count(&mut self, octets: &[u8]) -> io::Result<()> {
        self.length += octets.len() as u64;
        if self.length > MAX_GCM { Err(ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    }

    fn tag(mut self: Box<Self>) -> [u8; TAG] {
        let mut lengths = ghash::Block::default();
        lengths[BLOCK / 2..].copy_from_slice(&(self.length * 8).to_be_bytes());
        self.hash.update(&[lengths]);
        let mut tag = self.mask;
        for (octet, hashed) in tag.iter_mut().zip(self.hash.finalize()) {
            *octet ^= hashed;
        }
        tag
    }
}

fn cipher_key(key: &SessionKey) -> io::Result<UnboundCipherKey> {
    UnboundCipherKey::new(&AES_256, key.octets()).map_err(failed)
}

fn failed(_: aws_lc_rs::error::Unspecified) -> io::Error {
    io::Error::other("the cipher cannot be used")
}

fn forged(_: aws_lc_rs::error::Unspecified) -> io::Error {
    ContentError::Forged.into()
}

fn expect(from: &mut impl Read, octets: &[u8]) -> io::Result<()> {
    let mut found = vec![0; octets.len()];
    read_exactly(from, &mut found)?;
    if found == octets { Ok(()) } else { Err(ContentError::Malformed.into()) }
}

fn read_exactly(from: &mut impl Read, to: &mut [u8]) -> io::Result<()> {
    from.read_exact(to).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => ContentError::Truncated.into(),
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    use super::*;

    const CIPHERS: [CmsCipher; 2] = [CmsCipher::Cbc, CmsCipher::Gcm];

    fn encrypted(cipher: CmsCipher, plain: &[u8], key: &SessionKey) -> Vec<u8> {
        let mut writer = CmsWriter::begin(Vec::new(), cipher, key).expect("memory");
        for piece in plain.chunks(40_000) {
            writer.write_all(piece).expect("memory");
        }
        writer.finish().expect("memory")
    }

    fn decrypted(cipher: CmsCipher, content: &[u8], key: &SessionKey) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        CmsReader::begin(content, cipher, key)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn every_awkward_length_comes_back_and_gcm_is_that_of_aws_lc() {
        let key = SessionKey::generate();
        let whole = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.octets()).expect("32 octets"));
        for around in [0, STEP, STEP + TAG, 2 * STEP, 2 * STEP + TAG] {
            for length in around.saturating_sub(40)..around + 40 {
                let plain: Vec<u8> = (0..length).map(|octet| (octet * 31) as u8).collect();
                for cipher in CIPHERS {
                    let content = encrypted(cipher, &plain, &key);
                    assert!(decrypted(cipher, &content, &key).is_ok_and(|octets| octets == plain), "{length}");
                    assert!(content.len() >= cipher.algorithm_length() + length + cipher.tag_length());
                }
                let content = encrypted(CmsCipher::Gcm, &plain, &key);
                let nonce = content[GCM_START.len()..GCM_START.len() + NONCE].try_into().expect("12 octets");
                let mut octets = content[CmsCipher::Gcm.algorithm_length()..].to_vec();
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened = whole.open_in_place(nonce, Aad::empty(), &mut octets).expect("the same GCM");
                assert!(opened == plain, "{length}");
            }
        }
    }

    #[test]
    fn every_change_and_every_cut_is_an_error_with_gcm() {
        let key = SessionKey::generate();
        let content = encrypted(CmsCipher::Gcm, b"a short text", &key);
        for end in 0..content.len() {
            assert!(decrypted(CmsCipher::Gcm, &content[..end], &key).is_err(), "cut at {end}");
            let mut changed = content.clone();
            changed[end] ^= 0x10;
            assert!(decrypted(CmsCipher::Gcm, &changed, &key).is_err(), "changed at {end}");
        }
        assert!(decrypted(CmsCipher::Gcm, &[content.as_slice(), b"x"].concat(), &key).is_err());
        assert!(decrypted(CmsCipher::Gcm, &content, &SessionKey::generate()).is_err());
        assert!(decrypted(CmsCipher::Cbc, &content, &key).is_err());
    }

    #[test]
    fn cbc_refuses_what_is_no_whole_block() {
        let key = SessionKey::generate();
        let content = encrypted(CmsCipher::Cbc, b"a text that is a little longer than two blocks", &key);
        for end in 0..content.len() {
            let opened = decrypted(CmsCipher::Cbc, &content[..end], &key);
            // CBC proves nothing: a cut between blocks may leave a padding that looks right. It never leaves the text.
            assert!(opened.is_err() || (end - CmsCipher::Cbc.algorithm_length()).is_multiple_of(BLOCK), "{end}");
            assert!(opened.map_or(true, |octets| octets != b"a text that is a little longer than two blocks"));
        }
    }
}
