//! The second reading of an original: the payload around it encrypted, and the result opened again and compared, on
//! another core when it is large. In: an original and what its survey told; out: the content C in a spool, and its hash.

use std::{
    io::{self, Read, Seek, Write},
    sync::mpsc,
    thread,
};

use aws_lc_rs::digest;
use sealed::{
    cms_content::CmsWriter,
    content::ContentWriter,
    identity::{Encryption, Hash, Profile, Seipd},
    limit,
    literal::{self, Last},
    original::recover,
    payload,
    session::SessionKey,
    signature::Origin,
    spool::SpoolReader,
};
use zeroize::Zeroizing;

use crate::{
    error::SealError,
    settings::{Padding, Settings},
    survey::{STEP, Survey, read_some},
};

/// Encrypts into `place` and checks: the content C, and its SHA-256.
pub(crate) fn encrypt<S: Read + Write + Seek>(
    original: &mut (impl Read + Seek),
    survey: &mut Survey<S>,
    frame: &payload::Frame,
    place: S,
    key: &SessionKey,
    origin: &Origin,
    settings: &Settings<'_>,
) -> Result<(S, Hash), SealError> {
    if survey.length < CHECK_MEANWHILE {
        let mut content = write_content(original, survey, frame, place, key, settings)?;
        content.rewind().map_err(SealError::Spool)?;
        let hash = self_check(&mut content, key, origin, settings.profile)?;
        return Ok((content, hash));
    }
    thread::scope(|scope| {
        let (to, from) = mpsc::sync_channel(PIECES_IN_FLIGHT);
        let checking =
            scope.spawn(|| self_check(Pieces { from, piece: io::Cursor::default() }, key, origin, settings.profile));
        let content = write_content(original, survey, frame, Tee { place, to }, key, settings);
        let place = content.map(|tee| tee.place);
        let hash = checking.join().unwrap_or(Err(SealError::SelfCheck));
        Ok((place?, hash?))
    })
}

/// Encrypts head, original, tail and padding, and gives `to` back.
fn write_content<S: Read + Write + Seek, W: Write>(
    original: &mut (impl Read + Seek),
    survey: &mut Survey<S>,
    frame: &payload::Frame,
    to: W,
    key: &SessionKey,
    settings: &Settings<'_>,
) -> Result<W, SealError> {
    let version = match settings.profile.encryption() {
        Encryption::OpenPgp(version) => version,
        Encryption::Cms(cipher) => {
            let mut writer = CmsWriter::begin(to, cipher, key).map_err(SealError::Spool)?;
            let padded = padded(survey.length + (frame.head.len() + frame.tail.len()) as u64, settings.padding);
            write_payload(original, survey, frame, padded, &mut writer)?;
            return writer.finish().map_err(SealError::Spool);
        }
    };
    let around = (frame.head.len() + frame.tail.len()) as u64;
    let payload = survey.length + around;
    let compressed = survey
        .compressed
        .take()
        .filter(|deflated| deflated.length().saturating_mul(limit::STORE_ABOVE_RATIO) >= survey.length);
    match compressed {
        Some(deflated) => write_compressed(deflated, payload, frame, to, key, version, settings),
        None => {
            let padded = padded(payload, settings.padding);
            let header = literal::literal_header(padded).ok_or(SealError::TooLarge)?;
            let length = header.len() as u64 + padded;
            let mut writer = ContentWriter::begin(to, version, key, length).map_err(SealError::Spool)?;
            writer.write_all(&header).map_err(SealError::Spool)?;
            write_payload(original, survey, frame, padded, &mut writer)?;
            writer.finish().map_err(SealError::Spool)
        }
    }
}

/// The payload as it is, padded to so many octets.
fn write_payload<S: Read + Write + Seek>(
    original: &mut (impl Read + Seek),
    survey: &Survey<S>,
    frame: &payload::Frame,
    padded: u64,
    writer: &mut impl Write,
) -> Result<(), SealError> {
    let payload = survey.length + (frame.head.len() + frame.tail.len()) as u64;
    original.rewind().map_err(SealError::Read)?;
    writer.write_all(&frame.head).map_err(SealError::Spool)?;
    copy(original, survey.length, writer)?;
    writer.write_all(&frame.tail).map_err(SealError::Spool)?;
    payload::write_padding(writer, padded.saturating_sub(payload)).map_err(SealError::Spool)
}

