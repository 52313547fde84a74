//! The mailboxes of a Maildir that a flow takes mail from, message by message.
//!
//! In: a Maildir and name patterns. Out: its messages, each as it is called at that moment. Memory does not grow with the
//! mailbox: nothing is listed beforehand, and what is replaced while the directory is read does not disturb (POSIX readdir
//! returns every entry that stays). Never opens a message.

use store::ledger::Code;
use store::maildir::{Listing, Reason, ScanError};
use store::{Mailbox, Message, SpecialUse};

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
        let wanted = |mailbox: &Mailbox| {
            let named = |pattern: &String| is_meant(pattern, mailbox.name(), mailbox.special_use());
            match patterns {
                [] => !is_set_apart(mailbox.special_use()),
                patterns => patterns.iter().any(named),
            }
        };
        let literal = patterns.iter().filter(|pattern| !pattern.contains('*'));
        for pattern in literal {
            if !listing.mailboxes.iter().any(|mailbox| matches(pattern, mailbox.name())) {
                return Err(NotThere(pattern.clone()));
            }
        }
        let left_out = listing.left_out.into_iter();
        let left_out = left_out.map(|left| (left.path.to_string_lossy().into_owned(), word(left.reason)));
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
        _ => Some((mailbox.dir().to_string_lossy().into_owned(), word(Reason::Unreadable))),
    }
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::TooDeep => "too deep",
        Reason::NotUtf8 => "name is not UTF-8",
        Reason::SameName => "another mailbox has the same name",
        Reason::Link => "a symbolic link",
        Reason::Unreadable => "cannot be read",
        _ => "not listed",
    }
}

/// Mailboxes that only their own name takes in.
fn is_set_apart(special: Option<SpecialUse>) -> bool {
    matches!(special, Some(SpecialUse::Drafts | SpecialUse::Junk | SpecialUse::Trash))
}

/// `Trash/*` means what is below Trash, `*` does not.
fn is_meant(pattern: &str, name: &str, special: Option<SpecialUse>) -> bool {
    let literal = pattern.split('*').next().unwrap_or_default();
    let says_so = || SpecialUse::by_usual_name(literal.trim_end_matches('/')) == special;
    matches(pattern, name) && (!is_set_apart(special) || says_so())
}

/// `*` stands for any text. INBOX is one name whatever the letters' case (RFC 9051 §5.1).
fn matches(pattern: &str, name: &str) -> bool {
    if name == "INBOX" && pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        // The leftmost occurrence leaves the most for the pieces to come.
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        let table = [
            ("INBOX", "INBOX", true),
            ("inbox", "INBOX", true),
            ("Inbox", "Sent", false),
            ("Sent", "Sent", true),
            ("Sent", "Sent/2024", false),
            ("Archive/*", "Archive/2024/May", true),
            ("Archive/*", "Archive", false),
            ("*", "INBOX", true),
            ("*", "Trash", false),
            ("*", "Drafts/old", false),
            ("Trash", "Trash", true),
            ("Tr*", "Trash", false),
            ("Trash/*", "Trash/2024", true),
            ("Junk*", "Junk", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "xab", false),
            ("", "INBOX", false),
        ];
        for (pattern, name, expected) in table {
            let meant = is_meant(pattern, name, SpecialUse::by_usual_name(name));
            assert_eq!(meant, expected, "{pattern} {name}");
        }
    }
}
