//! What the index holds of one message. In: the message, opened. Out: octets, and back, without copying. Texts are folded, but for those that are shown.

use mail::{HeaderSection, decode_words};
use zeroize::Zeroizing;

use crate::depot::{Original, Trouble};
use crate::index::criteria::{fold, sent_day};
use crate::index::words::words_of;

/// The record of a message that arrived then, Unix seconds.
pub(crate) fn record_of(original: &mut Original, arrived: i64) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let words = words_of(original)?;
    let header = original.header()?;
    let section = HeaderSection::parse(&header);
    let text = |name: &str| {
        let values: Vec<String> = section.all(name).map(|field| decode_words(&field.unfolded())).collect();
        Zeroizing::new(values.join("\n"))
    };
    let folded = |text: &str| Zeroizing::new(fold(text));
    let (from, subject) = (text("from"), text("subject"));
    let folded = ["from", "to", "cc", "bcc", "subject"].map(|name| folded(&text(name)));
    let [folded_from, to, cc, bcc, folded_subject] = folded.each_ref().map(|text| text.as_bytes());
    let record = Record {
        sent: section.first("date").and_then(|field| sent_day(&field.unfolded_text())).unwrap_or_default(),
        arrived,
        shown_from: from.as_bytes(),
        shown_subject: subject.as_bytes(),
        from: folded_from,
        to,
        cc,
        bcc,
        subject: folded_subject,
        attachments: words.attachments.as_bytes(),
        header: words.header.as_bytes(),
        body: words.body.as_bytes(),
    };
    Ok(record.write())
}

/// A record, taken apart.
#[derive(Default)]
pub(crate) struct Record<'r> {
    /// The day of the Date field, in days since 1970.
    pub(crate) sent: i64,
    /// When it arrived, Unix seconds.
    pub(crate) arrived: i64,
    /// From, for showing.
    pub(crate) shown_from: &'r [u8],
    /// Subject, for showing.
    pub(crate) shown_subject: &'r [u8],
    /// From.
    pub(crate) from: &'r [u8],
    /// To.
    pub(crate) to: &'r [u8],
    /// Cc.
    pub(crate) cc: &'r [u8],
    /// Bcc.
    pub(crate) bcc: &'r [u8],
    /// Subject.
    pub(crate) subject: &'r [u8],
    /// As in [`Words`].
    pub(crate) attachments: &'r [u8],
    /// As in [`Words`].
    pub(crate) header: &'r [u8],
    /// As in [`Words`].
    pub(crate) body: &'r [u8],
}

const VERSION: u8 = 2;
/// Records are filled up to a multiple of this: their size says little.
const STEP: usize = 256;

impl<'r> Record<'r> {
    pub(crate) fn write(&self) -> Zeroizing<Vec<u8>> {
        let texts = self.texts();
        let length: usize = texts.iter().map(|text| text.len().saturating_add(4)).sum();
        let mut octets = Zeroizing::new(Vec::with_capacity(length.saturating_add(STEP).saturating_add(17)));
        octets.push(VERSION);
        octets.extend_from_slice(&self.sent.to_be_bytes());
        octets.extend_from_slice(&self.arrived.to_be_bytes());
        for text in texts {
            octets.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            octets.extend_from_slice(text);
        }
        let filled = octets.len().next_multiple_of(STEP);
        octets.resize(filled, 0);
        octets
    }

    pub(crate) fn parse(octets: &'r [u8]) -> Option<Self> {
        let rest = octets.strip_prefix(&[VERSION])?;
        let (sent, rest) = rest.split_first_chunk::<8>()?;
        let (arrived, mut rest) = rest.split_first_chunk::<8>()?;
        let mut text = || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (text, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            rest = after;
            Some(text)
        };
        Some(Self {
            sent: i64::from_be_bytes(*sent),
            arrived: i64::from_be_bytes(*arrived),
            shown_from: text()?,
            shown_subject: text()?,
            from: text()?,
            to: text()?,
            cc: text()?,
            bcc: text()?,
            subject: text()?,
            attachments: text()?,
            header: text()?,
            body: text()?,
        })
    }

    fn texts(&self) -> [&'r [u8]; 10] {
        [
            self.shown_from,
            self.shown_subject,
            self.from,
            self.to,
            self.cc,
            self.bcc,
            self.subject,
            self.attachments,
            self.header,
            self.body,
        ]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let record = Record {
            sent: -3,
            arrived: 7,
            from: b"a",
            body: "grüße".as_bytes(),
            attachments: b"x.pdf\n",
            ..Record::default()
        };
        let octets = record.write();
        assert_eq!(octets.len() % STEP, 0);
        let read = Record::parse(&octets).unwrap();
        assert_eq!((read.sent, read.arrived, read.texts()), (-3, 7, record.texts()));
        for end in 0..60 {
            assert!(Record::parse(&octets[..end]).is_none(), "{end}");
        }
    }
}
