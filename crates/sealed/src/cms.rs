//! Is this really CMS EnvelopedData or AuthEnvelopedData (RFC 5652 §6, RFC 5083)? DER or BER octets in, yes or no out.
//! Walks the structure by its tags and lengths; the algorithms, keys and ciphertext are not looked at.

use crate::limit;

/// 1.2.840.113549.1.7.3
pub(crate) const ENVELOPED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.9.16.1.23
pub(crate) const AUTH_ENVELOPED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17];
/// 1.2.840.113549.1.7.1
pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
const CONSTRUCTED_STRING: u8 = 0x24;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
/// Nesting of constructed strings that is followed.
const MAX_DEPTH: usize = 4;

/// Does the whole input hold one ContentInfo with encrypted content for at least one recipient, and nothing else?
pub fn is_enveloped(octets: &[u8]) -> bool {
    whole(octets).unwrap_or(false)
}

/// Is this how such a ContentInfo begins? However much of it is missing.
pub fn begins_enveloped(octets: &[u8]) -> bool {
    let named = |kind: &[u8]| octets.windows(kind.len()).take(MAX_BEFORE_KIND).any(|window| window == kind);
    octets.first() == Some(&SEQUENCE) && (named(ENVELOPED) || named(AUTH_ENVELOPED))
}

/// Octets before the kind's own: two headers.
const MAX_BEFORE_KIND: usize = 14;

fn whole(octets: &[u8]) -> Option<bool> {
    let (info, rest) = element(octets)?;
    if info.tag != SEQUENCE || !rest.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let (kind, rest) = element(info.body)?;
    let content = only(rest)?;
    let authenticated = kind.body == AUTH_ENVELOPED;
    if kind.tag != OID || !(kind.body == ENVELOPED || authenticated) || content.tag != CONTEXT_0 {
        return None;
    }
    let enveloped = only(content.body)?;
    let (version, mut rest) = element(enveloped.body)?;
    if enveloped.tag != SEQUENCE || version.tag != INTEGER {
        return None;
    }
    let (mut next, mut after) = element(rest)?;
    if next.tag == CONTEXT_0 {
        // originatorInfo
        rest = after;
        (next, after) = element(rest)?;
    }
    if next.tag != SET || count_recipients(next.body).is_none() {
        return None;
    }
    let (encrypted, after) = element(after)?;
    let (content_type, rest) = element(encrypted.body)?;
    let (algorithm, rest) = element(rest)?;
    let ciphertext = only(rest)?;
    let named = element(algorithm.body).is_some_and(|(name, _)| name.tag == OID);
    let well_formed = encrypted.tag == SEQUENCE && content_type.tag == OID && algorithm.tag == SEQUENCE && named;
    Some(well_formed && octets_held(&ciphertext, 0)? > 0 && ends_well(after, authenticated)?)
}

/// How many recipients key material K names (format §8). None unless it is one SET OF RecipientInfo, whole, within the limit.
pub fn recipients(key: &[u8]) -> Option<usize> {
    let set = only(key)?;
    let count = count_recipients(set.body)?;
    (set.tag == SET && count <= limit::MAX_WRAPPED_KEYS).then_some(count)
}

/// The version of EnvelopedData with these recipients (RFC 5652 §6.1): 0 when all of them have version 0, else 2.
pub(crate) fn enveloped_version(key: &[u8]) -> u8 {
    let mut rest = only(key).map(|set| set.body).unwrap_or_default();
    while let Some((recipient, after)) = element(rest) {
        let version = element(recipient.body).map(|(version, _)| version.body);
        if recipient.tag != SEQUENCE || version != Some(&[0]) {
            return 2;
        }
        rest = after;
    }
    0
}

/// What follows the ciphertext: nothing, or the authentication tag. Attributes that are not encrypted could carry a text,
/// and no mail program writes any.
fn ends_well(after: &[u8], authenticated: bool) -> Option<bool> {
    if !authenticated {
        return Some(after.is_empty());
    }
    let tag = only(after)?;
    Some(tag.tag == OCTET_STRING && (MIN_TAG..=MAX_TAG).contains(&tag.body.len()))
}

/// Octets of an authentication tag (RFC 5084 §3.2).
const MIN_TAG: usize = 12;
const MAX_TAG: usize = 16;

/// One element and nothing behind it.
fn only(octets: &[u8]) -> Option<Element<'_>> {
    let (element, rest) = element(octets)?;
    rest.is_empty().then_some(element)
}

/// RecipientInfos: at least one, each a SEQUENCE or one of the tagged choices (RFC 5652 §6.2).
fn count_recipients(mut octets: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !octets.is_empty() {
        match element(octets) {
            Some((Element { tag: SEQUENCE | 0xa1..=0xa4, body }, rest)) if !body.is_empty() => octets = rest,
            _ => return None,
        }
        count += 1;
    }
    (count > 0).then_some(count)
}

