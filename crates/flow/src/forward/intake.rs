//! Take, seal, keep: a message from its sender's hands into the spool.
//!
//! In: an envelope, a message. Out: the answer to its sender; it is positive only against a receipt ([`Kept`]). Whatever goes wrong before leaves
//! the message with its sender. What is refused is refused here, while he is there: nobody is sent a bounce later.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sealed::identity::MessageId;
use store::{Fate, UnixSeconds};
use tokio::sync::Semaphore;
use wire::smtp::{MailFrom, RcptTo, Reply};

use crate::delivery::carry::refusal;
use crate::delivery::mail::Mail;
use crate::delivery::{OnFailure, Trouble};
use crate::forward::arrived::Kept;
use crate::forward::checks::{self, Checks};
use crate::forward::counts::{Event, Plight};
use crate::forward::envelope::Envelope;
use crate::forward::evidence as proof;
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::{Evidence, Look, Parcel};
use crate::forward::rate::Rate;
use crate::forward::recipients::Recipients;
use crate::forward::refusal::Refusal;
use crate::forward::report::Report;
use crate::forward::rewrite::Author;
use crate::forward::runner::{Noted, Runner, Told};
use crate::forward::sealing::{Arrival, Found};
use crate::forward::settings::Own;
use crate::forward::spool::{Announced, End, Kind, SpoolError, Written};
use crate::forward::trace::{Path, path};
use crate::forward::verdict::{Action, Strictness};

/// Messages that are sealed or written at once; further ones wait, and their senders with them.
const UNDER_WAY: usize = 64;
/// Messages that go on as they came at once: their senders wait for the target.
const AS_THEY_CAME: usize = 8;
/// Octets that a copy may grow by on its way: the marks before it.
const MARKS: u64 = 1024;

/// All that taking mail in needs; shared by the sessions.
pub(crate) struct Intake {
    pub(crate) runner: Arc<Runner>,
    recipients: Recipients,
    rate: Rate,
    checks: Option<(Checks, Strictness)>,
    cores: Semaphore,
    under_way: Semaphore,
    as_they_came: Arc<Semaphore>,
    /// Mail was put off since the DNS did not answer, and nobody has looked yet.
    unasked: AtomicBool,
    plight: Mutex<Option<Plight>>,
}

/// Who sends a message.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// An address of the network.
    Stranger {
        ip: IpAddr,
        /// What it calls itself.
        helo: String,
    },
    /// A server that is trusted, which has its own limits.
    Trusted,
}

/// A message that was taken, with its envelope.
pub(crate) struct Taken {
    pub(crate) mail: Mail,
    pub(crate) client: Client,
    pub(crate) from: MailFrom,
    pub(crate) recipients: Vec<RcptTo>,
}

impl Intake {
    pub(crate) fn new(
        runner: Arc<Runner>,
        recipients: Recipients,
        rate: Rate,
        checks: Option<(Checks, Strictness)>,
    ) -> Intake {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Intake {
            runner,
            recipients,
            rate,
            checks,
            cores: Semaphore::new(cores),
            under_way: Semaphore::new(UNDER_WAY),
            as_they_came: Arc::new(Semaphore::new(AS_THEY_CAME)),
            unasked: AtomicBool::new(false),
            plight: Mutex::default(),
        }
    }

