//! What a target's server said, as codes alone: of its words nothing is kept, since they may name an address.
//!
//! In: a reply of a mail server, a response code of an IMAP server, the words of a report. Out: `550 5.7.1`, `NO OVERQUOTA`; for the spool, and for whoever
//! runs the forwarder. RFC 5321 §4.2, RFC 3463, RFC 5530.

use wire::imap::{Code, ImapError};
use wire::smtp::Reply;

/// Codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said(String);

impl Said {
    /// As text: digits, dots, blanks, and words of a fixed list.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn of_reply(reply: &Reply) -> Said {
        Said::of_codes(Some(reply.code()), reply.enhanced()).unwrap_or_else(|| Said(reply.code().to_string()))
    }

    /// None: the server said nothing that is known.
    pub(crate) fn of_imap(error: &ImapError) -> Option<Said> {
        match error {
            ImapError::No(Some(code)) if *code != Code::Other => Some(Said(format!("NO {code}"))),
            ImapError::No(_) => Some(Said("NO".to_owned())),
            ImapError::Bad => Some(Said("BAD".to_owned())),
            _ => None,
        }
    }

    /// Of a server's words in a report, and of the status beside them.
    pub(crate) fn of_words(words: &str, status: Option<&str>) -> Option<Said> {
        let mut parts = words.split([' ', '-']);
        let code = parts.next().and_then(|code| code.parse().ok()).filter(|code| (200..600).contains(code));
        let enhanced = parts.next().and_then(enhanced).or_else(|| enhanced(status?.split(' ').next()?));
        Said::of_codes(code, enhanced)
    }

    fn of_codes(code: Option<u16>, enhanced: Option<(u16, u16, u16)>) -> Option<Said> {
        let enhanced = enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"));
        match (code, enhanced) {
            (Some(code), Some(enhanced)) => Some(Said(format!("{code} {enhanced}"))),
            (Some(code), None) => Some(Said(code.to_string())),
            (None, enhanced) => enhanced.map(Said),
        }
    }
}

fn enhanced(text: &str) -> Option<(u16, u16, u16)> {
    let number = |part: &str| part.parse::<u16>().ok().filter(|number| *number < 1000);
    let mut parts = text.split('.').map(number);
    let read = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(read.0, 2 | 4 | 5)).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stay_and_words_go() {
        let reply = |code, lines: &[&str]| Reply::bare(code, lines.iter().map(|line| (*line).to_owned()).collect());
        for (said, is) in [
            (Some(Said::of_reply(&reply(550, &["5.7.1 <me@my.example> no"]))), "550 5.7.1"),
            (Some(Said::of_reply(&reply(421, &["me@my.example"]))), "421"),
            (Said::of_imap(&ImapError::No(Some(Code::OverQuota))), "NO OVERQUOTA"),
            (Said::of_imap(&ImapError::No(Some(Code::Other))), "NO"),
            (Said::of_words("550-5.1.1 me@my.example", None), "550 5.1.1"),
            (Said::of_words("550 me@my.example", Some("5.1.10 (x)")), "550 5.1.10"),
            (Said::of_words("me@my.example", Some("5.0.0")), "5.0.0"),
        ] {
            assert_eq!(said.as_ref().map(Said::text), Some(is));
        }
        assert_eq!(Said::of_words("me@my.example 5.1.1", Some("me@my.example")), Some(Said("5.1.1".to_owned())));
        assert_eq!(Said::of_words("x", None), None);
        assert_eq!(Said::of_imap(&ImapError::Closed), None);
    }
}
