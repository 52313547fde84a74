//! The mailboxes of an account.
//!
//! In: a session. Out: the selectable mailboxes of the personal namespace (RFC 2342), each with the name that people write
//! (`/` between the levels, whatever the server uses) and its special use (RFC 6154). Never looks into a mailbox.

use std::fmt;

use wire::imap::{ImapError, Listed, MailboxName, Namespace, Session};

use crate::special::SpecialUse;

/// A mailbox of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: String,
    wire: MailboxName,
    special: Option<SpecialUse>,
}

/// The mailboxes of an account.
#[derive(Debug)]
pub struct Listing {
    /// In the server's order, INBOX first.
    pub mailboxes: Vec<Mailbox>,
    /// Whether the server says what they are for. If not, [`Mailbox::special_use`] is guessed from usual names.
    pub says_uses: bool,
}

impl Mailbox {
    /// Its name, with `/` between the levels.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name as the server knows it.
    pub fn wire(&self) -> &MailboxName {
        &self.wire
    }

    /// What it is for.
    pub fn special_use(&self) -> Option<SpecialUse> {
        self.special
    }

    /// A mailbox by the name that people write, on a server with that delimiter.
    pub fn named(name: &str, delimiter: Option<char>) -> Mailbox {
        let on_server: String = match delimiter {
            Some(delimiter) => name.replace('/', &delimiter.to_string()),
            None => name.to_owned(),
        };
        let special = SpecialUse::by_usual_name(name);
        Mailbox { name: name.to_owned(), wire: MailboxName::from_utf8(&on_server), special }
    }

    fn of(listed: &Listed) -> Mailbox {
        let utf8 = listed.name.utf8();
        let name = match listed.delimiter {
            Some('/') | None => utf8,
            Some(delimiter) => utf8.replace(delimiter, "/"),
        };
        let special = special_use(&listed.attributes).or_else(|| SpecialUse::by_usual_name(&name));
        Mailbox { name, wire: listed.name.clone(), special }
    }
}

impl fmt::Debug for Mailbox {
    /// A mailbox's name may tell something; it is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("special", &self.special).finish_non_exhaustive()
    }
}

/// Lists what can be selected in the personal namespace (A13).
pub fn list(session: &mut Session) -> Result<Listing, ImapError> {
    let namespaces = session.namespaces()?;
    let mut listed: Vec<Listed> = Vec::new();
    for Namespace { prefix, .. } in &namespaces.personal {
        for one in session.list("", &format!("{prefix}*"))? {
            if !listed.iter().any(|other| other.name == one.name) {
                listed.push(one);
            }
        }
    }
    // A prefix like "INBOX." does not match INBOX itself.
    if !listed.iter().any(|one| one.name.wire() == "INBOX") {
        listed.extend(session.list("", "INBOX")?);
    }
    let foreign: Vec<&str> = namespaces
        .others
        .iter()
        .chain(&namespaces.shared)
        .map(|namespace| namespace.prefix.as_str())
        .filter(|prefix| !prefix.is_empty())
        .collect();
    listed.retain(|one| is_selectable(one) && !foreign.iter().any(|prefix| one.name.wire().starts_with(prefix)));
    let says_uses = session.has("SPECIAL-USE")
        || session.has("XLIST")
        || listed.iter().any(|one| special_use(&one.attributes).is_some());
    let mut mailboxes: Vec<Mailbox> = listed.iter().map(Mailbox::of).collect();
    mailboxes.sort_by_key(|mailbox| mailbox.name != "INBOX");
    Ok(Listing { mailboxes, says_uses })
}

fn is_selectable(listed: &Listed) -> bool {
    let bars = ["\\Noselect", "\\NonExistent"];
    !listed.attributes.iter().any(|attribute| bars.iter().any(|bar| attribute.eq_ignore_ascii_case(bar)))
}

fn special_use(attributes: &[String]) -> Option<SpecialUse> {
    const USES: [(&str, SpecialUse); 9] = [
        ("\\All", SpecialUse::All),
        ("\\AllMail", SpecialUse::All),
        ("\\Archive", SpecialUse::Archive),
        ("\\Drafts", SpecialUse::Drafts),
        ("\\Flagged", SpecialUse::Flagged),
        ("\\Junk", SpecialUse::Junk),
        ("\\Spam", SpecialUse::Junk),
        ("\\Sent", SpecialUse::Sent),
        ("\\Trash", SpecialUse::Trash),
    ];
    let of = |attribute: &String| USES.iter().find(|(name, _)| attribute.eq_ignore_ascii_case(name));
    attributes.iter().find_map(of).map(|&(_, special)| special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_with_slashes() {
        let listed = |name: &str, delimiter, attributes: &[&str]| {
            let attributes = attributes.iter().map(|&attribute| attribute.to_owned()).collect();
            Mailbox::of(&Listed { name: MailboxName::from_wire(name), delimiter, attributes })
        };
        let table = [
            (listed("Archive.2024", Some('.'), &[]), "Archive/2024", Some(SpecialUse::Archive)),
            (listed("a/b", Some('/'), &["\\HasNoChildren"]), "a/b", None),
            (listed("Entw&APw-rfe", Some('/'), &["\\drafts"]), "Entwürfe", Some(SpecialUse::Drafts)),
            (listed("Trash", None, &[]), "Trash", Some(SpecialUse::Trash)),
        ];
        for (mailbox, name, special) in table {
            assert_eq!((mailbox.name(), mailbox.special_use()), (name, special));
        }
        assert_eq!(Mailbox::named("a/ü", Some('.')).wire().wire(), "a.&APw-");
    }
}
