//! What FETCH asks for (RFC 3501 §6.4.5). In: text. Out: items and sections. Never knows whether a message has such a part.

use super::cursor::{Cursor, Why};
use super::limit::MAX_NESTING;

/// One data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// `UID`
    Uid,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Size,
    /// `ENVELOPE`
    Envelope,
    /// `BODY`: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY[…]<…>`, `BODY.PEEK[…]<…>`, `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`
    Section(Section),
    /// `MODSEQ` (RFC 7162)
    ModSeq,
    /// `PREVIEW` (RFC 8970)
    Preview(Haste),
    /// `BINARY[…]<…>`, `BINARY.PEEK[…]<…>` (RFC 3516): a part without its transfer encoding.
    Binary(Section),
    /// `BINARY.SIZE[…]`
    BinarySize(Section),
}

/// Whether a preview is made if there is none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// It is.
    Patient,
    /// `LAZY`: only one that is at hand.
    Lazy,
}

/// Octets of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name under which the answer is given: `BODY[HEADER.FIELDS (To)]`, `RFC822.TEXT`.
    pub name: String,
    /// Numbers of body parts, from the outermost; empty: the message itself.
    pub path: Vec<u32>,
    /// Which octets of it.
    pub part: Part,
    /// Only some of those.
    pub partial: Option<Partial>,
    /// `\Seen` is not set by this.
    pub peek: bool,
}

/// Which octets of a body part or of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it; of a body part its body.
    All,
    /// The header section of a message.
    Header,
    /// Fields of those names.
    Fields(Vec<Vec<u8>>),
    /// All fields but those.
    FieldsNot(Vec<Vec<u8>>),
    /// The body of a message.
    Text,
    /// The header section of a body part.
    Mime,
}

/// `<0.2048>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The first octet, from zero.
    pub first: u64,
    /// How many at most.
    pub count: u64,
}

impl FetchItem {
    /// Items in parentheses, one item, or a macro.
    pub(crate) fn parse_all(from: &mut Cursor<'_>) -> Result<Vec<Self>, Why> {
        let mut items = Vec::new();
        if !from.eat(b'(') {
            let before = from.rest();
            let word = from.run(|octet| octet.is_ascii_alphanumeric() || octet == b'.')?;
            let fast = [FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size];
            match word.to_ascii_uppercase().as_slice() {
                b"FAST" => items.extend(fast),
                b"ALL" => items.extend(fast.into_iter().chain([FetchItem::Envelope])),
                b"FULL" => items.extend(fast.into_iter().chain([FetchItem::Envelope, FetchItem::Body])),
                _ => {
                    from.back_to(before);
                    items.push(Self::parse(from)?);
                }
            }
            return Ok(items);
        }
        loop {
            items.push(Self::parse(from)?);
            if !from.eat(b' ') {
                break;
            }
        }
        from.expect(b')')?;
        Ok(items)
    }

    fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        let word = from.run(|octet| octet.is_ascii_alphanumeric() || octet == b'.')?.to_ascii_uppercase();
        let legacy = |name: &str, part, peek| {
            FetchItem::Section(Section { name: name.to_owned(), path: Vec::new(), part, partial: None, peek })
        };
        Ok(match word.as_slice() {
            b"UID" => FetchItem::Uid,
            b"FLAGS" => FetchItem::Flags,
            b"INTERNALDATE" => FetchItem::InternalDate,
            b"ENVELOPE" => FetchItem::Envelope,
            b"BODYSTRUCTURE" => FetchItem::BodyStructure,
            b"RFC822" => legacy("RFC822", Part::All, false),
            b"RFC822.SIZE" => FetchItem::Size,
            b"RFC822.HEADER" => legacy("RFC822.HEADER", Part::Header, true),
            b"RFC822.TEXT" => legacy("RFC822.TEXT", Part::Text, false),
            b"BODY" if from.peek() == Some(b'[') => FetchItem::Section(Section::parse(from, false)?),
            b"BODY.PEEK" => FetchItem::Section(Section::parse(from, true)?),
            b"BODY" => FetchItem::Body,
            b"MODSEQ" => FetchItem::ModSeq,
            b"PREVIEW" => FetchItem::Preview(Haste::parse(from)?),
            b"BINARY" => FetchItem::Binary(Section::parse_binary(from, "BINARY", false)?),
            b"BINARY.PEEK" => FetchItem::Binary(Section::parse_binary(from, "BINARY", true)?),
            b"BINARY.SIZE" => FetchItem::BinarySize(Section::parse_binary(from, "BINARY.SIZE", true)?),
            _ => return Err("no such item of a message"),
        })
    }
}

