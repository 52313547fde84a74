//! A message on its way through a batch: fetched, written, stored, proven; and what is still to be set on copies.
//!
//! In: what one step found out. Out: what the next one needs. Never: a command to the server.

use std::collections::BTreeMap;
use std::io::{self, Write};

use wire::imap::{StoreOrder, UidSet};

use super::flags::{self, Changes};
use super::remake::{LOCK, Original, Written};

/// An original that was fetched.
pub(super) struct Taken<O> {
    pub(super) index: usize,
    pub(super) octets: O,
    pub(super) original: Original,
}

/// A copy that is written and not stored.
pub(super) struct Made<K, O> {
    pub(super) index: usize,
    pub(super) written: Written<K>,
    pub(super) octets: O,
    pub(super) length: u64,
    pub(super) original: Original,
    /// [`Whereabouts`], as journaled.
    pub(super) place: Vec<u8>,
}

/// A copy that is stored.
pub(super) struct Stored<K> {
    pub(super) index: usize,
    pub(super) written: Written<K>,
    pub(super) length: u64,
    pub(super) original: Original,
    pub(super) place: Vec<u8>,
    pub(super) uid: u32,
}

/// A copy that was fetched back and proven.
pub(super) struct ProvedCopy<P> {
    pub(super) index: usize,
    /// Held until the original is gone.
    pub(super) _proof: P,
    pub(super) mark: Vec<u8>,
    pub(super) fingerprint: Vec<u8>,
    pub(super) twins: Vec<u32>,
    pub(super) uid: u32,
    pub(super) length: u64,
    pub(super) internal_date: Option<String>,
    pub(super) original_length: u64,
    pub(super) place: Vec<u8>,
    /// What the original's flags and labels are, as far as the copy has them.
    pub(super) flags: Vec<String>,
    pub(super) labels: Vec<String>,
    /// The original bears our `\Deleted`.
    pub(super) flagged: bool,
    /// The original's MODSEQ when its flags were last read.
    pub(super) modseq: u64,
}

/// A message as its flags are now.
pub(super) struct Now {
    pub(super) flags: Vec<String>,
    pub(super) modseq: Option<u64>,
    pub(super) labels: Vec<String>,
}

/// A copy as the server gives it.
pub(super) struct Copy<O> {
    pub(super) octets: O,
    pub(super) flags: Vec<String>,
    pub(super) internal_date: Option<String>,
}

/// Writes to a scratch and counts.
pub(super) struct Counted<W> {
    pub(super) scratch: W,
    pub(super) length: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let count = self.scratch.write(octets)?;
        self.length = self.length.saturating_add(u64::try_from(count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.scratch.flush()
    }
}

/// STOREs for copies, those with equal changes in one command.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) flags: BTreeMap<Changes, UidSet>,
    pub(super) labels: BTreeMap<Changes, UidSet>,
}

impl Orders {
    pub(super) fn carry<P>(&mut self, copy: &mut ProvedCopy<P>, now: &Now) {
        let flags = flags::to_carry(&now.flags, LOCK);
        let changes = Changes::between(&copy.flags, &flags);
        if !changes.is_empty() {
            self.flags.entry(changes).or_default().insert(copy.uid);
            copy.flags = flags;
        }
        let changes = Changes::between(&copy.labels, &now.labels);
        if !changes.is_empty() {
            self.labels.entry(changes).or_default().insert(copy.uid);
            copy.labels = now.labels.clone();
        }
    }

    pub(super) fn into_stores(self) -> Vec<StoreOrder> {
        let order = |set: &UidSet, item: &str, flags: Vec<String>| StoreOrder {
            set: set.clone(),
            unchanged_since: None,
            item: item.to_owned(),
            flags,
        };
        let mut stores = Vec::new();
        let kinds = [("FLAGS", "", self.flags), ("X-GM-LABELS", ".SILENT", self.labels)];
        for (kind, silent, changes) in kinds {
            for (Changes { added, removed }, uids) in changes {
                if !added.is_empty() {
                    stores.push(order(&uids, &format!("+{kind}{silent}"), added));
                }
                if !removed.is_empty() {
                    stores.push(order(&uids, &format!("-{kind}.SILENT"), removed));
                }
            }
        }
        stores
    }
}
