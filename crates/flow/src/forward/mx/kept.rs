//! The policy of a domain, as it was learned and as long as it counts.
//!
//! In: what the DNS and the policy host say now. Out: the policy that counts now. It is kept in a file, synced: whoever makes the record or the host
//! go away gains nothing before `max_age` is over (RFC 8461 §5.1, §10).

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::Trust;

use super::dns::Dns;
use super::fetch::fetch;
use super::policy::{Policy, id};

/// A policy is fetched anew after so long, even if its id stays (RFC 8461 §5.1).
const FRESH: Duration = Duration::from_secs(86_400);
/// Between two vain attempts.
const AGAIN: Duration = Duration::from_secs(300);
/// Between two questions to the DNS.
const ASK: Duration = Duration::from_secs(60);

/// A domain's policy, in memory and in a file.
pub(crate) struct Shelf {
    domain: String,
    port: u16,
    path: PathBuf,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    asked: Option<Instant>,
    vain: Option<Instant>,
}

/// What was learned, when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    id: String,
    fetched: u64,
    text: String,
    policy: Policy,
}

impl Shelf {
    /// What an earlier run has learned counts. `port`: where policies are asked for. A file that cannot be read is as if there were none; one that cannot
    /// be written is an error later.
    pub(crate) fn open(domain: &str, port: u16, folder: &Path) -> Shelf {
        let path = folder.join(format!("{domain}.mta-sts"));
        let kept = std::fs::read_to_string(&path).ok().as_deref().and_then(Kept::parse);
        let state = tokio::sync::Mutex::new(State { kept, ..State::default() });
        Shelf { domain: domain.to_owned(), port, path, state }
    }

    /// The policy that counts now; none: the domain has none.
    pub(crate) async fn policy(&self, dns: &Dns, trust: &Trust) -> Option<Policy> {
        let mut state = self.state.lock().await;
        if state.kept.as_ref().is_some_and(|kept| !kept.counts(now())) {
            state.kept = None;
        }
        if state.asked.is_none_or(|asked| asked.elapsed() >= ASK) {
            state.asked = Some(Instant::now());
            self.learn(&mut state, dns, trust).await;
        }
        state.kept.as_ref().map(|kept| kept.policy.clone())
    }

    async fn learn(&self, state: &mut State, dns: &Dns, trust: &Trust) {
        let texts = dns.texts(&format!("_mta-sts.{}", self.domain)).await.unwrap_or_default();
        let said = id(texts.iter().map(Vec::as_slice));
        let id = match (&state.kept, said) {
            (Some(kept), Some(id)) if kept.id == id && kept.age(now()) < FRESH => return,
            (Some(kept), None) if kept.age(now()) < FRESH => return,
            (None, None) => return,
            (_, Some(id)) => id,
            // The record is gone, or nobody answers: the policy may be gone, too, or somebody would like us to think so. Its host says which.
            (Some(kept), None) => kept.id.clone(),
        };
        if state.vain.is_some_and(|vain| vain.elapsed() < AGAIN) {
            return;
        }
        let fetched = match dns.addresses(&format!("mta-sts.{}", self.domain)).await {
            Ok((addresses, _)) => fetch(&self.domain, &addresses, self.port, trust).await,
            Err(_) => None,
        };
        let Some((policy, text)) = fetched.and_then(|text| Some((Policy::parse(&text)?, text))) else {
            state.vain = Some(Instant::now());
            return;
        };
        let kept = Kept { id, fetched: now(), text, policy };
        // What cannot be written counts all the same, as long as this process lives.
        let _ = kept.write(&self.path);
        (state.kept, state.vain) = (Some(kept), None);
    }
}

impl Kept {
    fn parse(file: &str) -> Option<Kept> {
        let (head, text) = file.split_once("\n\n")?;
        let (id, fetched) = head.strip_prefix("id: ")?.split_once("\nfetched: ")?;
        Some(Kept {
            id: id.to_owned(),
            fetched: fetched.parse().ok()?,
            text: text.to_owned(),
            policy: Policy::parse(text)?,
        })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        write!(file, "id: {}\nfetched: {}\n\n{}", self.id, self.fetched, self.text)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        std::fs::File::open(folder)?.sync_all()
    }

    fn age(&self, now: u64) -> Duration {
        Duration::from_secs(now.saturating_sub(self.fetched))
    }

    fn counts(&self, now: u64) -> bool {
        self.age(now) < self.policy.max_age
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/provider.example.mta-sts");
        let text = "version: STSv1\r\nmode: enforce\r\nmx: a\r\n\r\nmax_age: 60\r\n".to_owned();
        let policy = Policy::parse(&text).expect("a policy");
        let kept = Kept { id: "1".to_owned(), fetched: 1_000, text, policy };
        kept.write(&path).expect("written");
        assert_eq!(Kept::parse(&std::fs::read_to_string(&path).expect("read")), Some(kept.clone()));
        assert!(kept.counts(1_059) && !kept.counts(1_060));
        // A clock that went back makes nothing older.
        assert!(kept.counts(10));
    }
}
