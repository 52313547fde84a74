//! What was found out, in words (RFC 8601): written into one `Authentication-Results` field, and read only to tell a forged one.
//!
//! In: results. Out: a value of ASCII on one line, short enough for the list view (format §4.5, INDEX 9). Whatever a sender chose (a domain,
//! a selector) is written only as letters of a domain name: it can end no value and begin none.

use mail::HeaderSection;

/// Octets of the whole value.
const MAX_VALUE: usize = 700;
/// Octets of one name.
const MAX_NAME: usize = 120;

/// A result of a check (RFC 8601 §2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Verified.
    Pass,
    /// Found to be false.
    Fail,
    /// Probably false, says its domain (SPF).
    SoftFail,
    /// Nothing follows from it.
    Neutral,
    /// There was nothing to check.
    None,
    /// Not looked at, since it may not be believed: an RSA signature with SHA-1 (RFC 8301 §3.1).
    Policy,
    /// Could not be checked now: the DNS did not answer.
    TempError,
    /// Cannot be checked: records or signatures are broken.
    PermError,
}

impl Said {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// One result with its properties, `type.name=value`.
pub(super) struct Entry<'a> {
    pub(super) method: &'static str,
    pub(super) said: Said,
    pub(super) properties: Vec<(&'static str, &'a str)>,
}

/// The value of the field: the entries that fit, in order.
pub(super) fn write(authserv_id: &str, entries: &[Entry<'_>]) -> String {
    let mut value = authserv_id.to_owned();
    for entry in entries {
        let mut words = format!("; {}={}", entry.method, entry.said.word());
        for (name, text) in &entry.properties {
            words.push_str(&format!(" {name}={}", as_name(text)));
        }
        if value.len() + words.len() <= MAX_VALUE {
            value.push_str(&words);
        }
    }
    value
}

/// A text as letters of a domain name; what was none before is seen to be none.
fn as_name(text: &str) -> String {
    if text.is_empty() {
        return "none.invalid".to_owned();
    }
    if text.len() > MAX_NAME {
        return "long.invalid".to_owned();
    }
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    text.chars().map(|found| if letter(found) { found } else { '_' }).collect()
}

/// How many fields of a message bear our name. Whoever wrote them, it was not we: ours is made here, and stands elsewhere (RFC 8601 §5).
pub(super) fn forged(section: &HeaderSection<'_>, authserv_id: &str) -> usize {
    let fields = section.all("Authentication-Results");
    fields.filter(|field| named(&field.unfolded()).eq_ignore_ascii_case(authserv_id.as_bytes())).count()
}

/// The authserv-id of a field: its first word, without comments and quotes (RFC 8601 §2.2).
fn named(value: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    let mut comments = 0usize;
    let mut escaped = false;
    for &octet in value {
        match octet {
            _ if escaped => {
                escaped = false;
                if comments == 0 {
                    name.push(octet);
                }
            }
            b'\\' => escaped = true,
            b'(' => comments = comments.saturating_add(1),
            b')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            b'"' => {}
            b';' => break,
            octet if octet.is_ascii_whitespace() || octet == 0 => {
                if !name.is_empty() {
                    break;
                }
            }
            octet => name.push(octet),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_forged_field_is_told() {
        let check = |value: &str, expected: usize| {
            let header = format!("Authentication-Results: {value}\r\nFrom: a@b\r\n\r\n");
            assert_eq!(forged(&HeaderSection::parse(header.as_bytes()), "mx.my.example"), expected, "{value}");
        };
        check("mx.my.example; dmarc=pass", 1);
        check("MX.my.Example 1; dmarc=pass", 1);
        check("\r\n (we (are) it) mx.my.example\r\n ; dmarc=pass", 1);
        check("\"mx.my.example\"; dmarc=pass", 1);
        check("\"mx.my\\.example\"; none", 1);
        check("other.example; x=mx.my.example", 0);
        check("mx.my.example.other; none", 0);
        check("", 0);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let entry = |text| Entry { method: "dkim", said: Said::Pass, properties: vec![("header.d", text)] };
        let entries: Vec<Entry<'_>> = (0..50).map(|_| entry("a.example.with.a.long.name")).collect();
        let value = write("mx.my.example", &entries);
        assert!(value.len() <= MAX_VALUE && value.ends_with("name"), "{value}");
    }

    proptest! {
        #[test]
        fn nothing_that_a_sender_chose_gets_out(text: String) {
            let entry = Entry { method: "dkim", said: Said::Fail, properties: vec![("header.d", &text)] };
            let value = write("mx.my.example", &[entry]);
            prop_assert_eq!(value.matches(';').count(), 1);
            prop_assert_eq!(value.matches('=').count(), 2);
            prop_assert!(value.bytes().all(|octet| matches!(octet, b' '..=b'~')));
        }

        #[test]
        fn no_field_breaks_it(value: Vec<u8>) {
            let _ = named(&value);
        }
    }
}
