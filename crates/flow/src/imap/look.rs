//! What is to be done about the messages of one mailbox, as they are now.
//!
//! In: the selected mailbox, what the ledger remembers. Out: counts; what is to be sealed; what is there twice; when something
//! young is old enough. Flags, dates and sizes come in one FETCH; header fields only of what is not remembered; bodies only of
//! what claims to be encrypted (A8). Never changes anything.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use mail::{ContentType, HeaderSection};
use sealed::recognise::{What, recognise};
use sealed::scratch::{NewPlace, Scratch};
use store::imap::{Key, LOCK, parse_date};
use store::ledger::{Code, LedgerError, Memory, MessageRef, Remembered};
use store::{Ledger, UnixSeconds};
use wire::imap::{Fetched, ImapError, Session, UidSet};

use super::mark::mark_of;
use crate::reason;
use crate::receipt::READ_BUFFER;
use crate::standing::{Judge, News, Open, Sight, Standing};
use crate::survey::SurveyError;

/// The keyword that says that the owner put a message back (A15).
pub(crate) const UNSEALED: &str = "$Unsealed";

/// A mailbox, looked at.
#[derive(Default)]
pub(crate) struct Looked {
    /// To be sealed, lowest UID first.
    pub(crate) open: Vec<Candidate>,
    /// Second copies of a sealed message that is there under a lower UID.
    pub(crate) doubles: UidSet,
    /// Marks of sealed messages that were not known yet.
    pub(crate) marks: Vec<(u32, Vec<u8>)>,
    /// When the first of those that are too young, or wait, is to be looked at again.
    pub(crate) due: Option<UnixSeconds>,
    /// One more than the highest UID that was seen.
    pub(crate) next: u32,
}

/// A message that lies open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) uid: u32,
    /// Octets.
    pub(crate) size: u64,
    /// When it arrived.
    pub(crate) modified: UnixSeconds,
    /// How often it failed.
    pub(crate) attempts: u32,
    /// Another sealer had it long enough (A13).
    pub(crate) insists: bool,
}

/// Looks at the messages of a mailbox.
pub(crate) struct Looker<'a> {
    pub(crate) judge: &'a Judge<'a>,
    pub(crate) ledger: Option<Ledger<'a>>,
    pub(crate) place: NewPlace<File>,
    /// Whether time runs: a plan takes what it sees for the first time as it will be.
    pub(crate) grace: Grace,
    /// Messages that are asked for at once; fewer when connections were lost over some of them.
    pub(crate) at_once: usize,
    /// Which are asked for at this moment: the server may break off over one of them.
    pub(crate) reading: &'a RefCell<Vec<u32>>,
}

/// Whether young mail waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    Counts,
    Ignored,
}

/// Which messages of the selected mailbox.
pub(crate) struct Where<'a> {
    pub(crate) mailbox: &'a str,
    pub(crate) validity: u32,
    pub(crate) uids: UidSet,
}

/// A message as its line in the list says.
struct Line {
    uid: u32,
    size: u64,
    modified: UnixSeconds,
    flags: Vec<String>,
}

/// What must be read to tell what it is.
struct Unknown {
    line: Line,
    memory: Option<Memory>,
}

/// Messages whose header fields are asked for at once.
pub(crate) const HEADERS_AT_ONCE: usize = 500;
/// Octets of header fields that are asked for; those of a sealed message are fewer.
const MOST_FIELDS: usize = 32 * 1024;
/// Messages whose bodies are asked for at once.
const BODIES_AT_ONCE: usize = 32;

