//! Sealing for the owner of a flow.
//!
//! In: an original, where it lies. Out: its sealed copy, and what proves a stored one. Never writes anything but ciphertext.

use std::io::{Read, Seek, Write};

use seal::RecipientKey;
use seal::{NewId, OuterId, Place, Sealing};
use sealed::identity::AccountId;
use sealed::index::Way;
use store::UnixSeconds;

use crate::settings::Settings;
use crate::stumble::Stumble;

/// To whom a flow seals, and how.
pub(crate) struct Owner<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) account: AccountId,
    recipients: Vec<RecipientKey>,
    outer_id: OuterId,
    now: UnixSeconds,
}

/// Where an original lies.
pub(crate) struct Lies<'a> {
    /// Its mailbox.
    pub(crate) mailbox: &'a str,
    /// Which it is in there: what stays when its flags change.
    pub(crate) occurrence: &'a [u8],
    /// INTERNALDATE, flags.
    pub(crate) internal_date: Option<String>,
    pub(crate) flags: Vec<String>,
}

impl<'a> Owner<'a> {
    /// `None` without a certificate.
    pub(crate) fn of(settings: &'a Settings, now: UnixSeconds) -> Option<Owner<'a>> {
        let account = settings.account()?;
        Some(Owner { settings, account, recipients: settings.recipients(), outer_id: OuterId::Kept, now })
    }

    /// The sealed copies get a Message-ID of their own (format §12.6).
    pub(crate) fn with_own_message_ids(self) -> Owner<'a> {
        Owner { outer_id: OuterId::Own, ..self }
    }

    /// Seals one message. `sequence` is its running number (A9).
    pub(crate) fn seal(
        &self,
        original: &mut (impl Read + Seek),
        lies: Lies<'_>,
        sequence: u64,
        to: &mut impl Write,
    ) -> Result<Sealing, Stumble> {
        let Lies { mailbox, occurrence, internal_date, flags } = lies;
        let settings = seal::Settings {
            account: self.account,
            recipients: &self.recipients,
            sealer: &self.settings.sealer,
            profile: self.settings.enrolment.profile(),
            policy: self.settings.enrolment.policy,
            outer_id: self.outer_id,
            outer_from: None,
            compression: self.settings.compression,
            padding: self.settings.padding,
            id: NewId::OfPlace { dedup: &self.settings.dedup, mailbox: mailbox.as_bytes(), occurrence },
            sequence,
            time: u64::try_from(self.now.0).unwrap_or_default(),
            way: Way::Client,
            place: Place { internal_date, mailbox: Some(mailbox.to_owned()), flags, ..Place::default() },
        };
        seal::seal(original, || self.settings.spool(), to, &settings).map_err(|error| Stumble::of_seal(&error))
    }
}
