//! Which mailbox a mail program works in, and what it is told of it: SELECT, EXAMINE, IDLE, untagged answers (RFC 3501 §6.3.1, §7, RFC 2177).
//!
//! In: names, what a depot says has changed. Out: untagged answers, in their order.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use wire::MailboxName;

use super::depot::Pace;
use super::link::{Answer, untagged};
use super::selected::{Access, Changes};
use super::session::{SILENT, Session};

/// System flags that any mailbox may hold.
const FLAGS: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded";

impl Session<'_> {
    pub(crate) fn select(&mut self, name: &MailboxName, access: Access) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("log in first")) };
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
        let access = selected.access;
        desk.take(Some(selected));
        Ok(match access {
            Access::Write => Answer::ok("[READ-WRITE] selected"),
            Access::Read => Answer::ok("[READ-ONLY] selected"),
        })
    }

    /// Leaves the selected mailbox.
    pub(crate) fn leave(&mut self) {
        if let Some(desk) = &mut self.desk {
            desk.depot.leave();
            desk.take(None);
        }
    }

    /// Tells what changed.
    pub(crate) fn tell_changes(&mut self, pace: Pace) -> io::Result<()> {
        let Some(desk) = &mut self.desk else { return Ok(()) };
        let Some(selected) = &mut desk.selected else { return Ok(()) };
        let Changes { gone, exists, flagged } = desk.depot.refresh(selected, pace);
        let out = self.link.sink();
        for number in gone {
            untagged(out, &format!("{number} EXPUNGE"))?;
        }
        if let Some(count) = exists {
            untagged(out, &format!("{count} EXISTS"))?;
            untagged(out, &format!("{} RECENT", selected.recent()))?;
        }
        for place in flagged {
            if let (Ok(flags), Ok(item)) = (desk.flags(place), desk.item(place)) {
                let line = format!("{} FETCH (UID {} FLAGS ({flags}))", place.saturating_add(1), item.uid);
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
            if self.desk.as_ref().is_some_and(|desk| desk.depot.is_over()) {
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
