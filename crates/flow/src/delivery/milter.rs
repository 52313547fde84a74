//! A mail server that shows its mail and changes it as it is told: the milter protocol.
//!
//! In: what a mail server shows of a message. Out: its sealed form in its place, or an answer. There is one form for all recipients of a
//! message, so it is changed in place only if all of them are one owner's. Those of other owners are told to come again by themselves (452 4.5.3),
//! or, where the flow has a sink, each gets a copy of his own by that way, and the server drops what it has. Never is a message sealed to the
//! owners of several mailboxes together: they would learn of each other.

use std::io::{BufReader, Read};
use std::sync::Arc;

use mail::HeaderSection;
use sealed::outer::read_header_section;
use wire::milter::{Answer, Change, Event, MilterError, Session};
use wire::smtp::{Looking, MailFrom, RcptTo, Reply};

use crate::delivery::carry::{Destined, Envelope, Gateway, refusal};
use crate::delivery::counts::Outcome;
use crate::delivery::current::Current;
use crate::delivery::mail::{Mail, Taking};
use crate::delivery::policy::OnFailure;
use crate::delivery::sealing::{Copy, Kind};
use crate::delivery::settings::Sink;
use crate::delivery::transaction::Transaction;
use crate::delivery::trouble::Trouble;
use crate::directory::Owner;

/// Octets of a new body that are said at a time (libmilter's chunk).
const CHUNK: usize = wire::milter::limit::CHUNK;

/// A message that is being shown.
struct Shown {
    transaction: Transaction,
    from: MailFrom,
    taking: Option<Taking>,
    looking: Looking,
    /// Names of its header fields, in their order.
    fields: Vec<Vec<u8>>,
}

/// Follows a connection to its end.
pub(crate) async fn watch(session: &mut Session, current: &Current<Gateway>) -> Result<(), MilterError> {
    let mut shown: Option<Shown> = None;
    loop {
        let event = session.next().await?;
        match (event, &mut shown) {
            (Event::Quit, _) => return Ok(()),
            (Event::Mail(from), _) => {
                shown = Some(Shown::new(current, from));
                session.answer(&Answer::Continue).await?;
            }
            (Event::Rcpt(to), Some(shown)) => {
                shown.name(session.told("i").map(str::to_owned));
                let answer = shown.admit(to).await;
                session.answer(&answer).await?;
            }
            (Event::Header { name, value }, Some(shown)) => {
                shown.take(&[&name, b":".as_slice(), &value, b"\r\n"].concat());
                shown.fields.push(name);
            }
            (Event::EndOfHeaders, Some(shown)) => {
                shown.take(b"\r\n");
                session.answer(&Answer::Continue).await?;
            }
            (Event::Body(octets), Some(shown)) => {
                shown.take(&octets);
                session.answer(&Answer::Continue).await?;
            }
            (Event::EndOfMessage(octets), Some(_)) => {
                let Some(mut whole) = shown.take() else { continue };
                whole.take(&octets);
                let answer = whole.settle(session).await?;
                session.answer(&answer).await?;
            }
            (Event::Data, Some(_)) => session.answer(&Answer::Continue).await?,
            (Event::Abort | Event::NextConnection, _) => shown = None,
            // What was not begun is not let through: the session answers "not now".
            _ => {}
        }
    }
}

impl Shown {
    fn new(current: &Current<Gateway>, from: MailFrom) -> Shown {
        let gateway = current.now();
        let announced = from.size;
        let taking = Taking::new(announced, &gateway.settings.temporary);
        let envelope = Arc::new(Envelope { from: from.clone(), said: None, queue_id: None });
        let transaction = Transaction::new(gateway, envelope, announced);
        Shown { transaction, from, taking: Some(taking), looking: Looking::default(), fields: Vec::new() }
    }

    /// The server's own name for the message is known only after it has begun.
    fn name(&mut self, queue_id: Option<String>) {
        self.transaction.envelope = Arc::new(Envelope { from: self.from.clone(), said: None, queue_id });
    }

