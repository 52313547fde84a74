//! What is known of a message from its header section. In: a look, a date, a size. Out: the same as octets, to be kept encrypted, and back.

use sealed::identity::MessageId;
use sealed::index::Index;
use zeroize::Zeroizing;

use crate::depot::view::{Listed, Look, View};

/// A message, without its body.
pub(crate) struct Head {
    /// INTERNALDATE.
    pub(crate) arrived: String,
    /// RFC822.SIZE of what lies there.
    pub(crate) size: u64,
    /// BODYSTRUCTURE of what lies there, once it was asked for.
    pub(crate) structure: Option<String>,
    pub(crate) look: Look,
}

const VERSION: u8 = 3;
/// Records are filled up to a multiple of this: their size says little.
const STEP: usize = 256;
const NONE: u64 = u64::MAX;

impl Head {
    pub(crate) fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut to = Zeroizing::new(vec![VERSION]);
        push_text(&mut to, self.arrived.as_bytes());
        to.extend_from_slice(&self.size.to_be_bytes());
        push_optional(&mut to, self.structure.as_deref().map(str::as_bytes));
        match &self.look {
            Look::File(view, header) => {
                to.push(view.number());
                push_optional(&mut to, header.as_deref());
            }
            Look::Sealed(index) => {
                to.push(View::Original.number());
                to.extend_from_slice(&index.id.0);
                to.extend_from_slice(&index.hash);
                to.extend_from_slice(&index.length.to_be_bytes());
                to.extend_from_slice(&index.wire_length.unwrap_or(NONE).to_be_bytes());
                to.extend_from_slice(&index.looked_through.to_be_bytes());
                push_text(&mut to, &index.fields);
                push_optional(&mut to, index.body_structure.as_deref().map(str::as_bytes));
                push_text(&mut to, index.omitted.join("\n").as_bytes());
                push_optional(&mut to, index.preview.as_deref().map(str::as_bytes));
            }
        }
        let filled = to.len().next_multiple_of(STEP);
        to.resize(filled, 0);
        to
    }

    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let mut from = octets.strip_prefix(&[VERSION])?;
        let arrived = text(&mut from)?;
        let size = number(&mut from)?;
        let structure = optional(&mut from)?.map(String::from_utf8).transpose().ok()?;
        let (view, rest) = from.split_first()?;
        from = rest;
        let look = match View::of_number(*view)? {
            View::Original => {
                let (id, rest) = from.split_first_chunk::<16>()?;
                from = rest;
                let (hash, rest) = from.split_first_chunk::<32>()?;
                from = rest;
                let length = number(&mut from)?;
                let wire_length = Some(number(&mut from)?).filter(|length| *length != NONE);
                let looked_through = number(&mut from)?;
                let fields = part(&mut from)?;
                let body_structure = optional(&mut from)?.map(String::from_utf8).transpose().ok()?;
                let omitted = text(&mut from)?.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                let preview = optional(&mut from)?.map(String::from_utf8).transpose().ok()?;
                let index = Index {
                    hash: *hash,
                    length,
                    wire_length,
                    looked_through,
                    fields,
                    body_structure,
                    omitted,
                    preview,
                    ..Index::default()
                };
                Look::Sealed(Box::new(Listed::new(MessageId(*id), index)))
            }
            view => Look::File(view, optional(&mut from)?),
        };
        Some(Self { arrived, size, structure, look })
    }
}

fn push_text(to: &mut Vec<u8>, octets: &[u8]) {
    to.extend_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(octets);
}

fn push_optional(to: &mut Vec<u8>, octets: Option<&[u8]>) {
    to.push(u8::from(octets.is_some()));
    push_text(to, octets.unwrap_or_default());
}

fn number(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(u64::from_be_bytes(*number))
}

fn part(from: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    let (octets, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *from = rest;
    Some(octets.to_vec())
}

fn text(from: &mut &[u8]) -> Option<String> {
    String::from_utf8(part(from)?).ok()
}

fn optional(from: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let (there, rest) = from.split_first()?;
    *from = rest;
    let octets = part(from)?;
    Some((*there != 0).then_some(octets))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written() {
        let index = Index {
            length: 7,
            hash: [3; 32],
            fields: b"Subject: x\r\n".to_vec(),
            omitted: vec!["to".to_owned()],
            ..Index::default()
        };
        for look in [
            Look::Sealed(Box::new(Listed::new(MessageId([7; 16]), index))),
            Look::File(View::Foreign, Some(b"a".to_vec())),
            Look::File(View::AsItLies, None),
        ] {
            let head = Head { arrived: "d".to_owned(), size: 9, structure: Some("(s)".to_owned()), look };
            let octets = head.write();
            let read = Head::read(&octets).unwrap();
            assert_eq!(read.write(), octets);
            for end in 0..20 {
                assert!(Head::read(octets.get(..end).unwrap()).is_none(), "{end}");
            }
        }
    }
}
