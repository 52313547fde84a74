//! `inspect`: what a message is, decided by parsing it. No secret is needed; with a home, its pinned sealers are told from
//! unknown ones.

use std::io::{self, BufReader};

use sealed::{
    field::encode_id,
    recognise::{EndToEnd, ForgedLabel, Sealed, What, recognise},
};
use serde::Serialize;

use crate::{
    command::{print, print_json},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// Looks at the message on stdin.
pub fn run(home: &Home, json: bool) -> Result<(), Failure> {
    // Without a home nobody is pinned, and that is an answer too.
    let trust = home.trust()?;
    let stdin = io::stdin().lock();
    let what = recognise(&mut BufReader::with_capacity(64 * 1024, stdin), &trust);
    let verdict = Verdict::of(&what.doing(Exit::Temporary, "cannot read standard input")?);
    if json { print_json(&verdict) } else { print(&verdict.text()) }
}

#[derive(Serialize)]
struct Verdict {
    what: &'static str,
    explanation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    profile: &'static str,
    id: String,
    sealer: String,
    recipients: usize,
    encrypted_octets: u64,
}

impl Verdict {
    fn of(what: &What) -> Self {
        let (word, explanation, sealed) = match what {
            What::Sealed(sealed) => {
                ("sealed", "sealed by a sealer that is trusted here, whole and unchanged", Some(sealed))
            }
            What::SealedByUnknown(sealed) => (
                "sealed-by-unknown",
                "well-formed, but by a sealer that is not trusted here: nothing about it is proved",
                Some(sealed),
            ),
            What::EndToEnd(EndToEnd::OpenPgp) => {
                ("end-to-end-openpgp", "encrypted by its author with OpenPGP; its Subject is readable", None)
            }
            What::EndToEnd(EndToEnd::Cms) => {
                ("end-to-end-smime", "encrypted by its author with S/MIME; its Subject is readable", None)
            }
            What::Plain(None) => ("plain", "not encrypted", None),
            What::Plain(Some(ForgedLabel::SealedFields)) => (
                "forged-sealed-fields",
                "not proved to be what it claims: its Sealed-* fields were changed, or are of another message or for another account",
                None,
            ),
            What::Plain(Some(ForgedLabel::MultipartEncrypted)) => (
                "forged-multipart-encrypted",
                "not encrypted as it claims: multipart/encrypted around something else",
                None,
            ),
            What::Plain(Some(ForgedLabel::Smime)) => {
                ("forged-smime", "not encrypted as it claims: an S/MIME label around something else", None)
            }
        };
        Self { what: word, explanation, sealed: sealed.map(Details::of) }
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.what, self.explanation);
        if let Some(sealed) = &self.sealed {
            let Details { profile, id, sealer, recipients, encrypted_octets } = sealed;
            text.push_str(&format!(
                "profile {profile}, message {id}, sealer {sealer}, {recipients} recipient keys, {encrypted_octets} octets encrypted\n"
            ));
        }
        text
    }
}

impl Details {
    fn of(sealed: &Sealed) -> Self {
        Self {
            profile: sealed.mark.profile.word(),
            id: encode_id(&sealed.mark.id.0),
            sealer: encode_id(&sealed.mark.sealer.0),
            recipients: sealed.wrapped_keys,
            encrypted_octets: sealed.content_length,
        }
    }
}
