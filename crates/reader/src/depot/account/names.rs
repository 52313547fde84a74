//! Mailboxes of an account by name, as the server has them (RFC 3501 §6.3, RFC 2342, RFC 6154). In: what it tells. Out: the same, written for the mail program.

use wire::MailboxName;
use wire::imap::server::{Names, StatusItem, push_mailbox, push_string};
use wire::imap::{Namespace, Namespaces, Status};

use crate::answer::push_delimiter;

/// What is asked of the server to tell these.
pub(crate) fn asked(items: &[StatusItem]) -> String {
    let word = |item: &StatusItem| match item {
        StatusItem::Messages => Some("MESSAGES"),
        StatusItem::Recent => Some("RECENT"),
        StatusItem::UidNext => Some("UIDNEXT"),
        StatusItem::UidValidity => Some("UIDVALIDITY"),
        StatusItem::Unseen => Some("UNSEEN"),
        StatusItem::HighestModSeq => Some("HIGHESTMODSEQ"),
        // We know that ourselves.
        StatusItem::AppendLimit => None,
    };
    let words: Vec<&str> = items.iter().filter_map(word).collect();
    if words.is_empty() { "MESSAGES".to_owned() } else { words.join(" ") }
}

/// The line of STATUS; `None`: the server did not tell all that was asked.
pub(crate) fn status_line(
    (name, names): (&MailboxName, Names),
    items: &[StatusItem],
    status: &Status,
    limit: u64,
) -> Option<Vec<u8>> {
    let told = items.iter().map(|item| {
        Some(match item {
            StatusItem::Messages => format!("MESSAGES {}", status.messages?),
            StatusItem::Recent => format!("RECENT {}", status.recent?),
            StatusItem::UidNext => format!("UIDNEXT {}", status.uid_next?),
            StatusItem::UidValidity => format!("UIDVALIDITY {}", status.uid_validity?),
            StatusItem::Unseen => format!("UNSEEN {}", status.unseen?),
            // quirk: a mailbox that does not count its changes has none of them (RFC 7162 §3.1.7).
            StatusItem::HighestModSeq => format!("HIGHESTMODSEQ {}", status.highest_modseq.unwrap_or_default()),
            StatusItem::AppendLimit => format!("APPENDLIMIT {limit}"),
        })
    });
    let told: Vec<String> = told.collect::<Option<_>>()?;
    let mut line = b"* STATUS ".to_vec();
    push_mailbox(&mut line, name, names);
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
