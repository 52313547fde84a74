//! A sealed mail that was changed on its way: every bit flipped, cut at every octet, its pieces exchanged with those of
//! other mails, another account, another sealer. Opening gives an error or exactly the original, never anything else. And
//! what servers do to mail in all honesty: it must still open.

use std::ops::Range;

use open::{Keyring, OpenError, UnwrapError};
use sealed::{
    field::SealedFields,
    identity::{AccountId, Profile, sha256},
    signature::{Envelope, SealerKey, Trust},
};

use crate::{
    household::{Dice, Household},
    programs::{armor, find},
};

const MAIL: &[u8] =
    b"From: Eve <eve@example.com>\r\nTo: alice@example.org\r\nSubject: quarterly numbers\r\n\r\nThe text.\r\n";

/// Where what the reader uses lies in the message: the values of our fields, and the text of K and C.
struct Layout {
    values: Vec<Range<usize>>,
    data: Vec<Range<usize>>,
    /// Where the body is whole.
    end: usize,
}

impl Layout {
    fn of(message: &[u8]) -> Self {
        let section = mail::HeaderSection::parse(message);
        let own: Vec<_> = section.fields().iter().filter(|field| field.name().starts_with(b"Sealed-")).collect();
        let whole = |field: &mail::HeaderField<'_>| field.offset()..field.offset() + field.raw().len();
        let values = own.iter().map(|field| field.offset() + field.name().len()..whole(field).end).collect();
        let begin = b"-----BEGIN PGP MESSAGE-----\r\n\r\n";
        let end = b"-----END PGP MESSAGE-----";
        let Some(start) = find(message, begin) else {
            let data = cms_data(message, section.body_offset());
            return Self { values, data, end: message.len() - 2 };
        };
        let stop = find(message, end).unwrap();
        // With its checksum.
        let data = std::iter::once(start + begin.len()..stop).collect();
        Self { values, data, end: stop + end.len() }
    }

    /// An octet that carries a meaning, not a fold or a line end, in something that is signed or encrypted.
    fn is_covered(&self, at: usize, octet: u8) -> bool {
        let inside = self.data.iter().chain(&self.values).any(|range| range.contains(&at));
        inside && !octet.is_ascii_whitespace()
    }
}

/// The characters that stand for nothing but K or C in an S/MIME body. The frame around them is nobody's secret and in nobody's
/// signature: what may be said in it otherwise says the same.
fn cms_data(message: &[u8], body: usize) -> Vec<Range<usize>> {
    let places: Vec<usize> = (body..message.len()).filter(|&at| !message[at].is_ascii_whitespace()).collect();
    let text: Vec<u8> = places.iter().map(|&at| message[at]).collect();
    let octets = base64_simd::STANDARD.decode_to_vec(&text).unwrap();
    let key = parsed(message).key;
    let after = find(&octets, &key).unwrap();
    let algorithm =
        after + key.len() + find(&octets[after + key.len()..], &[0x09, 0x60, 0x86, 0x48, 0x01, 0x65]).unwrap() - 3;
    let algorithm_end = algorithm + 2 + usize::from(octets[algorithm + 1]);
    let gcm = octets[algorithm_end - 1] == 16 && octets[algorithm + 1] == 0x1e;
    // The tag of the string, its indefinite length, the tag of its one piece, and the length of that.
    let length = octets[algorithm_end + 3];
    let ciphertext = algorithm_end + 4 + if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    let end = octets.len() - if gcm { 6 + 16 + 2 + 4 } else { 10 };
    let mut covered = vec![after..after + key.len(), algorithm..algorithm_end, ciphertext..end];
    if gcm {
        covered.push(octets.len() - 6 - 16..octets.len() - 6);
    }
    let ranges = covered.into_iter().flat_map(|range| {
        // A character holds six bits: only those that hold no other octet's.
        let characters = (range.start * 4).div_ceil(3)..range.end * 4 / 3;
        characters.map(|character| places[character]..places[character] + 1).collect::<Vec<_>>()
    });
    ranges.collect()
}

