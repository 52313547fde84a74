//! A set of UIDs as IMAP writes it.
//!
//! In: UIDs, ranges, or their text (`1:3,7`). Out: sorted, merged ranges and their text. RFC 3501 §9 (`sequence-set`),
//! RFC 4315 §4 (`uid-set`). Never: `*`, which says something only together with a mailbox.

use std::fmt;
use std::ops::RangeInclusive;

/// A set of UIDs. Ranges are inclusive, sorted, merged. 0 is no UID (RFC 3501 §2.3.1.1) and is never held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet {
    ranges: Vec<RangeInclusive<u32>>,
}

impl UidSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one UID. 0 is left out.
    pub fn insert(&mut self, uid: u32) {
        self.insert_range(uid, uid);
    }

    /// Adds all UIDs from `low` to `high`, both included and in either order. 0 is left out.
    pub fn insert_range(&mut self, low: u32, high: u32) {
        let (low, high) = (low.min(high).max(1), low.max(high));
        if high == 0 {
            return;
        }
        // The ranges that overlap or touch the new one are those from `from` up to `to`.
        let from = self.ranges.partition_point(|r| r.end().saturating_add(1) < low);
        let to = self.ranges.partition_point(|r| *r.start() <= high.saturating_add(1));
        let touched = self.ranges.get(from..to).unwrap_or_default();
        let low = touched.first().map_or(low, |r| low.min(*r.start()));
        let high = touched.last().map_or(high, |r| high.max(*r.end()));
        self.ranges.splice(from..to.max(from), [low..=high]);
    }

    /// Whether the UID is in the set.
    pub fn contains(&self, uid: u32) -> bool {
        let at = self.ranges.partition_point(|r| *r.end() < uid);
        self.ranges.get(at).is_some_and(|r| r.contains(&uid))
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many UIDs are in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| u64::from(*r.end()) - u64::from(*r.start()) + 1).sum()
    }

    /// The UIDs, ascending. A set from a server may hold four thousand million of them: see [`UidSet::len`].
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// The ranges, ascending, with a gap between any two.
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.ranges
    }

    /// Reads `1:3,7`. Nothing when that is no set, or has `*` or 0.
    pub fn parse(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        Some(merge(ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect()))
    }

    /// As [`UidSet::parse`], only for a text whose UIDs ascend as they are written. Two such sets of one length can be
    /// laid side by side, as COPYUID and a MULTIAPPEND's APPENDUID want (RFC 4315 §3, RFC 3502 §6.3.11).
    pub(crate) fn parse_ascending(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        let ascending = ranges.iter().all(|(a, b)| a <= b) && ranges.is_sorted_by(|a, b| a.1 < b.0);
        ascending.then(|| merge(ranges))
    }

    /// The set in parts whose texts are no longer than `most` octets each (and at least one range).
    pub(crate) fn split(&self, most: usize) -> Vec<UidSet> {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut length = 0_usize;
        for range in &self.ranges {
            let octets = text(range).len().saturating_add(1);
            if !part.is_empty() && length.saturating_add(octets) > most {
                parts.push(UidSet { ranges: std::mem::take(&mut part) });
                length = 0;
            }
            length = length.saturating_add(octets);
            part.push(range.clone());
        }
        if !part.is_empty() {
            parts.push(UidSet { ranges: part });
        }
        parts
    }

    /// Adds every UID of `other`.
    pub(crate) fn extend(&mut self, other: &UidSet) {
        let all = self.ranges.iter().chain(&other.ranges).map(|r| (*r.start(), *r.end())).collect();
        *self = merge(all);
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        merge(uids.into_iter().filter(|uid| *uid != 0).map(|uid| (uid, uid)).collect())
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(&text(range))?;
        }
        Ok(())
    }
}

fn text(range: &RangeInclusive<u32>) -> String {
    if range.start() == range.end() { range.start().to_string() } else { format!("{}:{}", range.start(), range.end()) }
}

/// One range as written: either end may be the lower one (RFC 3501 §9, `seq-range`).
fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    Some((number(first)?, number(last)?))
}

/// `nz-number`: `u32::from_str` alone would let a plus sign pass.
fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number != 0)
}

/// Sorts and merges in one go: adding one by one would take quadratic time on what a hostile server sends.
fn merge(mut ranges: Vec<(u32, u32)>) -> UidSet {
    ranges.sort_unstable();
    let mut merged: Vec<RangeInclusive<u32>> = Vec::new();
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if low <= last.end().saturating_add(1) => *last = *last.start()..=high.max(*last.end()),
            _ => merged.push(low..=high),
        }
    }
    UidSet { ranges: merged }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail loudly")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        check("1", Some("1"));
        check("3,1:2", Some("1:3"));
        check("9:7,20", Some("7:9,20"));
        check("1,3,5", Some("1,3,5"));
        check("4294967295", Some("4294967295"));
        check("1:4294967295,7", Some("1:4294967295"));
        for wrong in ["", "0", "1:*", "*", "1,", ",1", "a", "1:2:3", "+1", "-1", "4294967296", " 1"] {
            check(wrong, None);
        }
    }

    fn check(text: &str, written: Option<&str>) {
        assert_eq!(UidSet::parse(text).map(|set| set.to_string()).as_deref(), written, "{text:?}");
    }

    #[test]
    fn ascending_texts_only() {
        assert!(UidSet::parse_ascending("1,2,5:7").is_some());
        for wrong in ["2,1", "7:5", "1,1", "1:3,3"] {
            assert_eq!(UidSet::parse_ascending(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_ends_of_the_number_range() {
        let mut set = UidSet::new();
        set.insert(0);
        assert!(set.is_empty());
        set.insert_range(0, 2);
        set.insert(u32::MAX);
        set.insert(u32::MAX - 1);
        assert_eq!(set.to_string(), "1:2,4294967294:4294967295");
        set.insert_range(u32::MAX, 1);
        assert_eq!(set.len(), u64::from(u32::MAX));
    }

    proptest! {
        #[test]
        fn a_set_is_a_set(orders in prop::collection::vec((0_u32..60, 0_u32..8), 0..30)) {
            let (mut set, mut model) = (UidSet::new(), BTreeSet::new());
            for (low, more) in orders {
                set.insert_range(low, low + more);
                model.extend((low..=low + more).filter(|uid| *uid != 0));
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), model.len() as u64);
            for uid in 0..80 {
                prop_assert_eq!(set.contains(uid), model.contains(&uid));
            }
            prop_assert_eq!(&set, &model.iter().copied().collect::<UidSet>());
            if !set.is_empty() {
                prop_assert_eq!(&UidSet::parse(&set.to_string()).unwrap(), &set);
                prop_assert_eq!(&UidSet::parse_ascending(&set.to_string()).unwrap(), &set);
            }
            for most in [1, 5, 40] {
                let parts = set.split(most);
                let mut whole = UidSet::new();
                for part in &parts {
                    prop_assert!(part.ranges().len() == 1 || part.to_string().len() <= most);
                    whole.extend(part);
                }
                prop_assert_eq!(&whole, &set);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = UidSet::parse(&text);
            let _ = UidSet::parse_ascending(&text);
        }
    }
}
