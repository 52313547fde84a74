//! From the content C back to the original, with the session key: everything inside is checked, length and hash of what
//! comes out equal what the sealed origin says. Who signed that origin is for the caller to verify.
//! In: C; out: the original's octets, which are worth nothing until this returned without an error.

use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::digest;

use crate::{
    cms_content::CmsReader,
    content::{ContentError, ContentReader},
    identity::{Encryption, Profile, SealerId},
    limit,
    literal::LiteralReader,
    payload::Head,
    session::SessionKey,
    signature::{Origin, Trust},
};

/// What stood around the original, consistent with it.
pub struct Recovered {
    /// The protected header section, as it was sealed.
    pub header: Vec<u8>,
    /// Account, id, length, hash, time, number: as signed.
    pub origin: Origin,
    /// Who signed, as claimed.
    pub sealer: SealerId,
    /// The signature over the origin.
    pub signature: [u8; 64],
}

impl Recovered {
    /// Did a pinned sealer sign this origin, for one of the reader's accounts?
    pub fn is_signed_by_pinned(&self, trust: &Trust) -> bool {
        trust.accounts.contains(&self.origin.account)
            && trust
                .sealer(self.sealer)
                .is_some_and(|sealer| sealer.verifies(&self.origin.transcript(self.sealer), &self.signature))
    }
}

/// Decrypts `content` to its very end and writes the original to `to`.
/// `to` must be something that can be thrown away, or what was verified by an earlier call.
pub fn recover(content: impl Read, profile: Profile, key: &SessionKey, to: &mut impl Write) -> io::Result<Recovered> {
    match profile.encryption() {
        Encryption::OpenPgp(version) => {
            let mut payload = LiteralReader::begin(ContentReader::begin(content, version, key)?)?;
            let head = Head::read(&mut payload)?;
            if head.origin.length > payload.left() {
                return Err(ContentError::Malformed.into());
            }
            recover_after(head, payload, to)
        }
        Encryption::Cms(cipher) => {
            let mut payload = CmsReader::begin(content, cipher, key)?;
            let head = Head::read(&mut payload)?;
            recover_after(head, payload, to)
        }
    }
}

/// `payload`: from the first octet of the original on.
fn recover_after(head: Head, mut payload: impl BufRead, to: &mut impl Write) -> io::Result<Recovered> {
    if head.origin.length > limit::MAX_ORIGINAL {
        return Err(ContentError::Malformed.into());
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut left = head.origin.length;
    while left > 0 {
        let ready = payload.fill_buf()?;
        if ready.is_empty() {
            return Err(ContentError::Truncated.into());
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(ready.len());
        let octets = ready.get(..count).unwrap_or_default();
        hash.update(octets);
        to.write_all(octets)?;
        payload.consume(count);
        left -= count as u64;
    }
    head.read_tail(&mut payload)?;
    if hash.finish().as_ref() != head.origin.hash {
        return Err(ContentError::Malformed.into());
    }
    let Head { header, origin, sealer, signature, .. } = head;
    Ok(Recovered { header, origin, sealer, signature })
}
