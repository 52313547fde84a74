//! One session of a mail server that hands mail in, by LMTP (RFC 2033) or SMTP (RFC 5321).
//!
//! In: a session's requests. Out: its answers. LMTP has an answer for each recipient of a message, SMTP one for all; in both, every
//! recipient gets a copy of his own. What a session holds of a message is gone with the session.

use std::sync::Arc;

use wire::smtp::server::{Received, Request, Session, SessionError};
use wire::smtp::{Dialect, MailFrom, Reply};

use crate::delivery::carry::{Envelope, Gateway};
use crate::delivery::current::Current;
use crate::delivery::mail::{Mail, Taking};
use crate::delivery::transaction::Transaction;

/// Leads a session to its end.
pub(crate) async fn attend(session: &mut Session, current: &Current<Gateway>) -> Result<(), SessionError> {
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

fn begin(session: &Session, current: &Current<Gateway>, from: MailFrom) -> Transaction {
    let said = session.client().xforward.clone();
    let queue_id = said.as_ref().and_then(|said| said.ident().map(str::to_owned));
    let announced = from.size;
    let envelope = Arc::new(Envelope { from, said, queue_id });
    Transaction::new(current.now(), envelope, announced)
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
        Dialect::Lmtp => transaction.one_by_one(mail).await,
        Dialect::Smtp => vec![transaction.together(mail).await],
    }
}
