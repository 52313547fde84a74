//! FETCH (RFC 9051 §6.4.5). In: the items and one message. Out: the answer's octets. Knows header and text, and no parts of a body.

use super::command::Word;
use super::message::Stored;

/// What is asked for.
pub(crate) enum Item {
    Uid,
    Flags,
    Date,
    Size,
    Modseq,
    GmailMessage,
    GmailThread,
    GmailLabels,
    Body { section: String, part: Option<(usize, usize)>, peek: bool },
}

/// `None` for an item that is not known here.
pub(crate) fn items(word: &Word) -> Option<Vec<Item>> {
    let texts = word.texts();
    let texts: Vec<&str> = texts
        .iter()
        .flat_map(|text| match text.to_ascii_uppercase().as_str() {
            "FAST" => vec!["FLAGS", "INTERNALDATE", "RFC822.SIZE"],
            _ => vec![text.as_str()],
        })
        .collect();
    texts.into_iter().map(item).collect()
}

fn item(text: &str) -> Option<Item> {
    let upper = text.to_ascii_uppercase();
    let body = |section: &str, peek| Some(Item::Body { section: section.to_owned(), part: None, peek });
    match upper.as_str() {
        "UID" => Some(Item::Uid),
        "FLAGS" => Some(Item::Flags),
        "INTERNALDATE" => Some(Item::Date),
        "RFC822.SIZE" => Some(Item::Size),
        "MODSEQ" => Some(Item::Modseq),
        "X-GM-MSGID" => Some(Item::GmailMessage),
        "X-GM-THRID" => Some(Item::GmailThread),
        "X-GM-LABELS" => Some(Item::GmailLabels),
        "RFC822" => body("", false),
        "RFC822.HEADER" => body("HEADER", true),
        "RFC822.TEXT" => body("TEXT", false),
        _ => {
            let peek = upper.starts_with("BODY.PEEK[");
            let rest = if peek { upper.strip_prefix("BODY.PEEK[") } else { upper.strip_prefix("BODY[") }?;
            let (section, end) = rest.split_once(']')?;
            let part = match end.strip_prefix('<') {
                None => None,
                Some(range) => {
                    let (from, count) = range.strip_suffix('>')?.split_once('.')?;
                    Some((from.parse().ok()?, count.parse().ok()?))
                }
            };
            let known = ["", "HEADER", "TEXT"].contains(&section) || section.starts_with("HEADER.FIELDS");
            known.then(|| Item::Body { section: section.to_owned(), part, peek })
        }
    }
}

/// Whether fetching this makes a message `\Seen`.
pub(crate) fn reads(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Body { peek: false, .. }))
}

pub(crate) fn answer(sequence: u32, uid: u32, message: &Stored, labels: &[String], items: &[Item]) -> Vec<u8> {
    let mut octets = format!("* {sequence} FETCH (").into_bytes();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            octets.push(b' ');
        }
        match item {
            Item::Uid => octets.extend(format!("UID {uid}").bytes()),
            Item::Flags => octets.extend(format!("FLAGS ({})", message.flags.join(" ")).bytes()),
            Item::Date => octets.extend(format!("INTERNALDATE \"{}\"", message.date).bytes()),
            Item::Size => octets.extend(format!("RFC822.SIZE {}", message.octets.len()).bytes()),
            Item::Modseq => octets.extend(format!("MODSEQ ({})", message.modseq).bytes()),
            Item::GmailMessage => octets.extend(format!("X-GM-MSGID {}", message.number).bytes()),
            Item::GmailThread => octets.extend(format!("X-GM-THRID {}", message.number).bytes()),
            Item::GmailLabels => {
                let shown: Vec<String> = labels.iter().map(|label| quoted(label)).collect();
                octets.extend(format!("X-GM-LABELS ({})", shown.join(" ")).bytes());
            }
            Item::Body { section, part, .. } => {
                let whole = body(message, section);
                let from = part.map_or(0, |(from, _)| from.min(whole.len()));
                let count = part.map_or(whole.len(), |(_, count)| count).min(whole.len() - from);
                let range = part.map_or(String::new(), |(from, _)| format!("<{from}>"));
                octets.extend(format!("BODY[{section}]{range} {{{count}}}\r\n").bytes());
                octets.extend(&whole[from..from + count]);
            }
        }
    }
    octets.extend(b")\r\n");
    octets
}

fn body(message: &Stored, section: &str) -> Vec<u8> {
    match section {
        "" => message.octets.clone(),
        "HEADER" => message.header().to_vec(),
        "TEXT" => message.text().to_vec(),
        _ => {
            let names = section.split_once('(').map_or("", |(_, names)| names.trim_end_matches(')'));
            let names: Vec<String> = names.split(' ').map(|name| name.trim_matches('"').to_owned()).collect();
            message.fields(&names, section.starts_with("HEADER.FIELDS.NOT"))
        }
    }
}

/// Gmail's own labels begin with a backslash and are quoted as any other.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
