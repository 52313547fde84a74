//! What is this message? Real encrypted mail by other programs, our own, and everything that merely looks like either.
//! Labels decide nothing: each forged one must be plain, so that it gets sealed (format A8).

use std::process::Command;

use base64_simd::STANDARD;
use sealed::{
    field::SealedFields,
    identity::sha256,
    recognise::{EndToEnd, ForgedLabel, What, recognise},
    signature::{Envelope, SealerKey, Trust},
};

use crate::{
    household::Household,
    programs::{GnuPg, armor, find, installed, output},
};

const MAIL: &[u8] =
    b"From: Eve <eve@example.com>\r\nTo: alice@example.org\r\nSubject: quarterly numbers\r\n\r\nThe text.\r\n";

const SEALED_LABEL: What = What::Plain(Some(ForgedLabel::SealedFields));
const MULTIPART_LABEL: What = What::Plain(Some(ForgedLabel::MultipartEncrypted));
const SMIME_LABEL: What = What::Plain(Some(ForgedLabel::Smime));
const OPENPGP: What = What::EndToEnd(EndToEnd::OpenPgp);
const CMS: What = What::EndToEnd(EndToEnd::Cms);

struct Case {
    name: String,
    message: Vec<u8>,
    expected: What,
}

fn case(name: &str, message: impl Into<Vec<u8>>, expected: What) -> Case {
    Case { name: name.to_owned(), message: message.into(), expected }
}

fn check(cases: &[Case], trust: &Trust) {
    for Case { name, message, expected } in cases {
        let what = recognise(&mut message.as_slice(), trust).unwrap();
        assert_eq!(what, *expected, "{name}");
        // One octet at a time: buffers decide nothing.
        let mut slowly = std::io::BufReader::with_capacity(1, message.as_slice());
        assert_eq!(recognise(&mut slowly, trust).unwrap(), *expected, "{name}, octet by octet");
    }
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = find(message, from.as_bytes()).unwrap_or_else(|| panic!("nothing to replace: {from}"));
    [&message[..at], to.as_bytes(), &message[at + from.len()..]].concat()
}

/// PGP/MIME around an armored message, as other programs write it (RFC 3156 §4).
fn pgp_mime(armor: &[u8]) -> Vec<u8> {
    let head = "From: eve@example.com\r\nTo: alice@example.org\r\nSubject: ...\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=\"BBB\"\r\n\r\n\
        This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n\
        --BBB\r\nContent-Type: application/pgp-encrypted\r\nContent-Description: PGP/MIME version identification\r\n\r\n\
        Version: 1\r\n\r\n\
        --BBB\r\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\
        Content-Description: OpenPGP encrypted message\r\nContent-Disposition: inline; filename=\"encrypted.asc\"\r\n\r\n";
    [head.as_bytes(), armor, b"\r\n--BBB--\r\n"].concat()
}

/// The three fields of a message, raw.
fn own_fields(message: &[u8]) -> Vec<u8> {
    let section = mail::HeaderSection::parse(message);
    let own = section.fields().iter().filter(|field| field.name().starts_with(b"Sealed-"));
    own.flat_map(|field| field.raw().to_vec()).collect()
}

fn without_own_fields(message: &[u8]) -> Vec<u8> {
    let section = mail::HeaderSection::parse(message);
    let rest = section.fields().iter().filter(|field| !field.name().starts_with(b"Sealed-"));
    let mut out: Vec<u8> = rest.flat_map(|field| field.raw().to_vec()).collect();
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&message[section.body_offset()..]);
    out
}

fn parsed(message: &[u8]) -> SealedFields {
    SealedFields::parse(&mail::HeaderSection::parse(message)).unwrap()
}

/// The message with other fields of ours.
fn with_fields(message: &[u8], fields: &SealedFields) -> Vec<u8> {
    let mut own = Vec::new();
    fields.write(&mut own).unwrap();
    let rest = without_own_fields(message);
    [own.as_slice(), &rest].concat()
}

fn as_said(message: &[u8]) -> sealed::recognise::Sealed {
    let what = recognise(&mut &*message, &Trust::default()).unwrap();
    let What::SealedByUnknown(sealed) = what else { panic!("{what:?}") };
    sealed
}

