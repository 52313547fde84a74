//! Notes to the owner, and what they tell of: that a message was not handed on, or came back.
//!
//! In: what happened to a copy. Out: a note in the queue, sealed like any mail; once for each copy that comes back. Nobody else is told.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sealed::identity::MessageId;
use store::UnixSeconds;
use wire::smtp::{MailFrom, RcptTo, Shape};

use super::Runner;
use crate::delivery::mail::Taking;
use crate::forward::counts::Event;
use crate::forward::envelope::Envelope;
use crate::forward::note::{Copy, Note, What, compose};
use crate::forward::obstacle::Obstacle;
use crate::forward::report::{Failure, Report};
use crate::forward::sealing::{Arrival, Found};
use crate::forward::spool::{Back, Kind, Origin, Written};
use crate::forward::trace;

/// What a note tells.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) what: What,
    pub(super) id: MessageId,
    pub(super) received: Option<UnixSeconds>,
    /// What stood in the way: in our words, or the target's.
    pub(super) said: String,
    pub(super) copy: Copy,
}

/// Whether the owner will hear of something: a note lies in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    Yes,
    No,
}

impl Runner {
    /// Something came to the return path of a copy. If that tells of a failure, the copy has failed, and its owner is told, once; so he is of what is unclear. `to`: an address of his.
    pub(crate) async fn came_back(self: &Arc<Self>, id: MessageId, report: Report, to: String) -> Noted {
        let (what, words, back) = match report {
            Report::Failed(Failure { words, said }) => (What::Returned, words, Back::Failed(said)),
            // Whatever it is: the copy is left alone, since a report may still come.
            Report::Unclear => (What::Answered, String::new(), Back::Unclear),
            Report::NotFailed | Report::Answer => return Noted::Yes,
        };
        let _one = self.coming_back.lock().await;
        let (received, copy) = match self.spool.origin(id, &back).await {
            Ok(Origin::Told) => return Noted::Yes,
            Ok(Origin::Here(received)) => (Some(received), Copy::Here),
            Ok(Origin::Gone) => (None, Copy::Gone),
            Err(_) => return Noted::No,
        };
        let words = if words.is_empty() { "a reason is not told".to_owned() } else { words };
        // First the note: whoever dies between the two writes another one, rather than none.
        let news = News { what, id, received, said: words, copy };
        if self.notify(news, to).await == Noted::No || self.spool.give_back(id, back).await.is_err() {
            return Noted::No;
        }
        if what == What::Returned {
            self.note(Event::Failed, Some(Obstacle::Returned), id);
        }
        Noted::Yes
    }

    /// A note to the owner, into the queue. `to`: an address of his.
    pub(super) fn notify(self: &Arc<Self>, news: News, to: String) -> BoxFuture<'_, Noted> {
        let now = UnixSeconds::now();
        let seconds = |at: UnixSeconds| u64::try_from(at.0).unwrap_or_default();
        let text = compose(&Note {
            what: news.what,
            id: &sealed::field::encode_id(&news.id.0),
            received: news.received.map(seconds),
            last: seconds(now),
            said: &news.said,
            copy: news.copy,
            host: &self.hello,
            from: &self.from(),
            to: &to,
            now: seconds(now),
        });
        async move {
            let noted = self.post(text, to).await;
            if noted == Some(Written::Now) {
                self.note(Event::Noted, None, news.id);
            }
            if noted.is_some() { Noted::Yes } else { Noted::No }
        }
        .boxed()
    }

    /// A note, sealed and into the queue; none: it is not there. `to`: an address of the owner's.
    pub(super) fn post(self: &Arc<Self>, text: Vec<u8>, to: String) -> BoxFuture<'_, Option<Written>> {
        let now = UnixSeconds::now();
        async move {
            // The null sender: nobody answers a note with a note (RFC 5321 §4.5.5).
            let rcpt = RcptTo { address: to.clone(), ..RcptTo::default() };
            let envelope = Envelope { from: MailFrom::default(), to: rcpt };
            let mut taking = Taking::new(None, &self.temporary);
            let mail = taking.take(&text).and_then(|()| taking.finish(Shape::Lines));
            let mail = mail.ok()?;
            let (path, found) = (trace::Path::Named, Found::BySomebodyTrusted);
            let arrival = Arrival { mail, envelope, recipients: vec![to], path, received: now, found };
            let runner = Arc::clone(self);
            let tenure = self.spool.tenure();
            let sealed = tokio::task::spawn_blocking(move || runner.sealer.now().seal(&arrival, tenure)).await;
            self.keep(sealed.ok()?.ok()?, Kind::Note).await.ok()
        }
        .boxed()
    }

    /// From whom notes are.
    pub(super) fn from(&self) -> String {
        let own = self.sealer.now().own.as_ref().map(|own| own.forwarder.address().to_owned());
        own.unwrap_or_else(|| format!("postmaster@{}", self.hello))
    }
}
