//! How a mail program logs in: LOGIN, AUTHENTICATE PLAIN (RFC 3501 §6.2, RFC 4616). In: a user and a password. Out: the way to the mail, or a word why not. Never tells
//! by the time that it takes whether a user is known.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64_simd::STANDARD;
use store::Fate;
use zeroize::Zeroizing;

use super::fetch::Desk;
use super::news::is_refused;
use super::session::Session;
use crate::answer::Answer;
use crate::depot::ReachError;

/// After a wrong password.
const PAUSE: Duration = Duration::from_secs(1);

impl Session<'_> {
    pub(crate) fn log_in(&mut self, user: &[u8], password: &[u8]) -> Answer {
        let known = user.eq_ignore_ascii_case(self.bridge.user.as_bytes());
        let Some(kept) = (self.bridge.password)() else {
            return Answer::no("[UNAVAILABLE] the bridge's password cannot be read now");
        };
        // Asked either way: the time that it takes tells nothing.
        if kept.is(password) && known {
            if !self.place.enter() {
                return Answer::no("[LIMIT] too many connections");
            }
            let opened = (self.door)();
            if opened.is_err() {
                self.place.step_back();
            }
            return match opened {
                Ok(depot) => {
                    self.desk = Some(Desk::new(&self.bridge.mail, depot));
                    Answer::Ok(format!("[CAPABILITY {}] logged in", self.capabilities()))
                }
                // The program's own password was right: it shall not ask for another one (RFC 5530 §3).
                Err(error) if is_refused(&error) => {
                    Answer::no("[CONTACTADMIN] the account's server refused the login of this bridge, not yours")
                }
                Err(ReachError::Account(error)) if error.fate() == Fate::Refuse => {
                    Answer::no("[CONTACTADMIN] the account's settings must be mended: `sealpost check` says which")
                }
                Err(ReachError::Account(_)) => Answer::no("[UNAVAILABLE] the account's server cannot be reached now"),
                Err(ReachError::Maildir(_)) => Answer::unreadable(),
                Err(ReachError::Database(_)) => Answer::state(),
            };
        }
        self.wrong = self.wrong.saturating_add(1);
        self.bridge.news.wrong_password();
        std::thread::sleep(PAUSE);
        Answer::no("[AUTHENTICATIONFAILED] wrong user or password")
    }

    /// AUTHENTICATE PLAIN.
    pub(crate) fn authenticate(&mut self, mechanism: &str, initial: Option<Zeroizing<Vec<u8>>>) -> io::Result<Answer> {
        if mechanism != "PLAIN" {
            return Ok(Answer::no("[CANNOT] only PLAIN and LOGIN"));
        }
        let response = match initial {
            Some(response) => response,
            None => {
                self.link.sink().write_all(b"+ \r\n")?;
                self.link.sink().flush()?;
                match self.wait_for_line()? {
                    Some(line) => line,
                    None => return Err(io::ErrorKind::TimedOut.into()),
                }
            }
        };
        if response.as_slice() == b"*" {
            return Ok(Answer::Bad("given up"));
        }
        let Ok(decoded) = STANDARD.decode_to_vec(response.as_slice()).map(Zeroizing::new) else {
            return Ok(Answer::Bad("no base64"));
        };
        let parts: Vec<&[u8]> = decoded.split(|octet| *octet == 0).collect();
        Ok(match parts.as_slice() {
            [_, user, password] => self.log_in(user, password),
            _ => Answer::Bad("no PLAIN response"),
        })
    }

    fn wait_for_line(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        while !self.must_go() && !self.stop.load(Ordering::Relaxed) {
            if let Some(line) = self.link.line()? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}
