//! A session and the mailbox that lies open in it.
//!
//! In: a session, the mailbox to turn to. Out: what the server says of the mailbox, and the lowest UID that a message put
//! there from now on can have. RFC 9051 §6.3.2. Never remembers a mailbox over a change of its UIDVALIDITY.

use wire::imap::{Access, ImapError, Selected, Session};

use super::flags::is_lockable;
use super::mailbox::Mailbox;

/// A session and its selected mailbox.
pub struct Desk {
    session: Session,
    at: Option<At>,
}

struct At {
    mailbox: Mailbox,
    selected: Selected,
    next: u32,
}

/// Why a mailbox cannot be worked in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// The server.
    #[error(transparent)]
    Imap(#[from] ImapError),
    /// It may be read only.
    #[error("a mailbox may only be read")]
    ReadOnly,
    /// Nothing was selected.
    #[error("no mailbox is selected")]
    Nothing,
}

impl Desk {
    /// With nothing selected yet.
    pub fn new(session: Session) -> Desk {
        Desk { session, at: None }
    }

    /// Opens a mailbox for writing; one that is open already stays so.
    pub fn turn_to(&mut self, mailbox: &Mailbox) -> Result<(), DeskError> {
        if self.at.as_ref().is_some_and(|at| at.mailbox == *mailbox) {
            return Ok(());
        }
        self.reopen(mailbox)
    }

    /// Opens a mailbox anew, to hear its UIDVALIDITY and UIDNEXT as they are now.
    pub fn reopen(&mut self, mailbox: &Mailbox) -> Result<(), DeskError> {
        self.at = None;
        let selected = self.session.select(mailbox.wire(), Access::Write)?;
        let next = match selected.uid_next {
            Some(next) => next,
            // quirk: old servers do not say it at SELECT.
            None => self.session.status(mailbox.wire())?.uid_next.unwrap_or(1),
        };
        self.at = Some(At { mailbox: mailbox.clone(), selected, next });
        Ok(())
    }

    /// Leaves the mailbox, so that none is selected.
    pub fn leave_mailbox(&mut self) -> Result<(), DeskError> {
        self.at = None;
        Ok(self.session.unselect()?)
    }

    /// The session, with the mailbox selected.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Whether the server offers that.
    pub fn has(&self, capability: &str) -> bool {
        self.session.has(capability)
    }

    /// The mailbox that lies open.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        self.at.as_ref().map(|at| &at.mailbox)
    }

    /// What the server said of it.
    pub fn selected(&self) -> Result<&Selected, DeskError> {
        Ok(&self.at.as_ref().ok_or(DeskError::Nothing)?.selected)
    }

    /// Its UIDVALIDITY.
    pub fn validity(&self) -> Result<u32, DeskError> {
        Ok(self.selected()?.uid_validity)
    }

    /// No message that is put there from now on has a UID below this.
    pub fn next(&self) -> Result<u32, DeskError> {
        Ok(self.at.as_ref().ok_or(DeskError::Nothing)?.next)
    }

    /// A message was put there under that UID.
    pub fn note(&mut self, uid: u32) {
        if let Some(at) = &mut self.at {
            at.next = at.next.max(uid.saturating_add(1));
        }
    }

    /// Whether messages can be locked: other sealers see a keyword, and of two that set it at once only one succeeds.
    pub fn can_lock(&self, lock: &str) -> bool {
        let Ok(selected) = self.selected() else { return false };
        self.session.has("CONDSTORE")
            && selected.highest_modseq.is_some()
            && is_lockable(&selected.permanent_flags, selected.new_keywords, lock)
    }

    /// Whether STORE can be made conditional in here.
    pub fn is_conditional(&self) -> bool {
        self.session.has("CONDSTORE") && self.selected().is_ok_and(|selected| selected.highest_modseq.is_some())
    }

    /// The largest message that may be put here, octets.
    pub fn append_limit(&self) -> Option<u64> {
        let here = self.selected().ok().and_then(|selected| selected.append_limit);
        here.or(self.session.append_limit())
    }

    /// Ends the session in good order.
    pub fn leave(self) {
        self.session.logout();
    }
}
