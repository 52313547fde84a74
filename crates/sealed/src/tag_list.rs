//! `tag=value; tag=value` of RFC 6376 §3.2: an unfolded or folded field value in, tags out, and back.
//! White space is allowed anywhere inside a value and removed; a doubled tag makes the whole list invalid; unknown tags
//! are the caller's to ignore.

/// A parsed tag-list: names and white-space-free values, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct TagList(Vec<(Vec<u8>, Vec<u8>)>);

impl TagList {
    /// None when the text is no tag-list: no `=`, an empty or malformed name, a tag that stands twice.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut tags: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut rest = text.split(|&octet| octet == b';').peekable();
        while let Some(part) = rest.next() {
            if part.iter().all(|&octet| is_space(octet)) {
                // RFC 6376 allows one `;` after the last tag, and no empty tag before it.
                return if rest.peek().is_none() && !tags.is_empty() { Some(Self(tags)) } else { None };
            }
            let equals = part.iter().position(|&octet| octet == b'=')?;
            let (name, value) = part.split_at_checked(equals)?;
            let name = name.trim_ascii().to_vec();
            let well_named = name.first().is_some_and(u8::is_ascii_alphabetic)
                && name.iter().all(|&octet| octet.is_ascii_alphanumeric() || octet == b'_');
            if !well_named || tags.iter().any(|(known, _)| *known == name) {
                return None;
            }
            let value = value.iter().skip(1).copied().filter(|&octet| !is_space(octet)).collect();
            tags.push((name, value));
        }
        Some(Self(tags))
    }

    /// The value of a tag.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

/// Appends a header field that holds a tag-list, folded at 76 columns with CRLF and one space, ended by CRLF.
/// `tags` must hold no `;`, no white space and no octet outside printable ASCII.
pub fn write(out: &mut Vec<u8>, field_name: &str, tags: &[(&str, &str)]) {
    const COLUMNS: usize = 76;
    out.extend_from_slice(field_name.as_bytes());
    out.push(b':');
    let mut column = field_name.len() + 1;
    let last = tags.len().saturating_sub(1);
    for (position, (name, value)) in tags.iter().enumerate() {
        let ending: &[u8] = if position == last { b"" } else { b";" };
        let whole = 1 + name.len() + 1 + value.len() + ending.len();
        if column + whole <= COLUMNS {
            out.push(b' ');
            column += 1;
        } else if column + 1 + name.len() + 1 + FEWEST_ON_LINE > COLUMNS || whole < COLUMNS {
            out.extend_from_slice(b"\r\n ");
            column = 1;
        } else {
            out.push(b' ');
            column += 1;
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        column += name.len() + 1;
        let mut rest = value.as_bytes();
        loop {
            let room = COLUMNS.saturating_sub(column);
            if rest.len() + ending.len() <= room {
                out.extend_from_slice(rest);
                out.extend_from_slice(ending);
                column += rest.len() + ending.len();
                break;
            }
            let (line, after) = rest.split_at_checked(room).unwrap_or((rest, b""));
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n ");
            column = 1;
            rest = after;
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A long value starts on the current line only if this many octets of it fit.
const FEWEST_ON_LINE: usize = 16;

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_lists_are_refused() {
        for text in ["", ";", "v", "=1", "v=1; v=2", "v=1;; p=x", "1v=x", "v v=1"] {
            assert_eq!(TagList::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn folding_is_undone() {
        let long = "A".repeat(700);
        let mut field = Vec::new();
        write(&mut field, "Sealed-Key", &[("v", "1"), ("n", "1/2"), ("d", &long)]);
        assert!(field.split(|&octet| octet == b'\n').all(|line| line.len() <= 77));
        let value = field.strip_prefix(b"Sealed-Key:").expect("name");
        let list = TagList::parse(value).expect("a list");
        assert_eq!(list.get("d"), Some(long.as_bytes()));
        assert_eq!(list.get("n"), Some(&b"1/2"[..]));
        assert_eq!(list.get("x"), None);
    }
}
