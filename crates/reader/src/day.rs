//! Days, for people. In: moments. Out: `2024-02-29`.

/// The day of a moment, in UTC: `2024-02-29`.
pub fn day(moment: i64) -> String {
    let text = wire::imap::server::DateTime::text_of_unix(moment);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split([' ', '-']);
    let (date, month, year) = (words.next(), words.next(), words.next());
    let number = month.and_then(|month| months.iter().position(|other| *other == month)).unwrap_or_default();
    format!("{}-{:02}-{}", year.unwrap_or_default(), number.saturating_add(1), date.unwrap_or_default())
}
