//! What is fuzzed: each function takes arbitrary octets and panics when a law is broken. The fuzz targets call them, and so
//! does the smoke test of the `open` crate, with a few thousand mutated inputs on the stable toolchain.

use std::{
    io::{BufReader, Cursor, Read},
    sync::LazyLock,
};

use mail::HeaderSection;
use open::{AnySecretKey, Keyring, SecretKey, X509SecretKey};
use sealed::{
    armor::{ArmorScanner, ArmorWriter, Checksum, Surroundings},
    cms,
    cms_content::CmsReader,
    content::ContentReader,
    field::SealedFields,
    identity::{AccountId, CmsCipher, Profile, Seipd},
    index::Index,
    literal::LiteralReader,
    original::recover,
    outer::{Outer, PacketSplitter},
    packet::{Length, PacketHeader, join_wrapped_keys, split_wrapped_keys},
    payload::Head,
    recognise::{What, recognise},
    session::SessionKey,
    signature::{SealerKey, Trust},
    smime,
    tag_list::{self, TagList},
};

/// Takes anything; panics when something that always holds does not.
pub type Law = fn(&[u8]);

/// All of them, by the names of the fuzz targets.
pub const ALL: [(&str, Law); 14] = [
    ("tag_list", tag_list),
    ("header_fields", header_fields),
    ("packets", packets),
    ("index", index),
    ("armor", armor),
    ("content", content),
    ("literal", literal),
    ("payload", payload),
    ("original", original),
    ("recognise", recognised),
    ("outer", outer),
    ("open_mutated", open_mutated),
    ("seal_open", seal_open),
    ("keys", keys),
];

macro_rules! golden {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../testdata/sealed/v1/", $name, ".sealed.eml")),
            include_bytes!(concat!("../../testdata/sealed/v1/", $name, ".original.eml")),
        )
    };
}

/// The golden messages that the keys below open, and what they open to: there are no others of this sealer and owner.
pub const GOLDEN: [(&[u8], &[u8]); 9] = [
    golden!("pgp1-plain"),
    golden!("pgp1-eight-bit"),
    golden!("pgp1-broken"),
    golden!("pgp1-split-rsa"),
    golden!("pgp1-compressed"),
    golden!("cms1-plain"),
    golden!("cms1-old-padding"),
    golden!("cms1-curves"),
    golden!("cms2-broken"),
];
/// Their mailbox keys.
pub const KEY: &[u8] = include_bytes!("../../testdata/sealed/v1/TEST-ONLY-mailbox.sec.asc");
/// And those of S/MIME.
pub const SMIME_KEYS: [&[u8]; 2] = [
    include_bytes!("../../testdata/sealed/v1/TEST-ONLY-smime-rsa.sec.pem"),
    include_bytes!("../../testdata/sealed/v1/TEST-ONLY-smime-p256.sec.pem"),
];

struct Owner {
    keys: Keyring,
    trust: Trust,
    indexes: Vec<Index>,
}

static OWNER: LazyLock<Owner> = LazyLock::new(|| {
    let mut keys = Keyring::default();
    let mut accounts = Vec::new();
    for octets in std::iter::once(KEY).chain(SMIME_KEYS) {
        let key = AnySecretKey::parse(octets).expect("a golden key");
        keys.add(key.unlock(None).expect("the golden keys have no passphrase"));
        accounts.push(key.account().expect("a golden key has a certificate"));
    }
    let sealer = SealerKey::from_seed(&[1; 32]).expect("any 32 octets are a seed");
    let trust = Trust { accounts, sealers: vec![sealer.public().clone()] };
    let index = |(sealed, _): &(&[u8], &[u8])| open::headers(sealed, &keys, &trust).expect("a golden message");
    let indexes = GOLDEN.iter().map(index).collect();
    Owner { keys, trust, indexes }
});

fn session() -> SessionKey {
    SessionKey::from_octets(&[5; 32]).expect("32 octets are a session key")
}

/// A tag-list that was read is written and read as the same.
pub fn tag_list(octets: &[u8]) {
    let Some(list) = TagList::parse(octets) else { return };
    let names = ["v", "n", "d", "p", "id", "bh", "s", "sig", "e", "a"];
    let found: Vec<(&str, String)> = names
        .iter()
        .filter_map(|name| Some((*name, String::from_utf8(list.get(name)?.to_vec()).ok()?)))
        .filter(|(_, value)| value.is_ascii() && !value.contains('\0'))
        .collect();
    if found.is_empty() {
        return;
    }
    let tags: Vec<(&str, &str)> = found.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut field = Vec::new();
    tag_list::write(&mut field, "Sealed-Mail", &tags);
    let value = field.strip_prefix(b"Sealed-Mail:").expect("the name that was written");
    let again = TagList::parse(value).expect("what was written is a list");
    for (name, value) in tags {
        assert_eq!(again.get(name), Some(value.as_bytes()));
    }
}

