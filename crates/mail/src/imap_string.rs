//! Strings as IMAP writes them in ENVELOPE and BODYSTRUCTURE (RFC 9051 §4.3).
//!
//! In: octets of a header field. Out: a quoted string, a literal where quoting cannot carry it, or NIL. Line ends and other control
//! characters become blanks, octets that are not UTF-8 become U+FFFD: the result is text and never breaks a response line but by a literal.

/// Appends a string.
pub(crate) fn push_string(out: &mut String, octets: &[u8]) {
    let text: String = String::from_utf8_lossy(octets)
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.is_ascii() {
        out.push('"');
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                out.push('\\');
            }
            out.push(character);
        }
        out.push('"');
    } else {
        // Quoted strings beyond ASCII need UTF8=ACCEPT or IMAP4rev2; a literal is understood everywhere.
        out.push_str(&format!("{{{}}}\r\n{text}", text.len()));
    }
}

/// Appends a string, or NIL.
pub(crate) fn push_nstring(out: &mut String, octets: Option<&[u8]>) {
    match octets {
        Some(octets) => push_string(out, octets),
        None => out.push_str("NIL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (octets, string) in [
            (&b"a"[..], "\"a\""),
            (b"", "\"\""),
            (b"a \"b\" \\", "\"a \\\"b\\\" \\\\\""),
            (b"a\r\nb\0c", "\"a  b c\""),
            ("é".as_bytes(), "{2}\r\né"),
            (b"\xe9", "{3}\r\n\u{fffd}"),
        ] {
            let mut out = String::new();
            push_string(&mut out, octets);
            assert_eq!(out, string);
        }
        let mut out = String::new();
        push_nstring(&mut out, None);
        assert_eq!(out, "NIL");
    }
}
