//! The BODYSTRUCTURE of a message (RFC 9051 §7.5.2, RFC 3501 §7.4.2), with extension data.
//!
//! In: the tree of body parts. Out: the parenthesised list as Dovecot writes it, but with types in lower case and sizes of the octets as
//! they are stored. Never looks at a body.

use crate::body_part::{BodyPart, PartKind};
use crate::content_type::{ContentDisposition, ContentType, Parameters};
use crate::envelope::envelope;
use crate::header::HeaderSection;
use crate::imap_string::{push_nstring, push_string};

/// What Dovecot writes for the parts of a multipart that has none: the grammar wants at least one.
const EMPTY_PART: &str = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0"#;

/// The BODYSTRUCTURE, parentheses included; `None` when it is longer than `max_len` octets.
pub fn body_structure(root: &BodyPart, max_len: usize) -> Option<String> {
    let mut out = String::new();
    push_part(&mut out, root, max_len, Detail::Extended)?;
    (out.len() <= max_len).then_some(out)
}

/// The same without extension data: what FETCH calls BODY.
pub fn body(root: &BodyPart, max_len: usize) -> Option<String> {
    let mut out = String::new();
    push_part(&mut out, root, max_len, Detail::Basic)?;
    (out.len() <= max_len).then_some(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Basic,
    Extended,
}

/// `None` as soon as the limit is passed. The depth of recursion is that of the tree: `MAX_DEPTH`.
fn push_part(out: &mut String, part: &BodyPart, max_len: usize, detail: Detail) -> Option<()> {
    if out.len() > max_len {
        return None;
    }
    out.push('(');
    match part.kind() {
        PartKind::Multipart => push_multipart(out, part, max_len, detail)?,
        PartKind::Message | PartKind::Text | PartKind::Other => push_single(out, part, max_len, detail)?,
    }
    out.push(')');
    Some(())
}

fn push_multipart(out: &mut String, part: &BodyPart, max_len: usize, detail: Detail) -> Option<()> {
    if part.children().is_empty() {
        out.push_str(EMPTY_PART);
        out.push_str(if detail == Detail::Extended { " NIL NIL NIL NIL)" } else { ")" });
    }
    for child in part.children() {
        push_part(out, child, max_len, detail)?;
    }
    let content_type = part.content_type();
    out.push(' ');
    push_string(out, or_default(content_type.subtype(), "x-unknown"));
    if detail == Detail::Basic {
        return Some(());
    }
    out.push(' ');
    push_parameters(out, content_type.parameters(), false);
    push_common(out, &part.header());
    Some(())
}

fn push_single(out: &mut String, part: &BodyPart, max_len: usize, detail: Detail) -> Option<()> {
    let (content_type, header) = (part.content_type(), part.header());
    let (kind, subtype) = media_type(part, content_type);
    push_string(out, kind);
    out.push(' ');
    push_string(out, subtype);
    out.push(' ');
    push_parameters(out, content_type.parameters(), part.kind() == PartKind::Text);
    for name in ["content-id", "content-description"] {
        out.push(' ');
        push_nstring(out, text(&header, name).as_deref());
    }
    out.push(' ');
    push_string(out, encoding(&header).as_deref().unwrap_or(b"7bit"));
    out.push_str(&format!(" {}", part.body_size()));
    match (part.kind(), part.children()) {
        (PartKind::Text, _) => out.push_str(&format!(" {}", part.body_lines())),
        (PartKind::Message, [message, ..]) => {
            out.push(' ');
            out.push_str(&envelope(&message.header()));
            out.push(' ');
            push_part(out, message, max_len, detail)?;
            out.push_str(&format!(" {}", part.body_lines()));
        }
        _ => {}
    }
    if detail == Detail::Basic {
        return Some(());
    }
    out.push(' ');
    push_nstring(out, text(&header, "content-md5").as_deref());
    push_common(out, &header);
    Some(())
}

/// The type under which a client can read what follows: a message that was not descended into must not claim to be one.
fn media_type<'p>(part: &'p BodyPart, content_type: &'p ContentType) -> (&'p [u8], &'p [u8]) {
    let (kind, subtype) = (content_type.kind(), content_type.subtype());
    match (part.kind(), kind) {
        (PartKind::Message, "") => (b"message", b"rfc822"),
        (PartKind::Text, "" | "text") => (b"text", or_default(subtype, "plain")),
        (PartKind::Other, "" | "message") if matches!(subtype, "" | "rfc822" | "global") => {
            (b"application", b"octet-stream")
        }
        _ => (kind.as_bytes(), or_default(subtype, "unknown")),
    }
}

/// Disposition, language and location, each with a blank before it.
fn push_common(out: &mut String, header: &HeaderSection<'_>) {
    out.push(' ');
    let disposition = header.first("content-disposition").map(|field| ContentDisposition::parse(field.value()));
    match disposition.filter(|disposition| !disposition.kind().is_empty()) {
        Some(disposition) => {
            out.push('(');
            push_string(out, disposition.kind().as_bytes());
            out.push(' ');
            push_parameters(out, disposition.parameters(), false);
            out.push(')');
        }
        None => out.push_str("NIL"),
    }
    out.push(' ');
    push_languages(out, text(header, "content-language").as_deref().unwrap_or_default());
    out.push(' ');
    push_nstring(out, text(header, "content-location").as_deref());
}

