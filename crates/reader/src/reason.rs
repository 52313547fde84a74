//! Why a message with our label does not open, in fixed words for reports.
//!
//! In: errors. Out: words. Never anything of a message.

use std::io::{Read, Seek};

use open::OpenError;
use sealed::field::FieldError;

use crate::ciphertext::holds_ciphertext;

/// It carries the label and is no sealed message: it lies open.
pub const LABEL_ONLY: &str = "label-only";
/// It says that it is sealed in a newer way than this version knows.
pub const NEWER: &str = "newer";
/// Sealed by a sealer that is not pinned.
pub const UNKNOWN_SEALER: &str = "unknown-sealer";
/// It names a pinned sealer, whose signature does not verify.
pub const SIGNATURE: &str = "signature";
/// Sealed to other keys, or the session key is damaged.
pub const KEY: &str = "key";
/// Damaged, or changed since it was sealed.
pub const DAMAGED: &str = "damaged";
/// Inside and outside belong to different messages.
pub const MIXED: &str = "mixed";
/// The file cannot be read, or there is no room for its ciphertext.
pub const UNREADABLE: &str = "unreadable";
/// The original cannot be written.
pub const UNWRITABLE: &str = "unwritable";
/// What was written, read back, is not the original.
pub const NOT_PROVED: &str = "not-proved";
/// Others are at work on it.
pub const RESTLESS: &str = "restless";

/// It is marked as deleted.
pub const DELETED: &str = "deleted";
/// Another program holds its lock.
pub const LOCKED: &str = "locked";
/// Larger than the server takes.
pub const APPEND_LIMIT: &str = "append-limit";
/// The account is full.
pub const QUOTA: &str = "quota";
/// The server does not take the original, or not as it is.
pub const REJECTED: &str = "rejected";

/// `message`: what did not open.
pub(crate) fn of(error: &OpenError, message: &mut (impl Read + Seek)) -> &'static str {
    match error {
        OpenError::NotSealed(FieldError::Unknown) => NEWER,
        // Without the fields nothing opens, but only what has no ciphertext lies open.
        OpenError::NotSealed(_) => match holds_ciphertext(message) {
            Ok(true) => DAMAGED,
            Ok(false) => LABEL_ONLY,
            Err(_) => UNREADABLE,
        },
        OpenError::UnknownSealer => UNKNOWN_SEALER,
        OpenError::Signature => SIGNATURE,
        OpenError::Unwrap(_) => KEY,
        OpenError::Damaged(_) | OpenError::Fields(_) | OpenError::Content(_) => DAMAGED,
        OpenError::Mixed => MIXED,
        OpenError::Io(_) => UNREADABLE,
    }
}
