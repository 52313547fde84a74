//! One connection through the man in the middle: two threads, one per direction, each aware of lines and literals. Out: what came in, but for
//! the faults. Nothing of TLS is understood, so faults need a connection in the clear.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::rule::{Action, Live};
use super::strip::Strip;
use crate::frame::{Frames, Literal, hang_up, literal};

/// All rules, for all connections.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<Live>,
    pub(crate) fired: Vec<String>,
}

impl Plan {
    fn strip(&self) -> Strip {
        Strip::of(self.rules.iter().flat_map(|rule| rule.stripped().iter().copied()))
    }

    fn decide(&mut self, verb: &str) -> Option<Action> {
        // Every rule counts, whichever fires.
        let met: Vec<_> = self.rules.iter_mut().filter_map(|rule| rule.meet(verb)).collect();
        let (action, name) = met.into_iter().next()?;
        self.fired.push(name);
        Some(action)
    }
}

struct Link {
    client: Arc<TcpStream>,
    server: Arc<TcpStream>,
    plan: Arc<Mutex<Plan>>,
    state: Mutex<State>,
    changed: Condvar,
    /// Held for one whole answer, so that ours never comes into the middle of the server's.
    speaking: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Tags whose answer meets a fault.
    pending: Vec<(Vec<u8>, Action)>,
    /// The tag whose literal waits for `+`, and the server's word.
    waiting: Option<(Vec<u8>, Option<bool>)>,
    ended: bool,
}

/// Why a direction ends.
enum Stop {
    /// Its own side closed, or cannot be read or written any more.
    Gone,
    /// A fault ends the connection.
    Fault,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Stop {
        Stop::Gone
    }
}

/// Joins two connections. Returns at once.
pub(crate) fn join(client: TcpStream, server: TcpStream, plan: Arc<Mutex<Plan>>) {
    let link = Arc::new(Link {
        client: Arc::new(client),
        server: Arc::new(server),
        plan,
        state: Mutex::default(),
        changed: Condvar::new(),
        speaking: Mutex::default(),
    });
    let other = Arc::clone(&link);
    thread::spawn(move || {
        let mut frames = Frames::over(Arc::clone(&other.client));
        let stop = other.to_server(&mut frames);
        other.finish(&stop, &other.server, &mut frames);
    });
    thread::spawn(move || {
        let mut frames = Frames::over(Arc::clone(&link.server));
        let stop = link.to_client(&mut frames);
        link.finish(&stop, &link.client, &mut frames);
    });
}

impl Link {
    fn finish(&self, stop: &Stop, onward: &TcpStream, frames: &mut Frames) {
        let reset =
            rustix::net::sockopt::socket_linger(&*self.client).is_ok_and(|linger| linger == Some(Duration::ZERO));
        match (stop, reset) {
            // Nothing may be sent to the client: closing it is the reset. Its other thread must let go of it, too.
            (_, true) => {
                let _ = self.client.shutdown(Shutdown::Read);
                hang_up(&self.server);
            }
            (Stop::Gone, _) => hang_up(onward),
            (Stop::Fault, _) => {
                hang_up(&self.client);
                hang_up(&self.server);
            }
        }
        locked(&self.state).ended = true;
        self.changed.notify_all();
        while frames.some(u64::MAX).is_ok_and(|octets| !octets.is_empty()) {}
    }

    fn to_server(&self, frames: &mut Frames) -> Stop {
        loop {
            if let Err(stop) = self.command(frames) {
                return stop;
            }
        }
    }

    fn command(&self, frames: &mut Frames) -> Result<(), Stop> {
        let line = frames.line()?.ok_or(Stop::Gone)?;
        let Some((tag, verb)) = command_of(&line) else {
            // DONE, or a step of AUTHENTICATE.
            return Ok((&*self.server).write_all(&line)?);
        };
        let (refused, action) = {
            let mut plan = locked(&self.plan);
            let action = plan.decide(&verb);
            (plan.strip().refuses(&verb, &line), action)
        };
        let action = if refused { Some(Action::Bad) } else { action };
        match action {
            None => self.forward(frames, line, &tag, None),
            Some(Action::Before) => Err(Stop::Fault),
            Some(Action::Delay(time)) => {
                thread::sleep(time);
                self.forward(frames, line, &tag, None)
            }
            Some(Action::CutLiteral(most)) => self.forward(frames, line, &tag, Some(most)),
            Some(Action::Bye) => {
                self.tell(b"* BYE going down\r\n")?;
                Err(Stop::Fault)
            }
            Some(action @ (Action::No | Action::Bad | Action::Hang)) => self.swallow(frames, line, &tag, &action),
            Some(action) => {
                locked(&self.state).pending.push((tag.clone(), action));
                self.forward(frames, line, &tag, None)
            }
        }
    }