/// The three fields: read, written, read again.
pub fn header_fields(octets: &[u8]) {
    let Ok(fields) = SealedFields::parse(&HeaderSection::parse(octets)) else { return };
    let mut out = Vec::new();
    if fields.write(&mut out).is_ok() {
        assert_eq!(SealedFields::parse(&HeaderSection::parse(&out)), Ok(fields));
    }
}

/// Packet headers and key material.
pub fn packets(octets: &[u8]) {
    if let Ok(header) = PacketHeader::parse(octets) {
        assert!(header.header <= octets.len() && header.header <= 6);
        assert!(!matches!(header.body, Length::Definite(body) if body > u64::from(u32::MAX)));
    }
    if let Some(split) = split_wrapped_keys(octets) {
        assert_eq!(split.iter().flat_map(|packet| packet.whole.to_vec()).collect::<Vec<u8>>(), octets);
        let bodies: Vec<Vec<u8>> = split.iter().map(|packet| packet.body.to_vec()).collect();
        let joined = join_wrapped_keys(&bodies);
        let again = split_wrapped_keys(&joined).expect("what was joined");
        assert!(again.iter().map(|packet| packet.body).eq(bodies.iter().map(Vec::as_slice)));
    }
    let taken = |step: usize| {
        let mut splitter = PacketSplitter::new();
        let mut content = Vec::new();
        for piece in octets.chunks(step) {
            splitter.take(piece, &mut content).expect("memory");
        }
        splitter.finish().map(|parts| (parts.key, parts.content_hash, parts.content_length, parts.marker, content))
    };
    assert_eq!(taken(1), taken(octets.len().max(1)));
}

/// INDEX.
pub fn index(octets: &[u8]) {
    if let Ok(index) = Index::parse(octets) {
        assert_eq!(Index::parse(&index.write()), Ok(index));
    }
}

fn scanned(text: &[u8], step: usize) -> Option<(Surroundings, Vec<u8>)> {
    let mut octets = Vec::new();
    let mut sink = |piece: &[u8]| {
        octets.extend_from_slice(piece);
        Ok(())
    };
    let mut scanner = ArmorScanner::new();
    for piece in text.chunks(step) {
        scanner.feed(piece, &mut sink).ok()?;
    }
    let surroundings = scanner.finish(&mut sink).ok()?;
    Some((surroundings, octets))
}

/// Armor: pieces decide nothing, and what was decoded is encoded and decoded to the same.
pub fn armor(octets: &[u8]) {
    let whole = scanned(octets, octets.len().max(1));
    assert_eq!(scanned(octets, 7), whole);
    let Some((_, decoded)) = whole else { return };
    let mut writer = ArmorWriter::begin(Vec::new(), &decoded, Checksum::Crc24).expect("memory");
    writer.write(&decoded).expect("memory");
    let text = writer.finish().expect("memory");
    let (around, again) = scanned(&text, 1000).expect("what was written");
    assert_eq!((around, again), (Surroundings::default(), [decoded.as_slice(), &decoded].concat()));
}

/// Ciphertext that nobody encrypted never verifies.
pub fn content(octets: &[u8]) {
    for version in [Seipd::V1, Seipd::V2] {
        let Ok(mut reader) = ContentReader::begin(octets, version, &session()) else { continue };
        assert!(reader.read_to_end(&mut Vec::new()).is_err(), "a forgery under a key that nobody used");
    }
    if let Ok(mut reader) = CmsReader::begin(octets, CmsCipher::Gcm, &session()) {
        assert!(reader.read_to_end(&mut Vec::new()).is_err(), "a forgery under a key that nobody used");
    }
    // CBC proves nothing by itself: what comes out must not be taken for anything, see `original`.
    if let Ok(mut reader) = CmsReader::begin(octets, CmsCipher::Cbc, &session()) {
        let _ = reader.read_to_end(&mut Vec::new());
    }
}

/// Plaintext packets.
pub fn literal(octets: &[u8]) {
    const BOUND: u64 = 64 * 1024 * 1024;
    let Ok(reader) = LiteralReader::begin(octets) else { return };
    let announced = reader.left();
    let mut read = Vec::new();
    if reader.take(BOUND).read_to_end(&mut read).is_ok() && (read.len() as u64) < BOUND {
        assert_eq!(read.len() as u64, announced);
    }
}

