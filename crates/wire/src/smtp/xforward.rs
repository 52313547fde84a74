//! What a server tells of the client that it has the message from (Postfix's XFORWARD and XCLIENT).
//!
//! In: attributes in xtext (RFC 3461 §4). Out: their values, and the command that passes them on. Only believed of hosts that the
//! configuration names; used for logs, never for a decision.

/// The attributes of XFORWARD that are known.
pub const NAMES: [&str; 8] = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE", "LOGIN"];
/// Octets of one value.
const MAX_VALUE: usize = 512;

/// Attributes of a client, in the order of [`NAMES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xforward {
    values: [Option<String>; NAMES.len()],
}

impl Xforward {
    /// Takes the attributes of one command over; later ones count. False: they cannot be read.
    pub(crate) fn take(&mut self, text: &str) -> bool {
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let Some((name, value)) = word.split_once('=') else { return false };
            let Some(value) = decode(value) else { return false };
            let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
            // An attribute that is not known is passed over, as Postfix does.
            let Some(slot) = at.and_then(|at| self.values.get_mut(at)) else { continue };
            let told = !matches!(value.as_str(), "[UNAVAILABLE]" | "[TEMPUNAVAIL]");
            *slot = told.then_some(value);
        }
        true
    }

    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = NAMES.iter().position(|known| *known == name)?;
        self.values.get(at)?.as_deref()
    }

    /// What the sending server calls the message in its own log.
    pub fn ident(&self) -> Option<&str> {
        self.get("IDENT")
    }

    /// The arguments of the command, with those attributes that the other side takes; none: nothing to tell.
    pub(crate) fn write(&self, takes: impl Fn(&str) -> bool) -> Option<String> {
        let known = NAMES.iter().zip(&self.values).filter(|(name, _)| takes(name));
        let words: Vec<String> =
            known.filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_deref()?)))).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// xtext (RFC 3461 §4).
fn encode(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        if (b'!'..=b'~').contains(&octet) && octet != b'+' && octet != b'=' {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("+{octet:02X}"));
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            octet => octet,
        });
    }
    let text = String::from_utf8(octets).ok()?;
    (text.len() <= MAX_VALUE && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_passed_on() {
        let mut said = Xforward::default();
        assert!(said.take("NAME=mail.example ADDR=192.0.2.1 HELO=[UNAVAILABLE]"));
        assert!(said.take("ident=4bX+2Bq UNKNOWN=x"));
        assert_eq!((said.get("NAME"), said.get("HELO"), said.ident()), (Some("mail.example"), None, Some("4bX+q")));
        let all = said.write(|_| true);
        assert_eq!(all.as_deref(), Some("NAME=mail.example ADDR=192.0.2.1 IDENT=4bX+2Bq"));
        assert_eq!(said.write(|name| name == "ADDR").as_deref(), Some("ADDR=192.0.2.1"));
        assert_eq!(said.write(|_| false), None);
        for wrong in ["NAME", "NAME=+4", "NAME=+GG", "NAME=+0D+0AQUIT", "NAME=+FF"] {
            assert!(!Xforward::default().take(wrong), "{wrong}");
        }
    }
}
