//! The first reading of an original: its length and hash, its header section, its structure, and, where it pays, its
//! compressed form. In: an original that can be read again; out: what the second reading and the list view need.

use std::borrow::Cow;
use std::io::{self, Read, Seek, Write};

use aws_lc_rs::digest;
use mail::{HeaderSection, Scanner, body_structure, header_section_end, wire_form};
use sealed::{
    identity::Hash,
    index::Index,
    limit,
    signature::Origin,
    spool::{SpoolReader, SpoolWriter},
};
use zeroize::Zeroizing;

use crate::{
    deflate::{self, Deflate},
    error::SealError,
    list_view,
    settings::{Compression, Settings},
};

/// Mail of so many octets is compressed.
const COMPRESS_FROM: u64 = 256 * 1024;
/// Octets at the beginning of a message in which its header section is looked for.
const MAX_HEADER: usize = 1024 * 1024;
/// BODYSTRUCTURE of more octets is left out of the list view.
const MAX_BODY_STRUCTURE: usize = 2048;
/// Octets read at a time.
pub(crate) const STEP: usize = 64 * 1024;

/// What one reading of the original tells.
pub(crate) struct Survey<S> {
    /// Octets of the original.
    pub(crate) length: u64,
    /// SHA-256 of the original.
    pub(crate) hash: Hash,
    /// Octets of the original as IMAP carries it.
    wire_length: u64,
    /// The beginning of the message, with the header section.
    prefix: Vec<u8>,
    structure: Option<String>,
    /// The original deflated, when that was asked for and it is large.
    pub(crate) compressed: Option<SpoolReader<S>>,
}

impl<S: Read + Write + Seek> Survey<S> {
    /// Reads `original` to its end.
    pub(crate) fn read(
        original: &mut (impl Read + Seek),
        spool: &impl Fn() -> io::Result<S>,
        compression: Compression,
    ) -> Result<Self, SealError> {
        let expected = original.seek(io::SeekFrom::End(0)).map_err(SealError::Read)?;
        original.rewind().map_err(SealError::Read)?;
        if expected > limit::MAX_ORIGINAL {
            return Err(SealError::TooLarge);
        }
        let compress = compression == Compression::Auto && expected >= COMPRESS_FROM;
        let mut deflate =
            if compress { Some(Deflate::new(SpoolWriter::new(spool().map_err(SealError::Spool)?))) } else { None };
        let most = if compress { deflate::BATCH } else { STEP };
        let size = usize::try_from(expected).unwrap_or(most).clamp(1, most);
        let mut step = Zeroizing::new(vec![0; size]);
        let mut prefix = Vec::with_capacity(size);
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut scanner = Scanner::new();
        let mut length = 0;
        let (mut wire_length, mut last) = (0, 0);
        loop {
            let count = fill(original, &mut step).map_err(SealError::Read)?;
            let octets = step.get(..count).unwrap_or_default();
            if octets.is_empty() {
                break;
            }
            let mut look = || {
                hash.update(octets);
                // IMAP's sizes are those of the form in which it carries a message.
                match wire_form(last, octets) {
                    Cow::Borrowed(octets) => {
                        scanner.feed(octets);
                        wire_length += octets.len() as u64;
                    }
                    Cow::Owned(octets) => {
                        let octets = Zeroizing::new(octets);
                        scanner.feed(&octets);
                        wire_length += octets.len() as u64;
                    }
                }
                last = octets.last().copied().unwrap_or(last);
            };
            match &mut deflate {
                Some(deflate) => deflate.write(octets, look).map_err(SealError::Spool)?,
                None => look(),
            }
            let room = MAX_HEADER - prefix.len().min(MAX_HEADER);
            prefix.extend_from_slice(octets.get(..room).unwrap_or(octets));
            length += count as u64;
        }
        if length != expected {
            return Err(SealError::Changed);
        }
        let compressed = deflate.map(Deflate::finish).transpose().map_err(SealError::Spool)?;
        let hash = hash.finish().as_ref().try_into().map_err(|_| SealError::SelfCheck)?;
        let structure = body_structure(&scanner.finish(), MAX_BODY_STRUCTURE);
        Ok(Self { length, hash, wire_length, prefix, structure, compressed })
    }

    /// The header section, as far as it is whole within the prefix.
    pub(crate) fn header(&self) -> HeaderSection<'_> {
        let whole = self.prefix.len() as u64 == self.length;
        let end = header_section_end(&self.prefix).unwrap_or_else(|| {
            // A larger header section: what stands before the last line that surely began a new field.
            if whole { self.prefix.len() } else { whole_fields(&self.prefix) }
        });
        HeaderSection::parse(self.prefix.get(..end).unwrap_or_default())
    }

    /// INDEX, as it is encrypted for the list view.
    pub(crate) fn index(&self, origin: &Origin, settings: &Settings<'_>) -> Vec<u8> {
        let preview = self.prefix.get(..mail::MAX_PREVIEW_INPUT.min(self.prefix.len())).and_then(mail::preview);
        let mut index = Index {
            length: origin.length,
            hash: origin.hash,
            time: origin.time,
            sequence: origin.sequence,
            internal_date: settings.place.internal_date.clone(),
            mailbox: settings.place.mailbox.clone(),
            flags: settings.place.flags.clone(),
            authentication_results: settings.place.authentication_results.clone(),
            body_structure: self.structure.clone(),
            preview,
            origin: settings.way,
            envelope: settings.place.envelope.clone(),
            wire_length: Some(self.wire_length),
            ..Index::default()
        };
        if index.body_structure.is_none() {
            index.omitted.push("bodystructure".to_owned());
        }
        list_view::write(index, &self.header())
    }
}

/// Up to the last line that begins a new field.
fn whole_fields(prefix: &[u8]) -> usize {
    let mut end = prefix.len();
    while let Some(newline) = memchr::memrchr(b'\n', prefix.get(..end).unwrap_or_default()) {
        if prefix.get(newline + 1).is_some_and(|octet| !matches!(octet, b' ' | b'\t')) {
            return newline + 1;
        }
        end = newline;
    }
    0
}

/// Reads until `to` is full or the end comes.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_some(from, rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// One read that was not interrupted; 0 at the end.
pub(crate) fn read_some(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