impl Haste {
    /// ` (LAZY)`, or nothing (RFC 8970 §3.2).
    fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        let before = from.rest();
        if from.eat(b' ') && from.eat(b'(') {
            if from.word()? != "LAZY" {
                return Err("no such kind of preview");
            }
            from.expect(b')')?;
            return Ok(Haste::Lazy);
        }
        from.back_to(before);
        Ok(Haste::Patient)
    }
}

impl Section {
    /// Numbers only (RFC 3516 §7); of a size, no part of it.
    fn parse_binary(from: &mut Cursor<'_>, word: &str, peek: bool) -> Result<Self, Why> {
        let mut section = Self::parse(from, peek)?;
        if section.part != Part::All || (word == "BINARY.SIZE" && section.partial.is_some()) {
            return Err("no such section");
        }
        section.name = section.name.replacen("BODY", word, 1);
        Ok(section)
    }

    fn parse(from: &mut Cursor<'_>, peek: bool) -> Result<Self, Why> {
        from.expect(b'[')?;
        let mut path = Vec::new();
        while from.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            match from.number()? {
                0 => return Err("numbers of parts begin with one"),
                number => path.push(number),
            }
            if path.len() > MAX_NESTING {
                return Err("a part is nested too deep");
            }
            if !from.eat(b'.') {
                break;
            }
            if from.peek() == Some(b']') {
                return Err("a part is named by numbers with dots between");
            }
        }
        let part = if from.peek() == Some(b']') { Part::All } else { Part::parse(from, &path)? };
        from.expect(b']')?;
        let partial = if from.eat(b'<') { Some(Partial::parse(from)?) } else { None };
        let name = name_of(&path, &part, partial);
        Ok(Self { name, path, part, partial, peek })
    }
}

impl Part {
    fn parse(from: &mut Cursor<'_>, path: &[u32]) -> Result<Self, Why> {
        let word = from.run(|octet| octet.is_ascii_alphabetic() || octet == b'.')?.to_ascii_uppercase();
        match word.as_slice() {
            b"HEADER" => Ok(Part::Header),
            b"TEXT" => Ok(Part::Text),
            b"MIME" if !path.is_empty() => Ok(Part::Mime),
            b"HEADER.FIELDS" => Ok(Part::Fields(names(from)?)),
            b"HEADER.FIELDS.NOT" => Ok(Part::FieldsNot(names(from)?)),
            _ => Err("no such section"),
        }
    }
}

impl Partial {
    fn parse(from: &mut Cursor<'_>) -> Result<Self, Why> {
        let first = u64::from(from.number()?);
        from.expect(b'.')?;
        let count = u64::from(from.number()?);
        from.expect(b'>')?;
        if count == 0 { Err("no octets are asked for") } else { Ok(Self { first, count }) }
    }
}

fn names(from: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, Why> {
    from.space()?;
    from.expect(b'(')?;
    let mut names = vec![from.astring()?];
    while from.eat(b' ') {
        names.push(from.astring()?);
    }
    from.expect(b')')?;
    Ok(names)
}

/// As the answer names it; field names as the client wrote them.
fn name_of(path: &[u32], part: &Part, partial: Option<Partial>) -> String {
    let mut inside: Vec<String> = path.iter().map(u32::to_string).collect();
    let fields = |word: &str, names: &[Vec<u8>]| {
        let mut list = Vec::new();
        for name in names {
            if !list.is_empty() {
                list.push(b' ');
            }
            super::write::push_astring(&mut list, name);
        }
        format!("{word} ({})", String::from_utf8_lossy(&list))
    };
    match part {
        Part::All => {}
        Part::Header => inside.push("HEADER".to_owned()),
        Part::Text => inside.push("TEXT".to_owned()),
        Part::Mime => inside.push("MIME".to_owned()),
        Part::Fields(names) => inside.push(fields("HEADER.FIELDS", names)),
        Part::FieldsNot(names) => inside.push(fields("HEADER.FIELDS.NOT", names)),
    }
    let origin = partial.map(|partial| format!("<{}>", partial.first)).unwrap_or_default();
    format!("BODY[{}]{origin}", inside.join("."))
}
