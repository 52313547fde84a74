//! ENABLE (RFC 5161, RFC 6855), and change numbers, for mail programs that come back (RFC 7162). In: what a program knows from before. Out: what is gone since, and what changed. What a program never
//! saw may be named among what is gone; nothing that is there is.

use std::io::{self, Write};

use wire::imap::server::{FetchItem, Names, Resume, SequenceSet, Which, number_set};

use super::fetch::Desk;
use super::session::Session;
use crate::answer::{Answer, untagged};
use crate::depot::Pace;

impl Session<'_> {
    /// ENABLE (RFC 5161): only what is offered, and changes something.
    pub(crate) fn enable(&mut self, names: &[String]) -> io::Result<Answer> {
        let mut enabled = String::from("ENABLED");
        if let Some(desk) = self.desk.as_mut() {
            let counts = desk.depot.counts_changes();
            for name in names {
                match name.as_str() {
                    "UTF8=ACCEPT" => {
                        desk.wishes.names = Names::Utf8;
                        self.link.speak(Names::Utf8);
                    }
                    "CONDSTORE" if counts => desk.wishes.changes = true,
                    "QRESYNC" if counts => {
                        desk.wishes.changes = true;
                        desk.wishes.vanished = true;
                        desk.depot.keep_order();
                    }
                    _ => continue,
                }
                enabled.push(' ');
                enabled.push_str(name);
            }
        }
        untagged(self.link.sink(), &enabled)?;
        Ok(Answer::ok("done"))
    }

    /// Whether the mailbox can be opened in that way; notes what it asks for.
    pub(crate) fn may_resume(&mut self, resume: &Resume) -> Result<(), Answer> {
        let Some(desk) = &mut self.desk else { return Err(Answer::Bad("log in first")) };
        match resume {
            Resume::Nothing => return Ok(()),
            _ if !desk.depot.counts_changes() => return Err(Answer::Bad("changes are not counted here")),
            Resume::From { .. } if !desk.wishes.vanished => return Err(Answer::Bad("enable QRESYNC first")),
            _ => {}
        }
        desk.wishes.changes = true;
        Ok(())
    }

    /// Tells what is gone and what changed in the mailbox that was just selected (RFC 7162 §3.2.5).
    pub(crate) fn resume(&mut self, resume: &Resume) -> io::Result<()> {
        let Resume::From { validity, modseq, known } = resume else { return Ok(()) };
        let Some(desk) = &mut self.desk else { return Ok(()) };
        let Some(selected) = desk.selected.as_ref().filter(|selected| selected.validity == *validity) else {
            return Ok(());
        };
        // `*` names no UID that it knows.
        let last = |known: &SequenceSet| known.ranges(u32::MAX).map(|(_, high)| high).max();
        let last_known = known.as_ref().and_then(last);
        let items = selected.items.iter().enumerate();
        // What came after all that it knows is told whatever its number: it may have been held back when a higher number was told.
        let changed = items.filter(|(_, item)| {
            item.modseq.is_none_or(|own| own > *modseq) || last_known.is_some_and(|last| item.uid > last)
        });
        let places: Vec<usize> = changed.map(|(place, _)| place).collect();
        desk.tell_vanished(known.as_ref(), self.link.sink())?;
        let asked = [FetchItem::Uid, FetchItem::Flags, FetchItem::ModSeq];
        desk.announce(&places, &[FetchItem::Envelope]);
        for place in places {
            // What cannot be looked at now is told when it is asked for.
            let _ = desk.fetch(place, &asked, self.link.sink())?;
        }
        let _ = desk.depot.note();
        desk.copies.write();
        self.tell_changes(Pace::Heard)
    }
}

impl Desk<'_> {
    /// `VANISHED (EARLIER)`: of these UIDs, or of all, those that are not there.
    pub(crate) fn tell_vanished(&self, asked: Option<&SequenceSet>, out: &mut impl Write) -> io::Result<()> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let largest = selected.items.last().map_or(0, |item| item.uid);
        let gone = match asked {
            Some(set) => selected.vanished(set.ranges(largest)),
            None => selected.vanished([(1, u32::MAX)].into_iter()),
        };
        if gone.is_empty() { Ok(()) } else { untagged(out, &format!("VANISHED (EARLIER) {gone}")) }
    }

    /// `MODIFIED …`: messages that somebody else changed (RFC 7162 §3.1.3).
    pub(crate) fn modified(&self, which: Which, places: &[usize]) -> Option<String> {
        let numbers: Vec<u32> = match which {
            Which::Numbers => {
                places.iter().map(|place| u32::try_from(place.saturating_add(1)).unwrap_or(u32::MAX)).collect()
            }
            Which::Uids => self.selected.as_ref()?.uids(places),
        };
        (!numbers.is_empty()).then(|| format!("MODIFIED {}", number_set(&numbers)))
    }
}
