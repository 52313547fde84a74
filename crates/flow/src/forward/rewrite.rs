//! From rewriting: a forwarder stands outside in the author's place, since it changes the body and so can sign in its own name only
//! (format §13.4; DMARC asks for a From that the signature is aligned with, RFC 7489 §3.1).
//!
//! In: the original's header section, the policy, what the forwarder is called. Out: From and Reply-To for outside. The true ones are inside.
//! What the author wrote is text: it can be no second address, no field, no command to whoever draws it.

use mail::{Address, AddressList, HeaderSection, encode_words};
use seal::{OuterFrom, Policy};

/// Characters kept of a name, and of a domain that is shown.
const MAX_NAME: usize = 60;
const MAX_SHOWN_DOMAIN: usize = 80;
/// Addresses kept of Reply-To, and their octets together.
const MAX_REPLY_TO: usize = 10;
const MAX_REPLY_TO_OCTETS: usize = 700;
/// Octets of what stands before the `@`, and after it (RFC 5321 §4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;

/// What a forwarder is called. Checked once, when the configuration is read.
#[derive(Clone, Debug)]
pub struct Forwarder {
    address: String,
    host: String,
}

/// Whether the author was found to be who he says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// Nothing speaks against it.
    Unsuspected,
    /// The checks have marked the message.
    Unverified,
}

impl Forwarder {
    /// `address`: for From; its domain is the one that signs, or below it. `host`: what is shown as the way.
    /// None unless both are plain ASCII.
    pub fn new(address: &str, host: &str) -> Option<Forwarder> {
        let (local, domain) = address.rsplit_once('@')?;
        let plain = is_dot_atom(local, MAX_LOCAL) && is_domain(domain) && is_domain(host);
        plain.then(|| Forwarder { address: address.to_owned(), host: host.to_owned() })
    }

    /// The address in From.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What stands outside in the author's place. `hidden` and `shy` let nothing of him be seen: no name, no address, no Reply-To.
    pub fn instead_of(&self, section: &HeaderSection<'_>, policy: Policy, author: Author) -> Option<OuterFrom> {
        if matches!(policy, Policy::Hidden | Policy::Shy) {
            return OuterFrom::new(self.address.clone(), None);
        }
        let from = field(section, "From");
        let from = AddressList::parse(&from);
        let mut shown = shown(&from);
        if author == Author::Unverified {
            shown.insert_str(0, "unverified: ");
        }
        shown.push_str(" via ");
        shown.push_str(&self.host);
        let reply_to = field(section, "Reply-To");
        let reply_to = plain_addresses(&AddressList::parse(&reply_to)).or_else(|| plain_addresses(&from));
        OuterFrom::new(format!("{} <{}>", phrase(&shown), self.address), reply_to)
    }
}

/// The first field of this name: others are not what mail programs show.
fn field(section: &HeaderSection<'_>, name: &str) -> Vec<u8> {
    let value = section.first(name).map(|field| field.unfolded()).unwrap_or_default();
    // In a mail whose lines end with CR, what follows one is not this field any more.
    value.split(|&octet| octet == b'\r').next().unwrap_or_default().to_vec()
}

/// `Name at domain`: the author as text, no address in it.
fn shown(from: &AddressList<'_>) -> String {
    let mut authors = from.addresses().filter(|address| address.domain().is_some());
    let Some(author) = authors.next() else { return "unknown author".to_owned() };
    let mut name = harmless(&author.name(), MAX_NAME);
    if name.is_empty() {
        name = harmless(&String::from_utf8_lossy(author.local_part()), MAX_NAME);
    }
    if name.is_empty() {
        "unknown author".clone_into(&mut name);
    }
    let domain = harmless(&String::from_utf8_lossy(author.domain().unwrap_or_default()), MAX_SHOWN_DOMAIN);
    let others = if authors.next().is_some() { " and others" } else { "" };
    format!("{name} at {domain}{others}")
}

