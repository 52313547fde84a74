//! Copies of header fields, cleaned: whatever is copied out of the original can neither begin a new field nor break a line
//! rule (format §4.6, Choices a to c). The original itself is never changed.
//!
//! In: a field as it stands in the original. Out: whole lines with CRLF, for inside (any octets but CR, LF, NUL) or for
//! outside (printable ASCII, at most 998 octets).

use mail::{Address, AddressList, HeaderField, HeaderSection, decode_words, encode_words};

/// Fields that are copied into the payload's header, each as often as it occurs.
const PROTECTED: [&str; 16] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Date",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Keywords",
    "Comments",
    "Mail-Followup-To",
    "Importance",
    "Priority",
];
const PROTECTED_TOO: [&str; 2] = ["X-Priority", "Autocrypt"];
/// Fields that hold addresses.
const ADDRESSES: [&str; 7] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Mail-Followup-To"];
/// Fields that hold message ids.
const MESSAGE_IDS: [&str; 3] = ["Message-ID", "In-Reply-To", "References"];
/// Octets of all protected copies together.
const MAX_COPIES: usize = 256 * 1024;
/// A field of more octets, unfolded, is copied only if it holds addresses or message ids.
const MAX_UNFOLDED: usize = 998;
/// Octets of an outer field's value that was rebuilt.
const MAX_OUTER: usize = 900;
/// Octets of one address (RFC 5321 §4.5.3.1: 64 before the `@`, 255 after it).
const MAX_ADDRESS: usize = 64 + 1 + 255 + 1;
/// Characters kept of an outer unstructured field that is too long.
const MAX_OUTER_TEXT: usize = 120;

/// The protected copies of a header section.
pub fn protected(section: &HeaderSection<'_>) -> Vec<u8> {
    let mut copies = Vec::new();
    for field in section.fields() {
        let Some(name) = protected_name(field) else { continue };
        let long = field.value().len() > MAX_UNFOLDED && field.unfolded().len() > MAX_UNFOLDED;
        if long && !holds(&ADDRESSES, name) && !holds(&MESSAGE_IDS, name) {
            continue;
        }
        let copy = inside(name, field);
        if copies.len() + copy.len() <= MAX_COPIES {
            copies.extend_from_slice(&copy);
        }
    }
    copies
}

/// One field for inside: its lines, with CRLF.
pub fn inside(name: &str, field: &HeaderField<'_>) -> Vec<u8> {
    let value = field.value();
    let mut copy = Vec::with_capacity(name.len() + value.len() + 4);
    copy.extend_from_slice(name.as_bytes());
    copy.push(b':');
    for (position, line) in value.split(|&octet| octet == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = line.iter().all(|octet| matches!(octet, b' ' | b'\t' | b'\r' | 0));
        if position == 0 {
            if !line.first().is_some_and(|octet| matches!(octet, b' ' | b'\t')) {
                copy.push(b' ');
            }
        } else if blank {
            // A continuation line of nothing but white space (RFC 5322 §4.2) reads as the end of the header to some.
            continue;
        } else {
            copy.extend_from_slice(b"\r\n");
        }
        copy.extend(line.iter().map(|&octet| if matches!(octet, b'\r' | 0) { b' ' } else { octet }));
    }
    copy.extend_from_slice(b"\r\n");
    copy
}

/// One field for outside, or None when nothing of it can stand there.
pub fn outside(name: &str, field: &HeaderField<'_>) -> Option<Vec<u8>> {
    let value = field.unfolded();
    // In a mail whose lines end with CR, what follows one is not this field any more.
    let value = before_cr(&value);
    let printable = value.iter().all(|&octet| matches!(octet, b'\t' | b' '..=b'~'));
    if printable && value.len() <= MAX_UNFOLDED && !has_bare_cr(field.value()) {
        return Some(inside(name, field))
            .filter(|copy| copy.split(|&octet| octet == b'\n').all(|line| line.len() < 998));
    }
    if printable && value.len() <= MAX_UNFOLDED {
        return Some(folded(name, &String::from_utf8_lossy(value)));
    }
    let rebuilt = if holds(&ADDRESSES, name) {
        addresses(value)
    } else if holds(&MESSAGE_IDS, name) {
        newest_ids(value)
    } else {
        text(value)
    };
    rebuilt.map(|value| folded(name, &value))
}

