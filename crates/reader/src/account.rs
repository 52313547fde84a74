//! What goes wrong with an account.
//!
//! In: errors of a session. Out: one type, with its [`Fate`], and whether a new connection may mend it. Never a server's text.

use store::Fate;
use store::imap::{BatchError, ConnectError, DeskError};
use wire::imap::ImapError;

/// Why an account is of no use now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// It could not be reached, or not logged in to.
    #[error("cannot log in to the account")]
    Connect(#[from] ConnectError),
    /// The server said no, or the connection was lost again and again.
    #[error("the server does not do what it must")]
    Server(#[from] ImapError),
    /// A mailbox was renamed, removed, made anew, or may only be read.
    #[error("a mailbox is not what it was")]
    Mailbox,
}

impl AccountError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            AccountError::Connect(ConnectError::Imap(error)) if !needs_the_owner(error) => Fate::Retry,
            AccountError::Connect(_) => Fate::Refuse,
            AccountError::Server(_) | AccountError::Mailbox => Fate::Retry,
        }
    }
}

fn needs_the_owner(error: &ImapError) -> bool {
    use ImapError::{Authentication, Certificate, NoMechanism, Plaintext, Unsupported};
    matches!(error, Authentication | Certificate(_) | NoMechanism | Plaintext | Unsupported(_))
}

impl From<DeskError> for AccountError {
    fn from(error: DeskError) -> AccountError {
        match error {
            DeskError::Imap(error) => error.into(),
            _ => AccountError::Mailbox,
        }
    }
}

impl From<BatchError> for AccountError {
    fn from(error: BatchError) -> AccountError {
        match error {
            BatchError::Desk(error) => error.into(),
            _ => AccountError::Mailbox,
        }
    }
}
