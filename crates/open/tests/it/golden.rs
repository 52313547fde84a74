//! Sealed mail of the first version of the format, kept as files: it must open for ever, whatever becomes of the programs.
//! And the check values of the specification, computed by code that knows nothing of each other.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use open::{Algorithm, AnySecretKey, Keyring, SecretKey, X509SecretKey};
use seal::{Compression, Enrolment, NewId, Padding, Place, Policy, Settings};
use sealed::{
    field_blob,
    identity::{AccountId, Hash, MessageId, Profile, sha256},
    index::{Index, Way},
    recognise::{What, recognise},
    session::SessionKey,
    signature::{Envelope, Origin, SealerKey, Trust},
};

use crate::{
    household::{NOW, now, open_with},
    programs::{GnuPg, find, installed},
    smime::Authority,
};

struct Golden {
    /// `NAME.sealed.eml`, and `NAME.original.eml` beside it.
    name: &'static str,
    /// Secret keys that open it; the first is the mailbox key, which the account is derived from.
    keys: &'static [&'static str],
    profile: Profile,
    policy: Policy,
    compression: Compression,
    padding: Padding,
    /// With S/MIME: what the owner reads with.
    readers: &'static [&'static str],
    /// Octets that stand in the sealed file, to be sure that it shows what it is there for.
    holds: &'static [&'static str],
}

const V4: &[&str] = &["mailbox", "recovery"];
const V4_AND_RSA: &[&str] = &["mailbox", "recovery", "rsa4096"];
const V6: &[&str] = &["mailbox6", "recovery6"];

const RSA: &[&str] = &["smime-rsa", "smime-recovery"];
const CURVES: &[&str] = &["smime-p256", "smime-p384", "smime-x25519"];
const BOTH: &[&str] = &["smime-p256", "smime-recovery"];

const GOLDEN: [Golden; 12] = [
    golden("pgp1-plain", V4, Profile::Pgp1, Policy::Baseline, &["p=pgp1;", "Subject: [...]"]),
    golden("pgp1-eight-bit", V4, Profile::Pgp1, Policy::Open, &["p=pgp1;"]),
    golden("pgp1-bare-lf", V4, Profile::Pgp1, Policy::Baseline, &["p=pgp1;"]),
    golden("pgp1-broken", V4, Profile::Pgp1, Policy::Shy, &["p=pgp1;"]),
    golden(
        "pgp1-split-rsa",
        V4_AND_RSA,
        Profile::Pgp1,
        Policy::Baseline,
        &["Sealed-Key: v=1; n=1/2;", "Sealed-Fields: v=1; n=1/"],
    ),
    Golden {
        compression: Compression::Auto,
        ..golden("pgp1-compressed", V4, Profile::Pgp1, Policy::Baseline, &["p=pgp1;"])
    },
    golden("pgp2-signed", V6, Profile::Pgp2, Policy::Baseline, &["p=pgp2;"]),
    Golden {
        padding: Padding::None,
        ..golden("pgp2-hidden", V6, Profile::Pgp2, Policy::Hidden, &["From: sealed@sealed.invalid"])
    },
    golden("cms1-plain", RSA, Profile::Cms1, Policy::Baseline, &["p=cms1;", "smime-type=enveloped-data"]),
    Golden {
        readers: &["apple-mail"],
        ..golden("cms1-old-padding", RSA, Profile::Cms1, Policy::Shy, &["Sealed-Key: v=1; n=1/2;"])
    },
    golden("cms1-curves", CURVES, Profile::Cms1, Policy::Open, &["p=cms1;"]),
    Golden {
        readers: &["sealpost"],
        ..golden("cms2-broken", BOTH, Profile::Cms2, Policy::Baseline, &["p=cms2;", "smime-type=authEnveloped-data"])
    },
];

