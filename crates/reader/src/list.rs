//! The messages of a sealed Maildir with their real Subjects, from header sections alone.
//!
//! In: a Maildir, keys, pinned sealers. Out: a line for each sealed message. Never reads a body, which may be gone.

use mail::{HeaderSection, decode_words};
use open::OpenError;
use sealed::index::Index;
use store::maildir::{ListError as TreeError, OpenMaildirError};
use store::{Fate, Flags, Maildir};

use crate::maildir::walk::{WalkError, place_of, walk};
use crate::place::{Others, Place};
use crate::settings::{Settings, Source};

/// A sealed message.
#[derive(Debug)]
pub struct Listed {
    /// Where it lies.
    pub place: Place,
    /// Its flags.
    pub flags: Flags,
    /// What is protected, or why it does not open.
    pub line: Result<Line, OpenError>,
}

/// What a list shows of a message. The fields are shown as they stood in the original: the sealer vouches for having seen
/// them, not for the sender.
#[derive(Clone, Debug)]
pub struct Line {
    /// The Date field.
    pub date: String,
    /// The From field.
    pub from: String,
    /// The Subject field.
    pub subject: String,
    /// Everything else.
    pub index: Index,
}

/// What was listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages with our label.
    pub sealed: u64,
    /// Messages without it.
    pub others: u64,
    /// Entries that cannot be read.
    pub unreadable: u64,
    /// Mailboxes that were not looked at.
    pub left_out: u64,
}

/// Why the Maildir could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The mail lies in an account: whatever reads that lists it.
    #[error("only a Maildir is listed")]
    NoMaildir,
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// Its mailboxes cannot be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Shows each message with our label to `each`.
pub fn list(settings: &Settings, mut each: impl FnMut(Listed)) -> Result<Summary, ListError> {
    let mut sealed: u64 = 0;
    let Source::Maildir(root) = &settings.source else { return Err(ListError::NoMaildir) };
    let walked = walk(&Maildir::open(root)?, &settings.mailboxes, |labelled| {
        sealed = sealed.saturating_add(1);
        each(Listed {
            place: place_of(labelled.mailbox, &labelled.message),
            flags: labelled.message.flags(),
            line: open::headers(&labelled.header, &settings.keys, &settings.trust).map(Line::of),
        });
        Ok::<(), std::convert::Infallible>(())
    });
    match walked {
        Ok(Others { unlabelled, unreadable, left_out, .. }) => {
            let left_out = u64::try_from(left_out.len()).unwrap_or(u64::MAX);
            Ok(Summary { sealed, others: unlabelled, unreadable, left_out })
        }
        Err(WalkError::List(error)) => Err(error.into()),
    }
}

impl ListError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            ListError::NoMaildir | ListError::Maildir(OpenMaildirError::NotAMaildir) => Fate::Refuse,
            _ => Fate::Stop,
        }
    }
}

impl Line {
    fn of(index: Index) -> Line {
        let fields = HeaderSection::parse(&index.fields);
        let text = |name| {
            let field = fields.first(name);
            field.map(|field| printable(&decode_words(&field.unfolded()))).unwrap_or_default()
        };
        Line { date: text("Date"), from: text("From"), subject: text("Subject"), index }
    }
}

/// A sender must not steer the owner's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
