//! Which mailboxes some name patterns mean.
//!
//! In: patterns, the name of a mailbox. Out: whether it is meant: `*` stands for any text, `INBOX` is one name whatever the
//! letters' case (RFC 9051 §5.1), and Drafts, Junk and Trash are meant only by patterns that name them. What no patterns at
//! all mean is for the caller to say. Never looks into a mailbox.

use crate::special::SpecialUse;

/// Whether one of the patterns means the mailbox.
pub fn is_named(patterns: &[String], name: &str, special: Option<SpecialUse>) -> bool {
    patterns.iter().any(|pattern| is_meant(pattern, name, special))
}

/// Mailboxes that only their own name takes in.
pub fn is_set_apart(special: Option<SpecialUse>) -> bool {
    matches!(special, Some(SpecialUse::Drafts | SpecialUse::Junk | SpecialUse::Trash))
}

/// Whether a directory that cannot be listed may be, or hold, a mailbox that the patterns mean; no patterns: any.
pub fn may_hold(patterns: &[String], name: &str) -> bool {
    let below = format!("{name}/");
    let may = |pattern: &String| {
        let literal = pattern.split('*').next().unwrap_or_default();
        let reaches = literal.starts_with(&below) || (pattern.contains('*') && below.starts_with(literal));
        reaches || matches(pattern, name)
    };
    patterns.is_empty() || patterns.iter().any(may)
}

/// The mailbox names among the patterns that none of these mailboxes has.
pub fn missing<'a>(patterns: &'a [String], names: &[&str]) -> Vec<&'a str> {
    let literal = patterns.iter().filter(|pattern| !pattern.contains('*'));
    literal.filter(|pattern| !names.iter().any(|name| matches(pattern, name))).map(String::as_str).collect()
}

/// `Trash/*` means what is below Trash, `*` does not.
fn is_meant(pattern: &str, name: &str, special: Option<SpecialUse>) -> bool {
    let literal = pattern.split('*').next().unwrap_or_default();
    let says_so = || SpecialUse::by_usual_name(literal.trim_end_matches('/')) == special;
    matches(pattern, name) && (!is_set_apart(special) || says_so())
}

fn matches(pattern: &str, name: &str) -> bool {
    if name == "INBOX" && pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let Some((first, others)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    // The leftmost occurrence of each piece leaves the most for those to come.
    middle.split('*').all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        let table = [
            ("INBOX", "INBOX", true),
            ("inbox", "INBOX", true),
            ("Inbox", "Sent", false),
            ("Sent", "Sent", true),
            ("Sent", "Sent/2024", false),
            ("Archive/*", "Archive/2024/May", true),
            ("Archive/*", "Archive", false),
            ("*", "INBOX", true),
            ("*", "Trash", false),
            ("*", "Drafts/old", false),
            ("Trash", "Trash", true),
            ("Tr*", "Trash", false),
            ("Trash/*", "Trash/2024", true),
            ("Junk*", "Junk", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "xab", false),
            ("**", "any", true),
            ("a**b", "ab", true),
            ("", "INBOX", false),
        ];
        for (pattern, name, expected) in table {
            let named = is_named(&[pattern.to_owned()], name, SpecialUse::by_usual_name(name));
            assert_eq!(named, expected, "{pattern} {name}");
        }
        assert!(!is_named(&[], "Trash", SpecialUse::by_usual_name("Trash")));
    }

    #[test]
    fn what_cannot_be_listed_may_hold_more() {
        let table = [
            ("Archive", "Archive", true),
            ("Archive/2024", "Archive", true),
            ("Archive/*", "Archive", true),
            ("Archive/*", "Archive/2024", true),
            ("Ar*", "Archive/2024", true),
            ("*/May", "Archive", true),
            ("Archive", "Arch", false),
            ("Archive/*", "Sent", false),
            ("INBOX", "Archive", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(may_hold(&[pattern.to_owned()], name), expected, "{pattern} {name}");
        }
        assert!(may_hold(&[], "any"));
    }
}
