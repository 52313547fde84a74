//! The mailboxes of a Maildir that a flow takes mail from, message by message.
//!
//! In: a Maildir and name patterns. Out: its messages, each as it is called at that moment. Memory does not grow with the
//! mailbox: nothing is listed beforehand, and what is replaced while the directory is read does not disturb (POSIX readdir
//! returns every entry that stays). Never opens a message.

use store::ledger::Code;
use store::maildir::{Listing, Messages, Reason, ScanError};
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

    /// Goes through each message of each mailbox.
    pub(crate) fn walk(&mut self) -> Walk<'_> {
        Walk { mailboxes: self.mailboxes.iter(), at: None, left_out: &mut self.left_out }
    }
}

/// Shows each message of each mailbox, or why an entry is none.
///
/// A message that moves on meanwhile may be shown twice. Mailboxes that cannot be read are added to what is left out.
pub(crate) struct Walk<'a> {
    mailboxes: std::slice::Iter<'a, Mailbox>,
    at: Option<(&'a Mailbox, Messages)>,
    left_out: &'a mut Vec<(String, &'static str)>,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (&'a Mailbox, Result<Message, Code>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((mailbox, messages)) = &mut self.at else {
                let mailbox = self.mailboxes.next()?;
                match mailbox.messages() {
                    Ok(messages) => self.at = Some((mailbox, messages)),
                    Err(error) => self.left_out.extend(unreadable(mailbox, &error)),
                }
                continue;
            };
            match messages.next() {
                None => self.at = None,
                Some(Ok(message)) => return Some((mailbox, Ok(message))),
                Some(Err(error @ ScanError::Io(_))) => self.left_out.extend(unreadable(mailbox, &error)),
                Some(Err(_)) => return Some((mailbox, Err(reason::NO_MESSAGE))),
            }
        }
    }
}

/// A mailbox that merely went away is nothing to report.
fn unreadable(mailbox: &Mailbox, error: &ScanError) -> Option<(String, &'static str)> {
    match error {
        ScanError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some((mailbox.dir().to_string_lossy().into_owned(), Reason::Unreadable.word())),
    }
}
