//! Encoded words: text beyond ASCII in header fields (RFC 2047), and text in a named charset.
//!
//! In: text to write, or an unfolded field value to read. Out: ASCII that any mail program decodes, or text. Decoding is mail-parser's;
//! encoding is ours (it has none). Never folds lines: words are separated by one space, where the caller may fold.

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

/// Longest encoded word (RFC 2047 §2).
const MAX_WORD: usize = 75;
const B_OPEN: &str = "=?utf-8?B?";
const Q_OPEN: &str = "=?utf-8?Q?";
const CLOSE: &str = "?=";

/// Text as it may stand in an unstructured field or a phrase: plain ASCII stays as it is, anything else (also control characters, outer
/// blanks, and what would look like an encoded word) becomes encoded words in UTF-8, B or Q, whichever is shorter.
///
/// Plain ASCII is not quoted: a phrase with specials needs the caller's quotes (RFC 5322 §3.2.4).
pub fn encode_words(text: &str) -> String {
    let plain = text.bytes().all(|octet| matches!(octet, b' '..=b'~')) && !text.contains("=?") && text.trim() == text;
    if plain {
        return text.to_owned();
    }
    let q_len: usize = text.bytes().map(q_width).fold(0, usize::saturating_add);
    let b_len = text.len().div_ceil(3).saturating_mul(4);
    if q_len <= b_len { words(text, Q_OPEN, q_width, q_encode) } else { words(text, B_OPEN, |_| 1, b_encode) }
}

/// The text of an unstructured field: encoded words decoded, octets that are neither ASCII nor UTF-8 as U+FFFD, outer blanks trimmed.
pub fn decode_words(value: &[u8]) -> String {
    let mut line: Vec<u8> = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    // Nothing to decode is the ordinary case.
    if memchr::memmem::find(&line, b"=?").is_none() {
        return String::from_utf8_lossy(&line).trim().to_owned();
    }
    line.push(b'\n');
    let text = MessageStream::new(&line).parse_unstructured().into_text();
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Octets in a named charset as text; an unknown charset is read as UTF-8, what does not fit becomes U+FFFD.
pub fn decode_charset(charset: &[u8], octets: &[u8]) -> String {
    let utf8 = charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"utf8");
    match charset_decoder(charset) {
        Some(decode) if !utf8 && !charset.is_empty() => decode(octets),
        _ => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// Splits text at character boundaries so that each word fits.
fn words(text: &str, open: &str, width: fn(u8) -> usize, encode: fn(&str) -> String) -> String {
    let payload = MAX_WORD.saturating_sub(open.len()).saturating_sub(CLOSE.len());
    let room = if open == B_OPEN { payload / 4 * 3 } else { payload };
    let mut out = String::new();
    let mut word = String::new();
    let mut used = 0usize;
    let mut flush = |word: &mut String| {
        if !word.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(open);
            out.push_str(&encode(word));
            out.push_str(CLOSE);
            word.clear();
        }
    };
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let needed: usize = character.encode_utf8(&mut utf8).bytes().map(width).fold(0, usize::saturating_add);
        if used.saturating_add(needed) > room {
            flush(&mut word);
            used = 0;
        }
        word.push(character);
        used = used.saturating_add(needed);
    }
    flush(&mut word);
    out
}

/// What Q may leave as it is even within a phrase (RFC 2047 §5 (3)).
fn is_q_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'!' | b'*' | b'+' | b'-' | b'/')
}

fn q_width(octet: u8) -> usize {
    if is_q_plain(octet) || octet == b' ' { 1 } else { 3 }
}

fn q_encode(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for octet in word.bytes() {
        match octet {
            b' ' => out.push('_'),
            _ if is_q_plain(octet) => out.push(char::from(octet)),
            _ => out.push_str(&format!("={octet:02X}")),
        }
    }
    out
}

fn b_encode(word: &str) -> String {
    base64_simd::STANDARD.encode_to_string(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_are_decoded() {
        for (value, text) in [
            ("plain text", "plain text"),
            ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
            ("=?iso-8859-1?q?a?= =?utf-8?b?w6k=?=", "aé"),
            ("Re: =?iso-8859-1?Q?caf=E9?= today", "Re: café today"),
            ("=?shift_jis?B?g26DjYFbgUWDj4Fbg4uDaA==?=", "ハロー・ワールド"),
            ("=?broken", "=?broken"),
            ("", ""),
        ] {
            assert_eq!(decode_words(value.as_bytes()), text, "{value}");
        }
        assert_eq!(decode_words(b"caf\xe9"), "caf\u{fffd}");
    }

    #[test]
    fn text_is_encoded_only_where_needed() {
        for (text, value) in [
            ("Hello, world", "Hello, world"),
            ("Grüße", "=?utf-8?B?R3LDvMOfZQ==?="),
            ("This is a long text with one é", "=?utf-8?Q?This_is_a_long_text_with_one_=C3=A9?="),
            ("a =? b", "=?utf-8?B?YSA9PyBi?="),
            ("a\r\nBcc: x", "=?utf-8?B?YQ0KQmNjOiB4?="),
        ] {
            assert_eq!(encode_words(text), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn words_are_short_ascii_and_come_back(text in "[ -~éüß漢字😀]{0,120}") {
            let encoded = encode_words(&text);
            prop_assert!(encoded.bytes().all(|octet| matches!(octet, b' '..=b'~')));
            if encoded != text {
                prop_assert!(encoded.split(' ').all(|word| word.len() <= MAX_WORD), "{}", encoded);
            }
            prop_assert_eq!(decode_words(encoded.as_bytes()), text.trim());
        }

        #[test]
        fn nothing_breaks_the_decoder(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            decode_words(&value);
            decode_words(&[b"=?utf-8?q?", &value[..], b"?="].concat());
            decode_words(&[b"=?", &value[..], b"?b?AAAA?="].concat());
        }
    }
}