#[test]
fn sealed_mail_and_what_looks_like_it() {
    let alice = Household::new();
    let sealed = alice.seal(MAIL);
    let other = alice.seal(b"Subject: another\r\n\r\nmail\r\n");
    let bob = Household::new();
    let said = as_said(&sealed);
    assert_eq!((said.wrapped_keys, said.mark.id), (2, parsed(&sealed).mark.id));

    // Bob's sealer is as good as Alice's, but not for her account.
    let both = Trust {
        accounts: vec![alice.account],
        sealers: vec![alice.sealer.public().clone(), bob.sealer.public().clone()],
    };
    let for_bob = {
        let settings = seal::Settings { account: bob.account, ..alice.settings() };
        let mut out = Vec::new();
        seal::seal(&mut std::io::Cursor::new(MAIL), || Ok(std::io::Cursor::new(Vec::new())), &mut out, &settings)
            .unwrap();
        out
    };
    let stranger = {
        let sealer = SealerKey::generate();
        let mut fields = parsed(&sealed);
        fields.mark.sealer = sealer.public().id();
        let envelope = Envelope {
            profile: fields.mark.profile,
            account: alice.account,
            id: fields.mark.id,
            content: &fields.mark.content_hash,
            key: &sha256(&fields.key),
            fields: &sha256(&fields.fields),
        };
        fields.mark.signature = sealer.sign(&envelope.transcript(sealer.public().id()));
        with_fields(&sealed, &fields)
    };
    let wrong_signature = {
        let mut fields = parsed(&sealed);
        fields.mark.signature = parsed(&other).mark.signature;
        with_fields(&sealed, &fields)
    };
    let other_fields_blob = SealedFields { fields: parsed(&other).fields, ..parsed(&sealed) };
    let other_key = SealedFields { key: parsed(&other).key, ..parsed(&sealed) };
    let fresh = pgp_mime(armor(&sealed));
    let cases = [
        case("ours", sealed.clone(), What::Sealed(said.clone())),
        case(
            "ours, with an mbox line on top",
            [b"From eve@example.com Mon Nov 23 10:00:00 2026\r\n", &sealed[..]].concat(),
            What::Sealed(said.clone()),
        ),
        case(
            "ours, with trace fields",
            [b"Received: from a by b; now\r\nX-Spam: no\r\n", &sealed[..]].concat(),
            What::Sealed(said.clone()),
        ),
        case(
            "ours, without the preamble",
            replaced(&sealed, "This is an OpenPGP/MIME encrypted message (RFC 3156).\r\n", ""),
            What::Sealed(said.clone()),
        ),
        case("by a sealer that nobody pinned", stranger.clone(), What::SealedByUnknown(as_said(&stranger))),
        case("the pinned key's name, another signature", wrong_signature, SEALED_LABEL),
        case("a pinned sealer, another account", for_bob, SEALED_LABEL),
        case(
            "all three fields over a fresh body",
            [own_fields(&sealed), pgp_mime(armor(&other))].concat(),
            SEALED_LABEL,
        ),
        case(
            "all three fields over the same armor in another frame",
            [own_fields(&sealed), fresh.clone()].concat(),
            SEALED_LABEL,
        ),
        case("all three fields over text", [&own_fields(&sealed)[..], MAIL].concat(), SEALED_LABEL),
        case("the fields blob of another mail", with_fields(&sealed, &other_fields_blob), SEALED_LABEL),
        case("the keys of another mail", with_fields(&sealed, &other_key), SEALED_LABEL),
        case("our fields twice", [own_fields(&sealed), sealed.clone()].concat(), SEALED_LABEL),
        case("Sealed-Mail alone", [&b"Sealed-Mail: v=1\r\n"[..], MAIL].concat(), SEALED_LABEL),
        case(
            "Sealed-Fields alone over PGP/MIME",
            [b"Sealed-Fields: v=1; d=AAAA\r\n", &fresh[..]].concat(),
            SEALED_LABEL,
        ),
        case("without our fields it is encrypted mail like any other", without_own_fields(&sealed), OPENPGP),
    ];
    check(&cases, &both);
    // Without a pin nothing is proved, and nothing is plain.
    check(&[case("nobody is pinned", sealed.clone(), What::SealedByUnknown(said.clone()))], &Trust::default());
    // A former account of the owner counts too.
    let former = Trust { accounts: vec![bob.account, alice.account], ..both.clone() };
    check(&[case("a former account", sealed, What::Sealed(said))], &former);
}