/// `Name: value`, folded at white space to lines of at most 78 columns where white space allows it.
pub fn folded(name: &str, value: &str) -> Vec<u8> {
    let mut out = format!("{name}:");
    let mut column = out.len();
    for word in value.split_ascii_whitespace() {
        if column + 1 + word.len() > 78 && column > name.len() + 1 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + word.len();
    }
    if value.is_empty() {
        out.push(' ');
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// Addresses without names, as many as fit outside.
pub fn bare_addresses(field: &HeaderField<'_>) -> Option<String> {
    let value = field.unfolded();
    let list = AddressList::parse(before_cr(&value));
    joined(list.addresses().map(Address::addr_spec))
}

/// Whole addresses, as many as fit outside, names encoded where they must be.
fn addresses(value: &[u8]) -> Option<String> {
    let list = AddressList::parse(value);
    joined(list.addresses().map(|address| {
        let (name, spec) = (address.name(), address.addr_spec());
        match name.trim() {
            "" => spec,
            // A name that the octets do not give in UTF-8 is dropped rather than guessed.
            name if name.contains(char::REPLACEMENT_CHARACTER) => spec,
            name if name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == ' ') => {
                format!("{name} <{spec}>")
            }
            name => format!("{} <{spec}>", encode_words(name)),
        }
    }))
}

fn joined(addresses: impl Iterator<Item = String>) -> Option<String> {
    let mut out = String::new();
    for address in addresses {
        // An address that the parser put together from the words of a sentence is none.
        let length = address.rsplit_once('<').map_or(address.as_str(), |(_, spec)| spec).len();
        let plain =
            address.bytes().all(|octet| matches!(octet, b' '..=b'~')) && address.contains('@') && length <= MAX_ADDRESS;
        if plain && out.len() + 2 + address.len() <= MAX_OUTER {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(&address);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The last message ids that fit: threads hang on the newest ones.
fn newest_ids(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
    let mut ids: Vec<&str> = Vec::new();
    let mut length = 0;
    for id in text.split_ascii_whitespace().rev() {
        length += id.len() + 1;
        if length > MAX_OUTER || !id.bytes().all(|octet| matches!(octet, b'!'..=b'~')) {
            break;
        }
        ids.push(id);
    }
    ids.reverse();
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// An unstructured field, shortened and encoded. Octets that are not UTF-8 cannot be named outside.
fn text(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    let decoded = decode_words(value.as_bytes());
    let clean: String = decoded.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let kept: String = clean.chars().take(MAX_OUTER_TEXT).collect();
    Some(encode_words(&kept))
}

fn before_cr(value: &[u8]) -> &[u8] {
    value.split(|&octet| octet == b'\r').next().unwrap_or_default()
}

fn has_bare_cr(octets: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'\r', octets);
    ends.any(|position| octets.get(position + 1) != Some(&b'\n'))
}

fn protected_name(field: &HeaderField<'_>) -> Option<&'static str> {
    let list = || {
        let start = field.name().get(..5)?;
        let known = [
            "List-Id",
            "List-Help",
            "List-Unsubscribe",
            "List-Subscribe",
            "List-Post",
            "List-Owner",
            "List-Archive",
            "List-Unsubscribe-Post",
        ];
        start.eq_ignore_ascii_case(b"List-").then(|| known.into_iter().find(|name| field.is(name))).flatten()
    };
    PROTECTED.into_iter().chain(PROTECTED_TOO).find(|name| field.is(name)).or_else(list)
}

fn holds(names: &[&str], name: &str) -> bool {
    names.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside_of(message: &[u8], name: &str) -> Option<String> {
        let section = HeaderSection::parse(message);
        let copy = outside(name, section.first(name)?)?;
        Some(String::from_utf8(copy).expect("ASCII"))
    }

    #[test]
    fn nothing_dangerous_gets_outside() {
        let long_id = format!("<{}@x>", "m".repeat(2000));
        let cases: [(&[u8], &str, Option<&str>); 10] = [
            (b"From: a@b.test\r\n\r\n", "From", Some("From: a@b.test\r\n")),
            (b"To : a@b.test\n\n", "To", Some("To: a@b.test\r\n")),
            (b"To: a@b.test,\r\n c@d.test\r\n\r\n", "To", Some("To: a@b.test,\r\n c@d.test\r\n")),
            (b"From: a@b.test\rSubject: secret\r\rbody", "From", Some("From: a@b.test\r\n")),
            (b"From: a@b.test\rX: secret\nTo: x@y\n\n", "From", Some("From: a@b.test\r\n")),
            (
                b"From: =?utf-8?q?J=C3=BCrgen?= <j@x.test>\n\n",
                "From",
                Some("From: =?utf-8?q?J=C3=BCrgen?= <j@x.test>\r\n"),
            ),
            (b"Subject: a\0b\n\n", "Subject", Some("Subject: a b\r\n")),
            (b"Subject: \xfc\n\n", "Subject", None),
            (b"Date: x\n \n\t\n y\n\n", "Date", Some("Date: x\r\n y\r\n")),
            (b"To:\n\n", "To", Some("To: \r\n")),
        ];
        for (message, name, expected) in cases {
            assert_eq!(outside_of(message, name).as_deref(), expected, "{}", String::from_utf8_lossy(message));
        }
        assert_eq!(outside_of(format!("Message-ID: {long_id}\n\n").as_bytes(), "Message-ID"), None);
        let eight_bit = outside_of("From: Jürgen Müller <j@x.test>\n\n".as_bytes(), "From").expect("an address");
        assert!(eight_bit.is_ascii() && eight_bit.contains("<j@x.test>") && eight_bit.contains("=?utf-8?"));
    }

    #[test]
    fn bare_addresses_end_where_the_field_ends() {
        let message = b"From: a@b.test\rTo: x@y\rSubject: secret\r\rcome to pier@harbour\r\n";
        let section = HeaderSection::parse(message);
        assert_eq!(bare_addresses(section.first("From").expect("there")).as_deref(), Some("a@b.test"));
    }

    #[test]
    fn long_lists_are_shortened_outside_to_whole_items() {
        let many: Vec<String> = (0..5000).map(|number| format!("u{number} <u{number}@example.test>")).collect();
        let message =
            format!("To: {}\r\nReferences: {}\r\n\r\n", many.join(",\r\n "), "<a@b> ".repeat(900) + "<last@b>");
        let to = outside_of(message.as_bytes(), "To").expect("some");
        assert!(to.len() < 1000 && to.starts_with("To: u0 <u0@example.test>") && to.trim_end().ends_with('>'));
        let references = outside_of(message.as_bytes(), "References").expect("some");
        assert!(references.len() < 1000 && references.trim_end().ends_with("<last@b>"));
    }

    #[test]
    fn a_copy_is_one_field() {
        let smuggled = b"Subject: x\rSealed-Origin: v=1\r\n y\n\n";
        let section = HeaderSection::parse(smuggled);
        let copies = protected(&section);
        assert_eq!(HeaderSection::parse(&copies).fields().len(), 1);
        assert!(!copies.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'));
    }
}
