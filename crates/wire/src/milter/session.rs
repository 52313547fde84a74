//! One connection of a mail server, from its offer to its end.
//!
//! In: a stream. Out: events, in an order that makes sense. An event that was not answered is answered with "not now" before the next one is asked for:
//! what nobody has decided does not pass.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::milter::agreement::{Actions, Agreement, Disagreement, Steps};
use crate::milter::answer::{Answer, Blank, Change, Unsayable};
use crate::milter::event::{Command, Event};
use crate::milter::macros::Macros;
use crate::milter::{limit, packet};
use crate::smtp::lines::{Gone, Lines};
use crate::smtp::server::Activity;
use crate::smtp::{Duplex, Reply};

/// How connections are led.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Changes without which there is no use in a connection.
    pub needs: Actions,
    /// Changes that are asked for where they are offered.
    pub wishes: Actions,
    /// Octets of the largest message.
    pub max_message: u64,
    /// Recipients of a message.
    pub max_recipients: usize,
    /// How long the mail server may say nothing.
    pub command_time: Duration,
}

/// Why a connection is over before its time. The mail server does then what it is configured to (`milter_default_action`).
#[derive(Debug, thiserror::Error)]
pub enum MilterError {
    /// The mail server ended the connection.
    #[error("the mail server ended the connection")]
    Closed,
    /// Nothing came in time.
    #[error("nothing came in time")]
    TimedOut,
    /// What came is not this protocol, or not in its order.
    #[error("the mail server does not speak the milter protocol")]
    Protocol,
    /// The mail server does not offer what is needed.
    #[error("the mail server does not offer {0}")]
    Lacks(&'static str),
    /// A change that was not agreed upon, or an answer or change at the wrong moment. Nothing was sent.
    #[error("not to be said here")]
    NotNow,
    /// An answer or a change that cannot be written. Nothing was sent.
    #[error("it cannot be said: {0}")]
    Unsayable(#[from] Unsayable),
    /// It was asked to end.
    #[error("it was asked to end")]
    Ended,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

/// What waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Mail,
    Rcpt,
    Data,
    EndOfHeaders,
    Body,
    End,
}

/// Where the mail server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No message is under way.
    Between,
    /// MAIL was accepted.
    Envelope,
    /// Its content comes.
    Content,
    /// So much came that the rest is not shown.
    TooLarge,
}

/// A connection.
pub struct Session {
    settings: Arc<Settings>,
    activity: Arc<Activity>,
    lines: Lines,
    agreement: Agreement,
    macros: Macros,
    stage: Stage,
    due: Due,
    octets: u64,
    recipients: usize,
    /// No more of the body is wanted.
    skips: bool,
}

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

impl Settings {
    /// The usual ones; `needs` as in [`Settings::needs`].
    pub fn new(needs: Actions) -> Settings {
        Settings {
            needs,
            wishes: Actions::NONE,
            max_message: 100 * 1024 * 1024,
            max_recipients: crate::smtp::limit::RECIPIENTS,
            command_time: limit::COMMAND_TIME,
        }
    }
}

impl Session {
    /// Comes to an agreement with the mail server.
    pub async fn begin(
        stream: Box<dyn Duplex>,
        settings: Arc<Settings>,
        activity: Arc<Activity>,
    ) -> Result<Session, MilterError> {
        let mut session = Session {
            settings,
            activity,
            lines: Lines::new(stream),
            agreement: Agreement::default(),
            macros: Macros::default(),
            stage: Stage::Between,
            due: Due::Nothing,
            octets: 0,
            recipients: 0,
            skips: false,
        };
        let Command::Negotiate(offer) = session.command().await? else { return Err(MilterError::Protocol) };
        let agreement = Agreement::of(&offer, session.settings.needs, session.settings.wishes);
        session.agreement = agreement.map_err(|why| match why {
            Disagreement::Unreadable => MilterError::Protocol,
            Disagreement::Lacks(what) => MilterError::Lacks(what),
        })?;
        let mut octets = Vec::new();
        packet::write(b'O', &[&session.agreement.octets()], &mut octets);
        session.put(&octets).await?;
        Ok(session)
    }

    /// What may be changed.
    pub fn actions(&self) -> Actions {
        self.agreement.actions
    }

    /// Are header fields shown as they are? Else a blank behind the colon is made up where there was none.
    pub fn shows_blanks(&self) -> bool {
        self.agreement.steps.has(Steps::LEADING_BLANK)
    }

    /// What the mail server calls this; the name without braces: `i` is its own name for the message.
    pub fn told(&self, name: &str) -> Option<&str> {
        self.macros.get(name)
    }

