//! Raw DEFLATE (RFC 1951) of an original into an encrypted spool: pieces compressed on their own, on all cores, each ended
//! at an octet boundary, so that they can be joined and stored blocks can follow. In: octets; out: octets, not yet a
//! finished stream.

use std::{
    io::{self, Read, Seek, Write},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use sealed::spool::{SpoolReader, SpoolWriter};
use zlib_rs::{Deflate as Encoder, DeflateConfig, DeflateFlush, Status};

use crate::base64_code;

/// Octets compressed on their own.
const PIECE: usize = 256 * 1024;
/// Octets that one call of [`Deflate::write`] should bring, for all cores to have work.
pub(crate) const BATCH: usize = 8 * PIECE;
/// A piece that does not get smaller grows by no more than this.
const ROOM: usize = PIECE + PIECE / 8 + 1024;
/// Octets looked at to tell base64 from text.
const SAMPLE: usize = 4 * 1024;

/// A piece, and what it was compressed to.
type Piece<'a> = (&'a [u8], Mutex<io::Result<Vec<u8>>>);

/// The compressor.
pub(crate) struct Deflate<S> {
    to: SpoolWriter<S>,
}

impl<S: Read + Write + Seek> Deflate<S> {
    /// Compresses into a spool.
    pub(crate) fn new(to: SpoolWriter<S>) -> Self {
        Self { to }
    }

    /// Compresses some octets; `meanwhile` runs on this thread while others begin.
    pub(crate) fn write(&mut self, octets: &[u8], meanwhile: impl FnOnce()) -> io::Result<()> {
        let pieces: Vec<Piece<'_>> = octets.chunks(PIECE).map(|piece| (piece, Mutex::new(Ok(Vec::new())))).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((piece, result)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Ok(mut result) = result.lock() {
                    *result = compressed(piece);
                }
            }
        };
        thread::scope(|scope| {
            let helpers = thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
            for _ in 1..helpers {
                scope.spawn(work);
            }
            meanwhile();
            work();
        });
        for (_, result) in pieces {
            self.to.write_all(&result.into_inner().unwrap_or_else(|_| Err(failed()))?)?;
        }
        Ok(())
    }

    /// All octets were given.
    pub(crate) fn finish(self) -> io::Result<SpoolReader<S>> {
        self.to.finish()
    }
}

/// One piece, ended by a full flush.
fn compressed(piece: &[u8]) -> io::Result<Vec<u8>> {
    if is_base64(piece) {
        let mut out = Vec::with_capacity(ROOM);
        if base64_code::compress(piece, &mut out) {
            return Ok(out);
        }
    }
    let mut config = DeflateConfig::new(1);
    config.window_bits = -15;
    let mut out = vec![0; ROOM];
    let mut encoder = Encoder::new_with_config(config);
    let status = encoder.compress(piece, &mut out, DeflateFlush::FullFlush).map_err(|_| failed())?;
    if encoder.total_in() != piece.len() as u64 || !matches!(status, Status::Ok) {
        return Err(failed());
    }
    out.truncate(usize::try_from(encoder.total_out()).unwrap_or_default());
    Ok(out)
}

/// Judged by the middle of the piece.
fn is_base64(piece: &[u8]) -> bool {
    let start = piece.len().saturating_sub(SAMPLE) / 2;
    let sample = piece.get(start..piece.len().min(start + SAMPLE)).unwrap_or_default();
    let known = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=' | b'\r' | b'\n');
    let spread = sample.iter().fold([false; 256], |mut seen, &octet| {
        if let Some(seen) = seen.get_mut(usize::from(octet)) {
            *seen = true;
        }
        seen
    });
    // A run of few letters is compressed better with matches.
    sample.iter().all(known) && spread.iter().filter(|seen| **seen).count() > 40
}

fn failed() -> io::Error {
    io::Error::other("compression failed")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn pieces_join_to_one_stream() {
        let base64: Vec<u8> = (0..700_000_u32)
            .map(|number| {
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                    [(number.wrapping_mul(2_654_435_761) >> 26) as usize]
            })
            .collect();
        let noise: Vec<u8> = (0..700_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let text = b"the same line again and again\r\n".repeat(20_000);
        for octets in [base64, noise, text, Vec::new(), b"x".to_vec()] {
            let mut deflate = Deflate::new(SpoolWriter::new(Cursor::new(Vec::new())));
            for batch in octets.chunks(BATCH) {
                deflate.write(batch, || ()).expect("memory");
            }
            let mut stream = Vec::new();
            deflate.finish().expect("memory").read_to_end(&mut stream).expect("memory");
            sealed::literal::write_stored(&mut stream, b"end", 1, sealed::literal::Last::Yes).expect("memory");
            let mut inflated = Vec::new();
            flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut inflated).expect("one stream");
            assert_eq!(inflated, [octets.as_slice(), b"end"].concat());
        }
    }
}
