//! Mailboxes by name: LIST, STATUS, CREATE (RFC 3501 §6.3, RFC 6154). In: names and patterns in modified UTF-7. Out: the Maildir's mailboxes. The
//! hierarchy is `/`; all mailboxes are subscribed.

use std::io::{self, Write};

use store::maildir::{CreateError, ListError};
use store::{Database, Flags, Mailbox, Maildir, Place, SpecialUse};
use wire::MailboxName;
use wire::imap::Listed;
use wire::imap::server::{MAX_APPEND, Names, StatusItem, push_mailbox};

use super::census::{LookError, census};
use crate::answer::Answer;

/// The name that a mailbox has on the wire: as it is spelled on disk, where that is ASCII.
pub(crate) fn wire_name(mailbox: &Mailbox) -> String {
    let name = mailbox.name();
    if name.is_ascii() { name.to_owned() } else { MailboxName::from_utf8(name).wire().to_owned() }
}

/// The name on disk of a mailbox that has this one on the wire: folders are spelled in UTF-8, or as Dovecot does it, in modified UTF-7.
pub(crate) fn name_on_disk(maildir: &Maildir, wire: &str) -> Result<String, ListError> {
    let there = find(maildir, &MailboxName::from_wire(wire))?;
    Ok(there.map_or_else(|| wire.to_owned(), |mailbox| mailbox.name().to_owned()))
}

/// The mailbox of that name.
pub(crate) fn find(maildir: &Maildir, name: &MailboxName) -> Result<Option<Mailbox>, ListError> {
    if name.wire() == "INBOX" {
        return Ok(Some(maildir.inbox()));
    }
    Ok(maildir.list()?.mailboxes.into_iter().find(|mailbox| wire_name(mailbox) == name.wire()))
}

/// The mailboxes whose names fit.
pub(crate) fn list(maildir: &Maildir, pattern: &str) -> Result<Vec<Listed>, Answer> {
    let delimiter = Some('/');
    if pattern.is_empty() {
        let attributes = vec!["\\Noselect".to_owned()];
        return Ok(vec![Listed { name: MailboxName::from_wire(""), delimiter, attributes }]);
    }
    let listing = maildir.list().map_err(|_| Answer::unreadable())?;
    let names: Vec<String> = listing.mailboxes.iter().map(wire_name).collect();
    let (mut used, mut all) = (Vec::new(), Vec::new());
    for (mailbox, name) in listing.mailboxes.iter().zip(&names) {
        if !matches(pattern, name) {
            continue;
        }
        let below = format!("{name}/");
        let has_children = names.iter().any(|other| other.starts_with(&below));
        let mut attributes = vec![if has_children { "\\HasChildren" } else { "\\HasNoChildren" }];
        // One mailbox of each use: what lies below it is not another one.
        if let Some(special) = mailbox.special_use().filter(|special| !name.contains('/') && !used.contains(special)) {
            used.push(special);
            attributes.push(attribute(special));
        }
        let attributes = attributes.into_iter().map(str::to_owned).collect();
        all.push(Listed { name: MailboxName::from_wire(name), delimiter, attributes });
    }
    Ok(all)
}

/// Answers STATUS.
pub(crate) fn status(
    database: &Database,
    maildir: &Maildir,
    (name, names): (&MailboxName, Names),
    items: &[StatusItem],
    out: &mut dyn Write,
) -> io::Result<Answer> {
    if items.contains(&StatusItem::HighestModSeq) {
        return Ok(Answer::Bad("changes are not counted here"));
    }
    let mailbox = match find(maildir, name) {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => return Ok(Answer::nonexistent()),
        Err(_) => return Ok(Answer::unreadable()),
    };
    let census = match census(database, maildir.root(), &mailbox) {
        Ok(census) => census,
        Err(LookError::Scan(_)) => return Ok(Answer::unreadable()),
        Err(LookError::State(_)) => return Ok(Answer::state()),
    };
    let (validity, next) = (census.numbered.validity, census.numbered.next);
    let (mut messages, mut recent, mut unseen) = (0_usize, 0_usize, 0_usize);
    for (_, message) in census.entries() {
        messages = messages.saturating_add(1);
        recent = recent.saturating_add(usize::from(message.place() == Place::New));
        unseen = unseen.saturating_add(usize::from(!message.flags().contains(Flags::SEEN)));
    }
    let told = items.iter().filter_map(|item| {
        Some(match item {
            StatusItem::Messages => format!("MESSAGES {messages}"),
            StatusItem::Recent => format!("RECENT {recent}"),
            StatusItem::UidNext => format!("UIDNEXT {next}"),
            StatusItem::UidValidity => format!("UIDVALIDITY {validity}"),
            StatusItem::Unseen => format!("UNSEEN {unseen}"),
            StatusItem::AppendLimit => format!("APPENDLIMIT {MAX_APPEND}"),
            StatusItem::HighestModSeq => return None,
        })
    });
    let told: Vec<String> = told.collect();
    let mut line = b"* STATUS ".to_vec();
    push_mailbox(&mut line, &MailboxName::from_wire(&wire_name(&mailbox)), names);
    line.extend_from_slice(format!(" ({})\r\n", told.join(" ")).as_bytes());
    out.write_all(&line)?;
    Ok(Answer::ok("done"))
}