    /// The next event.
    pub async fn next(&mut self) -> Result<Event, MilterError> {
        if self.due != Due::Nothing {
            self.answer(&Answer::TempFail).await?;
        }
        loop {
            let command = self.command().await?;
            if let Some(event) = self.obey(command).await? {
                return Ok(event);
            }
        }
    }

    /// Answers an event that needs an answer.
    pub async fn answer(&mut self, answer: &Answer) -> Result<(), MilterError> {
        let answer = match (answer, self.due) {
            (_, Due::Nothing) => return Err(MilterError::NotNow),
            (Answer::Skip, Due::Body) => {
                self.skips = true;
                if self.agreement.steps.has(Steps::SKIP) { answer } else { &Answer::Continue }
            }
            (Answer::Skip, _) => return Err(MilterError::NotNow),
            _ => answer,
        };
        let mut octets = Vec::new();
        answer.write(&mut octets)?;
        self.put(&octets).await?;
        let goes_on = matches!(answer, Answer::Continue | Answer::Skip);
        let due = std::mem::replace(&mut self.due, Due::Nothing);
        match due {
            Due::Mail if goes_on => self.stage = Stage::Envelope,
            Due::Rcpt if goes_on => self.recipients = self.recipients.saturating_add(1),
            // One recipient less; the others stay.
            Due::Rcpt if !matches!(answer, Answer::Accept | Answer::Discard) => {}
            Due::Data | Due::EndOfHeaders | Due::Body if goes_on => {}
            _ => self.over(),
        }
        Ok(())
    }

    /// Changes the message; between [`Event::EndOfMessage`] and the answer to it.
    pub async fn change(&mut self, change: &Change<'_>) -> Result<(), MilterError> {
        if self.due != Due::End || !self.agreement.actions.has(change.needs()) {
            return Err(MilterError::NotNow);
        }
        let blank = if self.shows_blanks() { Blank::Ours } else { Blank::Theirs };
        let mut octets = Vec::new();
        change.write(blank, &mut octets)?;
        self.put(&octets).await
    }

    /// Tells the mail server that the answer takes more time, and lets it wait anew.
    pub async fn progress(&mut self) -> Result<(), MilterError> {
        if self.due == Due::Nothing {
            return Err(MilterError::NotNow);
        }
        let mut octets = Vec::new();
        packet::write(b'p', &[], &mut octets);
        self.put(&octets).await?;
        Ok(self.lines.flush(self.settings.command_time).await?)
    }

    /// Ends the connection.
    pub async fn end(self) {
        self.lines.close(FAREWELL).await;
    }

    /// What is made of a command; none: it was dealt with here.
    async fn obey(&mut self, command: Command) -> Result<Option<Event>, MilterError> {
        match command {
            Command::Macros(data) => {
                if !self.macros.take(&data) {
                    return Err(MilterError::Protocol);
                }
                Ok(None)
            }
            Command::Connect(peer) => self.told_by(Event::Connect(peer), Steps::SILENT_CONNECT).await,
            Command::Helo(name) => self.told_by(Event::Helo(name), Steps::SILENT_HELO).await,
            Command::Unknown => {
                self.say(&Answer::Continue).await?;
                Ok(Some(Event::Unknown))
            }
            Command::Mail(mail) => self.mail(mail).await,
            Command::Rcpt(to) => self.rcpt(to).await,
            Command::Abort => {
                let under_way = self.stage != Stage::Between;
                self.over();
                Ok(under_way.then_some(Event::Abort))
            }
            Command::NextConnection => {
                self.over();
                self.macros.clear();
                Ok(Some(Event::NextConnection))
            }
            Command::Quit => Ok(Some(Event::Quit)),
            // Agreed upon already.
            Command::Negotiate(_) => Err(MilterError::Protocol),
            content => self.content(content).await,
        }
    }

    /// An event that needs no answer of the caller; the mail server may need one.
    async fn told_by(&mut self, event: Event, silent: Steps) -> Result<Option<Event>, MilterError> {
        if !self.agreement.steps.has(silent) {
            self.say(&Answer::Continue).await?;
        }
        Ok(Some(event))
    }

    async fn mail(&mut self, mail: Option<crate::smtp::MailFrom>) -> Result<Option<Event>, MilterError> {
        self.reset();
        self.macros.begin_of_message();
        let Some(mail) = mail else {
            self.refuse(553, (5, 1, 7), "the sender cannot be read").await?;
            return Ok(None);
        };
        self.due = Due::Mail;
        Ok(Some(Event::Mail(mail)))
    }

