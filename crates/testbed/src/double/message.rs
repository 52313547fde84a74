//! A stored message of a double, and the little that it reads of its header: fields, Message-ID, dates. Out: what FETCH and SEARCH ask for.

use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) number: u64,
    pub(crate) octets: Vec<u8>,
    pub(crate) flags: Vec<String>,
    /// INTERNALDATE, as it was given.
    pub(crate) date: String,
    pub(crate) modseq: u64,
}

impl Stored {
    /// Flags are the same in whatever case (RFC 9051 §2.3.2).
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own.eq_ignore_ascii_case(flag))
    }

    pub(crate) fn add(&mut self, flags: &[String]) {
        for flag in flags {
            if !self.has(flag) {
                self.flags.push(flag.clone());
            }
        }
    }

    pub(crate) fn remove(&mut self, flags: &[String]) {
        self.flags.retain(|own| !flags.iter().any(|flag| flag.eq_ignore_ascii_case(own)));
    }

    /// With the empty line that ends it.
    pub(crate) fn header(&self) -> &[u8] {
        self.octets.get(..self.header_size()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.octets.get(self.header_size()..).unwrap_or_default()
    }

    fn header_size(&self) -> usize {
        self.octets.windows(4).position(|window| window == b"\r\n\r\n").map_or(self.octets.len(), |at| at + 4)
    }

    /// The fields of these names, or all others (RFC 9051 §6.4.5.1), and an empty line.
    pub(crate) fn fields(&self, names: &[String], others: bool) -> Vec<u8> {
        let named = |field: &&&[u8]| names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(field_name(field)));
        let fields = fields(self.header());
        let mut found: Vec<u8> =
            fields.iter().filter(|field| named(field) != others).flat_map(|field| field.to_vec()).collect();
        found.extend(b"\r\n");
        found
    }

    /// Value of the first field of this name, unfolded.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let fields = fields(self.header());
        let field = fields.into_iter().find(|field| name.as_bytes().eq_ignore_ascii_case(field_name(field)))?;
        let value = field.get(field_name(field).len() + 1..).unwrap_or_default();
        Some(String::from_utf8_lossy(value).replace("\r\n", "").trim().to_owned())
    }
}

/// What an Exchange makes of a message that is stored.
pub(crate) fn rewrite(octets: &[u8]) -> Vec<u8> {
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n").map_or(octets.len(), |at| at + 2);
    let (header, rest) = octets.split_at(end);
    let mut written = Vec::new();
    for field in fields(header) {
        let name = field_name(field).to_ascii_lowercase();
        if name.starts_with(b"sealed-") {
            continue;
        }
        match name == b"content-type" {
            true => {
                let text = String::from_utf8_lossy(field).into_owned();
                let at = text.to_ascii_lowercase().find("multipart/encrypted");
                let text = at.map_or(text.clone(), |at| [&text[..at], "multipart/mixed", &text[at + 19..]].concat());
                written.extend(text.into_bytes());
            }
            false => written.extend(field),
        }
    }
    written.extend(rest);
    written
}

/// Each with its folded lines and line end.
fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut found: Vec<&[u8]> = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in header.split_inclusive(|&octet| octet == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if at > start && !folded {
            found.extend(header.get(start..at));
            start = at;
        }
        at += line.len();
    }
    found.extend(header.get(start..at));
    found.retain(|field| field.contains(&b':'));
    found
}

fn field_name(field: &[u8]) -> &[u8] {
    field.split(|&octet| octet == b':').next().unwrap_or_default()
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The clock, as INTERNALDATE.
pub(crate) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{:2}-{}-{year} {hour:02}:{minute:02}:{:02} +0000", day + 1, MONTHS[month], second % 60)
}

/// Year, month, day of `17-Jul-1996 ...`, to compare (RFC 9051 §6.4.4: without time and zone).
pub(crate) fn day_of(date: &str) -> Option<(u32, usize, u32)> {
    let mut words = date.trim().split([' ', '-']);
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    Some((words.next()?.parse().ok()?, month, day))
}
