//! A note to the owner about mail that could not be handed on.
//!
//! In: what stays in the queue, and why. Out: a message of ours, which is sealed and handed on like any other. Never anything of the mail itself but
//! from where it came and when: the rest is sealed.

use store::UnixSeconds;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::forward::envelope::Envelope;
use crate::forward::obstacle::Obstacle;

/// The note, as a message. `to`: the owner's address; `hello`: our own name; `name`: the copy's id; `now`: of sending.
pub(crate) fn note(
    hello: &str,
    to: &str,
    name: &str,
    about: &Envelope,
    received: UnixSeconds,
    why: Obstacle,
    now: UnixSeconds,
) -> Vec<u8> {
    let from = if about.from.address.is_empty() { "a mail server (a notice)" } else { about.from.address.as_str() };
    let (date, came) = (date(now), date(received));
    // RFC 3834 §5: nobody answers this by himself.
    format!(
        "From: Sealpost <postmaster@{hello}>\r\nTo: <{to}>\r\nSubject: A message waits at your forwarder\r\nDate: {date}\r\n\
         Message-ID: <{name}.note@{hello}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Your forwarder took a message for you and could not hand it on:\r\n{why}.\r\n\r\n\
         from:   {from}\r\nfor:    {recipient}\r\ncame:   {came}\r\nid:     {name}\r\n\r\n\
         It is not lost: it stays in the forwarder's queue, sealed to you. Its sender was told that\r\n\
         it was taken, and is told nothing more. On the forwarder,\r\n\r\n\
         sealpost queue retry -- {name}\r\n\r\nhas it tried again, and\r\n\r\nsealpost queue drop -- {name}\r\n\r\nremoves it.\r\n",
        why = why.text(),
        recipient = about.to.address,
    )
    .into_bytes()
}

fn date(at: UnixSeconds) -> String {
    OffsetDateTime::from_unix_timestamp(at.0).ok().and_then(|at| at.format(&Rfc2822).ok()).unwrap_or_default()
}
