//! Whether a copy lies in a mailbox already.
//!
//! In: copies. Out: the UIDs of messages that may be they: by the id of a sealed message (format §4.3), else by Message-ID; among what has the INTERNALDATE
//! that the copy has. Proves nothing: whoever asks fetches them, and compares.

use std::collections::HashMap;
use std::io;

use time::OffsetDateTime;
use time::macros::format_description;
use wire::imap::{Fetched, ImapError, Session, UidSet};

use crate::forward::likeness::Name;
use crate::forward::parcel::{Evidence, Parcel};
use crate::imap::mark_of;

/// Octets of header fields that hold a mark.
const MOST_FIELDS: usize = 16 * 1024;
/// UIDs of one FETCH of marks.
const MOST_LOOKED_AT: usize = 100_000;

/// What tells messages from others, by UID.
pub(super) type LookedAt = HashMap<u32, Marks>;

/// What tells a message from others.
pub(super) struct Marks {
    /// The id of a sealed one.
    sealed: Option<[u8; 16]>,
    /// Of its Message-ID.
    name: Option<Name>,
}

/// Which of them are there, and where. SEARCH by date is cheap everywhere; by header it is not (format §12.1).
pub(super) fn look_for(
    session: &mut Session,
    looked_at: &mut LookedAt,
    parcels: &[Parcel],
    sought: &[usize],
) -> Result<HashMap<u32, usize>, ImapError> {
    let times = || sought.iter().filter_map(|at| parcels.get(*at)).map(|parcel| parcel.received.0);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(HashMap::new()) };
    // What others have put there since the last command may have to be asked for.
    session.noop()?;
    // RFC 9051 §6.4.4: the date counts, whatever its time zone.
    let query = format!("SINCE {} BEFORE {}", day(first - 86_400), day(last + 2 * 86_400));
    let mut candidates: Vec<u32> = session.uid_search(&query)?.iter().collect();
    candidates.reverse();
    candidates.truncate(MOST_LOOKED_AT);
    let new: UidSet = candidates.iter().copied().filter(|uid| !looked_at.contains_key(uid)).collect();
    if !new.is_empty() {
        let items = format!("UID BODY.PEEK[HEADER.FIELDS (SEALED-MAIL MESSAGE-ID)]<0.{MOST_FIELDS}>");
        let each = |fetched: Fetched<io::Sink>| {
            if let Some((_, header)) = fetched.sections.first() {
                let sealed = mark_of(header).and_then(|mark| mark.try_into().ok());
                looked_at.insert(fetched.uid, Marks { sealed, name: Name::of(header) });
            }
        };
        session.uid_fetch(&new, &items, |_| Ok(io::sink()), each)?;
    }
    let (mut by_id, mut by_name) = (HashMap::new(), HashMap::new());
    for (at, parcel) in sought.iter().filter_map(|at| Some((*at, parcels.get(*at)?))) {
        match &parcel.evidence {
            Evidence::AsItCame(likeness) => drop(likeness.name.map(|name| by_name.insert(name, at))),
            _ => drop(by_id.insert(parcel.id.0, at)),
        }
    }
    let found = |uid: u32| {
        let marks = looked_at.get(&uid)?;
        let sealed = marks.sealed.and_then(|id| by_id.get(&id));
        Some((uid, *sealed.or_else(|| by_name.get(marks.name.as_ref()?))?))
    };
    Ok(candidates.into_iter().filter_map(found).collect())
}

/// `25-Nov-2026`.
fn day(at: i64) -> String {
    let format = format_description!("[day padding:none]-[month repr:short]-[year]");
    moment(at).date().format(&format).unwrap_or_default()
}

pub(super) fn moment(at: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_imap_reads_them() {
        assert_eq!(day(1_795_651_200), "26-Nov-2026");
    }
}
