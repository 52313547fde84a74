//! A copy put where it goes: the next hop, or a Maildir.
//!
//! In: an envelope for one recipient, the copy. Out: a receipt with the words of whoever gave it, or why there is none. One transaction a
//! copy, so that no recipient learns of another. Nothing is tried twice that may have been taken.

use std::io;

use wire::smtp::client::{Content, DeliverError, Pool};
use wire::smtp::{MailFrom, RcptTo, Reply, Xforward};

use crate::delivery::accepted::Accepted;
use crate::delivery::sealing::{Copy, Kind};
use crate::delivery::settings::Sink;

/// What came of it.
pub(crate) enum Put {
    /// It was taken.
    Accepted(Accepted, Reply),
    /// The next hop said no, for now or for ever.
    Refused(Reply),
    /// It is larger than the next hop takes.
    TooLarge,
    /// The next hop cannot take it, whatever its size: it lacks an extension that the copy needs.
    Lacks,
    /// The next hop was not reached, or broke off before it had everything.
    Lost,
    /// It broke off when it had everything, before it said whether it took it.
    Unknown,
    /// It could not be written: no space, no permission.
    Unwritable,
}

/// Where copies go.
pub(crate) enum Place {
    Hop(Pool),
    Maildir(std::path::PathBuf),
    Nowhere,
}

impl Place {
    pub(crate) fn of(sink: &Sink) -> Place {
        match sink {
            Sink::Hop(hop) => Place::Hop(Pool::new(hop.clone())),
            Sink::Maildir(path) => Place::Maildir(path.clone()),
            Sink::Back => Place::Nowhere,
        }
    }

    /// Puts one recipient's copy there.
    pub(crate) async fn put(&self, from: &MailFrom, to: &RcptTo, said: Option<&Xforward>, copy: Copy) -> Put {
        match self {
            Place::Hop(pool) => hand_over(pool, from, to, said, copy).await,
            Place::Maildir(path) => {
                let path = path.clone();
                let mut octets = copy.octets;
                let written = tokio::task::spawn_blocking(move || {
                    store::maildir::deliver(&path, |to| io::copy(&mut octets, to).map(|_| ()))
                });
                match written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(delivered) => Put::Accepted(Accepted::kept(delivered), Reply::new(250, (2, 0, 0), "delivered")),
                    Err(_) => Put::Unwritable,
                }
            }
            Place::Nowhere => Put::Unwritable,
        }
    }
}

async fn hand_over(pool: &Pool, from: &MailFrom, to: &RcptTo, said: Option<&Xforward>, copy: Copy) -> Put {
    let mut envelope = from.clone();
    // A sealed copy is ASCII in short lines, whatever the message was: it asks for no extension but what the addresses need.
    if copy.kind == Kind::Sealed {
        envelope.smtputf8 = from.smtputf8 && !(from.address.is_ascii() && to.address.is_ascii());
    }
    // What goes on as it came must not end early for whoever reads line ends loosely (SMTP smuggling): by its shape it is counted, or not sent.
    let content = Content { length: copy.length, shape: copy.shape, octets: Box::new(copy.octets) };
    let mut replies = match pool.deliver(&envelope, std::slice::from_ref(to), said, content).await {
        Ok(replies) => replies,
        Err(DeliverError::TooLarge) => return Put::TooLarge,
        Err(DeliverError::Lacks(_)) => return Put::Lacks,
        Err(DeliverError::Read(_)) => return Put::Unwritable,
        Err(DeliverError::NotSent(_) | DeliverError::Untrusted | DeliverError::NoLogin(_) | DeliverError::NoAuth) => {
            return Put::Lost;
        }
        Err(DeliverError::Unknown) => return Put::Unknown,
    };
    // One recipient, one answer.
    let Some(reply) = replies.pop().filter(|_| replies.is_empty()) else { return Put::Unknown };
    match Accepted::by_hop(&reply) {
        Some(receipt) => Put::Accepted(receipt, reply),
        None => Put::Refused(reply),
    }
}
