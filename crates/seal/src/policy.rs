//! What stays readable outside the encryption: a header confidentiality policy in the sense of RFC 9788 (format §7.1).
//! The original's header section in, outer fields out, ASCII with CRLF. It never copies a field that is not on its list.

use std::str::FromStr;

use mail::HeaderSection;
use sealed::{field::encode_id, identity::MessageId};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::copies;

/// How much stays outside.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Everything that is shown, the Subject too.
    Open,
    /// Who and when, not what about.
    #[default]
    Baseline,
    /// Addresses without names, no time zone.
    Shy,
    /// Nothing but that there is a mail.
    Hidden,
}

/// Which Message-ID the sealed message carries outside; inside it is always the original's.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum OuterId {
    /// The original's, where the policy lets it out: threads and replies go on.
    #[default]
    Kept,
    /// One of its own, with the original's as the last of its References: for servers that take two messages of one Message-ID
    /// for the same (format §12.6).
    Own,
}

/// Who stands outside in the author's place: a forwarder, which cannot speak in the author's name (DMARC, format §13.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OuterFrom {
    from: String,
    reply_to: Option<String>,
}

impl OuterFrom {
    /// Values of From and Reply-To, unfolded. None unless both are printable ASCII, so that neither can begin another field.
    pub fn new(from: String, reply_to: Option<String>) -> Option<OuterFrom> {
        let printable = |value: &String| !value.is_empty() && value.bytes().all(|octet| matches!(octet, b' '..=b'~'));
        (printable(&from) && reply_to.as_ref().is_none_or(printable)).then_some(OuterFrom { from, reply_to })
    }

    /// The value of From.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The value of Reply-To.
    pub fn reply_to(&self) -> Option<&str> {
        self.reply_to.as_deref()
    }

    /// What stands outside instead of a field of the original's. None: the field's own copy.
    fn instead(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "From" => Some(copies::folded("From", &self.from)),
            "Reply-To" => Some(self.reply_to.as_deref().map_or_else(Vec::new, |to| copies::folded("Reply-To", to))),
            // Whoever sent it for the author did not send this.
            "Sender" => Some(Vec::new()),
            _ => None,
        }
    }
}

/// The Subject that stands outside when the true one does not (RFC 9788 §3.2.1).
const HIDDEN_SUBJECT: &[u8] = b"Subject: [...]\r\n";
/// Fields that `baseline` and `shy` leave outside.
const WHO_AND_WHEN: [&str; 9] =
    ["From", "Sender", "Reply-To", "To", "Cc", "Date", "Message-ID", "In-Reply-To", "References"];
/// Fields that `open` leaves outside besides those and the Subject.
const OPEN_TOO: [&str; 10] = [
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Keywords",
    "Comments",
    "Autocrypt",
];
/// `hidden` never writes a date older than this many hours' rounding: the full hour of sealing.
const HOUR: u64 = 3600;

