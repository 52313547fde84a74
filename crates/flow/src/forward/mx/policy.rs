//! What a domain says of its own mail servers (MTA-STS, RFC 8461 §3).
//!
//! In: the TXT record, the text of the policy. Out: an id, a policy. What does not fit the grammar is none.

use std::time::Duration;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::mta_sts::MtaSts;

/// Octets of the longest text that is read.
pub(crate) const MAX_TEXT: usize = 64 * 1024;
/// Patterns that are kept.
const MAX_PATTERNS: usize = 128;
/// RFC 8461 §3.2.
const MAX_AGE: u64 = 31_557_600;

/// Which of its servers a domain's mail may be given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How it is meant.
    pub mode: Mode,
    pub(crate) max_age: Duration,
    patterns: Vec<String>,
}

/// How a policy is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Other servers get nothing.
    Enforce,
    /// Nothing is forbidden yet.
    Testing,
    /// Nothing is forbidden any more.
    None,
}

impl Policy {
    /// Parses a text.
    pub fn parse(text: &str) -> Option<Policy> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key.trim(), value.trim()))
        });
        if lines.next()?? != ("version", "STSv1") {
            return None;
        }
        let (mut mode, mut max_age, mut patterns) = (None, None, Vec::new());
        for line in lines {
            // The first of two counts.
            match line? {
                ("mode", _) if mode.is_some() => {}
                ("mode", "enforce") => mode = Some(Mode::Enforce),
                ("mode", "testing") => mode = Some(Mode::Testing),
                ("mode", "none") => mode = Some(Mode::None),
                ("mode", _) => return None,
                ("max_age", _) if max_age.is_some() => {}
                ("max_age", number) => max_age = Some(number.parse::<u64>().ok()?.min(MAX_AGE)),
                ("mx", _) if patterns.len() == MAX_PATTERNS => return None,
                ("mx", pattern) => patterns.push(pattern.to_ascii_lowercase()),
                _ => {}
            }
        }
        let (mode, max_age) = (mode?, Duration::from_secs(max_age?));
        (mode == Mode::None || !patterns.is_empty()).then_some(Policy { mode, max_age, patterns })
    }

    /// May mail be given to this host? (RFC 8461 §4.1)
    pub fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mode != Mode::Enforce
            || self.patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
                Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
                None => *pattern == host,
            })
    }
}

/// The id in the one record among these texts; none: there is no policy (RFC 8461 §3.1).
pub fn id<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut records = texts.filter(|text| text.starts_with(b"v=STSv1;"));
    let (Some(record), None) = (records.next(), records.next()) else { return None };
    let id = MtaSts::parse(record).ok()?.id;
    ((1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "version: STSv1\r\nmode: enforce\r\nmx: mx1.provider.example\r\nmx: *.mail.example\r\nmax_age: 604800\r\n";

    #[test]
    fn hosts_that_are_named() {
        let policy = Policy::parse(TEXT).expect("a policy");
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
        for (host, allowed) in [
            ("mx1.provider.example", true),
            ("MX1.Provider.Example.", true),
            ("mx2.provider.example", false),
            ("a.mail.example", true),
            ("a.b.mail.example", false),
            ("mail.example", false),
            (".mail.example", false),
            ("evil-mail.example", false),
        ] {
            assert_eq!(policy.allows(host), allowed, "{host}");
        }
        let testing = Policy::parse(&TEXT.replace("enforce", "testing")).expect("a policy");
        assert!(testing.allows("mx2.provider.example"));
    }

    #[test]
    fn what_is_no_policy() {
        assert!(Policy::parse("version: STSv1\nmode: none\nmax_age: 1\n").is_some());
        for text in [
            "",
            "mode: enforce\nversion: STSv1\nmx: a\nmax_age: 1\n",
            "version: STSv2\nmode: enforce\nmx: a\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmax_age: 1\n",
            "version: STSv1\nmode: odd\nmx: a\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1\n",
            "version: STSv1\nmode: enforce\nmx: a\n",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: 1\nhello\n",
            "<html>",
        ] {
            assert_eq!(Policy::parse(text), None, "{text:?}");
        }
        let forever = Policy::parse(&TEXT.replace("604800", "99999999999")).expect("a policy");
        assert_eq!(forever.max_age.as_secs(), MAX_AGE);
    }

    #[test]
    fn one_record_and_its_id() {
        let id = |texts: &[&str]| id(texts.iter().map(|text| text.as_bytes()));
        assert_eq!(id(&["v=STSv1; id=20260101T000000;", "v=spf1 -all"]).as_deref(), Some("20260101T000000"));
        assert_eq!(id(&["v=STSv1; id=1;", "v=STSv1; id=2;"]), None);
        assert_eq!(id(&["v=STSv1; id=a-b;"]), None);
        assert_eq!(id(&[&format!("v=STSv1; id={};", "1".repeat(33))]), None);
        assert_eq!(id(&["v=STSv1;"]), None);
        assert_eq!(id(&[]), None);
    }
}
