//! An address as it is looked up.
//!
//! In: what RCPT said, or a person typed. Out: its lower-case form, and the names under which an entry may stand, the nearest first: itself,
//! itself without what follows a plus sign, its whole domain. Never decides whether mail can be delivered there.

/// An address, in lower case: mail systems that tell `Alice` from `alice` are not found any more (RFC 5321 §2.4 would let them).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

/// Octets of an address.
pub const MAX_ADDRESS: usize = 1024;
/// What parts a user from what he has chosen to tell mail apart by.
const EXTENSION: char = '+';

impl Address {
    /// `alice@example.org`, `@example.org` for a whole domain, or a name without a domain (`postmaster`).
    pub fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let good = !text.is_empty() && text.len() <= MAX_ADDRESS && !text.chars().any(char::is_control);
        let domain_alone = text == "@";
        (good && !domain_alone && !text.ends_with('@')).then(|| Address(simple(&text.to_lowercase())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names under which its entry may stand, the nearest first.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.0.clone()];
        if let Some((local, domain)) = self.parts() {
            // A quoted local part means what it says.
            let plain = !local.starts_with('"');
            if let Some((user, _)) = local.split_once(EXTENSION).filter(|(user, _)| plain && !user.is_empty()) {
                names.push(format!("{user}@{domain}"));
            }
            names.push(format!("@{domain}"));
        }
        names.dedup();
        names
    }

    fn parts(&self) -> Option<(&str, &str)> {
        self.0.rsplit_once('@')
    }
}

/// Written as everybody writes it: `"alice"@example.org` and `alice@example.org.` are the same mailbox (RFC 5321 §4.1.2), and whoever sends must not
/// choose the keys, or the answer, by how he writes an address.
fn simple(text: &str) -> String {
    let Some((local, domain)) = text.rsplit_once('@') else { return text.to_owned() };
    let domain = domain.strip_suffix('.').filter(|domain| !domain.is_empty()).unwrap_or(domain);
    let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let local = inner.map(unescaped).filter(|inner| is_dot_atom(inner)).unwrap_or_else(|| local.to_owned());
    format!("{local}@{domain}")
}

/// Without the backslashes of a quoted string.
fn unescaped(quoted: &str) -> String {
    let mut letters = quoted.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        text.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    text
}

/// What needs no quotes (RFC 5322 §3.2.3, RFC 6532 §3.2).
fn is_dot_atom(text: &str) -> bool {
    let is_atom =
        |letter: char| letter.is_alphanumeric() || !letter.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(letter);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_nearest_first() {
        for (text, names) in [
            ("Alice@Example.ORG", &["alice@example.org", "@example.org"][..]),
            ("alice+shop+x@example.org", &["alice+shop+x@example.org", "alice@example.org", "@example.org"]),
            ("+x@example.org", &["+x@example.org", "@example.org"]),
            ("\"a+b@c\"@example.org", &["\"a+b@c\"@example.org", "@example.org"]),
            ("\"Alice\"@example.org.", &["alice@example.org", "@example.org"]),
            ("\"al\\ice+x\"@example.org", &["alice+x@example.org", "alice@example.org", "@example.org"]),
            ("\"a b\"@example.org", &["\"a b\"@example.org", "@example.org"]),
            ("JÖRG@bücher.example", &["jörg@bücher.example", "@bücher.example"]),
            ("postmaster", &["postmaster"]),
            ("@example.org", &["@example.org"]),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.map(|address| address.names()).unwrap_or_default(), names, "{text}");
        }
        for text in ["", " ", "@", "a@", "a\nb@c", &"a".repeat(MAX_ADDRESS + 1)] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }
}
