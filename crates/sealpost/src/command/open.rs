//! `open` and `headers`: a sealed message on stdin, the original or its protected header fields on stdout. On any failure
//! nothing at all is written there.

use std::{
    io::{self, BufReader, BufWriter, IsTerminal, Write},
    path::Path,
};

use mail::HeaderSection;
use sealed::index::Index;
use serde::Serialize;

use crate::{
    args::{Headers, Open},
    command::{batch, print, print_json},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
    keys::Reading,
    spool,
    tell::tell,
};

/// Opens.
pub fn open(home: &Home, arguments: &Open) -> Result<(), Failure> {
    let reading = find(
        home,
        arguments.key.as_deref(),
        arguments.trust_sealer.as_deref(),
        arguments.passphrase.passphrase_file.as_deref(),
    )?;
    match arguments.batch.as_deref() {
        Some([from, to]) => batch::run("opening", from, to, &|from, to| {
            one(&reading, &mut BufReader::with_capacity(64 * 1024, from), &mut BufWriter::with_capacity(64 * 1024, to))
        }),
        _ => one(&reading, &mut BufReader::with_capacity(64 * 1024, io::stdin().lock()), &mut io::stdout().lock()),
    }
}

/// Shows the protected header fields.
pub fn headers(home: &Home, arguments: &Headers) -> Result<(), Failure> {
    let reading = find(
        home,
        arguments.key.as_deref(),
        arguments.trust_sealer.as_deref(),
        arguments.passphrase.passphrase_file.as_deref(),
    )?;
    let mut stdin = BufReader::new(io::stdin().lock());
    let header = sealed::outer::read_header_section(&mut stdin).doing(Exit::Temporary, "cannot read standard input")?;
    let (header, _) =
        header.ok_or_else(|| Failure::new(Exit::Data, "the header section is larger than a sealed message's"))?;
    let index = open::headers(&header, &reading.keys, &reading.trust)?;
    if arguments.json.json {
        return print_json(&Shown::of(&index));
    }
    let fields = String::from_utf8_lossy(&index.fields);
    // Apart from the fields: those are the sender's words, this is the sealer's.
    if let Some(results) = &index.authentication_results {
        tell(format_args!("what the sealer found out about the sender: {}", harmless(results)));
    }
    if io::stdout().is_terminal() { print(&harmless(&fields)) } else { print(&fields) }
}

/// A sender must not steer the owner's terminal: of the control characters only line ends and tabs are left.
fn harmless(fields: &str) -> String {
    let mut characters = fields.chars().peekable();
    let mut text = String::with_capacity(fields.len());
    while let Some(character) = characters.next() {
        let wanted = match character {
            '\n' | '\t' => true,
            '\r' => characters.peek() == Some(&'\n'),
            other => !other.is_control(),
        };
        text.push(if wanted { character } else { char::REPLACEMENT_CHARACTER });
    }
    text
}

fn find(home: &Home, key: Option<&Path>, sealer: Option<&Path>, passphrase: Option<&Path>) -> Result<Reading, Failure> {
    Reading::find(home, key, sealer, passphrase)
}

fn one(reading: &Reading, from: &mut impl io::BufRead, to: &mut impl Write) -> Result<(), Failure> {
    let place = spool::place().doing(Exit::Temporary, "cannot spool the ciphertext")?;
    open::open(from, place, &reading.keys, &reading.trust)?.write(to)?;
    to.flush().doing(Exit::Temporary, "cannot write the original")
}

/// The list view as JSON.
#[derive(Serialize)]
struct Shown {
    fields: Vec<Field>,
    length: u64,
    sha256: String,
    sealed_at: u64,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mailbox: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_structure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
    /// RFC 8601, as the sealer found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_results: Option<String>,
    /// MAIL FROM, and the recipients of this copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    envelope: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    omitted: Vec<String>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    /// Unfolded, encoded words decoded.
    value: String,
}

impl Shown {
    fn of(index: &Index) -> Self {
        let section = HeaderSection::parse(&index.fields);
        let field = |field: &mail::HeaderField<'_>| Field {
            name: String::from_utf8_lossy(field.name()).into_owned(),
            value: mail::decode_words(&field.unfolded()),
        };
        Self {
            fields: section.fields().iter().map(field).collect(),
            length: index.length,
            sha256: index.hash.iter().map(|octet| format!("{octet:02x}")).collect(),
            sealed_at: index.time,
            sequence: index.sequence,
            internal_date: index.internal_date.clone(),
            mailbox: index.mailbox.clone(),
            flags: index.flags.clone(),
            body_structure: index.body_structure.clone(),
            preview: index.preview.clone(),
            authentication_results: index.authentication_results.clone(),
            envelope: index.envelope.clone(),
            omitted: index.omitted.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered() {
        let table = [
            ("Subject: plain \u{fc}\r\n\tfolded\r\n", "Subject: plain \u{fc}\r\n\tfolded\r\n"),
            ("Subject: \u{1b}[2J\u{7}\r\n", "Subject: \u{fffd}[2J\u{fffd}\r\n"),
            ("Subject: \u{9b}2J\u{7f}\0\n", "Subject: \u{fffd}2J\u{fffd}\u{fffd}\n"),
            ("Subject: over\rwritten\r", "Subject: over\u{fffd}written\u{fffd}"),
        ];
        for (fields, shown) in table {
            assert_eq!(harmless(fields), shown, "{fields:?}");
        }
    }
}
