//! INDEX: the protected header fields and what else a list needs, as a deterministic CBOR map (RFC 8949 §4.2, format §4.5).
//! A typed view in, octets out, and back. Unknown keys are ignored when reading. It never interprets a field.

use minicbor::{Decoder, Encoder, data::Type};

use crate::identity::Hash;

/// Header fields selected for key 5, in this order.
pub const SELECTED: [&str; 13] = [
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

/// Further fields that mail programs list by, in the lists that key 16 numbers from one; each list holds those before it too.
pub const FURTHER: [&[&str]; 3] = [
    // Nearly always absent, or short.
    &[
        "Priority",
        "X-Priority",
        "Importance",
        "Newsgroups",
        "Lines",
        "Content-Description",
        "X-Label",
        "X-Original-To",
        "List-Post",
        "X-K9mail-Identity",
        "Chat-Version",
    ],
    // In all mail of lists, and long at times.
    &["List-Subscribe", "List-Unsubscribe"],
    // In nearly all mail that came from elsewhere, and long.
    &["Received", "Autocrypt"],
];

/// What INDEX holds; the numbers are the map's keys.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Index {
    /// 1: octets of the original.
    pub length: u64,
    /// 2: SHA-256 of the original.
    pub hash: Hash,
    /// 3: when it was sealed, Unix seconds.
    pub time: u64,
    /// 4: running number of the sealer for this account; 0 = not counted.
    pub sequence: u64,
    /// 5: selected header fields, sanitised lines each ended by CRLF.
    pub fields: Vec<u8>,
    /// 6: INTERNALDATE at sealing, IMAP date-time.
    pub internal_date: Option<String>,
    /// 7: mailbox at sealing.
    pub mailbox: Option<String>,
    /// 8: flags, keywords, labels at sealing.
    pub flags: Vec<String>,
    /// 9: Authentication-Results of the trusted receiving system at sealing (RFC 8601).
    pub authentication_results: Option<String>,
    /// 10: BODYSTRUCTURE of the original.
    pub body_structure: Option<String>,
    /// 11: preview, at most 200 characters.
    pub preview: Option<String>,
    /// 12: where it was sealed.
    pub origin: Way,
    /// 13: SMTP envelope: MAIL FROM, then the RCPT TO that this copy is for.
    pub envelope: Vec<String>,
    /// 14: names of items left out or shortened (A10); a reader that needs one opens the body.
    pub omitted: Vec<String>,
    /// 15: octets of the original as IMAP carries it, each bare LF as CRLF; the sizes of `body_structure` are of this form then.
    pub wire_length: Option<u64>,
    /// 16: the list of further field names that were looked through; 0: none.
    pub looked_through: u64,
}

/// INDEX 12: where a message was sealed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Way {
    /// By a client, over IMAP or in a Maildir.
    #[default]
    Client,
    /// On delivery.
    Delivery,
    /// By a forwarder.
    Forwarder,
    /// When it was moved from elsewhere.
    Migration,
}

impl Way {
    /// The word of `Sealed-Origin`'s `m=`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "imap",
            Self::Delivery => "lmtp",
            Self::Forwarder => "smtp",
            Self::Migration => "migrate",
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Delivery => 1,
            Self::Forwarder => 2,
            Self::Migration => 3,
        }
    }
}

/// The octets are no INDEX.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the protected header fields cannot be read")]
pub struct BadIndex;

impl Index {
    /// Deterministic CBOR: definite lengths, shortest forms, keys ascending.
    pub fn write(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(512 + self.fields.len());
        // Writing to a Vec cannot fail; the encoder's error type is Infallible.
        let Ok(()) = self.encode(&mut Encoder::new(&mut octets));
        octets
    }

