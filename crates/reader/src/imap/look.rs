//! The messages of the selected mailbox that carry our label.
//!
//! In: a session. Out: their UIDs and sizes, from header fields; then, of those that are asked for, header sections or whole
//! messages, one at a time. Never decides whether the label is true; never sets `\Seen`.

use std::fs::File;
use std::sync::Arc;

use mail::HeaderSection;
use sealed::field::Mark;
use sealed::scratch::{NewPlace, Scratch, Scratched};
use wire::imap::{Fetched, ImapError, Session, UidSet};

/// A message with any of our three fields (format §4.3).
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) uid: u32,
    /// Octets.
    pub(crate) size: u64,
    /// The id that it claims.
    pub(crate) id: Option<[u8; 16]>,
}

/// A mailbox, looked at.
#[derive(Default)]
pub(crate) struct Looked {
    /// Lowest UID first.
    pub(crate) labelled: Vec<Labelled>,
    /// Messages without our label.
    pub(crate) unlabelled: u64,
}

/// Octets of header fields that are asked for.
const MOST_FIELDS: usize = 32 * 1024;
/// Messages whose bodies are asked for at once.
const AT_ONCE: usize = 32;

/// Looks at all messages of the selected mailbox.
pub(crate) fn look(session: &mut Session) -> Result<Looked, ImapError> {
    let mut looked = Looked::default();
    if session.exists() == 0 {
        return Ok(looked);
    }
    // Ours come first and are short; what others write into such fields may be long.
    let items =
        format!("UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SEALED-MAIL SEALED-KEY SEALED-FIELDS)]<0.{MOST_FIELDS}>");
    session.uid_fetch(&everything(), &items, no_body, |fetched| {
        // What others do meanwhile is told in between, without a size.
        let Some((size, (_, header))) = fetched.size.zip(fetched.sections.first()) else { return };
        let section = HeaderSection::parse(header);
        // Any of them: a server that drops one must not hide the message.
        let labelled = ["Sealed-Mail", "Sealed-Key", "Sealed-Fields"].iter().any(|name| section.first(name).is_some());
        if labelled {
            let id = Mark::parse(&section).ok().map(|mark| mark.id.0);
            looked.labelled.push(Labelled { uid: fetched.uid, size, id });
        } else {
            looked.unlabelled = looked.unlabelled.saturating_add(1);
        }
    })?;
    looked.labelled.sort_by_key(|one| one.uid);
    looked.labelled.dedup_by_key(|one| one.uid);
    Ok(looked)
}

/// Whole messages of the selected mailbox; one that cannot be kept comes without octets.
pub(crate) fn messages(
    session: &mut Session,
    uids: &[u32],
    place: &NewPlace<File>,
    mut each: impl FnMut(u32, Option<Scratched<File>>),
) -> Result<(), ImapError> {
    for some in uids.chunks(AT_ONCE) {
        let set: UidSet = some.iter().copied().collect();
        let scratch = |length| Ok(Scratch::new(length, Arc::clone(place)));
        session.uid_fetch(&set, "UID BODY.PEEK[]", scratch, |fetched: Fetched<Scratch<File>>| {
            if let Some(body) = fetched.body.filter(|_| set.contains(fetched.uid)) {
                each(fetched.uid, body.and_then(Scratch::finish).ok());
            }
        })?;
    }
    Ok(())
}

/// Whole header sections of messages of the selected mailbox.
pub(crate) fn headers(session: &mut Session, uids: &[u32], mut each: impl FnMut(u32, &[u8])) -> Result<(), ImapError> {
    for some in uids.chunks(AT_ONCE) {
        let set: UidSet = some.iter().copied().collect();
        session.uid_fetch(&set, "UID BODY.PEEK[HEADER]<0.1048576>", no_body, |fetched| {
            if let Some((_, header)) = fetched.sections.first() {
                each(fetched.uid, header);
            }
        })?;
    }
    Ok(())
}

/// All UIDs.
pub(crate) fn everything() -> UidSet {
    let mut all = UidSet::new();
    all.insert_range(1, u32::MAX);
    all
}

pub(crate) fn no_body(_: u64) -> std::io::Result<std::io::Sink> {
    Ok(std::io::sink())
}
