//! Mailbox names in modified UTF-7.
//!
//! In: a name as people write it, or as it stands on the wire. Out: the other one. RFC 3501 §5.1.3. Never: a name
//! refused; what is no valid modified UTF-7 is taken as it is.

use std::fmt;

/// A mailbox's name as it stands on the wire: modified UTF-7 kept. INBOX, written in any case, is `INBOX`
/// (RFC 3501 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    /// A name as the server writes it.
    pub fn from_wire(wire: &str) -> Self {
        if wire.eq_ignore_ascii_case("INBOX") { Self("INBOX".to_owned()) } else { Self(wire.to_owned()) }
    }

    /// A name as people write it.
    pub fn from_utf8(name: &str) -> Self {
        Self::from_wire(&encode(name))
    }

    /// The name as the server writes it.
    pub fn wire(&self) -> &str {
        &self.0
    }

    /// The name as people write it.
    pub fn utf8(&self) -> String {
        decode(&self.0)
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utf8())
    }
}

/// Writes a name in modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = Vec::new();
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            close(&mut wire, &mut shifted);
            wire.push(character);
            if character == '&' {
                wire.push('-');
            }
        } else {
            shifted.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    close(&mut wire, &mut shifted);
    wire
}

/// Reads modified UTF-7. What is not valid is given back as it is.
pub fn decode(wire: &str) -> String {
    read(wire).unwrap_or_else(|| wire.to_owned())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Writes the waiting UTF-16 units as `&...-`: base64 with a comma for the slash and without padding.
fn close(wire: &mut String, shifted: &mut Vec<u16>) {
    if shifted.is_empty() {
        return;
    }
    wire.push('&');
    let (mut bits, mut held) = (0_u32, 0_u32);
    for unit in shifted.drain(..) {
        bits = (bits << 16) | u32::from(unit);
        held += 16;
        while held >= 6 {
            held -= 6;
            wire.push(digit(bits >> held));
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        wire.push(digit(bits << (6 - held)));
    }
    wire.push('-');
}

fn digit(bits: u32) -> char {
    ALPHABET.get((bits & 63) as usize).map_or('A', |octet| char::from(*octet))
}

fn read(wire: &str) -> Option<String> {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((plain, after)) = rest.split_once('&') {
        name.push_str(plain);
        let (shifted, after) = after.split_once('-')?;
        if shifted.is_empty() {
            name.push('&');
        } else {
            name.push_str(&units(shifted)?);
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

/// The text of one shift. A name has one valid form only (RFC 3501 §5.1.3): bits left over must be 0.
fn units(shifted: &str) -> Option<String> {
    let mut units = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for octet in shifted.bytes() {
        let value = u32::try_from(ALPHABET.iter().position(|digit| *digit == octet)?).ok()?;
        bits = (bits << 6) | value;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(u16::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    if held >= 6 || bits != 0 {
        return None;
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_go_both_ways() {
        check("INBOX", "INBOX");
        check("Entwürfe", "Entw&APw-rfe");
        check("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        check("Tom & Jerry", "Tom &- Jerry");
        check("&", "&-");
        check("", "");
        check("📬 Post", "&2D3c7A- Post");
        check("a\tb", "a&AAk-b");
    }

    fn check(name: &str, wire: &str) {
        assert_eq!(encode(name), wire);
        assert_eq!(decode(wire), name);
    }

    #[test]
    fn what_is_not_valid_stays() {
        for wire in ["&", "&AB", "&A-", "&2D0-", "a&*-b", "&AGF-", "Entwürfe", "Tom & Jerry"] {
            assert_eq!(decode(wire), wire);
        }
    }

    #[test]
    fn inbox_is_one_name() {
        assert_eq!(MailboxName::from_wire("inBox"), MailboxName::from_utf8("INBOX"));
        assert_eq!(MailboxName::from_wire("inbox/a").wire(), "inbox/a");
        assert_eq!(MailboxName::from_utf8("Entwürfe").to_string(), "Entwürfe");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in ".*") {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
            prop_assert_eq!(decode(&wire), name);
        }

        #[test]
        fn nothing_panics(wire in "[&A-Za-z0-9+,-]*") {
            let _ = decode(&wire);
        }
    }
}
