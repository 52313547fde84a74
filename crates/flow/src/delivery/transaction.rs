//! A message under way, with all its recipients (RFC 5321 §3.3).
//!
//! In: an envelope, recipients as they were admitted, the message. Out: the answers, one for each recipient or one for all. Every recipient gets a
//! copy of his own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use wire::smtp::{RcptTo, Reply};

use crate::delivery::carry::{Destined, Envelope, Gateway, Settled, hash};
use crate::delivery::mail::Mail;
use crate::delivery::memo::Which;

/// Copies of one message that are made and handed on at once.
const AT_ONCE: usize = 8;

/// A message under way.
pub(crate) struct Transaction {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) envelope: Arc<Envelope>,
    /// Octets, as far as its sender said.
    pub(crate) announced: Option<u64>,
    pub(crate) recipients: Vec<(RcptTo, Destined)>,
}

impl Transaction {
    pub(crate) fn new(gateway: Arc<Gateway>, envelope: Arc<Envelope>, announced: Option<u64>) -> Transaction {
        Transaction { gateway, envelope, announced, recipients: Vec::new() }
    }

    /// An answer for each recipient, in their order.
    pub(crate) async fn one_by_one(&self, mail: &Mail) -> Vec<Reply> {
        let Transaction { gateway, envelope, recipients, .. } = self;
        let each: Vec<BoxFuture<'_, Settled>> =
            recipients.iter().map(|(to, destined)| gateway.carry(mail, envelope, to, destined).boxed()).collect();
        let settled = futures_util::stream::iter(each).buffered(AT_ONCE);
        settled.map(|settled| settled.reply).collect().await
    }

    /// One answer for all. If some copies were taken and one was not, the message must come again: those that were taken are remembered.
    pub(crate) async fn together(&self, mail: &Mail) -> Reply {
        let Transaction { gateway, envelope, recipients, .. } = self;
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
}
