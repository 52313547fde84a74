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

/// Digits and nothing else: `str::parse` alone would let a plus sign pass.
pub(crate) fn number(octets: &[u8]) -> Option<u64> {
    if !octets.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(octets).ok()?.parse().ok()
}