    async fn admit(&mut self, to: RcptTo) -> Answer {
        let Transaction { gateway, envelope, recipients, .. } = &mut self.transaction;
        let destined = match gateway.admit(envelope, &to.address).await {
            Ok(destined) => destined,
            Err(reply) => return Answer::Reply(reply),
        };
        let is_alike = recipients.first().is_none_or(|(_, first)| is_alike(first, &destined));
        if !is_alike && matches!(gateway.settings.sink, Sink::Back) {
            // RFC 5321 §4.5.3.1.10: the client sends it again for those that are left.
            return Answer::Reply(Reply::new(452, (4, 5, 3), "one owner's recipients at a time"));
        }
        recipients.push((to, destined));
        Answer::Continue
    }

    /// What cannot be kept is noticed at the end.
    fn take(&mut self, octets: &[u8]) {
        self.looking.look(octets);
        if self.taking.as_mut().is_some_and(|taking| taking.take(octets).is_err()) {
            self.taking = None;
        }
    }

    /// Seal, put or change, settle.
    async fn settle(mut self, session: &mut Session) -> Result<Answer, MilterError> {
        self.name(session.told("i").map(str::to_owned));
        let Shown { taking, looking, fields, mut transaction, .. } = self;
        let Some(mail) = taking.and_then(|taking| taking.finish(looking.finish()).ok()) else {
            return Ok(Answer::Reply(Reply::new(452, (4, 3, 1), "no space for the message now")));
        };
        transaction.gateway.counts.took(mail.length());
        let Some((_, first)) = transaction.recipients.first() else { return Ok(Answer::TempFail) };
        let first = first.clone();
        if !transaction.recipients.iter().all(|(_, other)| is_alike(&first, other)) {
            return Ok(handed_over(transaction.together(&mail).await));
        }
        let trouble = match &first {
            Destined::Hold(_) => return Ok(handed_over(transaction.together(&mail).await)),
            Destined::Pass(trouble) => return Ok(go_on(&transaction, &mail, Outcome::Passed, Some(*trouble))),
            Destined::Seal(owner) => match seal(&transaction, &mail, owner, &fields).await {
                Ok(copy) if copy.kind == Kind::Sealed => {
                    if change(session, &fields, copy).await.is_ok() {
                        return Ok(go_on(&transaction, &mail, Outcome::Sealed, None));
                    }
                    // Half changed, it must not go on.
                    return Ok(refuse(&transaction, &mail, Trouble::Engine, OnFailure::Defer));
                }
                Ok(_) => return Ok(go_on(&transaction, &mail, Outcome::Encrypted, None)),
                Err(trouble) => trouble,
            },
        };
        transaction.gateway.counts.trouble(trouble);
        let settings = &transaction.gateway.settings;
        let mut answers: Vec<OnFailure> = Vec::new();
        for (to, _) in &transaction.recipients {
            let answer = transaction.gateway.answer(&to.address, trouble).await;
            if !answers.contains(&answer) {
                answers.push(answer);
            }
        }
        // One answer for all: where they differ, nobody's mail goes back, or open.
        match answers.as_slice() {
            [OnFailure::Hold] if settings.hold.is_some() => {
                transaction.recipients.iter_mut().for_each(|(_, destined)| *destined = Destined::Hold(trouble));
                Ok(handed_over(transaction.together(&mail).await))
            }
            [OnFailure::Pass] => Ok(go_on(&transaction, &mail, Outcome::Passed, Some(trouble))),
            [answer] => Ok(refuse(&transaction, &mail, trouble, *answer)),
            _ => Ok(refuse(&transaction, &mail, trouble, OnFailure::Defer)),
        }
    }
}