#[test]
fn fields_that_are_not_complete_and_well_formed() {
    let alice = Household::new();
    let sealed = alice.seal(MAIL);
    // Fields in several parts: some more addresses make the list view long.
    let many: String = (0..60).map(|number| format!("person{number}@example.net, ")).collect();
    let split = alice.seal(format!("From: a@example.com\r\nTo: {many}b@example.com\r\n\r\nx\r\n").as_bytes());
    let text = String::from_utf8(split.clone()).unwrap();
    let parts = text.matches("Sealed-Fields: v=1; n=").count();
    assert!(parts >= 2, "the list view must need several parts");
    let tag = |number: usize| format!("Sealed-Fields: v=1; n={number}/{parts};");
    let first = {
        let section = mail::HeaderSection::parse(&split);
        String::from_utf8(section.first("Sealed-Fields").unwrap().raw().to_vec()).unwrap()
    };
    let mark = "Sealed-Mail: v=1; p=pgp1;";
    let forgeries = [
        ("Sealed-Mail twice", [&b"Sealed-Mail: v=1; p=pgp1\r\n"[..], &sealed].concat()),
        ("a part is missing", replaced(&split, &first, "")),
        ("a part is doubled", replaced(&split, &first, &[first.as_str(), &first].concat())),
        ("a part has the number of another", replaced(&split, &tag(1), &tag(2))),
        ("two different totals", replaced(&split, &tag(1), &format!("Sealed-Fields: v=1; n=1/{};", parts + 1))),
        ("number zero", replaced(&split, &tag(1), &format!("Sealed-Fields: v=1; n=0/{parts};"))),
        (
            "a number beyond the total",
            replaced(&split, &tag(1), &format!("Sealed-Fields: v=1; n={}/{parts};", parts + 1)),
        ),
        ("a number in another form", replaced(&split, &tag(1), &format!("Sealed-Fields: v=1; n=01/{parts};"))),
        ("an unnumbered part among numbered ones", replaced(&split, &tag(1), "Sealed-Fields: v=1;")),
        ("a tag twice", replaced(&sealed, mark, "Sealed-Mail: v=1; v=1; p=pgp1;")),
        ("another version", replaced(&sealed, mark, "Sealed-Mail: v=2; p=pgp1;")),
        ("another profile", replaced(&sealed, mark, "Sealed-Mail: v=1; p=pgp2;")),
        ("an unknown profile", replaced(&sealed, mark, "Sealed-Mail: v=1; p=pgp9;")),
        ("another signature algorithm", replaced(&sealed, mark, "Sealed-Mail: v=1; a=rsa; p=pgp1;")),
        ("no Sealed-Key", replaced(&sealed, "Sealed-Key:", "X-Key:")),
        ("no Sealed-Fields", replaced(&sealed, "Sealed-Fields:", "X-Fields:")),
        ("no Sealed-Mail", replaced(&sealed, "Sealed-Mail:", "X-Mail:")),
    ];
    let mut cases: Vec<Case> = forgeries.into_iter().map(|(name, message)| case(name, message, SEALED_LABEL)).collect();
    for (name, message) in [
        ("the algorithm named", replaced(&sealed, mark, "Sealed-Mail: v=1; a=ed25519; p=pgp1;")),
        ("an unknown tag", replaced(&sealed, mark, "Sealed-Mail: v=1; zz=1; p=pgp1;")),
        ("names in other case", replaced(&sealed, "Sealed-Key:", "SEALED-KEY:")),
        ("split", split.clone()),
    ] {
        let expected = What::Sealed(as_said(&message));
        cases.push(case(name, message, expected));
    }
    check(&cases, &alice.trust);
}

