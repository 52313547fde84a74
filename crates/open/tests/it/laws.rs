//! The laws of sealing, for arbitrary octets: what was sealed opens to exactly what it was; the list view alone says the
//! same as the whole; a sealed message is recognised; nothing outside is anything but short ASCII lines.
use crate::household::Household;
use open::Algorithm;
use proptest::{collection::vec, prelude::*};
use seal::{Compression, Padding, Policy};
use sealed::{
    identity::Profile,
    recognise::{What, recognise},
};

fn check(household: &Household, original: &[u8]) {
    let sealed = household.seal(original);
    assert_eq!(household.open(&sealed).unwrap(), original);

    let index = household.headers(&sealed).unwrap();
    let mut message = sealed.as_slice();
    let opened = open::open(&mut message, std::io::Cursor::new(Vec::new()), &household.keys, &household.trust).unwrap();
    assert_eq!(index, opened.index);
    assert_eq!(index.length, original.len() as u64);

    let what = recognise(&mut sealed.as_slice(), &household.trust).unwrap();
    assert!(matches!(what, What::Sealed(_)), "{what:?}");
    assert!(sealed.is_ascii());
    for line in sealed.split_inclusive(|&octet| octet == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 1000);
        assert!(!line[..line.len() - 2].iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
    }
    for field in mail::HeaderSection::parse(&sealed).fields() {
        assert!(field.name().len() + 2 + field.unfolded().len() <= 998);
    }
}

/// Octets that look like mail in the places where it matters.
fn mailish() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\0".to_vec()),
        Just(b": ".to_vec()),
        Just(b"From: ".to_vec()),
        Just(b"Subject: ".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()),
        Just(b"--b\r\n".to_vec()),
        Just(b"--=_sealed_".to_vec()),
        Just(b"Sealed-Mail: v=1\r\n".to_vec()),
        Just(b"Sealed-Origin: v=1\r\n".to_vec()),
        Just(b"-----BEGIN PGP MESSAGE-----\r\n".to_vec()),
        Just("ä <ü@ö.test>, ".as_bytes().to_vec()),
        vec(any::<u8>(), 0..40),
    ];
    vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn open_undoes_seal(original in mailish()) {
        thread_local!(static HOUSEHOLD: Household = Household::new());
        HOUSEHOLD.with(|household| check(household, &original));
    }

    #[test]
    fn open_undoes_seal_in_smime(original in mailish()) {
        thread_local!(static HOUSEHOLDS: [Household; 2] = SMIME.map(|profile| Household::smime(profile, 0)));
        HOUSEHOLDS.with(|households| households.iter().for_each(|household| check(household, &original)));
    }
}

const SMIME: [Profile; 2] = [Profile::Cms1, Profile::Cms2];

#[test]
fn open_undoes_seal_at_every_small_length() {
    for household in [Household::new()].into_iter().chain(SMIME.map(|profile| Household::smime(profile, 0))) {
        for length in 0..80 {
            let original: Vec<u8> = (0..length).map(|octet| (octet * 37) as u8).collect();
            check(&household, &original);
        }
    }
}

#[test]
fn every_profile_policy_padding_and_compression() {
    let text = "From: Eve <eve@example.com>\r\nTo: alice@example.org\r\nSubject: the secret plan\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\n";
    let large: Vec<u8> =
        [text.as_bytes(), "line of text that repeats, and some 8bit äöü\r\n".repeat(9000).as_bytes()].concat();
    let noise: Vec<u8> = [
        text.as_bytes(),
        &(0..400_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>(),
    ]
    .concat();
    let openpgp = [Algorithm::V4Curve25519, Algorithm::V6X25519].map(|algorithm| move || Household::of(algorithm));
    let smime = SMIME.map(|profile| move || Household::smime(profile, 0));
    let openpgp = openpgp.iter().map(|new| new as &dyn Fn() -> Household);
    for new in openpgp.chain(smime.iter().map(|new| new as &dyn Fn() -> Household)) {
        for policy in [Policy::Open, Policy::Baseline, Policy::Shy, Policy::Hidden] {
            for compression in [Compression::Auto, Compression::Never] {
                for padding in [Padding::Bucket, Padding::None] {
                    let household = Household { policy, compression, padding, ..new() };
                    check(&household, text.as_bytes());
                    check(&household, &large);
                    check(&household, &noise);
                    let sealed = household.seal(text.as_bytes());
                    let shown = String::from_utf8(sealed).unwrap().contains("secret plan");
                    assert_eq!(shown, policy == Policy::Open);
                }
            }
        }
    }
}

#[test]
fn sizes_are_hidden_in_buckets_and_compression_pays() {
    for household in [Household::new(), Household::smime(Profile::Cms1, 0), Household::smime(Profile::Cms2, 0)] {
        let of = |length: usize| household.seal(&vec![b'x'; length]).len();
        let sizes: std::collections::BTreeSet<usize> = (20..300).map(of).collect();
        // What differs is the unpadded length of the list view's own fields, never the body.
        assert!(sizes.len() <= 3, "{sizes:?}");
    }
    let household = Household::new();
    let base64: String = (0..1_500_000_u64)
        .map(|number| {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            if number % 77 == 76 {
                '\n'
            } else {
                char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(mixed % 64) as usize])
            }
        })
        .collect();
    let original = format!("From: a@b\nSubject: x\n\n{base64}");
    let sealed = household.seal(original.as_bytes());
    assert!(sealed.len() as f64 <= 1.08 * original.len() as f64, "{} {}", sealed.len(), original.len());
    let bomb = vec![b'a'; 3_000_000];
    assert!(household.seal(&bomb).len() > bomb.len(), "what shrinks too much is stored");
}

#[test]
fn the_recovery_key_opens_everything_too() {
    let mut household = Household::new();
    let sealed = household.seal(b"From: a@b\r\n\r\nx");
    household.keys = open::Keyring::default();
    household.keys.add(household.recovery.unlock(None).unwrap());
    assert_eq!(household.open(&sealed).unwrap(), b"From: a@b\r\n\r\nx");
}
