//! Header fields that are shown without a body: those of the list view, those of mail that is not sealed, and header sections of messages that were opened before.
//!
//! In: a section, a look at a message. Out: its octets, or nothing: then the message is opened. Of what mail programs list by, the list view holds the most usual
//! fields; for the others a message is opened once, and its header section kept, encrypted, bound to the original that the list view names.

use std::collections::HashSet;

use mail::wire_form;
use sealed::identity::Hash;
use wire::imap::server::{Part, Section};
use zeroize::Zeroizing;

use super::fetch::Desk;
use super::section::{Octets, Rest, pick};
use crate::depot::{Filed, Look, holds_all};

/// Octets of a header section that is kept.
const MOST: usize = 64 << 10;
/// Records are filled up to a multiple of this: their size says little.
const STEP: usize = 256;

/// Whether a section lies in the header section of the message itself.
pub(crate) fn is_of_header(section: &Section) -> bool {
    section.path.is_empty() && matches!(section.part, Part::Header | Part::Fields(_) | Part::FieldsNot(_))
}

impl Desk<'_> {
    /// A section, if no body is needed for it.
    pub(crate) fn at_hand(&self, uid: u32, look: Option<&Look>, section: &Section) -> Option<Octets> {
        if !is_of_header(section) {
            return None;
        }
        let octets = match (look?, &section.part) {
            (Look::Sealed(index), Part::Fields(names)) if holds_all(index, names) => {
                pick(&index.fields, Rest::Named, names)
            }
            (Look::File(_, Some(header)), Part::Fields(names)) => pick(&wire_form(0, header), Rest::Named, names),
            (Look::Sealed(index), part) => {
                let header = self.kept_header(uid, &index.hash)?;
                match part {
                    Part::Header => header,
                    Part::Fields(names) => pick(&header, Rest::Named, names),
                    Part::FieldsNot(names) => pick(&header, Rest::Others, names),
                    _ => return None,
                }
            }
            (Look::File(..), _) => return None,
        };
        let octets = Octets::Fields(octets);
        Some(match section.partial {
            Some(partial) => octets.clip(partial),
            None => octets,
        })
    }

    /// The header section of an original that was opened before.
    pub(crate) fn kept_header(&self, uid: u32, hash: &Hash) -> Option<Zeroizing<Vec<u8>>> {
        let Filed { mailbox, message } = self.depot.filed(uid)?;
        let record = self.headers.as_ref()?.octets(&mailbox, &message).ok()??;
        let (of, rest) = record.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (of == hash).then(|| rest.get(..length).map(|octets| Zeroizing::new(octets.to_vec())))?
    }

    /// Whether that is known.
    pub(crate) fn keeps_header(&self, uid: u32) -> bool {
        let filed = self.headers.as_ref().and_then(|headers| Some((headers, self.depot.filed(uid)?)));
        filed.is_some_and(|(headers, filed)| headers.has(&filed.mailbox, &filed.message).unwrap_or(false))
    }

    /// Those of the messages of the selected mailbox of which it is not known.
    pub(crate) fn without_header(&self, mut uids: Vec<u32>) -> Vec<u32> {
        let first = uids.first().and_then(|uid| self.depot.filed(*uid));
        let (Some(headers), Some(Filed { mailbox, .. })) = (&self.headers, first) else { return uids };
        let known: HashSet<Vec<u8>> = headers.messages(&mailbox).unwrap_or_default().into_iter().collect();
        uids.retain(|uid| self.depot.filed(*uid).is_none_or(|filed| !known.contains(&filed.message)));
        uids
    }

    /// Keeps the header section of an original.
    pub(crate) fn keep_header(&self, uid: u32, hash: &Hash, header: &[u8]) {
        let (Some(headers), Some(filed)) = (&self.headers, self.depot.filed(uid)) else { return };
        let Some(length) = u32::try_from(header.len()).ok().filter(|_| header.len() <= MOST) else { return };
        let whole = header.len().saturating_add(36).next_multiple_of(STEP);
        let mut record = Zeroizing::new(Vec::with_capacity(whole));
        record.extend_from_slice(hash);
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(header);
        record.resize(whole, 0);
        // What cannot be kept is found out again.
        let _ = headers.put(&filed.mailbox, &filed.message, record);
    }
}
