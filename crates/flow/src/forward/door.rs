//! One session of a server that brings mail, by SMTP (RFC 5321).
//!
//! In: a session's requests. Out: its answers. What a session holds of a message is gone with the session.

use std::path::Path;

use wire::smtp::server::{Received, Request, Session, SessionError};
use wire::smtp::{Dialect, MailFrom, RcptTo, Reply};

use crate::delivery::mail::Taking;
use crate::forward::intake::{Client, Intake, Taken};

/// A message that is begun.
struct Begun {
    client: Client,
    from: MailFrom,
    recipients: Vec<RcptTo>,
}

/// Leads a session to its end. `is_trusted`: what its peer says of others is believed.
pub(crate) async fn attend(
    session: &mut Session,
    intake: &Intake,
    peer: Peer,
    temporary: &Path,
) -> Result<(), SessionError> {
    let mut begun: Option<Begun> = None;
    loop {
        match session.next().await? {
            Request::Mail(from) => match intake.sender(&client(session, peer), &from) {
                Ok(()) => {
                    begun = Some(Begun { client: client(session, peer), from, recipients: Vec::new() });
                    session.reply(&Reply::new(250, (2, 1, 0), "sender ok")).await?;
                }
                Err(reply) => {
                    begun = None;
                    session.reply(&reply).await?;
                }
            },
            Request::Rcpt(to) => match &mut begun {
                Some(begun) => match intake.recipient(&begun.from, &to) {
                    Ok(()) => {
                        begun.recipients.push(to);
                        session.reply(&Reply::new(250, (2, 1, 5), "recipient ok")).await?;
                    }
                    Err(reply) => session.reply(&reply).await?,
                },
                None => session.reply(&Reply::new(503, (5, 5, 1), "MAIL first")).await?,
            },
            Request::Content => {
                let Some(begun) = begun.take() else {
                    session.reply(&Reply::new(503, (5, 5, 1), "MAIL first")).await?;
                    continue;
                };
                let count = match session.dialect() {
                    Dialect::Smtp => 1,
                    Dialect::Lmtp => begun.recipients.len(),
                };
                if let Some(reply) = content(session, intake, begun, temporary).await? {
                    session.reply_all(&vec![reply; count]).await?;
                }
            }
            Request::Reset => begun = None,
            Request::Quit => return Ok(()),
        }
    }
}

/// Who is at the other side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// What it says of others is believed.
    Trusted,
    /// It is not.
    Stranger,
}

/// Who sends: the peer, or whom a trusted peer has it from (XFORWARD, XCLIENT).
fn client(session: &Session, peer: Peer) -> Client {
    let client = session.client();
    match peer {
        Peer::Stranger => {
            client.address.map_or(Client::Trusted, |ip| Client::Stranger { ip, helo: client.name.clone() })
        }
        Peer::Trusted => {
            let said = |name| client.xforward.as_ref().and_then(|said| said.get(name));
            let ip = said("ADDR").and_then(|address| address.trim_start_matches("IPV6:").parse().ok());
            let helo = said("HELO").unwrap_or_default().to_owned();
            ip.map_or(Client::Trusted, |ip| Client::Stranger { ip, helo })
        }
    }
}

/// The content, and the answer to it; none: it was answered, or given up.
async fn content(
    session: &mut Session,
    intake: &Intake,
    begun: Begun,
    temporary: &Path,
) -> Result<Option<Reply>, SessionError> {
    let Begun { client, from, recipients } = begun;
    let mut taking = Taking::new(from.size, temporary);
    let (shape, kept) = match session.receive(&mut |octets| taking.take(octets)).await? {
        Received::Whole { shape, kept } => (shape, kept),
        Received::Abandoned => return Ok(None),
    };
    Ok(Some(match kept.and_then(|()| taking.finish(shape)) {
        Ok(mail) => {
            intake.runner.sealer.counts.took(mail.length());
            intake.take_in(Taken { mail, client, from, recipients }).await
        }
        // No space, as a rule. Nobody has lost anything: the sender keeps the message.
        Err(_) => Reply::new(452, (4, 3, 1), "no space for the message now"),
    }))
}
