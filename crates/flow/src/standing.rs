//! What is to be done about one message, wherever it lies.
//!
//! In: what it is, its size, its date of arrival, what the ledger remembers of it. Out: to be sealed, sealed already, or left
//! alone and why; and what to remember. What a message is, `sealed::recognise` decides from its octets, never from its label (A8);
//! that needs the whole body only once, then the ledger remembers it. Never reads a message itself.

use sealed::identity::{Hash, sha256};
use sealed::recognise::What;
use sealed::signature::Trust;
use store::UnixSeconds;
use store::ledger::{Code, Memory, Remembered, Verdict};

use crate::reason;
use crate::settings::Settings;

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

/// Who is believed, and what is left alone.
pub(crate) struct Judge<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) trust: Trust,
    trust_hash: Hash,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Judge<'a> {
        let trust = settings.pinned();
        let trust_hash = hash_of(&trust);
        Judge { settings, trust, trust_hash }
    }

    /// What the ledger keeps of a message that needs nothing: another set of pins, or another message under its name, and it is
    /// looked at again.
    pub(crate) fn digest(&self, size: u64, modified: UnixSeconds) -> Hash {
        sha256(&[&self.trust_hash[..], &size.to_be_bytes(), &modified.0.to_be_bytes()].concat())
    }

    /// What is known of it without looking.
    pub(crate) fn known(
        &self,
        memory: &Option<Memory>,
        size: u64,
        modified: UnixSeconds,
        now: UnixSeconds,
    ) -> Option<Standing> {
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

    /// Why the flow's owner wants it left as it is.
    pub(crate) fn left_alone(&self, size: u64, modified: UnixSeconds) -> Option<Code> {
        if self.settings.since.is_some_and(|since| modified < since) {
            Some(reason::TOO_OLD)
        } else if self.settings.max_size.is_some_and(|most| size > most) {
            Some(reason::TOO_LARGE)
        } else {
            None
        }
    }

    /// Whether the grace period that began then is over.
    pub(crate) fn is_over(&self, since: UnixSeconds, now: UnixSeconds) -> bool {
        // A time far in the future is a clock that was set back: no reason to wait for it.
        now.0.abs_diff(since.0) >= self.settings.grace.as_secs()
    }

    /// From what the message is.
    pub(crate) fn verdict(
        &self,
        what: &What,
        memory: &Option<Memory>,
        size: u64,
        modified: UnixSeconds,
    ) -> (Standing, Option<News>) {
        let verdict = |verdict| Some(News::Verdict(verdict));
        match what {
            What::Sealed(_) => (Standing::Sealed, verdict(Verdict::Sealed(self.digest(size, modified)))),
            // Not remembered: its sealer may be pinned tomorrow.
            What::SealedByUnknown(_) => (Standing::Skipped(reason::UNKNOWN_SEALER), None),
            What::EndToEnd(_) => {
                let news = verdict(Verdict::Skipped(reason::END_TO_END, self.digest(size, modified)));
                (Standing::Skipped(reason::END_TO_END), news)
            }
            What::Plain(label) => (Standing::Open(Open::with(label.is_some(), memory)), None),
        }
    }
}

impl Open {
    /// With what is remembered of earlier attempts.
    pub(crate) fn with(forged: bool, memory: &Option<Memory>) -> Open {
        let mut open = Open { forged, ..Open::default() };
        if let Some(Remembered::Failed { reason, attempts, .. }) = memory.as_ref().map(|memory| &memory.state) {
            (open.failed, open.attempts) = (Some(reason.clone()), *attempts);
        }
        open
    }
}

impl Sight {
    pub(crate) fn unreadable() -> Sight {
        Sight { standing: Standing::Failed(reason::UNREADABLE), size: 0, modified: UnixSeconds(0), news: None }
    }
}

fn hash_of(trust: &Trust) -> Hash {
    let accounts = trust.accounts.iter().flat_map(|account| account.0);
    let sealers = trust.sealers.iter().flat_map(|sealer| *sealer.octets());
    let count = trust.accounts.len().to_be_bytes();
    sha256(&count.into_iter().chain(accounts).chain(sealers).collect::<Vec<u8>>())
}
