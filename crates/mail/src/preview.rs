//! A preview of a message: its first words on one line (in the manner of RFC 8970).
//!
//! In: the beginning of a message. Out: at most [`PREVIEW_CHARS`] characters of its first readable text part, decoded, without HTML,
//! control and invisible characters. Never reads more than [`MAX_PREVIEW_INPUT`] octets; decoding is mail-parser's.

use crate::body_part::{BodyPart, PartKind};
use crate::content_type::ContentDisposition;
use crate::html::text_of_html;
use crate::part_text::part_text;
use crate::structure::Scanner;

/// Longest preview (RFC 8970 recommends 200 characters).
pub const PREVIEW_CHARS: usize = 200;
/// Octets that are looked at; what follows is ignored.
pub const MAX_PREVIEW_INPUT: usize = 32 * 1024;

/// The preview of the message that begins with `prefix`; `None` when there is no text to show, as in an encrypted message.
pub fn preview(prefix: &[u8]) -> Option<String> {
    let prefix = prefix.get(..MAX_PREVIEW_INPUT).unwrap_or(prefix);
    let mut scanner = Scanner::new();
    scanner.feed(prefix);
    first_text(prefix, &scanner.finish())
}

/// Depth first, as a reader meets the parts; a text part that shows nothing is passed over. Recursion is as deep as the tree: `MAX_DEPTH`.
fn first_text(message: &[u8], part: &BodyPart) -> Option<String> {
    match part.kind() {
        PartKind::Multipart | PartKind::Message => part.children().iter().find_map(|child| first_text(message, child)),
        PartKind::Text if is_attachment(part) => None,
        PartKind::Text => one_line(&readable(message, part)),
        PartKind::Other => None,
    }
}

fn is_attachment(part: &BodyPart) -> bool {
    part.field("content-disposition").is_some_and(|value| ContentDisposition::parse(&value).kind() == "attachment")
}

/// A part's text for people.
fn readable(message: &[u8], part: &BodyPart) -> String {
    let range = usize::try_from(part.body_offset()).ok().zip(usize::try_from(part.end_offset()).ok());
    let body = range.and_then(|(from, to)| message.get(from..to)).unwrap_or_default();
    let text = part_text(part, body);
    if part.content_type().subtype() == "html" { text_of_html(&text) } else { text }
}

/// The first characters, blanks collapsed; `None` when nothing is left.
fn one_line(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut count = 0usize;
    let mut blank = false;
    for character in text.chars() {
        if character.is_whitespace() {
            blank = count > 0;
            continue;
        }
        if character.is_control() || is_invisible(character) {
            continue;
        }
        let needed = if blank { 2 } else { 1 };
        count = count.saturating_add(needed);
        if count > PREVIEW_CHARS {
            break;
        }
        if blank {
            out.push(' ');
            blank = false;
        }
        out.push(character);
    }
    (!out.is_empty()).then_some(out)
}

/// Characters that senders use to hide or pad text, and those that turn its direction.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn previews() {
        let multi = "Content-Type: multipart/mixed; boundary=x\n\n";
        for (message, expected) in [
            ("Subject: s\n\n Hello,\r\n\r\n\tworld \u{200b}\u{7}!\n".to_owned(), Some("Hello, world !")),
            ("Subject: s\n\n \n".to_owned(), None),
            ("Subject: s\n".to_owned(), None),
            ("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\ncaf=E9 =\nau lait\n=ZZ\n=\n".to_owned(), Some("café au lait =ZZ")),
            ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: Base64\n\naGVs\nbG8=\n-- \nfooter".to_owned(), Some("hello")),
            ("Content-Type: text/html\n\n<html><head><title>t</title><style>p{}</style></head><body><p>A &amp; B</p><br>c".to_owned(), Some("A & B c")),
            ("Content-Type: image/png\n\nx".to_owned(), None),
            (format!("{multi}--x\nContent-Disposition: attachment\n\nno\n--x\n\n \n--x\n\nyes\n--x--"), Some("yes")),
            (format!("{multi}--x\nContent-Type: message/rfc822\n\nSubject: s\n\ninner\n--x--"), Some("inner")),
            ("Content-Type: multipart/encrypted; boundary=x\n\n--x\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--x--".to_owned(), None),
        ] {
            assert_eq!(preview(message.as_bytes()).as_deref(), expected, "{message:?}");
        }
    }

    #[test]
    fn previews_are_short() {
        let found = preview(format!("\n{}", "é ".repeat(1000)).as_bytes()).unwrap_or_default();
        assert_eq!(found.chars().count(), 199);
    }

    proptest! {
        #[test]
        fn nothing_breaks_a_preview(octets in proptest::collection::vec(any::<u8>(), 0..200), markup in "[<>&;#a-c!/é \\-\n=x0-9]{0,80}",
            encoding in prop_oneof![Just("base64"), Just("quoted-printable"), Just("8bit")],
            charset in prop_oneof![Just("utf-8"), Just("utf-7"), Just("utf-16"), Just("iso-2022-jp"), Just("gb18030"), Just("windows-1252"), Just("shift_jis")]) {
            for body in [&octets, markup.as_bytes()] {
                let header = format!("Content-Type: text/html; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n");
                if let Some(found) = preview(&[header.as_bytes(), body].concat()) {
                    prop_assert!(found.chars().count() <= PREVIEW_CHARS && !found.chars().any(char::is_control));
                }
                preview(body);
            }
        }
    }
}
