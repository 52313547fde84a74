//! Why a target has not got a copy, and whose turn it is then.
//!
//! In: what a target said, or that it said nothing. Out: one of a few named obstacles. Never holds a text of a server.

use store::Fate;
use store::ledger::Code;
use wire::smtp::Reply;

/// Why a target has not got a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It was not reached, or broke off before it had the copy.
    Unreachable,
    /// It does not prove that it is the right one, by its certificate or by what its domain says of its servers.
    Untrusted,
    /// The DNS does not say where it is, or DNSSEC finds the answer false.
    Nameless,
    /// The DNS that incoming mail is checked with does not answer. This is not of the target: senders are told to come again.
    Resolver,
    /// It broke off when it had the copy, before it said whether it took it.
    Unknown,
    /// It does not want it now.
    NotNow,
    /// It has been asked too much of late: the account's pace is limited, not its size.
    Throttled,
    /// It refuses our login, or there is none.
    Login,
    /// The owner's mailbox is full.
    Full,
    /// The owner's mailbox is not there, or may not be written to.
    NoMailbox,
    /// A file could not be written here.
    Unwritable,
    /// The disk that the spool lies on is full, or nearly. This is not of the target.
    NoRoom,
    /// So much of what the target refused lies in the spool that no more is taken.
    Overfull,
    /// It refuses this copy for good.
    Refused,
    /// The copy is larger than it takes.
    TooLarge,
    /// It lacks an extension that the copy needs.
    Lacks,
    /// What it shows is not what it was given.
    NotAsSent,
    /// The copy in the spool is not what was put there.
    Damaged,
    /// It was tried as long as the schedule says.
    Expired,
    /// It was handed on, and came back.
    Returned,
}

impl Obstacle {
    /// All of them.
    pub const ALL: [Obstacle; 20] = [
        Obstacle::Unreachable,
        Obstacle::Untrusted,
        Obstacle::Nameless,
        Obstacle::Resolver,
        Obstacle::Unknown,
        Obstacle::NotNow,
        Obstacle::Throttled,
        Obstacle::Login,
        Obstacle::Full,
        Obstacle::NoMailbox,
        Obstacle::Unwritable,
        Obstacle::NoRoom,
        Obstacle::Overfull,
        Obstacle::Refused,
        Obstacle::TooLarge,
        Obstacle::Lacks,
        Obstacle::NotAsSent,
        Obstacle::Damaged,
        Obstacle::Expired,
        Obstacle::Returned,
    ];

    /// Whose turn it is. *Stop*: whoever sends mail meanwhile is told to keep it.
    pub fn fate(self) -> Fate {
        match self {
            Obstacle::Unreachable
            | Obstacle::Untrusted
            | Obstacle::Nameless
            | Obstacle::Resolver
            | Obstacle::Unknown
            | Obstacle::NotNow
            | Obstacle::Throttled => Fate::Retry,
            Obstacle::Login
            | Obstacle::Full
            | Obstacle::NoMailbox
            | Obstacle::Unwritable
            | Obstacle::NoRoom
            | Obstacle::Overfull => Fate::Stop,
            Obstacle::Refused
            | Obstacle::TooLarge
            | Obstacle::Lacks
            | Obstacle::NotAsSent
            | Obstacle::Damaged
            | Obstacle::Expired
            | Obstacle::Returned => Fate::Refuse,
        }
    }

    /// Is it seen without any mail, by whoever greets the target? Then it is also seen to be gone.
    pub(crate) fn meets_greetings(self) -> bool {
        matches!(
            self,
            Obstacle::Unreachable | Obstacle::Untrusted | Obstacle::Nameless | Obstacle::Login | Obstacle::NoMailbox
        )
    }

    /// For the spool, reports and counters.
    pub fn code(self) -> Code {
        Code::new(match self {
            Obstacle::Unreachable => "unreachable",
            Obstacle::Untrusted => "untrusted",
            Obstacle::Nameless => "no-address",
            Obstacle::Resolver => "no-dns",
            Obstacle::Unknown => "unknown-end",
            Obstacle::NotNow => "not-now",
            Obstacle::Throttled => "throttled",
            Obstacle::Login => "login",
            Obstacle::Full => "mailbox-full",
            Obstacle::NoMailbox => "no-mailbox",
            Obstacle::Unwritable => "unwritable",
            Obstacle::NoRoom => "no-room",
            Obstacle::Overfull => "overfull",
            Obstacle::Refused => "refused",
            Obstacle::TooLarge => "too-large",
            Obstacle::Lacks => "lacks-extension",
            Obstacle::NotAsSent => "not-as-sent",
            Obstacle::Damaged => "damaged",
            Obstacle::Expired => "expired",
            Obstacle::Returned => "returned",
        })
    }

