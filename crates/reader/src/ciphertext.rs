//! Does a message with our label hold a ciphertext, or does it lie open?
//!
//! In: a message whose `Sealed-*` fields cannot be used (format §4.3). Out: whether its body has session keys and the beginning
//! of an encrypted packet in an armored message, wherever a reader would find one (format A8, "Mangled by a server"), or an
//! S/MIME one; or a damaged one. Never decrypts, never judges who made it.

use std::io::{self, BufReader, Cursor, Read, Seek, Write};

use sealed::armor::BEGIN;
use sealed::field::{Mark, SealedFields};
use sealed::identity::{Hash, MessageId, Profile, SealerId};
use sealed::outer::{Outer, OuterError, read_header_section};
use sealed::smime;

/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;

/// Reads the file from its beginning.
pub(crate) fn holds_ciphertext(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    for profile in [Profile::Pgp1, Profile::Cms1, Profile::Cms2] {
        if holds(file, profile)? {
            return Ok(true);
        }
    }
    begins_cms(file)
}

/// Of one kind.
fn holds(file: &mut (impl Read + Seek), profile: Profile) -> io::Result<bool> {
    file.rewind()?;
    let mut message = BufReader::with_capacity(READ_BUFFER, &mut *file);
    let Some((_, rest)) = read_header_section(&mut message)? else {
        // Larger than any of ours: whatever it is, it is not known to lie open.
        return Ok(true);
    };
    let mut whole = stand_in(profile)?;
    whole.extend_from_slice(&rest);
    let mut seen = Seen(false);
    match Outer::read(&mut Cursor::new(whole).chain(message), &mut seen) {
        Err(OuterError::Io(error)) => Err(error),
        // Cut off, it may have come to nothing yet: that armor begins must be enough.
        Err(OuterError::Armor(_)) if !seen.0 => begins_armor(file),
        // That the fields are not those of this body is known; what counts is what came by.
        _ => Ok(seen.0),
    }
}

/// Whether the body begins as an S/MIME message's: it may be cut off before its ciphertext.
fn begins_cms(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    file.rewind()?;
    let mut message = BufReader::with_capacity(READ_BUFFER, &mut *file);
    let Some((_, mut body)) = read_header_section(&mut message)? else { return Ok(true) };
    message.take(smime::KIND_WITHIN).read_to_end(&mut body)?;
    Ok(smime::begins_enveloped(&body))
}

/// Whether the first line of an armored message stands anywhere in the file.
fn begins_armor(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    file.rewind()?;
    let mut octets = Vec::new();
    loop {
        let count = file.by_ref().take(READ_BUFFER as u64).read_to_end(&mut octets)?;
        if octets.windows(BEGIN.len()).any(|window| window == BEGIN) {
            return Ok(true);
        }
        if count == 0 {
            return Ok(false);
        }
        // It may stand across two pieces.
        octets.drain(..octets.len().saturating_sub(BEGIN.len()));
    }
}

/// A header section whose fields are whole, so that the body is read exactly as that of a message that opens.
fn stand_in(profile: Profile) -> io::Result<Vec<u8>> {
    let mark = Mark {
        profile,
        id: MessageId(Default::default()),
        content_hash: Hash::default(),
        sealer: SealerId(Default::default()),
        signature: [0; 64],
    };
    let mut header = Vec::new();
    SealedFields { mark, key: vec![0], fields: vec![0] }.write(&mut header).map_err(io::Error::other)?;
    header.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    Ok(header)
}

/// Whether anything of an encrypted packet was written.
struct Seen(bool);

impl Write for Seen {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 |= !octets.is_empty();
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    const GOLDEN: [&[u8]; 3] = [
        include_bytes!("../../../testdata/sealed/v1/pgp1-plain.sealed.eml"),
        include_bytes!("../../../testdata/sealed/v1/cms1-plain.sealed.eml"),
        include_bytes!("../../../testdata/sealed/v1/cms2-broken.sealed.eml"),
    ];

    #[test]
    fn a_body_with_a_ciphertext_holds_one_whatever_is_missing() {
        for message in GOLDEN {
            let text = std::str::from_utf8(message).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let kind = head.split("Content-Type").nth(1).unwrap();
            let unlabelled = format!("Sealed-Mail: v=1\r\nContent-Type{kind}\r\n\r\n");
            let holds = |body: &str| holds_ciphertext(&mut Cursor::new(format!("{unlabelled}{body}"))).unwrap();
            assert!(holds(body), "{kind}");
            // Cut off in the ciphertext, and before it.
            let armor = body.find("-----BEGIN PGP").unwrap_or_default();
            for end in [body.len() - 100, body.len() / 2, armor + 64] {
                assert!(holds(&body[..end]), "{kind}: cut at {end}");
            }
            for open in ["", "Good morning\r\n", "R29vZCBtb3JuaW5n\r\n", "MIIB\r\n"] {
                assert!(!holds(open), "{kind}: {open}");
            }
        }
    }
}
