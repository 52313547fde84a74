//! What is to be done about one message of a Maildir, as it is now.
//!
//! In: a message of a mailbox, the settings, what the ledger remembers. Out: its standing. The whole body is read only once, then
//! the ledger remembers it. Never writes anything: what is worth remembering is handed back.

use std::io::BufReader;

use sealed::identity::Hash;
use sealed::recognise::recognise;
use store::ledger::{Code, LedgerError, Memory, MessageRef};
use store::maildir::Stat;
use store::{Flags, Ledger, Mailbox, Message, UnixSeconds};

use crate::reason;
use crate::receipt::READ_BUFFER;
use crate::settings::Settings;
use crate::standing::{Judge, News, Sight, Standing};

/// Looks at messages.
pub(crate) struct Looker<'a> {
    judge: Judge<'a>,
    ledger: Option<Ledger<'a>>,
}

impl<'a> Looker<'a> {
    /// Without a ledger everything is looked at as if for the first time.
    pub(crate) fn new(settings: &'a Settings, ledger: Option<Ledger<'a>>) -> Looker<'a> {
        Looker { judge: Judge::new(settings), ledger }
    }

    /// Looks at a message; `None` if it went away.
    pub(crate) fn look(&self, mailbox: &Mailbox, message: &mut Message) -> Result<Option<Sight>, LedgerError> {
        let stat = match mailbox.refresh(message) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(None),
            Err(_) => return Ok(Some(Sight::unreadable())),
        };
        let flow = &self.judge.settings.name;
        let subject = MessageRef { flow, mailbox: mailbox.name(), message: message.unique().as_bytes() };
        let memory = match self.ledger {
            Some(ledger) => ledger.recall(subject)?,
            None => None,
        };
        let (size, modified) = (stat.size(), stat.modified());
        let now = UnixSeconds::now();
        let (standing, news) = if let Some(standing) = self.judge.known(&memory, size, modified, now) {
            (standing, None)
        } else if let Some(reason) = untouchable(&message.flags()).or_else(|| self.judge.left_alone(size, modified)) {
            (Standing::Skipped(reason), None)
        } else if self.is_young(&stat, &memory, now) {
            (Standing::Skipped(reason::TOO_YOUNG), Some(News::Seen))
        } else {
            self.read(mailbox, message, &memory, size, modified)
        };
        Ok(Some(Sight { standing, size, modified, news }))
    }

    /// As in [`Judge::digest`].
    pub(crate) fn digest(&self, size: u64, modified: UnixSeconds) -> Hash {
        self.judge.digest(size, modified)
    }

    /// The grace period runs from when we first saw it; or, for what lay here before we came, from when its file was last
    /// touched. Never from its date of arrival, which whoever stores a message may choose (A13).
    fn is_young(&self, stat: &Stat, memory: &Option<Memory>, now: UnixSeconds) -> bool {
        let first_seen = memory.as_ref().map(|memory| memory.first_seen);
        let is_over = |since| self.judge.is_over(since, now);
        !is_over(stat.changed()) && !first_seen.is_some_and(is_over)
    }

    fn read(
        &self,
        mailbox: &Mailbox,
        message: &mut Message,
        memory: &Option<Memory>,
        size: u64,
        modified: UnixSeconds,
    ) -> (Standing, Option<News>) {
        let file = match mailbox.open(message) {
            Ok(Some(file)) => file,
            Ok(None) => return (Standing::Skipped(reason::GONE), None),
            Err(_) => return (Standing::Failed(reason::UNREADABLE), None),
        };
        let buffer = usize::try_from(size).unwrap_or(READ_BUFFER).clamp(512, READ_BUFFER);
        match recognise(&mut BufReader::with_capacity(buffer, file), &self.judge.trust) {
            Err(_) => (Standing::Failed(reason::UNREADABLE), None),
            Ok(what) => self.judge.verdict(&what, memory, size, modified),
        }
    }
}

/// Flags that keep us away (A13).
pub(crate) fn untouchable(flags: &Flags) -> Option<Code> {
    if flags.contains(Flags::DRAFT) {
        Some(reason::DRAFT)
    } else if flags.contains(Flags::TRASHED) {
        Some(reason::DELETED)
    } else {
        None
    }
}
