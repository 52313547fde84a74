//! One session of a mail server that hands mail in, by LMTP (RFC 2033) or SMTP (RFC 5321).
//!
//! In: a session's requests. Out: its answers. LMTP has an answer for each recipient of a message, SMTP one for all; in both, every
//! recipient gets a copy of his own. What a session holds of a message is gone with the session.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use wire::smtp::server::{Received, Request, Session, SessionError};
use wire::smtp::{Dialect, MailFrom, RcptTo, Reply};

use crate::delivery::carry::{Destined, Envelope, Gateway, Settled, hash};
use crate::delivery::current::Current;
use crate::delivery::mail::{Mail, Taking};
use crate::delivery::memo::Which;

/// Copies of one message that are made and handed on at once.
const AT_ONCE: usize = 8;

/// A transaction under way (RFC 5321 §3.3).
struct Transaction {
    gateway: Arc<Gateway>,
    envelope: Arc<Envelope>,
    announced: Option<u64>,
    recipients: Vec<(RcptTo, Destined)>,
}

/// Leads a session to its end.
pub(crate) async fn attend(session: &mut Session, current: &Current) -> Result<(), SessionError> {
    let mut transaction: Option<Transaction> = None;
    loop {
        match session.next().await? {
            Request::Mail(from) => {
                transaction = Some(begin(session, current, from));
                session.reply(&Reply::new(250, (2, 1, 0), "sender ok")).await?;
            }
            Request::Rcpt(to) => {
                let Some(transaction) = &mut transaction else {
                    session.reply(&Reply::new(503, (5, 5, 1), "MAIL first")).await?;
                    continue;
                };
                match transaction.gateway.admit(&transaction.envelope, &to.address).await {
                    Ok(destined) => {
                        transaction.recipients.push((to, destined));
                        session.reply(&Reply::new(250, (2, 1, 5), "recipient ok")).await?;
                    }
                    Err(reply) => session.reply(&reply).await?,
                }
            }
            Request::Content => {
                let Some(transaction) = transaction.take() else {
                    session.reply(&Reply::new(503, (5, 5, 1), "MAIL first")).await?;
                    continue;
                };
                let replies = match take(session, &transaction).await? {
                    Taken::Mail(mail) => settle(session.dialect(), &transaction, &mail).await,
                    Taken::Refused(reply) => vec![reply; transaction.recipients.len()],
                    Taken::Abandoned => continue,
                };
                session.reply_all(&replies).await?;
            }
            Request::Reset => transaction = None,
            Request::Quit => return Ok(()),
        }
    }
}

fn begin(session: &Session, current: &Current, from: MailFrom) -> Transaction {
    let said = session.client().xforward.clone();
    let queue_id = said.as_ref().and_then(|said| said.ident().map(str::to_owned));
    let announced = from.size;
    let envelope = Arc::new(Envelope { from, said, queue_id });
    Transaction { gateway: current.gateway(), envelope, announced, recipients: Vec::new() }
}

/// What came of taking a message.
enum Taken {
    Mail(Mail),
    /// It could not be kept.
    Refused(Reply),
    /// Its sender gave it up, or was told that it is too large.
    Abandoned,
}

/// Take: the message, from the session.
async fn take(session: &mut Session, transaction: &Transaction) -> Result<Taken, SessionError> {
    let gateway = &transaction.gateway;
    let mut taking = Taking::new(transaction.announced, &gateway.settings.temporary);
    let (shape, kept) = match session.receive(&mut |octets| taking.take(octets)).await? {
        Received::Whole { shape, kept } => (shape, kept),
        Received::Abandoned => return Ok(Taken::Abandoned),
    };
    Ok(match kept.and_then(|()| taking.finish(shape)) {
        Ok(mail) => {
            gateway.counts.took(mail.length());
            Taken::Mail(mail)
        }
        // No space, as a rule. Nobody has lost anything: the sender keeps the message.
        Err(_) => Taken::Refused(Reply::new(452, (4, 3, 1), "no space for the message now")),
    })
}

/// Seal, put, settle, for all recipients.
async fn settle(dialect: Dialect, transaction: &Transaction, mail: &Mail) -> Vec<Reply> {
    match dialect {
        Dialect::Lmtp => {
            let Transaction { gateway, envelope, recipients, .. } = transaction;
            let each: Vec<BoxFuture<'_, Settled>> =
                recipients.iter().map(|(to, destined)| gateway.carry(mail, envelope, to, destined).boxed()).collect();
            let settled = futures_util::stream::iter(each).buffered(AT_ONCE);
            settled.map(|settled| settled.reply).collect().await
        }
        Dialect::Smtp => vec![together(transaction, mail).await],
    }
}

/// One answer for all. If some copies were taken and one was not, the message must come again: those that were taken are remembered.
async fn together(transaction: &Transaction, mail: &Mail) -> Reply {
    let Transaction { gateway, envelope, recipients, .. } = transaction;
    let several = recipients.len() > 1 || !gateway.memo.is_empty();
    let hash = match several.then(|| hash(mail)).transpose() {
        Ok(hash) => hash,
        Err(_) => return Reply::new(451, (4, 3, 0), "the message cannot be read again"),
    };
    let which = |to: &RcptTo| hash.map(|hash| Which::new(&hash, &envelope.from.address, &to.address));
    let one = |to, destined| {
        let which = which(to);
        async move {
            let before = which.and_then(|which| gateway.recall(envelope, which, mail.length()));
            let settled = match before {
                Some(settled) => settled,
                None => gateway.carry(mail, envelope, to, destined).await,
            };
            (which, settled)
        }
        .boxed()
    };
    let each: Vec<BoxFuture<'_, (Option<Which>, Settled)>> =
        recipients.iter().map(|(to, destined)| one(to, destined)).collect();
    let settled: Vec<(Option<Which>, Settled)> = futures_util::stream::iter(each).buffered(AT_ONCE).collect().await;
    let failed = settled.iter().map(|(_, settled)| settled).filter(|settled| settled.receipt.is_none());
    // As long as one of them may still get it, the sender must not give up.
    let worst = failed.min_by_key(|settled| settled.reply.code() / 100).map(|settled| settled.reply.clone());
    for (which, settled) in &settled {
        match which {
            Some(which) if worst.is_none() => gateway.memo.forget(*which),
            Some(which) if settled.receipt.is_some() => gateway.memo.remember(*which),
            _ => {}
        }
    }
    match (worst, settled.into_iter().next()) {
        (Some(reply), _) => reply,
        (None, Some((_, settled))) => settled.reply,
        (None, None) => Reply::new(503, (5, 5, 1), "RCPT first"),
    }
}
