//! One mail program's session: commands in, answers out (RFC 3501 §3, §6).
//!
//! In: a connection from loopback. Out: nothing but answers to it. Each capability that is told works.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wire::imap::server::{Command, Incoming, Stage, StatusItem};

use super::fetch::Desk;
use super::link::Link;
use super::listing;
use super::places::Place;
use super::settings::Bridge;
use super::telling::Telling;
use crate::answer::{Answer, tagged, untagged};
use crate::depot::{Access, Arrangement, Depot, Leave, Pace, ReachError};

/// A session.
pub(crate) struct Session<'b> {
    pub(crate) bridge: &'b Bridge,
    pub(crate) link: Link,
    pub(crate) stop: &'b AtomicBool,
    /// Leads to the mail, once the client has logged in.
    pub(crate) door: &'b Door<'b>,
    /// There when the client has logged in.
    pub(crate) desk: Option<Desk<'b>>,
    pub(crate) wrong: u32,
    pub(crate) place: &'b Place<'b>,
    began: Instant,
    heard: Instant,
}

/// Opens the way to the mail.
pub(crate) type Door<'b> = dyn Fn() -> Result<Box<dyn Depot + 'b>, ReachError> + Sync + 'b;

/// Before the client has logged in; afterwards it is told the rest, and what hangs on where the mail lies.
const BEFORE: &str = "IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN";
/// Before that, where a password may only come within TLS (RFC 2595 §3.2).
const IN_CLEAR: &str = "IMAP4rev1 LITERAL+ ID STARTTLS LOGINDISABLED";
const AFTER: &str = "IMAP4rev1 LITERAL+ ID ENABLE IDLE NAMESPACE UNSELECT ESEARCH SEARCHRES SORT ESORT THREAD=ORDEREDSUBJECT \
                     THREAD=REFERENCES WITHIN LIST-EXTENDED LIST-STATUS BINARY PREVIEW UTF8=ACCEPT";
/// A session in which nothing is said so long ends (RFC 3501 §5.4).
pub(crate) const SILENT: Duration = Duration::from_secs(35 * 60);
/// Who has not logged in so long after he came goes again: programs do it at once.
pub(crate) const NEWCOMER: Duration = Duration::from_secs(20);
/// Wrong passwords in one session.
const MAX_WRONG: u32 = 3;

/// Said before a session ends that has lost the mail.
const UNREACHABLE: &str = "[UNAVAILABLE] the mail cannot be reached any more";

/// Whether the command was done is not known: it was on its way.
fn lost_for_a_moment() -> Answer {
    Answer::no("[UNAVAILABLE] the server was lost for a moment: look, and ask again")
}

/// What follows a command.
pub(crate) enum Then {
    Answer(Answer),
    /// It was answered.
    GoOn,
    Leave,
}

impl<'b> Session<'b> {
    pub(crate) fn new(
        bridge: &'b Bridge,
        door: &'b Door<'b>,
        link: Link,
        place: &'b Place<'b>,
        stop: &'b AtomicBool,
    ) -> Self {
        let now = Instant::now();
        Self { bridge, link, stop, door, desk: None, wrong: 0, place, began: now, heard: now }
    }

