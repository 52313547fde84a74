//! Where messages lie, and what could not be looked at, for reports.
//!
//! In: names. Out: the same, fit to be shown. Never looks anywhere.

use serde::Serialize;

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// Its mailbox.
    pub mailbox: String,
    /// Its file name without flags, for showing.
    pub message: String,
}

/// A mailbox, or a directory that may hold some, that was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its path, or the name of a mailbox that is not there; for showing.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

/// What was seen beside those messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// Messages without our label.
    pub(crate) unlabelled: u64,
    /// Files that cannot be read, and entries that are no files.
    pub(crate) unreadable: u64,
    /// The files among them; at most [`MAX_LISTED`].
    pub(crate) unread: Vec<Place>,
    /// Mailboxes that were not looked at.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Entries of the list of unreadable files; the count is complete.
const MAX_LISTED: usize = 10_000;

impl Others {
    pub(crate) fn cannot_read(&mut self, place: Place) {
        self.unreadable = self.unreadable.saturating_add(1);
        if self.unread.len() < MAX_LISTED {
            self.unread.push(place);
        }
    }
}

/// Whoever names mailboxes must not steer the owner's terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|character| if steers(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

/// The same, with a blank in the place of what is not shown.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if steers(character) { ' ' } else { character }).collect()
}

/// Whether a character does something to a terminal, or turns the direction of writing round (Unicode, UAX #9).
pub(crate) fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
