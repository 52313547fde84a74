//! Take, seal, put, settle, for mail that passes by: one recipient's copy from the sender's hands into the next hop's.
//!
//! In: an envelope, a message that was taken, a recipient. Out: the answer that settles with the sender. It is positive only against
//! a receipt ([`Accepted`]); whatever goes wrong before is answered so that the sender keeps the message or gives it back, as the
//! policy says. No step leaves anything behind that a crash could lose: until we answer, the message is the sender's.

use std::sync::Arc;

use sealed::identity::Hash;
use tokio::sync::Semaphore;
use wire::smtp::{MailFrom, RcptTo, Reply, Xforward};

use crate::delivery::accepted::Accepted;
use crate::delivery::counts::{Counts, Outcome};
use crate::delivery::health::{Answered, Health};
use crate::delivery::hold::hold;
use crate::delivery::mail::Mail;
use crate::delivery::memo::{Memo, Which};
use crate::delivery::policy::OnFailure;
use crate::delivery::put::{Place, Put};
use crate::delivery::sealing::{Copy, Encrypted, Kind, Whose, seal};
use crate::delivery::settings::Settings;
use crate::delivery::trouble::Trouble;
use crate::directory::{Lookup, Owner};

/// Copies that are being made or handed on at once; further ones wait, and their senders with them.
const UNDER_WAY: usize = 128;

/// All that a flow needs to carry mail; shared by its sessions.
pub(crate) struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) counts: Arc<Counts>,
    pub(crate) place: Place,
    pub(crate) health: Arc<Health>,
    pub(crate) memo: Arc<Memo>,
    pub(crate) tell: Tell,
    sealing: Semaphore,
    under_way: Semaphore,
}

/// What stays when the settings change.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) counts: Arc<Counts>,
    pub(crate) health: Arc<Health>,
    pub(crate) memo: Arc<Memo>,
    pub(crate) tell: Tell,
}

/// Who is told what became of a copy that was not simply sealed and taken.
pub type Tell = Arc<dyn Fn(&Note<'_>) + Send + Sync>;

/// What became of a copy.
#[derive(Debug)]
pub struct Note<'a> {
    /// The flow.
    pub flow: &'a str,
    /// What the sending server calls the message in its own log (XFORWARD IDENT, or the milter's macro `i`).
    pub queue_id: Option<&'a str>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not sealed.
    pub trouble: Option<Trouble>,
    /// Why the next hop has not got it.
    pub hop: Option<Hop>,
    /// Code of the answer.
    pub code: u16,
    /// Octets of the original.
    pub octets: u64,
}

/// Why the next hop has not got a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// It said no.
    Refused,
    /// It was not reached, or broke off.
    Lost,
    /// It broke off without saying whether it took it.
    Unknown,
    /// It lacks an extension that the copy needs.
    Lacks,
    /// The copy cannot be written.
    Unwritable,
}

/// From whom a message is, and what the sending server says of it.
pub(crate) struct Envelope {
    pub(crate) from: MailFrom,
    pub(crate) said: Option<Xforward>,
    pub(crate) queue_id: Option<String>,
}

/// What becomes of a recipient's copy.
#[derive(Clone)]
pub(crate) enum Destined {
    /// It is sealed to this owner.
    Seal(Arc<Owner>),
    /// It is held.
    Hold(Trouble),
    /// It goes on in clear.
    Pass(Trouble),
}

/// What the sender is told of one recipient's copy.
pub(crate) struct Settled {
    pub(crate) reply: Reply,
    /// Held where the answer is positive.
    pub(crate) receipt: Option<Accepted>,
}

impl Settled {
    fn taken(receipt: Accepted, reply: Reply) -> Settled {
        Settled { reply, receipt: Some(receipt) }
    }

    fn refused(reply: Reply) -> Settled {
        // Whatever the next hop said: without a receipt, nobody is told that his message was taken.
        let is_no = reply.is_transient() || reply.is_permanent();
        let reply = if is_no { reply } else { Reply::new(451, (4, 3, 0), "not taken") };
        Settled { reply, receipt: None }
    }
}

impl Gateway {
    pub(crate) fn new(settings: Settings, shared: &Shared) -> Gateway {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let Shared { counts, health, memo, tell } = shared.clone();
        Gateway {
            place: Place::of(&settings.sink),
            settings,
            counts,
            health,
            memo,
            tell,
            sealing: Semaphore::new(cores),
            under_way: Semaphore::new(UNDER_WAY),
        }
    }

