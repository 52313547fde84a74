//! The SMTP envelope of a copy, as it lies in the spool.
//!
//! In: what MAIL and RCPT said. Out: two lines of text, and back. RFC 5321 §2.3.1. It is all of a message that lies there in clear.

use wire::smtp::{MailFrom, RcptTo};

/// From whom, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) from: MailFrom,
    pub(crate) to: RcptTo,
}

impl Envelope {
    pub(crate) fn write(&self) -> String {
        // Neither can hold a line end: see `wire::smtp::path`.
        format!("{}\n{}", self.from.argument(), self.to.argument())
    }

    pub(crate) fn read(text: &str) -> Option<Envelope> {
        let (from, to) = text.split_once('\n')?;
        Some(Envelope { from: MailFrom::parse(from)?, to: RcptTo::parse(to)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_come_back_as_they_were() {
        for (from, to) in [
            ("FROM:<>", "TO:<me@my.example>"),
            ("FROM:<a@b> BODY=8BITMIME SMTPUTF8 RET=HDRS", "TO:<\"a b\"@c> NOTIFY=NEVER ORCPT=rfc822;x@y"),
        ] {
            let (from, to) = (MailFrom::parse(from).unwrap_or_default(), RcptTo::parse(to).unwrap_or_default());
            let envelope = Envelope { from, to };
            assert_eq!(Envelope::read(&envelope.write()), Some(envelope));
        }
        assert_eq!(Envelope::read(""), None);
    }
}
