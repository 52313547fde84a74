//! Dates of IMAP (RFC 3501 §9 `date`, `date-time`). In: text. Out: numbers that form a real date. Never knows what day it is.

use super::cursor::{Cursor, Why};

/// `1-Feb-1994`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// `" 7-Feb-1994 21:52:25 -0800"`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// The day in that zone.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// Minutes east of UTC.
    pub zone: i16,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Date {
    /// Days since 1970-01-01 in the Gregorian calendar.
    pub fn days(self) -> i64 {
        // Years begin with March, so that the leap day is the last one; eras have 400 years.
        let (year, month) = (i64::from(self.year), i64::from(self.month));
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// An atom, or the same in quotes.
    pub(crate) fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        let quoted = from.eat(b'"');
        let date = date(from)?;
        if quoted {
            from.expect(b'"')?;
        }
        Ok(date)
    }
}

impl DateTime {
    pub(crate) fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        from.expect(b'"')?;
        from.eat(b' ');
        let date = date(from)?;
        from.space()?;
        let hour = two_digits(from, 23)?;
        from.expect(b':')?;
        let minute = two_digits(from, 59)?;
        from.expect(b':')?;
        let second = two_digits(from, 60)?;
        from.space()?;
        let sign = match (from.eat(b'+'), from.eat(b'-')) {
            (true, _) => 1,
            (_, true) => -1,
            _ => return Err("a time zone is missing"),
        };
        let digits = from.number()?;
        let (hours, minutes) = (digits / 100, digits % 100);
        if hours > 23 || minutes > 59 {
            return Err("no such time zone");
        }
        from.expect(b'"')?;
        let zone = i16::try_from(hours * 60 + minutes).map_err(|_| "no such time zone")? * sign;
        Ok(Self { date, hour, minute, second, zone })
    }

    /// Reads an INTERNALDATE as FETCH tells it, out of its quotes.
    pub fn of_text(text: &str) -> Option<Self> {
        let quoted = format!("\"{text}\"");
        let mut from = Cursor::new(quoted.as_bytes());
        Self::parse(&mut from).ok().filter(|_| from.end().is_ok())
    }

    /// Seconds since 1970-01-01 00:00 UTC.
    pub fn unix(self) -> i64 {
        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute) - i64::from(self.zone);
        self.date.days() * 86_400 + minutes * 60 + i64::from(self.second)
    }

    /// The moment as IMAP writes it, in UTC; years outside 1 to 9999 are brought to the nearest of them.
    pub fn text_of_unix(seconds: i64) -> String {
        let days = seconds.div_euclid(86_400).clamp(-719_162, 2_932_896);
        let of_day = seconds.rem_euclid(86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = (from_march + 2) % 12;
        let year = era * 400 + year_of_era + i64::from(month < 2);
        let name = usize::try_from(month).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or("Jan");
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        format!("{day:02}-{name}-{year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

fn date(from: &mut Cursor<'_>) -> Result<Date, Why> {
    let day = u8::try_from(from.number()?).map_err(|_| "no such day")?;
    from.expect(b'-')?;
    let name = from.run(|octet| octet.is_ascii_alphabetic())?;
    let month = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name)).ok_or("no such month")?;
    from.expect(b'-')?;
    let year = u16::try_from(from.number()?).ok().filter(|year| (1..=9999).contains(year)).ok_or("no such year")?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if !(1..=longest).contains(&day) {
        return Err("no such day");
    }
    Ok(Date { year, month: u8::try_from(month).unwrap_or_default() + 1, day })
}

fn two_digits(from: &mut Cursor<'_>, most: u32) -> Result<u8, Why> {
    let number = from.number()?;
    if number > most { Err("no such time") } else { u8::try_from(number).map_err(|_| "no such time") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn dates_are_days_and_moments() {
        let table = [
            ("1-Jan-1970", 0),
            ("01-jan-1970", 0),
            ("\"1-Feb-1994\"", 8_797),
            ("29-Feb-2000", 11_016),
            ("31-Dec-1969", -1),
            ("1-Mar-2100", 47_541),
        ];
        for (text, days) in table {
            assert_eq!(Date::parse(&mut Cursor::new(text.as_bytes())).unwrap().days(), days, "{text}");
        }
        for wrong in ["29-Feb-1900", "31-Apr-2020", "0-Jan-2020", "1-Foo-2020", "1-Jan-0", "Jan-1-2020", "\"1-Jan-2020"]
        {
            assert!(Date::parse(&mut Cursor::new(wrong.as_bytes())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_go_both_ways() {
        let table = [
            ("\" 7-Feb-1994 21:52:25 -0800\"", 760_686_745, "08-Feb-1994 05:52:25 +0000"),
            ("\"17-Jul-1996 02:44:25 -0700\"", 837_596_665, "17-Jul-1996 09:44:25 +0000"),
            ("\"29-Feb-2024 23:59:59 +0530\"", 1_709_231_399, "29-Feb-2024 18:29:59 +0000"),
            ("\"31-Dec-1969 23:59:59 +0000\"", -1, "31-Dec-1969 23:59:59 +0000"),
        ];
        for (text, unix, written) in table {
            assert_eq!(DateTime::parse(&mut Cursor::new(text.as_bytes())).unwrap().unix(), unix, "{text}");
            assert_eq!(DateTime::text_of_unix(unix), written);
        }
        for days in (-700_000..2_900_000).step_by(977) {
            let text = format!("\"{}\"", DateTime::text_of_unix(days * 86_400 + 7));
            assert_eq!(DateTime::parse(&mut Cursor::new(text.as_bytes())).unwrap().unix(), days * 86_400 + 7, "{text}");
        }
        for extreme in [i64::MIN, i64::MAX] {
            assert!(DateTime::text_of_unix(extreme).ends_with("+0000"));
        }
    }
}