/// `encryptedContent [0] IMPLICIT OCTET STRING`, in one piece or in several: how many octets. None when it is another type.
fn octets_held(string: &Element<'_>, depth: usize) -> Option<usize> {
    match string.tag {
        CONTEXT_0_PRIMITIVE | OCTET_STRING => Some(string.body.len()),
        CONTEXT_0 | CONSTRUCTED_STRING if depth < MAX_DEPTH => {
            let (mut rest, mut octets) = (string.body, 0);
            while !rest.is_empty() {
                let (piece, after) = element(rest)?;
                octets += octets_held(&piece, depth + 1)?;
                rest = after;
            }
            Some(octets)
        }
        _ => None,
    }
}

struct Element<'a> {
    tag: u8,
    body: &'a [u8],
}

/// One element and what follows it. Indefinite lengths (X.690 §8.1.3.6) are followed to their end.
fn element(octets: &[u8]) -> Option<(Element<'_>, &[u8])> {
    element_within(octets, 0)
}

/// Elements nested deeper than this in an indefinite length are refused.
const MAX_NESTING: usize = 16;

fn element_within(octets: &[u8], depth: usize) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag & 0x1f == 0x1f || depth > MAX_NESTING {
        return None;
    }
    if first == 0x80 {
        let mut inner = rest;
        loop {
            if let Some(after) = inner.strip_prefix(&[0, 0]) {
                let body = rest.get(..rest.len() - inner.len())?;
                return Some((Element { tag, body }, after));
            }
            (_, inner) = element_within(inner, depth + 1)?;
        }
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let (digits, rest) = rest.split_at_checked(count)?;
        if count > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    let (body, after) = rest.split_at_checked(length)?;
    Some((Element { tag, body }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, body: &[u8]) -> Vec<u8> {
        [&[tag, 0x82, (body.len() >> 8) as u8, body.len() as u8], body].concat()
    }

    fn message(kind: &[u8], recipients: &[u8], ciphertext: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &der(OID, &[0x2a]));
        let encrypted = [der(OID, &[0x2a]), algorithm, der(CONTEXT_0_PRIMITIVE, ciphertext)].concat();
        let tag = if kind == AUTH_ENVELOPED { der(OCTET_STRING, &[1; 16]) } else { Vec::new() };
        let body = [der(INTEGER, &[0]), der(SET, recipients), der(SEQUENCE, &encrypted), tag].concat();
        der(SEQUENCE, &[der(OID, kind), der(CONTEXT_0, &der(SEQUENCE, &body))].concat())
    }

    #[test]
    fn only_whole_encrypted_content_counts() {
        let good = message(ENVELOPED, &der(SEQUENCE, &[1]), &[9; 300]);
        let cases = [
            (good.clone(), true),
            (message(AUTH_ENVELOPED, &der(SEQUENCE, &[1]), &[9]), true),
            (message(ENVELOPED, b"x", &[9]), false),
            (message(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02], &der(SEQUENCE, &[1]), &[9]), false),
            (message(ENVELOPED, &[], &[9]), false),
            (message(ENVELOPED, &der(SEQUENCE, &[1]), &[]), false),
            ([good.clone(), b"text beside".to_vec()].concat(), false),
            (b"plain text".to_vec(), false),
            (Vec::new(), false),
        ];
        for (octets, expected) in cases {
            assert_eq!(is_enveloped(&octets), expected);
        }
        for end in 0..good.len() {
            assert!(!is_enveloped(&good[..end]));
        }
    }

    #[test]
    fn indefinite_lengths_are_followed() {
        let pieces = [&[0xa0, 0x80][..], &[OCTET_STRING, 2, 7, 7, OCTET_STRING, 1, 7], &[0, 0]].concat();
        let algorithm = der(SEQUENCE, &der(OID, &[0x2a]));
        let encrypted = [&[SEQUENCE, 0x80][..], &der(OID, &[0x2a]), &algorithm, &pieces, &[0, 0]].concat();
        let recipients = der(SET, &der(SEQUENCE, &[1]));
        let body = [&[SEQUENCE, 0x80][..], &der(INTEGER, &[0]), &recipients, &encrypted, &[0, 0]].concat();
        let whole = [&[SEQUENCE, 0x80][..], &der(OID, ENVELOPED), &[CONTEXT_0, 0x80], &body, &[0, 0, 0, 0]].concat();
        assert!(is_enveloped(&whole));
        assert!(!is_enveloped(&whole[..whole.len() - 2]));
    }
}
