//! A command line, taken apart.
//!
//! In: a line. Out: which command it is, with what stands behind the verb. Decides nothing.

use crate::smtp::path::{MailFrom, RcptTo};

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Helo(&'a str),
    Ehlo(&'a str),
    Lhlo(&'a str),
    Mail(MailFrom),
    Rcpt(RcptTo),
    Data,
    Bdat {
        octets: u64,
        last: Last,
    },
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    Xforward(&'a str),
    Xclient(&'a str),
    /// A known verb with an argument that cannot be read.
    Wrong(&'static str),
    /// Something that a program says which speaks another protocol.
    Foreign,
    Unknown,
}

/// Whether a chunk is the last one (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

impl<'a> Command<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Command<'a> {
        let Ok(line) = std::str::from_utf8(line) else { return Command::Unknown };
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let argument = argument.trim_start_matches(' ');
        let alone = |command: Command<'a>, syntax| if argument.is_empty() { command } else { Command::Wrong(syntax) };
        let named = |command: Command<'a>, syntax| if is_name(argument) { command } else { Command::Wrong(syntax) };
        match verb.to_ascii_uppercase().as_str() {
            "HELO" => named(Command::Helo(argument), "HELO name"),
            "EHLO" => named(Command::Ehlo(argument), "EHLO name"),
            "LHLO" => named(Command::Lhlo(argument), "LHLO name"),
            "MAIL" => MailFrom::parse(argument).map_or(Command::Wrong("MAIL FROM:<address>"), Command::Mail),
            "RCPT" => RcptTo::parse(argument).map_or(Command::Wrong("RCPT TO:<address>"), Command::Rcpt),
            "DATA" => alone(Command::Data, "DATA"),
            "BDAT" => bdat(argument).unwrap_or(Command::Wrong("BDAT octets [LAST]")),
            "RSET" => alone(Command::Rset, "RSET"),
            "NOOP" => Command::Noop,
            "QUIT" => alone(Command::Quit, "QUIT"),
            "VRFY" => Command::Vrfy,
            "HELP" => Command::Help,
            "STARTTLS" => alone(Command::StartTls, "STARTTLS"),
            "XFORWARD" => Command::Xforward(argument),
            "XCLIENT" => Command::Xclient(argument),
            "GET" | "POST" | "PUT" | "HEAD" | "CONNECT" | "OPTIONS" | "HOST:" | "USER-AGENT:" => Command::Foreign,
            _ => Command::Unknown,
        }
    }
}

fn bdat(argument: &str) -> Option<Command<'static>> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let octets = words.next()?;
    let octets = if octets.bytes().all(|octet| octet.is_ascii_digit()) { octets.parse().ok()? } else { return None };
    let last = match words.next() {
        None => Last::No,
        Some(word) if word.eq_ignore_ascii_case("LAST") => Last::Yes,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Command::Bdat { octets, last })
}

/// What greets us under this name will be seen in logs.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.chars().all(|letter| !letter.is_control() && letter != ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        for (line, command) in [
            ("ehlo mx.example", Command::Ehlo("mx.example")),
            ("LHLO [127.0.0.1]", Command::Lhlo("[127.0.0.1]")),
            ("EHLO", Command::Wrong("EHLO name")),
            ("data ", Command::Data),
            ("DATA x", Command::Wrong("DATA")),
            ("BDAT 10", Command::Bdat { octets: 10, last: Last::No }),
            ("bdat 0 last", Command::Bdat { octets: 0, last: Last::Yes }),
            ("BDAT -1", Command::Wrong("BDAT octets [LAST]")),
            ("BDAT +1", Command::Wrong("BDAT octets [LAST]")),
            ("BDAT 1 2", Command::Wrong("BDAT octets [LAST]")),
            ("BDAT 99999999999999999999", Command::Wrong("BDAT octets [LAST]")),
            ("NOOP whatever", Command::Noop),
            ("GET / HTTP/1.1", Command::Foreign),
            ("XFORWARD NAME=a", Command::Xforward("NAME=a")),
            ("MAILFROM:<a>", Command::Unknown),
            ("", Command::Unknown),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), command, "{line}");
        }
        assert_eq!(Command::parse(b"NOOP \xff"), Command::Unknown);
    }
}
