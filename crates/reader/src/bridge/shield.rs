//! What lies around a session's octets: STARTTLS (RFC 2595 §3), COMPRESS (RFC 4978). In: the command. Out: its answer, and from then on another form of the same
//! session. Never both: what is compressed within TLS tells by its length what the TLS hides.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::session::{NEWCOMER, Session, Then};
use super::settings::Shield;
use crate::answer::{Answer, tagged};

impl Session<'_> {
    /// Whether a password may come now.
    pub(crate) fn may_log_in(&mut self) -> bool {
        !matches!(self.bridge.shield, Shield::StartTls(_)) || self.link.source().is_secure()
    }

    pub(crate) fn start_tls(&mut self, tag: &str) -> io::Result<Then> {
        let Shield::StartTls(tls) = &self.bridge.shield else { return Ok(bad("there is no STARTTLS here")) };
        if self.link.source().is_secure() {
            return Ok(bad("this is TLS already"));
        }
        // It would be obeyed as if it had come protected.
        if self.link.is_ahead() {
            return Ok(bad("wait for the answer to STARTTLS"));
        }
        tagged(self.link.sink(), tag, &Answer::ok("begin"))?;
        let (began, stop) = (Instant::now(), self.stop);
        let mut patience = || !stop.load(Ordering::Relaxed) && began.elapsed() < NEWCOMER;
        self.link.source().secure(tls, &mut patience)?;
        Ok(Then::GoOn)
    }

    /// Whether compressing is offered.
    pub(crate) fn may_compress(&mut self) -> bool {
        let leg = self.link.source();
        !leg.is_secure() && !leg.is_packed()
    }

    pub(crate) fn compress(&mut self, tag: &str) -> io::Result<Then> {
        if self.link.source().is_packed() {
            return Ok(Then::Answer(Answer::no("[COMPRESSIONACTIVE] it is compressed already")));
        }
        if !self.may_compress() {
            return Ok(Then::Answer(Answer::no("[CANNOT] not within TLS")));
        }
        if self.link.is_ahead() {
            return Ok(bad("wait for the answer to COMPRESS"));
        }
        tagged(self.link.sink(), tag, &Answer::ok("begin"))?;
        self.link.source().pack();
        Ok(Then::GoOn)
    }
}

fn bad(why: &'static str) -> Then {
    Then::Answer(Answer::Bad(why))
}