    /// What stands in the way here, and not at the target.
    pub(crate) fn plight(&self) -> Option<Plight> {
        *self.plight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the DNS answers, if it did not lately: one stranger's domain that does not answer says nothing of ours.
    pub(crate) async fn look_at_dns(&self) {
        let Some((checks, _)) = &self.checks else { return };
        if !self.unasked.swap(false, Ordering::Relaxed) && self.plight().is_none() {
            return;
        }
        let answers = checks.can_ask().await;
        let mut plight = self.plight.lock().unwrap_or_else(PoisonError::into_inner);
        *plight = match (answers, *plight) {
            (true, _) => None,
            (false, Some(since)) => Some(since),
            (false, None) => Some(Plight { obstacle: Obstacle::Resolver, since: UnixSeconds::now() }),
        };
    }

    /// May this sender begin a message now?
    pub(crate) fn sender(&self, client: &Client, from: &MailFrom) -> Result<(), Reply> {
        match client {
            Client::Stranger { ip, .. } if !self.rate.may_send(Some(*ip), &from.address, Instant::now()) => {
                Err(self.refuse(Reply::new(450, (4, 7, 1), "too many messages; come again in a minute"), Refusal::Rate))
            }
            _ => Ok(()),
        }
    }

    /// Is mail taken for this recipient, now?
    pub(crate) fn recipient(&self, from: &MailFrom, to: &RcptTo) -> Result<(), Reply> {
        if let Some(own) = self.own().filter(|own| own.return_path.looks_like_ours(&to.address)) {
            let returned = own.return_path.decode(&from.address, &to.address, now());
            return returned.map(|_| ()).map_err(|error| self.refuse(error.reply(), Refusal::Bounce));
        }
        if !self.recipients.has(&to.address) {
            return Err(self.refuse(Reply::new(550, (5, 7, 1), "no mail is taken for this recipient"), Refusal::Relay));
        }
        if let Some(obstacle) = self.runner.no_room(from.size.unwrap_or_default()) {
            return Err(self.refuse(obstacle.reply(), obstacle));
        }
        // How large it will be is not known yet: a full mailbox is looked at when it is sealed.
        match self.runner.target.obstacle(0) {
            // What somebody must mend first would only fill the queue. What passes by itself does not: that is what it is for.
            Some(obstacle) if obstacle.fate() == Fate::Stop => Err(self.refuse(obstacle.reply(), obstacle)),
            _ => Ok(()),
        }
    }

    /// Takes a message in; the answer to its sender.
    pub(crate) async fn take_in(&self, taken: Taken) -> Reply {
        let Taken { mail, client, from, recipients } = taken;
        let (returned, recipients) = self.returned(&from, recipients);
        if !returned.is_empty() && self.come_back(&returned, &mail).await == Noted::No {
            return self.refuse(refusal(OnFailure::Defer, Trouble::Engine), Refusal::Spool);
        }
        let names: Vec<&str> = recipients.iter().map(|to| to.address.as_str()).collect();
        let Some(to) = recipients.first().cloned() else {
            return match returned.as_slice() {
                [] => Reply::new(503, (5, 5, 1), "RCPT first"),
                _ => Reply::new(250, (2, 0, 0), "noted"),
            };
        };
        let owner = self.recipients.owner();
        let marks: Vec<&str> = names.iter().copied().chain([owner.as_str()]).collect();
        let path = match path(&mail, &marks) {
            Ok(Path::Loop) => {
                return self.refuse(Reply::new(554, (5, 4, 6), "this message goes in circles"), Refusal::Loop);
            }
            Ok(path) => path,
            Err(_) => return self.refuse(refusal(OnFailure::Defer, Trouble::Engine), Refusal::Sealing),
        };
        let found = match self.check(&mail, &client, &from).await {
            Ok(found) => found,
            Err((reply, why)) => return self.refuse(reply, why),
        };
        // Not before: the DNS of a stranger may take its time, and must not take anybody else's.
        let under_way = self.under_way.acquire().await;
        // All of these addresses are one owner's: the message is his once. What else its sender asked for (DSN) ends here: nobody sends him reports
        // of what becomes of it, and the target need not see what he calls it.
        let from = MailFrom { size: None, parameters: Vec::new(), ..from };
        let envelope = Envelope { from, to: RcptTo { parameters: Vec::new(), ..to } };
        let recipients = names.into_iter().map(str::to_owned).collect();
        let arrival = Arrival { mail, envelope, recipients, path, received: UnixSeconds::now(), found };
        match self.seal(arrival).await {
            // Its header fields are in clear, so it is not for the spool: handed on now, or still its sender's.
            Ok(parcel) if matches!(parcel.evidence, Evidence::AsItCame(_)) => {
                drop(under_way);
                self.hand_on(parcel).await
            }
            Ok(parcel) => self.keep(parcel).await,
            Err(trouble) => {
                self.runner.sealer.now().counts.trouble(trouble);
                let answer = if trouble == Trouble::BeyondFormat { OnFailure::Reject } else { OnFailure::Defer };
                let why = if trouble == Trouble::BeyondFormat { Refusal::Size } else { Refusal::Sealing };
                self.refuse(refusal(answer, trouble), why)
            }
        }
    }

    fn own(&self) -> Option<Arc<Own>> {
        self.runner.sealer.now().own.clone()
    }

    /// Which copies came back, and who else the message is for.
    fn returned(&self, from: &MailFrom, recipients: Vec<RcptTo>) -> (Vec<MessageId>, Vec<RcptTo>) {
        let Some(own) = self.own() else { return (Vec::new(), recipients) };
        let path = &own.return_path;
        let (ours, others): (Vec<_>, Vec<_>) = recipients.into_iter().partition(|to| path.looks_like_ours(&to.address));
        let back = ours.iter().filter_map(|to| path.decode(&from.address, &to.address, now()).ok());
        (back.map(|back| MessageId(back.id)).collect(), others)
    }

    /// What is to be believed of a message, if anybody looks; or what its sender's server is told.
    async fn check(&self, mail: &Mail, client: &Client, from: &MailFrom) -> Result<Found, (Reply, Refusal)> {
        let (Some((checks, strictness)), Client::Stranger { ip, helo }) = (&self.checks, client) else {
            return Ok(Found::BySomebodyTrusted);
        };
        let read = mail.clone();
        let read = tokio::task::spawn_blocking(move || proof::Evidence::read(&mut *read.read()?)).await;
        let unread = || (refusal(OnFailure::Defer, Trouble::Engine), Refusal::Sealing);
        let evidence = read.ok().and_then(Result::ok).ok_or_else(unread)?;
        let asked = checks::Client { ip: *ip, helo, mail_from: &from.address };
        let verdict = checks.check(&asked, &evidence).await;
        let author = match verdict.action(*strictness) {
            Action::Take => Author::Unsuspected,
            Action::Mark => Author::Unverified,
            Action::Refuse(reply, why) => return Err((reply, why)),
        };
        Ok(Found::Here(verdict.authentication_results().to_owned(), author))
    }

    /// What the target cannot take, as far as is known.
    fn hindrance(&self, parcel: &Parcel) -> Option<Obstacle> {
        let large = |takes| parcel.length.saturating_add(MARKS) > takes;
        if self.runner.target.takes().is_some_and(large) {
            return Some(Obstacle::TooLarge);
        }
        self.runner.target.obstacle(parcel.length).filter(|obstacle| obstacle.fate() == Fate::Stop)
    }

    async fn keep(&self, parcel: Parcel) -> Reply {
        if let Some(obstacle) = self.hindrance(&parcel) {
            return self.refuse(obstacle.reply(), obstacle);
        }
        match self.runner.keep(parcel, Kind::Mail).await {
            Ok(Written::Before) => {
                self.runner.counts.event(Event::Repeated);
                positive(Kept::written(Written::Before), "it was taken before")
            }
            Ok(written) => {
                self.runner.counts.event(Event::Kept);
                positive(Kept::written(written), "taken")
            }
            Err(error) if matches!(*error, SpoolError::NoRoom) => {
                self.refuse(Obstacle::NoRoom.reply(), Obstacle::NoRoom)
            }
            Err(_) => self.refuse(Reply::new(451, (4, 3, 0), "the message cannot be kept now"), Refusal::Spool),
        }
    }

    /// The target's answer is the sender's. What became of it is remembered: a sender who was not told comes again.
    async fn hand_on(&self, mut parcel: Parcel) -> Reply {
        if let Some(obstacle) = self.hindrance(&parcel) {
            return self.refuse(obstacle.reply(), obstacle);
        }
        // A target that hangs holds up these few, and nobody else.
        let Ok(place) = Arc::clone(&self.as_they_came).try_acquire_owned() else {
            return self.refuse(Obstacle::NotNow.reply(), Obstacle::NotNow);
        };
        match self.runner.announce(&parcel).await {
            Ok(Announced::New) => {}
            Ok(Announced::Again(received)) => (parcel.look, parcel.received) = (Look::First, received),
            Ok(announced) => {
                return match Kept::before(announced) {
                    Some(kept) => {
                        self.runner.counts.event(Event::Repeated);
                        positive(kept, "it was taken before")
                    }
                    None => self.refuse(Obstacle::NotNow.reply(), Obstacle::NotNow),
                };
            }
            Err(_) => return self.refuse(Reply::new(451, (4, 3, 0), "the message cannot be kept now"), Refusal::Spool),
        }
        // On its own: a session that ends does not leave it half done.
        let runner = Arc::clone(&self.runner);
        let put = tokio::spawn(async move {
            let _place = place;
            let (id, tenure) = (parcel.id, parcel.tenure);
            match runner.target.put(parcel).await {
                Ok((arrived, way)) => {
                    runner.arrived(id, way).await;
                    Ok(arrived)
                }
                Err(met) => {
                    let end = if met.obstacle == Obstacle::Unknown { End::Unknown } else { End::NotThere };
                    runner.withdraw(id, tenure, end).await;
                    Err(met.obstacle)
                }
            }
        });
        match put.await.unwrap_or(Err(Obstacle::Unknown)) {
            Ok(arrived) => positive(Kept::arrived(arrived), "taken"),
            Err(obstacle) => self.refuse(obstacle.reply(), obstacle),
        }
    }

    /// The owner is told once that a copy came back.
    async fn come_back(&self, ids: &[MessageId], mail: &Mail) -> Noted {
        let read = mail.clone();
        let read = tokio::task::spawn_blocking(move || Report::read(&mut *read.read()?)).await;
        let Ok(Ok(report)) = read else { return Noted::No };
        for id in ids {
            if self.runner.came_back(*id, report.clone(), self.recipients.owner()).await == Noted::No {
                return Noted::No;
            }
        }
        Noted::Yes
    }

    /// As many at a time as there are cores.
    async fn seal(&self, arrival: Arrival) -> Result<Parcel, Trouble> {
        let _core = self.cores.acquire().await;
        let runner = Arc::clone(&self.runner);
        let tenure = runner.spool.tenure();
        let sealed = tokio::task::spawn_blocking(move || runner.sealer.now().seal(&arrival, tenure));
        sealed.await.unwrap_or(Err(Trouble::Engine))
    }

    fn refuse(&self, reply: Reply, why: impl Into<Refusal>) -> Reply {
        self.refused(why.into(), reply.code());
        reply
    }

    /// Counts and tells what was refused, also by others.
    pub(crate) fn refused(&self, refusal: Refusal, code: u16) {
        let event = if code >= 500 { Event::Rejected } else { Event::Deferred };
        self.runner.counts.event(event);
        self.runner.counts.refused(refusal);
        self.unasked.fetch_or(refusal == Refusal::Dns, Ordering::Relaxed);
        let sealer = self.runner.sealer.now();
        let flow = &sealer.flow;
        let (why, refusal) = match refusal {
            Refusal::Target(obstacle) => (Some(obstacle), None),
            other => (None, Some(other)),
        };
        (self.runner.tell)(&Told { flow, event, why, refusal, id: None, code: Some(code) });
    }
}

/// Unix seconds.
fn now() -> u64 {
    u64::try_from(UnixSeconds::now().0).unwrap_or_default()
}

/// The only way to a 250.
fn positive(_: Kept, text: &str) -> Reply {
    Reply::new(250, (2, 0, 0), text)
}
