//! Which mailboxes of an account a flow takes mail from, and which one it puts it in.
//!
//! In: what the server lists, name patterns, the sink. Out: mailboxes, INBOX first. Never looks into one.

use store::SpecialUse;
use store::imap::{Listing, Mailbox};
use store::pattern::{is_named, is_set_apart, missing};

use crate::settings::Sink;
use crate::survey::SurveyError;

/// The mailboxes that the patterns mean; none: all that hold mail of their own but Drafts, Junk and Trash. On Gmail that is
/// "All Mail" alone, of which all others but those three are views (A14).
pub(crate) fn pick(
    listing: &Listing,
    patterns: &[String],
    sink: &Sink,
    is_gmail: bool,
) -> Result<Vec<Mailbox>, SurveyError> {
    let names: Vec<&str> = listing.mailboxes.iter().map(Mailbox::name).collect();
    if let Some(name) = missing(patterns, &names).first() {
        return Err(SurveyError::NoMailbox((*name).to_owned()));
    }
    if patterns.is_empty() && !listing.says_uses {
        return Err(SurveyError::NoSpecialUse);
    }
    let wanted = |mailbox: &&Mailbox| {
        let special = mailbox.special_use();
        let is_view = matches!(special, Some(SpecialUse::All | SpecialUse::Flagged));
        let is_target = matches!(sink, Sink::Folder(name) if name == mailbox.name());
        let meant = match patterns {
            [] if is_gmail => special == Some(SpecialUse::All),
            [] => !is_set_apart(special) && !is_view,
            patterns => is_named(patterns, mailbox.name(), special),
        };
        meant && !is_target
    };
    Ok(listing.mailboxes.iter().filter(wanted).cloned().collect())
}