/// The same, compressed: stored blocks for what stands before and after, the deflated original between them, and a
/// padding that makes the compressed size a bucket exactly (format §7.3).
fn write_compressed<S: Read + Write + Seek, W: Write>(
    mut deflated: SpoolReader<S>,
    payload: u64,
    frame: &payload::Frame,
    to: W,
    key: &SessionKey,
    version: Seipd,
    settings: &Settings<'_>,
) -> Result<W, SealError> {
    let before = literal::stored_length(literal::LITERAL_HEADER + frame.head.len()) as u64 + deflated.length();
    let least = before + literal::stored_length(frame.tail.len()) as u64;
    let total = padded(least, settings.padding);
    let after = usize::try_from(total - before).map_err(|_| SealError::TooLarge)?;
    let (blocks, octets) = literal::stored_exactly(after).ok_or(SealError::TooLarge)?;
    let padding = octets.checked_sub(frame.tail.len()).ok_or(SealError::TooLarge)?;
    let literal = literal::literal_header(payload + padding as u64).ok_or(SealError::TooLarge)?;
    let header = literal::compressed_header(total).ok_or(SealError::TooLarge)?;

    let mut writer = ContentWriter::begin(to, version, key, header.len() as u64 + total).map_err(SealError::Spool)?;
    let head = [&literal[..], &frame.head].concat();
    let mut tail = frame.tail.clone();
    payload::write_padding(&mut tail, padding as u64).map_err(SealError::Spool)?;
    writer
        .write_all(&header)
        .and_then(|()| literal::write_stored(&mut writer, &head, literal::stored_blocks(head.len()), Last::No))
        .map_err(SealError::Spool)?;
    let length = deflated.length();
    copy(&mut deflated, length, &mut writer)?;
    literal::write_stored(&mut writer, &tail, blocks, Last::Yes).map_err(SealError::Spool)?;
    writer.finish().map_err(SealError::Spool)
}

fn padded(length: u64, padding: Padding) -> u64 {
    match padding {
        Padding::Bucket => payload::bucket(length),
        Padding::None => length,
    }
}

/// Copies exactly `length` octets; more or fewer mean that the original changed since it was surveyed.
fn copy(from: &mut impl Read, length: u64, to: &mut impl Write) -> Result<(), SealError> {
    let size = usize::try_from(length).unwrap_or(STEP).clamp(1, STEP);
    let mut step = Zeroizing::new(vec![0; size]);
    let mut left = length;
    loop {
        let count = read_some(from, &mut step).map_err(SealError::Read)?;
        left = left.checked_sub(count as u64).ok_or(SealError::Changed)?;
        if count == 0 {
            return if left == 0 { Ok(()) } else { Err(SealError::Changed) };
        }
        to.write_all(step.get(..count).unwrap_or_default()).map_err(SealError::Spool)?;
    }
}

/// Opens C and compares: SHA-256 of C.
fn self_check(content: impl Read, key: &SessionKey, origin: &Origin, profile: Profile) -> Result<Hash, SealError> {
    let mut hashed = Hashed { from: content, hash: digest::Context::new(&digest::SHA256) };
    let recovered = recover(&mut hashed, profile, key, &mut io::sink()).map_err(|_| SealError::SelfCheck)?;
    if recovered.origin != *origin {
        return Err(SealError::SelfCheck);
    }
    hashed.hash.finish().as_ref().try_into().map_err(|_| SealError::SelfCheck)
}

/// From this size on, the self-check runs on another core while the rest is still being encrypted.
const CHECK_MEANWHILE: u64 = 1024 * 1024;
/// Pieces of ciphertext that wait for the self-check at most.
const PIECES_IN_FLIGHT: usize = 4;

/// Ciphertext to the spool and to the self-check.
struct Tee<S> {
    place: S,
    to: mpsc::SyncSender<Vec<u8>>,
}

impl<S: Write> Write for Tee<S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.place.write_all(octets)?;
        // The check may have ended with an error already; it tells so itself.
        let _ = self.to.send(octets.to_vec());
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.place.flush()
    }
}

/// The self-check's end of it.
struct Pieces {
    from: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(to)?;
            if count > 0 || to.is_empty() {
                return Ok(count);
            }
            match self.from.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
    }
}

struct Hashed<R> {
    from: R,
    hash: digest::Context,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to)?;
        self.hash.update(to.get(..count).unwrap_or_default());
        Ok(count)
    }
}
