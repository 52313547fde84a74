//! A copy handed to another server, or put into a Maildir.
//!
//! In: a copy. Out: a receipt, or what stood in the way. What is sealed is ASCII in short lines and asks for no extension but what its addresses need.

use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use wire::smtp::client::Content;
use wire::smtp::{Body, MailFrom, Parameter, RcptTo};

use crate::delivery::current::Current;
use crate::forward::arrived::Arrived;
use crate::forward::link::Link;
use crate::forward::met::Met;
use crate::forward::obstacle::Obstacle;
use crate::forward::parcel::{Evidence, Headed, Parcel};
use crate::forward::settings::Own;
use crate::forward::trace::mark;

/// Another server.
pub(crate) struct Hop {
    link: Link,
    hello: String,
    /// Whose mail it is, for the mark. Not whom it was sent to: which of his addresses that was, the target need not know.
    owner: String,
    to: Option<String>,
    own: Current<Option<Arc<Own>>>,
}

impl Hop {
    /// `owner`: an address of his. `to`: for this address; none: for the one that a copy came for.
    pub(crate) fn new(link: Link, hello: String, owner: String, to: Option<String>, own: Option<Arc<Own>>) -> Hop {
        Hop { link, hello, owner, to, own: Current::new(own) }
    }

    /// From the next copy on, this is in whose name it goes on.
    pub(crate) fn renew(&self, own: Option<Arc<Own>>) {
        self.own.set(own);
    }

    /// Octets of the largest copy that it takes, as it said last.
    pub(crate) fn takes(&self) -> Option<u64> {
        self.link.takes()
    }

    /// Can it be reached?
    pub(crate) async fn probe(&self) -> Result<(), Met> {
        self.link.probe().await.map_err(Met::from)
    }

    pub(crate) async fn put(&self, parcel: Parcel) -> Result<Arrived, Met> {
        let (parcel, signature) = self.sign(parcel).await?;
        let mut head = mark(&self.owner, &self.hello, &parcel.name(), parcel.received.0).into_bytes();
        head.extend_from_slice(&signature);
        let mut to = parcel.envelope.to.clone();
        if let Some(address) = &self.to {
            to.address.clone_from(address);
        }
        // RFC 3461 §4.1: no report goes to a stranger; in our own name, only that it failed comes back.
        let notify = if self.own.now().is_some() { "FAILURE" } else { "NEVER" };
        to.parameters.push(Parameter { name: "NOTIFY".to_owned(), value: Some(notify.to_owned()) });
        let from = sender(&parcel, &to);
        let length = parcel.length.saturating_add(u64::try_from(head.len()).unwrap_or(u64::MAX));
        let octets = Box::new(Headed::new(head, parcel.octets));
        let content = Content { length, shape: parcel.shape, octets };
        match self.link.deliver(&from, &to, content).await {
            // One recipient, one answer.
            Ok(replies) => match replies.as_slice() {
                [reply] => Arrived::by_hop(reply).ok_or_else(|| Met::of_reply(reply)),
                _ => Err(Obstacle::Unknown.into()),
            },
            Err(obstacle) => Err(obstacle.into()),
        }
    }
}

impl Hop {
    /// Fields of our own signature; none without a name of our own, and none for what goes on in its author's.
    async fn sign(&self, mut parcel: Parcel) -> Result<(Parcel, Vec<u8>), Obstacle> {
        let Some(own) = Option::clone(&self.own.now()).filter(|_| !matches!(parcel.evidence, Evidence::AsItCame(_)))
        else {
            return Ok((parcel, Vec::new()));
        };
        let signed = tokio::task::spawn_blocking(move || {
            parcel.octets.rewind().map_err(|_| Obstacle::Unwritable)?;
            let signature = own.signer.sign(&mut parcel.octets).map_err(|_| Obstacle::Unwritable)?;
            parcel.octets.rewind().map_err(|_| Obstacle::Unwritable)?;
            Ok((parcel, signature))
        });
        signed.await.unwrap_or(Err(Obstacle::Unwritable))
    }
}

/// MAIL FROM of what was sealed asks for no extension that only the original needed.
fn sender(parcel: &Parcel, to: &RcptTo) -> MailFrom {
    let mut from = parcel.envelope.from.clone();
    if !matches!(parcel.evidence, Evidence::AsItCame(_)) {
        from.smtputf8 = from.smtputf8 && !(from.address.is_ascii() && to.address.is_ascii());
        from.body = Body::SevenBit;
    }
    from
}

/// Into a Maildir, synced.
pub(crate) async fn file(path: PathBuf, owner: &str, hello: &str, parcel: Parcel) -> Result<Arrived, Obstacle> {
    let head = mark(owner, hello, &parcel.name(), parcel.received.0);
    let (mut octets, length) = (parcel.octets, parcel.length);
    let written = tokio::task::spawn_blocking(move || {
        store::maildir::deliver(&path, |to| {
            to.write_all(head.as_bytes())?;
            // Whoever kept it has read it to its end.
            octets.rewind()?;
            let copied = io::copy(&mut octets, &mut { to as &mut dyn Write })?;
            if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        })
    });
    let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map(Arrived::filed).map_err(|_| Obstacle::Unwritable)
}
