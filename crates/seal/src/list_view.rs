//! What a list of messages needs, so that the body need not be fetched: INDEX, filled from the original and cut down to
//! its budget (format §4.5, A10, Choice e). In: what was learnt while the original was read; out: CBOR octets.

use mail::HeaderSection;
use sealed::{field_blob, index::Index};

use crate::copies;

/// Header fields selected, in this order; when room runs out they go from the end, but these four stay longest.
const SELECTED: [&str; 13] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Date",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "List-Id",
    "Content-Type",
];
const STAY_LONGEST: [&str; 4] = ["Date", "Subject", "Message-ID", "From"];
/// Parts of `Sealed-Fields` that the blob may take by default.
const PARTS: usize = 4;
/// A copied field longer than this is left out at once: no budget would hold it.
const MAX_FIELD: usize = 2048;
/// Of fields that occur again and again so many are taken, and no more than this together: nobody lists more, and giving
/// them up one by one would take time without end.
const MAX_OCCURRENCES: usize = 16;
const MAX_SELECTED: usize = 16 * 1024;
const SHORT_REFERENCES: usize = 3;
const SHORT_ADDRESSES: usize = 10;

/// Selects the fields of `section` into `index`, and writes it so that it fits the budget. What was left out or shortened
/// is named in it.
pub fn write(mut index: Index, section: &HeaderSection<'_>) -> Vec<u8> {
    let budget = field_blob::index_capacity(PARTS);
    let mut fields = select(section, &mut index.omitted);
    let fill = |index: &mut Index, fields: &[Copied]| {
        index.fields = fields.iter().flat_map(|field| field.lines.iter().copied()).collect();
        index.write()
    };
    let mut octets = fill(&mut index, &fields);
    for give_up in STEPS {
        if octets.len() <= budget {
            return octets;
        }
        if let Some(name) = give_up(&mut index, &mut fields) {
            index.omitted.push(name.to_owned());
            octets = fill(&mut index, &fields);
        }
    }
    while octets.len() > budget {
        let longest = |field: &Copied| STAY_LONGEST.iter().position(|name| *name == field.name);
        let Some(position) = (0..fields.len()).rev().max_by_key(|&position| {
            // Ordinary fields from the end first, then those that stay longest, From last.
            let stays = fields.get(position).and_then(longest);
            (stays.is_none(), STAY_LONGEST.len() - stays.unwrap_or(0), position)
        }) else {
            break;
        };
        index.omitted.push(fields.remove(position).name.to_ascii_lowercase());
        index.omitted.dedup();
        octets = fill(&mut index, &fields);
    }
    // Whoever sent a message must not be able to hide what was found out about it behind long fields of his own.
    if octets.len() > budget && index.authentication_results.take().is_some() {
        index.omitted.push("authentication-results".to_owned());
        octets = fill(&mut index, &fields);
    }
    // Last of all: who a held message is for is told nowhere else.
    if octets.len() > budget && !std::mem::take(&mut index.envelope).is_empty() {
        index.omitted.push("envelope".to_owned());
        octets = fill(&mut index, &fields);
    }
    octets
}

/// One copied field.
struct Copied {
    name: &'static str,
    lines: Vec<u8>,
}

type Step = fn(&mut Index, &mut Vec<Copied>) -> Option<&'static str>;

/// What is given up, in order.
const STEPS: [Step; 8] = [
    |index, _| index.preview.take().map(|_| "preview"),
    |index, _| index.body_structure.take().map(|_| "bodystructure"),
    |_, fields| shorten(fields, "References"),
    |_, fields| shorten(fields, "To"),
    |_, fields| shorten(fields, "Cc"),
    |_, fields| shorten(fields, "Bcc"),
    |index, _| (!std::mem::take(&mut index.flags).is_empty()).then_some("flags"),
    |index, _| index.mailbox.take().map(|_| "mailbox"),
];

fn select(section: &HeaderSection<'_>, omitted: &mut Vec<String>) -> Vec<Copied> {
    let mut fields: Vec<Copied> = Vec::new();
    let mut total = 0;
    for name in SELECTED {
        for (occurrence, field) in section.all(name).enumerate() {
            if occurrence == MAX_OCCURRENCES || total > MAX_SELECTED {
                omitted.push(name.to_ascii_lowercase());
                break;
            }
            let lines = copies::inside(name, field);
            let long = lines.len() > MAX_FIELD;
            let lines = if long { shortened(name, &lines) } else { Some(lines) };
            if long {
                omitted.push(name.to_ascii_lowercase());
            }
            total += lines.as_ref().map_or(0, Vec::len);
            fields.extend(lines.map(|lines| Copied { name, lines }));
        }
    }
    omitted.dedup();
    fields
}

