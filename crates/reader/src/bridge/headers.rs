//! Header fields that are shown without a body: those of the list view, those of mail that is not sealed, and header sections of messages that were opened before.
//!
//! In: a section, a look at a message. Out: its octets, or nothing: then the message is opened. Of what mail programs list by, the list view holds the most usual
//! fields; for the others a message is opened once, and its header section kept, encrypted, bound to the original that the list view names.

use std::collections::HashSet;

use mail::wire_form;
use sealed::identity::Hash;
use wire::imap::server::{Part, Section};
use zeroize::Zeroizing;

use super::section::{Octets, Rest, pick};
use crate::depot::{Filed, Look, holds_all};
use crate::index::Index;
use crate::vault::Vault;

/// Octets of a header section that is kept.
const MOST: usize = 64 << 10;
/// Records are filled up to a multiple of this: their size says little.
const STEP: usize = 256;

/// Whether a section lies in the header section of the message itself.
pub(crate) fn is_of_header(section: &Section) -> bool {
    section.path.is_empty() && matches!(section.part, Part::Header | Part::Fields(_) | Part::FieldsNot(_))
}

/// Header sections of originals that were opened before; none where there is no key for them.
#[derive(Default)]
pub(crate) struct Headers(Option<Vault>);

impl Headers {
    /// In the same file as the search index.
    pub(crate) fn beside(index: Option<&Index>) -> Self {
        Self(index.and_then(|index| index.headers().ok()))
    }

    /// Where they are kept.
    pub(crate) fn vault(&self) -> Option<&Vault> {
        self.0.as_ref()
    }

    /// A section of a message, if no body is needed for it.
    pub(crate) fn at_hand(&self, filed: Option<&Filed>, look: Option<&Look>, section: &Section) -> Option<Octets> {
        if !is_of_header(section) {
            return None;
        }
        let octets = match (look?, &section.part) {
            (Look::Sealed(index), Part::Fields(names)) if holds_all(index, names) => {
                pick(&index.fields, Rest::Named, names)
            }
            (Look::File(_, Some(header)), Part::Fields(names)) => pick(&wire_form(0, header), Rest::Named, names),
            (Look::Sealed(index), part) => {
                let header = self.kept(filed?, &index.hash)?;
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

    /// The header section of a message whose original has that hash.
    fn kept(&self, Filed { mailbox, message }: &Filed, hash: &Hash) -> Option<Zeroizing<Vec<u8>>> {
        let record = self.vault()?.octets(mailbox, message).ok()??;
        let (of, rest) = record.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (of == hash).then(|| rest.get(..length).map(|octets| Zeroizing::new(octets.to_vec())))?
    }

    /// Those of the messages of one mailbox of which it is not known.
    pub(crate) fn lacking(&self, mut uids: Vec<u32>, filed: impl Fn(u32) -> Option<Filed>) -> Vec<u32> {
        let first = uids.first().and_then(|uid| filed(*uid));
        let (Some(vault), Some(Filed { mailbox, .. })) = (self.vault(), first) else { return uids };
        let known: HashSet<Vec<u8>> = vault.messages(&mailbox).unwrap_or_default().into_iter().collect();
        uids.retain(|uid| filed(*uid).is_none_or(|filed| !known.contains(&filed.message)));
        uids
    }

    /// Keeps the header section of an original, unless it is kept already.
    pub(crate) fn keep(&self, filed: &Filed, hash: &Hash, header: &[u8]) {
        let Some(vault) = self.vault() else { return };
        if vault.has(&filed.mailbox, &filed.message).unwrap_or(false) {
            return;
        }
        let Some(length) = u32::try_from(header.len()).ok().filter(|_| header.len() <= MOST) else { return };
        let whole = header.len().saturating_add(36).next_multiple_of(STEP);
        let mut record = Zeroizing::new(Vec::with_capacity(whole));
        record.extend_from_slice(hash);
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(header);
        record.resize(whole, 0);
        // What cannot be kept is found out again.
        let _ = vault.put(&filed.mailbox, &filed.message, record);
    }
}
