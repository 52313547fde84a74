//! One session of a server that brings mail, by SMTP (RFC 5321).
//!
//! In: a session's requests. Out: its answers. What a session holds of a message is gone with the session.

use std::net::{IpAddr, Ipv4Addr};
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

/// The address of somebody who has none (RFC 1122 §3.2.1.3): no domain names it as its server's.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Who sends: the peer, or whom a trusted peer has it from (XFORWARD, XCLIENT).
fn client(session: &Session, peer: Peer) -> Client {
    let client = session.client();
    match peer {
        Peer::Stranger => {
            client.address.map_or(Client::Trusted, |ip| Client::Stranger { ip, helo: client.name.clone() })
        }
        Peer::Trusted => {
            let said = |name| client.xforward.as_ref().and_then(|said| said.get(name));
            // Nothing is told: it is the trusted server's own mail, or what it has checked itself. What cannot be read is told of somebody.
            let Some(address) = said("ADDR") else { return Client::Trusted };
            let helo = said("HELO").unwrap_or_default().to_owned();
            let address = address.strip_prefix("IPV6:").unwrap_or(address);
            Client::Stranger { ip: address.parse().unwrap_or(NOBODY), helo }
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
            intake.runner.sealer.now().counts.took(mail.length());
            intake.take_in(Taken { mail, client, from, recipients }).await
        }
        // No space, as a rule. Nobody has lost anything: the sender keeps the message.
        Err(_) => Reply::new(452, (4, 3, 1), "no space for the message now"),
    }))
}
