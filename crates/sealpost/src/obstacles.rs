//! What stands in the way of forwarded mail, and what to do. In: an obstacle. Out: words for people; a note in the home, for `status`, while a flow
//! runs. No address, no text of a server.

use std::path::Path;

use flow::forward::{Obstacle, Plight};
use serde::{Deserialize, Serialize};
use store::UnixSeconds;

use crate::clock;

/// What to do about it, for whoever has not called `check`, which tells more.
fn hint(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Unreachable => {
            "is the target running, and does the firewall let us out? Mail is kept, and tried again. `sealpost check` tells \
             a wrong port or word of TLS"
        }
        Obstacle::Login => {
            "`sealpost check` says which: renew the password or token, or let this user read the file that it is in"
        }
        Obstacle::NoMailbox => {
            "is the name right (`mailbox`, `to`, `mx`), is it there, and may this account write to it? `sealpost check` looks"
        }
        other => mend(other),
    }
}

/// What to do about it.
pub fn mend(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Unreachable => {
            "is the target running, and does the firewall let us out? Mail is kept, and tried again"
        }
        Obstacle::Untrusted => {
            "look at the target's certificate (`openssl s_client -connect HOST:PORT`); an authority of its own is named with \
             `ca-file`. If you did not expect this, somebody may be in between: nothing was handed to him"
        }
        Obstacle::Nameless => {
            "does the resolver answer (`dig MX DOMAIN`), and does it hand on DNSSEC? One that checks is best run on this \
             machine: resolver = \"127.0.0.1:53\""
        }
        Obstacle::Resolver => "does the resolver run? Name one that answers in `source`: resolver = \"127.0.0.1:53\"",
        Obstacle::Unknown => "it gets the copy again; if that happens often, look at its log",
        Obstacle::NotNow => "the target asks to come again; if it stays so, ask its operator",
        Obstacle::Throttled => {
            "mail is kept, and handed on more slowly; if it stays so, ask the provider for its limits"
        }
        Obstacle::Login => "renew the password or token, or let this user read the file that it is in",
        Obstacle::Full => "make room in the mailbox, or ask the provider for more; then `sealpost queue retry --all`",
        Obstacle::NoMailbox => {
            "is the name right (`mailbox`, `to`, `mx`), is it there, and may this account write to it?"
        }
        Obstacle::Unwritable => "make space for temporary files, or give this user the right to write to the Maildir",
        Obstacle::NoRoom => {
            "make room on the disk that `spool` lies on (`df`, `sealpost queue list`); what waits is handed on meanwhile, and mail \
             is taken again by itself. `sealpost queue drop` removes what is not wanted"
        }
        Obstacle::Overfull => {
            "find out why the target refuses it (`sealpost queue list`), then `sealpost queue retry --all`, or `queue drop` what is \
             not wanted; mail is taken again by itself"
        }
        Obstacle::Refused | Obstacle::TooLarge | Obstacle::Lacks | Obstacle::NotAsSent | Obstacle::Damaged => {
            "`sealpost queue list` shows which; `queue cat` takes the sealed copy out"
        }
        Obstacle::Expired => "`sealpost queue retry` tries once more",
        Obstacle::Returned => {
            "the note says what the target's bounce said; `sealpost queue retry` sends the copy again"
        }
    }
}

/// What stands in the way, as it is told.
#[derive(Serialize, Debug)]
pub struct Standing {
    reason: String,
    since: i64,
    what: &'static str,
    hint: &'static str,
}

impl Standing {
    pub fn of(plight: Plight) -> Self {
        let obstacle = plight.obstacle;
        Self {
            reason: obstacle.code().as_str().to_owned(),
            since: plight.since.0,
            what: obstacle.text(),
            hint: hint(obstacle),
        }
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        format!("{}, since {}", self.what, clock::shown(u64::try_from(self.since).unwrap_or_default()))
    }

    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

#[derive(Serialize, Deserialize)]
struct Noted {
    reason: String,
    since: i64,
}

/// Notes it, or that there is nothing.
pub fn note(file: &Path, plight: Option<Plight>) -> std::io::Result<()> {
    let Some(plight) = plight else {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let noted = Noted { reason: plight.obstacle.code().as_str().to_owned(), since: plight.since.0 };
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut beside, &noted)?;
    beside.persist(file).map(|_| ()).map_err(|error| error.error)
}

/// What was noted last.
pub fn noted(file: &Path) -> Option<Plight> {
    let noted: Noted = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(Plight { obstacle: Obstacle::of(&noted.reason)?, since: UnixSeconds(noted.since) })
}
