//! A reply (RFC 5321 §4.2): three digits, a status code of its own (RFC 3463), some text.
//!
//! In: numbers and text, or lines of a server. Out: the reply, or its lines. What a server wrote is passed on as printable text: it can neither
//! forge a line nor steer a terminal.

use crate::smtp::limit;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Text of each line; the first begins with the enhanced status code where there is one.
    lines: Vec<String>,
}

impl Reply {
    /// A reply of ours. `enhanced`: class, subject, detail.
    pub fn new(code: u16, enhanced: (u16, u16, u16), text: &str) -> Reply {
        let (class, subject, detail) = enhanced;
        Reply { code, lines: vec![format!("{class}.{subject}.{detail} {text}")] }
    }

    /// A reply without a status code of its own: greetings, the answer to EHLO.
    pub fn bare(code: u16, lines: Vec<String>) -> Reply {
        Reply { code, lines }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Its lines, without the digits.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The status code of its own (RFC 3463): class, subject, detail.
    pub fn enhanced(&self) -> Option<(u16, u16, u16)> {
        Some(status(self.lines.first()?)?.0)
    }

    /// Its lines, without any status code; at least one.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let text = |line: &'_ String| -> usize { status(line).map_or(0, |(_, length)| length) };
        let lines: Vec<&str> = self.lines.iter().map(|line| line.get(text(line)..).unwrap_or_default()).collect();
        if lines.is_empty() { vec![""] } else { lines }
    }

    /// Done (2xx).
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Go on (3xx).
    pub fn is_intermediate(&self) -> bool {
        (300..400).contains(&self.code)
    }

    /// Not now (4xx).
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Never (5xx).
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// As it is sent.
    pub fn write(&self, to: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let mark = if at == last { ' ' } else { '-' };
            to.extend_from_slice(format!("{}{mark}{line}\r\n", self.code).as_bytes());
        }
        if self.lines.is_empty() {
            to.extend_from_slice(format!("{} \r\n", self.code).as_bytes());
        }
    }
}

/// The status code at the beginning of a line, and how many octets it takes with its blank.
fn status(line: &str) -> Option<((u16, u16, u16), usize)> {
    let code = line.split(' ').next()?;
    let digits =
        |part: &str| (part.len() <= 3 && part.bytes().all(|octet| octet.is_ascii_digit())).then(|| part.parse().ok());
    let mut parts = code.split('.').map(|part| digits(part).flatten());
    let status = (parts.next()??, parts.next()??, parts.next()??);
    let good = matches!(status.0, 2 | 4 | 5) && parts.next().is_none();
    good.then_some((status, code.len().saturating_add(1).min(line.len())))
}

/// Lines of a server, put together.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    code: Option<u16>,
    lines: Vec<String>,
}

/// What a line of a server did to the reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// More lines follow.
    More,
    /// That was the last one.
    Whole(Reply),
    /// That was no line of a reply.
    Nonsense,
}

impl Gathering {
    /// `line`: without its end.
    pub(crate) fn add(&mut self, line: &[u8]) -> Gathered {
        let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
        let Some(code) = code.filter(|code| (200..600).contains(code)) else { return Gathered::Nonsense };
        if self.code.is_some_and(|before| before != code) || self.lines.len() >= limit::REPLY_LINES {
            return Gathered::Nonsense;
        }
        self.code = Some(code);
        let more = match line.get(3) {
            Some(b'-') => true,
            Some(b' ') | None => false,
            Some(_) => return Gathered::Nonsense,
        };
        let text = String::from_utf8_lossy(line.get(4..).unwrap_or_default());
        self.lines.push(text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect());
        if more {
            return Gathered::More;
        }
        let lines = std::mem::take(&mut self.lines);
        self.code = None;
        Gathered::Whole(Reply { code, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(lines: &[&str]) -> Gathered {
        let mut gathering = Gathering::default();
        let mut last = Gathered::Nonsense;
        for line in lines {
            last = gathering.add(line.as_bytes());
            if last == Gathered::Nonsense {
                break;
            }
        }
        last
    }

    #[test]
    fn replies_come_back_as_they_were_written() {
        for reply in [
            Reply::new(250, (2, 0, 0), "ok"),
            Reply::bare(250, vec!["mx.example.org".to_owned(), "PIPELINING".to_owned(), "SIZE 1000".to_owned()]),
            Reply::bare(354, vec![String::new()]),
        ] {
            let mut octets = Vec::new();
            reply.write(&mut octets);
            let text = String::from_utf8(octets).unwrap_or_default();
            assert_eq!(gather(&text.lines().collect::<Vec<_>>()), Gathered::Whole(reply));
        }
    }

    #[test]
    fn status_codes_are_told() {
        for (line, code, text) in [
            ("4.7.5 later", Some((4, 7, 5)), "later"),
            ("5.1.100", Some((5, 1, 100)), ""),
            ("4.7 later", None, "4.7 later"),
            ("3.0.0 x", None, "3.0.0 x"),
            ("5.1.1000 x", None, "5.1.1000 x"),
            ("5.1.1.1 x", None, "5.1.1.1 x"),
            ("5..1 x", None, "5..1 x"),
            ("", None, ""),
        ] {
            let reply = Reply::bare(450, vec![line.to_owned()]);
            assert_eq!((reply.enhanced(), reply.texts()), (code, vec![text]), "{line}");
        }
        assert_eq!(Reply::bare(450, Vec::new()).texts(), [""]);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for lines in
            [&["25"][..], &["2x0 ok"], &["250ok"], &["250-a", "251 b"], &["999 x"], &["150 x"], &[""], &["-50 x"]]
        {
            assert_eq!(gather(lines), Gathered::Nonsense, "{lines:?}");
        }
        let endless = vec!["250-x"; limit::REPLY_LINES + 1];
        assert_eq!(gather(&endless), Gathered::Nonsense);
        assert_eq!(gather(&["250"]), Gathered::Whole(Reply::bare(250, vec![String::new()])));
        assert_eq!(gather(&["250 a\x1b[2Jb\x07"]), Gathered::Whole(Reply::bare(250, vec!["a?[2Jb?".to_owned()])));
        let reply = Reply::bare(451, Vec::new());
        assert!(reply.is_transient() && !reply.is_positive() && !reply.is_permanent() && !reply.is_intermediate());
    }
}
