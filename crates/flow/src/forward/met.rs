//! What was met on the way to a target: an obstacle, and the codes of whoever put it there.
//!
//! In: what a mail server answered, how a session ended. Out: one of a few obstacles (`obstacle.rs`) with codes (`said.rs`).

use store::Fate;
use wire::imap::{Code, ImapError};
use wire::smtp::Reply;

use crate::forward::obstacle::Obstacle;
use crate::forward::said::Said;

/// Why a copy is not at its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) obstacle: Obstacle,
    /// None: the server said nothing, or was not asked.
    pub(crate) said: Option<Said>,
}

impl From<Obstacle> for Met {
    fn from(obstacle: Obstacle) -> Met {
        Met { obstacle, said: None }
    }
}

impl Met {
    pub(crate) fn fate(&self) -> Fate {
        self.obstacle.fate()
    }

    /// A refusal of a mail server.
    pub(crate) fn of_reply(reply: &Reply) -> Met {
        Met { obstacle: Obstacle::of_reply(reply), said: Some(Said::of_reply(reply)) }
    }

    /// The end of an IMAP command, or of its session.
    pub(crate) fn of_imap(error: &ImapError) -> Met {
        Met { obstacle: obstacle(error), said: Said::of_imap(error) }
    }

    /// The same, when the mailbox was asked for: a refusal is about that, unless the server says that it is about now.
    pub(crate) fn of_select(error: &ImapError) -> Met {
        let met = Met::of_imap(error);
        let obstacle = if error.is_refusal() && met.obstacle == Obstacle::NotNow && !is_about_now(error) {
            Obstacle::NoMailbox
        } else {
            met.obstacle
        };
        Met { obstacle, ..met }
    }
}

/// RFC 5530 §3.
fn is_about_now(error: &ImapError) -> bool {
    matches!(error, ImapError::No(Some(Code::Unavailable | Code::InUse | Code::ServerBug)))
}

fn obstacle(error: &ImapError) -> Obstacle {
    match error {
        ImapError::Authentication | ImapError::NoMechanism => Obstacle::Login,
        ImapError::No(Some(Code::OverQuota)) => Obstacle::Full,
        ImapError::No(Some(Code::TooBig)) => Obstacle::TooLarge,
        ImapError::No(Some(Code::Throttled | Code::Limit)) => Obstacle::Throttled,
        ImapError::No(Some(
            Code::TryCreate
            | Code::NonExistent
            | Code::NoPerm
            | Code::ReadOnly
            | Code::AuthorizationFailed
            | Code::Cannot,
        )) => Obstacle::NoMailbox,
        ImapError::No(Some(Code::AuthenticationFailed | Code::Expired)) => Obstacle::Login,
        ImapError::No(_) | ImapError::Bad => Obstacle::NotNow,
        ImapError::Certificate(_) => Obstacle::Untrusted,
        _ => Obstacle::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_pace_is_no_full_mailbox() {
        for (code, appended, selected) in [
            (Some(Code::OverQuota), Obstacle::Full, Obstacle::Full),
            (Some(Code::Throttled), Obstacle::Throttled, Obstacle::Throttled),
            (Some(Code::Limit), Obstacle::Throttled, Obstacle::Throttled),
            (Some(Code::Unavailable), Obstacle::NotNow, Obstacle::NotNow),
            (Some(Code::Other), Obstacle::NotNow, Obstacle::NoMailbox),
            (None, Obstacle::NotNow, Obstacle::NoMailbox),
            (Some(Code::NonExistent), Obstacle::NoMailbox, Obstacle::NoMailbox),
        ] {
            let error = ImapError::No(code);
            assert_eq!(
                (Met::of_imap(&error).obstacle, Met::of_select(&error).obstacle),
                (appended, selected),
                "{code:?}"
            );
        }
        assert_eq!(Met::of_imap(&ImapError::NotSent).obstacle, Obstacle::Unreachable);
    }
}