    /// A recipient is named: what will become of his copy, or why there can be none.
    pub(crate) async fn admit(&self, envelope: &Envelope, address: &str) -> Result<Destined, Reply> {
        let found = self.settings.directory.lookup(address).await;
        self.health.directory(if found.is_ok() { Answered::Yes } else { Answered::No });
        let trouble = match found {
            Ok(Lookup::Owner(owner)) => return Ok(Destined::Seal(owner)),
            Ok(Lookup::Unknown) => Trouble::NoKey,
            Ok(Lookup::Unusable(unusable)) => unusable.into(),
            Err(_) => Trouble::DirectoryDown,
        };
        self.counts.trouble(trouble);
        match self.answer(address, trouble).await {
            OnFailure::Hold if self.settings.hold.is_some() => Ok(Destined::Hold(trouble)),
            OnFailure::Pass => Ok(Destined::Pass(trouble)),
            answer => {
                let reply = refusal(answer, trouble);
                let outcome = if reply.is_permanent() { Outcome::Rejected } else { Outcome::Deferred };
                self.note(envelope, outcome, Some(trouble), None, &reply, 0);
                Err(reply)
            }
        }
    }

    /// Seals one recipient's copy, puts it, and says how to settle with the sender.
    pub(crate) async fn carry(
        self: &Arc<Self>,
        mail: &Mail,
        envelope: &Arc<Envelope>,
        to: &RcptTo,
        destined: &Destined,
    ) -> Settled {
        let _under_way = self.under_way.acquire().await;
        match destined {
            Destined::Seal(owner) => match self.seal(mail, envelope, &[to], owner).await {
                Ok(copy) => self.put(mail, envelope, to, copy, None).await,
                Err(trouble) => self.fail(mail, envelope, to, trouble).await,
            },
            Destined::Hold(trouble) => self.hold(mail, envelope, to, *trouble).await,
            Destined::Pass(trouble) => self.pass(mail, envelope, to, *trouble).await,
        }
    }

    /// Seals a copy that is for these recipients of one owner.
    pub(crate) async fn seal(
        self: &Arc<Self>,
        mail: &Mail,
        envelope: &Envelope,
        to: &[&RcptTo],
        owner: &Arc<Owner>,
    ) -> Result<Copy, Trouble> {
        let words = words(envelope, to);
        let (gateway, mail, owner) = (Arc::clone(self), mail.clone(), Arc::clone(owner));
        self.on_a_core(move || {
            let whose = Whose {
                account: owner.account,
                recipients: owner.recipients.clone(),
                profile: owner.enrolment.profile(),
                policy: owner.enrolment.policy,
            };
            seal(&gateway.settings.how(), &gateway.counts, &mail, &whose, words, Encrypted::GoesOn)
        })
        .await
    }

    /// What the policy says of a recipient, under whatever name.
    pub(crate) async fn answer(&self, address: &str, trouble: Trouble) -> OnFailure {
        self.settings.policy.answer(&self.settings.directory.names(address).await, trouble)
    }

    /// A copy cannot be sealed, or its next hop cannot take it sealed: as the policy says.
    async fn fail(self: &Arc<Self>, mail: &Mail, envelope: &Arc<Envelope>, to: &RcptTo, trouble: Trouble) -> Settled {
        self.counts.trouble(trouble);
        match self.answer(&to.address, trouble).await {
            OnFailure::Hold if self.settings.hold.is_some() => self.hold(mail, envelope, to, trouble).await,
            OnFailure::Pass => self.pass(mail, envelope, to, trouble).await,
            answer => self.refuse(mail, envelope, trouble, refusal(answer, trouble)),
        }
    }

    async fn hold(self: &Arc<Self>, mail: &Mail, envelope: &Arc<Envelope>, to: &RcptTo, trouble: Trouble) -> Settled {
        let words = words(envelope, &[to]);
        let (gateway, held) = (Arc::clone(self), mail.clone());
        let kept = self.on_a_core(move || {
            let place = gateway.settings.hold.as_ref().ok_or(Trouble::Engine)?;
            hold(&gateway.settings, &gateway.counts, place, &held, words)
        });
        match kept.await {
            Ok(receipt) => {
                let reply = Reply::new(250, (2, 0, 0), "held");
                self.note(envelope, Outcome::Held, Some(trouble), None, &reply, mail.length());
                Settled::taken(receipt, reply)
            }
            // Not even that: the sender keeps it.
            Err(_) => self.refuse(mail, envelope, trouble, refusal(OnFailure::Defer, trouble)),
        }
    }

    async fn pass(self: &Arc<Self>, mail: &Mail, envelope: &Arc<Envelope>, to: &RcptTo, trouble: Trouble) -> Settled {
        let clear = mail.clone();
        match self.on_a_core(move || Copy::as_it_came(&clear, Kind::Clear)).await {
            Ok(copy) => self.put(mail, envelope, to, copy, Some(trouble)).await,
            Err(_) => self.refuse(mail, envelope, trouble, refusal(OnFailure::Defer, trouble)),
        }
    }