/// Places in PGP/MIME where a text that everybody can read could hide.
fn hiding_places(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let boundary = text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let delimiter = format!("--{boundary}\r\n");
    let closing = format!("--{boundary}--\r\n");
    let readable = "The meeting is at noon, bring the contract\r\n";
    let second = "Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n";
    let begin = "-----BEGIN PGP MESSAGE-----\r\n";
    let end = "-----END PGP MESSAGE-----\r\n";
    let plain_part = format!("{delimiter}Content-Type: text/plain\r\n\r\n{readable}");
    let places = [
        ("in the preamble", delimiter.clone(), format!("{readable}{delimiter}")),
        ("in the epilogue", closing.clone(), format!("{closing}{readable}")),
        ("in a part in front", delimiter.clone(), format!("{plain_part}{delimiter}")),
        ("in a third part", closing.clone(), format!("{plain_part}{closing}")),
        ("behind the version", "Version: 1\r\n".into(), format!("Version: 1\r\n{readable}")),
        ("instead of the version", "Version: 1\r\n".into(), readable.to_owned()),
        ("before the armor", begin.into(), format!("{readable}{begin}")),
        ("behind the armor", end.into(), format!("{end}{readable}")),
        ("in an armor comment", begin.into(), format!("{begin}Comment: {readable}")),
        ("in the armor's version", begin.into(), format!("{begin}Version: {readable}")),
        ("in a part's header", second.into(), format!("{second}X-Text: {readable}")),
        ("in a line of the header that is no field", second.into(), format!("{second}{readable}")),
        ("in another Content field", second.into(), format!("{second}Content-Language: {readable}")),
        ("in a file name", second.into(), second.replace("encrypted.asc", readable.trim())),
        ("in another parameter", second.into(), second.replace("name=", "x=\"meet-me\"; name=")),
        ("in a comment of a field", second.into(), second.replace("; name", " (meet me at noon); name")),
        ("behind the parameters", second.into(), second.replace("\r\n", "; meet me at noon\r\n")),
        (
            "in a second disposition",
            second.into(),
            format!("{second}Content-Disposition: inline\r\nContent-Disposition: inline\r\n"),
        ),
        (
            "in a description",
            "Content-Description: OpenPGP encrypted message\r\n".into(),
            format!("Content-Description: {readable}"),
        ),
        ("a second armored message", end.into(), format!("{end}{begin}\r\nAAAA\r\n{end}")),
        ("the part's encoding says base64", second.into(), format!("{second}Content-Transfer-Encoding: base64\r\n")),
        ("the part's encoding is unknown", second.into(), format!("{second}Content-Transfer-Encoding: x-text\r\n")),
        (
            "the version part's encoding says base64",
            "Content-Type: application/pgp-encrypted\r\n".into(),
            "Content-Type: application/pgp-encrypted\r\nContent-Transfer-Encoding: base64\r\n".into(),
        ),
        (
            "the header's encoding says base64",
            "MIME-Version: 1.0\r\n".into(),
            "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n".into(),
        ),
        ("a text before the header's end", "MIME-Version: 1.0\r\n".into(), format!("MIME-Version: 1.0\r\n{readable}")),
        ("parts of other types", second.into(), "Content-Type: text/plain\r\n".into()),
        ("no parts at all", format!("boundary=\"{boundary}\""), "boundary=\"another\"".into()),
        ("another multipart", "multipart/encrypted".into(), "multipart/mixed".into()),
        ("text in the armor", end.into(), format!("{readable}{end}")),
        ("no end of the armor", end.into(), String::new()),
    ];
    places.into_iter().map(|(name, from, to)| (name.to_owned(), replaced(message, &from, &to))).collect()
}

#[test]
fn readable_text_beside_the_ciphertext_makes_it_plain() {
    let alice = Household::new();
    let sealed = alice.seal(MAIL);
    let foreign = pgp_mime(armor(&sealed));
    check(
        &[case("foreign", foreign.clone(), OPENPGP), case("ours", sealed.clone(), What::Sealed(as_said(&sealed)))],
        &alice.trust,
    );
    for (name, message) in hiding_places(&sealed) {
        check(&[case(&format!("ours: {name}"), message, SEALED_LABEL)], &alice.trust);
    }
    for (name, message) in hiding_places(&foreign) {
        let labelled = find(&message, b"multipart/encrypted").is_some();
        let expected = if labelled { MULTIPART_LABEL } else { What::Plain(None) };
        check(&[case(&format!("foreign: {name}"), message, expected)], &alice.trust);
    }
    // What other programs do write there.
    for (from, to) in [
        ("-----BEGIN PGP MESSAGE-----\r\n", "-----BEGIN PGP MESSAGE-----\r\nVersion: GnuPG v2.0.22 (GNU/Linux)\r\n"),
        (
            "-----BEGIN PGP MESSAGE-----\r\n",
            "-----BEGIN PGP MESSAGE-----\r\nComment: GPGTools - https://gpgtools.org\r\n",
        ),
        ("This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n", ""),
        (
            "Content-Type: application/pgp-encrypted\r\n",
            "Content-Type: application/pgp-encrypted\r\nContent-Transfer-Encoding: 7Bit\r\n",
        ),
        (
            "Content-Disposition: inline; filename=\"encrypted.asc\"\r\n",
            "Content-Disposition: attachment;\r\n filename=msg.asc\r\n",
        ),
        ("PGP/MIME version identification", "PGP/MIME Versions Identification"),
    ] {
        check(&[case(to, replaced(&foreign, from, to), OPENPGP)], &alice.trust);
    }
    // Our own writer writes none of it, so under our label it counts as forged.
    for to in ["Version: GnuPG v2", "Comment: GPGTools - https://gpgtools.org"] {
        let begin = "-----BEGIN PGP MESSAGE-----\r\n";
        check(&[case(to, replaced(&sealed, begin, &format!("{begin}{to}\r\n")), SEALED_LABEL)], &alice.trust);
    }
}