const fn golden(
    name: &'static str,
    keys: &'static [&'static str],
    profile: Profile,
    policy: Policy,
    holds: &'static [&'static str],
) -> Golden {
    let (compression, padding) = (Compression::Never, Padding::Bucket);
    Golden { name, keys, profile, policy, compression, padding, readers: &[], holds }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/sealed/v1")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn key(name: &str) -> AnySecretKey {
    AnySecretKey::parse(&read(&key_file(name))).unwrap()
}

fn key_file(name: &str) -> String {
    let kind = if name.starts_with("smime") { "pem" } else { "asc" };
    format!("TEST-ONLY-{name}.sec.{kind}")
}

/// The sealer of all of them: the seed of the specification's test data.
fn sealer() -> SealerKey {
    SealerKey::from_seed(&[1; 32]).unwrap()
}

#[test]
fn golden_messages_open_for_ever() {
    for golden in &GOLDEN {
        let name = golden.name;
        let sealed = read(&format!("{name}.sealed.eml"));
        let original = read(&format!("{name}.original.eml"));
        let account = key(golden.keys[0]).account().unwrap();
        let trust = Trust { accounts: vec![account], sealers: vec![sealer().public().clone()] };
        for key_name in golden.keys {
            let mut keys = Keyring::default();
            keys.add(key(key_name).unlock(None).unwrap());
            assert_eq!(open_with(&sealed, &keys, &trust).unwrap(), original, "{name} with {key_name}");
            let index = open::headers(&sealed, &keys, &trust).unwrap();
            assert_eq!((index.length, index.hash), (original.len() as u64, sha256(&original)), "{name}");
            assert_eq!((index.time, index.sequence), (NOW, 7), "{name}");
            let bare = original.iter().filter(|octet| **octet == b'\n').count() as u64;
            if name == "pgp1-bare-lf" {
                assert_eq!(index.wire_length, Some(original.len() as u64 + bare));
            }
        }
        let what = recognise(&mut sealed.as_slice(), &trust).unwrap();
        let What::Sealed(what) = what else { panic!("{name}: {what:?}") };
        assert_eq!((what.mark.profile, what.wrapped_keys), (golden.profile, golden.keys.len()), "{name}");
        for text in golden.holds {
            assert!(find(&sealed, text.as_bytes()).is_some(), "{name}: {text}");
        }
        if golden.compression == Compression::Auto {
            assert!(sealed.len() < original.len(), "{name} is compressed");
        }
    }
}

#[test]
fn no_golden_file_is_forgotten() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        found.extend(name.strip_suffix(".sealed.eml").map(str::to_owned));
    }
    found.sort();
    let mut known: Vec<&str> = GOLDEN.iter().map(|golden| golden.name).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

