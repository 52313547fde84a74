//! The sealed message takes the original's place in its mailbox.
//!
//! In: an original that `store` has opened. Out: its sealed copy written to where `store` says, and the receipt for it once it
//! was read back and opened with the session key. The order of steps is `store`'s. Never writes anything but ciphertext.

use std::fs::File;

use seal::Sealing;
use store::maildir::{PublishError, ScanError, StageError};
use store::replace::Failure;
use store::{Flags, Job, Replace, Staging, UnixSeconds};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::look::untouchable;
use crate::owner::{Lies, Owner};
use crate::pump::Taken;
use crate::reason;
use crate::receipt::Proved;
use crate::stumble::{Stumble, guarded};

/// Seals messages where they are.
pub(crate) struct InPlace<'a> {
    pub(crate) owner: Owner<'a>,
}

impl InPlace<'_> {
    fn seal(
        &self,
        job: &Job<Taken>,
        flags: &Flags,
        mut original: File,
        to: &mut Staging,
    ) -> Result<(Sealing, Vec<u8>), Stumble> {
        let lies = Lies {
            mailbox: job.mailbox.name(),
            occurrence: job.original.unique().as_bytes(),
            internal_date: date_time(job.item.modified),
            flags: flag_names(flags),
        };
        let sealing = self.owner.seal(&mut original, lies, job.item.sequence, to)?;
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
            let mut spool = self.owner.settings.spool().map_err(|error| Stumble::of_writing(&error))?;
            Proved::with_key(&sealing, copy, &mut spool).map_err(|_| Stumble::Fail(reason::NOT_PROVED))
        })
    }
}

/// Why `store` did not make a copy.
pub(crate) fn stumble_of(failure: &Failure<Stumble>) -> Stumble {
    match failure {
        Failure::Refused(stumble) => *stumble,
        Failure::Stage(StageError::Io(error)) | Failure::Publish(PublishError::Io(error)) => Stumble::of_writing(error),
        Failure::Stage(StageError::Owner(_)) => Stumble::Fail(reason::OWNER),
        Failure::Stage(StageError::Scan(error))
        | Failure::Publish(PublishError::Scan(error))
        | Failure::Original(error) => of_scan(error),
        Failure::ReadBack(_) => Stumble::Fail(reason::NOT_PROVED),
        Failure::Stage(_) | Failure::Publish(_) => Stumble::Fail(reason::UNWRITABLE),
    }
}

fn of_scan(error: &ScanError) -> Stumble {
    match error {
        ScanError::Restless => Stumble::Fail(reason::RESTLESS),
        _ => Stumble::Fail(reason::UNREADABLE),
    }
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