/// One of every profile.
fn every_profile() -> [Household; 4] {
    let openpgp = [Household::new(), Household::of(open::Algorithm::V6X25519)];
    let [one, two] = openpgp;
    [one, two, Household::smime(Profile::Cms1, 0), Household::smime(Profile::Cms2, 0)]
}

#[test]
fn every_bit_flipped() {
    for household in every_profile() {
        let sealed = household.seal(MAIL);
        let index = household.headers(&sealed).unwrap();
        let layout = Layout::of(&sealed);
        let (mut same, mut refused, mut covered) = (0, 0, 0);
        let mut changed = sealed.clone();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                changed[at] = sealed[at] ^ 1 << bit;
                match household.open(&changed) {
                    Ok(original) => {
                        assert_eq!(original, MAIL, "octet {at}, bit {bit}");
                        assert!(!layout.is_covered(at, sealed[at]), "octet {at}, bit {bit} is not protected");
                        same += 1;
                    }
                    Err(_) => refused += 1,
                }
                if let Ok(listed) = household.headers(&changed) {
                    assert_eq!(listed, index, "octet {at}, bit {bit}");
                }
                covered += usize::from(layout.is_covered(at, sealed[at]));
            }
            changed[at] = sealed[at];
        }
        assert_eq!(same + refused, sealed.len() * 8);
        assert!(refused >= covered && covered > 20_000 && same > 1_500, "{same} {refused} {covered}");
    }
}

#[test]
fn cut_at_every_octet() {
    for household in every_profile() {
        let sealed = household.seal(MAIL);
        let index = household.headers(&sealed).unwrap();
        let layout = Layout::of(&sealed);
        let last_value = layout.values.iter().map(|range| range.end).max().unwrap();
        for end in 0..sealed.len() {
            let opened = household.open(&sealed[..end]);
            // Whole as soon as the armor is; what follows is MIME.
            assert_eq!(opened.is_ok(), end >= layout.end, "cut at {end}");
            if let Ok(original) = opened {
                assert_eq!(original, MAIL, "cut at {end}");
            }
            let listed = household.headers(&sealed[..end]);
            assert_eq!(listed.is_ok(), end + 2 >= last_value, "list view cut at {end}");
            if let Ok(listed) = listed {
                assert_eq!(listed, index, "list view cut at {end}");
            }
        }
    }
}

