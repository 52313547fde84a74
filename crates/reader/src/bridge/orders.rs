//! What a mail program asks of the selected mailbox's messages: FETCH, STORE, EXPUNGE, COPY, MOVE; and APPEND (RFC 3501 §6.3.11, §6.4).
//!
//! In: commands. Out: their answers. Never a part of a message that does not open.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use wire::MailboxName;
use wire::imap::server::{AppendOrder, FetchItem, Flag, Literal, MAX_APPEND, SequenceSet, Silence, StoreKind, Which};

use super::append;
use super::depot::{Leave, Pace};
use super::link::{Answer, untagged};
use super::selected::Access;
use super::session::{SILENT, Session};
use super::view::Trouble;

impl Session<'_> {
    pub(crate) fn fetch(&mut self, which: Which, set: &SequenceSet, mut items: Vec<FetchItem>) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(places) = desk.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        if which == Which::Uids && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        let (mut broken, mut gone, mut failed) = (0_usize, 0_usize, 0_usize);
        desk.announce(&places, &items);
        for place in places {
            match desk.fetch(place, &items, self.link.sink())? {
                Ok(()) => {}
                Err(Trouble::Broken) => broken = broken.saturating_add(1),
                Err(Trouble::Gone) => gone = gone.saturating_add(1),
                Err(Trouble::Io) => failed = failed.saturating_add(1),
            }
        }
        let noted = desk.depot.note();
        if which == Which::Uids {
            self.tell_changes(Pace::Heard)?;
        }
        Ok(match (broken, failed, gone) {
            (0, 0, 0) if noted.is_err() => Answer::state(),
            (0, 0, 0) => Answer::ok("done"),
            (0, 0, _) => Answer::no("[EXPUNGEISSUED] some messages are gone"),
            (0, _, _) => Answer::no("[UNAVAILABLE] some messages cannot be read now"),
            _ => Answer::no("some sealed messages do not open: they are damaged or were changed"),
        })
    }

    pub(crate) fn store(
        &mut self,
        which: Which,
        set: &SequenceSet,
        kind: StoreKind,
        silence: Silence,
        flags: &[Flag],
    ) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(places) = desk.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        let Some(selected) = &mut desk.selected else { return Ok(Answer::Bad("select a mailbox first")) };
        if selected.access == Access::Read {
            return Ok(read_only());
        }
        let failed = match desk.depot.store(selected, &places, kind, flags) {
            Ok(failed) => failed,
            Err(answer) => return Ok(answer),
        };
        if silence == Silence::Loud {
            for place in places.iter().filter(|place| !failed.contains(place)) {
                if let (Ok(flags), Ok(item)) = (desk.flags(*place), desk.item(*place)) {
                    let uid = if which == Which::Uids { format!("UID {} ", item.uid) } else { String::new() };
                    let line = format!("{} FETCH ({uid}FLAGS ({flags}))", place.saturating_add(1));
                    untagged(self.link.sink(), &line)?;
                }
            }
        }
        if which == Which::Uids {
            self.tell_changes(Pace::Heard)?;
        }
        Ok(if failed.is_empty() { Answer::ok("done") } else { Answer::no("[EXPUNGEISSUED] some messages are gone") })
    }

    pub(crate) fn expunge(&mut self, uids: Option<&SequenceSet>) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(selected) = &desk.selected else { return Ok(Answer::Bad("select a mailbox first")) };
        if selected.access == Access::Read {
            return Ok(read_only());
        }
        let mut places = selected.deleted();
        if let Some(uids) = uids {
            let named = selected.places(Which::Uids, uids).unwrap_or_default();
            places.retain(|place| named.binary_search(place).is_ok());
        }
        let expunged = desk.depot.expunge(selected, &places);
        self.tell_changes(Pace::Heard)?;
        Ok(expunged.map_or_else(|answer| answer, |()| Answer::ok("done")))
    }

    pub(crate) fn close(&mut self) -> Answer {
        let mut expunged = Ok(());
        if let Some(desk) = &mut self.desk
            && let Some(selected) = &desk.selected
            && selected.access == Access::Write
        {
            expunged = desk.depot.expunge(selected, &selected.deleted());
        }
        self.leave();
        expunged.map_or_else(|answer| answer, |()| Answer::ok("done"))
    }

    pub(crate) fn carry(
        &mut self,
        which: Which,
        set: &SequenceSet,
        name: &MailboxName,
        leave: Leave,
    ) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(places) = desk.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        let Some(selected) = &desk.selected else { return Ok(Answer::Bad("select a mailbox first")) };
        if selected.access == Access::Read && leave == Leave::Go {
            return Ok(read_only());
        }
        let carried = match desk.depot.carry(selected, &places, name, leave) {
            Ok(carried) => carried,
            // The client may make it, and try again (RFC 3501 §6.4.7).
            Err(Answer::No(text)) => return Ok(Answer::No(text.replace("NONEXISTENT", "TRYCREATE"))),
            Err(other) => return Ok(other),
        };
        let code = carried.code.map(|code| format!("[{code}] ")).unwrap_or_default();
        if leave == Leave::Go && !code.is_empty() {
            untagged(self.link.sink(), &format!("OK {code}moved"))?;
        }
        self.tell_changes(Pace::Heard)?;
        Ok(match (carried.failed, leave) {
            (0, Leave::Stay) => Answer::Ok(format!("{code}done")),
            (0, Leave::Go) => Answer::ok("done"),
            _ => Answer::no("some messages are gone, or could not be written"),
        })
    }

    pub(crate) fn append(&mut self, order: &AppendOrder, literal: Literal) -> io::Result<Answer> {
        let began = Instant::now();
        let stop = self.stop;
        let mut patience = || !stop.load(Ordering::Relaxed) && began.elapsed() < SILENT;
        let refusal = if self.desk.is_none() {
            Some(Answer::Bad("log in first"))
        } else if self.bridge.seal.is_none() {
            Some(append::no_sealer())
        } else if order.length > MAX_APPEND {
            Some(Answer::no("[TOOBIG] the message is too large"))
        } else if order.length == 0 {
            Some(Answer::no("[CANNOT] an empty message"))
        } else {
            None
        };
        let allowed = match (refusal, &mut self.desk) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(desk)) => desk.depot.may_append(&order.mailbox),
            (None, None) => Err(Answer::Bad("log in first")),
        };
        match allowed {
            Ok(()) => {}
            Err(answer) => {
                self.link.decline(order, literal, &mut patience)?;
                return Ok(match answer {
                    Answer::No(text) => Answer::No(text.replace("NONEXISTENT", "TRYCREATE")),
                    other => other,
                });
            }
        }
        let mut message = append::place(self.bridge, order);
        let mut into = |octets: &[u8]| message.write_all(octets);
        match self.link.message(order, literal, &mut into, &mut patience)? {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Answer::Bad("one message at a time"));
            }
            Err(_) => return Ok(Answer::no("[UNAVAILABLE] the message cannot be kept now")),
        }
        let Ok(message) = message.finish() else {
            return Ok(Answer::no("[UNAVAILABLE] the message cannot be kept now"));
        };
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("log in first")) };
        Ok(desk.depot.append(order, message))
    }
}

fn read_only() -> Answer {
    Answer::no("[READ-ONLY] the mailbox was opened with EXAMINE")
}
