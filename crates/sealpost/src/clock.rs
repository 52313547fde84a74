//! Now.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds; 0 when the clock stands before 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment for people: `2026-11-23 10:00 UTC`.
pub fn shown(seconds: u64) -> String {
    shown_as(seconds, time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC"))
}

/// The same to the second: `2026-11-23 10:00:00 UTC`.
#[cfg(feature = "forward")]
pub fn shown_exactly(seconds: u64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    shown_as(seconds, format)
}

fn shown_as(seconds: u64, format: &[time::format_description::BorrowedFormatItem<'_>]) -> String {
    let moment =
        i64::try_from(seconds).ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// `2020-12-31`, its first second in UTC.
pub fn day(text: &str) -> Result<i64, &'static str> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day = time::Date::parse(text, &format).map_err(|_| "a day is written \"2020-12-31\"")?;
    Ok(day.midnight().assume_utc().unix_timestamp())
}
