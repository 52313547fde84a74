//! From a recipient's address to his keys.
//!
//! In: what RCPT said. Out: his owner, unknown, or unusable. What was found is remembered for a short while, so that a burst of mail asks once; what
//! was parsed is kept by its octets, as reading a certificate takes longer than sealing to it. While the source does not answer, an owner who was
//! found in the last minutes is still sealed to: his key is his key. Nobody is ever unknown because the source is down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealed::identity::{Hash, sha256};

use crate::directory::address::Address;
use crate::directory::entry::{DirectoryError, Entry, MAX_ENTRY};
use crate::directory::owner::{Owner, Unusable};
use crate::directory::source::Source;

/// The recipient directory of a flow.
pub struct Directory {
    source: Source,
    memory: Mutex<Memory>,
}

/// What is known of a recipient.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// His mail is sealed to this owner.
    Owner(Arc<Owner>),
    /// Nothing.
    Unknown,
    /// Something that no mail can be sealed to.
    Unusable(Unusable),
}

#[derive(Default)]
struct Memory {
    found: HashMap<Address, Found>,
    parsed: HashMap<Hash, Arc<Owner>>,
}

struct Found {
    owner: Arc<Owner>,
    when: Instant,
}

/// How long what was found is taken for what is there.
const FRESH: Duration = Duration::from_secs(5);
/// How long it is used when the source does not answer.
const STALE: Duration = Duration::from_secs(300);
/// How long the source may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Recipients, and certificates, that are remembered.
const MOST: usize = 10_000;
/// Aliases of aliases.
const MAX_ALIASES: usize = 8;

impl Directory {
    /// Asks this source.
    pub fn new(source: Source) -> Directory {
        Directory { source, memory: Mutex::default() }
    }

    /// Where its entries are.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whose keys mail for this address is sealed to. An error: the source does not answer.
    pub async fn lookup(&self, address: &str) -> Result<Lookup, DirectoryError> {
        let Some(address) = Address::parse(address) else { return Ok(Lookup::Unknown) };
        let now = now();
        if let Some(owner) = self.recall(&address, FRESH).filter(|owner| owner.is_current(now)) {
            return Ok(Lookup::Owner(owner));
        }
        match self.ask(&address, now).await {
            // Half written, as it looks for a moment when a file is copied over: as if the source did not answer.
            Ok(Lookup::Unusable(Unusable::Unreadable)) if self.recall(&address, STALE).is_some() => {
                let known = self.recall(&address, STALE).filter(|owner| owner.is_current(now));
                known.map(Lookup::Owner).ok_or(DirectoryError::TimedOut)
            }
            Ok(lookup) => {
                self.remember(&address, &lookup);
                Ok(lookup)
            }
            Err(error) => {
                let known = self.recall(&address, STALE).filter(|owner| owner.is_current(now));
                known.map(Lookup::Owner).ok_or(error)
            }
        }
    }

    /// Every name under which something may be said of this address, the nearest first: its own, then those of what it is an alias of, as far as the
    /// source answers.
    pub async fn names(&self, address: &str) -> Vec<String> {
        let Some(address) = Address::parse(address) else { return Vec::new() };
        let mut all = address.names();
        let mut names = all.clone();
        for _ in 0..MAX_ALIASES {
            let found = tokio::time::timeout(PATIENCE, self.source.find(&names)).await;
            let Ok(Ok(Some(Entry::Alias(other)))) = found else { break };
            let Some(other) = Address::parse(&other) else { break };
            names = other.names();
            all.extend(names.iter().cloned());
        }
        all
    }

    async fn ask(&self, address: &Address, now: u64) -> Result<Lookup, DirectoryError> {
        let mut names = address.names();
        for _ in 0..=MAX_ALIASES {
            let found = tokio::time::timeout(PATIENCE, self.source.find(&names)).await;
            match found.map_err(|_| DirectoryError::TimedOut)?? {
                None if names.first().map(String::as_str) == Some(address.as_str()) => return Ok(Lookup::Unknown),
                None => return Ok(Lookup::Unusable(Unusable::Alias)),
                Some(Entry::Keys(octets)) => return Ok(self.owner(octets, now).await),
                Some(Entry::Alias(other)) => match Address::parse(&other) {
                    Some(other) => names = other.names(),
                    None => return Ok(Lookup::Unusable(Unusable::Alias)),
                },
            }
        }
        Ok(Lookup::Unusable(Unusable::Alias))
    }

    async fn owner(&self, octets: Vec<u8>, now: u64) -> Lookup {
        if octets.len() as u64 > MAX_ENTRY {
            return Lookup::Unusable(Unusable::Unreadable);
        }
        let hash = sha256(&octets);
        let known = self.lock().parsed.get(&hash).cloned();
        if let Some(owner) = known.filter(|owner| owner.is_current(now)) {
            return Lookup::Owner(owner);
        }
        let parsed = tokio::task::spawn_blocking(move || Owner::parse(&octets, now)).await;
        match parsed.unwrap_or(Err(Unusable::Unreadable)) {
            Ok(owner) => {
                let owner = Arc::new(owner);
                let mut memory = self.lock();
                if memory.parsed.len() >= MOST {
                    memory.parsed.clear();
                }
                memory.parsed.insert(hash, Arc::clone(&owner));
                Lookup::Owner(owner)
            }
            Err(unusable) => Lookup::Unusable(unusable),
        }
    }

    fn recall(&self, address: &Address, longest: Duration) -> Option<Arc<Owner>> {
        let memory = self.lock();
        let found = memory.found.get(address).filter(|found| found.when.elapsed() < longest)?;
        Some(Arc::clone(&found.owner))
    }

    fn remember(&self, address: &Address, lookup: &Lookup) {
        let mut memory = self.lock();
        match lookup {
            Lookup::Owner(owner) => {
                if memory.found.len() >= MOST {
                    memory.found.clear();
                }
                memory.found.insert(address.clone(), Found { owner: Arc::clone(owner), when: Instant::now() });
            }
            Lookup::Unknown | Lookup::Unusable(_) => {
                memory.found.remove(address);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