impl Looker<'_> {
    /// Looks at them all; `each` hears of every one.
    pub(crate) fn look(
        &self,
        session: &mut Session,
        place: &Where<'_>,
        mut each: impl FnMut(u32, &Sight) -> Result<(), LedgerError>,
    ) -> Result<Looked, SurveyError> {
        let mut looked = Looked::default();
        let lines = lines(session, &place.uids)?;
        looked.next = lines.iter().map(|line| line.uid.saturating_add(1)).max().unwrap_or_default();
        let mut unknown = Vec::new();
        for line in lines {
            let memory = self.recall(place, line.uid)?;
            match self.known(&line, &memory, &mut looked) {
                Some(standing) => {
                    let news = match standing {
                        Standing::Skipped(reason::TOO_YOUNG) => Some(News::Seen),
                        _ => None,
                    };
                    let sight = Sight { standing, size: line.size, modified: line.modified, news };
                    each(line.uid, &sight)?;
                }
                None => unknown.push(Unknown { line, memory }),
            }
        }
        let mut unknown = unknown.into_iter();
        loop {
            let part: Vec<Unknown> = unknown.by_ref().take(self.at_once.clamp(1, HEADERS_AT_ONCE)).collect();
            if part.is_empty() {
                break;
            }
            self.read(session, place, part, &mut looked, &mut each)?;
        }
        looked.open.sort_by_key(|candidate| candidate.uid);
        Ok(looked)
    }

    fn recall(&self, place: &Where<'_>, uid: u32) -> Result<Option<Memory>, LedgerError> {
        let Some(ledger) = self.ledger else { return Ok(None) };
        let message = Key { validity: place.validity, uid }.to_octets();
        let flow = &self.judge.settings.name;
        ledger.recall(MessageRef { flow, mailbox: place.mailbox, message: &message })
    }

    /// What can be said without reading it.
    fn known(&self, line: &Line, memory: &Option<Memory>, looked: &mut Looked) -> Option<Standing> {
        let now = UnixSeconds::now();
        let Line { size, modified, flags, .. } = line;
        if let Some(standing) = self.judge.known(memory, *size, *modified, now) {
            if let Some(Remembered::Failed { retry_at, .. }) = memory.as_ref().map(|memory| &memory.state) {
                looked.note_due(*retry_at);
            }
            return Some(standing);
        }
        if let Some(reason) = untouchable(flags).or_else(|| self.judge.left_alone(*size, *modified)) {
            return Some(Standing::Skipped(reason));
        }
        let first_seen = memory.as_ref().map(|memory| memory.first_seen);
        let young = self.grace == Grace::Counts && !self.judge.is_over(first_seen.unwrap_or(now), now);
        if young {
            let grace = i64::try_from(self.judge.settings.grace.as_secs()).unwrap_or(i64::MAX);
            looked.note_due(UnixSeconds(first_seen.unwrap_or(now).0.saturating_add(grace)));
            return Some(Standing::Skipped(reason::TOO_YOUNG));
        }
        None
    }

    /// What the header fields, and where these claim something the body, say.
    fn read(
        &self,
        session: &mut Session,
        place: &Where<'_>,
        part: Vec<Unknown>,
        looked: &mut Looked,
        each: &mut impl FnMut(u32, &Sight) -> Result<(), LedgerError>,
    ) -> Result<(), SurveyError> {
        let uids: UidSet = part.iter().map(|unknown| unknown.line.uid).collect();
        *self.reading.borrow_mut() = part.iter().map(|unknown| unknown.line.uid).collect();
        let claims = claims(session, &uids)?;
        let (claiming, plain): (Vec<Unknown>, Vec<Unknown>) =
            part.into_iter().partition(|unknown| claims.contains(&unknown.line.uid));
        for Unknown { line, memory } in plain {
            self.note(&line, Standing::Open(Open::with(false, &memory)), None, &memory, looked, each)?;
        }
        for some in claiming.chunks(self.at_once.clamp(1, BODIES_AT_ONCE)) {
            let uids = some.iter().map(|unknown| unknown.line.uid).collect();
            *self.reading.borrow_mut() = some.iter().map(|unknown| unknown.line.uid).collect();
            for (uid, what, mark) in self.recognise(session, &uids)? {
                let Some(Unknown { line, memory }) = some.iter().find(|unknown| unknown.line.uid == uid) else {
                    continue;
                };
                let (standing, news) = match &what {
                    None => (Standing::Failed(reason::UNREADABLE), None),
                    Some(what) => self.judge.verdict(what, memory, line.size, line.modified),
                };
                let mut news = news;
                if let (Standing::Sealed, Some(mark)) = (&standing, mark)
                    && self.note_sealed(session, place, uid, mark, looked)?
                {
                    // As long as both are there, neither is known: the program may end before one is removed.
                    news = None;
                }
                self.note(line, standing, news, memory, looked, each)?;
            }
        }
        self.reading.borrow_mut().clear();
        Ok(())
    }

    fn note(
        &self,
        line: &Line,
        standing: Standing,
        news: Option<News>,
        memory: &Option<Memory>,
        looked: &mut Looked,
        each: &mut impl FnMut(u32, &Sight) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        if let Standing::Open(open) = &standing {
            let insists = matches!(memory.as_ref().map(|memory| &memory.state),
                Some(Remembered::Failed { reason, .. }) if reason == reason::LOCKED.as_str());
            let Line { uid, size, modified, .. } = line;
            let attempts = open.attempts;
            looked.open.push(Candidate { uid: *uid, size: *size, modified: *modified, attempts, insists });
        }
        each(line.uid, &Sight { standing, size: line.size, modified: line.modified, news })
    }

    /// A sealed message that is seen for the first time: is it a second copy of one that is there? True: one of both is to go.
    fn note_sealed(
        &self,
        session: &mut Session,
        place: &Where<'_>,
        uid: u32,
        mark: Vec<u8>,
        looked: &mut Looked,
    ) -> Result<bool, SurveyError> {
        let known = match self.ledger {
            Some(ledger) => ledger.copy_of(&self.judge.settings.name, place.mailbox, &mark)?,
            None => None,
        };
        let known = known.and_then(|name| Key::from_octets(&name)).filter(|key| key.validity == place.validity);
        let other = looked.marked(&mark).or(known.map(|key| key.uid)).filter(|other| *other != uid);
        if let Some(other) = other
            && is_there(session, other)?
        {
            // The lower UID stays (A7).
            looked.doubles.insert(uid.max(other));
            if other > uid {
                looked.marks.push((uid, mark));
            }
            return Ok(true);
        }
        looked.marks.push((uid, mark));
        Ok(false)
    }

    #[expect(clippy::type_complexity, reason = "which, what, its mark")]
    fn recognise(
        &self,
        session: &mut Session,
        uids: &UidSet,
    ) -> Result<Vec<(u32, Option<What>, Option<Vec<u8>>)>, ImapError> {
        let mut found = Vec::new();
        let scratch = |length| Ok(Scratch::new(length, Arc::clone(&self.place)));
        let trust = &self.judge.trust;
        session.uid_fetch(uids, "UID BODY.PEEK[]", scratch, |fetched: Fetched<Scratch<File>>| {
            let octets = fetched.body.and_then(Result::ok).and_then(|scratch| scratch.finish().ok());
            let what = octets
                .and_then(|mut octets| recognise(&mut BufReader::with_capacity(READ_BUFFER, &mut octets), trust).ok());
            let mark = match &what {
                Some(What::Sealed(sealed)) => Some(sealed.mark.id.0.to_vec()),
                _ => None,
            };
            if uids.contains(fetched.uid) {
                found.push((fetched.uid, what, mark));
            }
        })?;
        Ok(found)
    }
}

