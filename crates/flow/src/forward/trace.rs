//! Loops found, and the mark that finds them.
//!
//! In: a message's header section, its recipient. Out: whether it has been here before; the lines that a copy carries outside on its way. RFC 5321
//! §6.3 (loops), §4.4 (trace), RFC 9228 (Delivered-To). The Received fields of an original are within its seal, so their number says nothing once
//! it is sealed: the mark does.

use std::io::{self, BufReader};

use mail::HeaderSection;
use sealed::outer::read_header_section;

use crate::delivery::mail::Mail;

/// Servers that a message may have passed. RFC 5321 §6.3 asks for at least 100 where only they are counted; real mail has a dozen.
const MOST_HOPS: usize = 50;

/// What a header section says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// It goes in circles.
    Loop,
    /// It does not, and has a name that it has when it comes again.
    Named,
    /// It does not.
    Nameless,
}

/// Looks at a message. `recipients`: for whom it came, and whose address stands in our mark.
pub(crate) fn path(mail: &Mail, recipients: &[&str]) -> io::Result<Path> {
    let section = read_header_section(&mut BufReader::new(&mut *mail.read()?))?;
    let Some((header, _)) = section else { return Ok(Path::Nameless) };
    Ok(look(&HeaderSection::parse(&header), recipients))
}

fn look(header: &HeaderSection<'_>, recipients: &[&str]) -> Path {
    let ours = |value: &str| recipients.iter().any(|one| one.eq_ignore_ascii_case(value.trim()));
    if header.all("Received").count() > MOST_HOPS || header.all("Delivered-To").any(|one| ours(&one.unfolded_text())) {
        return Path::Loop;
    }
    let named = header.first("Message-ID").is_some_and(|id| !id.value().trim_ascii().is_empty());
    if named { Path::Named } else { Path::Nameless }
}

/// What stands before a copy that goes to another server: who had it, and whose it is. `when`: Unix seconds. Nothing of the client, which is the
/// sealed original's to tell.
pub(crate) fn mark(owner: &str, hello: &str, id: &str, when: i64) -> String {
    let date = time::OffsetDateTime::from_unix_timestamp(when).ok();
    let date = date.and_then(|date| date.format(&time::format_description::well_known::Rfc2822).ok());
    let date = date.unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned());
    // What is not ASCII needs more than a plain field (RFC 6532): then the mark is left out, and the count must do.
    let delivered = if owner.is_ascii() { format!("Delivered-To: {owner}\r\n") } else { String::new() };
    format!("{delivered}Received: by {hello} (Sealpost) id {id};\r\n {date}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_found() {
        let look = |text: &str| super::look(&HeaderSection::parse(text.as_bytes()), &["me@my.example"]);
        let hops = |count: usize| "Received: from a by b; now\r\n".repeat(count) + "Message-ID: <a@b>\r\n\r\n";
        assert_eq!(look(&hops(50)), Path::Named);
        assert_eq!(look(&hops(51)), Path::Loop);
        assert_eq!(look("Subject: x\r\n\r\n"), Path::Nameless);
        assert_eq!(look("Message-ID:  \r\n\r\n"), Path::Nameless);
        assert_eq!(look("Delivered-To: you@my.example\r\nMessage-ID: x\r\n\r\n"), Path::Named);
        let marked = mark("Me@my.example", "gw.example", "x", 0);
        assert!(marked.ends_with("Thu, 01 Jan 1970 00:00:00 +0000\r\n"), "{marked}");
        assert_eq!(look(&format!("{marked}Message-ID: <a@b>\r\n\r\n")), Path::Loop);
    }
}
