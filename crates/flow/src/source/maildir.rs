//! The mailboxes of a Maildir that a flow takes mail from, message by message.
//!
//! In: a Maildir and name patterns. Out: its messages, each as it is called at that moment. Memory does not grow with the
//! mailbox: nothing is listed beforehand, and what is replaced while the directory is read does not disturb (POSIX readdir
//! returns every entry that stays). Never opens a message.

use store::ledger::Code;
use store::maildir::{Listing, Reason, ScanError};
use store::pattern::{is_named, is_set_apart, missing};
use store::{Mailbox, Message};

use crate::reason;

/// The mailboxes of a flow.
pub(crate) struct Source {
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Places with mail that is not looked at, and why.
    pub(crate) left_out: Vec<(String, &'static str)>,
}

/// A mailbox that was named is not there.
#[derive(Debug)]
pub(crate) struct NotThere(pub(crate) String);

impl Source {
    /// Picks the mailboxes that the patterns name.
    pub(crate) fn pick(listing: Listing, patterns: &[String]) -> Result<Source, NotThere> {
        let names: Vec<&str> = listing.mailboxes.iter().map(Mailbox::name).collect();
        if let Some(name) = missing(patterns, &names).first() {
            return Err(NotThere((*name).to_owned()));
        }
        let wanted = |mailbox: &Mailbox| match patterns {
            [] => !is_set_apart(mailbox.special_use()),
            patterns => is_named(patterns, mailbox.name(), mailbox.special_use()),
        };
        let left_out = listing.left_out.into_iter();
        let left_out = left_out.map(|left| (left.path.to_string_lossy().into_owned(), left.reason.word()));
        Ok(Source { left_out: left_out.collect(), mailboxes: listing.mailboxes.into_iter().filter(wanted).collect() })
    }

    /// Shows each message of each mailbox, or why an entry is none, until `work` breaks off.
    ///
    /// A message that moves on meanwhile may be shown twice. Mailboxes that cannot be read are added to what is left out.
    pub(crate) fn each<E>(
        &mut self,
        mut work: impl FnMut(&Mailbox, Result<Message, Code>) -> Result<(), E>,
    ) -> Result<(), E> {
        for mailbox in &self.mailboxes {
            let messages = match mailbox.messages() {
                Ok(messages) => messages,
                Err(error) => {
                    self.left_out.extend(unreadable(mailbox, &error));
                    continue;
                }
            };
            for message in messages {
                match message {
                    Ok(message) => work(mailbox, Ok(message))?,
                    Err(error @ ScanError::Io(_)) => self.left_out.extend(unreadable(mailbox, &error)),
                    Err(_) => work(mailbox, Err(reason::NO_MESSAGE))?,
                }
            }
        }
        Ok(())
    }
}

/// A mailbox that merely went away is nothing to report.
fn unreadable(mailbox: &Mailbox, error: &ScanError) -> Option<(String, &'static str)> {
    match error {
        ScanError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some((mailbox.dir().to_string_lossy().into_owned(), Reason::Unreadable.word())),
    }
}