/// The form that takes the message's place.
async fn seal(transaction: &Transaction, mail: &Mail, owner: &Arc<Owner>, fields: &[Vec<u8>]) -> Result<Copy, Trouble> {
    // A field whose name cannot be said cannot be removed, and would stay.
    let is_sayable = |name: &Vec<u8>| !name.is_empty() && name.iter().all(|octet| matches!(octet, 33..=57 | 59..=126));
    if !fields.iter().all(is_sayable) {
        return Err(Trouble::Engine);
    }
    let to: Vec<&RcptTo> = transaction.recipients.iter().map(|(to, _)| to).collect();
    transaction.gateway.seal(mail, &transaction.envelope, &to, owner).await
}

/// Every header field and the body go, those of the sealed form come.
async fn change(session: &mut Session, fields: &[Vec<u8>], copy: Copy) -> Result<(), MilterError> {
    let mut from = BufReader::with_capacity(CHUNK, copy.octets);
    let Some((header, rest)) = read_header_section(&mut from).map_err(MilterError::Io)? else {
        return Err(MilterError::NotNow);
    };
    // From the last one of a name to the first, so that no number changes under us.
    let names: Vec<String> = fields.iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    for (at, name) in names.iter().enumerate().rev() {
        let before = names.iter().take(at).filter(|other| *other == name).count();
        let index = u32::try_from(before.saturating_add(1)).unwrap_or(u32::MAX);
        session.change(&Change::ChangeHeader { name, index, value: b"" }).await?;
    }
    for field in HeaderSection::parse(&header).fields() {
        let name = std::str::from_utf8(field.name()).map_err(|_| MilterError::NotNow)?;
        session.change(&Change::AddHeader { name, value: field.value() }).await?;
    }
    let mut from = rest.as_slice().chain(from);
    let mut chunk = vec![0; CHUNK];
    loop {
        match fill(&mut from, &mut chunk).map_err(MilterError::Io)? {
            0 => return Ok(()),
            count => session.change(&Change::ReplaceBody(chunk.get(..count).unwrap_or_default())).await?,
        }
    }
}

fn fill(from: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while let Some(free) = chunk.get_mut(count..).filter(|free| !free.is_empty()) {
        match from.read(free)? {
            0 => break,
            more => count = count.saturating_add(more),
        }
    }
    Ok(count)
}

/// The server keeps the message, as it is now.
fn go_on(transaction: &Transaction, mail: &Mail, outcome: Outcome, trouble: Option<Trouble>) -> Answer {
    let reply = Reply::new(250, (2, 0, 0), "goes on");
    transaction.gateway.note(&transaction.envelope, outcome, trouble, None, &reply, mail.length());
    Answer::Continue
}

fn refuse(transaction: &Transaction, mail: &Mail, trouble: Trouble, answer: OnFailure) -> Answer {
    let reply = refusal(answer, trouble);
    let outcome = if reply.is_permanent() { Outcome::Rejected } else { Outcome::Deferred };
    transaction.gateway.note(&transaction.envelope, outcome, Some(trouble), None, &reply, mail.length());
    Answer::Reply(reply)
}

/// Somebody else has every copy: the server drops what it has. Else its client keeps the message.
fn handed_over(reply: Reply) -> Answer {
    if reply.is_positive() { Answer::Discard } else { Answer::Reply(reply) }
}

/// Whether one form of the message does for both.
fn is_alike(one: &Destined, other: &Destined) -> bool {
    match (one, other) {
        (Destined::Seal(one), Destined::Seal(other)) => Arc::ptr_eq(one, other) || is_same_owner(one, other),
        (Destined::Hold(_), Destined::Hold(_)) | (Destined::Pass(_), Destined::Pass(_)) => true,
        _ => false,
    }
}

/// The same keys, in the same way.
fn is_same_owner(one: &Owner, other: &Owner) -> bool {
    let keys = |owner: &Owner| -> Vec<Vec<u8>> {
        owner.enrolment.certificates.iter().map(|certificate| certificate.octets.clone()).collect()
    };
    one.account == other.account && one.enrolment.policy == other.enrolment.policy && keys(one) == keys(other)
}
