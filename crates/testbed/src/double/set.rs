//! Sets of numbers as commands name them (RFC 9051 §9, sequence-set).

/// Ranges, both ends included.
pub(crate) struct Set(Vec<(u32, u32)>);

impl Set {
    /// `last` is what `*` means. `None` for what is no set.
    pub(crate) fn read(text: &str, last: u32) -> Option<Set> {
        let number = |text: &str| if text == "*" { Some(last) } else { text.parse().ok().filter(|&number| number > 0) };
        let range = |part: &str| {
            let (first, second) = part.split_once(':').unwrap_or((part, part));
            let (first, second) = (number(first)?, number(second)?);
            Some((first.min(second), first.max(second)))
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Set)
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&number))
    }
}

/// As a set, in the given order: for APPENDUID, COPYUID and MODIFIED.
pub(crate) fn written(numbers: &[u32]) -> String {
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    texts.join(",")
}