    /// The whole command; with `cut`, only so many octets of its literals.
    fn forward(&self, frames: &mut Frames, mut line: Vec<u8>, tag: &[u8], cut: Option<u64>) -> Result<(), Stop> {
        let mut left = cut;
        loop {
            let Some(Literal { size, runs_on }) = literal(&line) else {
                if cut.is_some() {
                    return Err(Stop::Fault);
                }
                return Ok((&*self.server).write_all(&line)?);
            };
            if !runs_on {
                locked(&self.state).waiting = Some((tag.to_vec(), None));
            }
            (&*self.server).write_all(&line)?;
            if !runs_on && !self.goes_on() {
                // Refused; what comes next is another command.
                return Ok(());
            }
            let mut missing = left.map_or(size, |left| left.min(size));
            let short = missing < size;
            left = left.map(|left| left - missing);
            while missing > 0 {
                let part = frames.some(missing)?;
                if part.is_empty() {
                    return Err(Stop::Gone);
                }
                missing -= part.len() as u64;
                (&*self.server).write_all(&part)?;
            }
            if short {
                return Err(Stop::Fault);
            }
            line = frames.line()?.ok_or(Stop::Gone)?;
        }
    }

    /// What the server says to a literal that waits.
    fn goes_on(&self) -> bool {
        let mut state = locked(&self.state);
        loop {
            match &state.waiting {
                Some((_, Some(word))) => {
                    let word = *word;
                    state.waiting = None;
                    return word;
                }
                _ if state.ended => return false,
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Reads a command that the server does not see. A literal that waits is refused by the answer.
    fn swallow(&self, frames: &mut Frames, mut line: Vec<u8>, tag: &[u8], action: &Action) -> Result<(), Stop> {
        while let Some(Literal { size, runs_on: true }) = literal(&line) {
            let mut missing = size;
            while missing > 0 {
                let part = frames.some(missing)?;
                if part.is_empty() {
                    return Err(Stop::Gone);
                }
                missing -= part.len() as u64;
            }
            line = frames.line()?.ok_or(Stop::Gone)?;
        }
        let word: &[u8] = match action {
            Action::No => b" NO injected fault\r\n",
            Action::Bad => b" BAD injected fault\r\n",
            _ => return Ok(()),
        };
        Ok(self.tell(&[tag, word].concat())?)
    }

    fn tell(&self, octets: &[u8]) -> io::Result<()> {
        let _whole = locked(&self.speaking);
        (&*self.client).write_all(octets)
    }

    fn to_client(&self, frames: &mut Frames) -> Stop {
        loop {
            if let Err(stop) = self.answer(frames) {
                return stop;
            }
        }
    }

    fn answer(&self, frames: &mut Frames) -> Result<(), Stop> {
        let line = frames.line()?.ok_or(Stop::Gone)?;
        let tag = line.split(|&octet| octet == b' ' || octet == b'\r').next().unwrap_or_default().to_vec();
        let _whole = locked(&self.speaking);
        let mut cut = None;
        let action = {
            let mut state = locked(&self.state);
            if let Some((own, word)) = &mut state.waiting
                && (tag == b"+" || tag == *own)
            {
                *word = Some(tag == b"+");
                self.changed.notify_all();
            }
            if tag == b"*" {
                // Which command an untagged answer belongs to is not said; with one at a time it is this.
                cut = state.pending.iter().find_map(|(_, action)| match action {
                    Action::CutAnswer(most) => Some(*most),
                    _ => None,
                });
            }
            let at = state.pending.iter().position(|(own, _)| *own == tag);
            at.map(|at| state.pending.remove(at).1)
        };
        match action {
            None => {}
            Some(Action::HalfAnswer) => {
                (&*self.client).write_all(line.get(..line.len() / 2).unwrap_or_default())?;
                return Err(Stop::Fault);
            }
            Some(Action::Reset) => {
                let _ = rustix::net::sockopt::set_socket_linger(&*self.client, Some(Duration::ZERO));
                return Err(Stop::Fault);
            }
            Some(_) => return Err(Stop::Fault),
        }
        let shown = locked(&self.plan).strip().line(&line);
        (&*self.client).write_all(&shown)?;
        let mut next = literal(&line);
        while let Some(Literal { size, .. }) = next {
            let mut missing = cut.map_or(size, |most| most.min(size));
            let short = missing < size;
            cut = cut.map(|most| most - missing);
            if cut.is_some() {
                self.spend(missing);
            }
            while missing > 0 {
                let part = frames.some(missing)?;
                if part.is_empty() {
                    return Err(Stop::Gone);
                }
                missing -= part.len() as u64;
                (&*self.client).write_all(&part)?;
            }
            if short {
                return Err(Stop::Fault);
            }
            let line = frames.line()?.ok_or(Stop::Gone)?;
            (&*self.client).write_all(&line)?;
            next = literal(&line);
        }
        Ok(())
    }

    /// The rest of a `CutAnswer`, for the command's next untagged answer.
    fn spend(&self, octets: u64) {
        for (_, action) in &mut locked(&self.state).pending {
            if let Action::CutAnswer(most) = action {
                *most -= octets;
                return;
            }
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tag and verb. `None` for what is no command: one word alone.
fn command_of(line: &[u8]) -> Option<(Vec<u8>, String)> {
    let text = String::from_utf8_lossy(line).to_ascii_uppercase();
    let mut words = text.split_whitespace();
    let length = words.next()?.len();
    let verb = words.next()?;
    let verb = if verb == "UID" { format!("UID {}", words.next()?) } else { verb.to_owned() };
    Some((line.get(..length)?.to_vec(), verb))
}
