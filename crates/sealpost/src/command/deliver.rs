//! A flow of mail that passes by, running and told of. In: its config. Out: sealed mail handed on, a line on stderr for each copy that was not simply
//! sealed, totals in the state database. No content, Subject or address in any of it.

use std::{
    fmt::Write,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use flow::delivery::{Controls, Hop, Note, Outcome, Settings, Totals, serve};
use flow::directory::{DirectoryError, Tried, trial};
use serde::Serialize;
use store::{Database, Fate, Ledger, UnixSeconds, ledger::Code};

use crate::{
    clock,
    config::{Config, Flow, delivery::Delivery},
    deliveries::{self, Sockets},
    directories,
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
    metrics::Board,
    tell::tell,
};

/// Between two entries in the state database.
pub const BOOK: Duration = Duration::from_secs(1);
/// Between two looks at the stop sign.
const STEP: Duration = Duration::from_millis(50);
/// Between two looks at the keys of the directory.
const DAY: Duration = Duration::from_secs(86_400);

/// Such a flow, ready to run.
pub struct Delivering {
    name: String,
    listens: String,
    settings: Mutex<Option<Settings>>,
    controls: Controls,
}

impl Delivering {
    /// `stop`: becomes true when it is to end.
    pub fn new(
        home: &Home,
        name: &str,
        flow: &Delivery,
        sockets: &Sockets,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let settings = deliveries::settings(home, name, flow, sockets)?;
        let controls = Controls::new(Arc::clone(stop));
        let listens = settings.door.listen().place.to_string();
        Ok(Self { name: name.to_owned(), listens, settings: Mutex::new(Some(settings)), controls })
    }

    /// Its counters are told there.
    pub fn show_on(&self, board: &Board) {
        board.add(&self.name, Arc::clone(&self.controls.counts), Arc::clone(&self.controls.health));
    }

    /// Are servers let in?
    pub fn listens(&self) -> bool {
        self.controls.health.has_listened()
    }

    /// Takes keys and policies anew from the config. What is wrong there is told, and nothing changes.
    pub fn reload(&self, home: &Home) {
        let read = || match Config::read(home)?.flow(&self.name)? {
            Flow::Delivery(flow) => {
                let settings = deliveries::settings(home, &self.name, flow, &Sockets::none())?;
                // What does not answer now must not take the place of what does.
                wait_for(settings.directory.source().list("", 1))?;
                Ok(settings)
            }
            Flow::Mailboxes(_) | Flow::Forward(_) => Err(Failure::new(Exit::Config, "it is of another kind now")),
        };
        match read() {
            Ok(settings) => {
                let listens = settings.door.listen().place.to_string();
                self.controls.reload(settings);
                tell(format_args!("{}: the config was read again", self.name));
                if listens != self.listens {
                    tell(format_args!(
                        "{}: it goes on listening at {}; {listens} counts from the next start",
                        self.name, self.listens
                    ));
                }
            }
            Err(failure) => {
                tell(format_args!("{}: goes on as it was: {}", self.name, failure.error));
                tell(format_args!("{}: hint: {}", self.name, failure.hint));
            }
        }
    }

    /// Runs until it is asked to end.
    pub fn run(&self, home: &Home) -> Result<(), Failure> {
        let taken = self.settings.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(settings) = taken else { return Ok(()) };
        let name = self.name.as_str();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let books = scope.spawn(|| self.keep_books(home, &over));
            let served = serve(settings, Arc::new(tell_of), &self.controls);
            over.store(true, Ordering::Relaxed);
            let _ = books.join();
            let totals = self.controls.counts.totals();
            served.map_err(|error| {
                let hint = match error.fate() {
                    Fate::Retry => "another program is there: is this flow running already?",
                    _ => "`sealpost check` looks at the config; ports below 1024 need a privilege or socket activation",
                };
                Failure::new(error.fate().into(), format_args!("{name}: {}", with_causes(&error))).hint(hint)
            })?;
            tell(format_args!("{name}: ended, as asked; {}", sentence(&totals.outcomes)));
            Ok(())
        })
    }

    /// Totals go to the state database, and keys that end soon are spoken of.
    fn keep_books(&self, home: &Home, over: &AtomicBool) {
        let mut before = Vec::new();
        let (mut booked, mut looked) = (Instant::now(), None::<Instant>);
        let mut said = false;
        loop {
            if !said && self.listens() {
                said = true;
                tell(format_args!("{}: listening at {}", self.name, self.listens));
            }
            let ends = over.load(Ordering::Relaxed);
            if ends || booked.elapsed() >= BOOK {
                booked = Instant::now();
                let Totals { outcomes, troubles, .. } = self.controls.counts.totals();
                let now = [outcomes, troubles].concat();
                match book(&home.state(), &self.name, &before, &now) {
                    Ok(()) => before = now,
                    Err(failure) => tell(format_args!("{}: totals are not kept: {}", self.name, failure.error)),
                }
            }
            if ends {
                return;
            }
            if looked.is_none_or(|looked| looked.elapsed() >= DAY) {
                looked = Some(Instant::now());
                self.warn(home);
            }
            thread::sleep(STEP);
        }
    }

    fn warn(&self, home: &Home) {
        let read = || match Config::read(home)?.flow(&self.name)? {
            Flow::Delivery(flow) => ending(home, flow),
            Flow::Mailboxes(_) | Flow::Forward(_) => Ok(Ending::default()),
        };
        match read() {
            Ok(ending) => ending.lines().iter().for_each(|line| tell(format_args!("{}: {line}", self.name))),
            Err(failure) => tell(format_args!("{}: the keys could not be looked at: {}", self.name, failure.error)),
        }
    }
}