    /// Leads the session to its end.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let names = self.capabilities();
        untagged(self.link.sink(), &format!("OK [CAPABILITY {names}] Sealpost"))?;
        self.link.sink().flush()?;
        loop {
            match self.link.incoming()? {
                Incoming::Nothing if self.is_over() => return self.bye("the session ends"),
                Incoming::Nothing => continue,
                Incoming::Closed => return self.bye("the connection was closed"),
                Incoming::Gone => return self.bye("too long, or too much that cannot be understood"),
                // Commands without a pause give nobody more time.
                _ if self.desk.is_none() && self.must_go() => return self.bye("another one may log in"),
                Incoming::Bad(tag, why) => {
                    tagged(self.link.sink(), tag.as_deref().unwrap_or("*"), &Answer::Bad(why))?;
                }
                Incoming::Append(tag, order, literal) => {
                    let answer = self.append(&order, literal)?;
                    self.tell_changes(Pace::Asked)?;
                    if !self.answer_or_recover(&tag, answer, Telling::All)? {
                        return self.bye(UNREACHABLE);
                    }
                }
                Incoming::Command(tag, command) => {
                    let telling = Telling::of(&command);
                    match self.obey(&tag, command)? {
                        Then::Answer(answer) => {
                            if !self.answer_or_recover(&tag, answer, telling)? {
                                return self.bye(UNREACHABLE);
                            }
                        }
                        Then::GoOn => {}
                        Then::Leave => return Ok(()),
                    }
                }
            }
            self.heard = Instant::now();
        }
    }

    /// Ends a command. When the mail was lost meanwhile, whatever was answered may be half of the truth: another way to it is looked for. False: there is none.
    fn answer_or_recover(&mut self, tag: &str, answer: Answer, telling: Telling) -> io::Result<bool> {
        let lost = self.has_lost_the_mail();
        if lost && !self.recover(telling)? {
            return Ok(false);
        }
        tagged(self.link.sink(), tag, &if lost { lost_for_a_moment() } else { answer })?;
        Ok(true)
    }

    fn bye(&mut self, why: &str) -> io::Result<()> {
        untagged(self.link.sink(), &format!("BYE {why}"))?;
        self.link.sink().flush()
    }

    fn has_lost_the_mail(&self) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.depot.is_over())
    }

    fn is_over(&self) -> bool {
        let is_late = match self.desk {
            Some(_) => self.heard.elapsed() > SILENT,
            None => self.must_go(),
        };
        self.stop.load(Ordering::Relaxed) || is_late
    }

    /// Whether a newcomer has had his time, or another one needs his place.
    pub(crate) fn must_go(&self) -> bool {
        self.place.is_over() || self.began.elapsed() > NEWCOMER
    }

    fn obey(&mut self, tag: &str, command: Command) -> io::Result<Then> {
        let is_selected = self.desk.as_ref().is_some_and(|desk| desk.selected.is_some());
        match command.stage() {
            Stage::Before if self.desk.is_some() => return Ok(Then::Answer(Answer::Bad("you are logged in"))),
            Stage::Authenticated | Stage::Selected if self.desk.is_none() => {
                return Ok(Then::Answer(Answer::Bad("log in first")));
            }
            Stage::Selected if !is_selected => return Ok(Then::Answer(Answer::Bad("select a mailbox first"))),
            _ => {}
        }
        let answer = match command {
            Command::Logout => {
                untagged(self.link.sink(), "BYE until next time")?;
                tagged(self.link.sink(), tag, &Answer::ok("done"))?;
                return Ok(Then::Leave);
            }
            Command::StartTls => return self.start_tls(tag),
            Command::Compress => return self.compress(tag),
            Command::Login(..) | Command::Authenticate(..) if !self.may_log_in() => {
                Answer::no("[PRIVACYREQUIRED] STARTTLS first")
            }
            Command::Login(user, password) => self.log_in(&user, &password),
            Command::Authenticate(mechanism, initial) => self.authenticate(&mechanism, initial)?,
            Command::Idle => self.idle()?,
            other => match self.within(tag, other)? {
                Some(answer) => answer,
                None => Answer::Bad("not now"),
            },
        };
        if self.wrong >= MAX_WRONG {
            tagged(self.link.sink(), tag, &answer)?;
            self.bye("too many wrong passwords")?;
            return Ok(Then::Leave);
        }
        Ok(Then::Answer(answer))
    }

    /// What the client is told that it may use.
    pub(crate) fn capabilities(&mut self) -> String {
        let (may_log_in, may_compress) = (self.may_log_in(), self.may_compress());
        match &self.desk {
            None if may_log_in => BEFORE.to_owned(),
            None => IN_CLEAR.to_owned(),
            Some(desk) => {
                let (offers, limit) = (desk.depot.offers(), desk.depot.append_limit());
                let packs = if may_compress { " COMPRESS=DEFLATE" } else { "" };
                format!("{AFTER}{packs} APPENDLIMIT={limit} {offers}").trim_end().to_owned()
            }
        }
    }

    /// Commands that say nothing of the session itself.
    fn within(&mut self, tag: &str, command: Command) -> io::Result<Option<Answer>> {
        Ok(Some(match command {
            Command::Capability => {
                let names = self.capabilities();
                untagged(self.link.sink(), &format!("CAPABILITY {names}"))?;
                Answer::ok("done")
            }
            Command::Id => {
                untagged(self.link.sink(), "ID (\"name\" \"Sealpost\")")?;
                Answer::ok("done")
            }
            Command::Enable(names) => self.enable(&names)?,
            Command::Noop | Command::Check => {
                self.tell_changes(Pace::Asked)?;
                Answer::ok("done")
            }
            Command::Select(name, resume) => self.select(&name, Access::Write, &resume)?,
            Command::Examine(name, resume) => self.select(&name, Access::Read, &resume)?,
            Command::Close => self.close(),
            Command::Unselect => {
                self.leave();
                Answer::ok("done")
            }
            Command::Expunge(uids) => self.expunge(uids.as_ref())?,
            Command::Search(which, asked) => self.search(tag, which, asked)?,
            Command::Sort(which, keys, asked) => self.sort(tag, which, &keys, asked)?,
            Command::Thread(which, algorithm, asked) => self.thread(which, algorithm, asked)?,
            Command::Fetch(which, set, items, since) => self.fetch(which, &set, items, since)?,
            Command::Store(which, set, unchanged, kind, silence, flags) => {
                self.store(which, &set, unchanged, (kind, silence), &flags)?
            }
            Command::Copy(which, set, name) => self.carry(which, &set, &name, Leave::Stay)?,
            Command::Move(which, set, name) => self.carry(which, &set, &name, Leave::Go)?,
            other => return self.of_mailboxes(other),
        }))
    }

    /// Commands about mailboxes by name.
    fn of_mailboxes(&mut self, command: Command) -> io::Result<Option<Answer>> {
        let Some(desk) = &mut self.desk else { return Ok(None) };
        let names = desk.wishes.names;
        let (depot, out) = (&mut desk.depot, self.link.sink());
        Ok(Some(match command {
            Command::Create(name) => depot.arrange(&Arrangement::Create(name)),
            Command::Delete(name) => depot.arrange(&Arrangement::Delete(name)),
            Command::Rename(from, to) => depot.arrange(&Arrangement::Rename(from, to)),
            Command::Subscribe(name) => depot.arrange(&Arrangement::Subscribe(name)),
            Command::Unsubscribe(name) => depot.arrange(&Arrangement::Unsubscribe(name)),
            Command::List(order) => {
                let mut told = Vec::new();
                let answer = listing::list(depot.as_mut(), &order, names, &mut told, out)?;
                if let (Some(index), Answer::Ok(_), true) = (&desk.index, &answer, order.is_of_all()) {
                    // What is kept of others is in nobody's way.
                    let _ = index.keep_mailboxes(&told);
                }
                answer
            }
            Command::Lsub(pattern) => listing::lsub(depot.as_mut(), &pattern, names, out)?,
            Command::Namespace => match depot.namespaces() {
                Ok(namespaces) => {
                    untagged(out, &format!("NAMESPACE {namespaces}"))?;
                    Answer::ok("done")
                }
                Err(answer) => answer,
            },
            Command::Status(name, items) => {
                desk.wishes.changes |= items.contains(&StatusItem::HighestModSeq) && depot.counts_changes();
                depot.status(&name, &items, names, out)?
            }
            _ => return Ok(None),
        }))
    }
}
