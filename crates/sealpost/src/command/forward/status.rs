//! How a flow of mail that is forwarded stands. In: its queue, totals, what it noted. Out: the same for programs and for people.

use std::{collections::BTreeMap, fmt::Write};

use flow::forward::{Event, Obstacle, Plight, Room};
use serde::Serialize;
use store::{Database, Ledger, UnixSeconds};

use crate::{
    clock,
    command::queue::{stranger, strangers, wait_for},
    config::{Config, forward::Forward},
    failure::{DoingWhat, Exit, Failure},
    forwards,
    home::Home,
    obstacles::{self, Standing},
};

/// Items of the queue that are looked at for their reasons.
const MOST: usize = 10_000;

/// How such a flow stands.
#[derive(Serialize, Debug, Default)]
pub struct Status {
    /// Messages by what became of them, since the flow began.
    messages: BTreeMap<String, u64>,
    /// Copies in the queue that are to be handed on.
    waiting: u64,
    /// Copies in the queue that nobody hands on until he is asked to.
    failed: u64,
    /// Octets of both.
    queued_octets: u64,
    /// Copies in the queue, by what stood in their way.
    reasons: BTreeMap<String, u64>,
    /// Copies in the same place of flows that config.toml does not know, by the name of the flow.
    other_flows: BTreeMap<String, u64>,
    /// What stands in the way of all, as the flow noted while it ran.
    obstacle: Option<Standing>,
    /// When the oldest of those that wait came, Unix seconds.
    oldest: Option<i64>,
    /// When anything last happened, Unix seconds.
    last_activity: Option<i64>,
}

impl Status {
    /// Copies that nobody hands on, since config.toml does not know their flow.
    pub fn strangers(&self) -> Option<String> {
        let each: Vec<String> = self.other_flows.iter().map(|(name, count)| stranger(name, *count)).collect();
        (!each.is_empty()).then(|| each.join("; "))
    }

    /// What must be said of the queue.
    pub fn sentence(&self) -> String {
        format!("{} wait, {} failed", self.waiting, self.failed)
    }
}

/// Looks at totals and queue.
pub fn status(home: &Home, config: &Config, name: &str, flow: &Forward) -> Result<Status, Failure> {
    let mut status = Status::default();
    let spool = forwards::spool(home, name, &flow.queue)?;
    let tally = wait_for(spool.tally())?;
    (status.waiting, status.failed, status.queued_octets) = (tally.waiting, tally.failed, tally.octets);
    for item in wait_for(spool.list(MOST))? {
        if let Some(why) = item.why {
            *status.reasons.entry(why).or_default() += 1;
        }
    }
    status.other_flows = strangers(&spool, config)?;
    let noted = obstacles::noted(&home.plight(name));
    // On a full disk nothing can be noted.
    let crowded = (spool.room(0) == Room::Short && noted.is_none_or(|noted| noted.obstacle != Obstacle::NoRoom))
        .then(|| Plight { obstacle: Obstacle::NoRoom, since: UnixSeconds::now() });
    status.obstacle = crowded.or(noted).map(Standing::of);
    status.oldest = tally.oldest.map(|at| at.0);
    if home.state().exists() {
        let database = Database::open(&home.state()).doing(Exit::Unavailable, "the state database cannot be opened")?;
        let activity =
            Ledger::on(&database).activity(name).doing(Exit::Unavailable, "the state database cannot be read")?;
        status.last_activity = activity.last.map(|at| at.0);
        status.messages = activity.counters;
    }
    Ok(status)
}

/// The same for people.
pub fn status_text(name: &str, status: &Status) -> String {
    let mut text = format!("{name}: mail that is forwarded\n");
    for (code, count) in &status.messages {
        let _ = writeln!(text, " {count:>10}  {}", event_words(code));
    }
    if status.messages.is_empty() {
        text.push_str("             nothing has come yet\n");
    }
    let _ = writeln!(text, " {:>10}  wait in the queue", status.waiting);
    if status.failed > 0 {
        let failed = status.failed;
        let _ = writeln!(text, " {failed:>10}  could not be handed on, and stay; `sealpost queue list` says why");
    }
    for (code, count) in &status.reasons {
        let why = Obstacle::of(code).map_or(code.as_str(), |obstacle| obstacle.text());
        let _ = writeln!(text, " {count:>10}  of them: {why}");
    }
    for (name, count) in &status.other_flows {
        let _ = writeln!(text, "    ATTENTION  {}", stranger(name, *count));
    }
    if let Some(standing) = &status.obstacle {
        let _ = writeln!(text, "    ATTENTION  {}", standing.sentence());
        let _ = writeln!(text, "               -> {}", standing.hint());
    }
    let shown = |at: i64| clock::shown(u64::try_from(at).unwrap_or_default());
    if let Some(oldest) = status.oldest {
        let _ = writeln!(text, "             the oldest came {}", shown(oldest));
    }
    if let Some(last) = status.last_activity {
        let _ = writeln!(text, "             last activity {}", shown(last));
    }
    text
}

fn event_words(code: &str) -> &str {
    let event = Event::ALL.iter().find(|event| event.code().as_str() == code);
    match event {
        Some(Event::Kept) => "messages sealed, and taken from their senders",
        Some(Event::Encrypted) => "messages were encrypted already, and went on as they came",
        Some(Event::Repeated) => "messages came again that had been taken before",
        Some(Event::Deferred) => "times a sender was told to come again",
        Some(Event::Rejected) => "messages refused",
        Some(Event::Arrived) => "copies handed on",
        Some(Event::Found) => "copies were at their target already when they were looked for",
        Some(Event::Retried) => "times a copy went back into the queue",
        Some(Event::Unknown) => "times the target broke off without an answer; each may be a copy too many, by SMTP",
        Some(Event::Failed) => "times a copy was given up until somebody asks for it",
        Some(Event::Noted) => "notes written to the owner",
        Some(Event::Removed) => "copies that had been given up were removed, as a note has told",
        None => code,
    }
}
