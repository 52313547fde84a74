//! Everything about one sealing besides the message: whom it is for, how it is encrypted, what is told of it.
//! Values in, the same out; nothing is done here.

use sealed::{
    identity::{AccountId, Hash, MessageId, Profile},
    index::Way,
    signature::SealerKey,
};

use crate::{
    policy::{OuterFrom, OuterId, Policy},
    recipient::RecipientKey,
};

/// Everything about one sealing besides the message.
pub struct Settings<'a> {
    /// Whose mail it is.
    pub account: AccountId,
    /// Keys that can open it; the recovery key among them.
    pub recipients: &'a [RecipientKey],
    /// Who seals.
    pub sealer: &'a SealerKey,
    /// How the content is encrypted.
    pub profile: Profile,
    /// What stays outside.
    pub policy: Policy,
    /// Which Message-ID stays outside.
    pub outer_id: OuterId,
    /// Who stands outside in the author's place; none but a forwarder does.
    pub outer_from: Option<OuterFrom>,
    /// Whether large mail is compressed.
    pub compression: Compression,
    /// How sizes are hidden.
    pub padding: Padding,
    /// How the sealed message gets its id.
    pub id: NewId<'a>,
    /// The sealer's running number for this account; 0 = not counted.
    pub sequence: u64,
    /// Now, Unix seconds.
    pub time: u64,
    /// Where it is sealed.
    pub way: Way,
    /// Where the message lies, for the list view.
    pub place: Place,
}

/// How a sealed message gets its id.
#[derive(Clone, Copy)]
pub enum NewId<'a> {
    /// A random one (delivery, single messages).
    Random,
    /// The one that these octets have in this place (A7), so that they cannot be sealed there twice unnoticed.
    OfPlace {
        /// The account's dedup secret, shared by its sealers.
        dedup: &'a [u8; 32],
        /// Mailbox name.
        mailbox: &'a [u8],
        /// UIDVALIDITY and UID, or the unique part of a Maildir name.
        occurrence: &'a [u8],
    },
}

impl NewId<'_> {
    pub(crate) fn of(self, original: &Hash) -> MessageId {
        match self {
            Self::Random => MessageId::random(),
            Self::OfPlace { dedup, mailbox, occurrence } => MessageId::of_place(dedup, mailbox, occurrence, original),
        }
    }
}

/// Where a message lies at sealing; information for the list view.
#[derive(Clone, Default, Debug)]
pub struct Place {
    /// IMAP INTERNALDATE.
    pub internal_date: Option<String>,
    /// Mailbox name.
    pub mailbox: Option<String>,
    /// Flags and keywords.
    pub flags: Vec<String>,
    /// Authentication-Results of the trusted receiving system.
    pub authentication_results: Option<String>,
    /// MAIL FROM, and the RCPT TO that this copy is for.
    pub envelope: Vec<String>,
}

/// Whether mail from 256 KiB on is compressed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Yes, unless it shrinks so much that readers would take it for a bomb.
    #[default]
    Auto,
    /// No.
    Never,
}

/// How the size of a message is hidden.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Padding {
    /// At least 1 KiB, then PADMÉ: at most 12 % more.
    #[default]
    Bucket,
    /// Not at all.
    None,
}
