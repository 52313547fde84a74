//! Mailboxes of an account by name, as the server has them (RFC 3501 §6.3, RFC 2342, RFC 6154). In: what it tells. Out: the same, written for the mail program.

use std::io::{self, Write};

use wire::MailboxName;
use wire::imap::server::{StatusItem, push_astring, push_string};
use wire::imap::{Listed, Namespace, Namespaces, Status};

use crate::bridge::depot::Listing;

/// A line of LIST or LSUB.
pub(crate) fn write_listed(listing: Listing, listed: &Listed, out: &mut dyn Write) -> io::Result<()> {
    let mut line = format!("* {} ({}) ", listing.verb(), listed.attributes.join(" ")).into_bytes();
    push_delimiter(&mut line, listed.delimiter);
    line.push(b' ');
    push_astring(&mut line, listed.name.wire().as_bytes());
    line.extend_from_slice(b"\r\n");
    out.write_all(&line)
}

/// The line of STATUS; `None`: the server did not tell all that was asked.
pub(crate) fn status_line(name: &MailboxName, items: &[StatusItem], status: &Status) -> Option<Vec<u8>> {
    let told = items.iter().map(|item| {
        Some(match item {
            StatusItem::Messages => format!("MESSAGES {}", status.messages?),
            StatusItem::Recent => format!("RECENT {}", status.recent?),
            StatusItem::UidNext => format!("UIDNEXT {}", status.uid_next?),
            StatusItem::UidValidity => format!("UIDVALIDITY {}", status.uid_validity?),
            StatusItem::Unseen => format!("UNSEEN {}", status.unseen?),
        })
    });
    let told: Vec<String> = told.collect::<Option<_>>()?;
    let mut line = b"* STATUS ".to_vec();
    push_astring(&mut line, name.wire().as_bytes());
    line.extend_from_slice(format!(" ({})\r\n", told.join(" ")).as_bytes());
    Some(line)
}

/// What stands behind `NAMESPACE`.
pub(crate) fn namespaces_text(namespaces: &Namespaces) -> String {
    let kinds = [&namespaces.personal, &namespaces.others, &namespaces.shared];
    kinds.map(|kind| kind_text(kind)).join(" ")
}

fn kind_text(kind: &[Namespace]) -> String {
    if kind.is_empty() {
        return "NIL".to_owned();
    }
    let mut text = b"(".to_vec();
    for namespace in kind {
        text.push(b'(');
        push_string(&mut text, namespace.prefix.as_bytes());
        text.push(b' ');
        push_delimiter(&mut text, namespace.delimiter);
        text.push(b')');
    }
    text.push(b')');
    String::from_utf8_lossy(&text).into_owned()
}

fn push_delimiter(to: &mut Vec<u8>, delimiter: Option<char>) {
    match delimiter {
        None => to.extend_from_slice(b"NIL"),
        Some(delimiter) => push_string(to, delimiter.to_string().as_bytes()),
    }
}