/// Armor around packets of our choice.
fn armored(packets: &[&[u8]]) -> Vec<u8> {
    let text = STANDARD.encode_to_string(packets.concat());
    format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{text}\r\n-----END PGP MESSAGE-----\r\n").into_bytes()
}

#[test]
fn only_session_keys_and_one_encrypted_packet_are_encrypted_mail() {
    const fn packet<const N: usize>(tag: u8, version: u8) -> [u8; N] {
        let mut packet = [7; N];
        packet[0] = tag;
        packet[1] = N as u8 - 2;
        packet[2] = version;
        packet
    }
    const PKESK: &[u8] = &packet::<42>(0xc1, 3);
    const SKESK: &[u8] = &[0xc3, 4, 4, 9, 0, 8];
    const SEIPD: &[u8] = &packet::<43>(0xd2, 1);
    const PARTIAL: &[u8] = &[0xd2, 0xe1, 1, 7, 0xe0, 7, 1, 9];
    const OCB: &[u8] = &packet::<43>(0xd4, 1);
    const SED: &[u8] = &[0xc9, 3, 1, 7, 7];
    const LITERAL: &[u8] = &[0xcb, 8, b'b', 0, 0, 0, 0, 0, b'h', b'i'];
    const COMPRESSED: &[u8] = &[0xc8, 3, 0, 1, 1];
    const MARKER: &[u8] = &[0xca, 3, b'P', b'G', b'P'];
    let table: [(&str, &[&[u8]], What); 23] = [
        ("one of each", &[PKESK, SEIPD], OPENPGP),
        ("several recipients", &[PKESK, PKESK, SKESK, SEIPD], OPENPGP),
        ("a passphrase alone", &[SKESK, SEIPD], OPENPGP),
        ("partial lengths", &[PKESK, PARTIAL], OPENPGP),
        ("LibrePGP's packet", &[PKESK, OCB], OPENPGP),
        ("a marker first", &[MARKER, PKESK, SEIPD], OPENPGP),
        ("no session key", &[SEIPD], MULTIPART_LABEL),
        ("no encrypted packet", &[PKESK], MULTIPART_LABEL),
        ("two encrypted packets", &[PKESK, SEIPD, SEIPD], MULTIPART_LABEL),
        ("a literal behind it", &[PKESK, SEIPD, LITERAL], MULTIPART_LABEL),
        ("a literal before it", &[LITERAL, PKESK, SEIPD], MULTIPART_LABEL),
        ("a literal instead", &[LITERAL], MULTIPART_LABEL),
        ("keys and a literal", &[PKESK, LITERAL], MULTIPART_LABEL),
        ("keys and compressed data", &[PKESK, COMPRESSED], MULTIPART_LABEL),
        ("without integrity protection", &[PKESK, SED], MULTIPART_LABEL),
        ("a key after it", &[PKESK, SEIPD, PKESK], MULTIPART_LABEL),
        ("an empty encrypted packet", &[PKESK, &[0xd2, 0]], MULTIPART_LABEL),
        ("a session key too short to be one", &[&packet::<20>(0xc1, 3), SEIPD], MULTIPART_LABEL),
        ("too short to be encrypted", &[PKESK, &[0xd2, 5, b'a', b'b', b'c', b'd', b'e']], MULTIPART_LABEL),
        ("cut off", &[PKESK, &[0xd2, 50, 1]], MULTIPART_LABEL),
        ("a partial length that never ends", &[PKESK, &[0xd2, 0xe1, 1, 7]], MULTIPART_LABEL),
        ("text", &[b"just a text in base64"], MULTIPART_LABEL),
        ("nothing", &[], MULTIPART_LABEL),
    ];
    let mut cases: Vec<Case> =
        table.into_iter().map(|(name, packets, expected)| case(name, pgp_mime(&armored(packets)), expected)).collect();
    let encrypted = armored(&[PKESK, SEIPD]);
    let text = |content_type: &str, body: &[u8]| {
        [b"From: a@b\r\nContent-Type: ", content_type.as_bytes(), b"\r\n\r\n", body].concat()
    };
    let before = [b"Look here:\r\n", &encrypted[..]].concat();
    cases.extend([
        case("inline, with packets", text("text/plain", &encrypted), What::Plain(None)),
        case("inline, without packets", text("text/plain", &armored(&[b"hi"])), What::Plain(None)),
        case("inline, with text", text("text/plain", &before), What::Plain(None)),
        case("inline, no type", [b"From: a@b\r\n\r\n", &encrypted[..]].concat(), What::Plain(None)),
        case(
            "the label around text",
            text(
                "multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b",
                b"--b\r\n\r\nhello\r\n--b--\r\n",
            ),
            MULTIPART_LABEL,
        ),
        case("the label around nothing", text("multipart/encrypted; boundary=b", b""), MULTIPART_LABEL),
        case("the label without a boundary", text("multipart/encrypted", &encrypted), MULTIPART_LABEL),
        case("encrypted mail within another mail", text("message/rfc822", &pgp_mime(&encrypted)), What::Plain(None)),
        case("a plain mail", MAIL, What::Plain(None)),
        case("an empty one", "", What::Plain(None)),
    ]);
    check(&cases, &Trust::default());
}

