//! APPEND, many at a time.
//!
//! In: messages as streams. Out: for each where it lies, or why it does not. RFC 3501 §6.3.11, RFC 7888 (LITERAL+,
//! LITERAL-), RFC 4315 (APPENDUID), RFC 3502 (MULTIAPPEND), RFC 7889 (APPENDLIMIT). Never: a message passed off as whole
//! whose source broke off, or that its caller has no leave for any more, for then the connection is cut; a second try,
//! which could store a message twice.

use std::collections::VecDeque;
use std::io::{self, Read};

use thiserror::Error;

use super::mailboxes::name_part;
use super::session::{Event, Part, Session, done, no_body, on_one_line, quoted};
use super::store::flag_list;
use crate::imap::answer::AppendUid;
use crate::imap::error::{Code, ImapError};
use crate::imap::response::Reply;
use crate::limit;
use crate::mailbox_name::MailboxName;
use crate::uid_set::UidSet;

/// One message to append.
pub struct Append<'a> {
    /// Its flags. `\Recent` is left out: a client may not set it.
    pub flags: Vec<String>,
    /// Its internal date, as FETCH gives it; none: now.
    pub internal_date: Option<String>,
    /// How many octets it has.
    pub length: u64,
    /// The octets. What is there beyond `length` is left unread.
    pub octets: &'a mut dyn Read,
}

/// The connection was lost while messages were appended.
#[derive(Debug, Error)]
#[error("the connection was lost while messages were stored")]
pub struct AppendLost {
    /// What happened.
    #[source]
    pub error: ImapError,
    /// A result for each message; none: in doubt. What the server cannot have, as its last octet was never sent, is
    /// [`ImapError::NotSent`].
    pub done: Vec<Option<Appended>>,
}

/// What a caller is asked for leave to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// To begin an APPEND.
    Begin,
    /// To send its last octets: without them it is none.
    End,
}

/// What a caller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Go on.
    Granted,
    /// Break it off: somebody else may see to it.
    Withdrawn,
}

/// Says whether the message of that number may go on.
pub type Ask<'a> = &'a mut dyn FnMut(usize, Moment) -> Leave;

/// What became of one message.
type Appended = Result<Option<AppendUid>, ImapError>;

