//! What a config may say, for whoever mistyped it. In: a word, and those that may stand there. Out: the one that it nearly is.

/// What whoever wrote this most likely meant. In: the parser's error. Only words that may stand in that place are suggested.
pub(super) fn meant(error: &str) -> Option<&str> {
    let is_unknown = ["unknown field", "unknown variant"].iter().any(|what| error.starts_with(what));
    // serde says: unknown field `sorce`, expected one of `source`, `seal`
    let (written, expected) = error.split_once(", expected ").filter(|_| is_unknown)?;
    let written = written.split('`').nth(1)?;
    nearest_of(written, expected.split('`').skip(1).step_by(2))
}

/// The word that differs least, if it does so by two letters at most and has one in common; their case counts nothing.
pub fn nearest_of<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let mut row: Vec<usize> = (0..=known.chars().count()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut diagonal = i;
            if let Some(first) = row.first_mut() {
                *first = i + 1;
            }
            for (j, b) in known.chars().enumerate() {
                let above = row.get(j + 1).copied().unwrap_or_default();
                let left = row.get(j).copied().unwrap_or_default();
                let best = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
                diagonal = above;
                if let Some(cell) = row.get_mut(j + 1) {
                    *cell = best;
                }
            }
        }
        row.last().copied().unwrap_or_default()
    };
    let most = word.chars().count().saturating_sub(1).min(2);
    known.map(|known| (distance(known), known)).min().filter(|(distance, _)| *distance <= most).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_stand_there_is_suggested() {
        for (error, expected) in [
            ("unknown field `sorce`, expected one of `source`, `seal`, `sink`", Some("source")),
            ("unknown field `pasword`, expected `user` or `password`", Some("password")),
            ("unknown variant `inplace`, expected `in-place`", Some("in-place")),
            ("unknown variant `starttls`, expected `required` or `off`", None),
            ("unknown variant `required`, expected one of `off`, `starttls`, `tls`", None),
            ("unknown field `x`, expected one of `mx`, `to`", None),
            ("unknown field `x`, there are no fields", None),
            ("missing field `sink`", None),
        ] {
            assert_eq!(meant(error), expected, "{error}");
        }
    }
}
