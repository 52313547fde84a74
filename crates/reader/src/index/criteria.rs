//! Texts and days that are searched for (RFC 3501 §6.4.4). In: header fields, decoded text. Out: the form in which texts are compared; the day that a Date
//! field names. Upper and lower case are one, and so are a letter with its accent and the two one after the other (Unicode NFD).

use unicode_normalization::UnicodeNormalization;

use crate::day::day;

/// The form in which texts are compared.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().flat_map(char::to_lowercase).collect()
}

/// Whether a folded text holds another.
pub(crate) fn holds(text: impl AsRef<[u8]>, wanted: &str) -> bool {
    memchr::memmem::find(text.as_ref(), wanted.as_bytes()).is_some()
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The day that a Date field names, whatever its time and zone, in days since 1970 (RFC 5322 §3.3, §4.3).
pub(crate) fn sent_day(value: &str) -> Option<i64> {
    let value = value.rsplit_once(',').map_or(value, |(_, after)| after);
    let mut words = value.split([' ', '\t', '-']).filter(|word| !word.is_empty());
    let day: u8 = words.next()?.parse().ok()?;
    let name = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| name.starts_with(month))?;
    let digits = words.next()?;
    let number: u16 = digits.parse().ok()?;
    // Years of two digits begin with 1950, those of three count from 1900.
    let year = match digits.len() {
        2 if number < 50 => number.checked_add(2000)?,
        2 | 3 => number.checked_add(1900)?,
        _ => number,
    };
    let month = u8::try_from(month).ok()?.checked_add(1)?;
    let plausible = (1..=31).contains(&day) && (1..=9999).contains(&year);
    plausible.then(|| wire::imap::server::Date { year, month, day }.days())
}

/// The day to show: the one that the Date field names, else that of the arrival. As `2024-02-29`, in years of four digits: such texts have the order of the days.
pub(crate) fn shown_day(sent: Option<i64>, arrived: i64) -> String {
    day(sent.and_then(|sent| sent.checked_mul(86_400)).unwrap_or(arrived))
}

/// The moment that a Date field names, in seconds since 1970; without a time that can be read, the beginning of its day (RFC 5256 §2.2).
pub(crate) fn sent_moment(value: &str) -> Option<i64> {
    let midnight = sent_day(value)?.checked_mul(86_400)?;
    let mut words = value.split_ascii_whitespace().skip_while(|word| !word.contains(':'));
    let time = words.next().and_then(seconds_of_day);
    let Some(time) = time else { return Some(midnight) };
    let east = words.next().map(minutes_east).unwrap_or_default();
    midnight.checked_add(time)?.checked_sub(east.checked_mul(60)?)
}

/// `21:52` or `21:52:25`
fn seconds_of_day(word: &str) -> Option<i64> {
    let mut numbers = word.split(':').map(|number| number.parse::<u8>().ok());
    let (hour, minute, second) = (numbers.next()??, numbers.next()??, numbers.next().unwrap_or(Some(0))?);
    let plausible = hour < 24 && minute < 60 && second <= 60;
    plausible.then(|| i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second))
}

/// What is no zone that is known counts as none (RFC 5322 §4.3).
fn minutes_east(zone: &str) -> i64 {
    let hours = match zone.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => 0,
    };
    let sign = match zone.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return hours * 60,
    };
    let digits = zone.get(1..).filter(|digits| digits.len() == 4).and_then(|digits| digits.parse::<u16>().ok());
    digits.map_or(0, |digits| sign * (i64::from(digits / 100) * 60 + i64::from(digits % 100)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_date_fields() {
        for (value, day) in [
            ("Thu, 1 Jan 1970 23:59:59 -1200", Some(0)),
            ("1 Jan 70 00:00 GMT", Some(0)),
            ("Fri, 02 January 1970 00:00:00 +0000 (UTC)", Some(1)),
            ("Tue, 29 Feb 2000 12:00:00 +0000", Some(11_016)),
            ("29-Feb-2000", Some(11_016)),
            ("yesterday", None),
            ("", None),
            ("Mon, 99 Jan 2000", None),
        ] {
            assert_eq!(sent_day(value), day, "{value}");
        }
    }

    #[test]
    fn moments_of_date_fields() {
        for (value, moment) in [
            ("Thu, 1 Jan 1970 00:00:00 +0000", Some(0)),
            ("1 Jan 1970 01:00 +0100 (CET)", Some(0)),
            ("Wed, 31 Dec 1969 19:00:00 EST", Some(0)),
            ("1 Jan 1970 00:00:07 -0030", Some(1_807)),
            ("2 Jan 1970", Some(86_400)),
            ("2 Jan 1970 25:00 +0000", Some(86_400)),
            ("soon 12:00", None),
        ] {
            assert_eq!(sent_moment(value), moment, "{value}");
        }
    }

    #[test]
    fn case_does_not_matter() {
        assert!(holds(fold("Grüße aus KÖLN"), &fold("kÖln")));
        assert!(holds("", ""));
        assert!(holds(fold("Ko\u{308}ln"), &fold("Köln")));
        assert!(!holds(fold("Köln"), &fold("Koln")));
    }
}
