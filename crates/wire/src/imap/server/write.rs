//! Strings and sets as a server writes them (RFC 3501 §4.3, §9). In: octets. Out: an atom, a quoted string, a literal. Never changes
//! an octet.

use super::cursor::{Names, is_atom};
use crate::mailbox_name::MailboxName;

/// Appends a string: quoted where quoting carries it, else a literal.
pub fn push_string(out: &mut Vec<u8>, octets: &[u8]) {
    let plain = octets.len() <= 1_000 && octets.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t'));
    if !plain {
        out.extend_from_slice(format!("{{{}}}\r\n", octets.len()).as_bytes());
        out.extend_from_slice(octets);
        return;
    }
    out.push(b'"');
    for &octet in octets {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

/// Appends a string, or NIL.
pub fn push_nstring(out: &mut Vec<u8>, octets: Option<&[u8]>) {
    match octets {
        Some(octets) => push_string(out, octets),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends an atom, or a string where it is none.
pub fn push_astring(out: &mut Vec<u8>, octets: &[u8]) {
    let atom = !octets.is_empty() && octets.iter().all(|octet| is_atom(*octet) && octet.is_ascii());
    if atom && !octets.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(octets);
    } else {
        push_string(out, octets);
    }
}

/// Appends a mailbox's name.
pub fn push_mailbox(out: &mut Vec<u8>, name: &MailboxName, names: Names) {
    let text = name.utf8();
    // What a quoted string cannot carry is in no name that was made here.
    let fits = !text.contains(['\0', '\r', '\n']) && text.len() <= 1_000;
    if names == Names::Utf7 || !fits || text.is_ascii() {
        let octets = if names == Names::Utf7 { name.wire() } else { text.as_str() };
        return push_astring(out, octets.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('\\', "\\\\").replace('"', "\\\"").as_bytes());
    out.push(b'"');
}

/// Ascending numbers as a set: `1:3,7`. The order of the numbers is kept, as COPYUID needs it (RFC 4315 §3).
pub fn number_set(numbers: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = numbers;
    while let Some((&first, mut after)) = rest.split_first() {
        let mut last = first;
        while let Some((&next, further)) = after.split_first() {
            if Some(next) != last.checked_add(1) {
                break;
            }
            last = next;
            after = further;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if last != first {
            text.push_str(&format!(":{last}"));
        }
        rest = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_so_that_they_are_read_back() {
        for (octets, written) in [
            (&b"abc"[..], &b"\"abc\""[..]),
            (b"", b"\"\""),
            (b"a\"\\b", b"\"a\\\"\\\\b\""),
            (b"a\r\nb", b"{4}\r\na\r\nb"),
            (b"\xff", b"{1}\r\n\xff"),
        ] {
            let mut out = Vec::new();
            push_string(&mut out, octets);
            assert_eq!(out, written);
        }
        let mut out = Vec::new();
        push_astring(&mut out, b"INBOX");
        push_astring(&mut out, b"nil");
        push_astring(&mut out, b"a b");
        assert_eq!(out, b"INBOX\"nil\"\"a b\"");
    }

    #[test]
    fn sets_are_written_short() {
        assert_eq!(number_set(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(number_set(&[5, 4]), "5,4");
        assert_eq!(number_set(&[u32::MAX]), "4294967295");
        assert_eq!(number_set(&[]), "");
    }
}
