//! What an owner hands to a sealer: one public file with the certificates and wishes (A2). Text in, checked enrolment out,
//! and back. It holds no secret, and a file with one is refused.

use std::str::FromStr;

use sealed::identity::{AccountId, Profile};

use crate::{
    certificate::{Certificate, CertificateError},
    policy::{Policy, UnknownWord},
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
}

const VERSION: &str = "Sealed-Enrolment";
/// Programs that are known to read SEIPD v2 (RFC 9580); every other reader forces pgp1.
const READS_V2: [&str; 6] = ["sealpost", "sequoia", "openpgpjs", "rpgp", "deltachat", "proton"];

impl Enrolment {
    /// Reads an enrolment file, or a bare certificate file (which gets the defaults). `now`: Unix seconds.
    pub fn parse(octets: &[u8], now: u64) -> Result<Self, EnrolmentError> {
        let mut enrolment = Self {
            addresses: Vec::new(),
            policy: Policy::default(),
            scheme: Scheme::default(),
            readers: Vec::new(),
            certificates: Certificate::parse_all(octets, now)?,
        };
        if let Some(text) = std::str::from_utf8(octets).ok().filter(|text| text.starts_with(VERSION)) {
            for (position, line) in text.lines().enumerate().take_while(|(_, line)| !line.trim().is_empty()) {
                enrolment.take_line(line).ok_or(EnrolmentError::Line(position + 1))?;
            }
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

    /// pgp2 only where every certificate and every program on the reader list is known to read it (format §3.1, D4).
    pub fn profile(&self) -> Profile {
        let programs = !self.readers.is_empty()
            && self.readers.iter().all(|reader| READS_V2.contains(&reader.to_ascii_lowercase().as_str()));
        let certificates = self.certificates.iter().all(|certificate| certificate.reads_v2);
        if programs && certificates { Profile::Pgp2 } else { Profile::Pgp1 }
    }

    /// The earliest day on which one of the certificates stops working, Unix seconds.
    pub fn expires(&self) -> Option<u64> {
        self.certificates.iter().filter_map(|certificate| certificate.expires).min()
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
            "Scheme" => self.scheme = value.parse().ok()?,
            "Reader" => self.readers.push(value.to_owned()),
            _ => {}
        }
        Some(())
    }
}

impl Scheme {
    /// As it is written in configuration and enrolment.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pgp => "pgp",
        }
    }
}

impl FromStr for Scheme {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "pgp" => Ok(Self::Pgp),
            _ => Err(UnknownWord("pgp")),
        }
    }
}
