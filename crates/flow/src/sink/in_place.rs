//! The sealed message takes the original's place in its mailbox.
//!
//! In: an original that `store` has opened. Out: its sealed copy written to where `store` says, and the receipt for it once it
//! was read back and opened with the session key. The order of steps is `store`'s. Never writes anything but ciphertext.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use seal::wrap::RecipientKey;
use seal::{NewId, Place};
use seal::{SealError, Sealing};
use sealed::identity::AccountId;
use sealed::index::Way;
use store::ledger::Code;
use store::maildir::{PublishError, ScanError, StageError};
use store::replace::Failure;
use store::{Flags, Halt, Job, Replace, Staging, UnixSeconds};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::look::untouchable;
use crate::reason;
use crate::receipt::Proved;
use crate::settings::Settings;

/// Seals messages where they are.
pub(crate) struct InPlace<'a> {
    settings: &'a Settings,
    account: AccountId,
    recipients: Vec<RecipientKey>,
    now: UnixSeconds,
}

/// What a message brings along.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// Octets.
    pub(crate) size: u64,
    /// When it arrived.
    pub(crate) modified: UnixSeconds,
    /// How often it failed before.
    pub(crate) attempts: u32,
    /// Its running number, reserved in the ledger (A9).
    pub(crate) sequence: u64,
}

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stumble {
    /// It is to be left alone after all.
    Leave(Code),
    /// It failed, and is tried again later.
    Fail(Code),
    /// Nothing can be written at all.
    Halt(Halt),
}

impl<'a> InPlace<'a> {
    /// `None` without a certificate.
    pub(crate) fn new(settings: &'a Settings, now: UnixSeconds) -> Option<InPlace<'a>> {
        let account = settings.account()?;
        Some(InPlace { settings, account, recipients: settings.recipients(), now })
    }

    fn seal(
        &self,
        job: &Job<Taken>,
        flags: &Flags,
        mut original: File,
        to: &mut Staging,
    ) -> Result<(Sealing, Vec<u8>), Stumble> {
        let settings = seal::Settings {
            account: self.account,
            recipients: &self.recipients,
            sealer: &self.settings.sealer,
            profile: self.settings.enrolment.profile(),
            policy: self.settings.enrolment.policy,
            compression: self.settings.compression,
            padding: self.settings.padding,
            id: NewId::OfPlace {
                dedup: &self.settings.dedup,
                mailbox: job.mailbox.name().as_bytes(),
                occurrence: job.original.unique().as_bytes(),
            },
            sequence: job.item.sequence,
            time: u64::try_from(self.now.0).unwrap_or_default(),
            way: Way::Client,
            place: Place {
                internal_date: date_time(job.item.modified),
                mailbox: Some(job.mailbox.name().to_owned()),
                flags: flag_names(flags),
                ..Place::default()
            },
        };
        let sealing = seal::seal(&mut original, || self.settings.spool(), to, &settings)
            .map_err(|error| Stumble::of_seal(&error))?;
        let expectation = sealing.expectation().to_octets();
        Ok((sealing, expectation))
    }
}

impl Replace for InPlace<'_> {
    type Item = Taken;
    type Kept = Sealing;
    type Proof = Proved;
    type Error = Stumble;

    fn write(
        &self,
        job: &Job<Taken>,
        flags: &Flags,
        original: File,
        to: &mut Staging,
    ) -> Result<(Sealing, Vec<u8>), Stumble> {
        if let Some(reason) = untouchable(flags) {
            return Err(Stumble::Leave(reason));
        }
        guarded(|| self.seal(job, flags, original, to))
    }

    fn prove(&self, sealing: Sealing, copy: File) -> Result<Proved, Stumble> {
        guarded(|| {
            let mut spool = self.settings.spool().map_err(|error| Stumble::of_writing(&error))?;
            Proved::with_key(&sealing, copy, &mut spool).map_err(|_| Stumble::Fail(reason::NOT_PROVED))
        })
    }
}

impl Stumble {
    /// Why `store` did not make a copy.
    pub(crate) fn of(failure: &Failure<Stumble>) -> Stumble {
        match failure {
            Failure::Refused(stumble) => *stumble,
            Failure::Stage(StageError::Io(error)) | Failure::Publish(PublishError::Io(error)) => {
                Stumble::of_writing(error)
            }
            Failure::Stage(StageError::Owner(_)) => Stumble::Fail(reason::OWNER),
            Failure::Stage(StageError::Scan(error))
            | Failure::Publish(PublishError::Scan(error))
            | Failure::Original(error) => Stumble::of_scan(error),
            Failure::ReadBack(_) => Stumble::Fail(reason::NOT_PROVED),
            Failure::Stage(_) | Failure::Publish(_) => Stumble::Fail(reason::UNWRITABLE),
        }
    }

    fn of_seal(error: &SealError) -> Stumble {
        match error {
            SealError::TooLarge => Stumble::Fail(reason::BEYOND_FORMAT),
            SealError::Changed => Stumble::Fail(reason::CHANGED),
            SealError::SelfCheck => Stumble::Fail(reason::SELF_CHECK),
            SealError::Read(_) => Stumble::Fail(reason::UNREADABLE),
            SealError::Spool(error) | SealError::Write(error) => Stumble::of_writing(error),
            SealError::NoRecipient | SealError::Recipient(_) | SealError::TooManyRecipients(_) => {
                Stumble::Fail(reason::RECIPIENT)
            }
        }
    }

    fn of_scan(error: &ScanError) -> Stumble {
        match error {
            ScanError::Restless => Stumble::Fail(reason::RESTLESS),
            _ => Stumble::Fail(reason::UNREADABLE),
        }
    }

    fn of_writing(error: &io::Error) -> Stumble {
        Halt::of(error).map_or(Stumble::Fail(reason::UNWRITABLE), Stumble::Halt)
    }
}

/// A bug that shows at one message must not stop the others.
fn guarded<T>(work: impl FnOnce() -> Result<T, Stumble>) -> Result<T, Stumble> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Stumble::Fail(reason::INTERNAL)))
}

/// As IMAP writes it (RFC 9051 §9, `date-time`, without the quotes).
fn date_time(at: UnixSeconds) -> Option<String> {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[day padding:space]-[month repr:short]-[year] [hour]:[minute]:[second] +0000");
    OffsetDateTime::from_unix_timestamp(at.0).ok()?.format(FORMAT).ok()
}

/// The letters that maildir(5) gives a meaning, as IMAP names them; keywords have no names here.
fn flag_names(flags: &Flags) -> Vec<String> {
    const NAMES: [(u8, &str); 4] =
        [(b'F', "\\Flagged"), (b'P', "$Forwarded"), (b'R', "\\Answered"), (Flags::SEEN, "\\Seen")];
    let set = NAMES.iter().filter(|(letter, _)| flags.contains(*letter));
    set.map(|(_, name)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_imap_writes_them() {
        let table = [(0, " 1-Jan-1970 00:00:00 +0000"), (1_795_424_400, "23-Nov-2026 09:00:00 +0000")];
        for (seconds, text) in table {
            assert_eq!(date_time(UnixSeconds(seconds)).as_deref(), Some(text));
        }
    }
}