/// Makes the files that are not there yet; never changes one that is.
#[test]
#[ignore = "makes golden files, only when a kind of them is added; needs gpg for the RSA key"]
fn make() {
    if !installed(&["gpg", "openssl"]) {
        return;
    }
    std::fs::create_dir_all(folder()).unwrap();
    let write = |name: String, octets: &[u8]| {
        let path = folder().join(name);
        if !path.exists() {
            std::fs::write(path, octets).unwrap();
        }
    };
    for name in ["mailbox", "recovery", "rsa4096", "mailbox6", "recovery6"] {
        let algorithm = if name.ends_with('6') { Algorithm::V6X25519 } else { Algorithm::V4Curve25519 };
        let armored = if name == "rsa4096" {
            let gpg = GnuPg::new();
            gpg.make("test-only@example.org", "Key-Type: rsa\nKey-Length: 4096\nSubkey-Type: rsa\nSubkey-Length: 4096");
            gpg.run(&["--armor", "--export-secret-keys"], b"")
        } else {
            SecretKey::generate("test-only@example.org", algorithm).unwrap().armored().unwrap().as_bytes().to_vec()
        };
        write(key_file(name), &armored);
    }
    let curves = ["-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"];
    let smime = ["smime-rsa", "smime-recovery"].into_iter().chain(CURVES.iter().copied());
    for (name, words) in smime.zip([None, None, Some(curves[0]), Some(curves[1]), Some("-algorithm X25519")]) {
        let text = match words {
            None => X509SecretKey::generate("test-only@example.org", now()).unwrap().armored().unwrap().to_string(),
            Some(words) => Authority::new().key(words, "", "-days 9999"),
        };
        write(key_file(name), text.as_bytes());
    }
    let sample = |name: &str| std::fs::read(folder().join("../../samples").join(name)).unwrap();
    for golden in &GOLDEN {
        let original = match golden.name {
            "pgp1-plain" | "cms1-plain" => sample("plain.eml"),
            // As a Maildir holds it: INDEX 15 tells another size than the original's own.
            "pgp1-bare-lf" => sample("plain.eml").into_iter().filter(|octet| *octet != b'\r').collect(),
            "pgp1-eight-bit" => sample("eight-bit-latin1.eml"),
            "pgp1-broken" | "cms2-broken" => sample("broken.eml"),
            "cms1-old-padding" => sample("calendar.eml"),
            "cms1-curves" => sample("eight-bit.eml"),
            "pgp1-split-rsa" => {
                let many: String =
                    (0..60).map(|number| format!("Person {number} <p{number}@example.net>,\r\n ")).collect();
                format!("From: a@example.com\r\nTo: {many}b@example.com\r\nSubject: to all of you\r\n\r\nHello!\r\n")
                    .into_bytes()
            }
            "pgp1-compressed" => {
                let lines: String = (0..1200_u32)
                    .map(|number| format!("{number}: {:08x}\r\n", number.wrapping_mul(2_654_435_761)))
                    .collect();
                let begin = "From: a@example.com\r\nTo: b@example.com\r\nSubject: a long table\r\n\r\n";
                let repeated = "one line that comes back again and again\r\n".repeat(6500);
                format!("{begin}{lines}{repeated}").into_bytes()
            }
            "pgp2-signed" => sample("signed.eml"),
            _ => sample("thread-2.eml"),
        };
        write(format!("{}.original.eml", golden.name), &original);
        let original = read(&format!("{}.original.eml", golden.name));
        let readers: String = golden.readers.iter().map(|reader| format!("Reader: {reader}\n")).collect();
        let certificates: String = golden.keys.iter().map(|name| key(name).certificate_armored().unwrap()).collect();
        let enrolment = format!("Sealed-Enrolment: v=1\n{readers}\n{certificates}");
        let enrolment = Enrolment::parse(enrolment.as_bytes(), now()).unwrap();
        let recipients = enrolment.recipients();
        let settings = Settings {
            account: enrolment.account().unwrap(),
            recipients: &recipients,
            sealer: &sealer(),
            profile: golden.profile,
            policy: golden.policy,
            outer_id: seal::OuterId::Kept,
            outer_from: None,
            compression: golden.compression,
            padding: golden.padding,
            id: NewId::Random,
            sequence: 7,
            time: NOW,
            way: Way::Client,
            place: Place::default(),
        };
        let mut sealed = Vec::new();
        seal::seal(&mut Cursor::new(&original), || Ok(Cursor::new(Vec::new())), &mut sealed, &settings).unwrap();
        write(format!("{}.sealed.eml", golden.name), &sealed);
    }
}