/// Text that is nothing but text: no control character, nothing that turns the direction of writing or cannot be seen, and no `@`, so
/// that a name cannot pass for another address.
fn harmless(text: &str, longest: usize) -> String {
    let spaced = text.replace('@', " at ");
    let visible = spaced.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    let visible: String = visible.filter(|&letter| !letter.is_control() && !is_invisible(letter)).collect();
    let words: Vec<&str> = visible.split(' ').filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    match words.char_indices().nth(longest) {
        Some((end, _)) => format!("{}\u{2026}", words.get(..end).unwrap_or_default().trim_end()),
        None => words,
    }
}

/// Formatting characters of Unicode that show nothing themselves, and what stands for an octet that could not be read.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Text as a phrase (RFC 5322 §3.2.5): quoted, or as encoded words.
fn phrase(text: &str) -> String {
    let encoded = encode_words(text);
    if encoded != text {
        return encoded;
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// The addresses of a list that may stand outside as they are, without names. None: there is none.
fn plain_addresses(list: &AddressList<'_>) -> Option<String> {
    let mut out = String::new();
    for spec in list.addresses().filter_map(plain).take(MAX_REPLY_TO) {
        if out.len() + spec.len() > MAX_REPLY_TO_OCTETS {
            break;
        }
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&spec);
    }
    (!out.is_empty()).then_some(out)
}

fn plain(address: &Address<'_>) -> Option<String> {
    let local = std::str::from_utf8(address.local_part()).ok()?;
    let domain = std::str::from_utf8(address.domain()?).ok()?;
    (is_dot_atom(local, MAX_LOCAL) && is_domain(domain)).then(|| format!("{local}@{domain}"))
}

fn is_dot_atom(text: &str, longest: usize) -> bool {
    let atext = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
    text.len() <= longest && text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

fn is_domain(text: &str) -> bool {
    let letter = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    text.len() <= MAX_DOMAIN && text.split('.').all(|label| !label.is_empty() && label.bytes().all(letter))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instead(header: &[u8], policy: Policy) -> OuterFrom {
        let ours = Forwarder::new("forward@my.example", "mx.my.example").expect("plain");
        ours.instead_of(&HeaderSection::parse(header), policy, Author::Unsuspected).expect("printable")
    }

    #[test]
    fn the_author_is_text_and_the_address_is_ours() {
        let check = |from: &str, expected: &str, reply_to: Option<&str>| {
            let outer = instead(format!("From: {from}\r\n\r\n").as_bytes(), Policy::Baseline);
            assert_eq!(outer.from(), format!("{expected} <forward@my.example>"), "{from}");
            assert_eq!(outer.reply_to(), reply_to, "{from}");
            let list = AddressList::parse(outer.from().as_bytes());
            assert_eq!(list.addresses().map(Address::addr_spec).collect::<Vec<_>>(), ["forward@my.example"], "{from}");
        };
        let alice = Some("alice@example.org");
        check("Alice <alice@example.org>", "\"Alice at example.org via mx.my.example\"", alice);
        check("alice@example.org", "\"alice at example.org via mx.my.example\"", alice);
        check("alice@example.org (Alice)", "\"Alice at example.org via mx.my.example\"", alice);
        check(
            "\"A \\\"B\\\" <x@y>\" <alice@example.org>",
            "\"A \\\"B\\\" <x at y> at example.org via mx.my.example\"",
            alice,
        );
        check(
            "boss@bank.example <alice@example.org>",
            "\"boss at bank.example at example.org via mx.my.example\"",
            alice,
        );
        check(
            "a@example.org, b@example.com",
            "\"a at example.org and others via mx.my.example\"",
            Some("a@example.org, b@example.com"),
        );
        check(
            "Team: a@example.org, b@example.com;",
            "\"a at example.org and others via mx.my.example\"",
            Some("a@example.org, b@example.com"),
        );
        check("Undisclosed:;", "\"unknown author via mx.my.example\"", None);
        check("<>", "\"unknown author via mx.my.example\"", None);
        check("", "\"unknown author via mx.my.example\"", None);
        check(
            "=?utf-8?B?WsO8cmljaA==?= <z@example.org>",
            "=?utf-8?Q?Z=C3=BCrich_at_example=2Eorg_via_mx=2Emy=2Eexample?=",
            Some("z@example.org"),
        );
        check(
            "=?utf-8?Q?a=0D=0ABcc=3A_x=40y?= <z@example.org>",
            "\"a Bcc: x at y at example.org via mx.my.example\"",
            Some("z@example.org"),
        );
        check("\"=?utf-8?Q?a?=\" <\"odd one\"@example.org>", "\"a at example.org via mx.my.example\"", None);
    }

    #[test]
    fn reply_to_goes_to_whom_the_author_named() {
        let outer = instead(b"From: a@b.example\r\nReply-To: List <list@b.example>, broken, x@\r\n\r\n", Policy::Open);
        assert_eq!(outer.reply_to(), Some("list@b.example"));
    }

    #[test]
    fn the_policy_hides_the_author() {
        for policy in [Policy::Hidden, Policy::Shy] {
            let outer = instead(b"From: Alice <alice@example.org>\r\nReply-To: r@example.org\r\n\r\n", policy);
            assert_eq!((outer.from(), outer.reply_to()), ("forward@my.example", None));
        }
    }

    #[test]
    fn a_marked_message_says_so() {
        let ours = Forwarder::new("forward@my.example", "my.example").expect("plain");
        let section = HeaderSection::parse(b"From: Bank <info@bank.example>\r\n\r\n");
        let outer = ours.instead_of(&section, Policy::Baseline, Author::Unverified).expect("printable");
        assert_eq!(outer.from(), "\"unverified: Bank at bank.example via my.example\" <forward@my.example>");
    }

    #[test]
    fn a_long_name_is_cut_and_an_odd_one_is_harmless() {
        let outer =
            instead(format!("From: {} <a@b.example>\r\n\r\n", "long ".repeat(5000)).as_bytes(), Policy::Baseline);
        assert!(outer.from().len() < 400, "{}", outer.from());
        assert_eq!(harmless("\u{202e}evil\u{200b} \u{7}na\tme", 60), "evil na me");
        for odd in ["a b", "a@", "@b", "a@b c", "a\r\n@b", "a@b\u{e9}", "a@b..c"] {
            assert!(Forwarder::new(odd, "my.example").is_none(), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_author_wrote_there_is_one_author_outside(from: Vec<u8>, reply_to: Vec<u8>) {
            let header = [b"From: ", &from[..], b"\r\nReply-To: ", &reply_to[..], b"\r\n\r\n"].concat();
            for policy in [Policy::Open, Policy::Baseline, Policy::Shy, Policy::Hidden] {
                let outer = instead(&header, policy);
                let list = AddressList::parse(outer.from().as_bytes());
                prop_assert_eq!(list.addresses().map(Address::addr_spec).collect::<Vec<_>>(), ["forward@my.example"]);
                prop_assert!(outer.reply_to().is_none_or(|list| list.len() < 1100));
            }
        }

        #[test]
        fn no_name_breaks_out(name: String) {
            let header = format!("From: {} <a@b.example>\r\n\r\n", encode_words(&name));
            let outer = instead(header.as_bytes(), Policy::Baseline);
            let line = format!("From: {}\r\n\r\n", outer.from());
            let section = HeaderSection::parse(line.as_bytes());
            prop_assert_eq!(section.fields().len(), 1);
            let list = AddressList::parse(outer.from().as_bytes());
            let specs: Vec<String> = list.addresses().map(Address::addr_spec).collect();
            prop_assert_eq!(specs, ["forward@my.example"]);
            prop_assert!(!list.addresses().any(|address| address.name().contains('@')));
        }
    }
}
