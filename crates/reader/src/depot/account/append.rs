//! APPEND into an account (RFC 3501 §6.3.11, RFC 4315 §3). In: a message that has come whole. Out: a sealed message upstream, with the UID that the server gave; or a word why
//! not. The message itself never leaves this machine.

use std::fs::File;

use sealed::scratch::{Scratch, Scratched};
use store::UnixSeconds;
use wire::imap::Append;
use wire::imap::server::{AppendOrder, DateTime};

use super::upstream::{Upstream, answer_of};
use crate::answer::Answer;
use crate::depot::append::{no_sealer, seal};
use crate::depot::flags::stored;
use crate::means::Means;

/// Seals and stores a message.
pub(crate) fn store(
    means: Means<'_>,
    upstream: &mut Upstream,
    order: &AppendOrder,
    mut message: Scratched<File>,
) -> Answer {
    let Some(with) = means.seal else { return no_sealer() };
    let arrived = order.date.map_or_else(UnixSeconds::now, |date| UnixSeconds(date.unix()));
    // A sealed message is somewhat larger than what it holds.
    let mut sealed = Scratch::new(order.length.saturating_mul(2), means.mail.spools());
    let written = seal(means.mail, with, &order.mailbox.utf8(), order, arrived, &mut message, &mut sealed);
    let Ok(mut sealed) = written.and_then(|()| sealed.finish()) else {
        return Answer::no("[UNAVAILABLE] the message cannot be sealed now");
    };
    drop(message);
    let length = sealed.length();
    let appended = upstream.ask(|session| {
        let append = Append {
            flags: stored(&order.flags),
            internal_date: Some(DateTime::text_of_unix(arrived.0)),
            length,
            octets: &mut sealed,
        };
        session.append(&order.mailbox, &mut [append]).map_err(|lost| lost.error)
    });
    match appended.map(|mut each| each.pop()) {
        Ok(Some(Ok(Some(place)))) => Answer::Ok(format!("[APPENDUID {} {}] done", place.validity, place.uid)),
        Ok(Some(Ok(None))) => Answer::ok("done"),
        Ok(Some(Err(error))) | Err(error) => answer_of(&error),
        Ok(None) => Answer::unreadable(),
    }
}
