//! Values of a config: durations, days, words of a fixed list. In: text. Out: what it means, or an error that shows how it
//! is written. Never prints a value that may be a secret.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// `90s`, `15m`, `2h`, `7d`.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    seconds(&text).map(Some).ok_or_else(|| serde::de::Error::custom(DURATION))
}

/// The same, or `off`, which is none at all.
pub(super) fn duration_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let off = (text == "off").then_some(Duration::ZERO);
    off.or_else(|| seconds(&text)).map(Some).ok_or_else(|| serde::de::Error::custom(DURATION))
}

/// Several.
#[cfg(feature = "forward")]
pub(super) fn durations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    if texts.is_empty() {
        return Err(serde::de::Error::custom("an empty list: leave it out for the usual times"));
    }
    texts.iter().map(|text| seconds(text).ok_or_else(|| serde::de::Error::custom(DURATION))).collect()
}

const DURATION: &str = "a duration is a number and s, m, h or d: \"60s\"";

fn seconds(text: &str) -> Option<Duration> {
    text.char_indices().next_back().and_then(|(end, unit)| {
        let number: u64 = text.get(..end)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        number.checked_mul(seconds).map(Duration::from_secs)
    })
}

/// `2020-12-31`, as Unix seconds.
pub(super) fn day<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(from)?;
    crate::clock::day(&text).map(Some).map_err(serde::de::Error::custom)
}

/// A word of a fixed list.
pub(super) fn word<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}
