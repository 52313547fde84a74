//! What the owner of a bridge should hear, since a mail program mostly keeps it to itself. In: how the way to the mail was found, wrong passwords. Out: a word at each
//! change, never one for each time. No address, no name, no content.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use store::imap::ConnectError;
use wire::imap::ImapError;

use crate::account::AccountError;
use crate::depot::ReachError;

/// Something to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The server of the account refused the user or the password.
    Refused,
    /// The mail cannot be reached.
    Unreachable,
    /// It is there again.
    Back,
    /// Somebody gave a wrong user or password to the bridge.
    WrongPassword,
}

/// Tells news. No `Debug`: it leads out of here.
pub struct Newsroom {
    tell: Box<dyn Fn(News) + Send + Sync>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What was told last of the way to the mail; at first it is taken to be there.
    trouble: Option<News>,
    /// When a wrong password was told.
    wrong: Option<Instant>,
}

/// Wrong passwords are told so often at most: programs try again and again.
const QUIET: Duration = Duration::from_secs(60);

impl Newsroom {
    /// News go to `tell`.
    pub fn new(tell: impl Fn(News) + Send + Sync + 'static) -> Self {
        Self { tell: Box::new(tell), known: Mutex::default() }
    }

    /// The way to the mail was tried.
    pub(crate) fn tried(&self, trouble: Option<&ReachError>) {
        let trouble = trouble.map(|error| if is_refused(error) { News::Refused } else { News::Unreachable });
        let Ok(mut known) = self.known.lock() else { return };
        if known.trouble != trouble {
            known.trouble = trouble;
            // A terminal that stands still must not hold up other sessions.
            drop(known);
            (self.tell)(trouble.unwrap_or(News::Back));
        }
    }

    /// Somebody gave a wrong password.
    pub(crate) fn wrong_password(&self) {
        let Ok(mut known) = self.known.lock() else { return };
        if known.wrong.is_none_or(|told| told.elapsed() >= QUIET) {
            known.wrong = Some(Instant::now());
            drop(known);
            (self.tell)(News::WrongPassword);
        }
    }
}

/// Whether the server upstream refused the login.
pub(crate) fn is_refused(error: &ReachError) -> bool {
    matches!(error, ReachError::Account(AccountError::Connect(ConnectError::Imap(ImapError::Authentication))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        let news = Newsroom::new(move |one| into.lock().unwrap().push(one));
        let upstream = |error| ReachError::Account(AccountError::Connect(ConnectError::Imap(error)));
        let (refused, closed) = (upstream(ImapError::Authentication), upstream(ImapError::Closed));
        let tries = [None, Some(&refused), Some(&refused), Some(&closed), None, None, Some(&closed)];
        tries.into_iter().for_each(|tried| news.tried(tried));
        news.wrong_password();
        news.wrong_password();
        let expected = [News::Refused, News::Unreachable, News::Back, News::Unreachable, News::WrongPassword];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