impl Policy {
    /// The outer fields. `id` and `time` (Unix seconds) of sealing stand in where the true ones are hidden; `from` stands in the
    /// author's place, whatever the policy.
    pub fn outer_fields(
        self,
        section: &HeaderSection<'_>,
        id: MessageId,
        time: u64,
        outer_id: OuterId,
        from: Option<&OuterFrom>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let instead = |name: &str| from.and_then(|from| from.instead(name));
        if self == Self::Hidden {
            out.extend(instead("From").unwrap_or_else(|| b"From: sealed@sealed.invalid\r\n".to_vec()));
            out.extend(instead("Reply-To").into_iter().flatten());
            out.extend_from_slice(b"To: hidden-recipients: ;\r\n");
            out.extend_from_slice(&date(time / HOUR * HOUR));
            out.extend_from_slice(&own_message_id(id));
            out.extend_from_slice(HIDDEN_SUBJECT);
            return out;
        }
        for name in WHO_AND_WHEN {
            if let Some(instead) = instead(name) {
                out.extend_from_slice(&instead);
                continue;
            }
            let copy = section.first(name).and_then(|field| match (self, name) {
                (Self::Shy, "From" | "Sender" | "Reply-To" | "To" | "Cc") => {
                    copies::bare_addresses(field).map(|list| copies::folded(name, &list))
                }
                (Self::Shy, "Date") => moment(&field.unfolded_text()).map(date),
                (_, "Message-ID" | "References") if outer_id == OuterId::Own => None,
                _ => copies::outside(name, field),
            });
            match copy {
                Some(copy) => out.extend_from_slice(&copy),
                None if name == "From" => out.extend_from_slice(b"From: unknown@sealed.invalid\r\n"),
                None if name == "Message-ID" && outer_id == OuterId::Own => out.extend_from_slice(&own_message_id(id)),
                None if name == "References" && outer_id == OuterId::Own => out.extend_from_slice(&thread(section)),
                None => {}
            }
        }
        if self != Self::Open {
            out.extend_from_slice(HIDDEN_SUBJECT);
            return out;
        }
        let subject = section.first("Subject").and_then(|field| copies::outside("Subject", field));
        out.extend_from_slice(subject.as_deref().unwrap_or(b"Subject: \r\n"));
        for name in OPEN_TOO {
            let copy = section.first(name).and_then(|field| copies::outside(name, field));
            out.extend(copy.into_iter().flatten());
        }
        out
    }

    /// As it is written in configuration and enrolment.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Baseline => "baseline",
            Self::Shy => "shy",
            Self::Hidden => "hidden",
        }
    }
}

impl FromStr for Policy {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let all = [Self::Open, Self::Baseline, Self::Shy, Self::Hidden];
        all.into_iter().find(|policy| policy.word() == word).ok_or(UnknownWord("open, baseline, shy, hidden"))
    }
}

/// A word that is not one of those allowed here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be one of: {0}")]
pub struct UnknownWord(pub &'static str);

/// The moment that a Date field names, Unix seconds. None when no date can be read from it.
fn moment(value: &str) -> Option<u64> {
    let date = mail_parser::DateTime::parse_rfc822(value).filter(mail_parser::DateTime::is_valid)?;
    u64::try_from(date.to_timestamp()).ok()
}

fn date(seconds: u64) -> Vec<u8> {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc2822).ok());
    moment.map_or_else(Vec::new, |moment| format!("Date: {moment}\r\n").into_bytes())
}

fn own_message_id(id: MessageId) -> Vec<u8> {
    format!("Message-ID: <{}@sealed.invalid>\r\n", encode_id(&id.0)).into_bytes()
}

