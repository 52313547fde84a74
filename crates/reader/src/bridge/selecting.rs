//! Which mailbox a mail program works in, and what it is told of it: SELECT, EXAMINE, IDLE, untagged answers (RFC 3501 §6.3.1, §7, RFC 2177).
//!
//! In: names, what a depot says has changed. Out: untagged answers, in their order.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use wire::imap::server::{FetchItem, Resume};
use wire::{MailboxName, UidSet};

use super::session::{SILENT, Session};
use super::telling::Telling;
use crate::answer::{Answer, untagged};
use crate::depot::{Access, Changes, Pace};

/// System flags that any mailbox may hold.
const FLAGS: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded";

impl Session<'_> {
    pub(crate) fn select(&mut self, name: &MailboxName, access: Access, resume: &Resume) -> io::Result<Answer> {
        if let Err(answer) = self.may_resume(resume) {
            return Ok(answer);
        }
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("log in first")) };
        if desk.selected.is_some() && desk.wishes.vanished {
            // What comes from here on is of the other one (RFC 7162 §3.2.11).
            untagged(self.link.sink(), "OK [CLOSED] the mailbox before is left")?;
        }
        desk.take(None);
        let selected = match desk.depot.open(name, access) {
            Ok(selected) => selected,
            Err(answer) => return Ok(answer),
        };
        let unseen = selected.items.iter().position(|item| !item.has("\\Seen"));
        let out = self.link.sink();
        untagged(out, &format!("FLAGS ({FLAGS})"))?;
        untagged(out, &format!("OK [PERMANENTFLAGS ({})] these are kept", selected.permanent))?;
        untagged(out, &format!("{} EXISTS", selected.items.len()))?;
        untagged(out, &format!("{} RECENT", selected.recent()))?;
        if let Some(place) = unseen {
            untagged(out, &format!("OK [UNSEEN {}] the first that was not read", place.saturating_add(1)))?;
        }
        untagged(out, &format!("OK [UIDVALIDITY {}] as ever", selected.validity))?;
        untagged(out, &format!("OK [UIDNEXT {}] is next", selected.next))?;
        match selected.highest {
            Some(highest) => untagged(out, &format!("OK [HIGHESTMODSEQ {highest}] so far"))?,
            None if desk.wishes.changes => untagged(out, "OK [NOMODSEQ] changes are not counted")?,
            None => {}
        }
        let access = selected.access;
        desk.take(Some(selected));
        self.resume(resume)?;
        Ok(match access {
            Access::Write => Answer::ok("[READ-WRITE] selected"),
            Access::Read => Answer::ok("[READ-ONLY] selected"),
        })
    }

    /// Leaves the selected mailbox.
    pub(crate) fn leave(&mut self) {
        if let Some(desk) = &mut self.desk {
            desk.take(None);
            desk.depot.leave();
        }
    }

    /// Tells what changed.
    pub(crate) fn tell_changes(&mut self, pace: Pace) -> io::Result<()> {
        let Some(desk) = &mut self.desk else { return Ok(()) };
        let Some(selected) = &mut desk.selected else { return Ok(()) };
        let changes = desk.depot.refresh(selected, pace);
        self.tell(changes)
    }

    /// When the mail was lost, looks for another way to it; false: there is none.
    pub(crate) fn recover(&mut self, telling: Telling) -> io::Result<bool> {
        let Some(desk) = &mut self.desk else { return Ok(false) };
        let Some(changes) = desk.depot.recover(desk.selected.as_mut()) else { return Ok(false) };
        if telling == Telling::WhatStays && !changes.gone.is_empty() {
            return Ok(false);
        }
        self.tell(changes)?;
        Ok(true)
    }

    fn tell(&mut self, changes: Changes) -> io::Result<()> {
        let Changes { gone, exists, mut flagged } = changes;
        let Some(desk) = &mut self.desk else { return Ok(()) };
        let uids: Vec<u32> = gone.iter().map(|(_, uid)| *uid).collect();
        let others = desk.copies.forget(&uids);
        desk.restand(&others, None);
        flagged.extend(desk.take_restless());
        let Some(selected) = &mut desk.selected else { return Ok(()) };
        let out = self.link.sink();
        if desk.wishes.vanished && !gone.is_empty() {
            let uids: UidSet = gone.iter().map(|(_, uid)| *uid).collect();
            untagged(out, &format!("VANISHED {uids}"))?;
        } else {
            for (number, _) in gone {
                untagged(out, &format!("{number} EXPUNGE"))?;
            }
        }
        if let Some(count) = exists {
            untagged(out, &format!("{count} EXISTS"))?;
            untagged(out, &format!("{} RECENT", selected.recent()))?;
        }
        if desk.wishes.changes {
            let _ = desk.count_changes(&flagged);
        }
        desk.announce(&flagged, &[FetchItem::Flags]);
        for place in flagged {
            if let (Ok(flags), Ok(item)) = (desk.flags(place), desk.item(place)) {
                let modseq = item.modseq.filter(|_| desk.wishes.changes);
                let modseq = modseq.map(|modseq| format!(" MODSEQ ({modseq})")).unwrap_or_default();
                let line = format!("{} FETCH (UID {} FLAGS ({flags}){modseq})", place.saturating_add(1), item.uid);
                untagged(out, &line)?;
            }
        }
        Ok(())
    }

    pub(crate) fn idle(&mut self) -> io::Result<Answer> {
        self.link.sink().write_all(b"+ idling\r\n")?;
        let began = Instant::now();
        loop {
            self.tell_changes(Pace::Waiting)?;
            self.link.sink().flush()?;
            if self.desk.as_ref().is_some_and(|desk| desk.depot.is_over()) && !self.recover(Telling::All)? {
                // The session says good-bye.
                return Ok(Answer::unreadable());
            }
            // The stream's time-out sets the pace.
            match self.link.line()? {
                Some(line) if line.eq_ignore_ascii_case(b"DONE") => {
                    self.tell_changes(Pace::Heard)?;
                    return Ok(Answer::ok("done"));
                }
                Some(_) => return Ok(Answer::Bad("DONE ends IDLE")),
                None if self.stop.load(Ordering::Relaxed) || began.elapsed() > SILENT => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                None => {}
            }
        }
    }
}