#[test]
fn what_gnupg_encrypts_is_encrypted_mail() {
    if !installed(&["gpg"]) {
        return;
    }
    let gpg = GnuPg::new();
    gpg.make("carl@example.net", "Key-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519");
    let long: Vec<u8> = (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let partial = gpg.run(&["--encrypt", "-z", "0", "-r", "carl@example.net"], &long);
    assert!(
        partial.windows(2).take(600).any(|pair| pair[0] == 0xd2 && (0xe0..0xff).contains(&pair[1])),
        "no partial length"
    );
    let encrypt = |more: &[&str], text: &[u8]| {
        let arguments = [&["--armor", "--encrypt", "-r", "carl@example.net"], more].concat();
        pgp_mime(&gpg.run(&arguments, text))
    };
    let signed = gpg.run(&["--armor", "--sign", "-u", "carl@example.net"], MAIL);
    let cases = [
        case("small", encrypt(&[], MAIL), OPENPGP),
        case("large, with partial lengths", encrypt(&["-z", "0"], &long), OPENPGP),
        case("compressed", encrypt(&[], &MAIL.repeat(1000)), OPENPGP),
        case("signed and encrypted", encrypt(&["--sign"], MAIL), OPENPGP),
        case("hidden recipient", encrypt(&["--throw-keyids"], MAIL), OPENPGP),
        case("with a version line", encrypt(&["--emit-version"], MAIL), OPENPGP),
        case("to a passphrase", pgp_mime(&gpg.run(&["--armor", "--symmetric", "--passphrase", "x"], MAIL)), OPENPGP),
        case("with a comment", encrypt(&["--comment", "the meeting is at noon"], MAIL), MULTIPART_LABEL),
        case("signed only", pgp_mime(&signed), MULTIPART_LABEL),
        case("stored", pgp_mime(&gpg.run(&["--armor", "--store"], MAIL)), MULTIPART_LABEL),
        case("a certificate", pgp_mime(&gpg.certificate("carl@example.net")), MULTIPART_LABEL),
    ];
    check(&cases, &Trust::default());
}

/// A second Content-Type behind the first.
fn two_types(mail: &[u8]) -> Vec<u8> {
    let body = mail.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    [&mail[..body], b"\r\nContent-Type: text/plain", &mail[body..]].concat()
}

#[test]
fn what_openssl_encrypts_is_encrypted_mail() {
    if !installed(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let openssl = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new("openssl");
        output(command.args(arguments).current_dir(folder.path()), input)
    };
    openssl(
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "certificate.pem",
            "-subj",
            "/CN=c",
            "-days",
            "9",
        ],
        b"",
    );
    assert!(key.exists() && certificate.exists());
    let cms = |arguments: &[&str], text: &[u8]| openssl(&[&["cms"], arguments].concat(), text);
    let encrypt = |more: &[&str], text: &[u8]| {
        cms(&[&["-encrypt", "-binary", "-outform", "DER"], more, &["certificate.pem"]].concat(), text)
    };
    let typed = |kind: &str, encoding: &str, body: &[u8]| {
        let head = format!(
            "From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let wrapped = |der: &[u8]| {
        let text = STANDARD.encode_to_string(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        (lines.join("\r\n") + "\r\n").into_bytes()
    };
    let smime = |der: &[u8]| {
        typed("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "base64", &wrapped(der))
    };
    let long = MAIL.repeat(2000);
    let cbc = encrypt(&["-aes256"], MAIL);
    let gcm = encrypt(&["-aes-256-gcm"], MAIL);
    let streamed = encrypt(&["-aes256", "-stream"], &long);
    assert_eq!(streamed[1], 0x80, "an indefinite length");
    let signed = cms(
        &["-sign", "-nodetach", "-binary", "-outform", "DER", "-signer", "certificate.pem", "-inkey", "key.pem"],
        MAIL,
    );
    let random: Vec<u8> = (0..900_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let beside = [cbc.as_slice(), b"readable text"].concat();
    // ContentInfo with one element more: its length is in two octets behind the tag (30 82 xx xx).
    let inside = {
        let mut der = [cbc.as_slice(), &[0x0c, 4, b't', b'e', b'x', b't']].concat();
        let length = (der.len() - 4) as u16;
        der[2..4].copy_from_slice(&length.to_be_bytes());
        der
    };
    let own_headers = {
        let mail = cms(&["-encrypt", "-aes256", "-stream", "-from", "a@b", "-to", "c@d", "certificate.pem"], MAIL);
        [b"Subject: x\r\n", &mail[..]].concat()
    };
    let cases = [
        case("AES-CBC, DER", smime(&cbc), CMS),
        case("AES-GCM, DER", smime(&gcm), CMS),
        case("streamed, BER", smime(&streamed), CMS),
        case("streamed AES-GCM", smime(&encrypt(&["-aes-256-gcm", "-stream"], &long)), CMS),
        case("by key id", smime(&encrypt(&["-aes256", "-keyid"], MAIL)), CMS),
        case("as openssl writes mail", own_headers, CMS),
        // A text could stand there as its "ciphertext", for all to read: no S/MIME program writes it so.
        case("in binary", typed("application/pkcs7-mime", "binary", &cbc), SMIME_LABEL),
        case("said twice", [b"Content-Type: text/plain\r\n", &smime(&cbc)[..]].concat(), What::Plain(None)),
        case("said twice, other first", two_types(&smime(&cbc)), SMIME_LABEL),
        case("the old type", typed("application/x-pkcs7-mime; name=smime.p7m", "base64", &wrapped(&cbc)), CMS),
        case("by its file name", typed("application/octet-stream; name=\"smime.p7m\"", "base64", &wrapped(&cbc)), CMS),
        case(
            "signed only",
            typed("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", "base64", &wrapped(&signed)),
            SMIME_LABEL,
        ),
        case("signed, labelled as enveloped", smime(&signed), SMIME_LABEL),
        case("random octets", smime(&random), SMIME_LABEL),
        case("text", typed("application/pkcs7-mime; smime-type=enveloped-data", "7bit", b"hello\r\n"), SMIME_LABEL),
        case("nothing", smime(b""), SMIME_LABEL),
        case("text behind it", smime(&beside), SMIME_LABEL),
        case("text behind the encoding", [smime(&cbc), b"--\r\nhello\r\n".to_vec()].concat(), SMIME_LABEL),
        case("text within the structure", smime(&inside), SMIME_LABEL),
        case("cut off", smime(&cbc[..cbc.len() - 1]), SMIME_LABEL),
        case("an encoding that is not there", typed("application/pkcs7-mime", "base64", &cbc), SMIME_LABEL),
        case(
            "as an attachment",
            typed("multipart/mixed; boundary=b", "7bit", &[b"--b\r\n", &smime(&cbc)[..], b"\r\n--b--\r\n"].concat()),
            What::Plain(None),
        ),
    ];
    check(&cases, &Trust::default());
}
