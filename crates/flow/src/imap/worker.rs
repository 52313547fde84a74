//! Works for one flow of an account: connects, settles what was begun, looks, carries.
//!
//! In: settings. Out: passes over mailboxes. A connection that is lost costs nothing but the time for a new one: the journal
//! knows what was under way. Never idles: that is for `watch`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seal::{Expectation, ProofError};
use sealed::identity::AccountId;
use sealed::outer::OuterError;
use sealed::scratch::{NewPlace, Scratched};
use store::imap::{
    Comparison, Desk, Fill, FlowLock, Key, Mailbox, Recovering, Recovery, Removal, Stuck, follow, list, recover,
};
use store::journal::Row;
use store::ledger::{self, MessageRef};
use store::{Database, Journal, Ledger, UnixSeconds};
use wire::imap::{Access, UidSet};

use super::carrier::ImapCarrier;
use super::look::{Candidate, Grace, HEADERS_AT_ONCE, Looked, Looker, Where};
use super::mailboxes::pick;
use super::probe::{self, Verdict};
use super::sink::Sink;
use super::{backup, sink};
use crate::memory::{Learned, refuse_if_stopped};
use crate::owner::Owner;
use crate::progress::Progress;
use crate::pump::{Moved, Pump, note_gap, number_of};
use crate::reason;
use crate::receipt::Proved;
use crate::settings::{Imap, Settings, Sink as To};
use crate::standing::{Judge, Sight};
use crate::survey::{Survey, SurveyError};
use crate::swept::{SweepError, Swept, Undecided};

/// Works for one flow.
pub(crate) struct Worker<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) place: &'a Imap,
    account: AccountId,
    database: Database,
    judge: Judge<'a>,
    /// Looked at between batches.
    stop: Arc<AtomicBool>,
    /// Obeyed by the session in every call.
    cut: Arc<AtomicBool>,
    _lock: FlowLock,
    link: Option<Link>,
    /// After connections that were lost again and again: one message at a time, to find out which one it is.
    careful: bool,
    /// The message that is under way while careful.
    suspect: Option<(String, Key)>,
    /// How often a connection was lost over a message.
    blame: HashMap<(String, Key), u32>,
    /// The mailbox that is looked at, and which of its messages are read there at this moment.
    looking: Option<(String, u32)>,
    reading: RefCell<Vec<u32>>,
    /// Messages that are read at once while looking.
    at_once: usize,
    /// Mailboxes in which mail was replaced since the journal was last pruned, and how far the others had filled before.
    left: HashMap<String, (Mailbox, Fill)>,
}

/// A server that moves a message by copying it shows the copy a moment after the original has gone; longer than that.
const MOVING: Duration = Duration::from_millis(50);

/// Lost connections in a row after which messages are taken one by one.
const LOSSES_BEFORE_CARE: u32 = 2;
/// Connections that a single message may cost.
const LOSSES_BEFORE_BLAME: u32 = 2;
/// By how much fewer messages are read at once when a connection was lost over them.
const NARROWER: usize = 8;
/// A message that cost them is tried again after this time, seconds.
const BLAME_WAIT: i64 = 6 * 60 * 60;

/// A connection, and what was learned over it.
struct Link {
    desk: Desk,
    into: Option<Desk>,
    removal: Removal,
    /// All of the account.
    mailboxes: Vec<Mailbox>,
    /// Those of the flow.
    picked: Vec<Mailbox>,
    /// Those of probes that were cut off.
    left_behind: Vec<Mailbox>,
    verdict: Verdict,
    /// Where each mailbox was left.
    seen: HashMap<String, Seen>,
}

/// How far a mailbox was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) validity: u32,
    pub(crate) next: u32,
    pub(crate) due: Option<UnixSeconds>,
}

/// What a pass over a mailbox looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    All,
    /// What came since the last time, and what had to wait.
    News,
}

