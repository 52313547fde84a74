//! What is to be done about one message, as it is now.
//!
//! In: a message of a mailbox, the settings, what the ledger remembers. Out: to be sealed, sealed already, or left alone
//! and why. What the message is, `sealed::recognise` decides from its octets, never from its label (A8); that needs the whole
//! body only once, then the ledger remembers it. Never writes anything: what is worth remembering is handed back.

use std::io::BufReader;

use sealed::identity::{Hash, sha256};
use sealed::recognise::{What, recognise};
use sealed::signature::Trust;
use store::ledger::{Code, LedgerError, Memory, MessageRef, Remembered, Verdict};
use store::maildir::Stat;
use store::{Flags, Ledger, Mailbox, Message, UnixSeconds};

use crate::reason;
use crate::receipt::READ_BUFFER;
use crate::settings::Settings;

/// Looks at messages.
pub(crate) struct Looker<'a> {
    settings: &'a Settings,
    trust: Trust,
    trust_hash: Hash,
    ledger: Option<Ledger<'a>>,
}

/// One message, looked at.
pub(crate) struct Sight {
    pub(crate) standing: Standing,
    /// Octets.
    pub(crate) size: u64,
    /// When it arrived.
    pub(crate) modified: UnixSeconds,
    /// What to remember of it.
    pub(crate) news: Option<News>,
}

/// What is to be done about it.
pub(crate) enum Standing {
    /// It is to be sealed.
    Open(Open),
    /// It failed earlier, and its time has not come.
    Waiting(String),
    /// It is sealed, by a sealer that is believed here.
    Sealed,
    /// It is to be left alone.
    Skipped(Code),
    /// It cannot be looked at.
    Failed(Code),
}

/// A message that lies open.
#[derive(Default)]
pub(crate) struct Open {
    /// It carries a label that claims otherwise.
    pub(crate) forged: bool,
    /// Why it failed last time.
    pub(crate) failed: Option<String>,
    /// How often it failed.
    pub(crate) attempts: u32,
}

/// What to remember of a message.
pub(crate) enum News {
    /// That it was seen: its grace period runs.
    Seen,
    /// What it is.
    Verdict(Verdict),
}

impl<'a> Looker<'a> {
    /// Without a ledger everything is looked at as if for the first time.
    pub(crate) fn new(settings: &'a Settings, ledger: Option<Ledger<'a>>) -> Looker<'a> {
        let trust = settings.pinned();
        let trust_hash = hash_of(&trust);
        Looker { settings, trust, trust_hash, ledger }
    }

    /// Looks at a message; `None` if it went away.
    pub(crate) fn look(&self, mailbox: &Mailbox, message: &mut Message) -> Result<Option<Sight>, LedgerError> {
        let stat = match mailbox.refresh(message) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(None),
            Err(_) => return Ok(Some(Sight::unreadable())),
        };
        let subject =
            MessageRef { flow: &self.settings.name, mailbox: mailbox.name(), message: message.unique().as_bytes() };
        let memory = match self.ledger {
            Some(ledger) => ledger.recall(subject)?,
            None => None,
        };
        let (size, modified) = (stat.size(), stat.modified());
        let now = UnixSeconds::now();
        let (standing, news) = if let Some(standing) = self.known(&memory, size, modified, now) {
            (standing, None)
        } else if let Some(reason) = self.left_alone(message, &stat) {
            (Standing::Skipped(reason), None)
        } else if self.is_young(&stat, &memory, now) {
            (Standing::Skipped(reason::TOO_YOUNG), Some(News::Seen))
        } else {
            self.read(mailbox, message, &memory, size, modified)
        };
        Ok(Some(Sight { standing, size, modified, news }))
    }

    /// What the ledger keeps of a message that needs nothing: another set of pins, or another file under its name, and it is looked at
    /// again.
    pub(crate) fn digest(&self, size: u64, modified: UnixSeconds) -> Hash {
        sha256(&[&self.trust_hash[..], &size.to_be_bytes(), &modified.0.to_be_bytes()].concat())
    }

    fn known(&self, memory: &Option<Memory>, size: u64, modified: UnixSeconds, now: UnixSeconds) -> Option<Standing> {
        match &memory.as_ref()?.state {
            Remembered::Sealed(digest) if *digest == self.digest(size, modified) => Some(Standing::Sealed),
            Remembered::Skipped(reason, Some(digest))
                if reason == reason::END_TO_END.as_str() && *digest == self.digest(size, modified) =>
            {
                Some(Standing::Skipped(reason::END_TO_END))
            }
            Remembered::Failed { reason, retry_at, .. } if *retry_at > now => Some(Standing::Waiting(reason.clone())),
            _ => None,
        }
    }

    fn left_alone(&self, message: &Message, stat: &Stat) -> Option<Code> {
        if let Some(reason) = untouchable(&message.flags()) {
            Some(reason)
        } else if self.settings.since.is_some_and(|since| stat.modified() < since) {
            Some(reason::TOO_OLD)
        } else if self.settings.max_size.is_some_and(|most| stat.size() > most) {
            Some(reason::TOO_LARGE)
        } else {
            None
        }
    }

    /// The grace period runs from when we first saw it; or, for what lay here before we came, from when its file was last
    /// touched. Never from its date of arrival, which whoever stores a message may choose (A13).
    fn is_young(&self, stat: &Stat, memory: &Option<Memory>, now: UnixSeconds) -> bool {
        let grace = self.settings.grace.as_secs();
        // A time far in the future is a clock that was set back: no reason to wait for it.
        let is_over = |since: UnixSeconds| now.0.abs_diff(since.0) >= grace;
        let first_seen = memory.as_ref().map(|memory| memory.first_seen);
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
        let verdict = |verdict| Some(News::Verdict(verdict));
        match recognise(&mut BufReader::with_capacity(buffer, file), &self.trust) {
            Err(_) => (Standing::Failed(reason::UNREADABLE), None),
            Ok(What::Sealed(_)) => (Standing::Sealed, verdict(Verdict::Sealed(self.digest(size, modified)))),
            // Not remembered: its sealer may be pinned tomorrow.
            Ok(What::SealedByUnknown(_)) => (Standing::Skipped(reason::UNKNOWN_SEALER), None),
            Ok(What::EndToEnd(_)) => {
                let news = verdict(Verdict::Skipped(reason::END_TO_END, self.digest(size, modified)));
                (Standing::Skipped(reason::END_TO_END), news)
            }
            Ok(What::Plain(label)) => {
                let mut open = Open { forged: label.is_some(), ..Open::default() };
                if let Some(Remembered::Failed { reason, attempts, .. }) = memory.as_ref().map(|memory| &memory.state) {
                    (open.failed, open.attempts) = (Some(reason.clone()), *attempts);
                }
                (Standing::Open(open), None)
            }
        }
    }
}

impl Sight {
    fn unreadable() -> Sight {
        Sight { standing: Standing::Failed(reason::UNREADABLE), size: 0, modified: UnixSeconds(0), news: None }
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

fn hash_of(trust: &Trust) -> Hash {
    let accounts = trust.accounts.iter().flat_map(|account| account.0);
    let sealers = trust.sealers.iter().flat_map(|sealer| *sealer.octets());
    let count = trust.accounts.len().to_be_bytes();
    sha256(&count.into_iter().chain(accounts).chain(sealers).collect::<Vec<u8>>())
}
