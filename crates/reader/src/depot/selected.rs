//! A mailbox that a mail program has selected: its messages by number, and what changed since it was told (RFC 3501 §2.3.1, §7.4.1). Where it lies is its depot's to
//! know.

use wire::UidSet;
use wire::imap::server::{SequenceSet, Which};

use super::view::View;

/// A selected mailbox.
pub(crate) struct Selected {
    /// UIDVALIDITY
    pub(crate) validity: u32,
    /// UIDNEXT
    pub(crate) next: u32,
    pub(crate) access: Access,
    /// Flags that last, as PERMANENTFLAGS tells them, with `\*` where new keywords may be made.
    pub(crate) permanent: String,
    /// The highest change number that was heard of (RFC 7162); none where changes are not counted.
    pub(crate) highest: Option<u64>,
    /// By ascending UID.
    pub(crate) items: Vec<Item>,
    /// UIDs of what `$` means (RFC 5182), ascending; some may be gone.
    pub(crate) saved: Vec<u32>,
}

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// SELECT
    Write,
    /// EXAMINE
    Read,
}

/// A message.
pub(crate) struct Item {
    pub(crate) uid: u32,
    /// Flags and keywords, without `\Recent`.
    pub(crate) flags: Vec<String>,
    /// How it was last shown.
    pub(crate) view: Option<View>,
    pub(crate) recent: Recent,
    pub(crate) standing: Standing,
    /// RFC822.SIZE, once it is known.
    pub(crate) size: Option<u64>,
    /// Its change number, where that is counted and known.
    pub(crate) modseq: Option<u64>,
}

/// Whether nobody has seen the message in an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recent {
    /// Nobody has.
    Yes,
    /// Somebody may have.
    No,
}

/// Whether a sealed message lies here once (A17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As far as is known.
    #[default]
    Only,
    /// The same one lies here besides, and nobody copied it through us.
    Copy,
}

/// What a mail program must be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Messages that are gone: number, after those before it were taken away, and UID.
    pub(crate) gone: Vec<(usize, u32)>,
    /// How many there are now, if more came.
    pub(crate) exists: Option<usize>,
    /// Places of messages whose flags changed.
    pub(crate) flagged: Vec<usize>,
}

impl Item {
    /// Whether it has a flag, in any case.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|other| other.eq_ignore_ascii_case(flag))
    }
}

impl Selected {
    /// Places of the messages that a set means; `None`: it names a number that no message has (RFC 3501 §9 `seq-number`).
    pub(crate) fn places(&self, which: Which, set: &SequenceSet) -> Option<Vec<usize>> {
        if set.is_saved() {
            let at = |uid: &u32| self.items.binary_search_by_key(uid, |item| item.uid).ok();
            return Some(self.saved.iter().filter_map(at).collect());
        }
        let largest = match which {
            Which::Numbers => u32::try_from(self.items.len()).unwrap_or(u32::MAX),
            Which::Uids => self.items.last().map_or(0, |item| item.uid),
        };
        if which == Which::Numbers && (set.largest_named() > largest || largest == 0) {
            return None;
        }
        let mut places = Vec::new();
        for (low, high) in set.ranges(largest) {
            let (from, to) = match which {
                Which::Numbers => (place(low).saturating_sub(1), place(high)),
                Which::Uids => (
                    self.items.partition_point(|item| item.uid < low),
                    self.items.partition_point(|item| item.uid <= high),
                ),
            };
            places.extend(from..to.min(self.items.len()));
        }
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    /// Places of the messages that are flagged as deleted.
    pub(crate) fn deleted(&self) -> Vec<usize> {
        let items = self.items.iter().enumerate();
        items.filter(|(_, item)| item.has("\\Deleted")).map(|(place, _)| place).collect()
    }

    /// The UIDs of the messages at those places.
    pub(crate) fn uids(&self, places: &[usize]) -> Vec<u32> {
        places.iter().filter_map(|place| self.items.get(*place)).map(|item| item.uid).collect()
    }

    /// Of these UIDs, those that are not there any more: as far as UIDs were given before the first one that nobody was told of.
    pub(crate) fn vanished(&self, asked: impl Iterator<Item = (u32, u32)>) -> UidSet {
        let last = self.next.max(self.items.last().map_or(1, |item| item.uid.saturating_add(1))).saturating_sub(1);
        let mut named = UidSet::new();
        for (low, high) in asked {
            if low.max(1) <= high.min(last) {
                named.insert_range(low.max(1), high.min(last));
            }
        }
        let mut gone = UidSet::new();
        for range in named.ranges() {
            let from = self.items.partition_point(|item| item.uid < *range.start());
            let to = self.items.partition_point(|item| item.uid <= *range.end());
            let mut low = *range.start();
            for item in self.items.get(from..to).unwrap_or_default() {
                if low < item.uid {
                    gone.insert_range(low, item.uid.saturating_sub(1));
                }
                low = item.uid.saturating_add(1);
            }
            if low <= *range.end() {
                gone.insert_range(low, *range.end());
            }
        }
        gone
    }

    /// How many nobody has seen in an earlier session.
    pub(crate) fn recent(&self) -> usize {
        self.items.iter().filter(|item| item.recent == Recent::Yes).count()
    }

    /// Takes a list made anew for the old one, and says what differs; what is known of those that stay is carried over.
    pub(crate) fn replace(&mut self, mut fresh: Vec<Item>) -> Changes {
        let mut changes = Changes::default();
        let mut stays = 0_usize;
        for old in &self.items {
            let at = fresh.binary_search_by_key(&old.uid, |item| item.uid).ok();
            match at.and_then(|at| Some((at, fresh.get_mut(at)?))) {
                None => changes.gone.push((stays.saturating_add(1), old.uid)),
                Some((at, item)) => {
                    stays = stays.saturating_add(1);
                    if item.flags != old.flags {
                        changes.flagged.push(at);
                    }
                    item.recent = old.recent;
                    item.size = old.size;
                    item.standing = old.standing;
                    item.view = item.view.or(old.view);
                }
            }
        }
        if fresh.len() != stays {
            changes.exists = Some(fresh.len());
        }
        self.items = fresh;
        changes
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_vanished() {
        let item = |uid| Item {
            uid,
            flags: Vec::new(),
            view: None,
            recent: Recent::No,
            standing: Standing::Only,
            size: None,
            modseq: None,
        };
        let items = [3, 4, 7].map(item).into_iter().collect();
        let selected = Selected {
            validity: 1,
            next: 10,
            access: Access::Read,
            permanent: String::new(),
            highest: None,
            items,
            saved: Vec::new(),
        };
        for (asked, expected) in [
            (&[(1, u32::MAX)][..], "1:2,5:6,8:9"),
            (&[(2, 5)], "2,5"),
            (&[(3, 4)], ""),
            (&[(8, 20), (1, 1), (8, 9)], "1,8:9"),
            (&[], ""),
        ] {
            assert_eq!(selected.vanished(asked.iter().copied()).to_string(), expected, "{asked:?}");
        }
    }
}
