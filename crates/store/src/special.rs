//! What a mailbox is for, where its name tells.
//!
//! In: a mailbox name with `/` between its parts. Out: a use as in RFC 6154 §2. Never guesses from the messages inside.

/// A special use of a mailbox (RFC 6154 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// Every message of the account.
    All,
    /// Mail kept for good.
    Archive,
    /// Messages that are not yet sent.
    Drafts,
    /// Marked as important.
    Flagged,
    /// Unwanted mail.
    Junk,
    /// What was sent.
    Sent,
    /// What was deleted, or soon will be.
    Trash,
}

impl SpecialUse {
    /// The use that a usual name stands for; a folder below such a mailbox shares its use. Upper and lower case are one.
    ///
    /// A Maildir has no place for RFC 6154 attributes, so the name is all there is.
    pub fn by_usual_name(name: &str) -> Option<SpecialUse> {
        let mut parts = name.split('/');
        let mut first = parts.next()?;
        // quirk: Courier's users see `INBOX.Trash`, and some stores keep the prefix on disk.
        if first.eq_ignore_ascii_case("INBOX") {
            first = parts.next()?;
        }
        USUAL_NAMES.iter().find(|(usual, _)| first.eq_ignore_ascii_case(usual)).map(|&(_, special)| special)
    }
}

const USUAL_NAMES: &[(&str, SpecialUse)] = &[
    ("Archive", SpecialUse::Archive),
    ("Archives", SpecialUse::Archive),
    ("Draft", SpecialUse::Drafts),
    ("Drafts", SpecialUse::Drafts),
    ("Bulk Mail", SpecialUse::Junk),
    ("Junk", SpecialUse::Junk),
    ("Junk E-mail", SpecialUse::Junk),
    ("Junk Email", SpecialUse::Junk),
    ("Spam", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Sent Items", SpecialUse::Sent),
    ("Sent Mail", SpecialUse::Sent),
    ("Sent Messages", SpecialUse::Sent),
    ("Deleted", SpecialUse::Trash),
    ("Deleted Items", SpecialUse::Trash),
    ("Deleted Messages", SpecialUse::Trash),
    ("Trash", SpecialUse::Trash),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_tell_their_use() {
        let table = [
            ("INBOX", None),
            ("", None),
            ("Drafts", Some(SpecialUse::Drafts)),
            ("junk", Some(SpecialUse::Junk)),
            ("Spam", Some(SpecialUse::Junk)),
            ("INBOX/Trash", Some(SpecialUse::Trash)),
            ("Trash/2024", Some(SpecialUse::Trash)),
            ("Projects/Trash", None),
            ("Trashy", None),
        ];
        for (name, expected) in table {
            assert_eq!(SpecialUse::by_usual_name(name), expected, "{name}");
        }
    }
}
