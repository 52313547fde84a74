//! What the checks need of a message: its header section, and hashes of its body.
//!
//! In: the message as it came, read once. Out: a few kilobytes, whatever its size: the checks wait for the DNS, and must not keep a large
//! message in memory meanwhile. The octets are those that the author's signature is about (format §4.1: after dot-unstuffing).

use std::io::{self, BufReader, Read};

use aws_lc_rs::digest::Context;
use mail::HeaderSection;
use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha1, Sha256};
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher;
use sealed::outer::read_header_section;

/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;

/// What the checks need of a message.
pub struct Evidence {
    header: Vec<u8>,
    hashes: Vec<BodyHash>,
}

/// As mail-auth keeps it: canonicalization, algorithm, length that was asked for (always all), the hash.
type BodyHash = (Canonicalization, HashAlgorithm, u64, Vec<u8>);

impl Evidence {
    /// Reads a whole message. One whose header section is larger than a sealed message's may be has no evidence for anything: it is
    /// as if it had no header. Blocks.
    pub fn read(message: &mut impl Read) -> io::Result<Evidence> {
        let mut message = BufReader::with_capacity(READ_BUFFER, message);
        let Some((header, rest)) = read_header_section(&mut message)? else {
            return Ok(Evidence { header: Vec::new(), hashes: Vec::new() });
        };
        let Some(parsed) = AuthenticatedMessage::parse(&header) else {
            return Ok(Evidence { header, hashes: Vec::new() });
        };
        let mut hashers: Vec<_> = parsed
            .body_hashes
            .iter()
            .map(|&(canonicalization, algorithm, length, _)| {
                (canonicalization, algorithm, length, BodyHasher::new(context(algorithm), canonicalization, length))
            })
            .collect();
        // Where the library ends the header section before we do, the body begins there.
        let more = header.get(parsed.body_offset()..).unwrap_or_default();
        drop(parsed.headers);
        for (.., hasher) in &mut hashers {
            hasher.write(more);
            hasher.write(&rest);
        }
        if !hashers.is_empty() {
            let mut step = vec![0; READ_BUFFER];
            loop {
                match message.read(&mut step) {
                    Ok(0) => break,
                    Ok(count) => {
                        for (.., hasher) in &mut hashers {
                            hasher.write(step.get(..count).unwrap_or_default());
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let hashes = hashers
            .into_iter()
            .map(|(canonicalization, algorithm, length, hasher)| {
                (canonicalization, algorithm, length, hasher.finish().0.complete().as_ref().to_vec())
            })
            .collect();
        Ok(Evidence { header, hashes })
    }

    /// The header section, as we read it.
    pub(crate) fn section(&self) -> HeaderSection<'_> {
        HeaderSection::parse(&self.header)
    }

    /// The header section as mail-auth reads it, with the hashes of the body.
    pub(crate) fn message(&self) -> Option<AuthenticatedMessage<'_>> {
        let mut message = AuthenticatedMessage::parse(&self.header)?;
        message.body_hashes.clone_from(&self.hashes);
        Some(message)
    }
}

fn context(algorithm: HashAlgorithm) -> Context {
    match algorithm {
        HashAlgorithm::Sha1 => Sha1::hasher(),
        HashAlgorithm::Sha256 => Sha256::hasher(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNED: &str = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.example; s=s; h=from; bh=YQ==; b=YQ==;\r\n\
        DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d=a.example; s=s; h=from; bh=YQ==; b=YQ==;\r\nFrom: a@a.example\r\n\r\n";

    proptest! {
        #[test]
        fn a_body_that_comes_in_pieces_has_the_same_hashes(body in "([ab \\t]|\\r\\n|\\n|\\r){0,200}") {
            let message = format!("{SIGNED}{body}");
            let whole = AuthenticatedMessage::parse(message.as_bytes()).expect("a message");
            let evidence = Evidence::read(&mut Dribble(message.as_bytes())).expect("in memory");
            prop_assert_eq!(&evidence.hashes, &whole.body_hashes);
            prop_assert_eq!(evidence.hashes.len(), 2);
        }

        #[test]
        fn no_message_breaks_it(octets: Vec<u8>) {
            let evidence = Evidence::read(&mut &octets[..]).expect("in memory");
            let _ = evidence.message();
        }
    }

    /// Gives one octet at a time.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(1);
            self.0.read(into.get_mut(..count).unwrap_or_default())
        }
    }
}