impl Looked {
    fn note_due(&mut self, at: UnixSeconds) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn marked(&self, mark: &[u8]) -> Option<u32> {
        self.marks.iter().find(|(_, other)| other == mark).map(|(uid, _)| *uid)
    }
}

/// Flags that keep us away (A13, A15).
pub(crate) fn untouchable(flags: &[String]) -> Option<Code> {
    let has = |flag: &str| flags.iter().any(|other| other.eq_ignore_ascii_case(flag));
    if has("\\Draft") {
        Some(reason::DRAFT)
    } else if has("\\Deleted") {
        Some(reason::DELETED)
    } else if has(UNSEALED) {
        Some(reason::UNSEALED)
    } else {
        None
    }
}

fn lines(session: &mut Session, uids: &UidSet) -> Result<Vec<Line>, ImapError> {
    let mut lines = Vec::new();
    if session.exists() == 0 || uids.is_empty() {
        return Ok(lines);
    }
    let no_body = |_| Ok(std::io::sink());
    session.uid_fetch(uids, "UID FLAGS INTERNALDATE RFC822.SIZE", no_body, |fetched| {
        // What others do meanwhile is told in between, without a size.
        if let (Some(size), Some(flags), true) = (fetched.size, fetched.flags, uids.contains(fetched.uid)) {
            let modified = fetched.internal_date.as_deref().and_then(parse_date).unwrap_or(UnixSeconds(0));
            // The lock is no reason to look at a message in another way than those that have none.
            let flags = flags.into_iter().filter(|flag| !flag.eq_ignore_ascii_case(LOCK)).collect();
            lines.push(Line { uid: fetched.uid, size, modified, flags });
        }
    })?;
    lines.sort_by_key(|line| line.uid);
    lines.dedup_by_key(|line| line.uid);
    Ok(lines)
}

/// Those whose header claims that they are sealed or encrypted.
fn claims(session: &mut Session, uids: &UidSet) -> Result<HashSet<u32>, ImapError> {
    let mut claims = HashSet::new();
    let fields = "CONTENT-TYPE CONTENT-DISPOSITION SEALED-MAIL SEALED-KEY";
    let items = format!("UID BODY.PEEK[HEADER.FIELDS ({fields})]<0.{MOST_FIELDS}>");
    let no_body = |_| Ok(std::io::sink());
    session.uid_fetch(uids, &items, no_body, |fetched| {
        // What is longer than that is nothing that any of these fields says in good faith: the body tells.
        let is_cut = |header: &[u8]| header.len() >= MOST_FIELDS;
        if fetched.sections.iter().any(|(_, header)| is_cut(header) || claims_something(header)) {
            claims.insert(fetched.uid);
        }
    })?;
    Ok(claims)
}

fn claims_something(header: &[u8]) -> bool {
    let section = HeaderSection::parse(header);
    let sealed =
        mark_of(header).is_some() || ["Sealed-Mail", "Sealed-Key"].iter().any(|name| section.first(name).is_some());
    let kinds = section.all("Content-Type").map(|field| ContentType::parse(field.value()));
    let mut suspicious = kinds.map(|kind| kind.is("multipart", "encrypted") || !is_ordinary(&kind));
    sealed || suspicious.any(|suspicious| suspicious)
}

/// Types of whole messages that cannot be S/MIME, whatever the file name says.
fn is_ordinary(kind: &ContentType) -> bool {
    !kind.kind().eq_ignore_ascii_case("application")
}

fn is_there(session: &mut Session, uid: u32) -> Result<bool, ImapError> {
    let mut there = false;
    let one: UidSet = std::iter::once(uid).collect();
    session.uid_fetch(&one, "UID", |_| Ok(std::io::sink()), |fetched| there |= fetched.uid == uid)?;
    Ok(there)
}
