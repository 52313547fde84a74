//! A connection, and which mailboxes are meant.
//!
//! In: an account, name patterns. Out: a desk, the account's mailboxes, those to look into. Without patterns all are meant that
//! hold mail of their own, Junk and Trash too, for sealed mail is moved there; on Gmail that is "All Mail" and those two (A14).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use store::SpecialUse;
use store::imap::{Desk, Listing, Mailbox, Removal, list};
use store::pattern::{is_named, missing};

use crate::account::AccountError;
use crate::place::{LeftOut, shown};
use crate::settings::{Imap, Settings};

/// A connection.
pub(crate) struct Link {
    pub(crate) desk: Desk,
    pub(crate) is_gmail: bool,
    /// `None` if the server has no way that spares other messages.
    pub(crate) removal: Option<Removal>,
    /// All of the account.
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Those to look into.
    pub(crate) meant: Vec<Mailbox>,
    /// Names that no mailbox has.
    pub(crate) missing: Vec<LeftOut>,
}

impl Link {
    /// Connects. Every call of the session obeys `cut`.
    pub(crate) fn new(settings: &Settings, place: &Imap, cut: &Arc<AtomicBool>) -> Result<Link, AccountError> {
        let mut session = place.account.connect(cut)?;
        let listing = list(&mut session)?;
        let removal = Removal::of(&session, &listing);
        let is_gmail = session.has("X-GM-EXT-1");
        let names: Vec<&str> = listing.mailboxes.iter().map(Mailbox::name).collect();
        let left_out = |name| LeftOut { path: shown(name), reason: "no such mailbox" };
        let missing = missing(&settings.mailboxes, &names).into_iter().map(left_out).collect();
        let meant = meant(&listing, &settings.mailboxes, place.sink.as_deref(), is_gmail);
        Ok(Link { desk: Desk::new(session), is_gmail, removal, mailboxes: listing.mailboxes, meant, missing })
    }

    /// A mailbox by its name.
    pub(crate) fn mailbox(&self, name: &str) -> Option<&Mailbox> {
        self.mailboxes.iter().find(|mailbox| mailbox.name() == name)
    }
}

fn meant(listing: &Listing, patterns: &[String], sink: Option<&str>, is_gmail: bool) -> Vec<Mailbox> {
    let wanted = |mailbox: &&Mailbox| {
        let special = mailbox.special_use();
        match patterns {
            [] if is_gmail => matches!(special, Some(SpecialUse::All | SpecialUse::Junk | SpecialUse::Trash)),
            [] => !is_view(mailbox),
            patterns => is_named(patterns, mailbox.name(), special) || sink == Some(mailbox.name()),
        }
    };
    listing.mailboxes.iter().filter(wanted).cloned().collect()
}

/// Whether it shows messages of other mailboxes.
pub(crate) fn is_view(mailbox: &Mailbox) -> bool {
    matches!(mailbox.special_use(), Some(SpecialUse::All | SpecialUse::Flagged))
}
