//! Mailboxes by name, as a mail program asks for them: subscribed ones, other names, numbers of one that is not selected.
//!
//! In: names and patterns. Out: what the server tells of them. RFC 3501 §6.3, RFC 5258 (LIST RETURN).

use super::mailboxes::name_part;
use super::session::{Event, Part, Session, on_one_line, string, text};
use crate::imap::answer::{Listed, Status};
use crate::imap::error::ImapError;
use crate::imap::response::Untagged;
use crate::limit;
use crate::mailbox_name::MailboxName;

impl Session {
    /// LIST with all that the server knows of children and special uses.
    pub fn list_in_full(&mut self, pattern: &str) -> Result<Vec<Listed>, ImapError> {
        let mut command = vec![text("LIST \"\" "), string(pattern.as_bytes())?];
        let special = if self.has("SPECIAL-USE") { "CHILDREN SPECIAL-USE" } else { "CHILDREN" };
        // An empty pattern asks for the delimiter alone (RFC 3501 §6.3.8).
        if self.has("LIST-EXTENDED") && !pattern.is_empty() {
            command.push(text(format!(" RETURN ({special})")));
        }
        self.listed(command)
    }

    /// The mailboxes that are subscribed.
    pub fn lsub(&mut self, pattern: &str) -> Result<Vec<Listed>, ImapError> {
        self.listed(vec![text("LSUB \"\" "), string(pattern.as_bytes())?])
    }

    /// Subscribes to a mailbox.
    pub fn subscribe(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        self.with_name("SUBSCRIBE ", name)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        self.with_name("UNSUBSCRIBE ", name)
    }

    /// Gives a mailbox another name.
    pub fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), ImapError> {
        self.run(vec![text("RENAME "), name_part(from)?, text(" "), name_part(to)?], |_| Ok(())).map(drop)
    }

    /// STATUS with these items.
    pub fn status_of(&mut self, name: &MailboxName, items: &str) -> Result<Status, ImapError> {
        let mut status = Status::default();
        let items = format!(" ({})", on_one_line(items)?);
        self.run(vec![text("STATUS "), name_part(name)?, text(items)], |event| {
            if let Event::Untagged(Untagged::Status(told)) = event {
                status = told;
            }
            Ok(())
        })?;
        Ok(status)
    }

    fn listed(&mut self, command: Vec<Part>) -> Result<Vec<Listed>, ImapError> {
        let mut all = Vec::new();
        self.run(command, |event| {
            let Event::Untagged(Untagged::List(listed)) = event else { return Ok(()) };
            if all.len() >= limit::LISTED {
                return Err(ImapError::Limit("mailboxes of an account"));
            }
            all.push(listed);
            Ok(())
        })?;
        Ok(all)
    }
}
