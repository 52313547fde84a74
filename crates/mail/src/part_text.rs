//! The text of a body part: transfer encoding and charset decoded (RFC 2045 §6, RFC 2046 §4.1.2).
//!
//! In: a part and its body as it stands in the message. Out: text; HTML stays HTML. What cannot be decoded stays as it is. Decoding
//! is mail-parser's.

use std::borrow::Cow;

use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};

use crate::body_part::BodyPart;
use crate::content_type::ContentType;
use crate::encoded_word::decode_charset;

/// The text of a part whose body is `body`.
pub fn part_text(part: &BodyPart, body: &[u8]) -> String {
    let octets = part_octets(part, body);
    let charset = part.content_type().parameters().get("charset").unwrap_or_default();
    decode_charset(charset.trim().as_bytes(), &octets)
}

/// The octets of a part whose body is `body`, without their transfer encoding.
pub fn part_octets<'b>(part: &BodyPart, body: &'b [u8]) -> Cow<'b, [u8]> {
    let encoding = part.field("content-transfer-encoding").map(|value| ContentType::parse(&value).kind().to_owned());
    match encoding.as_deref() {
        Some("base64") => Cow::Owned(decode_base64(body)),
        Some("quoted-printable") => Cow::Owned(decode_quoted_printable(body)),
        _ => Cow::Borrowed(body),
    }
}

/// Decodes up to the first octet that cannot be base64: lists append plain footers.
fn decode_base64(body: &[u8]) -> Vec<u8> {
    let is_base64 =
        |octet: &u8| octet.is_ascii_alphanumeric() || octet.is_ascii_whitespace() || matches!(octet, b'+' | b'/');
    let len = body.iter().position(|octet| !is_base64(octet)).unwrap_or(body.len());
    base64_decode(body.get(..len).unwrap_or(body)).unwrap_or_default()
}

/// Decodes line by line, so that a broken line stays as it is and harms no other.
fn decode_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        match quoted_printable_decode(line) {
            Some(decoded) => out.extend_from_slice(&decoded),
            None => out.extend_from_slice(line),
        }
    }
    out
}
