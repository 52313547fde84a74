//! Macros: what a mail server tells beside its commands (`i`: its name for the message; `auth_authen`: who has logged in).
//!
//! In: the data of macro packets. Out: values, each as long as the command lasts that it came with. Never a decision: whoever may connect may say
//! anything here.

use crate::milter::limit;

/// The commands that macros come with, in the order of a session; a message begins with MAIL.
const ORDER: &[u8] = b"CHMRTLNBEU";
/// Where a message begins in [`ORDER`].
const MESSAGE: usize = 2;

/// What is known now.
#[derive(Debug, Default)]
pub(crate) struct Macros {
    /// Position in [`ORDER`], names without braces, values.
    known: Vec<(usize, Vec<(String, String)>)>,
}

impl Macros {
    /// Takes over what came; false: it cannot be read.
    pub(crate) fn take(&mut self, data: &[u8]) -> bool {
        let Some((command, rest)) = data.split_first() else { return false };
        // quirk: Sendmail may send macros for commands that are not shown; they are of no use.
        let Some(at) = ORDER.iter().position(|one| one == command) else { return true };
        let Some(pairs) = pairs(rest) else { return false };
        self.known.retain(|(other, _)| *other != at);
        self.known.push((at, pairs));
        true
    }

    /// The value of a macro, the latest one first; the name without braces.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let with = self.known.iter().filter_map(|(at, pairs)| {
            let value = pairs.iter().find(|(known, _)| known == name);
            value.map(|(_, value)| (*at, value.as_str()))
        });
        with.max_by_key(|(at, _)| *at).map(|(_, value)| value)
    }

    /// A message is over.
    pub(crate) fn end_of_message(&mut self) {
        self.known.retain(|(at, _)| *at < MESSAGE);
    }

    /// A message has begun: what came with its MAIL stays.
    pub(crate) fn begin_of_message(&mut self) {
        self.known.retain(|(at, _)| *at <= MESSAGE);
    }

    /// Another connection begins.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}

fn pairs(data: &[u8]) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let Some(data) = data.strip_suffix(b"\0") else { return data.is_empty().then_some(pairs) };
    let mut words = data.split(|octet| *octet == 0);
    while let Some(name) = words.next() {
        let value = words.next()?;
        if pairs.len() >= limit::MACROS {
            return None;
        }
        let name = String::from_utf8_lossy(name);
        let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(&name);
        let value = String::from_utf8_lossy(value);
        let value = value.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
        pairs.push((name.to_owned(), value));
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_last_as_long_as_their_command() {
        let mut macros = Macros::default();
        assert!(macros.take(b"Cj\0mx.example\0{daemon_name}\0smtpd\0"));
        assert!(macros.take(b"Mi\0Q1\0{auth_authen}\0al\nice\0"));
        assert!(macros.take(b"Ei\0Q2\0"));
        assert!(macros.take(b"H") && macros.take(b"?x\0y\0"));
        let known =
            |macros: &Macros| ["j", "daemon_name", "i", "auth_authen"].map(|one| macros.get(one).map(str::to_owned));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(known(&macros), [some("mx.example"), some("smtpd"), some("Q2"), some("al?ice")]);
        macros.begin_of_message();
        assert_eq!(macros.get("i"), Some("Q1"));
        macros.end_of_message();
        assert_eq!(known(&macros), [some("mx.example"), some("smtpd"), None, None]);
        macros.clear();
        assert_eq!(macros.get("j"), None);
        let many = [b"M".as_slice(), &b"a\0b\0".repeat(limit::MACROS + 1)].concat();
        for wrong in [&b""[..], b"Mi", b"Mi\0", b"Mi\0Q1", b"Mi\0Q1\0x\0", &many] {
            assert!(!Macros::default().take(wrong), "{wrong:?}");
        }
    }
}
