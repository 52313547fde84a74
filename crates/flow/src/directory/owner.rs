//! An owner, ready to be sealed to.
//!
//! In: an enrolment or a certificate, as octets. Out: keys, or why there are none. Judged by the time of the message, not of the import: a key that
//! expires stops being used at that moment.

use std::fmt::Write;

use seal::RecipientKey;
use seal::{CertificateError, Enrolment, EnrolmentError};
use sealed::identity::AccountId;

/// An owner.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Whose mail it is.
    pub account: AccountId,
    /// To what it is sealed.
    pub recipients: Vec<RecipientKey>,
    /// And how.
    pub enrolment: Enrolment,
    /// When the first of the keys expires, Unix seconds.
    pub expires: Option<u64>,
}

/// Why mail cannot be sealed to what the directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A key has expired.
    #[error("the key has expired")]
    Expired,
    /// The time of a key has not begun.
    #[error("the key is not valid yet")]
    NotYet,
    /// A key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// A key is too weak, of an unsupported kind, or cannot encrypt.
    #[error("the key is too weak, of an unsupported kind, or cannot encrypt")]
    Unfit,
    /// It is no certificate or enrolment, or damaged.
    #[error("the entry cannot be read")]
    Unreadable,
    /// It holds secret keys, which have no place here.
    #[error("the entry holds a secret key")]
    Secret,
    /// An alias leads nowhere, or in a circle.
    #[error("the alias leads nowhere")]
    Alias,
}

impl Owner {
    /// Reads an entry. `now`: Unix seconds.
    pub fn parse(octets: &[u8], now: u64) -> Result<Owner, Unusable> {
        let enrolment = Enrolment::parse(octets, now).map_err(|error| Unusable::from(&error))?;
        let account = enrolment.account().ok_or(Unusable::Unreadable)?;
        let recipients = enrolment.recipients();
        Ok(Owner { account, recipients, expires: enrolment.expires(), enrolment })
    }

    /// Fingerprints of the keys, in hexadecimal, for people to compare.
    pub fn fingerprints(&self) -> Vec<String> {
        let hexadecimal = |octets: &[u8]| {
            octets.iter().fold(String::new(), |mut text, octet| {
                let _ = write!(text, "{octet:02X}");
                text
            })
        };
        self.enrolment.used().map(|certificate| hexadecimal(&certificate.fingerprint)).collect()
    }

    pub(crate) fn is_current(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl From<&EnrolmentError> for Unusable {
    fn from(error: &EnrolmentError) -> Unusable {
        match error {
            EnrolmentError::Line(_) | EnrolmentError::NoneForScheme(_) | EnrolmentError::Mixed => Unusable::Unreadable,
            EnrolmentError::Certificate(error) => match error {
                CertificateError::Expired(..) => Unusable::Expired,
                CertificateError::Revoked(_) => Unusable::Revoked,
                CertificateError::Secret => Unusable::Secret,
                CertificateError::NotYet(..) => Unusable::NotYet,
                CertificateError::SignOnly(_) | CertificateError::TooWeak(..) | CertificateError::Unsupported(..) => {
                    Unusable::Unfit
                }
                CertificateError::Unparsable | CertificateError::Unsigned(_) => Unusable::Unreadable,
            },
        }
    }
}