/// The head of the payload.
pub fn payload(octets: &[u8]) {
    let mut from = octets;
    let Ok(head) = Head::read(&mut from) else { return };
    assert!(octets.starts_with(&head.header) && head.header.ends_with(b"\r\n\r\n"));
    let mut slowly = BufReader::with_capacity(1, octets);
    let again = Head::read(&mut slowly).expect("the same octets");
    assert_eq!((again.header, again.origin), (head.header.clone(), head.origin.clone()));
    let _ = head.read_tail(&mut from);
}

/// Content to original, under a key that nobody used.
pub fn original(octets: &[u8]) {
    for profile in Profile::ALL {
        assert!(recover(octets, profile, &session(), &mut Vec::new()).is_err());
    }
}

/// The verdict: pieces decide nothing, and nothing but the golden messages is sealed by their sealer.
pub fn recognised(octets: &[u8]) {
    let trust = &OWNER.trust;
    let what = recognise(&mut &*octets, trust).expect("memory");
    assert_eq!(recognise(&mut BufReader::with_capacity(3, octets), trust).expect("memory"), what);
    if let What::Sealed(_) = what {
        let opened = opened(octets).expect("what counts as sealed opens");
        assert!(is_golden(&opened));
    }
}

/// Taking a message apart: pieces decide nothing.
pub fn outer(octets: &[u8]) {
    let read = |from: &mut dyn std::io::BufRead| {
        let mut from = from;
        let mut content = Vec::new();
        let outer = Outer::read(&mut from, &mut content).ok()?;
        assert_eq!(content.len() as u64, outer.content_length);
        Some((outer.fields, outer.content_hash, content))
    };
    let whole = read(&mut &*octets);
    assert_eq!(read(&mut BufReader::with_capacity(5, octets)), whole);
}

fn opened(octets: &[u8]) -> Option<Vec<u8>> {
    let mut message = octets;
    let opened = open::open(&mut message, Cursor::new(Vec::new()), &OWNER.keys, &OWNER.trust).ok()?;
    let mut out = Vec::new();
    opened.write(&mut out).expect("what was verified is written");
    Some(out)
}

fn is_golden(original: &[u8]) -> bool {
    GOLDEN.iter().any(|(_, known)| *known == original)
}

/// Whatever was done to a sealed message: it opens to an original that was sealed, or not at all.
pub fn open_mutated(octets: &[u8]) {
    if let Some(out) = opened(octets) {
        assert!(is_golden(&out));
    }
    if let Ok(index) = open::headers(octets, &OWNER.keys, &OWNER.trust) {
        assert!(OWNER.indexes.contains(&index));
    }
}

/// open(seal(x)) == x.
pub fn seal_open(octets: &[u8]) {
    struct Making {
        account: AccountId,
        recipients: Vec<seal::RecipientKey>,
        sealer: SealerKey,
    }
    static MAKING: LazyLock<Making> = LazyLock::new(|| {
        // 2026-11-23: the golden key has no end.
        let certificate = SecretKey::parse(KEY).expect("the golden key").certificate(1_795_459_200);
        let certificate = certificate.expect("the golden certificate");
        Making {
            account: certificate.account(),
            recipients: vec![certificate.recipient],
            sealer: SealerKey::from_seed(&[1; 32]).expect("any 32 octets are a seed"),
        }
    });
    let policies = [seal::Policy::Open, seal::Policy::Baseline, seal::Policy::Shy, seal::Policy::Hidden];
    let settings = seal::Settings {
        account: MAKING.account,
        recipients: &MAKING.recipients,
        sealer: &MAKING.sealer,
        profile: Profile::Pgp1,
        policy: policies[octets.len() % policies.len()],
        outer_id: seal::OuterId::Kept,
        outer_from: None,
        compression: seal::Compression::Auto,
        padding: seal::Padding::Bucket,
        id: seal::NewId::Random,
        sequence: 0,
        time: 1_795_459_200,
        way: sealed::index::Way::Client,
        place: seal::Place::default(),
    };
    let mut out = Vec::new();
    seal::seal(&mut Cursor::new(octets), || Ok(Cursor::new(Vec::new())), &mut out, &settings)
        .expect("anything can be sealed");
    assert_eq!(opened(&out).expect("what was sealed opens"), octets);
    assert!(matches!(recognise(&mut out.as_slice(), &OWNER.trust), Ok(What::Sealed(_))));
}

/// Files that owners and admins hand in: certificates, enrolments, secret keys.
pub fn keys(octets: &[u8]) {
    let _ = seal::Certificate::parse_all(octets, 1_795_459_200);
    let _ = seal::Enrolment::parse(octets, 1_795_459_200);
    if let Ok(key) = AnySecretKey::parse(octets)
        && !key.is_locked()
    {
        let _ = key.unlock(None);
    }
    let _ = X509SecretKey::is_p12(octets);
    let _ = (cms::recipients(octets), cms::is_enveloped(octets), smime::begins_enveloped(octets));
}