#[test]
fn one_octet_removed_or_doubled_anywhere() {
    for household in every_profile() {
        let sealed = household.seal(MAIL);
        let layout = Layout::of(&sealed);
        for at in 0..sealed.len() {
            let removed = [&sealed[..at], &sealed[at + 1..]].concat();
            let doubled = [&sealed[..=at], &sealed[at..]].concat();
            for message in [removed, doubled] {
                match household.open(&message) {
                    Ok(original) => {
                        assert_eq!(original, MAIL, "octet {at}");
                        assert!(!layout.is_covered(at, sealed[at]), "octet {at} is not protected");
                    }
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}

fn parsed(message: &[u8]) -> SealedFields {
    SealedFields::parse(&mail::HeaderSection::parse(message)).unwrap()
}

fn with_fields(message: &[u8], fields: &SealedFields) -> Vec<u8> {
    let section = mail::HeaderSection::parse(message);
    let mut out = Vec::new();
    for field in section.fields().iter().filter(|field| !field.name().starts_with(b"Sealed-")) {
        out.extend_from_slice(field.raw());
    }
    fields.write(&mut out).unwrap();
    [&out, &b"\r\n"[..], &message[section.body_offset()..]].concat()
}

/// Signs the envelope of changed fields again, as only the sealer can.
fn signed_again(fields: &SealedFields, account: AccountId, sealer: &SealerKey) -> SealedFields {
    let mut fields = fields.clone();
    let id = sealer.public().id();
    fields.mark.sealer = id;
    let envelope = Envelope {
        profile: fields.mark.profile,
        account,
        id: fields.mark.id,
        content: &fields.mark.content_hash,
        key: &sha256(&fields.key),
        fields: &sha256(&fields.fields),
    };
    fields.mark.signature = sealer.sign(&envelope.transcript(id));
    fields
}

#[derive(Debug, PartialEq)]
enum Refusal {
    NotSealed,
    Damaged,
    UnknownSealer,
    Signature,
    Unwrap(UnwrapError),
    Fields,
    Content,
    Mixed,
    Io,
}

fn refusal<T>(opened: Result<T, OpenError>) -> Refusal {
    match opened.map(|_| ()).expect_err("it must not open") {
        OpenError::NotSealed(_) => Refusal::NotSealed,
        OpenError::Damaged(_) => Refusal::Damaged,
        OpenError::UnknownSealer => Refusal::UnknownSealer,
        OpenError::Signature => Refusal::Signature,
        OpenError::Unwrap(error) => Refusal::Unwrap(error),
        OpenError::Fields(_) => Refusal::Fields,
        OpenError::Content(_) => Refusal::Content,
        OpenError::Mixed => Refusal::Mixed,
        OpenError::Io(_) => Refusal::Io,
    }
}

/// Everything of two mails of one owner and one sealer exchanged.
#[test]
fn pieces_of_two_mails() {
    every_profile().iter().for_each(pieces_of_two_mails_of);
}

fn pieces_of_two_mails_of(alice: &Household) {
    let (one, two) =
        (alice.seal(MAIL), alice.seal(b"From: bank@example.net\r\nSubject: your password\r\n\r\nhere\r\n"));
    let (a, b) = (parsed(&one), parsed(&two));
    let body = |message: &[u8]| mail::HeaderSection::parse(message).body_offset();
    let other_body = |message: &[u8], other: &[u8]| [&message[..body(message)], &other[body(other)..]].concat();
    let again = |fields: SealedFields| signed_again(&fields, alice.account, &alice.sealer);
    let mark = |from: &SealedFields, to: &SealedFields| SealedFields { mark: from.mark.clone(), ..to.clone() };
    let table = [
        (
            "the list view",
            with_fields(&one, &SealedFields { fields: b.fields.clone(), ..a.clone() }),
            Refusal::Signature,
        ),
        ("the keys", with_fields(&one, &SealedFields { key: b.key.clone(), ..a.clone() }), Refusal::Damaged),
        ("the mark", with_fields(&one, &mark(&b, &a)), Refusal::Damaged),
        ("mark and list view", with_fields(&one, &SealedFields { key: a.key.clone(), ..b.clone() }), Refusal::Damaged),
        ("all three fields", with_fields(&one, &b), Refusal::Damaged),
        ("the body", other_body(&one, &two), Refusal::Damaged),
        // Even if the sealer signed such a mixture, the pieces know each other.
        (
            "the list view, signed",
            with_fields(&one, &again(SealedFields { fields: b.fields.clone(), ..a.clone() })),
            Refusal::Fields,
        ),
        (
            "the id, signed",
            with_fields(&one, &{
                let mut fields = a.clone();
                fields.mark.id = b.mark.id;
                again(fields)
            }),
            Refusal::Fields,
        ),
        (
            "the content's hash, signed",
            with_fields(&one, &{
                let mut fields = a.clone();
                fields.mark.content_hash = b.mark.content_hash;
                again(fields)
            }),
            Refusal::Damaged,
        ),
    ];
    for (name, message, expected) in table {
        assert_eq!(refusal(alice.open(&message)), expected, "{name}");
    }
    // The list view of the wrong mail never shows, from the header alone, but as that mail's own.
    let index = alice.headers(&with_fields(&one, &b)).unwrap();
    assert_eq!(index, alice.headers(&two).unwrap());
    assert_eq!(refusal(alice.headers(&with_fields(&one, &SealedFields { fields: b.fields, ..a }))), Refusal::Signature);
}

#[test]
fn another_account_another_sealer_another_key() {
    another(&Household::new(), &Household::new());
    for profile in [Profile::Cms1, Profile::Cms2] {
        another(&Household::smime(profile, 0), &Household::smime(profile, 1));
    }
}

fn another(alice: &Household, bob: &Household) {
    let sealed = alice.seal(MAIL);
    let fields = parsed(&sealed);
    let open_with = |message: &[u8], keys: &Keyring, trust: &Trust| {
        let mut from = message;
        let opened = open::open(&mut from, std::io::Cursor::new(Vec::new()), keys, trust);
        let listed = open::headers(message, keys, trust);
        let (opened, listed) = (refusal(opened), refusal(listed));
        assert_eq!(opened, listed);
        opened
    };
    let alice_sealer = alice.sealer.public().clone();
    let no_keys = Keyring::default();
    // Keys are there or not: who is not pinned is refused before any key is asked.
    for keys in [&alice.keys, &no_keys] {
        assert_eq!(open_with(&sealed, keys, &Trust::default()), Refusal::UnknownSealer);
        assert_eq!(open_with(&sealed, keys, &bob.trust), Refusal::UnknownSealer);
        let revoked = Trust { sealers: vec![bob.sealer.public().clone()], ..alice.trust.clone() };
        assert_eq!(open_with(&sealed, keys, &revoked), Refusal::UnknownSealer);
        let other_account = Trust { accounts: vec![bob.account], sealers: vec![alice_sealer.clone()] };
        assert_eq!(open_with(&sealed, keys, &other_account), Refusal::Signature);
        let no_account = Trust { accounts: Vec::new(), sealers: vec![alice_sealer.clone()] };
        assert_eq!(open_with(&sealed, keys, &no_account), Refusal::Signature);
    }
    assert_eq!(open_with(&sealed, &no_keys, &alice.trust), Refusal::Unwrap(UnwrapError::NotForUs));
    assert_eq!(open_with(&sealed, &bob.keys, &alice.trust), Refusal::Unwrap(UnwrapError::NotForUs));

    // Another pinned sealer may sign the envelope again (that is how keys change), another account may not have it.
    let pinned = Trust { sealers: vec![alice_sealer.clone(), bob.sealer.public().clone()], ..alice.trust.clone() };
    let rewrapped = with_fields(&sealed, &signed_again(&fields, alice.account, &bob.sealer));
    assert_eq!(crate::household::open_with(&rewrapped, &alice.keys, &pinned).unwrap(), MAIL);
    let both_accounts = Trust { accounts: vec![bob.account, alice.account], ..pinned };
    let for_bob = with_fields(&sealed, &signed_again(&fields, bob.account, &bob.sealer));
    let opened = crate::household::open_with(&for_bob, &alice.keys, &both_accounts);
    assert_eq!(refusal(opened), Refusal::Mixed, "inside it says whose it is");

    // Once the first sealer is no longer pinned, its origin does not count any more, whoever signs outside.
    let only_bob = Trust { sealers: vec![bob.sealer.public().clone()], ..alice.trust.clone() };
    assert_eq!(refusal(crate::household::open_with(&rewrapped, &alice.keys, &only_bob)), Refusal::Mixed);
}

/// Folds the values of our fields at other places.
fn refolded(message: &[u8], mut columns: impl FnMut() -> usize, fold: &str) -> Vec<u8> {
    let section = mail::HeaderSection::parse(message);
    let mut out = Vec::new();
    for field in section.fields() {
        if !field.name().starts_with(b"Sealed-") {
            out.extend_from_slice(field.raw());
            continue;
        }
        out.extend_from_slice(field.name());
        out.extend_from_slice(b": ");
        let value = field.unfolded();
        let mut rest: &[u8] = &value;
        loop {
            let mut column = columns().clamp(1, rest.len());
            while column < rest.len() && is_within_name(&value, value.len() - rest.len() + column) {
                column += 1;
            }
            let (line, after) = rest.split_at(column);
            out.extend_from_slice(line);
            if after.is_empty() {
                break;
            }
            out.extend_from_slice(fold.as_bytes());
            rest = after;
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    [&out, &message[section.body_offset()..]].concat()
}

/// Would a fold before this octet stand within a tag's name? Only there it is not allowed (RFC 6376 §3.2).
fn is_within_name(value: &[u8], at: usize) -> bool {
    let tag = value[..at].iter().rposition(|&octet| octet == b';').map_or(0, |semicolon| semicolon + 1);
    let before = value[tag..at].trim_ascii_start();
    !before.is_empty() && !before.contains(&b'=') && value[at] != b'='
}

fn reordered(message: &[u8]) -> Vec<u8> {
    let section = mail::HeaderSection::parse(message);
    let mut out: Vec<u8> = section.fields().iter().rev().flat_map(|field| field.raw().to_vec()).collect();
    out.extend_from_slice(b"\r\n");
    [&out, &message[section.body_offset()..]].concat()
}

/// The armored part in a transfer encoding.
fn encoded(message: &[u8], encoding: &str, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let armor = String::from_utf8(armor(message).to_vec()).unwrap();
    let encoded = text.replace(&armor, &encode(armor.as_bytes()));
    encoded
        .replace(
            "Content-Description: OpenPGP encrypted message\r\n",
            &format!("Content-Transfer-Encoding: {encoding}\r\n"),
        )
        .into_bytes()
}

fn base64_lines(octets: &[u8]) -> String {
    let text = base64_simd::STANDARD.encode_to_string(octets);
    let lines: Vec<&str> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\r\n") + "\r\n"
}

fn quoted_printable(octets: &[u8]) -> String {
    let text = std::str::from_utf8(octets).unwrap().replace('=', "=3D");
    let lines = text.split_inclusive("\r\n").map(|line| match line.len() {
        0..=60 => line.to_owned(),
        _ => format!("{}=\r\n{}", &line[..58], &line[58..]),
    });
    lines.collect()
}

#[test]
fn what_servers_do_to_mail_still_opens() {
    let mut dice = Dice::new(1);
    let large: Vec<u8> = (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    for (household, original) in
        [(Household::new(), MAIL), (Household::of(open::Algorithm::V6X25519), MAIL), (Household::new(), &large)]
    {
        let sealed = household.seal(original);
        let text = String::from_utf8(sealed.clone()).unwrap();
        let boundary = text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        let delimiter = format!("--{boundary}\r\n");
        let closing = format!("--{boundary}--\r\n");
        let added = |header: &str| format!("{delimiter}Content-Type: text/plain\r\n{header}\r\n\r\n");
        let mut table = vec![
            ("unfolded", refolded(&sealed, || usize::MAX, "")),
            ("folded with tabs", refolded(&sealed, || 60, "\r\n\t")),
            ("folded at every octet", refolded(&sealed, || 1, "\r\n ")),
            ("fields in another order", reordered(&sealed)),
            (
                "trace fields on top",
                [
                    b"Return-Path: <>\r\nReceived: from a by b;\r\n Mon, 23 Nov 2026 10:00:00 +0000\r\nX-A: b\r\n",
                    &sealed[..],
                ]
                .concat(),
            ),
            ("an mbox line on top", [b"From x@y Mon Nov 23 10:00:00 2026\r\n", &sealed[..]].concat()),
            ("LF line ends", text.replace("\r\n", "\n").into_bytes()),
            ("multipart/mixed", text.replace("multipart/encrypted", "multipart/mixed").into_bytes()),
            ("no structure at all", text.replace("Content-", "X-Content-").into_bytes()),
            ("no MIME-Version", text.replace("MIME-Version: 1.0\r\n", "").into_bytes()),
            (
                "another Subject and Date",
                text.replace("Subject: [...]", "Subject: [SPAM] [...]\r\nDate: x").into_bytes(),
            ),
            (
                "an empty text part in front",
                text.replacen(&delimiter, &format!("{}{delimiter}", added("")), 1).into_bytes(),
            ),
            ("an empty text part behind", text.replace(&closing, &format!("{}{closing}", added(""))).into_bytes()),
            (
                "an empty text part in base64",
                text.replacen(&delimiter, &format!("{}{delimiter}", added("Content-Transfer-Encoding: base64\r\n")), 1)
                    .into_bytes(),
            ),
            ("a footer", text.replace(&closing, &format!("{closing}\r\n_______\r\nscanned\r\n")).into_bytes()),
            ("base64 around the part", encoded(&sealed, "base64", base64_lines)),
            (
                "base64 without a last line end",
                encoded(&sealed, "BASE64", |armor| base64_lines(armor.trim_ascii_end()).trim_end().to_owned() + "\r\n"),
            ),
            ("quoted-printable around the part", encoded(&sealed, "Quoted-Printable", quoted_printable)),
            (
                "base64, and LF line ends",
                String::from_utf8(encoded(&sealed, "base64", base64_lines)).unwrap().replace("\r\n", "\n").into_bytes(),
            ),
            (
                "armor headers",
                text.replace(
                    "-----BEGIN PGP MESSAGE-----\r\n",
                    "-----BEGIN PGP MESSAGE-----\r\nVersion: x\r\nComment: y\r\n",
                )
                .into_bytes(),
            ),
            ("white space at line ends of the armor", text.replace("\r\n-----END", " \t\r\n-----END").into_bytes()),
        ];
        for _ in 0..20 {
            table.push(("folded anywhere", refolded(&sealed, || 1 + dice.roll(90), "\r\n ")));
        }
        let index = household.headers(&sealed).unwrap();
        for (name, message) in table {
            assert_ne!(message, sealed, "{name}: nothing changed");
            assert_eq!(household.open(&message).unwrap_or_else(|error| panic!("{name}: {error}")), original, "{name}");
            assert_eq!(household.headers(&message).unwrap(), index, "{name}");
            // In pieces of one octet, as a socket may give them.
            if original.len() < 1000 {
                let mut slowly = std::io::BufReader::with_capacity(1, message.as_slice());
                let spool = std::io::Cursor::new(Vec::new());
                assert!(open::open(&mut slowly, spool, &household.keys, &household.trust).is_ok(), "{name}, slowly");
            }
        }
    }
}

#[test]
fn a_marker_packet_in_front_is_tolerated_by_readers_only() {
    let household = Household::new();
    let sealed = household.seal(MAIL);
    let armored = armor(&sealed);
    let base64: String = std::str::from_utf8(armored)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('-') && !line.starts_with('='))
        .collect();
    let packets = base64_simd::STANDARD.decode_to_vec(base64.as_bytes()).unwrap();
    let with = |front: &[u8]| {
        let text = base64_simd::STANDARD.encode_to_string([front, &packets].concat());
        let other = format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{text}\r\n-----END PGP MESSAGE-----\r\n");
        let whole = String::from_utf8(sealed.clone()).unwrap();
        whole.replace(std::str::from_utf8(armored).unwrap(), &other).into_bytes()
    };
    const MARKER: &[u8] = &[0xca, 3, b'P', b'G', b'P'];
    for (front, opens) in [
        (&b""[..], true),
        (MARKER, true),
        (&[0xca, 3, b'p', b'g', b'p'], false),
        (&[0xca, 2, b'P', b'G'], false),
        (&[MARKER, MARKER].concat(), false),
    ] {
        let opened = household.open(&with(front));
        assert_eq!(opened.is_ok(), opens, "{front:?}");
        let what = sealed::recognise::recognise(&mut with(front).as_slice(), &household.trust).unwrap();
        assert_eq!(matches!(what, sealed::recognise::What::Sealed(_)), front.is_empty(), "{front:?}");
    }
}

/// A key packet that names nobody (RFC 9580 §5.1.8): never written, but tried.
#[test]
fn anonymous_recipients_are_tried() {
    for household in [Household::new(), Household::of(open::Algorithm::V6X25519)] {
        let sealed = household.seal(MAIL);
        let fields = parsed(&sealed);
        let bodies = sealed::packet::split_wrapped_keys(&fields.key).unwrap();
        let anonymous: Vec<Vec<u8>> = bodies
            .iter()
            .map(|packet| match packet.body {
                [3, rest @ ..] => [&[3][..], &[0; 8], &rest[8..]].concat(),
                [6, length, rest @ ..] => [&[6, 0][..], &rest[usize::from(*length)..]].concat(),
                other => panic!("{other:?}"),
            })
            .collect();
        // The other recipient's packet first: it is tried in vain.
        let key = sealed::packet::join_wrapped_keys(&[anonymous[1].clone(), anonymous[0].clone()]);
        let alone = sealed::packet::join_wrapped_keys(&anonymous[1..]);
        let listed = |key: Vec<u8>| {
            let fields = signed_again(&SealedFields { key, ..fields.clone() }, household.account, &household.sealer);
            household.headers(&with_fields(&sealed, &fields))
        };
        assert_eq!(listed(key).unwrap(), household.headers(&sealed).unwrap());
        assert_eq!(refusal(listed(alone)), Refusal::Unwrap(UnwrapError::NotForUs));
    }
}