    async fn rcpt(&mut self, to: Option<crate::smtp::RcptTo>) -> Result<Option<Event>, MilterError> {
        match (self.stage, to) {
            (Stage::Envelope, _) if self.recipients >= self.settings.max_recipients => {
                self.refuse(452, (4, 5, 3), "too many recipients").await?;
                Ok(None)
            }
            (Stage::Envelope, None) => {
                self.refuse(553, (5, 1, 3), "the recipient cannot be read").await?;
                Ok(None)
            }
            (Stage::Envelope, Some(to)) => {
                self.due = Due::Rcpt;
                Ok(Some(Event::Rcpt(to)))
            }
            _ => Err(MilterError::Protocol),
        }
    }

    /// The content of a message. What goes beyond the limit is not shown, and the message is refused as soon as that can be said.
    async fn content(&mut self, content: Command) -> Result<Option<Event>, MilterError> {
        let length = match &content {
            Command::Header(name, value) => name.len().saturating_add(value.len()).saturating_add(3),
            Command::Body(octets) | Command::End(octets) => octets.len(),
            _ => 0,
        };
        self.octets = self.octets.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.stage = match self.stage {
            Stage::Between => return Err(MilterError::Protocol),
            _ if self.octets > self.settings.max_message => Stage::TooLarge,
            Stage::TooLarge => Stage::TooLarge,
            Stage::Envelope | Stage::Content => Stage::Content,
        };
        if let Command::Header(name, value) = content {
            return self.header(name, value).await;
        }
        if self.stage == Stage::TooLarge {
            self.refuse(552, (5, 3, 4), "the message is too large").await?;
            self.over();
            return Ok(Some(Event::Abort));
        }
        let (due, event) = match content {
            Command::Data => {
                self.stage = Stage::Envelope;
                (Due::Data, Event::Data)
            }
            Command::EndOfHeaders => (Due::EndOfHeaders, Event::EndOfHeaders),
            Command::Body(_) if self.skips => {
                self.say(&Answer::Continue).await?;
                return Ok(None);
            }
            Command::Body(octets) => (Due::Body, Event::Body(octets)),
            Command::End(octets) => (Due::End, Event::EndOfMessage(if self.skips { Vec::new() } else { octets })),
            _ => return Err(MilterError::Protocol),
        };
        self.due = due;
        Ok(Some(event))
    }

    async fn header(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<Option<Event>, MilterError> {
        if !self.agreement.steps.has(Steps::SILENT_HEADERS) {
            self.say(&Answer::Continue).await?;
        }
        if self.stage == Stage::TooLarge {
            return Ok(None);
        }
        let value = if self.shows_blanks() { value } else { [b" ".as_slice(), &value].concat() };
        Ok(Some(Event::Header { name, value }))
    }

    /// No message is under way; what was told of it is forgotten.
    fn over(&mut self) {
        self.reset();
        self.macros.end_of_message();
    }

    fn reset(&mut self) {
        (self.stage, self.due, self.octets, self.recipients, self.skips) = (Stage::Between, Due::Nothing, 0, 0, false);
    }

    async fn refuse(&mut self, code: u16, status: (u16, u16, u16), text: &str) -> Result<(), MilterError> {
        self.say(&Answer::Reply(Reply::new(code, status, text))).await
    }

    async fn say(&mut self, answer: &Answer) -> Result<(), MilterError> {
        let mut octets = Vec::new();
        answer.write(&mut octets)?;
        self.put(&octets).await
    }

    async fn put(&mut self, octets: &[u8]) -> Result<(), MilterError> {
        Ok(self.lines.put(octets, self.settings.command_time).await?)
    }

    /// The next command; what is to be said is sent before it is waited for.
    async fn command(&mut self) -> Result<Command, MilterError> {
        let patience = self.settings.command_time;
        if !packet::is_here(&self.lines) {
            self.lines.flush(patience).await?;
        }
        let activity = Arc::clone(&self.activity);
        loop {
            let idle = self.stage == Stage::Between && !self.lines.has_more();
            if activity.is_evicted() || idle && activity.is_draining() {
                return Err(MilterError::Ended);
            }
            activity.waits();
            tokio::select! {
                read = packet::read(&mut self.lines, patience) => {
                    activity.works();
                    return Command::parse(read?).ok_or(MilterError::Protocol);
                }
                () = activity.asked() => {}
            }
        }
    }
}

impl From<Gone> for MilterError {
    fn from(gone: Gone) -> MilterError {
        match gone {
            Gone::Closed => MilterError::Closed,
            Gone::TimedOut => MilterError::TimedOut,
            Gone::TooLong | Gone::BareLineEnd => MilterError::Protocol,
            Gone::Io(error) => MilterError::Io(error),
        }
    }
}
