//! Sets of message numbers or UIDs as a client writes them (RFC 3501 §9 `sequence-set`). In: `1:3,7,20:*`. Out: which numbers are
//! meant, once it is known what `*` is. Never holds more than it was told.

use super::cursor::{Cursor, Why};
use super::limit::MAX_SET_RANGES;

/// A number, or the largest in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A number, not zero.
    Number(u32),
    /// `*`
    Largest,
}

/// Which messages are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet(Meant);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    /// Ranges as they were written.
    Ranges(Vec<(Bound, Bound)>),
    /// `$`: what was found last, and is still there (RFC 5182).
    Saved,
}

impl SequenceSet {
    /// Ranges, or `$`.
    pub(crate) fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        if from.eat(b'$') { Ok(Self(Meant::Saved)) } else { Self::parse_ranges(from) }
    }

    /// Where only numbers may stand.
    pub(crate) fn parse_ranges(from: &mut Cursor<'_>) -> Result<Self, Why> {
        let mut ranges = Vec::new();
        loop {
            let first = bound(from)?;
            let last = if from.eat(b':') { bound(from)? } else { first };
            if ranges.len() >= MAX_SET_RANGES {
                return Err("too many ranges in a set");
            }
            ranges.push((first, last));
            if !from.eat(b',') {
                return Ok(Self(Meant::Ranges(ranges)));
            }
        }
    }

    /// A set from its text.
    pub fn of_text(text: &str) -> Option<Self> {
        let mut cursor = Cursor::new(text.as_bytes());
        let set = Self::parse(&mut cursor).ok()?;
        cursor.end().ok().map(|()| set)
    }

    /// Whether what was saved is meant; there are no ranges then.
    pub fn is_saved(&self) -> bool {
        self.0 == Meant::Saved
    }

    fn written(&self) -> &[(Bound, Bound)] {
        match &self.0 {
            Meant::Ranges(ranges) => ranges,
            Meant::Saved => &[],
        }
    }

    /// Whether the number is meant. `largest`: what `*` is; zero when there is nothing.
    pub fn contains(&self, number: u32, largest: u32) -> bool {
        self.ranges(largest).any(|(low, high)| (low..=high).contains(&number))
    }

    /// The ranges in numbers, as they were written, each from low to high.
    pub fn ranges(&self, largest: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let number = move |bound: Bound| match bound {
            Bound::Number(number) => number,
            Bound::Largest => largest,
        };
        self.written().iter().map(move |(first, last)| {
            let (first, last) = (number(*first), number(*last));
            (first.min(last), first.max(last))
        })
    }

    /// The largest number that stands there, `*` not counted.
    pub fn largest_named(&self) -> u32 {
        let named = |bound: &Bound| match bound {
            Bound::Number(number) => *number,
            Bound::Largest => 0,
        };
        self.written().iter().map(|(first, last)| named(first).max(named(last))).max().unwrap_or_default()
    }
}

fn bound(from: &mut Cursor<'_>) -> Result<Bound, Why> {
    if from.eat(b'*') {
        return Ok(Bound::Largest);
    }
    match from.number()? {
        0 => Err("numbers of messages begin with one"),
        number => Ok(Bound::Number(number)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn sets_mean_what_they_say() {
        let table: [(&str, u32, &[u32]); 7] = [
            ("1", 5, &[1]),
            ("1:3,5", 5, &[1, 2, 3, 5]),
            ("*", 5, &[5]),
            ("4:*", 5, &[4, 5]),
            ("*:4", 5, &[4, 5]),
            ("9:*", 5, &[5]),
            ("3:1", 5, &[1, 2, 3]),
        ];
        for (text, largest, expected) in table {
            let set = SequenceSet::of_text(text).unwrap();
            let meant: Vec<u32> = (1..=5).filter(|number| set.contains(*number, largest)).collect();
            assert_eq!(meant, expected, "{text}");
        }
        assert!(SequenceSet::of_text("$").is_some_and(|set| set.is_saved() && !set.contains(1, 5)));
        for wrong in ["", "$:3", "1,$", "$$", "0", "1,", "1:", "a", "1::2", "1 2", "4294967296"] {
            assert_eq!(SequenceSet::of_text(wrong), None, "{wrong}");
        }
        assert_eq!(SequenceSet::of_text("2:9,*").unwrap().largest_named(), 9);
    }

    #[test]
    fn ranges_are_limited() {
        let text = vec!["1"; MAX_SET_RANGES].join(",");
        assert!(SequenceSet::of_text(&text).is_some());
        assert!(SequenceSet::of_text(&format!("{text},1")).is_none());
    }
}
