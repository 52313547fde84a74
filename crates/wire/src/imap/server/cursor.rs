//! Reading along the octets of one command (RFC 3501 §9). In: the octets, literals in their places. Out: atoms, strings, numbers.
//! Never looks beyond the command.

/// Why a command cannot be read; for the client's log.
pub(crate) type Why = &'static str;

pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    names: Names,
}

/// How names of mailboxes are written on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// In modified UTF-7 (RFC 3501 §5.1.3).
    #[default]
    Utf7,
    /// In UTF-8 (RFC 6855 §3).
    Utf8,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, names: Names::Utf7 }
    }

    /// The same, where names are written so.
    pub(crate) fn speaking(octets: &'a [u8], names: Names) -> Self {
        Self { rest: octets, names }
    }

    pub(crate) fn names(&self) -> Names {
        self.names
    }

    /// Goes back to what [`Cursor::rest`] was.
    pub(crate) fn back_to(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        if there {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        there
    }

    pub(crate) fn expect(&mut self, octet: u8) -> Result<(), Why> {
        if self.eat(octet) { Ok(()) } else { Err("syntax") }
    }

    pub(crate) fn space(&mut self) -> Result<(), Why> {
        self.expect(b' ').map_err(|_| "a blank is missing")
    }

    pub(crate) fn end(&self) -> Result<(), Why> {
        if self.rest.is_empty() { Ok(()) } else { Err("too many arguments") }
    }

    /// The next octets as long as they are such, one at least.
    pub(crate) fn run(&mut self, is_such: impl Fn(u8) -> bool) -> Result<&'a [u8], Why> {
        let length = self.rest.iter().position(|octet| !is_such(*octet)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(length).ok_or("syntax")?;
        self.rest = rest;
        if run.is_empty() { Err("a word is missing") } else { Ok(run) }
    }

    /// An atom, in upper case: names of commands, items, keys.
    pub(crate) fn word(&mut self) -> Result<String, Why> {
        Ok(String::from_utf8_lossy(self.run(is_atom)?).to_ascii_uppercase())
    }

    pub(crate) fn number(&mut self) -> Result<u32, Why> {
        let digits = self.run(|octet| octet.is_ascii_digit())?;
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or("a number is too large")
    }

    /// A change number (RFC 7162 §7): at most 63 bits.
    pub(crate) fn modseq(&mut self) -> Result<u64, Why> {
        let digits = self.run(|octet| octet.is_ascii_digit())?;
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        number.and_then(|number| u64::try_from(number).ok()).ok_or("a number is too large")
    }

    /// `astring`: an atom, which may hold `]`, or a string.
    pub(crate) fn astring(&mut self) -> Result<Vec<u8>, Why> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(self.run(|octet| is_atom(octet) || octet == b']')?.to_vec()),
        }
    }

    /// A quoted string or a literal.
    pub(crate) fn string(&mut self) -> Result<Vec<u8>, Why> {
        if self.eat(b'{') {
            return self.literal();
        }
        self.expect(b'"').map_err(|_| "a string is missing")?;
        let mut text = Vec::new();
        loop {
            let (&octet, rest) = self.rest.split_first().ok_or("a quote is missing")?;
            self.rest = rest;
            match octet {
                b'"' => return Ok(text),
                b'\r' | b'\n' | 0 => return Err("a quoted string on two lines"),
                b'\\' => {
                    let (&quoted, rest) = self.rest.split_first().ok_or("a quote is missing")?;
                    self.rest = rest;
                    if !matches!(quoted, b'"' | b'\\') {
                        return Err("only quotes and backslashes are quoted with a backslash");
                    }
                    text.push(quoted);
                }
                other => text.push(other),
            }
        }
    }

    fn literal(&mut self) -> Result<Vec<u8>, Why> {
        let length = usize::try_from(self.number()?).map_err(|_| "a literal is too long")?;
        self.eat(b'+');
        self.expect(b'}')?;
        self.expect(b'\r')?;
        self.expect(b'\n')?;
        let (octets, rest) = self.rest.split_at_checked(length).ok_or("a literal is cut off")?;
        self.rest = rest;
        Ok(octets.to_vec())
    }
}

/// Octets of an atom (RFC 3501 §9 `ATOM-CHAR`). quirk: octets beyond ASCII are taken too, as some programs write names so.
pub(crate) fn is_atom(octet: u8) -> bool {
    !matches!(octet, 0..=b' ' | 0x7f | b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}
