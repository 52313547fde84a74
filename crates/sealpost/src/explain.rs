//! Reasons and errors of flows, for people: what happened, and what to do. In: fixed codes and typed errors. Out: sentences.
//! Never a server's name, a mailbox's content or an address.

use flow::{SurveyError, SweepError};
use store::imap::ConnectError;
use wire::imap::{Code, ImapError};

use crate::failure::{Failure, with_causes};

/// A reason code, for people.
pub fn explain(reason: &str) -> &str {
    match reason {
        "draft" => "left alone: drafts",
        "deleted" => "left alone: marked as deleted",
        "too-young" => "left alone for now: younger than the grace period",
        "too-old" => "left alone: from before the day in the config",
        "too-large" => "left alone: larger than the config allows",
        "end-to-end" => "left alone: encrypted by the sender (the Subject stays readable)",
        "unknown-sealer" => "left alone: sealed by a sealer that is not trusted here",
        "unsealed" => "left alone: put back by you (undo, restore); it bears the keyword $Unsealed",
        "gone" => "went away meanwhile",
        "unreadable" => "cannot be read",
        "no-message" => "no mail message",
        "changed" => "changed while it was read",
        "beyond-format" => "too large to be sealed",
        "unwritable" => "the sealed copy could not be written",
        "owner" => "the file's owner cannot be kept",
        "recipient" => "the certificate does not take it",
        "self-check" => "did not open again after sealing: please report it",
        "not-proved" => "the stored copy did not prove itself",
        "restless" => "renamed again and again by another program",
        "unsettled" => "could not be settled yet",
        "locked" => "another sealer is at work on it",
        "append-limit" => "its sealed copy is larger than the server takes",
        "quota" => "the account is full: there must be room for the original and its sealed copy at once",
        "rejected" => "the server does not take the sealed copy",
        "no-copy" => "the server took the sealed copy and does not show it",
        "merged" => "the server put the sealed copy together with another message",
        "date" => "the server does not keep its date of arrival",
        "flags" => "the server does not keep its flags",
        "internal" => "a bug of this program: please report it",
        other => other,
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        Self::new(error.fate().into(), with_causes(&error)).hint(of_survey(&error))
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        let hint = match &error {
            SweepError::Stopped => "this is final for this flow; name a new flow in config.toml to seal again",
            SweepError::UndoUnfinished => "finish it with `sealpost undo FLOW`",
            SweepError::Busy => "wait for it to end",
            SweepError::NoCertificate => "`sealpost key list` shows whom mail can be sealed to",
            SweepError::Full => "make room; nothing was lost, and the next sweep goes on",
            SweepError::AccountFull => {
                "make room on the server; while a message is replaced, it is there twice for a moment"
            }
            SweepError::Forbidden => "run it as the user who owns the mailbox",
            SweepError::NoSafeRemoval => {
                "no mail was touched; ask the provider for UIDPLUS (on Gmail: show Trash in IMAP), or seal into a folder of \
                 an account elsewhere"
            }
            SweepError::Provider(_) => {
                "no mail was touched; this provider cannot hold sealed mail: use an account elsewhere"
            }
            SweepError::Backup(_) => {
                "make room, and let the home be written; or switch it off in that word: backup = \"off\""
            }
            SweepError::Survey(error) => of_survey(error),
            SweepError::Recover(_) => "nothing is lost; the next sweep tries again",
            _ => "`sealpost check` looks at the config and the mailbox; the next sweep goes on",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}

fn of_survey(error: &SurveyError) -> &'static str {
    match error {
        SurveyError::NoMailbox(_) => {
            "correct `mailboxes` in config.toml; `sealpost check` lists those of an account, `/` stands between levels"
        }
        SurveyError::NoSpecialUse => {
            "name the mailboxes in config.toml, so that drafts stay drafts: mailboxes = [\"INBOX\", \"Sent\"]"
        }
        SurveyError::Connect(error) => of_connecting(error),
        SurveyError::Server(error) => of_server(error),
        SurveyError::ReadOnly => "name the mailboxes that may be changed in config.toml, or get the right to change it",
        SurveyError::Interrupted => "nothing is half done; run it again",
        _ => "`sealpost check` looks at the config and the mailbox",
    }
}

/// What to do when there is no session.
pub fn of_connecting(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Credentials(_) => "mend `password` of the account in config.toml, or what it names",
        ConnectError::Imap(error) => of_server(error),
        _ => "`sealpost check` tries every account",
    }
}

/// What to do about a server, or the way to it.
pub fn of_server(error: &ImapError) -> &'static str {
    match error {
        ImapError::Connect(_) => "are `imap` and its port right, is the network up, and does the server run?",
        ImapError::Tls(_) => "is the port right? imaps:// is TLS at once (993), imap:// is STARTTLS (143)",
        ImapError::Certificate(_) => {
            "is the host in `imap` the name that is on the certificate, and this machine's clock right? For an authority of \
             your own: `ca-file`; for a server that signs for itself: `pin` (new with each certificate)"
        }
        ImapError::Authentication => {
            "check `user` and `password`; many providers want a password made for this program, or a token \
             (`token-command`)"
        }
        ImapError::NoMechanism => {
            "a provider that wants OAuth needs `token-command`; one that does not know it needs a password"
        }
        ImapError::Plaintext => "use imaps://, or imap:// without tls = \"off\"; unencrypted is for this machine only",
        ImapError::No(Some(Code::OverQuota)) => "make room in the account: the original and its copy must fit at once",
        ImapError::No(Some(Code::Throttled | Code::Limit | Code::InUse | Code::Unavailable)) => {
            "the server asks for a pause: try again later"
        }
        ImapError::TimedOut => {
            "try again; nothing is half done. If it never answers, the port may be wrong: imaps:// is TLS at once (993), \
             imap:// is STARTTLS (143)"
        }
        ImapError::Closed | ImapError::Io(_) => "try again; nothing is half done",
        ImapError::Limit(_) => "name fewer mailboxes in config.toml; if it stays so, this is a bug: please report it",
        _ => "try again; if it stays so, `sealpost check` says what the server offers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_flow_has_a_sentence() {
        use flow::reason as r;
        let reasons = [
            r::DRAFT,
            r::DELETED,
            r::TOO_YOUNG,
            r::TOO_OLD,
            r::TOO_LARGE,
            r::END_TO_END,
            r::UNKNOWN_SEALER,
            r::UNSEALED,
            r::GONE,
            r::UNREADABLE,
            r::NO_MESSAGE,
            r::CHANGED,
            r::BEYOND_FORMAT,
            r::UNWRITABLE,
            r::OWNER,
            r::RECIPIENT,
            r::SELF_CHECK,
            r::NOT_PROVED,
            r::RESTLESS,
            r::UNSETTLED,
            r::LOCKED,
            r::APPEND_LIMIT,
            r::QUOTA,
            r::REJECTED,
            r::NO_COPY,
            r::MERGED,
            r::DATE,
            r::FLAGS,
            r::INTERNAL,
        ];
        for reason in reasons {
            assert!(explain(reason.as_str()).contains(' '), "{}", reason.as_str());
        }
    }
}
