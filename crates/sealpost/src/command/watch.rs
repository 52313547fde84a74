//! `watch` and `run`: flows that go on until somebody asks them to end. In: flows of the config, one thread each. Out: sealed
//! mail, and a line on stderr where something changed. One flow that cannot go on ends all, and is the error of the whole.
//! SIGHUP: flows of mail that passes by, or is forwarded, take their keys and policies anew from the config.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use flow::{Fate, Progress, Settings};
use store::ledger::Code;

#[cfg(feature = "forward")]
use crate::command::forward::Forwarding;
use crate::{
    command::deliver::Delivering,
    config::{Config, Flow},
    deliveries::Sockets,
    explain::explain,
    failure::{DoingWhat, Exit, Failure, with_causes},
    flows,
    home::Home,
    metrics::{self, Board},
    notify::{READY, STOPPING, notify},
    stop,
    tell::tell,
};

/// Before a flow begins again that was ended by something that passes.
const AGAIN: Duration = Duration::from_secs(30);
/// Between two looks at the stop sign.
const STEP: Duration = Duration::from_millis(50);

/// The flows that were named.
pub fn watch(home: &Home, names: &[String]) -> Result<(), Failure> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    all(home, &Config::read(home)?, &names, Undone::IsAnError)
}

/// A flow of mail that comes to a socket.
enum Passing {
    Delivery(Box<Delivering>),
    #[cfg(feature = "forward")]
    Forward(Box<Forwarding>),
}

impl Passing {
    fn show_on(&self, board: &Board) {
        match self {
            Passing::Delivery(flow) => flow.show_on(board),
            #[cfg(feature = "forward")]
            Passing::Forward(flow) => flow.show_on(board),
        }
    }

    fn listens(&self) -> bool {
        match self {
            Passing::Delivery(flow) => flow.listens(),
            #[cfg(feature = "forward")]
            Passing::Forward(flow) => flow.listens(),
        }
    }

    fn reload(&self, home: &Home) {
        match self {
            Passing::Delivery(flow) => flow.reload(home),
            #[cfg(feature = "forward")]
            Passing::Forward(flow) => flow.reload(home),
        }
    }

    fn run(&self, home: &Home) -> Result<(), Failure> {
        match self {
            Passing::Delivery(flow) => flow.run(home),
            #[cfg(feature = "forward")]
            Passing::Forward(flow) => flow.run(home),
        }
    }
}

/// What is to be said of a flow whose mail was put back: it is never sealed again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Undone {
    /// It was named.
    IsAnError,
    /// It is one of all.
    IsLeftOut,
}

/// Every flow of the config.
pub fn run(home: &Home) -> Result<(), Failure> {
    let config = Config::read(home)?;
    let names: Vec<String> = config.flow.keys().cloned().collect();
    if names.is_empty() {
        let hint = if home.is_initialised() {
            "write a [flow.NAME] with `source`, `seal` and `sink`; docs/config.md shows some"
        } else {
            "there is no home here: name it with --home DIR or SEALPOST_HOME, or make one with `sealpost init`"
        };
        return Err(Failure::new(Exit::Config, format_args!("{} has no flows", home.config().display())).hint(hint));
    }
    all(home, &config, &names, Undone::IsLeftOut)
}

