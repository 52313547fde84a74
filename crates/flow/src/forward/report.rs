//! What came to a return path: a report of delivery (RFC 3464), or something else that has no sender.
//!
//! In: a message, of which only the beginning is read. Out: whether it tells that mail was not delivered, and with which words: they are a stranger's, and
//! only for a note that is sealed. Never decides whether the message is what it claims to be: its recipient address does (`return_path.rs`).

use std::io::{self, Read};

use mail::{BodyPart, HeaderSection, Scanner, part_octets};

use crate::forward::said::Said;

/// Octets of a message that are read. A report stands before the message that it is about.
const READ: u64 = 256 * 1024;
/// Groups of fields of one report.
const GROUPS: usize = 100;
/// Characters of a server's words that are kept.
const WORDS: usize = 400;

/// What a message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A message was not delivered.
    Failed(Failure),
    /// It was, or may still be.
    NotFailed,
    /// Somebody's absence, or the like (RFC 3834): nothing of delivery.
    Answer,
    /// Nothing that can be read.
    Unclear,
}

/// Why it was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The words of the server that refused it, as they came.
    pub(crate) words: String,
    /// Their codes alone.
    pub(crate) said: Option<Said>,
}

impl Report {
    /// Reads a message. Blocks.
    pub(crate) fn read(message: &mut impl Read) -> io::Result<Report> {
        let mut octets = Vec::new();
        message.take(READ).read_to_end(&mut octets)?;
        Ok(Report::of(&octets))
    }

    fn of(octets: &[u8]) -> Report {
        let mut scanner = Scanner::new();
        scanner.feed(octets);
        if let Some(status) = find(&scanner.finish(), octets) {
            return of_status(&status);
        }
        let section = HeaderSection::parse(octets);
        let answers = section
            .first("Auto-Submitted")
            .is_some_and(|field| field.unfolded_text().trim().to_ascii_lowercase().starts_with("auto-replied"));
        if answers { Report::Answer } else { Report::Unclear }
    }
}

/// The part that programs read (RFC 3464 §2.1, RFC 6533 §6): the message itself, or a part of it as a report. What is attached is about other mail.
fn find(message: &BodyPart, octets: &[u8]) -> Option<Vec<u8>> {
    let is_status = |part: &&BodyPart| {
        let kind = part.content_type();
        kind.is("message", "delivery-status") || kind.is("message", "global-delivery-status")
    };
    let parts = if message.content_type().is("multipart", "report") { message.children() } else { &[] };
    let status = Some(message).filter(is_status).or_else(|| parts.iter().find(is_status))?;
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(octets.len());
    let body = octets.get(at(status.body_offset())..at(status.end_offset()))?;
    Some(part_octets(status, body).into_owned())
}

fn of_status(status: &[u8]) -> Report {
    let text = String::from_utf8_lossy(status).replace("\r\n", "\n");
    // The first group is about the message, the others each about a recipient (§2.1).
    let groups = text.split("\n\n").map(str::trim_start).filter(|group| !group.is_empty()).take(GROUPS);
    let mut known = false;
    for group in groups {
        let group = format!("{}\n\n", group.trim_end());
        let fields = HeaderSection::parse(group.as_bytes());
        let value = |name: &str| fields.first(name).map(|field| field.unfolded_text().trim().to_owned());
        match value("Action").map(|action| action.to_ascii_lowercase()) {
            Some(action) if action == "failed" => {
                return Report::Failed(failure(value("Status"), value("Diagnostic-Code")));
            }
            Some(_) => known = true,
            None => {}
        }
    }
    if known { Report::NotFailed } else { Report::Unclear }
}

/// `Diagnostic-Code: smtp; 550 5.1.1 no such user` (§2.3.6).
fn failure(status: Option<String>, diagnostic: Option<String>) -> Failure {
    let diagnostic = diagnostic.unwrap_or_default();
    let words = diagnostic.split_once(';').map_or(diagnostic.as_str(), |(_, words)| words).trim();
    let said = Said::of_words(words, status.as_deref());
    let words = match status {
        Some(status) if !words.contains(status.as_str()) => format!("{status} {words}"),
        _ => words.to_owned(),
    };
    Failure { words: words.trim().chars().take(WORDS).collect(), said }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(status: &str) -> Vec<u8> {
        format!(
            "From: MAILER-DAEMON@provider.example\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n boundary=b\r\n\r\n\
             --b\r\n\r\nYour message came back.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; provider.example\r\n\r\n{status}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
             Subject: x\r\n\r\nAction: failed\r\n--b--\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn only_failures_are_failures() {
        for (status, means) in [
            (
                "Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2 the\r\n mailbox\r\n  is full\r\n",
                Some("552 5.2.2"),
            ),
            ("Action: FAILED\r\nStatus: 5.1.1 (no such user)\r\n", Some("5.1.1")),
            ("Action: failed\r\n", None),
        ] {
            let Report::Failed(failure) = Report::of(&report(status)) else { panic!("{status}") };
            assert_eq!(failure.said.as_ref().map(|said| said.text().to_owned()).as_deref(), means, "{status}");
            assert!(!status.contains("mailbox") || failure.words.contains("is full"), "{failure:?}");
        }
        for status in ["Action: delayed\r\nStatus: 4.4.1\r\n", "Action: delivered\r\n", "Action: relayed\r\n"] {
            assert_eq!(Report::of(&report(status)), Report::NotFailed, "{status}");
        }
        assert!(matches!(
            Report::of(&report("Action: delivered\r\n\r\nAction: failed\r\nStatus: 5.0.0\r\n")),
            Report::Failed(_)
        ));
        assert_eq!(Report::of(&report("Status: 5.0.0\r\n")), Report::Unclear);
        assert_eq!(Report::of(b"From: x@y\r\n\r\nAction: failed\r\n"), Report::Unclear);
        // What is attached is no report, neither within one nor on its own.
        let failed = String::from_utf8(report("Action: failed\r\nStatus: 5.0.0\r\n")).expect("ASCII");
        let within = |kind: &str, rest: &str| {
            format!(
                "Content-Type: multipart/{kind}; boundary=c\r\n\r\n--c\r\nContent-Type: message/rfc822\r\n\r\n{failed}\r\n{rest}--c--\r\n"
            )
        };
        assert_eq!(Report::of(within("mixed", "").as_bytes()), Report::Unclear);
        assert_eq!(Report::of(within("report", "").as_bytes()), Report::Unclear);
        let delivered = "--c\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: delivered\r\n\r\n";
        assert_eq!(Report::of(within("report", delivered).as_bytes()), Report::NotFailed);
        assert_eq!(Report::of(b"Auto-Submitted: auto-generated\r\n\r\nI am away\r\n"), Report::Unclear);
        assert_eq!(Report::of(b"Auto-Submitted: auto-replied (vacation)\r\n\r\nI am away\r\n"), Report::Answer);
    }

    proptest! {
        #[test]
        fn no_message_breaks_it(status: String, octets: Vec<u8>) {
            let _ = Report::of(&report(&status));
            let _ = Report::of(&octets);
        }
    }
}
