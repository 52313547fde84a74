//! What a list of messages needs, so that the body need not be fetched: INDEX, filled from the original and cut down to
//! its budget (format §4.5, A10, Choice e). In: what was learnt while the original was read; out: CBOR octets.

use mail::HeaderSection;
use sealed::{
    field_blob::{self, PADDING},
    index::{FURTHER, Index, SELECTED},
};

use crate::copies;

/// When room runs out selected fields go from the end, but these four stay longest.
const STAY_LONGEST: [&str; 4] = ["Date", "Subject", "Message-ID", "From"];
/// Parts of `Sealed-Fields` that the blob may take by default.
const PARTS: usize = 4;
/// A copied field longer than this is left out at once: no budget would hold it.
const MAX_FIELD: usize = 2048;
/// Of fields that occur again and again so many are taken, and no more than this together: nobody lists more, and giving
/// them up one by one would take time without end.
const MAX_OCCURRENCES: usize = 16;
const MAX_SELECTED: usize = 16 * 1024;
/// A further field may be as long as this where it makes the blob larger.
const MAX_FURTHER: usize = 96;
const SHORT_REFERENCES: usize = 3;
const SHORT_ADDRESSES: usize = 10;

/// Selects the fields of `section` into `index`, and writes it so that it fits the budget. What was left out or shortened
/// is named in it.
pub fn write(index: Index, section: &HeaderSection<'_>) -> Vec<u8> {
    let (index, octets) = write_selected(index, section);
    look_through(index, octets, section)
}

/// Adds the further fields that mail programs list by (key 16): short ones; longer ones as far as padding would stand in their place.
fn look_through(index: Index, octets: Vec<u8>, section: &HeaderSection<'_>) -> Vec<u8> {
    let budget = field_blob::index_capacity(PARTS);
    let padded = |octets: &[u8]| octets.len().saturating_add(4).next_multiple_of(PADDING);
    let mut best = (index, octets);
    for (list, names) in (1..).zip(FURTHER) {
        let mut next = (Index { looked_through: list, ..best.0.clone() }, Vec::new());
        next.1 = next.0.write();
        for &name in names {
            let mut lines = Vec::new();
            for field in section.all(name).take(MAX_OCCURRENCES) {
                lines.extend_from_slice(&copies::inside(name, field));
            }
            if lines.is_empty() {
                continue;
            }
            let whole = section.all(name).nth(MAX_OCCURRENCES).is_none();
            let with = Index { fields: [next.0.fields.as_slice(), &lines].concat(), ..next.0.clone() };
            let octets = with.write();
            let is_free = padded(&octets) == padded(&next.1);
            if whole && octets.len() <= budget && (is_free || (list == 1 && lines.len() <= MAX_FURTHER)) {
                next = (with, octets);
                continue;
            }
            if list > 1 {
                // The earlier list is what can be said.
                return best.1;
            }
            next.0.omitted.push(name.to_ascii_lowercase());
            next.1 = next.0.write();
        }
        if next.1.len() > budget {
            return best.1;
        }
        best = next;
    }
    best.1
}

fn write_selected(mut index: Index, section: &HeaderSection<'_>) -> (Index, Vec<u8>) {
    let budget = field_blob::index_capacity(PARTS);
    let mut fields = select(section, &mut index.omitted);
    let fill = |index: &mut Index, fields: &[Copied]| {
        index.fields = fields.iter().flat_map(|field| field.lines.iter().copied()).collect();
        index.write()
    };
    let mut octets = fill(&mut index, &fields);
    for give_up in STEPS {
        if octets.len() <= budget {
            return (index, octets);
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
    (index, octets)
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
    fn further_fields_are_looked_through() {
        let long = format!("<https://{}>", "u".repeat(400));
        let received = "Received: from a by b with ESMTP; Tue, 3 Mar 2026 19:42:07 +0100\r\n".repeat(6);
        let padded = |message: &str| {
            let octets = write(Index::default(), &HeaderSection::parse(message.as_bytes()));
            octets.len().saturating_add(4).next_multiple_of(PADDING)
        };
        for (header, list, fields, omitted) in [
            ("X-Priority: 1\r\nX: y\r\n".to_owned(), 3, "X-Priority: 1\r\n", &[][..]),
            ("Received: by x; y\r\nLines: 3\r\n".to_owned(), 3, "Lines: 3\r\nReceived: by x; y\r\n", &[]),
            // Long ones only where there would be padding.
            (received.clone(), 2, "", &[]),
            (format!("List-Unsubscribe: {long}\r\n{received}"), 1, "", &[]),
            (format!("X-Original-To: {long}\r\nLines: 3\r\n{received}"), 2, "Lines: 3\r\n", &["x-original-to"]),
            // As many as nobody lists by are as one too long.
            ("X-Label: x\r\n".repeat(100), 3, "", &["x-label"]),
        ] {
            let index = index_of(&header, Index::default());
            assert_eq!((index.looked_through, &*index.fields), (list, fields.as_bytes()), "{header}");
            assert_eq!(index.omitted, omitted, "{header}");
            assert_eq!(padded(&header), padded(""), "{header}");
        }
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
