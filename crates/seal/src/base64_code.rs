//! DEFLATE of base64 text (RFC 1951 §3.2.7): six bits a character is all that can be had there, so one fixed prefix code
//! does as well as one made to measure, many times as fast. Text in; one block and an empty stored one, which ends at an
//! octet boundary, out. None for anything else than base64 in lines.

/// Symbols of the literal alphabet: octets, and the end of the block.
const SYMBOLS: usize = 257;
const END_OF_BLOCK: usize = 256;
/// Symbols with seven bits; sixty others have six, and that makes the code complete.
const SEVEN_BITS: [usize; 8] = [
    b'\r' as usize,
    b'\n' as usize,
    b'=' as usize,
    END_OF_BLOCK,
    b'+' as usize,
    b'/' as usize,
    b'8' as usize,
    b'9' as usize,
];
/// The order in which the lengths of the code length code are written (RFC 1951 §3.2.7), up to the last one used.
const ORDER: [usize; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];

/// A code, its bits reversed as the stream wants them, and how many they are.
#[derive(Clone, Copy)]
struct Code {
    bits: u16,
    length: u8,
}

static CODES: [Code; SYMBOLS] = codes(&lengths());

/// Appends the block. `false`, and nothing appended, when an octet has no code.
pub(crate) fn compress(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut stream = Bits { out, waiting: 0, count: 0 };
    write_header(&mut stream);
    let mut all_known = true;
    for group in text.chunks(4) {
        for &octet in group {
            let code = CODES.get(usize::from(octet)).copied().unwrap_or(Code { bits: 0, length: 0 });
            all_known &= code.length != 0;
            stream.put(u64::from(code.bits), u32::from(code.length));
        }
        stream.drain();
    }
    if !all_known {
        out.truncate(start);
        return false;
    }
    let end = CODES[END_OF_BLOCK];
    stream.put(u64::from(end.bits), u32::from(end.length));
    // An empty stored block (RFC 1951 §3.2.4): not the last one, type 0, up to the octet boundary, length and its complement.
    stream.put(0, 3);
    stream.finish();
    out.extend_from_slice(&[0, 0, 0xff, 0xff]);
    true
}

/// Not the last block, dynamic codes; the code lengths of both alphabets, one by one.
fn write_header(stream: &mut Bits<'_>) {
    stream.put(0, 1);
    stream.put(2, 2);
    stream.put((SYMBOLS - 257) as u64, 5);
    // Two distance codes of one bit, which nothing uses.
    stream.put(1, 5);
    stream.put((ORDER.len() - 4) as u64, 4);
    stream.drain();
    for symbol in ORDER {
        let length = match symbol {
            0 => 1,
            6 => 2,
            1 | 7 => 3,
            _ => 0,
        };
        stream.put(length, 3);
        stream.drain();
    }
    for length in lengths().into_iter().chain([1, 1]) {
        // The canonical code of those lengths, bits reversed: 0 -> 0, 6 -> 10, 1 -> 110, 7 -> 111.
        let (bits, count) = match length {
            0 => (0b0, 1),
            6 => (0b01, 2),
            1 => (0b011, 3),
            _ => (0b111, 3),
        };
        stream.put(bits, count);
        stream.drain();
    }
}

/// A bit stream, least significant bit first.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    count: u32,
}

impl Bits<'_> {
    /// At most 28 bits between two calls of [`Bits::drain`].
    fn put(&mut self, bits: u64, count: u32) {
        self.waiting |= bits << self.count;
        self.count += count;
    }

    fn drain(&mut self) {
        if self.count >= 32 {
            self.out.extend_from_slice(&(self.waiting as u32).to_le_bytes());
            self.waiting >>= 32;
            self.count -= 32;
        }
    }

    fn finish(mut self) {
        self.drain();
        let octets = self.waiting.to_le_bytes();
        self.out.extend(octets.iter().take(self.count.div_ceil(8) as usize));
    }
}

const fn lengths() -> [u8; SYMBOLS] {
    let mut lengths = [0; SYMBOLS];
    let mut octet = 0;
    while octet < 128 {
        if (octet as u8).is_ascii_alphanumeric() {
            lengths[octet] = 6;
        }
        octet += 1;
    }
    let mut position = 0;
    while position < SEVEN_BITS.len() {
        lengths[SEVEN_BITS[position]] = 7;
        position += 1;
    }
    lengths
}

/// The canonical code of some lengths (RFC 1951 §3.2.2).
const fn codes(lengths: &[u8; SYMBOLS]) -> [Code; SYMBOLS] {
    let mut codes = [Code { bits: 0, length: 0 }; SYMBOLS];
    let mut next: u16 = 0;
    let mut length = 1;
    while length <= 7 {
        next <<= 1;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if lengths[symbol] == length {
                codes[symbol] = Code { bits: next.reverse_bits() >> (16 - length), length };
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_code_is_complete() {
        let kraft: u32 = lengths().iter().filter(|length| **length != 0).map(|length| 128 >> length).sum();
        assert_eq!(kraft, 128);
    }

    #[test]
    fn base64_comes_back_and_other_text_is_refused() {
        let mut text: Vec<u8> = Vec::new();
        for number in 0..50_000_u32 {
            text.push(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                    [(number.wrapping_mul(2_654_435_761) >> 26) as usize],
            );
            if number % 76 == 75 {
                text.extend_from_slice(b"\r\n");
            }
        }
        text.extend_from_slice(b"A==\r\n");
        for length in (0..200).chain([text.len()]) {
            let mut stream = Vec::new();
            assert!(compress(&text[..length], &mut stream));
            assert!(length < 1000 || stream.len() * 100 < length * 77);
            stream.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
            let mut inflated = Vec::new();
            flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut inflated).expect("a stream");
            assert_eq!(inflated, text[..length]);
        }
        let mut untouched = b"before".to_vec();
        assert!(!compress(b"not base64, this", &mut untouched));
        assert_eq!(untouched, b"before");
    }
}
