//! An owner's certificate, checked: whose it is, until when, and the one key to wrap session keys to; or a named reason why
//! there is none. What kind it is, OpenPGP or X.509, only the modules above know that read it.

use sealed::identity::AccountId;

use crate::recipient::RecipientKey;

/// A certificate with a usable encryption key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The account that this certificate is the mailbox certificate of (A1).
    pub account: AccountId,
    /// OpenPGP: of the primary key. X.509: SHA-256 of the certificate.
    pub fingerprint: Vec<u8>,
    /// User ids, or the addresses and the name of the subject, as text.
    pub user_ids: Vec<String>,
    /// The key that session keys are wrapped to: the newest usable one.
    pub recipient: RecipientKey,
    /// Does the certificate say that its owner's programs read SEIPD v2?
    pub reads_v2: bool,
    /// When the certificate or its encryption key expires, Unix seconds.
    pub expires: Option<u64>,
    /// The certificate as it came, for who passes it on.
    pub octets: Vec<u8>,
}

/// Why mail cannot be sealed to a certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// No certificate could be read.
    #[error("the certificate cannot be read (neither an OpenPGP public key nor an X.509 certificate, or damaged)")]
    Unparsable,
    /// It holds secret keys, which have no place where mail is sealed.
    #[error("this is a secret key, not a certificate")]
    Secret,
    /// Its time has not begun.
    #[error("certificate {0} is not valid before {1}")]
    NotYet(String, String),
    /// Its own signatures do not verify.
    #[error("certificate {0} carries no valid signature by its own primary key")]
    Unsigned(String),
    /// It, or its encryption key, has expired.
    #[error("certificate {0} expired on {1}")]
    Expired(String, String),
    /// It, or its encryption key, was revoked.
    #[error("certificate {0} was revoked")]
    Revoked(String),
    /// It has no key for encryption.
    #[error("certificate {0} can only sign, not encrypt")]
    SignOnly(String),
    /// The encryption key is too weak.
    #[error("the encryption key of certificate {0} is too weak ({1})")]
    TooWeak(String, String),
    /// The encryption key is of a kind that this program does not use.
    #[error("the encryption key of certificate {0} is of an unsupported kind ({1})")]
    Unsupported(String, String),
}

/// How an enrolment begins, which says itself what its certificates are for.
pub(crate) const ENROLMENT: &str = "Sealed-Enrolment";

impl Certificate {
    /// The account that this certificate is the mailbox certificate of (A1).
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The fingerprint in hexadecimal.
    pub fn name(&self) -> String {
        hexadecimal(&self.fingerprint)
    }
}

pub(crate) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// The day of a moment in Unix seconds.
pub(crate) fn date(seconds: u64) -> String {
    let moment =
        i64::try_from(seconds).ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map_or_else(|| "an unknown day".to_owned(), |moment| moment.date().to_string())
}