    fn refuse(&self, mail: &Mail, envelope: &Envelope, trouble: Trouble, reply: Reply) -> Settled {
        let outcome = if reply.is_permanent() { Outcome::Rejected } else { Outcome::Deferred };
        self.note(envelope, outcome, Some(trouble), None, &reply, mail.length());
        Settled::refused(reply)
    }

    async fn put(
        self: &Arc<Self>,
        mail: &Mail,
        envelope: &Arc<Envelope>,
        to: &RcptTo,
        copy: Copy,
        trouble: Option<Trouble>,
    ) -> Settled {
        let kind = copy.kind;
        let octets = mail.length();
        let (reply, hop) = match self.place.put(&envelope.from, to, envelope.said.as_ref(), copy).await {
            Put::Accepted(receipt, reply) => {
                let outcome = match kind {
                    Kind::Sealed => Outcome::Sealed,
                    Kind::Encrypted => Outcome::Encrypted,
                    Kind::Clear => Outcome::Passed,
                };
                self.note(envelope, outcome, trouble, None, &reply, octets);
                return Settled::taken(receipt, reply);
            }
            Put::TooLarge if kind == Kind::Sealed => {
                return Box::pin(self.fail(mail, envelope, to, Trouble::TooLarge)).await;
            }
            Put::TooLarge => (refusal(OnFailure::Reject, Trouble::TooLarge), Hop::Refused),
            Put::Refused(reply) => (reply, Hop::Refused),
            Put::Lacks => {
                let text = "the next server cannot take this message as it is";
                (Reply::new(554, (5, 6, 1), text), Hop::Lacks)
            }
            Put::Lost => (Reply::new(451, (4, 4, 1), "the next server cannot be reached"), Hop::Lost),
            Put::Unknown => {
                self.counts.unknown_end();
                (Reply::new(451, (4, 4, 2), "the next server broke off"), Hop::Unknown)
            }
            Put::Unwritable => (Reply::new(452, (4, 3, 1), "the message cannot be written"), Hop::Unwritable),
        };
        match hop {
            Hop::Refused | Hop::Lacks => self.counts.refused_by_hop(),
            Hop::Lost => self.counts.hop_lost(),
            Hop::Unknown | Hop::Unwritable => {}
        }
        let outcome = if reply.is_permanent() { Outcome::Rejected } else { Outcome::Deferred };
        self.note(envelope, outcome, trouble, Some(hop), &reply, octets);
        Settled::refused(reply)
    }

    /// The copy was taken when the message came the time before.
    pub(crate) fn recall(&self, envelope: &Envelope, which: Which, octets: u64) -> Option<Settled> {
        let remembered = self.memo.recall(which)?;
        let reply = Reply::new(250, (2, 0, 0), "taken before");
        self.note(envelope, Outcome::Repeated, None, None, &reply, octets);
        Some(Settled::taken(Accepted::before(remembered), reply))
    }

    pub(crate) fn note(
        &self,
        envelope: &Envelope,
        outcome: Outcome,
        trouble: Option<Trouble>,
        hop: Option<Hop>,
        reply: &Reply,
        octets: u64,
    ) {
        self.counts.outcome(outcome);
        if !matches!(outcome, Outcome::Sealed | Outcome::Encrypted) {
            let queue_id = envelope.queue_id.as_deref();
            let flow = self.settings.name.as_str();
            (self.tell)(&Note { flow, queue_id, outcome, trouble, hop, code: reply.code(), octets });
        }
    }

    /// As many at a time as there are cores.
    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let _core = self.sealing.acquire().await;
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(Trouble::Engine))
    }
}

/// MAIL FROM, and whom the copy is for (A10).
fn words(envelope: &Envelope, to: &[&RcptTo]) -> Vec<String> {
    let to = to.iter().map(|to| to.address.clone());
    std::iter::once(envelope.from.address.clone()).chain(to).collect()
}

/// What the sender is told when a copy cannot be sealed.
pub(crate) fn refusal(answer: OnFailure, trouble: Trouble) -> Reply {
    let (subject, detail) = trouble.enhanced();
    match answer {
        OnFailure::Reject => {
            let code = if trouble.enhanced() == (3, 4) { 552 } else { 550 };
            Reply::new(code, (5, subject, detail), trouble.text())
        }
        _ => {
            let code = if trouble.enhanced() == (3, 4) { 452 } else { 451 };
            Reply::new(code, (4, subject, detail), trouble.text())
        }
    }
}

/// The hash by which a message is known when it comes again.
pub(crate) fn hash(mail: &Mail) -> std::io::Result<Hash> {
    sealed::identity::sha256_of(&mut *mail.read()?)
}
