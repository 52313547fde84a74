//! The ENVELOPE of a message (RFC 9051 §7.5.2, RFC 3501 §7.4.2).
//!
//! In: a header section. Out: the parenthesised list as an IMAP server sends it, encoded words left encoded. Never judges an address.

use crate::address::{AddressEntry, AddressList};
use crate::header::HeaderSection;
use crate::imap_string::{push_nstring, push_string};

/// The ENVELOPE, parentheses included.
///
/// Of a field that stands there twice the first counts, but address fields are joined. quirk: an address without a domain, or without a
/// mailbox, gets the words that Dovecot writes in their place, as NIL would mean a group.
pub fn envelope(header: &HeaderSection<'_>) -> String {
    let text = |name: &str| header.first(name).map(|field| field.unfolded().trim_ascii_end().to_vec());
    let mut out = String::from("(");
    push_nstring(&mut out, text("date").as_deref());
    out.push(' ');
    push_nstring(&mut out, text("subject").as_deref());
    let from = address_structure(header, "from");
    for name in ["from", "sender", "reply-to", "to", "cc", "bcc"] {
        out.push(' ');
        let list = match name {
            "from" => from.clone(),
            // Without Sender or Reply-To a server answers From (RFC 9051 §7.5.2).
            "sender" | "reply-to" => address_structure(header, name).or_else(|| from.clone()),
            _ => address_structure(header, name),
        };
        out.push_str(list.as_deref().unwrap_or("NIL"));
    }
    for name in ["in-reply-to", "message-id"] {
        out.push(' ');
        push_nstring(&mut out, text(name).as_deref());
    }
    out.push(')');
    out
}

/// The addresses of all fields of one name, or `None` when there are none.
fn address_structure(header: &HeaderSection<'_>, name: &str) -> Option<String> {
    let mut out = String::new();
    for field in header.all(name) {
        for entry in AddressList::parse(field.value()).entries() {
            match entry {
                AddressEntry::GroupStart(name) => {
                    out.push_str("(NIL NIL ");
                    push_string(&mut out, name);
                    out.push_str(" NIL)");
                }
                AddressEntry::GroupEnd => out.push_str("(NIL NIL NIL NIL)"),
                AddressEntry::Address(address) => {
                    let mailbox = Some(unquoted(address.local_part())).filter(|mailbox| !mailbox.is_empty());
                    out.push('(');
                    push_nstring(&mut out, Some(address.phrase()).filter(|phrase| !phrase.is_empty()));
                    out.push_str(" NIL ");
                    push_string(&mut out, mailbox.as_deref().unwrap_or(b"MISSING_MAILBOX"));
                    out.push(' ');
                    push_string(
                        &mut out,
                        address.domain().filter(|domain| !domain.is_empty()).unwrap_or(b"MISSING_DOMAIN"),
                    );
                    out.push(')');
                }
            }
        }
    }
    (!out.is_empty()).then(|| format!("({out})"))
}

/// A local part without its quotes (RFC 5322 §3.2.4).
pub fn unquoted(local: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(local.len());
    let mut rest = local.iter();
    while let Some(octet) = rest.next() {
        match octet {
            b'"' => {}
            b'\\' => out.extend(rest.next()),
            _ => out.push(*octet),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes() {
        for (header, expected) in [
            ("", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
            (
                "Date: d\r\nSubject: a\r\n \"b\"\r\nFrom: A B <a@x>\r\nMessage-ID: <i@x>\r\n",
                r#"("d" "a \"b\"" (("A B" NIL "a" "x")) (("A B" NIL "a" "x")) (("A B" NIL "a" "x")) NIL NIL NIL NIL "<i@x>")"#,
            ),
            (
                "From: =?utf-8?Q?=C3=A9?= <a@x>\nSender: s@x\nReply-To: \nTo: G: b@y;, root\nTo: \"c d\"@z\nCc: <>\n",
                concat!(
                    r#"(NIL NIL (("=?utf-8?Q?=C3=A9?=" NIL "a" "x")) ((NIL NIL "s" "x")) (("=?utf-8?Q?=C3=A9?=" NIL "a" "x")) "#,
                    r#"((NIL NIL "G" NIL)(NIL NIL "b" "y")(NIL NIL NIL NIL)(NIL NIL "root" "MISSING_DOMAIN")(NIL NIL "c d" "z")) "#,
                    r#"((NIL NIL "MISSING_MAILBOX" "MISSING_DOMAIN")) NIL NIL NIL)"#
                ),
            ),
        ] {
            assert_eq!(envelope(&HeaderSection::parse(header.as_bytes())), expected, "{header:?}");
        }
    }
}