    /// Whether every field of that name in the original is among `fields` as it is there: one that is not was left out, or was never looked for.
    pub fn holds_all(&self, name: &str) -> bool {
        let among = |names: &[&str]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
        // Of later lists than we know at least what we know of them.
        let further = usize::try_from(self.looked_through).unwrap_or(usize::MAX).min(FURTHER.len());
        let looked_for = among(&SELECTED) || FURTHER.iter().take(further).any(|names| among(names));
        looked_for && !self.omitted.iter().any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Reads what `write` wrote, with unknown keys ignored; the whole input must be one map with ascending keys.
    pub fn parse(octets: &[u8]) -> Result<Self, BadIndex> {
        let mut decoder = Decoder::new(octets);
        let index = Self::decode(&mut decoder).ok_or(BadIndex)?;
        if decoder.position() == octets.len() { Ok(index) } else { Err(BadIndex) }
    }

    fn encode(&self, to: &mut Encoder<&mut Vec<u8>>) -> Result<(), std::convert::Infallible> {
        let texts = [
            (6, &self.internal_date),
            (7, &self.mailbox),
            (9, &self.authentication_results),
            (10, &self.body_structure),
            (11, &self.preview),
        ];
        let lists = [(8, &self.flags), (13, &self.envelope), (14, &self.omitted)];
        let optional = texts.iter().filter(|(_, text)| text.is_some()).count()
            + lists.iter().filter(|(_, list)| !list.is_empty()).count()
            + usize::from(self.wire_length.is_some())
            + usize::from(self.looked_through > 0);
        plain(to.map(6 + optional as u64));
        plain(to.u8(1).and_then(|to| to.u64(self.length)));
        plain(to.u8(2).and_then(|to| to.bytes(&self.hash)));
        plain(to.u8(3).and_then(|to| to.u64(self.time)));
        plain(to.u8(4).and_then(|to| to.u64(self.sequence)));
        plain(to.u8(5).and_then(|to| to.bytes(&self.fields)));
        for key in 6..=14_u8 {
            if let Some((_, Some(text))) = texts.iter().find(|(number, _)| *number == key) {
                plain(to.u8(key).and_then(|to| to.str(text)));
            }
            if let Some((_, list)) = lists.iter().find(|(number, list)| *number == key && !list.is_empty()) {
                plain(to.u8(key).and_then(|to| to.array(list.len() as u64)));
                for item in *list {
                    plain(to.str(item));
                }
            }
            if key == 12 {
                plain(to.u8(12).and_then(|to| to.u64(self.origin.number())));
            }
        }
        if let Some(length) = self.wire_length {
            plain(to.u8(15).and_then(|to| to.u64(length)));
        }
        if self.looked_through > 0 {
            plain(to.u8(16).and_then(|to| to.u64(self.looked_through)));
        }
        Ok(())
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let entries = from.map().ok()??;
        let mut index = Self::default();
        let mut seen = Vec::new();
        for _ in 0..entries {
            let key = from.u64().ok()?;
            if seen.last().is_some_and(|last| *last >= key) {
                return None;
            }
            seen.push(key);
            match key {
                1 => index.length = from.u64().ok()?,
                2 => index.hash = from.bytes().ok()?.try_into().ok()?,
                3 => index.time = from.u64().ok()?,
                4 => index.sequence = from.u64().ok()?,
                5 => index.fields = from.bytes().ok()?.to_vec(),
                6 => index.internal_date = Some(from.str().ok()?.to_owned()),
                7 => index.mailbox = Some(from.str().ok()?.to_owned()),
                8 => index.flags = texts(from)?,
                9 => index.authentication_results = Some(from.str().ok()?.to_owned()),
                10 => index.body_structure = Some(from.str().ok()?.to_owned()),
                11 => index.preview = Some(from.str().ok()?.to_owned()),
                12 => index.origin = way(from.u64().ok()?),
                13 => index.envelope = texts(from)?,
                14 => index.omitted = texts(from)?,
                15 => index.wire_length = Some(from.u64().ok()?),
                16 => index.looked_through = from.u64().ok()?,
                _ => skip(from)?,
            }
        }
        [1, 2, 3, 4, 5].iter().all(|key| seen.contains(key)).then_some(index)
    }
}

fn plain<T>(written: Result<T, minicbor::encode::Error<std::convert::Infallible>>) {
    debug_assert!(written.is_ok());
}

fn texts(from: &mut Decoder<'_>) -> Option<Vec<String>> {
    let length = from.array().ok()??;
    let mut list = Vec::new();
    for _ in 0..length {
        list.push(from.str().ok()?.to_owned());
    }
    Some(list)
}

/// An unknown value of a later version: skipped when it is of definite length.
fn skip(from: &mut Decoder<'_>) -> Option<()> {
    match from.datatype().ok()? {
        Type::BytesIndef | Type::StringIndef | Type::ArrayIndef | Type::MapIndef => None,
        _ => from.skip().ok(),
    }
}

/// An unknown way of a later version reads as a client's: it is information only.
fn way(number: u64) -> Way {
    match number {
        1 => Way::Delivery,
        2 => Way::Forwarder,
        3 => Way::Migration,
        _ => Way::Client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_undoes_write() {
        let index = Index {
            length: 70_000,
            hash: [7; 32],
            time: 1_795_424_400,
            sequence: 9,
            fields: b"Subject: x\r\n".to_vec(),
            body_structure: Some("(\"TEXT\")".into()),
            flags: vec!["\\Seen".into(), "kw".into()],
            origin: Way::Delivery,
            omitted: vec!["preview".into()],
            ..Index::default()
        };
        assert_eq!(Index::parse(&index.write()), Ok(index));
    }

    #[test]
    fn what_was_looked_through_is_known() {
        let with = |looked_through, omitted: &[&str]| Index {
            looked_through,
            omitted: omitted.iter().map(|name| (*name).to_owned()).collect(),
            ..Index::default()
        };
        for (index, name, expected) in [
            (with(0, &[]), "subject", true),
            (with(0, &["subject"]), "Subject", false),
            (with(0, &[]), "X-Priority", false),
            (with(1, &[]), "x-priority", true),
            (with(1, &["x-priority"]), "X-Priority", false),
            (with(1, &[]), "Received", false),
            (with(2, &[]), "List-Unsubscribe", true),
            (with(2, &[]), "Received", false),
            (with(3, &[]), "RECEIVED", true),
            (with(9, &[]), "Lines", true),
            (with(2, &[]), "X-Spam-Score", false),
        ] {
            assert_eq!(Index::parse(&index.write()).map(|index| index.holds_all(name)), Ok(expected), "{name}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let octets = Index { preview: Some("hello".into()), ..Index::default() }.write();
        for end in 0..octets.len() {
            assert_eq!(Index::parse(&octets[..end]), Err(BadIndex), "{end}");
        }
        let mut longer = octets;
        longer.push(0);
        assert_eq!(Index::parse(&longer), Err(BadIndex));
    }
}
