//! Why a recipient's copy cannot be sealed or handed on, and what a mail server is told of it.
//!
//! In: errors of the directory, of sealing, of the next hop. Out: one of a few named troubles. Never names a recipient: replies
//! end up in other people's logs.

use seal::SealError;
use store::ledger::Code;

use crate::directory::Unusable;

/// Why a recipient's copy cannot be sealed or handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The directory does not know the recipient.
    NoKey,
    /// The recipient's key has expired.
    Expired,
    /// The recipient's key was revoked.
    Revoked,
    /// There is something for the recipient that no mail can be sealed to.
    Unusable,
    /// The directory does not answer. This passes.
    DirectoryDown,
    /// Sealing itself failed: no space for the ciphertext, or a bug.
    Engine,
    /// The message is larger than the format allows.
    BeyondFormat,
    /// The sealed copy is larger than the next hop takes.
    TooLarge,
}

impl Trouble {
    /// All of them, for counters that must exist before they count.
    pub const ALL: [Trouble; 8] = [
        Trouble::NoKey,
        Trouble::Expired,
        Trouble::Revoked,
        Trouble::Unusable,
        Trouble::DirectoryDown,
        Trouble::Engine,
        Trouble::BeyondFormat,
        Trouble::TooLarge,
    ];

    /// For reports and counters.
    pub fn code(self) -> Code {
        Code::new(match self {
            Trouble::NoKey => "no-key",
            Trouble::Expired => "expired",
            Trouble::Revoked => "revoked",
            Trouble::Unusable => "unusable",
            Trouble::DirectoryDown => "directory-down",
            Trouble::Engine => "engine",
            Trouble::BeyondFormat => "beyond-format",
            Trouble::TooLarge => "too-large",
        })
    }

    /// Does it pass by itself, so that the same may work a minute later?
    pub fn passes(self) -> bool {
        matches!(self, Trouble::DirectoryDown)
    }

    /// What the sender's server is told.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Trouble::NoKey => "no key to seal this recipient's mail to",
            Trouble::Expired => "the key that this recipient's mail is sealed to has expired",
            Trouble::Revoked => "the key that this recipient's mail is sealed to was revoked",
            Trouble::Unusable => "the key of this recipient cannot be used",
            Trouble::DirectoryDown => "the recipient directory does not answer",
            Trouble::Engine => "the message cannot be sealed now",
            Trouble::BeyondFormat => "the message is too large to be sealed",
            Trouble::TooLarge => "the sealed message is larger than the next server takes",
        }
    }

    /// Subject and detail of its enhanced status code (RFC 3463 §3): cryptography failed, other mail system status, too big.
    pub(crate) fn enhanced(self) -> (u16, u16) {
        match self {
            Trouble::NoKey | Trouble::Expired | Trouble::Revoked | Trouble::Unusable => (7, 5),
            Trouble::DirectoryDown | Trouble::Engine => (3, 0),
            Trouble::BeyondFormat | Trouble::TooLarge => (3, 4),
        }
    }
}

impl From<Unusable> for Trouble {
    fn from(unusable: Unusable) -> Trouble {
        match unusable {
            Unusable::Expired => Trouble::Expired,
            Unusable::Revoked => Trouble::Revoked,
            _ => Trouble::Unusable,
        }
    }
}

impl From<&SealError> for Trouble {
    fn from(error: &SealError) -> Trouble {
        match error {
            SealError::TooLarge => Trouble::BeyondFormat,
            SealError::NoRecipient | SealError::Recipient(_) | SealError::TooManyRecipients(_) => Trouble::Unusable,
            SealError::Changed
            | SealError::SelfCheck
            | SealError::Read(_)
            | SealError::Spool(_)
            | SealError::Write(_) => Trouble::Engine,
        }
    }
}