fn octets(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hash(hexadecimal: &str) -> Hash {
    octets(hexadecimal).try_into().unwrap()
}

/// The check values of docs/format.md, "Test data".
#[test]
fn the_values_of_the_specification() {
    let specification = std::fs::read_to_string(folder().join("../../../docs/format.md")).unwrap();
    let stated = |value: &str| assert!(specification.contains(value), "docs/format.md does not state {value}");

    let fingerprint: Vec<u8> = (0..20).collect();
    stated("a30078980ae1c29dd97c032fef072276");
    assert_eq!(AccountId::of_openpgp(&fingerprint).0, octets("a30078980ae1c29dd97c032fef072276")[..]);

    let sealer = sealer();
    let kid = sealer.public().id();
    stated("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
    assert_eq!(*sealer.public().octets(), hash("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"));
    stated("34750f98bd59fcfc");
    assert_eq!(kid.0, octets("34750f98bd59fcfc")[..]);

    let (account, id) = (AccountId([0xaa; 16]), MessageId([0xbb; 16]));
    let envelope =
        Envelope { profile: Profile::Pgp1, account, id, content: &[0x11; 32], key: &[0x22; 32], fields: &[0x33; 32] };
    let transcript = envelope.transcript(kid);
    let by_table = [
        &b"sealed-mail/1 envelope"[..],
        &[0, 1, 0, 0, 0, 16],
        &[0xaa; 16],
        &[0, 0, 0, 16],
        &[0xbb; 16],
        &[0, 0, 0, 32],
        &[0x11; 32],
        &[0, 0, 0, 32],
        &[0x22; 32],
        &[0, 0, 0, 32],
        &[0x33; 32],
        &[0, 0, 0, 8],
        &kid.0,
    ];
    assert_eq!(transcript.octets(), by_table.concat());
    assert_eq!(transcript.octets().len(), 184);
    stated("fd4b5c8850125c42494ada98fa587b4427d7ca957beedbfd5feb8fb7dad6ea05");
    assert_eq!(sha256(transcript.octets()), hash("fd4b5c8850125c42494ada98fa587b4427d7ca957beedbfd5feb8fb7dad6ea05"));
    let signature = [
        "92a996c5c5de3e85c63e48bb0d00e9cbddba2863f603e5272e263513746b1754",
        "37e7716df91988bb96a31ff08474586d7e8ea562050abff5a6eb02b0d66f9101",
    ];
    signature.iter().for_each(|half| stated(half));
    assert_eq!(sealer.sign(&transcript), octets(&signature.concat())[..]);

    let origin = Origin { account, id, length: 463, hash: [0x44; 32], time: 1_795_424_400, sequence: 7 };
    let transcript = origin.transcript(kid);
    assert_eq!(transcript.octets().len(), 133);
    stated("7b0bc6776a088509dc6ad2265af24b4f6f251f71cfe3f4a7fc7fd18b94970bb4");
    assert_eq!(sha256(transcript.octets()), hash("7b0bc6776a088509dc6ad2265af24b4f6f251f71cfe3f4a7fc7fd18b94970bb4"));

    let id_of_place = MessageId::of_place(&[7; 32], b"INBOX", &[0, 0, 0, 3, 0, 0, 0, 9], &[0x44; 32]);
    stated("fca93f74518f168ed8d5512c0017d7d4");
    assert_eq!(id_of_place.0, octets("fca93f74518f168ed8d5512c0017d7d4")[..]);

    // HK, through a blob that is encrypted here under the stated key: only if the same key is derived does it open.
    let stated_key = "592e90ba3990c8f5aec5b6558b1f946cb73913e6293249724e365d916f8e5b3c";
    stated(stated_key);
    let index = Index { length: 463, hash: [0x44; 32], fields: b"Subject: x\r\n".to_vec(), ..Index::default() };
    let encoded = index.write();
    let mut plain = [&(encoded.len() as u32).to_be_bytes()[..], &encoded].concat();
    plain.resize(plain.len().next_multiple_of(256), 0);
    let associated = [&b"sealed-mail/1 fields\0\x01"[..], &id.0, &[0x11; 32]].concat();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &octets(stated_key)).unwrap());
    cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(associated), &mut plain).unwrap();
    let blob = [&[1, 1][..], &[6; 32], &plain].concat();
    let session = SessionKey::from_octets(&[5; 32]).unwrap();
    assert_eq!(field_blob::open(&blob, &session, Profile::Pgp1, id, &[0x11; 32]), Ok(index));
    assert!(field_blob::open(&blob, &session, Profile::Pgp2, id, &[0x11; 32]).is_err());
    assert!(field_blob::open(&blob, &session, Profile::Pgp1, id, &[0x12; 32]).is_err());
}

#[test]
fn padme_as_in_the_specification() {
    assert_eq!(sealed::payload::bucket(1363), 1408);
    assert_eq!(sealed::payload::bucket(3), 1024);
}
