//! Since when originals are marked as being replaced (format §12.2). In: UIDs that carry the mark. Out: whether a sealer may still be at work. A sealer that died leaves
//! its marks behind, for a quarter of an hour or for ever: they hold nothing up for longer than [`MOST`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::depot::selected::Item;

/// The keyword that a sealer marks an original with while it is replaced.
const SEALING: &str = "$Sealing";
/// So long one message is replaced at most, as far as anybody waits for it.
const MOST: Duration = Duration::from_secs(10);

/// When each mark of a mailbox was first seen.
#[derive(Debug, Default)]
pub(crate) struct Marks(HashMap<u32, Instant>);

impl Marks {
    /// Takes in which messages are marked; whether one of them is so newly.
    pub(crate) fn any_new(&mut self, items: &[Item]) -> bool {
        let now = Instant::now();
        let marked = items.iter().filter(|item| item.has(SEALING));
        self.0 = marked.map(|item| (item.uid, self.0.get(&item.uid).copied().unwrap_or(now))).collect();
        self.0.values().any(|since| now.saturating_duration_since(*since) < MOST)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use crate::depot::selected::{Recent, Standing};

    #[test]
    fn old_marks_hold_nothing_up() {
        let item = |uid, flag: &str| Item {
            uid,
            flags: vec![flag.to_owned()],
            view: None,
            recent: Recent::No,
            standing: Standing::Only,
            size: None,
            modseq: None,
        };
        let mut marks = Marks::default();
        assert!(!marks.any_new(&[item(1, "x")]));
        assert!(marks.any_new(&[item(1, "$sealing")]));
        let old = Instant::now().checked_sub(MOST).unwrap();
        marks.0.insert(1, old);
        assert!(!marks.any_new(&[item(1, "$Sealing")]));
        assert!(marks.any_new(&[item(1, "$Sealing"), item(2, "$Sealing")]));
        // Another sealer marks it anew.
        assert!(!marks.any_new(&[]));
        assert!(marks.any_new(&[item(1, "$Sealing")]));
    }
}
