//! What an owner hands to a sealer: one public file with the certificates and wishes (A2). Text in, checked enrolment out,
//! and back. It holds no secret, and a file with one is refused.

use std::str::FromStr;

use sealed::identity::{AccountId, Profile};

use crate::{
    certificate::{Certificate, CertificateError, ENROLMENT},
    cms_wrap::RsaPadding,
    policy::{Policy, UnknownWord},
    recipient::RecipientKey,
};

/// A checked enrolment.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Addresses of the owner.
    pub addresses: Vec<String>,
    /// What stays outside the encryption.
    pub policy: Policy,
    /// OpenPGP or S/MIME.
    pub scheme: Scheme,
    /// Programs that the owner reads with, by their names below.
    pub readers: Vec<String>,
    /// The mailbox certificate first, then the recovery certificate and any others: mail is sealed to all of them.
    pub certificates: Vec<Certificate>,
}

/// The kind of message that is made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// PGP/MIME.
    #[default]
    Pgp,
    /// S/MIME.
    Smime,
}

/// Why an enrolment cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// A certificate in it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A line that says something this version does not know.
    #[error("line {0} of the enrolment is not understood")]
    Line(usize),
    /// It asks for a kind of message that none of its certificates is for.
    #[error("the enrolment says `Scheme: {}`, and holds no certificate for it", .0.word())]
    NoneForScheme(Scheme),
    /// A file without the lines of an enrolment holds both kinds.
    #[error("OpenPGP and X.509 certificates stand in one file, and no line says which are meant")]
    Mixed,
}

const VERSION: &str = ENROLMENT;
const SCHEME: &str = "Scheme";
/// Programs that are known to read SEIPD v2 (RFC 9580); every other reader forces pgp1.
const READS_V2: [&str; 6] = ["sealpost", "sequoia", "openpgpjs", "rpgp", "deltachat", "proton"];
/// Programs that are known to read CMS with AES-GCM (RFC 5083); every other reader forces cms1.
const READS_GCM: [&str; 3] = ["sealpost", "openssl", "bouncycastle"];
/// Programs that do not read RSA-OAEP, or did not in a version that is still in use: gpgsm 2.2, Apple's, older NSS.
const NEEDS_PKCS1: [&str; 6] = ["apple-mail", "ios-mail", "gpgsm", "outlook", "thunderbird", "evolution"];

impl Enrolment {
    /// Reads an enrolment file, or a bare certificate file (which gets the defaults). `now`: Unix seconds.
    pub fn parse(octets: &[u8], now: u64) -> Result<Self, EnrolmentError> {
        let certificates = Certificate::parse_all(octets, now)?;
        let openpgp = certificates.iter().any(|certificate| certificate.scheme() == Scheme::Pgp);
        let x509 = certificates.iter().any(|certificate| certificate.scheme() == Scheme::Smime);
        let mut enrolment = Self {
            addresses: Vec::new(),
            policy: Policy::default(),
            scheme: if openpgp { Scheme::Pgp } else { Scheme::Smime },
            readers: Vec::new(),
            certificates,
        };
        let mut says_scheme = false;
        if let Some(text) = std::str::from_utf8(octets).ok().filter(|text| text.starts_with(VERSION)) {
            for (position, line) in text.lines().enumerate().take_while(|(_, line)| !line.trim().is_empty()) {
                enrolment.take_line(line).ok_or(EnrolmentError::Line(position + 1))?;
                says_scheme |= line.starts_with(SCHEME);
            }
        }
        if openpgp && x509 && !says_scheme {
            return Err(EnrolmentError::Mixed);
        }
        let scheme = enrolment.scheme;
        enrolment.of_scheme(scheme)
    }

    /// The same for mail of this kind; an error when none of the certificates is for it.
    pub fn of_scheme(self, scheme: Scheme) -> Result<Self, EnrolmentError> {
        let enrolment = Self { scheme, ..self };
        if enrolment.used().next().is_none() {
            return Err(EnrolmentError::NoneForScheme(scheme));
        }
        Ok(enrolment)
    }

    /// The public file.
    pub fn write(&self, armored: &str) -> String {
        let mut text = format!("{VERSION}: v=1\n");
        for address in &self.addresses {
            text.push_str(&format!("Address: {address}\n"));
        }
        text.push_str(&format!("Policy: {}\nScheme: {}\n", self.policy.word(), self.scheme.word()));
        for reader in &self.readers {
            text.push_str(&format!("Reader: {reader}\n"));
        }
        text.push('\n');
        text.push_str(armored);
        text
    }

    /// The account: derived from the first certificate.
    pub fn account(&self) -> Option<AccountId> {
        self.certificates.first().map(Certificate::account)
    }

    /// The certificates that mail is sealed to: those for the scheme.
    pub fn used(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().filter(|certificate| certificate.scheme() == self.scheme)
    }

    /// Their keys, with the RSA padding that the reader list asks for.
    pub fn recipients(&self) -> Vec<RecipientKey> {
        let old = self.readers.iter().any(|reader| is_among(reader, &NEEDS_PKCS1));
        let padding = if old { RsaPadding::Pkcs1 } else { RsaPadding::Oaep };
        self.used().map(|certificate| certificate.recipient.clone().padded(padding)).collect()
    }

    /// pgp2 only where every certificate and every program on the reader list is known to read it (format §3.1, D4); cms2
    /// where every program is: nothing in a certificate says so.
    pub fn profile(&self) -> Profile {
        let all_among =
            |known: &[&str]| !self.readers.is_empty() && self.readers.iter().all(|reader| is_among(reader, known));
        match self.scheme {
            Scheme::Pgp if all_among(&READS_V2) && self.used().all(|certificate| certificate.reads_v2) => Profile::Pgp2,
            Scheme::Pgp => Profile::Pgp1,
            Scheme::Smime if all_among(&READS_GCM) => Profile::Cms2,
            Scheme::Smime => Profile::Cms1,
        }
    }

    /// The earliest day on which one of the certificates stops working, Unix seconds.
    pub fn expires(&self) -> Option<u64> {
        self.used().filter_map(|certificate| certificate.expires).min()
    }

    /// Unknown lines are ignored, unknown values of known lines are not.
    fn take_line(&mut self, line: &str) -> Option<()> {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.trim() {
            VERSION if value == "v=1" => {}
            VERSION => return None,
            "Address" => self.addresses.push(value.to_owned()),
            "Policy" => self.policy = value.parse().ok()?,
            SCHEME => self.scheme = value.parse().ok()?,
            "Reader" => self.readers.push(value.to_owned()),
            _ => {}
        }
        Some(())
    }
}

fn is_among(reader: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(reader))
}

impl Certificate {
    /// The kind of message that can be sealed to it.
    pub fn scheme(&self) -> Scheme {
        match self.recipient {
            RecipientKey::OpenPgp(_) => Scheme::Pgp,
            RecipientKey::X509(_) => Scheme::Smime,
        }
    }
}

impl Scheme {
    /// As it is written in configuration and enrolment.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pgp => "pgp",
            Self::Smime => "smime",
        }
    }
}

impl FromStr for Scheme {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "pgp" => Ok(Self::Pgp),
            "smime" => Ok(Self::Smime),
            _ => Err(UnknownWord("pgp, smime")),
        }
    }
}
