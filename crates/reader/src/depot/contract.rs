//! Where the mail lies that a mail program is shown: mailboxes by name, one of them open. The one thing that the session's answers know of it.
//!
//! In: names, UIDs, flags. Out: header sections, bodies, what changed. Two kinds: a Maildir (`maildir/`), an account (`account/`). Whatever the kind: what cannot be
//! read is an error, never an empty answer; nothing is written in clear.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use sealed::scratch::Scratched;
use wire::MailboxName;
use wire::imap::Listed;
use wire::imap::server::{AppendOrder, Flag, Names, StatusItem, StoreKind};

use super::selected::{Access, Changes, Selected};
use super::view::{Body, Look, Trouble, View};
use crate::answer::Answer;

/// Mailboxes, one of them open.
pub(crate) trait Depot {
    /// Capabilities that hang on it, beside those of every session.
    fn offers(&self) -> String;

    /// Whether nothing more can be had of it: the session ends.
    fn is_over(&self) -> bool;

    /// When nothing more can be had of it, and that may be mended: begins anew, in the mailbox that is open; what changed there. `None`: it is over.
    fn recover(&mut self, selected: Option<&mut Selected>) -> Option<Changes>;

    /// Whether changes are counted (RFC 7162), by numbers that last.
    fn counts_changes(&self) -> bool;

    /// From now on no change is told before an earlier one.
    fn keep_order(&mut self);

    /// The highest change number of the open mailbox that may be told.
    fn highest(&self, selected: &Selected) -> Option<u64>;

    /// Finds out the change numbers of messages where they are not known.
    fn count_changes(&mut self, selected: &mut Selected, places: &[usize]) -> Result<(), Trouble>;

    /// Octets that a message may have which is stored (RFC 7889).
    fn append_limit(&self) -> u64;

    /// The mailboxes whose names fit.
    fn list(&mut self, listing: Listing, pattern: &str) -> Result<Vec<Listed>, Answer>;

    /// Answers STATUS.
    fn status(
        &mut self,
        name: &MailboxName,
        items: &[StatusItem],
        names: Names,
        out: &mut dyn Write,
    ) -> io::Result<Answer>;

    /// The names of all mailboxes that can be opened.
    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Answer>;

    /// What stands behind `NAMESPACE`.
    fn namespaces(&mut self) -> Result<String, Answer>;

    /// Makes, removes, renames mailboxes, or says that they are of interest.
    fn arrange(&mut self, order: &Arrangement) -> Answer;

    /// Opens a mailbox; the one before is left.
    fn open(&mut self, name: &MailboxName, access: Access) -> Result<Selected, Answer>;

    /// Leaves the open mailbox.
    fn leave(&mut self);

    /// What changed in the open mailbox. What cannot be read now is told later.
    fn refresh(&mut self, selected: &mut Selected, pace: Pace) -> Changes;

    /// These messages will be asked for, in this order: it may take them together.
    fn prepare(&mut self, uids: &[u32]);

    /// Looks at the header section of a message.
    fn look(&mut self, uid: u32) -> Result<Look, Trouble>;

    /// Notes how a message is shown from now on. [`Trouble::Gone`]: it was shown otherwise before, and is another message now.
    fn shown(&mut self, uid: u32, before: Option<View>, now: View) -> Result<(), Trouble>;

    /// Writes down what was noted. Called at the end of each command.
    fn note(&mut self) -> Result<(), Trouble>;

    /// The whole message as it lies.
    fn body(&mut self, uid: u32) -> Result<Body, Trouble>;

    /// The same of a few messages, taken together where that is faster.
    fn bodies(&mut self, uids: &[u32]) -> Vec<(u32, Result<Body, Trouble>)> {
        uids.iter().map(|uid| (*uid, self.body(*uid))).collect()
    }

    /// BODYSTRUCTURE as it is known without the body, of a message that is shown as it lies.
    fn structure(&mut self, uid: u32) -> Result<Option<String>, Trouble>;