fn all(home: &Home, config: &Config, names: &[String], undone: Undone) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let reload = asked_to_reload()?;
    let sockets = Sockets::inherited();
    let (mut settings, mut passing) = (Vec::new(), Vec::new());
    for name in names {
        match config.flow(name)? {
            Flow::Mailboxes(_) => settings.push(flows::settings(home, config, name, &stop)?),
            Flow::Delivery(flow) => {
                let delivering = Delivering::new(home, name, flow, &sockets, &stop)?;
                passing.push(Passing::Delivery(Box::new(delivering)));
            }
            #[cfg(not(feature = "forward"))]
            Flow::Forward(never) => match **never {},
            #[cfg(feature = "forward")]
            Flow::Forward(flow) => {
                let forwarding = Forwarding::new(home, config, name, flow, &sockets, &stop)?;
                passing.push(Passing::Forward(Box::new(forwarding)));
            }
        }
    }
    if let Some(mistake) = sockets.mistake() {
        tell(format_args!("WARNING: {mistake}"));
    }
    if undone == Undone::IsLeftOut {
        leave_out_undone(&mut settings, passing.len());
    }
    let board = Arc::new(Board::default());
    passing.iter().for_each(|flow| flow.show_on(&board));
    if let Some(metrics) = &config.metrics {
        metrics::serve(metrics.listen, board)?;
    }
    let first: Mutex<Option<Failure>> = Mutex::new(None);
    let broken = thread::scope(|scope| {
        let threads: Vec<_> = settings
            .iter()
            .map(|settings| {
                scope.spawn(|| {
                    // A bug in one flow must not leave the others running with nobody to tell.
                    let _on_panic = StopAll(&stop);
                    if let Err(failure) = one(settings, &stop) {
                        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                        stop.store(true, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let threads: Vec<_> = threads
            .into_iter()
            .chain(passing.iter().map(|flow| {
                scope.spawn(|| {
                    let _on_panic = StopAll(&stop);
                    if let Err(failure) = flow.run(home) {
                        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                        stop.store(true, Ordering::Relaxed);
                    }
                })
            }))
            .collect();
        let (mut ready, mut told) = (false, false);
        while !threads.iter().all(|thread| thread.is_finished()) {
            if !ready && passing.iter().all(Passing::listens) {
                ready = true;
                notify(READY);
            }
            if stop.load(Ordering::Relaxed) && !std::mem::replace(&mut told, true) {
                notify(STOPPING);
            }
            if reload.swap(false, Ordering::Relaxed) {
                passing.iter().for_each(|flow| flow.reload(home));
                let listens = |config: &Config| config.metrics.map(|metrics| metrics.listen);
                // What is wrong with it each flow has said.
                if Config::read(home).is_ok_and(|now| listens(&now) != listens(config)) {
                    tell("[metrics] has changed, which counts from the next start");
                }
                if !settings.is_empty() {
                    tell("asked to read the config again: flows of mailboxes cannot; they need a restart");
                }
            }
            thread::sleep(STEP);
        }
        threads.into_iter().filter_map(|thread| thread.join().err()).count()
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None if broken > 0 => {
            Err(Failure::new(Exit::Temporary, "a flow broke off").hint("this is a bug: please report it"))
        }
        None => Ok(()),
    }
}

/// One flow that was undone must not keep the others from their work. Where nothing else is left, it is the error.
fn leave_out_undone(settings: &mut Vec<Settings>, others: usize) {
    let is_undone = |settings: &Settings| matches!(flow::stopped_since(settings), Ok(Some(_)));
    if others == 0 && settings.iter().all(is_undone) {
        return;
    }
    settings.retain(|settings| {
        let is_undone = is_undone(settings);
        if is_undone {
            tell(format_args!("{}: left out: its mail was put back; take this flow out of config.toml", settings.name));
        }
        !is_undone
    });
}

/// Becomes true at SIGHUP.
fn asked_to_reload() -> Result<Arc<AtomicBool>, Failure> {
    let reload = Arc::new(AtomicBool::new(false));
    let registered = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload));
    registered.map(|_| reload).doing(Exit::Temporary, "cannot listen to signals")
}

struct StopAll<'a>(&'a AtomicBool);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// One flow, until it is asked to stop or cannot go on.
fn one(settings: &Settings, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let name = settings.name.as_str();
    let mut teller = Teller { name, failed: BTreeMap::new(), lost: None };
    loop {
        match flow::watch(settings, &mut teller, stop) {
            Ok(watching) => {
                tell(format_args!("{name}: ended, as asked; {} messages were sealed", watching.sealed.messages));
                return Ok(());
            }
            Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
            Err(error) if error.fate() == Fate::Retry => {
                let why = with_causes(&error);
                tell(format_args!("{name}: {why}; trying again in {} s", AGAIN.as_secs()));
                let begun = Instant::now();
                while begun.elapsed() < AGAIN && !stop.load(Ordering::Relaxed) {
                    thread::sleep(STEP);
                }
            }
            Err(error) => {
                let mut failure = Failure::from(error);
                failure.error = format!("{name}: {}", failure.error);
                return Err(failure);
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

/// Says what changed.
struct Teller<'a> {
    name: &'a str,
    failed: BTreeMap<&'static str, u64>,
    /// Why there is no connection, as it was said last: an outage of a night is one line.
    lost: Option<String>,
}

impl Progress for Teller<'_> {
    fn failed(&mut self, reason: Code) {
        let count = self.failed.entry(reason.as_str()).or_default();
        *count += 1;
        // A mailbox full of the same trouble must not fill the log.
        if count.is_power_of_two() {
            let name = self.name;
            let so_far = if *count > 1 { format!(" ({count} times so far)") } else { String::new() };
            let why = explain(reason.as_str());
            tell(format_args!("{name}: a message is not sealed, and is tried again later: {why}{so_far}"));
        }
    }

    fn watching(&mut self, mailboxes: usize) {
        self.lost = None;
        let noun = if mailboxes == 1 { "mailbox" } else { "mailboxes" };
        tell(format_args!("{}: watching {mailboxes} {noun}", self.name));
    }

    fn lost(&mut self, why: &dyn std::error::Error) {
        // The outermost error says only that there is no connection.
        let why = with_causes(why.source().unwrap_or(why));
        if self.lost.as_ref() != Some(&why) {
            tell(format_args!("{}: no connection, trying again: {why}", self.name));
            self.lost = Some(why);
        }
    }
}
