//! A flow of mail that is forwarded, running and told of. In: its config. Out: sealed mail handed on, a line on stderr for each message or copy that did
//! not simply pass, totals in the state database. No content, Subject or address in any of it.

mod status;

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use flow::forward::{Controls, ForwardError, Obstacle, Plight, Refusal, Settings, SpoolError, Told, is_free, serve};
use store::{Fate, ledger::Code};

pub use self::status::{Status, status, status_text};
use crate::{
    command::deliver::{BOOK, book},
    config::{Config, Flow, forward::Forward},
    deliveries::Sockets,
    failure::{Exit, Failure, with_causes},
    forwards,
    home::Home,
    metrics::Board,
    obstacles::{self, Standing},
    tell::tell,
};

/// Between two looks at the stop sign.
const STEP: Duration = Duration::from_millis(50);

/// Such a flow, ready to run.
pub struct Forwarding {
    name: String,
    listens: String,
    /// What its queue is called in errors.
    spool: String,
    settings: Mutex<Option<Settings>>,
    controls: Controls,
}

impl Forwarding {
    /// `stop`: becomes true when it is to end.
    pub fn new(
        home: &Home,
        config: &Config,
        name: &str,
        flow: &Forward,
        sockets: &Sockets,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let settings = forwards::settings(home, config, name, flow, sockets, stop)?;
        let spool = forwards::spool_file(home, &flow.queue);
        let spool = spool.map_or("the database".to_owned(), |file| file.display().to_string());
        // Before any port is asked for: of a second copy of this program, that it is one is what matters.
        is_free(&settings).map_err(|error| failure(name, &spool, &error))?;
        let controls = Controls::new(Arc::clone(stop));
        let listens = settings.listen.place.to_string();
        Ok(Self { name: name.to_owned(), listens, spool, settings: Mutex::new(Some(settings)), controls })
    }

    /// Its counters are told there.
    pub fn show_on(&self, board: &Board) {
        board.add(&self.name, Arc::clone(&self.controls.sealing), Arc::clone(&self.controls.health));
        board.add_queue(&self.name, Arc::clone(&self.controls.counts));
    }

    /// Are senders let in?
    pub fn listens(&self) -> bool {
        self.controls.health.has_listened()
    }

    /// Takes keys, certificates, checks, rates and recipients anew from the config. What is wrong there is told, and nothing changes.
    pub fn reload(&self, home: &Home) {
        let read = || {
            let config = Config::read(home)?;
            match config.flow(&self.name)? {
                Flow::Forward(flow) => {
                    forwards::settings(home, &config, &self.name, flow, &Sockets::none(), &self.controls.stop)
                }
                Flow::Mailboxes(_) | Flow::Delivery(_) => Err(Failure::new(Exit::Config, "it is of another kind now")),
            }
        };
        match read() {
            Ok(settings) => {
                let listens = settings.listen.place.to_string();
                self.controls.reload(settings);
                tell(format_args!(
                    "{}: the config was read again; `sink` and `queue` count from the next start",
                    self.name
                ));
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
            served.map_err(|error| failure(name, &self.spool, &error))?;
            let totals = self.controls.counts.totals();
            let said: Vec<String> = totals.events.iter().filter(|(_, count)| *count > 0).map(said).collect();
            let said = if said.is_empty() { "no mail came".to_owned() } else { said.join(", ") };
            tell(format_args!("{name}: ended, as asked; {said}"));
            Ok(())
        })
    }

    /// Totals go to the state database.
    fn keep_books(&self, home: &Home, over: &AtomicBool) {
        let (mut before, mut booked) = (Vec::new(), Instant::now());
        let (mut said, mut met, mut unkept) = (false, None, None);
        let _ = obstacles::note(&home.plight(&self.name), None);
        loop {
            if !said && self.listens() {
                said = true;
                tell(format_args!("{}: listening at {}", self.name, self.listens));
            }
            let plight = self.controls.counts.totals().plight;
            if plight != met {
                met = plight;
                self.tell_plight(home, plight);
            }
            let ends = over.load(Ordering::Relaxed);
            if ends || booked.elapsed() >= BOOK {
                booked = Instant::now();
                let now = self.controls.counts.totals().events;
                match book(&home.state(), &self.name, &before, &now) {
                    Ok(()) => (before, unkept) = (now, None),
                    // Once: they are tried again and again.
                    Err(failure) if unkept.as_ref() == Some(&failure.error) => {}
                    Err(failure) => {
                        tell(format_args!("{}: totals are not kept: {}", self.name, failure.error));
                        unkept = Some(failure.error);
                    }
                }
            }
            if ends {
                return;
            }
            thread::sleep(STEP);
        }
    }
}

impl Forwarding {
    fn tell_plight(&self, home: &Home, plight: Option<Plight>) {
        let name = &self.name;
        match plight.map(Standing::of) {
            Some(standing) => {
                tell(format_args!("{name}: {}", standing.sentence()));
                tell(format_args!("{name}: hint: {}", standing.hint()));
            }
            None => tell(format_args!("{name}: nothing stands in the way any more")),
        }
        if let Err(error) = obstacles::note(&home.plight(name), plight) {
            tell(format_args!("{name}: `status` cannot be told: {error}"));
        }
    }
}

fn failure(name: &str, spool: &str, error: &ForwardError) -> Failure {
    let at = match error {
        ForwardError::Spool(_) => format!("{spool}: "),
        _ => String::new(),
    };
    Failure::new(error.fate().into(), format_args!("{name}: {at}{}", with_causes(error))).hint(hint(error))
}

fn said((code, count): &(Code, u64)) -> String {
    format!("{count} {}", code.as_str())
}

fn hint(error: &ForwardError) -> &'static str {
    match error {
        ForwardError::Busy => "is it running already? One process at a time works on a spool in a file",
        ForwardError::NoCertificate => "take in the owner's enrolment: `sealpost key import FILE`",
        ForwardError::Spool(SpoolError::Postgres(_)) => "is the database running, and may this user use it?",
        ForwardError::Spool(SpoolError::Newer) => "use the newer version of this program",
        ForwardError::Spool(SpoolError::Foreign) => "name another file: this one belongs to another program",
        ForwardError::Spool(_) | ForwardError::Temporary(_) | ForwardError::Begin(_) => {
            "is there space, and may you write there?"
        }
        _ if error.fate() == Fate::Retry => "another program is there: is this flow running already?",
        _ => "`sealpost check` looks at the config; ports below 1024 need a privilege or socket activation",
    }
}

/// One line: words and values, as other programs read them.
fn tell_of(told: &Told<'_>) {
    let mut line = format!("flow={} event={}", told.flow, told.event.code().as_str());
    let why = told.why.map(Obstacle::code).or(told.refusal.map(Refusal::code));
    if let Some(why) = why.filter(|why| *why != told.event.code()) {
        let _ = write!(line, " reason={}", why.as_str());
    }
    if let Some(code) = told.code {
        let _ = write!(line, " code={code}");
    }
    if let Some(id) = told.id {
        let _ = write!(line, " id={}", sealed::field::encode_id(&id.0));
    }
    tell(line);
}