/// One line for a copy: words and values, as other programs read them.
fn tell_of(note: &Note<'_>) {
    let mut line = format!("flow={} outcome={} code={}", note.flow, note.outcome.code().as_str(), note.code);
    if let Some(trouble) = note.trouble {
        let _ = write!(line, " reason={}", trouble.code().as_str());
    }
    if let Some(hop) = note.hop {
        let _ = write!(line, " hop={}", hop_word(hop));
    }
    if let Some(queue_id) = note.queue_id.filter(|id| id.chars().all(|letter| letter.is_ascii_alphanumeric())) {
        let _ = write!(line, " queue-id={queue_id}");
    }
    if note.octets > 0 {
        let _ = write!(line, " size={}", note.octets);
    }
    tell(line);
}

fn hop_word(hop: Hop) -> &'static str {
    match hop {
        Hop::Refused => "refused",
        Hop::Lost => "lost",
        Hop::Unknown => "unknown",
        Hop::Lacks => "lacks-extension",
        Hop::Unwritable => "unwritable",
    }
}

/// Adds what was counted since the last time. No code stands twice.
pub fn book(state: &Path, name: &str, before: &[(Code, u64)], now: &[(Code, u64)]) -> Result<(), Failure> {
    let earlier = |code: Code| before.iter().find(|(one, _)| *one == code).map_or(0, |(_, count)| *count);
    let grown = now.iter().map(|(code, count)| (*code, count.saturating_sub(earlier(*code))));
    let counts: Vec<(Code, u64)> = grown.filter(|(_, count)| *count > 0).collect();
    if counts.is_empty() {
        return Ok(());
    }
    let database = Database::open(state).doing(Exit::Unavailable, "the state database cannot be opened")?;
    Ledger::on(&database)
        .count(name, &counts, UnixSeconds::now())
        .doing(Exit::Unavailable, "the state database cannot be written")
}

/// How such a flow stands.
#[derive(Serialize, Debug, Default)]
pub struct Status {
    /// Copies by what became of them, since the flow began.
    copies: std::collections::BTreeMap<String, u64>,
    /// Copies that could not be sealed, by why.
    troubles: std::collections::BTreeMap<String, u64>,
    /// Held messages that lie here.
    held: Option<u64>,
    /// When anything last happened, Unix seconds.
    last_activity: Option<i64>,
    /// Keys of the directory that end soon, or cannot be used.
    keys: Ending,
}

/// Looks at totals and keys.
pub fn status(home: &Home, name: &str, flow: &Delivery) -> Result<Status, Failure> {
    let mut status = Status { keys: ending(home, flow)?, ..Status::default() };
    if let Some(hold) = &flow.hold {
        let count = |folder: &str| {
            let entries = std::fs::read_dir(home.at(&hold.maildir).join(folder));
            entries.map_or(0, |entries| u64::try_from(entries.count()).unwrap_or(u64::MAX))
        };
        status.held = Some(count("new") + count("cur"));
    }
    if home.state().exists() {
        let database = Database::open(&home.state()).doing(Exit::Unavailable, "the state database cannot be opened")?;
        let activity =
            Ledger::on(&database).activity(name).doing(Exit::Unavailable, "the state database cannot be read")?;
        status.last_activity = activity.last.map(|at| at.0);
        let is_outcome = |code: &str| Outcome::ALL.iter().any(|outcome| outcome.code().as_str() == code);
        let (copies, troubles) = activity.counters.into_iter().partition(|(code, _)| is_outcome(code));
        (status.copies, status.troubles) = (copies, troubles);
    }
    Ok(status)
}