impl Session {
    /// Appends, pipelined. Each result is in its place; a message that is refused does not hold up the others. One that
    /// is longer than [`Session::append_limit`] is refused (`TOOBIG`) without being sent.
    ///
    /// When the connection is lost, or a source breaks off before its length (then the connection is cut), the error
    /// tells what had been answered. What had not may or may not be stored.
    pub fn append(
        &mut self,
        name: &MailboxName,
        messages: &mut [Append<'_>],
    ) -> Result<Vec<Result<Option<AppendUid>, ImapError>>, AppendLost> {
        self.append_with_leave(name, messages, None)
    }

    /// The same for a caller who may lose the right to do so: he is asked before each message is begun, and before its
    /// last octets leave, when all others have. Without his leave the connection is cut.
    pub fn append_with_leave(
        &mut self,
        name: &MailboxName,
        messages: &mut [Append<'_>],
        ask: Option<Ask<'_>>,
    ) -> Result<Vec<Result<Option<AppendUid>, ImapError>>, AppendLost> {
        let mut flight = Flight { flying: VecDeque::new(), done: messages.iter().map(|_| None).collect() };
        match self.append_each(name, messages, &mut flight, ask) {
            Ok(()) => Ok(flight.done.into_iter().map(|done| done.unwrap_or(Err(ImapError::Closed))).collect()),
            Err(error) => {
                flight.rest_was_not_sent();
                self.remaining(&mut flight, &error);
                self.lose();
                Err(AppendLost { error, done: flight.done })
            }
        }
    }

    /// Appends all or none (RFC 3502). The UIDs are in order; nothing when the server does not say them so.
    pub fn append_together(
        &mut self,
        name: &MailboxName,
        messages: &mut [Append<'_>],
    ) -> Result<Option<Vec<AppendUid>>, ImapError> {
        self.requires(&["MULTIAPPEND"], "storing several messages as one (MULTIAPPEND)")?;
        // All that can go wrong before the first octet is sent goes wrong here.
        let name = name_part(name)?;
        let heads = messages.iter().map(|message| self.head(message)).collect::<Result<Vec<_>, _>>()?;
        if heads.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let tag = self.tag()?;
        self.write(b"APPEND ")?;
        let mut ignore = |_: Event<io::Sink>| Ok(());
        if let Some(refusal) = self.part(tag, &name, &mut ignore)? {
            return Err(refusal);
        }
        for (head, message) in heads.iter().zip(messages.iter_mut()) {
            self.write(head.as_bytes())?;
            if let Some(refusal) = self.announce(tag, message.length, &mut ignore)? {
                return Err(refusal);
            }
            // A command broken off is none: nothing is stored.
            let last = self.pour(message).inspect_err(|_| self.lose())?;
            self.write(last.as_slice())?;
        }
        self.write(b"\r\n")?;
        self.flush()?;
        loop {
            match self.event::<io::Sink>(&mut no_body)? {
                Event::Tagged(ended, reply) if ended == tag => {
                    return Ok(together(&done(reply)?).filter(|uids| uids.len() == messages.len()));
                }
                Event::Tagged(..) => return self.protocol("an answer to nothing"),
                _ => {}
            }
        }
    }

    fn append_each(
        &mut self,
        name: &MailboxName,
        messages: &mut [Append<'_>],
        flight: &mut Flight,
        mut ask: Option<Ask<'_>>,
    ) -> Result<(), ImapError> {
        for (number, message) in messages.iter_mut().enumerate() {
            let (name, head) = match name_part(name).and_then(|name| Ok((name, self.head(message)?))) {
                Ok(parts) => parts,
                Err(refusal) => {
                    flight.settle(number, Err(refusal));
                    continue;
                }
            };
            if flight.flying.len() >= limit::WINDOW {
                // Half the window is answered before it is filled again: many small messages leave in one piece.
                while flight.flying.len() > limit::WINDOW / 2 {
                    self.answer(flight)?;
                }
            }
            asked(&mut ask, number, Moment::Begin)?;
            let tag = self.tag()?;
            self.write(b"APPEND ")?;
            let mut on = |event| flight.take(event);
            let mut refused = self.part(tag, &name, &mut on)?;
            if refused.is_none() {
                self.write(head.as_bytes())?;
                refused = self.announce(tag, message.length, &mut on)?;
            }
            if let Some(refusal) = refused {
                flight.settle(number, Err(refusal));
                continue;
            }
            let last = self.pour(message)?;
            if ask.is_some() {
                // However long the server takes to read the others, the last ones wait here.
                self.flush()?;
                asked(&mut ask, number, Moment::End)?;
            }
            // From here on it is in doubt until it is answered.
            flight.flying.push_back((tag, number));
            self.write(last.as_slice())?;
            self.write(b"\r\n")?;
            if ask.is_some() {
                self.flush()?;
            }
        }
        while !flight.flying.is_empty() {
            self.answer(flight)?;
        }
        Ok(())
    }

    /// Waits for one response.
    fn answer(&mut self, flight: &mut Flight) -> Result<(), ImapError> {
        self.flush()?;
        let event = self.event(&mut no_body)?;
        self.step(|_| flight.take(event))
    }

    /// Reads what the server still says to what it has had, so that as little as can be is in doubt.
    fn remaining(&mut self, flight: &mut Flight, error: &ImapError) {
        let whole = !self.is_lost();
        // While the connection stands, only a source broke off, and every answer is still to come.
        while whole && !flight.flying.is_empty() && self.answer(flight).is_ok() {}
        if matches!(error, ImapError::Closed | ImapError::Io(_)) {
            self.last_events(|event| !flight.flying.is_empty() && flight.take(event).is_ok());
        }
    }

    fn part(
        &mut self,
        tag: u32,
        part: &Part,
        on: &mut impl FnMut(Event<io::Sink>) -> Result<(), ImapError>,
    ) -> Result<Option<ImapError>, ImapError> {
        match part {
            Part::Text(text) => self.write(text.as_bytes())?,
            Part::Literal(octets) => {
                if let Some(refusal) = self.announce(tag, octets.len() as u64, on)? {
                    return Ok(Some(refusal));
                }
                self.write(octets)?;
            }
        }
        Ok(None)
    }

    /// What stands between the mailbox and the message.
    fn head(&self, message: &Append<'_>) -> Result<String, ImapError> {
        if self.append_limit().is_some_and(|most| message.length > most) {
            return Err(ImapError::No(Some(Code::TooBig)));
        }
        let mut head = format!(" ({}) ", flag_list("", &message.flags)?);
        if let Some(date) = &message.internal_date {
            head.push_str(&quoted(on_one_line(date)?));
            head.push(' ');
        }
        Ok(head)
    }

    /// Sends a message's octets but for the last one, if there is one, which comes back.
    fn pour(&mut self, message: &mut Append<'_>) -> Result<Option<u8>, ImapError> {
        let mut buffer = vec![0; 64 << 10];
        let (mut left, mut last) = (message.length, None);
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = match message.octets.read(buffer.get_mut(..most).unwrap_or_default()) {
                Ok(0) => return Err(ImapError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ImapError::Io(error)),
            };
            left = left.saturating_sub(read as u64);
            let mut octets = buffer.get(..read).unwrap_or_default();
            if left == 0 {
                (last, octets) = octets.split_last().map_or((None, octets), |(last, most)| (Some(*last), most));
            }
            self.write(octets)?;
        }
        Ok(last)
    }
}

/// Messages sent and not yet answered, and what became of the others.
struct Flight {
    /// Tags and places.
    flying: VecDeque<(u32, usize)>,
    done: Vec<Option<Appended>>,
}

/// Without leave, the session ends.
fn asked(ask: &mut Option<Ask<'_>>, number: usize, moment: Moment) -> Result<(), ImapError> {
    match ask.as_mut().map(|ask| ask(number, moment)) {
        None | Some(Leave::Granted) => Ok(()),
        Some(Leave::Withdrawn) => Err(ImapError::Withdrawn),
    }
}

impl Flight {
    /// What is not done and not in the air, the server cannot have.
    fn rest_was_not_sent(&mut self) {
        for (number, done) in self.done.iter_mut().enumerate() {
            if done.is_none() && !self.flying.iter().any(|(_, flying)| *flying == number) {
                *done = Some(Err(ImapError::NotSent));
            }
        }
    }

    fn take(&mut self, event: Event<io::Sink>) -> Result<(), ImapError> {
        let Event::Tagged(tag, reply) = event else { return Ok(()) };
        let at = self.flying.iter().position(|(flying, _)| *flying == tag);
        let Some((_, number)) = at.and_then(|at| self.flying.remove(at)) else {
            return Err(ImapError::Protocol("an answer to nothing"));
        };
        let uids =
            |reply: Reply| together(&reply).filter(|uids| uids.len() == 1).and_then(|uids| uids.first().copied());
        self.settle(number, done(reply).map(uids));
        Ok(())
    }

    fn settle(&mut self, number: usize, appended: Appended) {
        if let Some(done) = self.done.get_mut(number) {
            *done = Some(appended);
        }
    }
}

/// `APPENDUID 7 3:5`. As many as were sent can stand there, and no more are made of a hostile range.
fn together(reply: &Reply) -> Option<Vec<AppendUid>> {
    let (validity, uids) = reply.code("APPENDUID")?.split_once(' ')?;
    let validity = validity.parse().ok().filter(|validity| *validity != 0)?;
    let uids = UidSet::parse_ascending(uids)?;
    let few = uids.len() <= limit::LIST_ITEMS as u64;
    few.then(|| uids.iter().map(|uid| AppendUid { validity, uid }).collect())
}