/// Parameters in pairs; an extended one keeps its star and its encoding, as the client decodes it (RFC 2231).
fn push_parameters(out: &mut String, parameters: &Parameters, with_charset: bool) {
    let mut pairs = String::new();
    let mut charset_seen = false;
    for parameter in parameters.iter() {
        charset_seen |= parameter.name() == "charset";
        if !pairs.is_empty() {
            pairs.push(' ');
        }
        let star = if parameter.is_extended() { "*" } else { "" };
        push_string(&mut pairs, format!("{}{star}", parameter.name()).as_bytes());
        pairs.push(' ');
        push_string(&mut pairs, parameter.octets());
    }
    if with_charset && !charset_seen {
        if !pairs.is_empty() {
            pairs.push(' ');
        }
        pairs.push_str(r#""charset" "us-ascii""#);
    }
    if pairs.is_empty() {
        out.push_str("NIL");
    } else {
        out.push('(');
        out.push_str(&pairs);
        out.push(')');
    }
}

/// Language tags as a list (RFC 3282).
fn push_languages(out: &mut String, value: &[u8]) {
    let is_tag = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
    let tags = value.split(|octet| matches!(octet, b',' | b' ' | b'\t'));
    let tags: Vec<&[u8]> = tags.filter(|tag| !tag.is_empty() && tag.iter().all(is_tag)).collect();
    if tags.is_empty() {
        out.push_str("NIL");
        return;
    }
    for (place, tag) in tags.into_iter().enumerate() {
        out.push(if place == 0 { '(' } else { ' ' });
        push_string(out, tag);
    }
    out.push(')');
}

/// The transfer encoding's token.
fn encoding(header: &HeaderSection<'_>) -> Option<Vec<u8>> {
    let encoding = ContentType::parse(header.first("content-transfer-encoding")?.value()).kind().to_owned();
    (!encoding.is_empty()).then(|| encoding.into_bytes())
}

fn text(header: &HeaderSection<'_>, name: &str) -> Option<Vec<u8>> {
    header.first(name).map(|field| field.unfolded().trim_ascii_end().to_vec())
}

fn or_default<'a>(value: &'a str, default: &'a str) -> &'a [u8] {
    if value.is_empty() { default.as_bytes() } else { value.as_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::Scanner;

    fn of(message: &str, max_len: usize) -> Option<String> {
        let mut scanner = Scanner::new();
        scanner.feed(message.as_bytes());
        body_structure(&scanner.finish(), max_len)
    }

    #[test]
    fn structures() {
        let plain = r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" "#;
        for (message, expected) in [
            ("A: b\r\n\r\na\r\n", format!("{plain}3 1 NIL NIL NIL NIL)")),
            (
                "Content-Type: Text/HTML; charset=utf-8; x=\"a\\\"b\"\nContent-Transfer-Encoding: BASE64\nContent-ID: <i>\nContent-Description: d\n e\n\nYQ==\n",
                r#"("text" "html" ("charset" "utf-8" "x" "a\"b") "<i>" "d e" "base64" 5 1 NIL NIL NIL NIL)"#.to_owned(),
            ),
            (
                "Content-Type: image/png\nContent-MD5: m\nContent-Disposition: Attachment; filename*0*=utf-8''%C3; filename*1*=%A9\nContent-Language: de, en-GB\nContent-Location: l\n\nx",
                r#"("image" "png" NIL NIL NIL "7bit" 1 "m" ("attachment" ("filename*" "utf-8''%C3%A9")) ("de" "en-GB") "l")"#.to_owned(),
            ),
            (
                "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x\nContent-Type: message/rfc822\n\nSubject: s\n\nb\n\n--x--\n",
                format!(
                    "({plain}1 0 NIL NIL NIL NIL)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 14 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) {plain}2 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)"
                ),
            ),
            ("Content-Type: multipart/; boundary=x\n\n", format!("({plain}0 0 NIL NIL NIL NIL) \"x-unknown\" (\"boundary\" \"x\") NIL NIL NIL)")),
            ("Content-Type: multipart/mixed\n\nx", r#"("multipart" "mixed" NIL NIL NIL "7bit" 1 NIL NIL NIL NIL)"#.to_owned()),
            ("Content-Type: text\n\nx", format!("{plain}1 0 NIL NIL NIL NIL)")),
            ("Content-Type: audio\n\nx", r#"("audio" "unknown" NIL NIL NIL "7bit" 1 NIL NIL NIL NIL)"#.to_owned()),
            ("Content-Description: é\n\n", "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL {2}\r\né \"7bit\" 0 0 NIL NIL NIL NIL)".to_owned()),
        ] {
            assert_eq!(of(message, 10_000).as_deref(), Some(expected.as_str()), "{message:?}");
        }
    }

    #[test]
    fn the_length_limit_holds() {
        let message = "A: b\n\na";
        let len = of(message, 10_000).map_or(0, |structure| structure.len());
        assert!(of(message, len).is_some());
        assert!(of(message, len - 1).is_none());
    }

    #[test]
    fn a_message_too_deep_is_not_called_one() {
        let message = "Content-Type: message/rfc822\n\n".repeat(200);
        let structure = of(&message, 1_000_000).unwrap_or_default();
        assert!(structure.contains(r#"("application" "octet-stream" NIL"#));
        assert_eq!(structure.matches('(').count(), structure.matches(')').count());
    }
}