/// References of the original and, after them, its Message-ID: who answers it is in its thread.
fn thread(section: &HeaderSection<'_>) -> Vec<u8> {
    let fields = ["References", "Message-ID"].iter().filter_map(|name| section.first(name));
    let texts: Vec<String> = fields.map(|field| field.unfolded_text()).collect();
    let words = texts.iter().flat_map(|text| text.split_ascii_whitespace());
    let ids: Vec<&str> = words.filter(|word| word.is_ascii() && !word.bytes().any(|octet| octet < 0x20)).collect();
    match ids.is_empty() {
        true => Vec::new(),
        false => copies::folded("References", &ids.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_leaves_only_what_it_says() {
        let message = b"Received: from a\r\nFrom: Eve Example <eve@example.com>\r\nTo: Alice <alice@example.org>\r\n\
            Cc: c@example.org\r\nBcc: hidden@example.org\r\nSubject: secret plan\r\nDate: Mon, 23 Nov 2026 10:20:30 +0100\r\n\
            Message-ID: <1@example.com>\r\nList-Id: <l.example.org>\r\nX-Mailer: m\r\nKeywords: k\r\n\r\nbody";
        let section = HeaderSection::parse(message);
        let outer = |policy: Policy| {
            String::from_utf8(policy.outer_fields(&section, MessageId([1; 16]), 1_795_426_830, OuterId::Kept, None))
                .expect("ASCII")
        };
        assert_eq!(
            outer(Policy::Baseline),
            "From: Eve Example <eve@example.com>\r\nTo: Alice <alice@example.org>\r\nCc: c@example.org\r\n\
             Date: Mon, 23 Nov 2026 10:20:30 +0100\r\nMessage-ID: <1@example.com>\r\nSubject: [...]\r\n"
        );
        assert_eq!(
            outer(Policy::Shy),
            "From: eve@example.com\r\nTo: alice@example.org\r\nCc: c@example.org\r\n\
             Date: Mon, 23 Nov 2026 09:20:30 +0000\r\nMessage-ID: <1@example.com>\r\nSubject: [...]\r\n"
        );
        assert_eq!(
            outer(Policy::Hidden),
            "From: sealed@sealed.invalid\r\nTo: hidden-recipients: ;\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n\
             Message-ID: <AQEBAQEBAQEBAQEBAQEBAQ@sealed.invalid>\r\nSubject: [...]\r\n"
        );
        let open = outer(Policy::Open);
        assert!(open.contains("Subject: secret plan\r\n") && open.contains("List-Id:") && open.contains("Keywords: k"));
        for policy in [Policy::Open, Policy::Baseline, Policy::Shy, Policy::Hidden] {
            let outer = outer(policy);
            assert!(
                !outer.contains("hidden@example.org") && !outer.contains("Received") && !outer.contains("X-Mailer")
            );
            assert_eq!(policy.word().parse(), Ok(policy));
        }
        assert!("none".parse::<Policy>().is_err());
    }

    #[test]
    fn a_mail_without_fields_still_has_a_sender_and_a_subject() {
        let section = HeaderSection::parse(b"just a body");
        let outer = Policy::Baseline.outer_fields(&section, MessageId([0; 16]), 0, OuterId::Kept, None);
        assert_eq!(outer, b"From: unknown@sealed.invalid\r\nSubject: [...]\r\n");
    }

    #[test]
    fn a_forwarder_stands_in_the_authors_place() {
        let message = b"From: Eve <eve@example.com>\r\nSender: list@example.com\r\nReply-To: r@example.com\r\nTo: a@example.org\r\n\r\n";
        let section = HeaderSection::parse(message);
        let from = "\"Eve via mx.example.net\" <forward@example.net>";
        for (reply_to, policy) in
            [(Some("eve@example.com"), Policy::Baseline), (None, Policy::Shy), (None, Policy::Hidden)]
        {
            let instead = OuterFrom::new(from.to_owned(), reply_to.map(str::to_owned)).expect("printable");
            let outer = policy.outer_fields(&section, MessageId([1; 16]), 0, OuterId::Kept, Some(&instead));
            let outer = String::from_utf8(outer).expect("ASCII");
            assert!(outer.starts_with(&format!("From: {from}\r\n")), "{outer}");
            assert!(!outer.contains("list@") && !outer.contains("r@example.com"), "{outer}");
            assert_eq!(outer.contains("Reply-To: eve@example.com\r\n"), reply_to.is_some(), "{outer}");
            assert_eq!(outer.matches("From:").count(), 1);
        }
        assert_eq!(OuterFrom::new("a@b\r\nBcc: c@d".to_owned(), None), None);
        assert_eq!(OuterFrom::new("a@b".to_owned(), Some("\u{e9}@b".to_owned())), None);
    }

    #[test]
    fn its_own_message_id_keeps_the_thread() {
        let original = b"Message-ID: <2@b>\r\nReferences: <0@a>\r\n <1@a>\r\nFrom: a@b\r\n\r\n";
        let section = HeaderSection::parse(original);
        let outer = Policy::Baseline.outer_fields(&section, MessageId([1; 16]), 0, OuterId::Own, None);
        let outer = String::from_utf8(outer).expect("ASCII");
        assert!(outer.contains("Message-ID: <AQEBAQEBAQEBAQEBAQEBAQ@sealed.invalid>\r\n"), "{outer}");
        assert!(outer.contains("References: <0@a> <1@a> <2@b>\r\n"), "{outer}");
        assert!(!outer.contains("Message-ID: <2@b>"), "{outer}");
    }
}
