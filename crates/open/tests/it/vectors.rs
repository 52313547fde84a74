//! Sealed mail made by another implementation of the format, with keys that are not ours. They lie beside the repository and
//! are not part of it: without them this says so and does nothing.

use std::path::{Path, PathBuf};

use open::{Keyring, OpenError, SecretKey, UnwrapError};
use sealed::{
    identity::{AccountId, sha256},
    recognise::{What, recognise},
    signature::{SealerKey, Trust},
};

use crate::household::open_with;

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !folder.is_dir() {
        println!("skipped: ../shared is not here");
        return None;
    }
    Some(folder)
}

fn octets(hexadecimal: &serde_json::Value) -> Vec<u8> {
    let digits = hexadecimal.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn vectors_of_another_implementation_open() {
    let Some(folder) = folder() else { return };
    let read = |name: String| std::fs::read(folder.join(&name)).unwrap();
    let values: serde_json::Value = serde_json::from_slice(&read("vectors.json".into())).unwrap();
    let account = AccountId(octets(&values["account"]).try_into().unwrap());
    let sealer =
        |name: &str| SealerKey::from_seed(&octets(&values[name]).try_into().unwrap()).unwrap().public().clone();
    let [first, second] = ["sealer_1_ed25519_seed", "sealer_2_ed25519_seed"].map(sealer);
    let trust = Trust { accounts: vec![account], sealers: vec![first.clone(), second.clone()] };
    let keys = |name: &str| {
        let key = SecretKey::parse(&read(format!("TEST-ONLY-{name}.sec.asc"))).unwrap();
        let mut keys = Keyring::default();
        keys.add(key.unlock(None).unwrap());
        keys
    };
    let opened_by = [("sealed", vec!["alice", "bob"]), ("rewrapped", vec!["carol"])];
    for name in ["plain", "weird"] {
        let original = read(format!("{name}.orig.eml"));
        for (state, openers) in &opened_by {
            let sealed = read(format!("{name}.{state}.eml"));
            for person in ["alice", "bob", "carol"] {
                let keys = keys(person);
                let (opened, listed) = (open_with(&sealed, &keys, &trust), open::headers(&sealed, &keys, &trust));
                if !openers.contains(&person) {
                    // Whoever is not, or no longer, among the recipients.
                    assert!(matches!(opened, Err(OpenError::Unwrap(UnwrapError::NotForUs))), "{name} {state} {person}");
                    assert!(listed.is_err(), "{name} {state} {person}");
                    continue;
                }
                assert_eq!(opened.unwrap(), original, "{name} {state} {person}");
                let index = listed.unwrap();
                assert_eq!((index.length, index.hash), (original.len() as u64, sha256(&original)));
                let plain = octets(&values[name]["index_plaintext"]);
                let length = u32::from_be_bytes(plain[..4].try_into().unwrap()) as usize;
                assert_eq!(sealed::index::Index::parse(&plain[4..4 + length]).unwrap(), index);
                let subject = mail::HeaderSection::parse(&index.fields).first("Subject").map(|field| field.unfolded());
                let expected = mail::HeaderSection::parse(&original).first("Subject").map(|field| field.unfolded());
                assert_eq!(subject, expected);
            }
            let what = recognise(&mut sealed.as_slice(), &trust).unwrap();
            assert!(matches!(what, What::Sealed(_)), "{name} {state}: {what:?}");
            let nobody = recognise(&mut sealed.as_slice(), &Trust::default()).unwrap();
            assert!(matches!(nobody, What::SealedByUnknown(_)), "{name} {state}: {nobody:?}");
            // The second sealer alone: it signed the new envelope, the origin is still the first one's.
            let only =
                |sealer: &sealed::signature::SealerPublic| Trust { sealers: vec![sealer.clone()], ..trust.clone() };
            assert!(open_with(&sealed, &keys(openers[0]), &only(&second)).is_err(), "{name} {state}");
            let first_alone = open_with(&sealed, &keys(openers[0]), &only(&first));
            assert_eq!(first_alone.is_ok(), *state == "sealed", "{name} {state}");
        }
        let mark = |state: &str| {
            let sealed = read(format!("{name}.{state}.eml"));
            sealed::field::SealedFields::parse(&mail::HeaderSection::parse(&sealed)).unwrap()
        };
        let (before, after) = (mark("sealed"), mark("rewrapped"));
        assert_eq!(before.key, octets(&values[name]["K"]));
        assert_eq!(before.fields, octets(&values[name]["F"]));
        assert_eq!(before.mark.content_hash[..], octets(&values[name]["C_sha256"]));
        assert_eq!(before.mark.signature[..], octets(&values[name]["envelope_sig"]));
        assert_ne!(before.key, after.key);
        assert_eq!(
            (before.mark.id, before.fields, before.mark.content_hash),
            (after.mark.id, after.fields, after.mark.content_hash)
        );
    }
}
