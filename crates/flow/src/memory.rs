//! What a flow remembers while it looks at mail, and whether it may run at all.
//!
//! In: news of messages, the state database. Out: the ledger, written in parts of many. Never holds content.

use store::journal::way_back;
use store::ledger::{LedgerError, MessageRef, Verdict};
use store::{Database, Journal, Ledger, UnixSeconds};

use crate::settings::Settings;
use crate::standing::News;
use crate::swept::SweepError;

/// Verdicts that are written together.
const MANY: usize = 512;

/// News that are not written yet.
pub(crate) struct Learned<'a> {
    flow: &'a str,
    database: &'a Database,
    news: Vec<(String, Vec<u8>, Option<Verdict>)>,
}

impl<'a> Learned<'a> {
    pub(crate) fn new(flow: &'a str, database: &'a Database) -> Learned<'a> {
        Learned { flow, database, news: Vec::new() }
    }

    pub(crate) fn add(&mut self, mailbox: &str, name: &[u8], news: &News) -> Result<(), LedgerError> {
        let verdict = match news {
            News::Seen => None,
            News::Verdict(verdict) => Some(*verdict),
        };
        self.news.push((mailbox.to_owned(), name.to_vec(), verdict));
        if self.news.len() >= MANY { self.write() } else { Ok(()) }
    }

    /// Writes what was added.
    pub(crate) fn write(&mut self) -> Result<(), LedgerError> {
        let (ledger, now, flow) = (Ledger::on(self.database), UnixSeconds::now(), self.flow);
        let all: Vec<(MessageRef<'_>, Option<Verdict>)> = self
            .news
            .iter()
            .map(|(mailbox, message, verdict)| (MessageRef { flow, mailbox, message }, *verdict))
            .collect();
        let seen: Vec<_> = all.iter().filter(|(_, verdict)| verdict.is_none()).map(|(message, _)| *message).collect();
        let verdicts: Vec<_> = all.iter().filter_map(|(message, verdict)| Some((*message, (*verdict)?))).collect();
        self.database.together(|| {
            ledger.note_seen(&seen, now)?;
            ledger.remember(&verdicts, now)
        })?;
        self.news.clear();
        Ok(())
    }
}

/// Also while we waited for a lock an undo may have begun.
pub(crate) fn refuse_if_stopped(settings: &Settings, database: &Database) -> Result<(), SweepError> {
    if Ledger::on(database).stopped_since(&settings.name)?.is_some() {
        return Err(SweepError::Stopped);
    }
    // A restored message beside its sealed one would be sealed as if it had just come.
    match Journal::on(database).unfinished(&way_back(&settings.name))?.as_slice() {
        [] => Ok(()),
        _ => Err(SweepError::UndoUnfinished),
    }
}