impl Status {
    /// What must be said of the keys.
    pub fn keys_lines(&self) -> Vec<String> {
        self.keys.lines()
    }
}

/// The same for people.
pub fn status_text(name: &str, status: &Status) -> String {
    let mut text = format!("{name}: mail that passes by\n");
    for (code, count) in &status.copies {
        let _ = writeln!(text, " {count:>10}  {}", outcome_words(code));
    }
    if status.copies.is_empty() {
        text.push_str("             nothing has passed by yet\n");
    }
    for (code, count) in &status.troubles {
        let _ = writeln!(text, " {count:>10}  times: {}", trouble_words(code));
    }
    if let Some(held) = status.held {
        let _ = writeln!(
            text,
            " {held:>10}  held messages lie here; `sealpost held release` lets them go, where their key is"
        );
    }
    for line in status.keys.lines() {
        let _ = writeln!(text, "             {line}");
    }
    if let Some(last) = status.last_activity {
        let _ = writeln!(text, "             last activity {}", clock::shown(u64::try_from(last).unwrap_or_default()));
    }
    text
}

/// Keys of a directory that need somebody.
#[derive(Serialize, Debug, Default)]
pub struct Ending {
    /// Addresses whose keys end within 30, 7 and 1 days; each is counted once, under the nearest.
    within_30_days: u64,
    within_7_days: u64,
    within_1_day: u64,
    /// Addresses that no mail can be sealed to.
    unusable: u64,
}

impl Ending {
    fn lines(&self) -> Vec<String> {
        let line = |count: u64, what: &str| {
            (count > 0).then(|| format!("{count} {what}; `sealpost directory check` names them"))
        };
        [
            line(self.within_1_day, "recipients' keys end within a day"),
            line(self.within_7_days, "recipients' keys end within 7 days"),
            line(self.within_30_days, "recipients' keys end within 30 days"),
            line(self.unusable, "recipients' keys cannot be used"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn ending(home: &Home, flow: &Delivery) -> Result<Ending, Failure> {
    let directory = directories::open(home, &flow.certificates)?;
    let sealer = home.sealer()?;
    let mut ending = Ending::default();
    let now = clock::now();
    let mut each = |_: &str, tried: Tried| match (&tried, tried.days_left(now)) {
        (Tried::Unusable(_) | Tried::Forbidden, _) => ending.unusable += 1,
        (_, Some(0..=1)) => ending.within_1_day += 1,
        (_, Some(2..=7)) => ending.within_7_days += 1,
        (_, Some(_)) => ending.within_30_days += 1,
        _ => {}
    };
    wait_for(trial::try_all(&directory, &sealer, &mut each))?;
    Ok(ending)
}

/// Waits for an answer of a directory.
pub fn wait_for<T>(work: impl Future<Output = Result<T, DirectoryError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(Exit::Unavailable, "cannot begin")?;
    runtime.block_on(work).map_err(|error| {
        let hint = match &error {
            DirectoryError::Name => "write a plain address, `user@example.org`, or `@example.org` for a whole domain",
            DirectoryError::Newer => "use the newer version of this program",
            DirectoryError::Foreign => "name another file: this one belongs to another program",
            _ => "is it there, and may you read it? A relative path begins in the home; `sealpost directory add` makes a folder or file that is missing",
        };
        Failure::new(Exit::Unavailable, with_causes(&error)).hint(hint)
    })
}

fn sentence(outcomes: &[(Code, u64)]) -> String {
    let said: Vec<String> =
        outcomes.iter().filter(|(_, count)| *count > 0).map(|(code, n)| format!("{n} {}", code.as_str())).collect();
    if said.is_empty() { "no mail passed by".to_owned() } else { said.join(", ") }
}

fn outcome_words(code: &str) -> &str {
    match code {
        "sealed" => "copies sealed and taken by the next server",
        "encrypted" => "copies were encrypted already, and went on as they came",
        "held" => "copies held",
        "passed" => "copies passed on IN CLEAR, as configured",
        "repeated" => "copies had been taken before, when another recipient's failed",
        "deferred" => "times a copy stayed with its sender, to come again",
        "rejected" => "copies rejected",
        other => other,
    }
}

fn trouble_words(code: &str) -> &str {
    match code {
        "no-key" => "no key for the recipient",
        "expired" => "the recipient's key has expired",
        "revoked" => "the recipient's key was revoked",
        "unusable" => "the recipient's key cannot be used",
        "directory-down" => "the recipient directory did not answer",
        "engine" => "sealing failed: no space for temporary files, or a bug",
        "beyond-format" => "larger than can be sealed",
        "too-large" => "the sealed copy was larger than the next server takes",
        other => other,
    }
}
