//! Octets deflated on their way (RFC 4978 §4, RFC 1951: raw, no header).
//!
//! In: octets, or what another side made of them. Out: the other one. Inflating gives no more than there is room for, so that a few octets that
//! stand for many take no memory. Never: a dictionary that outlives the connection.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a mail program or a server packed, unpacked.
pub(crate) struct Inflate {
    machine: Decompress,
    packed: Vec<u8>,
    used: usize,
}

/// Octets, packed.
pub(crate) struct Deflate {
    machine: Compress,
    packed: Vec<u8>,
}

/// Octets that a packed piece has room for at first.
const ROOM: usize = 8 << 10;

impl Inflate {
    pub(crate) fn new() -> Self {
        Self { machine: Decompress::new(false), packed: Vec::new(), used: 0 }
    }

    /// Takes packed octets in.
    pub(crate) fn feed(&mut self, packed: &[u8]) {
        self.packed.drain(..self.used);
        self.used = 0;
        self.packed.extend_from_slice(packed);
    }

    /// Packed octets that were not looked at.
    pub(crate) fn waiting(&self) -> usize {
        self.packed.len().saturating_sub(self.used)
    }

    /// Unpacks as much as there is room for; 0: more must be fed first.
    pub(crate) fn give(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let (taken, made) = (self.machine.total_in(), self.machine.total_out());
            let rest = self.packed.get(self.used..).unwrap_or_default();
            let status = self
                .machine
                .decompress(rest, into, FlushDecompress::None)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let count = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
            let taken = count(taken, self.machine.total_in());
            let made = count(made, self.machine.total_out());
            self.used = self.used.saturating_add(taken).min(self.packed.len());
            match status {
                _ if made > 0 => return Ok(made),
                // The stream is as long as the connection.
                Status::StreamEnd => return Err(io::ErrorKind::InvalidData.into()),
                _ if taken == 0 => return Ok(0),
                _ => {}
            }
        }
    }
}

impl Deflate {
    pub(crate) fn new() -> Self {
        Self { machine: Compress::new(Compression::default(), false), packed: Vec::new() }
    }

    /// Packs octets; a part of them may stay within.
    pub(crate) fn pack(&mut self, octets: &[u8]) -> io::Result<&[u8]> {
        self.packed.clear();
        let mut rest = octets;
        while !rest.is_empty() {
            let before = self.machine.total_in();
            self.packed.reserve(ROOM);
            self.run(rest, FlushCompress::None)?;
            let taken = self.machine.total_in().saturating_sub(before);
            rest = rest.get(usize::try_from(taken).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        Ok(&self.packed)
    }

    /// What stayed within, so that the other side can read all.
    pub(crate) fn finish_piece(&mut self) -> io::Result<&[u8]> {
        self.packed.clear();
        loop {
            self.packed.reserve(ROOM);
            self.run(&[], FlushCompress::Sync)?;
            if self.packed.len() < self.packed.capacity() {
                return Ok(&self.packed);
            }
        }
    }

    fn run(&mut self, octets: &[u8], flush: FlushCompress) -> io::Result<()> {
        let ran = self.machine.compress_vec(octets, &mut self.packed, flush);
        ran.map(drop).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    /// As it is unpacked, `room` octets at a time, fed `step` at a time.
    fn unpacked(packed: &[u8], step: usize, room: usize) -> Vec<u8> {
        let (mut inflate, mut all, mut into) = (Inflate::new(), Vec::new(), vec![0; room]);
        for piece in packed.chunks(step) {
            inflate.feed(piece);
            loop {
                let made = inflate.give(&mut into).unwrap();
                if made == 0 {
                    break;
                }
                all.extend_from_slice(&into[..made]);
            }
        }
        all
    }

    #[test]
    fn what_is_packed_in_pieces_is_unpacked_in_others() {
        let mut deflate = Deflate::new();
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        for length in [0, 1, 70, 20_000, 300_000] {
            let piece: Vec<u8> = (0..length).map(|at: usize| (at.wrapping_mul(at) >> 7) as u8).collect();
            packed.extend_from_slice(deflate.pack(&piece).unwrap());
            packed.extend_from_slice(deflate.finish_piece().unwrap());
            plain.extend(piece);
            // Nothing is left within.
            assert_eq!(unpacked(&packed, packed.len(), 4096), plain);
        }
        assert_eq!(unpacked(&packed, 1, 100_000), plain);
        assert_eq!(unpacked(&packed, 777, 1), plain);
    }

    #[test]
    fn a_bomb_takes_no_more_room_than_it_is_given() {
        let mut deflate = Deflate::new();
        let packed = deflate.pack(&vec![0; 64 << 20]).unwrap().to_vec();
        assert!(packed.len() < 80 << 10, "{}", packed.len());
        let mut inflate = Inflate::new();
        inflate.feed(&packed);
        let mut into = vec![0; 4096];
        for _ in 0..1_000 {
            assert_eq!(inflate.give(&mut into).unwrap(), 4096);
        }
        assert!(inflate.waiting() > 0);
    }

    #[test]
    fn what_is_not_packed_is_an_error() {
        for wrong in [&b"\xff\xff\xff\xff"[..], b"* OK not packed at all\r\n", b"\x03\x00"] {
            let mut inflate = Inflate::new();
            inflate.feed(wrong);
            let mut into = [0; 64];
            assert!((0..64).any(|_| inflate.give(&mut into).is_err()), "{wrong:?}");
        }
    }
}
