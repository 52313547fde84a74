//! Why a message is not sealed, wherever it lies, and what follows for the others.
//!
//! In: errors of sealing and of writing. Out: one of three fates. Never anything of the message.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use seal::SealError;
use store::Halt;
use store::ledger::Code;

use crate::reason;

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stumble {
    /// It is to be left alone after all.
    Leave(Code),
    /// It failed, and is tried again later.
    Fail(Code),
    /// Nothing can be written at all.
    Halt(Halt),
}

impl Stumble {
    pub(crate) fn of_seal(error: &SealError) -> Stumble {
        match error {
            SealError::TooLarge => Stumble::Fail(reason::BEYOND_FORMAT),
            SealError::Changed => Stumble::Fail(reason::CHANGED),
            SealError::SelfCheck => Stumble::Fail(reason::SELF_CHECK),
            SealError::Read(_) => Stumble::Fail(reason::UNREADABLE),
            SealError::Spool(error) | SealError::Write(error) => Stumble::of_writing(error),
            SealError::NoRecipient | SealError::Recipient(_) | SealError::TooManyRecipients(_) => {
                Stumble::Fail(reason::RECIPIENT)
            }
        }
    }

    pub(crate) fn of_writing(error: &io::Error) -> Stumble {
        Halt::of(error).map_or(Stumble::Fail(reason::UNWRITABLE), Stumble::Halt)
    }
}

/// A bug that shows at one message must not stop the others.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Stumble>) -> Result<T, Stumble> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Stumble::Fail(reason::INTERNAL)))
}
