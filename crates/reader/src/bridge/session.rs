//! One mail program's session: commands in, answers out (RFC 3501 §3, §6).
//!
//! In: a connection from loopback. Out: nothing but answers to it. Each capability that is told works.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use store::{Database, Flags, Mailbox, Maildir};
use wire::MailboxName;
use wire::imap::server::{
    AppendOrder, Command, FetchItem, Flag, Incoming, Literal, MAX_APPEND, SearchKey, SequenceSet, Silence, Stage,
    StoreKind, Which,
};
use zeroize::Zeroizing;

use super::append;
use super::change::Leave;
use super::fetch::Desk;
use super::flags::{PERMANENT, Recent};
use super::link::{Answer, Link, tagged, untagged};
use super::names;
use super::search::{CHARSETS, prepare};
use super::selected::{Access, Changes, LookError, Selected};
use super::settings::Bridge;
use super::view::Trouble;

/// A session.
pub(crate) struct Session<'b> {
    bridge: &'b Bridge,
    database: &'b Database,
    maildir: &'b Maildir,
    link: Link,
    stop: &'b AtomicBool,
    authenticated: bool,
    wrong: u32,
    desk: Option<Desk<'b>>,
    heard: Instant,
}

/// Before the client has logged in; afterwards it is told the rest.
const BEFORE: &str = "IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN";
const AFTER: &str = "IMAP4rev1 LITERAL+ ID ENABLE IDLE NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE";
/// A session in which nothing is said so long ends (RFC 3501 §5.4).
const SILENT: Duration = Duration::from_secs(35 * 60);
/// The same before the client has logged in, and in the middle of a message.
const IMPATIENT: Duration = Duration::from_secs(60);
/// Wrong passwords in one session.
const MAX_WRONG: u32 = 3;
/// After a wrong password.
const PAUSE: Duration = Duration::from_secs(1);

/// What follows a command.
enum Then {
    Answer(Answer),
    Leave,
}

impl<'b> Session<'b> {
    pub(crate) fn new(
        bridge: &'b Bridge,
        database: &'b Database,
        maildir: &'b Maildir,
        link: Link,
        stop: &'b AtomicBool,
    ) -> Self {
        let heard = Instant::now();
        Self { bridge, database, maildir, link, stop, authenticated: false, wrong: 0, desk: None, heard }
    }