    /// RFC822.SIZE as it is known without the body, of a message that is shown as it lies.
    fn size(&mut self, uid: u32) -> Result<Option<u64>, Trouble>;

    /// INTERNALDATE.
    fn arrived(&mut self, uid: u32) -> Result<Arrived, Trouble>;

    /// Under which names records of a message are kept: its mailbox's, its own.
    fn filed(&self, uid: u32) -> Option<Filed>;

    /// For each mailbox, what stays the same as long as no message comes into it or goes; `None`: that cannot be told.
    fn marks(&mut self, names: &[MailboxName]) -> Vec<Option<Vec<u8>>>;

    /// Octets that say how the open mailbox stands: whoever has them knows later whether a message has gone since. `None`: that needs none.
    fn stand(&self, selected: &Selected) -> Option<Vec<u8>>;

    /// Whether a message that was seen in another mailbox, which stood so then, is certainly still there. That mailbox is not opened for it.
    fn lies_there(&mut self, mailbox: &str, message: &[u8], stand: Option<Vec<u8>>) -> bool;

    /// Whether what a mailbox shows lies in it, and is not shown in others besides.
    fn holds_its_own(&mut self, mailbox: &str) -> bool;

    /// Stores flags in the open mailbox: of those only that were not changed since, if a change number is named.
    fn store(
        &mut self,
        selected: &mut Selected,
        places: &[usize],
        unchanged: Option<u64>,
        kind: StoreKind,
        flags: &[Flag],
    ) -> Result<Stored, Answer>;

    /// Removes the messages at those places that are flagged as deleted at that moment.
    fn expunge(&mut self, selected: &Selected, places: &[usize]) -> Result<(), Answer>;

    /// Copies or moves messages, sealed as they are, into a mailbox.
    fn carry(
        &mut self,
        selected: &Selected,
        places: &[usize],
        to: &MailboxName,
        leave: Leave,
    ) -> Result<Carried, Answer>;

    /// Whether a message may be stored there; asked before its octets are taken.
    fn may_append(&mut self, name: &MailboxName) -> Result<(), Answer>;

    /// Seals and stores a message.
    fn append(&mut self, order: &AppendOrder, message: Scratched<File>) -> Answer;
}

/// Places at which no flags were stored.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// The message is gone, or could not be changed.
    pub(crate) failed: Vec<usize>,
    /// Somebody else changed it.
    pub(crate) modified: Vec<usize>,
}

/// Which mailboxes are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// LIST
    All,
    /// LSUB
    Subscribed,
}

/// Names of a message's records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filed {
    /// The mailbox, as it is spelled on the wire.
    pub(crate) mailbox: String,
    /// The message, among those of the mailbox.
    pub(crate) message: Vec<u8>,
}

/// What is done to mailboxes (RFC 3501 §6.3.3 to §6.3.7).
pub(crate) enum Arrangement {
    Create(MailboxName),
    Delete(MailboxName),
    Rename(MailboxName, MailboxName),
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
}

/// How much is done to learn what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// What was heard by the way is enough.
    Heard,
    /// It is asked for.
    Asked,
    /// The mail program waits: whatever comes is told at once, and this is called again soon.
    Waiting,
}

/// How long a mail program waits between two calls with [`Pace::Waiting`], at most.
pub(crate) const TICK: Duration = Duration::from_millis(150);

/// When a message arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// As INTERNALDATE tells it, without quotes.
    pub(crate) text: String,
    /// The day that it names, in days since 1970.
    pub(crate) day: i64,
    /// The moment, in seconds since 1970.
    pub(crate) unix: i64,
}

/// Whether the originals stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// COPY
    Stay,
    /// MOVE
    Go,
}

/// What was copied or moved.
pub(crate) struct Carried {
    /// `COPYUID …` (RFC 4315 §3), if it is known.
    pub(crate) code: Option<String>,
    /// Messages that could not be.
    pub(crate) failed: usize,
}
