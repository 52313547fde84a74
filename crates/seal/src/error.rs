//! Why a message could not be sealed. Whatever the reason, the original is as it was.

use std::io;

use sealed::{field::FieldError, limit};

use crate::recipient::WrapError;

/// Why a message could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Nothing to wrap the session key to.
    #[error("no certificate to seal to")]
    NoRecipient,
    /// A recipient's key does not take a session key.
    #[error(transparent)]
    Recipient(#[from] WrapError),
    /// Larger than the format allows.
    #[error("the message is larger than {} bytes", limit::MAX_ORIGINAL)]
    TooLarge,
    /// Our header fields would be too large: too many recipients.
    #[error("too many recipients for the header fields: {0}")]
    TooManyRecipients(FieldError),
    /// The original changed while it was read.
    #[error("the message changed while it was being read")]
    Changed,
    /// What was encrypted does not open to the original. This is a bug or broken hardware; the original must be kept.
    #[error("the sealed message does not open to the original; the original was kept")]
    SelfCheck,
    /// The original could not be read.
    #[error("cannot read the message: {0}")]
    Read(#[source] io::Error),
    /// The spool could not be used.
    #[error("cannot spool the ciphertext: {0}")]
    Spool(#[source] io::Error),
    /// The sealed message could not be written.
    #[error("cannot write the sealed message: {0}")]
    Write(#[source] io::Error),
}
