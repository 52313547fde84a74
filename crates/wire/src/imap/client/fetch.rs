//! FETCH and SEARCH by UID.
//!
//! In: UIDs, items, where whole messages go. Out: what the server has of them. RFC 3501 §6.4.4, §6.4.5, §6.4.8. Never:
//! `\Seen` set by accident, as long as the caller asks for `BODY.PEEK[]`.

use std::io::{self, Write};

use super::session::{Event, Session, done, on_one_line, text};
use crate::imap::answer::Fetched;
use crate::imap::error::ImapError;
use crate::imap::response::{Reply, Untagged};
use crate::limit;
use crate::uid_set::UidSet;

/// FETCHes in flight. Their answers are large, so the commands must fit where the server has room for them even while
/// it does nothing but write.
const WINDOW: usize = 2;

impl Session {
    /// `UID FETCH set (items)`. A message that is gone is no error: it is not told of.
    ///
    /// The whole message (`BODY[]`) is written to what `body` gives for its length; when that fails, the rest is
    /// thrown away, [`Fetched::body`] holds the error, and the session goes on. Other sections are held in memory.
    /// `each` also sees what the server tells unasked, of whatever message; not what it tells without a UID.
    pub fn uid_fetch<B: Write>(
        &mut self,
        set: &UidSet,
        items: &str,
        mut body: impl FnMut(u64) -> io::Result<B>,
        mut each: impl FnMut(Fetched<B>),
    ) -> Result<(), ImapError> {
        let items = on_one_line(items)?;
        let parts = set.split(limit::SET_TEXT);
        let commands: Vec<_> = parts.iter().map(|part| format!("UID FETCH {part} ({items})")).collect();
        let mut refused = Ok(());
        self.pipeline(
            &commands,
            WINDOW,
            &mut body,
            |event| {
                if let Event::Fetched(fetched) = event {
                    each(fetched);
                }
            },
            |_, reply| {
                // Some of them are gone (RFC 5530 §3): the others were told.
                if reply.code("EXPUNGEISSUED").is_none() {
                    refuse(&mut refused, done(reply));
                }
            },
        )?;
        refused
    }

    /// `UID SEARCH query`. The query is ASCII; no charset is named.
    pub fn uid_search(&mut self, query: &str) -> Result<UidSet, ImapError> {
        let mut found = Vec::new();
        self.run(vec![text(format!("UID SEARCH {}", on_one_line(query)?))], |event| {
            if let Event::Untagged(Untagged::Search(mut numbers)) = event {
                found.append(&mut numbers);
                if found.len() > limit::FOUND {
                    return Err(ImapError::Limit("messages found"));
                }
            }
            Ok(())
        })?;
        Ok(found.into_iter().collect())
    }
}

/// Keeps the first refusal.
pub(super) fn refuse(refused: &mut Result<(), ImapError>, ended: Result<Reply, ImapError>) {
    if let (Ok(()), Err(error)) = (&refused, ended) {
        *refused = Err(error);
    }
}
