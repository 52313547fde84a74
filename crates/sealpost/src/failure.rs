//! How a command fails: an exit code of sysexits, one line that says what is wrong, one that says what to do. No content,
//! subject or address in either.

use std::process::ExitCode;

use crate::tell::tell;

/// Exit codes that mail transfer agents understand (sysexits.h).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Exit {
    /// EX_USAGE: the command was called wrongly.
    Usage = 64,
    /// EX_DATAERR: the message is not what it must be.
    Data = 65,
    /// EX_UNAVAILABLE: something that is needed is not there.
    Unavailable = 69,
    /// EX_TEMPFAIL: try again later.
    Temporary = 75,
    /// EX_NOPERM: refused, for lack of trust or of a key.
    Refused = 77,
    /// EX_CONFIG: configuration or keys must be mended.
    Config = 78,
    /// Ctrl-C where something was asked for: what a shell says of a program that SIGINT ended.
    #[cfg(feature = "open")]
    Interrupted = 130,
}

impl Exit {
    fn usual_hint(self) -> &'static str {
        match self {
            Self::Usage | Self::Config => "is the path right, and may you read and write there?",
            Self::Data => "`sealpost inspect` says what this message is",
            #[cfg(feature = "open")]
            Self::Interrupted => "nothing was done",
            Self::Temporary => "is the disk full, or the reader gone?",
            Self::Unavailable | Self::Refused => "`sealpost check` looks at config, keys and mailboxes",
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: String,
}

impl Failure {
    /// What is wrong, with the code that says whose turn it is, and what mostly helps then.
    pub fn new(exit: Exit, error: impl ToString) -> Self {
        Self { exit, error: error.to_string(), hint: exit.usual_hint().to_owned() }
    }

    /// Somebody asked it to end.
    #[cfg(feature = "open")]
    pub fn stopped() -> Self {
        Self::new(Exit::Temporary, "stopped, as asked")
            .hint("nothing is half done; run it again, and it begins anew or goes on")
    }

    /// What to do about it, where that is known better.
    pub fn hint(mut self, hint: impl ToString) -> Self {
        self.hint = hint.to_string();
        self
    }

    /// Says it on stderr.
    pub fn report(&self) -> ExitCode {
        tell(format_args!("sealpost: error: {}", self.error));
        tell(format_args!("sealpost: hint: {}", self.hint));
        ExitCode::from(self.exit as u8)
    }
}

/// Adds what was being done to an error from the operating system.
pub trait DoingWhat<T> {
    /// `what`: "cannot read the config", for example.
    fn doing(self, exit: Exit, what: impl std::fmt::Display) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> DoingWhat<T> for Result<T, E> {
    fn doing(self, exit: Exit, what: impl std::fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, format_args!("{what}: {error}")))
    }
}

impl From<flow::Fate> for Exit {
    fn from(fate: flow::Fate) -> Self {
        match fate {
            flow::Fate::Retry => Self::Temporary,
            flow::Fate::Refuse => Self::Config,
            flow::Fate::Stop => Self::Unavailable,
        }
    }
}

/// An error and what caused it, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let (mut last, mut cause) = (text.clone(), error.source());
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // SQLite's cause says the same again, after a number.
        if !text.ends_with(&inner_text) && !inner_text.ends_with(&last) {
            text = format!("{text}: {inner_text}");
        }
        last = inner_text;
        cause = inner.source();
    }
    text
}

#[cfg(feature = "open")]
impl From<open::OpenError> for Failure {
    fn from(error: open::OpenError) -> Self {
        use open::{OpenError, unwrap::UnwrapError};
        let (exit, hint) = match &error {
            OpenError::NotSealed(_) => (Exit::Data, "`sealpost inspect` says what this message is"),
            OpenError::Damaged(_) | OpenError::Content(_) | OpenError::Fields(_) | OpenError::Mixed => {
                (Exit::Data, "fetch the message again; if it stays so, look for it in a backup of the mailbox")
            }
            OpenError::UnknownSealer => (
                Exit::Refused,
                "if this sealer is yours, pin it: `sealpost key trust-sealer FILE`, or for once: --trust-sealer FILE",
            ),
            OpenError::Signature => {
                (Exit::Refused, "the message was changed, or was sealed for another account: `sealpost inspect`")
            }
            OpenError::Unwrap(UnwrapError::NotForUs) => {
                (Exit::Refused, "name the key that it was sealed to: `sealpost open --key FILE`")
            }
            OpenError::Unwrap(UnwrapError::Damaged) => (Exit::Data, "fetch the message again"),
            OpenError::Io(_) => (Exit::Temporary, "is the disk full, or the reader gone?"),
        };
        Self::new(exit, &error).hint(hint)
    }
}

impl From<seal::SealError> for Failure {
    fn from(error: seal::SealError) -> Self {
        use seal::SealError;
        let (exit, hint) = match &error {
            SealError::NoRecipient | SealError::Recipient(_) | SealError::TooManyRecipients(_) => {
                (Exit::Config, "`sealpost check` looks at every certificate")
            }
            SealError::TooLarge => (Exit::Data, "it stays as it is"),
            SealError::Changed => (Exit::Temporary, "try again when nothing writes to it"),
            SealError::SelfCheck => (Exit::Temporary, "try again; if it stays so, this is a bug: please report it"),
            SealError::Read(_) | SealError::Spool(_) | SealError::Write(_) => {
                (Exit::Temporary, "is the disk full, or the reader gone?")
            }
        };
        Self::new(exit, &error).hint(hint)
    }
}

impl From<seal::CertificateError> for Failure {
    fn from(error: seal::CertificateError) -> Self {
        use seal::CertificateError;
        let hint = match &error {
            CertificateError::Secret => {
                "export the public half and use that: `gpg --export --armor ADDRESS`, `openssl pkcs12 -nokeys -clcerts`"
            }
            CertificateError::NotYet(..) => "is the clock of this machine right?",
            CertificateError::Expired(..) => "get a certificate with a later date from its owner",
            CertificateError::Revoked(_) => "get the owner's new certificate",
            CertificateError::SignOnly(_) => {
                "the owner must add a key for encryption; a certificate must say keyEncipherment (RSA) or keyAgreement (ECDH), \
                 and emailProtection"
            }
            CertificateError::TooWeak(..) | CertificateError::Unsupported(..) => {
                "the owner needs an encryption key on Curve25519, P-256, P-384, P-521 (OpenPGP only), or RSA of 2048 to 8192 \
                 bits"
            }
            CertificateError::Unparsable | CertificateError::Unsigned(_) => {
                "export it again: `gpg --export --armor ADDRESS`, or `sealpost key export`"
            }
        };
        Self::new(Exit::Config, &error).hint(hint)
    }
}

impl From<seal::EnrolmentError> for Failure {
    fn from(error: seal::EnrolmentError) -> Self {
        match error {
            seal::EnrolmentError::Certificate(error) => error.into(),
            seal::EnrolmentError::Mixed => Self::new(Exit::Config, error)
                .hint("take two files, or let an enrolment say it: `Scheme: pgp` or `Scheme: smime`"),
            seal::EnrolmentError::NoneForScheme(_) => Self::new(Exit::Config, error)
                .hint("let the owner add a certificate of that kind, or leave `scheme` out"),
            line => Self::new(Exit::Config, line).hint("let its owner write it again: `sealpost key enrolment`"),
        }
    }
}
