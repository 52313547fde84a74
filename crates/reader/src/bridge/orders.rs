//! What a mail program asks of the selected mailbox's messages: FETCH, STORE, EXPUNGE, COPY, MOVE; and APPEND (RFC 3501 §6.3.11, §6.4).
//!
//! In: commands. Out: their answers. Never a part of a message that does not open.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use wire::MailboxName;
use wire::imap::server::{
    AppendOrder, FetchItem, Flag, Literal, SequenceSet, Silence, Since, StoreKind, Vanished, Which,
};

use super::session::{SILENT, Session};
use crate::answer::{Answer, untagged};
use crate::depot::{Access, Leave, Pace, Stored, Trouble, append};
use crate::vault::Ids;

impl Session<'_> {
    pub(crate) fn fetch(
        &mut self,
        which: Which,
        set: &SequenceSet,
        mut items: Vec<FetchItem>,
        since: Option<Since>,
    ) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(mut places) = desk.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        if since.is_some() && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        if items.contains(&FetchItem::ModSeq) {
            match desk.count_changes(&places) {
                Ok(true) => {}
                Ok(false) => return Ok(Answer::Bad("changes are not counted here")),
                Err(_) => return Ok(Answer::unreadable()),
            }
        }
        if let Some(Since { modseq, vanished }) = since {
            if vanished == Vanished::Told && !desk.wishes.vanished {
                return Ok(Answer::Bad("enable QRESYNC first"));
            }
            if vanished == Vanished::Told {
                desk.tell_vanished(Some(set), self.link.sink())?;
            }
            places.retain(|place| desk.modseq(*place).is_some_and(|own| own > modseq));
        }
        if which == Which::Uids && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        let (mut broken, mut gone, mut failed) = (0_usize, 0_usize, 0_usize);
        desk.unknown = 0;
        desk.announce(&places, &items);
        for place in places {
            match desk.fetch(place, &items, self.link.sink())? {
                Ok(()) => {}
                Err(Trouble::Broken) => broken = broken.saturating_add(1),
                Err(Trouble::Gone) => gone = gone.saturating_add(1),
                Err(Trouble::Io) => failed = failed.saturating_add(1),
            }
        }
        let (noted, unknown) = (desk.depot.note(), desk.unknown);
        desk.copies.write();
        if which == Which::Uids {
            self.tell_changes(Pace::Heard)?;
        }
        Ok(match (broken, failed, gone) {
            (0, _, 0) if failed > 0 && failed == unknown => {
                Answer::no("[UNKNOWN-CTE] a part has a transfer encoding that nobody knows")
            }
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
        unchanged: Option<u64>,
        (kind, silence): (StoreKind, Silence),
        flags: &[Flag],
    ) -> io::Result<Answer> {
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("select a mailbox first")) };
        let Some(places) = desk.places(which, set) else { return Ok(Answer::Bad("no such message")) };
        let Some(selected) = &mut desk.selected else { return Ok(Answer::Bad("select a mailbox first")) };
        if selected.access == Access::Read {
            return Ok(read_only());
        }
        if unchanged.is_some() && selected.highest.is_none() {
            return Ok(Answer::Bad("changes are not counted here"));
        }
        desk.wishes.changes |= unchanged.is_some();
        let Stored { failed, modified } = match desk.depot.store(selected, &places, unchanged, kind, flags) {
            Ok(stored) => stored,
            Err(answer) => return Ok(answer),
        };
        // All three ascend.
        let is_done = |place: &&usize| failed.binary_search(place).is_err() && modified.binary_search(place).is_err();
        let done: Vec<usize> = places.iter().filter(is_done).copied().collect();
        // A change number is told even to who wants to hear nothing (RFC 7162 §3.1).
        let counted = desk.wishes.changes && desk.count_changes(&done).unwrap_or_default();
        if silence == Silence::Loud {
            desk.announce(&done, &[FetchItem::Flags]);
        }
        for place in done.into_iter().filter(|_| silence == Silence::Loud || counted) {
            let (Ok(flags), Ok(item)) = (desk.flags(place), desk.item(place)) else { continue };
            let uid = (which == Which::Uids).then(|| format!("UID {}", item.uid));
            let flags = (silence == Silence::Loud).then(|| format!("FLAGS ({flags})"));
            let modseq = item.modseq.filter(|_| counted).map(|modseq| format!("MODSEQ ({modseq})"));
            let told: Vec<String> = uid.into_iter().chain(flags).chain(modseq).collect();
            untagged(self.link.sink(), &format!("{} FETCH ({})", place.saturating_add(1), told.join(" ")))?;
        }
        let code = desk.modified(which, &modified);
        if which == Which::Uids {
            self.tell_changes(Pace::Heard)?;
        }
        Ok(match (failed.is_empty(), code) {
            (true, Some(code)) => Answer::Ok(format!("[{code}] the others were stored")),
            (true, None) => Answer::ok("done"),
            (false, _) => Answer::no("[EXPUNGEISSUED] some messages are gone"),
        })
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
        let code = self.highest_code();
        Ok(expunged.map_or_else(|answer| answer, |()| Answer::Ok(format!("{code}done"))))
    }

    /// `[HIGHESTMODSEQ 7] `, for who is told of what vanishes (RFC 7162 §3.2.7).
    fn highest_code(&self) -> String {
        let desk = self.desk.as_ref().filter(|desk| desk.wishes.vanished);
        let highest = desk.and_then(|desk| desk.depot.highest(desk.selected.as_ref()?));
        highest.map(|highest| format!("[HIGHESTMODSEQ {highest}] ")).unwrap_or_default()
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
        let uids = selected.uids(&places);
        if leave == Leave::Stay {
            // The first one must be known before its copy is.
            desk.announce(&places, &[FetchItem::Flags]);
            for place in &places {
                let _ = desk.flags(*place);
            }
            desk.copies.write();
        }
        uids.iter().for_each(|uid| desk.copies.expect(*uid, name));
        let Some(selected) = &desk.selected else { return Ok(Answer::Bad("select a mailbox first")) };
        let carried = match desk.depot.carry(selected, &places, name, leave) {
            Ok(carried) => carried,
            Err(refused) => {
                uids.iter().for_each(|uid| desk.copies.give_up(*uid, name));
                return Ok(match refused {
                    // The client may make it, and try again (RFC 3501 §6.4.7).
                    Answer::No(text) => Answer::No(text.replace("NONEXISTENT", "TRYCREATE")),
                    other => other,
                });
            }
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
        } else if self.desk.as_ref().is_some_and(|desk| order.length > desk.depot.append_limit()) {
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
        let mut message = append::place(&self.bridge.mail, order);
        let mut into = |octets: &[u8]| message.write_all(octets);
        match self.link.message(order, literal, &mut into, &mut patience)? {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Answer::Bad("one message at a time"));
            }
            Err(_) => return Ok(Answer::no("[UNAVAILABLE] the message cannot be kept now")),
        }
        let Ok(mut message) = message.finish() else {
            return Ok(Answer::no("[UNAVAILABLE] the message cannot be kept now"));
        };
        let Some(desk) = &mut self.desk else { return Ok(Answer::Bad("log in first")) };
        let ids = desk.index.as_ref().map(|index| Ids::beside(&index.vault));
        let copied = ids.zip(append::id_of(&mut message)?).map(|(ids, id)| (ids.mark(id), ids));
        if let Some((mark, ids)) = &copied {
            // What cannot be noted is told of as a copy.
            let _ = ids.expect(order.mailbox.wire(), *mark);
        }
        let answer = desk.depot.append(order, message);
        if let (Some((mark, ids)), Answer::No(_) | Answer::Bad(_)) = (&copied, &answer) {
            let _ = ids.was_expected(order.mailbox.wire(), *mark);
        }
        Ok(answer)
    }
}

fn read_only() -> Answer {
    Answer::no("[READ-ONLY] the mailbox was opened with EXAMINE")
}
