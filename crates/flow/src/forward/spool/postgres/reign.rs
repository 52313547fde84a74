//! What a node is called, and whether others take it for alive.
//!
//! In: nothing. Out: a name that is good for as long as the database hears of it in time. A node that was silent for too long takes another one: what it
//! had in hand under the old one may be somebody else's.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sealed::identity::random;

use super::super::item::{SpoolError, Tenure, millis};
use super::{NOW, Postgres};

/// How long a node is taken for alive after it has said so.
const LEASE: Duration = Duration::from_secs(30);
/// After so long without a word to the database, this node hands on nothing: another one may have taken it over soon.
const SURE: Duration = Duration::from_secs(20);
/// A node whose time is over so soon is as good as dead: it takes another name. The database may be as late as this with its answers.
const MARGIN: Duration = Duration::from_secs(10);

/// What a node is called, and since when that is good.
#[derive(Clone, Copy)]
pub(super) struct Reign {
    name: [u8; 16],
    /// When the database last heard that this node lives, by [`awake`].
    heard: Option<Duration>,
}

impl Default for Reign {
    fn default() -> Reign {
        Reign { name: random(), heard: None }
    }
}

impl Postgres {
    fn reign(&self) -> MutexGuard<'_, Reign> {
        self.reign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node is called now.
    pub(super) fn node(&self) -> Vec<u8> {
        self.reign().name.to_vec()
    }

    pub(in super::super) async fn beat(&self) -> Result<(), SpoolError> {
        let name = self.reign().name;
        if self.prolong(name).await? {
            return Ok(());
        }
        // Others may have what this node had in hand. Under another name, none of that is its own.
        let (name, asked) = (random::<16>(), awake());
        let client = self.client().await?;
        let text = format!("INSERT INTO sealpost_node (id, until) VALUES ($1, {NOW} + $2)");
        client.execute(&client.prepare_cached(&text).await?, &[&name.as_slice(), &millis(LEASE)]).await?;
        *self.reign() = Reign { name, heard: Some(asked) };
        Ok(())
    }

    /// Whether it is alive for others, who hear that it is.
    async fn prolong(&self, name: [u8; 16]) -> Result<bool, SpoolError> {
        // From before the question: whoever else looks counts from when the database heard it, which is later.
        let asked = awake();
        let client = self.client().await?;
        let text = format!("UPDATE sealpost_node SET until = {NOW} + $2 WHERE id = $1 AND until > {NOW} + $3");
        let statement = client.prepare_cached(&text).await?;
        let lives = client.execute(&statement, &[&name.as_slice(), &millis(LEASE), &millis(MARGIN)]).await? > 0;
        let mut reign = self.reign();
        if lives && reign.name == name {
            reign.heard = Some(asked);
        }
        Ok(lives)
    }

    pub(in super::super) fn tenure(&self) -> Tenure {
        Tenure(self.reign().name)
    }

    pub(in super::super) fn holds(&self, tenure: Tenure) -> bool {
        let Reign { name, heard } = *self.reign();
        name == tenure.0 && heard.is_some_and(|heard| awake().saturating_sub(heard) < SURE)
    }

    pub(in super::super) async fn confirms(&self, tenure: Tenure) -> bool {
        // A connection that died meanwhile is no answer; a second one is another.
        for _ in 0..2 {
            if !self.holds(tenure) {
                return false;
            }
            if let Ok(lives) = self.lives(tenure.0).await {
                return lives;
            }
        }
        false
    }

    /// Whether others take that node for alive, and will for a while.
    async fn lives(&self, name: [u8; 16]) -> Result<bool, SpoolError> {
        let client = self.client().await?;
        let text = format!("SELECT EXISTS (SELECT FROM sealpost_node WHERE id = $1 AND until > {NOW} + $2)");
        let statement = client.prepare_cached(&text).await?;
        Ok(client.query_one(&statement, &[&name.as_slice(), &millis(MARGIN)]).await?.try_get(0)?)
    }
}

/// How long this machine has run, times of sleep included, which [`std::time::Instant`] leaves out.
fn awake() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(since.tv_sec).unwrap_or_default(), u32::try_from(since.tv_nsec).unwrap_or_default())
}
