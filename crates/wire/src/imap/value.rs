//! What a response is made of.
//!
//! In: values that the frame has read. Out: their text, number, list. RFC 3501 §4 and §9. Never: I/O.

/// A value of IMAP's data format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `NIL`
    Nil,
    /// An atom, number, flag.
    Atom(Vec<u8>),
    /// A quoted string, out of its quotes, or a literal.
    Text(Vec<u8>),
    /// Values in parentheses.
    List(Vec<Value>),
}

impl Value {
    /// The octets of an atom or a string.
    pub(crate) fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(octets) | Self::Text(octets) => Some(octets),
            Self::Nil | Self::List(_) => None,
        }
    }

    /// The text of an atom or a string. quirk: servers that write 8-bit names in no known charset lose those octets.
    pub(crate) fn text(&self) -> Option<String> {
        self.octets().map(|octets| String::from_utf8_lossy(octets).into_owned())
    }

    /// As IMAP writes a body structure (RFC 3501 §9 `body`): what is neither NIL, a number, nor a list is a string there. An atom, in which a server may put quotes, would
    /// turn the strings behind it inside out. What is no text on one line becomes a literal.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Nil => "NIL".to_owned(),
            Self::Atom(octets) if is_number(octets) => String::from_utf8_lossy(octets).into_owned(),
            Self::Atom(octets) => written_string(&String::from_utf8_lossy(octets)),
            Self::Text(octets) => written_string(&String::from_utf8_lossy(octets)),
            // Body parts, and addresses, stand side by side without a space (RFC 3501 §9 `body-type-mpart`).
            Self::List(values) => {
                let parts = values.iter().take_while(|value| matches!(value, Self::List(_))).count();
                let mut text = String::from("(");
                for (at, value) in values.iter().enumerate() {
                    if at > 0 && at >= parts {
                        text.push(' ');
                    }
                    text.push_str(&value.written());
                }
                text.push(')');
                text
            }
        }
    }

    /// A number. quirk: some write it in quotes.
    pub(crate) fn number(&self) -> Option<u64> {
        number(self.octets()?)
    }

    /// The values of a list; NIL is the empty one.
    pub(crate) fn list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) => Some(values),
            Self::Nil => Some(&[]),
            Self::Atom(_) | Self::Text(_) => None,
        }
    }

    /// The texts of a list of strings.
    pub(crate) fn texts(&self) -> Option<Vec<String>> {
        // NIL as an atom within: a flag or label may be called so.
        self.list()?
            .iter()
            .map(|value| if *value == Self::Nil { Some("NIL".to_owned()) } else { value.text() })
            .collect()
    }
}

fn written_string(text: &str) -> String {
    if text.len() > 1_000 || text.bytes().any(|octet| matches!(octet, b'\r' | b'\n' | 0 | 0x80..)) {
        return format!("{{{}}}\r\n{text}", text.len());
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// RFC 3501 §9 `number`, but that it may be larger.
fn is_number(octets: &[u8]) -> bool {
    (1..=20).contains(&octets.len()) && octets.iter().all(u8::is_ascii_digit)
}

/// Digits and nothing else: `str::parse` alone would let a plus sign pass.
pub(crate) fn number(octets: &[u8]) -> Option<u64> {
    if !octets.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(octets).ok()?.parse().ok()
}