impl<'a> Worker<'a> {
    /// Takes the flow's lock; refuses a flow that was stopped.
    pub(crate) fn new(
        settings: &'a Settings,
        place: &'a Imap,
        stop: &Arc<AtomicBool>,
        cut: &Arc<AtomicBool>,
    ) -> Result<Worker<'a>, SweepError> {
        let account = settings.account().ok_or(SweepError::NoCertificate)?;
        let database = Database::open(&settings.state)?;
        refuse_if_stopped(settings, &database)?;
        let state = settings.state.parent().unwrap_or(std::path::Path::new("."));
        let lock = FlowLock::take(state, &settings.name).map_err(SweepError::Backup)?.ok_or(SweepError::Busy)?;
        refuse_if_stopped(settings, &database)?;
        let (stop, cut) = (Arc::clone(stop), Arc::clone(cut));
        let judge = Judge::new(settings);
        Ok(Worker {
            settings,
            place,
            account,
            database,
            judge,
            stop,
            cut,
            _lock: lock,
            link: None,
            careful: false,
            suspect: None,
            blame: HashMap::new(),
            looking: None,
            reading: RefCell::default(),
            at_once: HEADERS_AT_ONCE,
            left: HashMap::new(),
        })
    }

    /// Forgets the connection; `losses` in a row, with nothing done between them. A message over which two were lost is left
    /// alone for a while: it must not stop all others. True: the search for such a message has come nearer.
    pub(crate) fn drop_link(&mut self, losses: u32) -> Result<bool, SweepError> {
        self.link = None;
        let narrowed = self.narrow();
        if let Some(suspect) = self.suspect.take() {
            let blamed = self.blame.entry(suspect.clone()).or_default();
            *blamed = blamed.saturating_add(1);
            if *blamed >= LOSSES_BEFORE_BLAME {
                let (mailbox, key) = &suspect;
                let message = key.to_octets();
                let now = UnixSeconds::now();
                let subject = MessageRef { flow: &self.settings.name, mailbox, message: &message };
                let later = UnixSeconds(now.0.saturating_add(BLAME_WAIT));
                let verdict = ledger::Verdict::Failed(reason::UNREADABLE, later);
                Ledger::on(&self.database).remember(&[(subject, verdict)], now)?;
                self.blame.remove(&suspect);
            }
        }
        self.careful = losses >= LOSSES_BEFORE_CARE || !self.blame.is_empty();
        Ok(narrowed)
    }

    /// Lost while messages were looked at: it may be one of them. Fewer are read at once next time, in the end one alone.
    fn narrow(&mut self) -> bool {
        let read = std::mem::take(&mut *self.reading.borrow_mut());
        let Some((mailbox, validity)) = self.looking.take() else { return false };
        match read.as_slice() {
            [] => false,
            [uid] => {
                self.suspect = Some((mailbox, Key { validity, uid: *uid }));
                false
            }
            several => {
                self.at_once = several.len().div_ceil(NARROWER);
                true
            }
        }
    }

    /// Ends the connection in good order.
    pub(crate) fn leave(&mut self) {
        if let Some(Link { desk, into, .. }) = self.link.take() {
            desk.leave();
            into.into_iter().for_each(Desk::leave);
        }
    }

    /// The mailboxes of the flow; connects if need be, and settles what an earlier connection left unfinished.
    pub(crate) fn connect(&mut self, swept: &mut Swept) -> Result<Vec<Mailbox>, SweepError> {
        if self.link.is_none() {
            let link = self.new_link()?;
            self.link = Some(link);
            self.recover(swept)?;
            self.probe()?;
            if let Some(backup) = &self.place.backup {
                backup::prune(&backup.directory, backup.keep).map_err(SweepError::Backup)?;
            }
        }
        Ok(self.link.as_ref().map(|link| link.picked.clone()).unwrap_or_default())
    }

    fn new_link(&self) -> Result<Link, SweepError> {
        let mut session = self.place.account.connect(&self.cut)?;
        let mut listing = list(&mut session)?;
        let removal = Removal::of(&session, &listing).ok_or(SweepError::NoSafeRemoval)?;
        let is_gmail = session.has("X-GM-EXT-1");
        let left_behind = listing.mailboxes.extract_if(.., |mailbox| probe::is_left_behind(mailbox)).collect();
        let picked = pick(&listing, &self.settings.mailboxes, &self.place.sink, is_gmail)?;
        let mut mailboxes = listing.mailboxes;
        let mut into = None;
        if let To::Folder(name) = &self.place.sink {
            let mut other = self.place.account.connect(&self.cut)?;
            if !mailboxes.iter().any(|mailbox| mailbox.name() == name) {
                let delimiter = session.namespaces()?.personal.first().and_then(|namespace| namespace.delimiter);
                let target = Mailbox::named(name, delimiter);
                other.create(target.wire())?;
                other.subscribe(target.wire())?;
                mailboxes.push(target);
            }
            into = Some(Desk::new(other));
        }
        let verdict = if is_gmail { Verdict::OwnMessageIds } else { Verdict::Unknown };
        let (desk, seen) = (Desk::new(session), HashMap::new());
        Ok(Link { desk, into, removal, mailboxes, picked, left_behind, verdict, seen })
    }

    /// Finds out what the server does to sealed mail, once an account.
    fn probe(&mut self) -> Result<(), SweepError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let known = Ledger::on(&self.database).provider(&self.place.name)?;
        let known = known.and_then(|(word, _)| Verdict::of_word(&word)).filter(|known| *known != Verdict::Unknown);
        for mailbox in std::mem::take(&mut link.left_behind) {
            probe::clean_up(&mut link.desk, &mailbox, &link.removal)?;
        }
        link.verdict = match known {
            Some(known) => known,
            None => {
                let verdict = probe::probe(&mut link.desk, &link.removal, self.settings)?;
                Ledger::on(&self.database).note_provider(&self.place.name, verdict.word(), UnixSeconds::now())?;
                verdict
            }
        };
        Ok(())
    }

    /// What was begun is brought to its end, before anything new is taken.
    fn recover(&mut self, swept: &mut Swept) -> Result<(), SweepError> {
        if Journal::on(&self.database).unfinished(&self.settings.name)?.is_empty() {
            return Ok(());
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        let now = UnixSeconds::now();
        let owner = Owner::of(self.settings, now).ok_or(SweepError::NoCertificate)?;
        let sink = sink_of(self.settings, self.place, &self.judge.trust, owner)?;
        let flow = self.settings.name.as_str();
        let (account, sealer) = (self.account, self.settings.sealer.public());
        let with =
            Recovering { database: &self.database, flow, mailboxes: &link.mailboxes, removal: &link.removal, now };
        let compare = |row: &Row, original: Option<&mut Scratched<File>>, copy: &mut Scratched<File>| {
            let expectation = Expectation::from_octets(&row.expectation).ok_or(Undecided::Unknown)?;
            // Its fingerprint was compared already; without one the journal's word stands for it.
            let _ = original;
            match Proved::after_restart(&expectation, &expectation.original, copy, account, sealer) {
                Ok(proved) => Ok(Comparison::Proved(proved)),
                Err(ProofError::Outer(OuterError::Io(error)) | ProofError::Content(error)) => Err(error.into()),
                Err(_) => Ok(Comparison::Other),
            }
        };
        let nobody_else = |_: &str, _: Key| false;
        let recovered = recover::<_, Undecided>(&with, &mut link.desk, &sink, &nobody_else, compare)?;
        let ledger = Ledger::on(&self.database);
        for one in recovered {
            let Row { mailbox, original, expectation, .. } = &one.row;
            match one.recovery {
                Ok(Recovery::Replaced { mailbox: target, copy, mark }) => {
                    swept.recovered = swept.recovered.saturating_add(1);
                    ledger.forget(&[MessageRef { flow, mailbox, message: original }])?;
                    let message = copy.to_octets();
                    // An older one stays known: the next look finds both, and the lower UID stays.
                    let known = ledger.copy_of(flow, &target, &mark)?.and_then(|name| Key::from_octets(&name));
                    if known.is_none_or(|known| known.validity != copy.validity || known.uid >= copy.uid) {
                        ledger.note_copies(&[(MessageRef { flow, mailbox: &target, message: &message }, &mark)])?;
                    }
                    ledger.count(flow, &[(reason::SEALED, 1)], now)?;
                }
                Ok(Recovery::Expunged) => swept.recovered = swept.recovered.saturating_add(1),
                Ok(Recovery::BeginAnew | Recovery::MovedElsewhere | Recovery::BothGone) => {
                    swept.recovered = swept.recovered.saturating_add(1);
                    if let Some(number) = number_of(expectation) {
                        note_gap(self.settings, &self.database, account, number)?;
                    }
                }
                Err(Stuck::Undecided(_) | Stuck::Unknown | Stuck::Stubborn) => {
                    swept.unsettled = swept.unsettled.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// Looks at a mailbox, and seals what lies open in it.
    pub(crate) fn pass(
        &mut self,
        mailbox: &Mailbox,
        scope: Scope,
        found: &mut Survey,
        moved: &mut Moved,
        progress: &mut impl Progress,
    ) -> Result<(), SweepError> {
        refuse_if_stopped(self.settings, &self.database)?;
        let looked = self.look(mailbox, scope, found, progress)?;
        let Some((validity, looked)) = looked else { return Ok(()) };
        let Some(link) = &mut self.link else { return Ok(()) };
        link.removal.remove(&mut link.desk, &looked.doubles)?;
        self.note_marks(mailbox, validity, &looked)?;
        let open: Vec<Candidate> =
            looked.open.iter().filter(|candidate| !looked.doubles.contains(candidate.uid)).copied().collect();
        let total: u64 = open.iter().map(|candidate| candidate.size).sum();
        progress.total(
            moved.sealed.messages.saturating_add(u64::try_from(open.len()).unwrap_or(u64::MAX)),
            moved.sealed.octets.saturating_add(total),
        );
        let before = match &mut self.link {
            Some(link) if !open.is_empty() => Some(Fill::of(&mut link.desk, &link.mailboxes)?),
            _ => None,
        };
        let mut unsettled = 0;
        for some in open.chunks(if self.careful { 1 } else { usize::MAX }) {
            if let ([one], true) = (some, self.careful) {
                self.suspect = Some((mailbox.name().to_owned(), Key { validity, uid: one.uid }));
            }
            unsettled = self.carry(mailbox, validity, some.to_vec(), moved, progress)?;
            self.suspect = None;
            if moved.interrupted {
                break;
            }
        }
        self.careful = false;
        if let Some(before) = before {
            self.follow(mailbox, &before)?;
            self.left.entry(mailbox.name().to_owned()).or_insert_with(|| (mailbox.clone(), before));
        }
        if let Some(link) = &mut self.link {
            let known = link.seen.get(mailbox.name()).filter(|seen| seen.validity == validity);
            let next = looked.next.max(known.map(|seen| seen.next).unwrap_or_default());
            link.seen.insert(mailbox.name().to_owned(), Seen { validity, next, due: looked.due });
        }
        if unsettled > 0 {
            // Others were faster than we; by now they have done what they wanted.
            let mut swept = Swept::default();
            self.recover(&mut swept)?;
            moved.unsettled = swept.unsettled;
        }
        Ok(())
    }

    /// What its owner moved or copied while it was locked keeps no mark of ours.
    fn follow(&mut self, source: &Mailbox, before: &Fill) -> Result<(), SweepError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let now = UnixSeconds::now();
        let owner = Owner::of(self.settings, now).ok_or(SweepError::NoCertificate)?;
        let sink = sink_of(self.settings, self.place, &self.judge.trust, owner)?;
        let flow = self.settings.name.as_str();
        let (mailboxes, removal) = (&link.mailboxes, &link.removal);
        let with = Recovering { database: &self.database, flow, mailboxes, removal, now };
        Ok(follow(&with, &mut link.desk, &sink, source, before)?)
    }

    fn look(
        &mut self,
        mailbox: &Mailbox,
        scope: Scope,
        found: &mut Survey,
        progress: &mut impl Progress,
    ) -> Result<Option<(u32, Looked)>, SweepError> {
        let Some(link) = &mut self.link else { return Ok(None) };
        match scope {
            // To hear of a new UIDVALIDITY.
            Scope::All => link.desk.reopen(mailbox)?,
            Scope::News => link.desk.turn_to(mailbox)?,
        }
        let validity = link.desk.validity()?;
        if link.desk.selected()?.read_only {
            return Err(SurveyError::ReadOnly.into());
        }
        let mut uids = UidSet::new();
        let seen = link.seen.get(mailbox.name()).copied().filter(|seen| seen.validity == validity);
        let now = UnixSeconds::now();
        match seen.filter(|_| scope == Scope::News) {
            // What had to wait may be anywhere.
            Some(Seen { next, due, .. }) if due.is_none_or(|due| due > now) => uids.insert_range(next, u32::MAX),
            _ => uids.insert_range(1, u32::MAX),
        }
        let looker = Looker {
            judge: &self.judge,
            ledger: Some(Ledger::on(&self.database)),
            place: place_of(self.settings),
            grace: Grace::Counts,
            at_once: self.at_once,
            reading: &self.reading,
        };
        self.looking = Some((mailbox.name().to_owned(), validity));
        let place = Where { mailbox: mailbox.name(), validity, uids };
        let mut learned = Learned::new(&self.settings.name, &self.database);
        let mut looked = looker.look(link.desk.session(), &place, |uid, sight| {
            progress.looked();
            found.count(sight);
            match &sight.news {
                Some(news) => learned.add(mailbox.name(), &Key { validity, uid }.to_octets(), news),
                None => Ok(()),
            }
        })?;
        learned.write()?;
        self.looking = None;
        self.at_once = HEADERS_AT_ONCE;
        if looked.due.is_none() {
            looked.due = seen.and_then(|seen| seen.due).filter(|due| *due > now);
        }
        Ok(Some((validity, looked)))
    }

    fn note_marks(&self, mailbox: &Mailbox, validity: u32, looked: &Looked) -> Result<(), SweepError> {
        let keys: Vec<[u8; 8]> = looked.marks.iter().map(|(uid, _)| Key { validity, uid: *uid }.to_octets()).collect();
        let flow = self.settings.name.as_str();
        let notes: Vec<(MessageRef<'_>, &[u8])> = keys
            .iter()
            .zip(&looked.marks)
            .map(|(message, (_, mark))| (MessageRef { flow, mailbox: mailbox.name(), message }, mark.as_slice()))
            .collect();
        Ok(Ledger::on(&self.database).note_copies(&notes)?)
    }

    /// Gives how many replacements somebody else cut off.
    fn carry(
        &mut self,
        mailbox: &Mailbox,
        validity: u32,
        open: Vec<Candidate>,
        moved: &mut Moved,
        progress: &mut impl Progress,
    ) -> Result<u64, SweepError> {
        let Some(link) = &mut self.link else { return Ok(0) };
        if open.is_empty() {
            return Ok(0);
        }
        let target = match &self.place.sink {
            To::InPlace => mailbox.clone(),
            To::Folder(name) => {
                let target = link.mailboxes.iter().find(|mailbox| mailbox.name() == name).cloned();
                target.ok_or_else(|| SurveyError::NoMailbox(name.clone()))?
            }
        };
        let target_validity = match &mut link.into {
            None => validity,
            Some(into) => {
                into.turn_to(&target)?;
                into.validity()?
            }
        };
        let owner = Owner::of(self.settings, UnixSeconds::now()).ok_or(SweepError::NoCertificate)?;
        let owner = match link.verdict {
            Verdict::OwnMessageIds => owner.with_own_message_ids(),
            _ => owner,
        };
        let mut sink = sink_of(self.settings, self.place, &self.judge.trust, owner)?;
        (sink.source, sink.target) = (mailbox.name().to_owned(), target.name().to_owned());
        (sink.validity, sink.target_validity) = (validity, target_validity);
        let mut carrier = ImapCarrier {
            flow: &self.settings.name,
            database: &self.database,
            judge: &self.judge,
            desk: &mut link.desk,
            into: link.into.as_mut(),
            removal: &link.removal,
            mailboxes: &link.mailboxes,
            source: mailbox.clone(),
            target,
            validity,
            sink,
            open: open.into(),
        };
        let mut pump = Pump {
            settings: self.settings,
            database: &self.database,
            account: self.account,
            progress,
            stop: &self.stop,
            underway: HashSet::new(),
            moved: std::mem::take(moved),
        };
        let ended = pump.run(&mut carrier);
        *moved = pump.moved;
        ended?;
        Ok(moved.unsettled)
    }

    /// The connection's desk, for waiting.
    pub(crate) fn desk(&mut self) -> Option<&mut Desk> {
        self.link.as_mut().map(|link| &mut link.desk)
    }

    /// How far mailboxes were looked at.
    pub(crate) fn seen(&self, mailbox: &Mailbox) -> Option<Seen> {
        self.link.as_ref()?.seen.get(mailbox.name()).copied()
    }

    /// When the first message that had to wait is due.
    pub(crate) fn due(&self) -> Option<UnixSeconds> {
        self.link.as_ref()?.seen.values().filter_map(|seen| seen.due).min()
    }

    /// What is done is of no use to anybody, and says which mail there was. Before it is forgotten, what was moved in the last moment is looked for
    /// once more.
    pub(crate) fn prune(&mut self) -> Result<(), SweepError> {
        let left = std::mem::take(&mut self.left);
        if !left.is_empty() && self.link.is_some() {
            std::thread::sleep(MOVING);
        }
        for (source, before) in left.into_values() {
            match self.follow(&source, &before) {
                Ok(()) => {}
                // It is not worth a new connection.
                Err(error) if error.is_lost() || error.is_refusal() => break,
                Err(error) => return Err(error),
            }
        }
        Journal::on(&self.database).prune(UnixSeconds(UnixSeconds::now().0.saturating_add(1)))?;
        Ok(())
    }
}

fn place_of(settings: &Settings) -> NewPlace<File> {
    let temporary = settings.temporary.clone();
    Arc::new(move || tempfile::tempfile_in(&temporary))
}

fn sink_of<'s>(
    settings: &'s Settings,
    place: &'s Imap,
    trust: &'s sealed::signature::Trust,
    owner: Owner<'s>,
) -> Result<sink::Sink<'s>, SweepError> {
    Ok(Sink {
        owner,
        trust,
        backup: place.backup.as_ref(),
        database: Mutex::new(Database::open(&settings.state)?),
        source: String::new(),
        validity: 0,
        target: String::new(),
        target_validity: 0,
        place: place_of(settings),
    })
}

/// Counts everything and changes nothing.
pub(crate) fn count_all(
    settings: &Settings,
    place: &Imap,
    ledger: Option<Ledger<'_>>,
    stop: &Arc<AtomicBool>,
    mut each: impl FnMut(&Sight),
) -> Result<Survey, SurveyError> {
    let mut session = place.account.connect(stop)?;
    let listing = list(&mut session)?;
    let picked = pick(&listing, &settings.mailboxes, &place.sink, session.has("X-GM-EXT-1"))?;
    let judge = Judge::new(settings);
    let reading = RefCell::default();
    let looker = Looker {
        judge: &judge,
        ledger,
        place: place_of(settings),
        grace: Grace::Ignored,
        at_once: HEADERS_AT_ONCE,
        reading: &reading,
    };
    let mut survey = Survey::default();
    for mailbox in &picked {
        let selected = session.select(mailbox.wire(), Access::Read)?;
        let mut uids = UidSet::new();
        uids.insert_range(1, u32::MAX);
        let at = Where { mailbox: mailbox.name(), validity: selected.uid_validity, uids };
        looker.look(&mut session, &at, |_, sight| {
            survey.count(sight);
            each(sight);
            Ok(())
        })?;
    }
    survey.mailboxes = u64::try_from(picked.len()).unwrap_or(u64::MAX);
    session.logout();
    Ok(survey)
}

/// Adds up counts by reason.
pub(crate) fn merge(into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (reason, count) in from {
        let sum = into.entry(reason).or_default();
        *sum = sum.saturating_add(count);
    }
}