    /// The obstacle of that code.
    pub fn of(code: &str) -> Option<Obstacle> {
        Obstacle::ALL.into_iter().find(|one| one.code().as_str() == code)
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Obstacle::Unreachable => "the target cannot be reached",
            Obstacle::Untrusted => "the target does not prove that it is the right one: its certificate is not trusted",
            Obstacle::Nameless => "the DNS does not say where the target is",
            Obstacle::Resolver => "the DNS does not answer: mail of strangers cannot be checked, and is put off",
            Obstacle::Unknown => "the target broke off without an answer",
            Obstacle::NotNow => "the target does not take it now",
            Obstacle::Throttled => "the target wants to be asked less often",
            Obstacle::Login => "there is no login at the target: it refuses ours, or our password cannot be read",
            Obstacle::Full => "the mailbox is full",
            Obstacle::NoMailbox => "the mailbox is not there, or may not be written to",
            Obstacle::Unwritable => "it cannot be written: no space, or no permission",
            Obstacle::NoRoom => "the disk of the queue is full: what waits is handed on, and no more is taken",
            Obstacle::Overfull => "too much that the target refused lies in the queue: no more is taken",
            Obstacle::Refused => "the target refuses it",
            Obstacle::TooLarge => "it is larger than the target takes",
            Obstacle::Lacks => "the target lacks an extension that it needs",
            Obstacle::NotAsSent => "what the target stored is not what it was given",
            Obstacle::Damaged => {
                "the copy in the spool is damaged, or all keys of this home are others than when it came"
            }
            Obstacle::Expired => "the target did not take it in time",
            Obstacle::Returned => "the target had taken it, and it came back",
        }
    }

    /// What whoever sends mail is told while this stands in the way of all mail.
    pub(crate) fn reply(self) -> Reply {
        match self {
            Obstacle::Full => Reply::new(452, (4, 2, 2), "the mailbox is full"),
            Obstacle::Unwritable | Obstacle::NoRoom | Obstacle::Overfull => {
                Reply::new(452, (4, 3, 1), "no space for the message now")
            }
            Obstacle::TooLarge => Reply::new(552, (5, 3, 4), "the sealed message is larger than the target takes"),
            Obstacle::Refused | Obstacle::NotAsSent | Obstacle::Lacks => Reply::new(554, (5, 3, 0), self.text()),
            Obstacle::Login | Obstacle::NoMailbox => {
                Reply::new(451, (4, 3, 5), "the owner's mailbox cannot be used now")
            }
            _ => Reply::new(451, (4, 4, 1), "the owner's mailbox cannot be reached now"),
        }
    }

    /// What a refusal of a mail server means (RFC 3463 §3).
    pub(crate) fn of_reply(reply: &Reply) -> Obstacle {
        match reply.enhanced() {
            // Also as 5.2.2: a full mailbox is emptied one day.
            Some((_, 2, 2)) => Obstacle::Full,
            Some((5, 3, 4) | (5, 2, 3)) => Obstacle::TooLarge,
            // The owner mistyped his address, or has it no more: whatever comes would be refused.
            Some((5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1)) => Obstacle::NoMailbox,
            _ if reply.code() == 552 => Obstacle::TooLarge,
            _ if reply.is_permanent() => Obstacle::Refused,
            _ => Obstacle::NotNow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_and_replies_fit_fates() {
        for obstacle in Obstacle::ALL {
            assert_eq!(Obstacle::of(obstacle.code().as_str()), Some(obstacle));
            let reply = obstacle.reply();
            assert!(obstacle.fate() == Fate::Refuse || reply.is_transient(), "{obstacle:?}");
        }
        for (code, enhanced, means) in [
            (552, (5, 2, 2), Obstacle::Full),
            (452, (4, 2, 2), Obstacle::Full),
            (552, (5, 3, 4), Obstacle::TooLarge),
            (550, (5, 7, 26), Obstacle::Refused),
            (550, (5, 1, 1), Obstacle::NoMailbox),
            (421, (4, 7, 0), Obstacle::NotNow),
        ] {
            assert_eq!(Obstacle::of_reply(&Reply::new(code, enhanced, "x")), means);
        }
    }
}
