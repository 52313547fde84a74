//! Running numbers of messages that are put back.
//!
//! In: opened messages, each by the name that its job has. Out: of those whose originals are back, a note in the ledger that no message carries their
//! numbers any more. Never notes a number before its sealed message is gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use open::Opened;
use sealed::identity::{AccountId, SealerId};
use store::Ledger;
use store::ledger::LedgerError;

use crate::settings::Settings;

/// The numbers of what is under way.
pub(crate) struct Numbers<K>(Mutex<HashMap<K, Number>>);

/// Who counted, for whom, and how far.
#[derive(Clone, Copy)]
struct Number {
    sealer: SealerId,
    account: AccountId,
    sequence: u64,
}

impl<K: Eq + Hash> Numbers<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// A message was opened.
    pub(crate) fn learn<S>(&self, name: K, opened: &Opened<S>) {
        let origin = &opened.inside.origin;
        let number = Number { sealer: opened.inside.sealer, account: origin.account, sequence: origin.sequence };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, number);
    }

    /// These are back.
    pub(crate) fn note(
        &self,
        settings: &Settings,
        ledger: Ledger<'_>,
        back: impl Iterator<Item = K>,
    ) -> Result<(), LedgerError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Number { sealer, account, sequence } in back.filter_map(|name| known.get(&name).copied()) {
            let Some(public) = settings.trust.sealer(sealer) else { continue };
            match ledger.note_gap(public.octets(), &account.0, sequence..sequence.saturating_add(1)) {
                // Another home counted.
                Err(LedgerError::NotReserved) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
