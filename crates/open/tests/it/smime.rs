//! S/MIME: our mail in OpenSSL and gpgsm, their keys in ours, and every law that holds for PGP/MIME. What they decrypt is cut by
//! its boundaries alone, as a person without this program would do it (format §4.9), and must hold the original.

use std::{path::Path, process::Command};

use open::{Keyring, X509SecretKey};
use seal::Enrolment;
use sealed::{identity::Profile, signature::Trust};

use crate::{
    household::{Household, now},
    programs::{cut, installed, output},
};

const ADDRESS: &str = "alice@example.org";
const MAIL: &[u8] =
    b"From: Eve <eve@example.com>\nTo: alice@example.org\nSubject: numbers\n\nLF, \0, \xff and CR:\r\rend";

/// An owner with these keys, the first one in the keyring; what an enrolment of them with these readers says.
pub(crate) fn owner(keys: &[&X509SecretKey], readers: &[&str]) -> Household {
    let mut enrolment = String::from("Sealed-Enrolment: v=1\nScheme: smime\n");
    for reader in readers {
        enrolment.push_str(&format!("Reader: {reader}\n"));
    }
    enrolment.push('\n');
    for key in keys {
        enrolment.push_str(&key.certificate_armored().unwrap());
    }
    let enrolment = Enrolment::parse(enrolment.as_bytes(), now()).unwrap();
    let mut household = Household::new();
    household.account = enrolment.account().unwrap();
    household.recipients = enrolment.recipients();
    household.profile = enrolment.profile();
    household.trust = Trust { accounts: vec![household.account], ..household.trust };
    household.keys = Keyring::default();
    household.keys.add(keys[0].unlock(None).unwrap());
    household
}

fn generate() -> X509SecretKey {
    X509SecretKey::generate(ADDRESS, now()).unwrap()
}

/// `openssl cms -decrypt` of a whole message.
fn openssl(folder: &Path, key: &X509SecretKey, message: &[u8]) -> Vec<u8> {
    std::fs::write(folder.join("key.pem"), key.armored().unwrap().as_bytes()).unwrap();
    let mut command = Command::new("openssl");
    command.args(["cms", "-decrypt", "-inkey", "key.pem", "-recip", "key.pem"]).current_dir(folder);
    output(&mut command, message)
}

#[test]
fn a_new_key_opens_here_and_in_openssl() {
    if !installed(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mailbox, recovery) = (generate(), generate());
    for (readers, profile) in [(&[][..], Profile::Cms1), (&["ios-mail"], Profile::Cms1), (&["openssl"], Profile::Cms2)]
    {
        let household = owner(&[&mailbox, &recovery], readers);
        assert_eq!(household.profile, profile);
        let sealed = household.seal(MAIL);
        assert_eq!(household.open(&sealed).unwrap(), MAIL);
        assert_eq!(household.headers(&sealed).unwrap().length, MAIL.len() as u64);
        for key in [&mailbox, &recovery] {
            assert_eq!(cut(&openssl(folder.path(), key, &sealed)), MAIL, "{readers:?}");
        }
    }
}