fn shorten(fields: &mut [Copied], name: &str) -> Option<&'static str> {
    let mut changed = None;
    for field in fields.iter_mut().filter(|field| field.name == name) {
        if let Some(lines) = shortened(field.name, &field.lines).filter(|lines| lines.len() < field.lines.len()) {
            field.lines = lines;
            changed = Some(match field.name {
                "References" => "references",
                "To" => "to",
                "Cc" => "cc",
                _ => "bcc",
            });
        }
    }
    changed
}

/// The last ids of References, the first addresses of a list. None for what cannot be shortened.
fn shortened(name: &str, lines: &[u8]) -> Option<Vec<u8>> {
    let section = HeaderSection::parse(lines);
    let value = section.first(name)?.unfolded();
    match name {
        "References" => {
            let ids: Vec<&[u8]> = value.split(u8::is_ascii_whitespace).filter(|id| !id.is_empty()).collect();
            let kept = ids.get(ids.len().saturating_sub(SHORT_REFERENCES)..).unwrap_or_default().join(&b' ');
            (kept.len() <= MAX_FIELD).then(|| [b"References: ", kept.as_slice(), b"\r\n"].concat())
        }
        "To" | "Cc" | "Bcc" => {
            let list = mail::AddressList::parse(&value);
            let addresses: Vec<&[u8]> =
                list.addresses().take(SHORT_ADDRESSES).map(|address| address.verbatim()).collect();
            let kept = addresses.join(&b", "[..]);
            (kept.len() <= MAX_FIELD).then(|| [name.as_bytes(), b": ", kept.as_slice(), b"\r\n"].concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_of(message: &str, index: Index) -> Index {
        let octets = write(index, &HeaderSection::parse(message.as_bytes()));
        assert!(octets.len() <= field_blob::index_capacity(PARTS));
        Index::parse(&octets).expect("an INDEX")
    }

    #[test]
    fn what_fits_is_whole() {
        let index =
            index_of("Subject: a\r\nX: y\r\nFrom: b\r\n\r\n", Index { preview: Some("p".into()), ..Index::default() });
        assert_eq!(index.fields, b"From: b\r\nSubject: a\r\n");
        assert!(index.omitted.is_empty() && index.preview.is_some());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let many: Vec<String> =
            (0..60).map(|number| format!("someone{number} <someone{number}@example.test>")).collect();
        let message = format!(
            "From: a@b\r\nTo: {}\r\nSubject: {}\r\nReferences: {}\r\n\r\n",
            many.join(",\r\n "),
            "s".repeat(1500),
            "<id@x> ".repeat(200)
        );
        let index = index_of(&message, Index { preview: Some("p".repeat(200)), ..Index::default() });
        assert_eq!(index.omitted, ["to", "preview", "references"]);
        let section = HeaderSection::parse(&index.fields);
        assert_eq!(section.first("References").expect("kept").unfolded(), b"<id@x> <id@x> <id@x>");
        assert_eq!(mail::AddressList::parse(&section.first("To").expect("kept").unfolded()).addresses().count(), 10);
    }

    #[test]
    fn a_field_without_end_is_cut_at_once() {
        let index = index_of(&("From: a@b\r\n".to_owned() + &"Subject: x\r\n".repeat(100_000)), Index::default());
        assert_eq!(HeaderSection::parse(&index.fields).all("Subject").count(), MAX_OCCURRENCES);
        assert_eq!(index.omitted, ["subject"]);
    }

    #[test]
    fn the_subject_outlasts_ordinary_fields() {
        let message = format!(
            "From: a@b\r\nSender: {0}\r\nReply-To: {0}\r\nSubject: {0}\r\nContent-Type: {0}\r\n\r\n",
            "x".repeat(900)
        );
        let index = index_of(&message, Index::default());
        let section = HeaderSection::parse(&index.fields);
        assert!(section.first("Subject").is_some() && section.first("From").is_some());
        assert_eq!(index.omitted, ["content-type", "reply-to"]);
    }
}
