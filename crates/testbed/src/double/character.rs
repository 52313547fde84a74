//! What kind of server a double is. In: the character that a test chose. Out: what it announces and how it deviates.

use std::time::Duration;

/// What a Gmail does with a message whose Message-ID it already has. Users report both, and Google documents neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// The old content stays and gets the new mailbox; APPENDUID names the old message. Even one in Trash comes back this way.
    Ignore,
    /// The old message goes for good and the new one is stored.
    Replace,
    /// Both are kept.
    Off,
}

/// A server, good or with one known deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Character {
    /// Does all it announces.
    Plain,
    /// A message is one object with labels; a mailbox is the view of one label. Expunging takes the label away, the message stays in
    /// `[Gmail]/All Mail`; expunging in Trash or Spam removes for good; into Trash means out of everything else.
    Gmail {
        /// What an APPEND of a known Message-ID does.
        dedup: Dedup,
    },
    /// Keeps no keywords, has no CONDSTORE, drops header fields that begin with `Sealed-`, and makes multipart/mixed of multipart/encrypted.
    Exchange,
    /// Has no UIDPLUS: no APPENDUID, no COPYUID, and UID EXPUNGE is an error.
    NoUidPlus,
    /// Takes its own clock for INTERNALDATE, whatever APPEND says.
    DateLoser,
    /// Ignores the flags that APPEND gives. STORE works.
    FlagLoser,
    /// Announces APPENDLIMIT (RFC 7889) of so many octets, and keeps to it.
    AppendLimit(u64),
    /// Refuses to store when all messages together would be more than so many octets.
    OverQuota(u64),
    /// Takes an APPEND, answers nothing, drops the connection, and stores the message that much later.
    LateAppend(Duration),
    /// Says OK to an expunge and keeps the messages.
    ExpungeLiar,
}

impl Character {
    pub(crate) fn capabilities(self) -> String {
        let words = match self {
            Character::Gmail { .. } => {
                "IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN X-GM-EXT-1 UIDPLUS ENABLE MOVE CONDSTORE LITERAL- SPECIAL-USE \
                 APPENDLIMIT=35651584 SASL-IR AUTH=PLAIN AUTH=XOAUTH2"
            }
            Character::Exchange => {
                "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"
            }
            Character::NoUidPlus => {
                "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN AUTH=XOAUTH2 ID ENABLE NAMESPACE UNSELECT MOVE IDLE SPECIAL-USE CONDSTORE"
            }
            _ => {
                "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN AUTH=XOAUTH2 ID ENABLE NAMESPACE UIDPLUS UNSELECT MOVE IDLE SPECIAL-USE \
                 CONDSTORE MULTIAPPEND CHILDREN"
            }
        };
        match self {
            Character::AppendLimit(limit) => format!("{words} APPENDLIMIT={limit}"),
            _ => words.to_owned(),
        }
    }

    pub(crate) fn announces(self, capability: &str) -> bool {
        self.capabilities().split(' ').any(|word| word == capability)
    }

    pub(crate) fn append_limit(self) -> u64 {
        match self {
            Character::AppendLimit(limit) => limit,
            Character::Gmail { .. } => 35_651_584,
            _ => u64::MAX,
        }
    }

    pub(crate) fn keeps_keywords(self) -> bool {
        self != Character::Exchange
    }

    pub(crate) fn is_gmail(self) -> bool {
        matches!(self, Character::Gmail { .. })
    }

    /// Names and special uses (RFC 6154 §2).
    pub(crate) fn mailboxes(self) -> &'static [(&'static str, &'static str)] {
        if self.is_gmail() {
            &[
                ("INBOX", ""),
                (ALL_MAIL, "\\All"),
                ("[Gmail]/Drafts", "\\Drafts"),
                ("[Gmail]/Important", "\\Important"),
                ("[Gmail]/Sent Mail", "\\Sent"),
                (SPAM, "\\Junk"),
                ("[Gmail]/Starred", "\\Flagged"),
                (TRASH, "\\Trash"),
            ]
        } else {
            &[
                ("INBOX", ""),
                ("Archive", "\\Archive"),
                ("Drafts", "\\Drafts"),
                ("Junk", "\\Junk"),
                ("Sent", "\\Sent"),
                ("Trash", "\\Trash"),
            ]
        }
    }
}

pub(crate) const ALL_MAIL: &str = "[Gmail]/All Mail";
pub(crate) const SPAM: &str = "[Gmail]/Spam";
pub(crate) const TRASH: &str = "[Gmail]/Trash";
