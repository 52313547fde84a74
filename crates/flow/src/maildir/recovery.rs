//! After a crash: what was begun is brought to its end, before anything new is taken.
//!
//! In: the journal's unfinished rows. Out: nothing left unfinished, but for what could not be decided. `store` has the rules;
//! here is the proof that it asks for (A6): the copy is still what it was when it was opened, the original still hashes to
//! what it was made of. Numbers that no message carries are noted as gaps (A9).

use std::collections::HashSet;
use std::fs::File;

use seal::{Expectation, ProofError};
use sealed::identity::{AccountId, sha256_of};
use sealed::outer::OuterError;
use sealed::signature::SealerPublic;
use store::journal::{Row, is_way_back};
use store::ledger::{LedgerError, MessageRef};
use store::maildir::{Comparison, RecoverError, Recovery};
use store::{Database, Journal, Ledger, Outcome, Replacer, UnixSeconds, recover};

use crate::pump::{note_gap, number_of};
use crate::reason;
use crate::receipt::Proved;
use crate::settings::Settings;
use crate::swept::Undecided;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// How many replacements were brought to their end.
    pub(crate) rows: u64,
    /// Mailbox and name of originals whose replacement is still under way.
    pub(crate) underway: HashSet<(String, Vec<u8>)>,
}

/// Settles the unfinished replacements in the flow's Maildir: its own, and those of other flows that were cut off there.
pub(crate) fn settle(
    settings: &Settings,
    replacer: &Replacer,
    database: &Database,
    account: AccountId,
    now: UnixSeconds,
) -> Result<Settled, RecoverError<Undecided>> {
    let others = Journal::on(database).others_at(&settings.name, replacer.maildir().root())?;
    let mut settled = Settled::default();
    for flow in std::iter::once(&settings.name).chain(others.iter().filter(|flow| !is_way_back(flow))) {
        settle_flow(settings, flow, replacer, database, account, now, &mut settled)?;
    }
    Ok(settled)
}

fn settle_flow(
    settings: &Settings,
    flow: &str,
    replacer: &Replacer,
    database: &Database,
    account: AccountId,
    now: UnixSeconds,
    settled: &mut Settled,
) -> Result<(), RecoverError<Undecided>> {
    let sealer = settings.sealer.public();
    let recovered = recover(replacer, database, flow, now, |row, original, copy| {
        prove_again(row, original, copy, account, sealer)
    })?;
    for recovered in recovered {
        match recovered.recovery {
            // What is not booked is a wrong count or a false alarm later, no more: no reason to fail now.
            Ok(recovery) => {
                settled.rows = settled.rows.saturating_add(1);
                drop(book(settings, flow, database, account, &recovered.row, recovery, now));
            }
            Err(_) => {
                let Row { mailbox, original, .. } = recovered.row;
                settled.underway.insert((mailbox, original));
            }
        }
    }
    Ok(())
}

fn book(
    settings: &Settings,
    flow: &str,
    database: &Database,
    account: AccountId,
    row: &Row,
    recovery: Recovery,
    now: UnixSeconds,
) -> Result<(), LedgerError> {
    let ledger = Ledger::on(database);
    if leaves_no_copy(recovery) {
        let number = number_of(&row.expectation);
        return number.map_or(Ok(()), |number| note_gap(settings, database, account, number));
    }
    if matches!(recovery, Recovery::Finished | Recovery::Settled(Outcome::Replaced)) {
        let mailbox = row.mailbox.as_str();
        ledger.forget(&[MessageRef { flow, mailbox, message: &row.original }])?;
        ledger.count(flow, &[(reason::SEALED, 1)], now)?;
    }
    Ok(())
}

/// Whether a number went with its copy.
pub(crate) fn is_gap(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::MovedElsewhere | Outcome::CopyGone | Outcome::BothGone)
}

fn leaves_no_copy(recovery: Recovery) -> bool {
    match recovery {
        Recovery::BeginAnew => true,
        Recovery::Finished => false,
        Recovery::Settled(outcome) => is_gap(outcome),
    }
}

/// Octets of [`note_of`].
const NOTE: usize = 8;

fn prove_again(
    row: &Row,
    original: File,
    copy: File,
    account: AccountId,
    sealer: &SealerPublic,
) -> Result<Comparison<Proved>, Undecided> {
    if row.expectation.len() == NOTE {
        // Nothing is published before the journal knows what it must be. What lies there is not known to be of this original.
        return Ok(Comparison::OtherOriginal);
    }
    let expectation = Expectation::from_octets(&row.expectation).ok_or(Undecided::Unknown)?;
    let original = sha256_of(original)?;
    if original != expectation.original {
        return Ok(Comparison::OtherOriginal);
    }
    match Proved::after_restart(&expectation, &original, copy, account, sealer) {
        Ok(proved) => Ok(Comparison::Proved(proved)),
        Err(ProofError::Outer(OuterError::Io(error)) | ProofError::Content(error)) => Err(error.into()),
        // Not what we stored: sealed anew from the original, which is there.
        Err(_) => Ok(Comparison::BadCopy),
    }
}
