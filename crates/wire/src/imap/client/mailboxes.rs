//! Mailboxes: which there are, one of them selected.
//!
//! In: names and patterns. Out: what the server tells of them. RFC 3501 §6.3, RFC 2342, RFC 3691 (UNSELECT), RFC 5258
//! and RFC 6154 (LIST RETURN), RFC 7162 §3.1 (CONDSTORE), RFC 7889 (APPENDLIMIT). Never: CLOSE, which expunges.

use std::cell::RefCell;

use super::session::{Event, Part, Session, done, no_body, quoted, string, text};
use super::tidings::Tidings;
use crate::imap::answer::{Listed, Namespace, Namespaces, Status};
use crate::imap::error::ImapError;
use crate::imap::response::is_word;
use crate::imap::response::{Reply, Untagged, words};
use crate::limit;
use crate::mailbox_name::MailboxName;

/// What is to be done in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is changed: EXAMINE.
    Read,
    /// SELECT.
    Write,
}

/// A mailbox just selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// How many messages it has.
    pub exists: u32,
    /// What its UIDs belong to.
    pub uid_validity: u32,
    /// The UID that the next message gets, at least.
    pub uid_next: Option<u32>,
    /// Its highest change number (RFC 7162); none without CONDSTORE.
    pub highest_modseq: Option<u64>,
    /// The flags that last, without `\*`.
    pub permanent_flags: Vec<String>,
    /// Whether new keywords may be made (`\*`).
    pub new_keywords: bool,
    /// Whether it cannot be changed in this session.
    pub read_only: bool,
    /// Octets that a message appended to it may have (RFC 7889).
    pub append_limit: Option<u64>,
}

impl Session {
    /// Where mailboxes live. Without NAMESPACE: one personal namespace without prefix.
    pub fn namespaces(&mut self) -> Result<Namespaces, ImapError> {
        let all = Namespace { prefix: String::new(), delimiter: None };
        let mut namespaces = Namespaces { personal: vec![all], ..Namespaces::default() };
        if self.has("NAMESPACE") || self.has("IMAP4rev2") {
            self.run(vec![text("NAMESPACE")], |event| {
                if let Event::Untagged(Untagged::Namespace(told)) = event {
                    namespaces = told;
                }
                Ok(())
            })?;
        }
        Ok(namespaces)
    }

    /// The mailboxes whose names fit: `*` any, `%` any within a level. Both texts are as on the wire.
    pub fn list(&mut self, reference: &str, pattern: &str) -> Result<Vec<Listed>, ImapError> {
        let mut command = vec![text("LIST "), string(reference.as_bytes())?, text(" "), string(pattern.as_bytes())?];
        if (self.has("LIST-EXTENDED") && self.has("SPECIAL-USE")) || self.has("IMAP4rev2") {
            command.push(text(" RETURN (SPECIAL-USE)"));
        }
        let (mut all, mut octets) = (Vec::new(), 0_usize);
        self.run(command, |event| {
            let Event::Untagged(Untagged::List(listed)) = event else { return Ok(()) };
            let attributes = listed.attributes.iter().map(String::len);
            octets = attributes.fold(octets.saturating_add(listed.name.wire().len()), usize::saturating_add);
            if all.len() >= limit::LISTED || octets > limit::LISTED_OCTETS {
                return Err(ImapError::Limit("mailboxes of an account"));
            }
            all.push(listed);
            Ok(())
        })?;
        Ok(all)
    }

    /// STATUS of a mailbox that is not selected.
    pub fn status(&mut self, name: &MailboxName) -> Result<Status, ImapError> {
        let modseq = if self.has("CONDSTORE") { " HIGHESTMODSEQ" } else { "" };
        self.ask_status(name, format!(" (MESSAGES UIDNEXT UIDVALIDITY{modseq})"))
    }