/// Answers CREATE.
pub(crate) fn create(maildir: &Maildir, name: &MailboxName) -> Answer {
    // A trailing delimiter says that mailboxes below it will follow (RFC 3501 §6.3.3).
    let name = name.wire().strip_suffix('/').unwrap_or(name.wire());
    match maildir.create(name) {
        Ok(_) => Answer::ok("done"),
        Err(CreateError::Exists) => Answer::no("[ALREADYEXISTS] there is a mailbox of that name"),
        Err(CreateError::Name) => Answer::no("[CANNOT] a mailbox cannot have that name"),
        Err(_) => Answer::no("[UNAVAILABLE] the mailbox cannot be made now"),
    }
}

fn attribute(special: SpecialUse) -> &'static str {
    match special {
        SpecialUse::All => "\\All",
        SpecialUse::Archive => "\\Archive",
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Flagged => "\\Flagged",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
    }
}

/// `*` stands for any text, `%` for any without `/` (RFC 3501 §6.3.8). INBOX is one name whatever its letters' case.
fn matches(pattern: &str, name: &str) -> bool {
    if name == "INBOX" {
        return fits(pattern.to_ascii_uppercase().as_bytes(), name.as_bytes());
    }
    fits(pattern.as_bytes(), name.as_bytes())
}

/// Goes back to the last wildcard only: linear for each, as a later one can do all that an earlier one could.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // Which suffixes of the pattern fit what was read of the name; one step a letter.
    let mut live = vec![false; pattern.len().saturating_add(1)];
    if let Some(first) = live.first_mut() {
        *first = true;
    }
    spread(&mut live, pattern);
    for &letter in name {
        let mut next = vec![false; live.len()];
        for (at, &token) in pattern.iter().enumerate() {
            if !live.get(at).copied().unwrap_or_default() {
                continue;
            }
            let stays = token == b'*' || (token == b'%' && letter != b'/');
            let steps = !matches!(token, b'*' | b'%') && token == letter;
            let to = if stays { at } else { at.saturating_add(1) };
            if (stays || steps)
                && let Some(place) = next.get_mut(to)
            {
                *place = true;
            }
        }
        live = next;
        spread(&mut live, pattern);
    }
    live.last().copied().unwrap_or_default()
}

/// A wildcard may stand for nothing.
fn spread(live: &mut [bool], pattern: &[u8]) {
    for (at, &token) in pattern.iter().enumerate() {
        if matches!(token, b'*' | b'%')
            && live.get(at).copied().unwrap_or_default()
            && let Some(next) = live.get_mut(at.saturating_add(1))
        {
            *next = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_rfc_3501_says() {
        for (pattern, name, expected) in [
            ("*", "A/B", true),
            ("%", "A/B", false),
            ("%", "A", true),
            ("A/%", "A/B", true),
            ("A/%", "A/B/C", false),
            ("%/%", "A/B", true),
            ("A*C", "A/B/C", true),
            ("A%C", "A/B/C", false),
            ("inbox", "INBOX", true),
            ("in*", "INBOX", true),
            ("sent", "Sent", false),
            ("", "A", false),
            ("**%%", "A/B", true),
            ("*B", "A/BB", true),
            ("%B*", "AB/C", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(500), &"a".repeat(400)));
    }
}