    /// Leads the session to its end.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        untagged(self.link.sink(), &format!("OK [CAPABILITY {BEFORE}] Sealpost"))?;
        self.link.sink().flush()?;
        loop {
            match self.link.incoming()? {
                Incoming::Nothing if self.is_over() => {
                    untagged(self.link.sink(), "BYE the session ends")?;
                    return self.link.sink().flush();
                }
                Incoming::Nothing => continue,
                Incoming::Gone => {
                    untagged(self.link.sink(), "BYE too long, or too much that cannot be understood")?;
                    return self.link.sink().flush();
                }
                Incoming::Bad(tag, why) => {
                    tagged(self.link.sink(), tag.as_deref().unwrap_or("*"), &Answer::Bad(why))?;
                }
                Incoming::Append(tag, order, literal) => {
                    let answer = self.append(&order, literal)?;
                    self.tell_changes()?;
                    tagged(self.link.sink(), &tag, &answer)?;
                }
                Incoming::Command(tag, command) => match self.obey(&tag, command)? {
                    Then::Answer(answer) => tagged(self.link.sink(), &tag, &answer)?,
                    Then::Leave => return Ok(()),
                },
            }
            self.heard = Instant::now();
        }
    }

    fn is_over(&self) -> bool {
        let patience = if self.authenticated { SILENT } else { IMPATIENT };
        self.stop.load(Ordering::Relaxed) || self.heard.elapsed() > patience
    }

    fn obey(&mut self, tag: &str, command: Command) -> io::Result<Then> {
        match command.stage() {
            Stage::Before if self.authenticated => return Ok(Then::Answer(Answer::Bad("you are logged in"))),
            Stage::Authenticated | Stage::Selected if !self.authenticated => {
                return Ok(Then::Answer(Answer::Bad("log in first")));
            }
            Stage::Selected if self.desk.is_none() => {
                return Ok(Then::Answer(Answer::Bad("select a mailbox first")));
            }
            _ => {}
        }
        let answer = match command {
            Command::Logout => {
                untagged(self.link.sink(), "BYE until next time")?;
                tagged(self.link.sink(), tag, &Answer::ok("done"))?;
                return Ok(Then::Leave);
            }
            Command::Login(user, password) => self.log_in(&user, &password),
            Command::Authenticate(mechanism, initial) => self.authenticate(&mechanism, initial)?,
            Command::Idle => self.idle()?,
            other => match self.within(other)? {
                Some(answer) => answer,
                None => Answer::Bad("not now"),
            },
        };
        if self.wrong >= MAX_WRONG {
            tagged(self.link.sink(), tag, &answer)?;
            untagged(self.link.sink(), "BYE too many wrong passwords")?;
            self.link.sink().flush()?;
            return Ok(Then::Leave);
        }
        Ok(Then::Answer(answer))
    }

    /// Commands that say nothing of the session itself.
    fn within(&mut self, command: Command) -> io::Result<Option<Answer>> {
        Ok(Some(match command {
            Command::Capability => {
                let names = if self.authenticated { AFTER } else { BEFORE };
                untagged(self.link.sink(), &format!("CAPABILITY {names}"))?;
                Answer::ok("done")
            }
            Command::Id => {
                untagged(self.link.sink(), "ID (\"name\" \"Sealpost\")")?;
                Answer::ok("done")
            }
            // None of what may be enabled is offered.
            Command::Enable(_) => {
                untagged(self.link.sink(), "ENABLED")?;
                Answer::ok("done")
            }
            Command::Noop | Command::Check => {
                self.tell_changes()?;
                Answer::ok("done")
            }
            Command::Select(name) => self.select(&name, Access::Write)?,
            Command::Examine(name) => self.select(&name, Access::Read)?,
            Command::Create(name) => names::create(self.maildir, &name),
            Command::Delete(_) => Answer::no("[CANNOT] mailboxes are not removed here"),
            Command::Rename(..) => Answer::no("[CANNOT] mailboxes are not renamed here"),
            Command::Subscribe(name) => match names::find(self.maildir, &name) {
                Ok(Some(_)) => Answer::ok("all mailboxes are subscribed"),
                Ok(None) => Answer::nonexistent(),
                Err(_) => Answer::unreadable(),
            },
            Command::Unsubscribe(_) => Answer::no("[CANNOT] all mailboxes are subscribed"),
            Command::List(pattern) => names::list(self.maildir, "LIST", &pattern, self.link.sink())?,
            Command::Lsub(pattern) => names::list(self.maildir, "LSUB", &pattern, self.link.sink())?,
            Command::Namespace => {
                untagged(self.link.sink(), "NAMESPACE ((\"\" \"/\")) NIL NIL")?;
                Answer::ok("done")
            }
            Command::Status(name, items) => {
                names::status(self.database, self.maildir, &name, &items, self.link.sink())?
            }
            Command::Close => self.close(),
            Command::Unselect => {
                self.desk = None;
                Answer::ok("done")
            }
            Command::Expunge(uids) => self.expunge(uids.as_ref())?,
            Command::Search(which, charset, key) => self.search(which, charset.as_deref(), key)?,
            Command::Fetch(which, set, items) => self.fetch(which, &set, items)?,
            Command::Store(which, set, kind, silence, flags) => self.store(which, &set, kind, silence, &flags)?,
            Command::Copy(which, set, name) => self.carry(which, &set, &name, Leave::Stay)?,
            Command::Move(which, set, name) => self.carry(which, &set, &name, Leave::Go)?,
            Command::Logout | Command::Login(..) | Command::Authenticate(..) | Command::Idle => return Ok(None),
        }))
    }

    fn log_in(&mut self, user: &[u8], password: &[u8]) -> Answer {
        let known = user.eq_ignore_ascii_case(self.bridge.user.as_bytes());
        // Asked either way: the time that it takes tells nothing.
        if self.bridge.password.is(password) && known {
            self.authenticated = true;
            return Answer::Ok(format!("[CAPABILITY {AFTER}] logged in"));
        }
        self.wrong = self.wrong.saturating_add(1);
        std::thread::sleep(PAUSE);
        Answer::no("[AUTHENTICATIONFAILED] wrong user or password")
    }

    /// AUTHENTICATE PLAIN (RFC 4616).
    fn authenticate(&mut self, mechanism: &str, initial: Option<Zeroizing<Vec<u8>>>) -> io::Result<Answer> {
        if mechanism != "PLAIN" {
            return Ok(Answer::no("[CANNOT] only PLAIN and LOGIN"));
        }
        let response = match initial {
            Some(response) => response,
            None => {
                self.link.sink().write_all(b"+ \r\n")?;
                self.link.sink().flush()?;
                match self.wait_for_line(IMPATIENT)? {
                    Some(line) => line,
                    None => return Err(io::ErrorKind::TimedOut.into()),
                }
            }
        };
        if response.as_slice() == b"*" {
            return Ok(Answer::Bad("given up"));
        }
        let Ok(decoded) = STANDARD.decode_to_vec(response.as_slice()).map(Zeroizing::new) else {
            return Ok(Answer::Bad("no base64"));
        };
        let parts: Vec<&[u8]> = decoded.split(|octet| *octet == 0).collect();
        Ok(match parts.as_slice() {
            [_, user, password] => self.log_in(user, password),
            _ => Answer::Bad("no PLAIN response"),
        })
    }

    fn wait_for_line(&mut self, patience: Duration) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let began = Instant::now();
        while began.elapsed() < patience && !self.stop.load(Ordering::Relaxed) {
            if let Some(line) = self.link.line()? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn find(&self, name: &MailboxName) -> Result<Mailbox, Answer> {
        match names::find(self.maildir, name) {
            Ok(Some(mailbox)) => Ok(mailbox),
            Ok(None) => Err(Answer::nonexistent()),
            Err(_) => Err(Answer::unreadable()),
        }
    }

    fn select(&mut self, name: &MailboxName, access: Access) -> io::Result<Answer> {
        self.desk = None;
        let mailbox = match self.find(name) {
            Ok(mailbox) => mailbox,
            Err(answer) => return Ok(answer),
        };
        let selected = match Selected::open(self.database, self.maildir.root(), mailbox, access) {
            Ok(selected) => selected,
            Err(LookError::Scan(_)) => return Ok(Answer::unreadable()),
            Err(LookError::State(_)) => return Ok(Answer::state()),
        };
        let unseen = selected.items.iter().position(|item| !item.message.flags().contains(Flags::SEEN));
        let recent = selected.items.iter().filter(|item| item.recent == Recent::Yes).count();
        let out = self.link.sink();
        untagged(out, &format!("FLAGS ({})", PERMANENT.trim_end_matches(" \\*")))?;
        let permanent = if access == Access::Write { PERMANENT } else { "" };
        untagged(out, &format!("OK [PERMANENTFLAGS ({permanent})] these are kept"))?;
        untagged(out, &format!("{} EXISTS", selected.items.len()))?;
        untagged(out, &format!("{recent} RECENT"))?;
        if let Some(place) = unseen {
            untagged(out, &format!("OK [UNSEEN {}] the first that was not read", place.saturating_add(1)))?;
        }
        untagged(out, &format!("OK [UIDVALIDITY {}] as ever", selected.validity))?;
        untagged(out, &format!("OK [UIDNEXT {}] is next", selected.next))?;
        self.desk = Some(Desk::new(&self.bridge.mail, self.database, selected));
        Ok(match access {
            Access::Write => Answer::ok("[READ-WRITE] selected"),
            Access::Read => Answer::ok("[READ-ONLY] selected"),
        })
    }

    /// Tells what changed, and whether that was possible.
    fn tell_changes(&mut self) -> io::Result<()> {
        let Some(desk) = &mut self.desk else { return Ok(()) };
        // What cannot be read now is told later: the numbers that were told stay.
        let changes = desk.selected.refresh(self.database, self.maildir.root()).unwrap_or_default();
        let Changes { gone, exists, flagged } = changes;
        let out = self.link.sink();
        for number in gone {
            untagged(out, &format!("{number} EXPUNGE"))?;
        }
        if let Some(count) = exists {
            untagged(out, &format!("{count} EXISTS"))?;
            let recent = desk.selected.items.iter().filter(|item| item.recent == Recent::Yes).count();
            untagged(out, &format!("{recent} RECENT"))?;
        }
        for place in flagged {
            if let (Ok(flags), Ok(item)) = (desk.flags(place), desk.item(place)) {
                let line = format!("{} FETCH (UID {} FLAGS ({flags}))", place.saturating_add(1), item.uid);
                untagged(out, &line)?;
            }
        }
        Ok(())
    }

    fn idle(&mut self) -> io::Result<Answer> {
        self.link.sink().write_all(b"+ idling\r\n")?;
        let began = Instant::now();
        loop {
            self.tell_changes()?;
            self.link.sink().flush()?;
            // The stream's time-out sets the pace.
            match self.link.line()? {
                Some(line) if line.eq_ignore_ascii_case(b"DONE") => {
                    self.tell_changes()?;
                    return Ok(Answer::ok("done"));
                }
                Some(_) => return Ok(Answer::Bad("DONE ends IDLE")),
                None if self.stop.load(Ordering::Relaxed) || began.elapsed() > SILENT => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                None => {}
            }
        }
    }

    fn fetch(&mut self, which: Which, set: &SequenceSet, mut items: Vec<FetchItem>) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(places) = desk.selected.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        if which == Which::Uids && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        let (mut broken, mut gone, mut failed) = (0_usize, 0_usize, 0_usize);
        for place in places {
            match desk.fetch(place, &items, self.link.sink())? {
                Ok(()) => {}
                Err(Trouble::Broken) => broken = broken.saturating_add(1),
                Err(Trouble::Gone) => gone = gone.saturating_add(1),
                Err(Trouble::Io) => failed = failed.saturating_add(1),
            }
        }
        let noted = desk.note();
        if which == Which::Uids {
            self.tell_changes()?;
        }
        Ok(match (broken, failed, gone) {
            (0, 0, 0) if noted.is_err() => Answer::state(),
            (0, 0, 0) => Answer::ok("done"),
            (0, 0, _) => Answer::no("[EXPUNGEISSUED] some messages are gone"),
            (0, _, _) => Answer::no("[UNAVAILABLE] some messages cannot be read now"),
            _ => Answer::no("some sealed messages do not open: they are damaged or were changed"),
        })
    }

    fn search(&mut self, which: Which, charset: Option<&str>, key: SearchKey) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(key) = prepare(key, charset) else {
            return Ok(Answer::No(format!("[BADCHARSET ({CHARSETS})] this charset is not known")));
        };
        let mut found = String::from("SEARCH");
        for place in 0..desk.selected.items.len() {
            // What is gone or does not open has no text.
            if desk.matches(place, &key).unwrap_or_default()
                && let Ok(item) = desk.item(place)
            {
                let number = match which {
                    Which::Numbers => place.saturating_add(1).to_string(),
                    Which::Uids => item.uid.to_string(),
                };
                found.push(' ');
                found.push_str(&number);
            }
        }
        let noted = desk.note();
        untagged(self.link.sink(), &found)?;
        if which == Which::Uids {
            self.tell_changes()?;
        }
        Ok(if noted.is_ok() { Answer::ok("done") } else { Answer::state() })
    }

    fn store(
        &mut self,
        which: Which,
        set: &SequenceSet,
        kind: StoreKind,
        silence: Silence,
        flags: &[Flag],
    ) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        if desk.selected.access == Access::Read {
            return Ok(Answer::no("[READ-ONLY] the mailbox was opened with EXAMINE"));
        }
        let Some(places) = desk.selected.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        let Ok(failed) = desk.store(&places, kind, flags) else { return Ok(Answer::state()) };
        if silence == Silence::Loud {
            for place in places.iter().filter(|place| !failed.contains(place)) {
                if let (Ok(flags), Ok(item)) = (desk.flags(*place), desk.item(*place)) {
                    let uid = if which == Which::Uids { format!("UID {} ", item.uid) } else { String::new() };
                    let line = format!("{} FETCH ({uid}FLAGS ({flags}))", place.saturating_add(1));
                    untagged(self.link.sink(), &line)?;
                }
            }
        }
        if which == Which::Uids {
            self.tell_changes()?;
        }
        Ok(if failed.is_empty() { Answer::ok("done") } else { Answer::no("[EXPUNGEISSUED] some messages are gone") })
    }

    fn expunge(&mut self, uids: Option<&SequenceSet>) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        if desk.selected.access == Access::Read {
            return Ok(Answer::no("[READ-ONLY] the mailbox was opened with EXAMINE"));
        }
        let mut places = desk.deleted();
        if let Some(uids) = uids {
            let named = desk.selected.places(Which::Uids, uids).unwrap_or_default();
            places.retain(|place| named.binary_search(place).is_ok());
        }
        let failed = desk.expunge(&places);
        self.tell_changes()?;
        Ok(if failed == 0 { Answer::ok("done") } else { Answer::unreadable() })
    }

    fn close(&mut self) -> Answer {
        if let Some(mut desk) = self.desk.take()
            && desk.selected.access == Access::Write
        {
            let places = desk.deleted();
            if desk.expunge(&places) > 0 {
                return Answer::unreadable();
            }
        }
        Answer::ok("done")
    }

    fn carry(&mut self, which: Which, set: &SequenceSet, name: &MailboxName, leave: Leave) -> io::Result<Answer> {
        let to = match self.find(name) {
            Ok(mailbox) => mailbox,
            // The client may make it, and try again (RFC 3501 §6.4.7).
            Err(Answer::No(text)) => return Ok(Answer::No(text.replace("NONEXISTENT", "TRYCREATE"))),
            Err(other) => return Ok(other),
        };
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        if desk.selected.access == Access::Read && leave == Leave::Go {
            return Ok(Answer::no("[READ-ONLY] the mailbox was opened with EXAMINE"));
        }
        let Some(places) = desk.selected.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        let carried = match desk.carry(&places, &to, self.maildir, leave) {
            Ok(carried) => carried,
            Err(LookError::Scan(_)) => return Ok(Answer::unreadable()),
            Err(LookError::State(_)) => return Ok(Answer::state()),
        };
        let code = carried.code.map(|code| format!("[{code}] ")).unwrap_or_default();
        if leave == Leave::Go && !code.is_empty() {
            untagged(self.link.sink(), &format!("OK {code}moved"))?;
        }
        self.tell_changes()?;
        Ok(match (carried.failed, leave) {
            (0, Leave::Stay) => Answer::Ok(format!("{code}done")),
            (0, Leave::Go) => Answer::ok("done"),
            _ => Answer::no("some messages are gone, or could not be written"),
        })
    }

    fn append(&mut self, order: &AppendOrder, literal: Literal) -> io::Result<Answer> {
        let began = Instant::now();
        let stop = self.stop;
        let mut patience = || !stop.load(Ordering::Relaxed) && began.elapsed() < SILENT;
        let refusal = if !self.authenticated {
            Some(Answer::Bad("log in first"))
        } else if self.bridge.seal.is_none() {
            Some(append::no_sealer())
        } else if order.length > MAX_APPEND {
            Some(Answer::no("[TOOBIG] the message is too large"))
        } else if order.length == 0 {
            Some(Answer::no("[CANNOT] an empty message"))
        } else {
            None
        };
        let mailbox = match refusal {
            Some(refusal) => Err(refusal),
            None => self.find(&order.mailbox),
        };
        let mailbox = match mailbox {
            Ok(mailbox) => mailbox,
            Err(answer) => {
                self.link.decline(order, literal, &mut patience)?;
                return Ok(match answer {
                    Answer::No(text) => Answer::No(text.replace("NONEXISTENT", "TRYCREATE")),
                    other => other,
                });
            }
        };
        let mut message = append::place(self.bridge, order);
        let mut into = |octets: &[u8]| message.write_all(octets);
        match self.link.message(order, literal, &mut into, &mut patience)? {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Answer::Bad("one message at a time"));
            }
            Err(_) => return Ok(Answer::no("[UNAVAILABLE] the message cannot be kept now")),
        }
        let answer = append::store(self.bridge, self.database, self.maildir, &mailbox, order, message);
        if let Some(desk) = &mut self.desk {
            desk.selected.forget_look();
        }
        Ok(answer)
    }
}