    /// STATUS of many mailboxes, in one piece. Nothing for those that the server does not tell of, in the order asked.
    pub fn statuses(&mut self, names: &[MailboxName]) -> Result<Vec<Option<Status>>, ImapError> {
        let command = |name: &MailboxName| format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)", quoted(name.wire()));
        // A name that needs a literal cannot be asked for on a line.
        let is_plain = |name: &&MailboxName| name.wire().bytes().all(|octet| (b' '..=b'~').contains(&octet));
        let asked: Vec<usize> = (0..names.len()).filter(|at| names.get(*at).as_ref().is_some_and(is_plain)).collect();
        let commands: Vec<String> = asked.iter().filter_map(|at| names.get(*at)).map(command).collect();
        let (told, mut statuses) = (RefCell::new(None), vec![None; names.len()]);
        let on = |event| {
            if let Event::Untagged(Untagged::Status(status)) = event {
                *told.borrow_mut() = Some(status);
            }
        };
        self.pipeline::<Vec<u8>>(&commands, limit::WINDOW, &mut no_body, on, |number, reply| {
            let status = told.borrow_mut().take().filter(|_| done(reply).is_ok());
            let place = asked.get(number).and_then(|at| statuses.get_mut(*at));
            if let Some(place) = place {
                *place = status;
            }
        })?;
        Ok(statuses)
    }

    /// Makes a mailbox.
    pub fn create(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        self.with_name("CREATE ", name)
    }

    /// Removes a mailbox.
    pub fn delete(&mut self, name: &MailboxName) -> Result<(), ImapError> {
        self.with_name("DELETE ", name)
    }

    /// Selects a mailbox. When that fails, none is selected (RFC 3501 §6.3.1).
    pub fn select(&mut self, name: &MailboxName, access: Access) -> Result<Selected, ImapError> {
        let mut append_limit = self.append_limit();
        if self.has("APPENDLIMIT") {
            // RFC 7889 §3: the word without a number says that each mailbox has its own.
            append_limit = match self.ask_status(name, " (APPENDLIMIT)".to_owned()) {
                Ok(status) => status.append_limit,
                Err(error) if error.is_refusal() => None,
                Err(error) => return Err(error),
            };
        }
        let verb = if access == Access::Read { "EXAMINE " } else { "SELECT " };
        let mut command = vec![text(verb), name_part(name)?];
        if self.has("CONDSTORE") {
            command.push(text(" (CONDSTORE)"));
        }
        (self.exists, self.selected) = (0, false);
        self.tidings = self.tidings.is_some().then(Tidings::default);
        let mut seen = Seen::default();
        let reply = self.run(command, |event| {
            if let Event::Status(reply) = event {
                seen.take(&reply);
            }
            Ok(())
        })?;
        seen.take(&reply);
        self.selected = true;
        let Some(uid_validity) = seen.uid_validity else { return self.protocol("a mailbox without UIDVALIDITY") };
        let new_keywords = seen.flags.iter().any(|flag| flag == "\\*");
        seen.flags.retain(|flag| flag != "\\*" && is_word(flag));
        Ok(Selected {
            exists: self.exists,
            uid_validity,
            uid_next: seen.uid_next,
            highest_modseq: seen.highest_modseq,
            permanent_flags: seen.flags,
            new_keywords,
            read_only: access == Access::Read || seen.read_only,
            append_limit,
        })
    }

    /// Leaves the selected mailbox without expunging anything. Does nothing where UNSELECT is not offered.
    pub fn unselect(&mut self) -> Result<(), ImapError> {
        if !self.selected || !(self.has("UNSELECT") || self.has("IMAP4rev2")) {
            return Ok(());
        }
        self.run(vec![text("UNSELECT")], |_| Ok(()))?;
        (self.exists, self.selected) = (0, false);
        Ok(())
    }

    fn ask_status(&mut self, name: &MailboxName, items: String) -> Result<Status, ImapError> {
        let mut status = Status::default();
        self.run(vec![text("STATUS "), name_part(name)?, text(items)], |event| {
            if let Event::Untagged(Untagged::Status(told)) = event {
                status = told;
            }
            Ok(())
        })?;
        Ok(status)
    }

    pub(super) fn with_name(&mut self, verb: &str, name: &MailboxName) -> Result<(), ImapError> {
        self.run(vec![text(verb), name_part(name)?], |_| Ok(())).map(drop)
    }
}

/// A mailbox's name in a command.
pub(super) fn name_part(name: &MailboxName) -> Result<Part, ImapError> {
    string(name.wire().as_bytes())
}

/// What SELECT's response codes told.
#[derive(Default)]
struct Seen {
    uid_validity: Option<u32>,
    uid_next: Option<u32>,
    highest_modseq: Option<u64>,
    flags: Vec<String>,
    read_only: bool,
}

impl Seen {
    fn take(&mut self, reply: &Reply) {
        let Some((name, data)) = &reply.code else { return };
        match name.as_str() {
            "UIDVALIDITY" => self.uid_validity = data.parse().ok().filter(|validity| *validity != 0),
            "UIDNEXT" => self.uid_next = data.parse().ok().filter(|next| *next != 0),
            "HIGHESTMODSEQ" => self.highest_modseq = data.parse().ok().filter(|modseq| *modseq != 0),
            "NOMODSEQ" => self.highest_modseq = None,
            "PERMANENTFLAGS" => self.flags = words(data.trim_start_matches('(').trim_end_matches(')')),
            "READ-ONLY" => self.read_only = true,
            "READ-WRITE" => self.read_only = false,
            _ => {}
        }
    }
}
