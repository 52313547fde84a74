//! A Maildir as a [`Depot`]. In: its path, the state database. Out: what the session's answers ask for.

use std::fs::File;
use std::io::{self, Write};

use sealed::scratch::Scratched;
use store::{Database, Mailbox, Maildir, Uids, Unique};
use wire::MailboxName;
use wire::imap::Listed;
use wire::imap::server::{AppendOrder, DateTime, Flag, MAX_APPEND, Names, StatusItem, StoreKind};

use super::census::LookError;
use super::look::{body_of_file, look_at_file};
use super::opened::{Held, Opened, quiet_since};
use super::{append, names};
use crate::answer::Answer;
use crate::depot::contract::{Arrangement, Arrived, Carried, Depot, Filed, Leave, Listing, Pace, Stored};
use crate::depot::selected::{Access, Changes, Selected};
use crate::depot::view::{Body, Look, Trouble, View};
use crate::means::Means;

/// A Maildir.
pub(crate) struct MaildirDepot<'b> {
    means: Means<'b>,
    maildir: Maildir,
    database: Database,
    opened: Option<Opened>,
}

impl<'b> MaildirDepot<'b> {
    pub(crate) fn new(means: Means<'b>, maildir: Maildir, database: Database) -> Self {
        Self { means, maildir, database, opened: None }
    }

    fn find(&self, name: &MailboxName) -> Result<Mailbox, Answer> {
        match names::find(&self.maildir, name) {
            Ok(Some(mailbox)) => Ok(mailbox),
            Ok(None) => Err(Answer::nonexistent()),
            Err(_) => Err(Answer::unreadable()),
        }
    }

    fn file(&mut self, uid: u32) -> Result<(&Mailbox, &mut Held), Trouble> {
        self.opened.as_mut().and_then(|opened| opened.file(uid)).ok_or(Trouble::Gone)
    }

    fn opened(&mut self) -> Result<&mut Opened, Answer> {
        self.opened.as_mut().ok_or(Answer::Bad("select a mailbox first"))
    }
}

fn answer_of(error: &LookError) -> Answer {
    match error {
        LookError::Scan(_) => Answer::unreadable(),
        LookError::State(_) => Answer::state(),
    }
}

impl Depot for MaildirDepot<'_> {
    fn offers(&self) -> String {
        "UIDPLUS MOVE CHILDREN SPECIAL-USE".to_owned()
    }

    fn is_over(&self) -> bool {
        false
    }

    fn recover(&mut self, _: Option<&mut Selected>) -> Option<Changes> {
        None
    }

    /// A Maildir counts nothing: others change it, and leave no mark.
    fn counts_changes(&self) -> bool {
        false
    }

    fn keep_order(&mut self) {}

    fn highest(&self, _: &Selected) -> Option<u64> {
        None
    }

    fn count_changes(&mut self, _: &mut Selected, _: &[usize]) -> Result<(), Trouble> {
        Ok(())
    }

    fn append_limit(&self) -> u64 {
        MAX_APPEND
    }

    /// All are subscribed.
    fn list(&mut self, _: Listing, pattern: &str) -> Result<Vec<Listed>, Answer> {
        names::list(&self.maildir, pattern)
    }

    fn status(
        &mut self,
        name: &MailboxName,
        items: &[StatusItem],
        names: Names,
        out: &mut dyn Write,
    ) -> io::Result<Answer> {
        names::status(&self.database, &self.maildir, (name, names), items, out)
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Answer> {
        let listing = self.maildir.list().map_err(|_| Answer::unreadable())?;
        Ok(listing.mailboxes.iter().map(|mailbox| MailboxName::from_wire(&names::wire_name(mailbox))).collect())
    }

    fn namespaces(&mut self) -> Result<String, Answer> {
        Ok("((\"\" \"/\")) NIL NIL".to_owned())
    }

    fn arrange(&mut self, order: &Arrangement) -> Answer {
        match order {
            Arrangement::Create(name) => names::create(&self.maildir, name),
            Arrangement::Delete(_) => Answer::no("[CANNOT] mailboxes are not removed here"),
            Arrangement::Rename(..) => Answer::no("[CANNOT] mailboxes are not renamed here"),
            Arrangement::Subscribe(name) => match self.find(name) {
                Ok(_) => Answer::ok("all mailboxes are subscribed"),
                Err(answer) => answer,
            },
            Arrangement::Unsubscribe(_) => Answer::no("[CANNOT] all mailboxes are subscribed"),
        }
    }

    fn open(&mut self, name: &MailboxName, access: Access) -> Result<Selected, Answer> {
        self.opened = None;
        let mailbox = self.find(name)?;
        let opened = Opened::open(&self.database, self.maildir.root(), mailbox, access);
        let (opened, selected) = opened.map_err(|error| answer_of(&error))?;
        self.opened = Some(opened);
        Ok(selected)
    }

    fn leave(&mut self) {
        self.opened = None;
    }

    fn refresh(&mut self, selected: &mut Selected, _: Pace) -> Changes {
        let Some(opened) = &mut self.opened else { return Changes::default() };
        opened.refresh(&self.database, self.maildir.root(), selected).unwrap_or_default()
    }

    fn prepare(&mut self, _: &[u32]) {}

    fn look(&mut self, uid: u32) -> Result<Look, Trouble> {
        let means = self.means;
        let (mailbox, filed) = self.file(uid)?;
        look_at_file(means.mail, mailbox, &mut filed.message)
    }

    /// Shown otherwise than before, it is another message, which gets another UID.
    fn shown(&mut self, uid: u32, before: Option<View>, now: View) -> Result<(), Trouble> {
        let opened = self.opened.as_mut().ok_or(Trouble::Gone)?;
        if before.is_some_and(|before| before.is_original() != now.is_original()) {
            Uids::new(&self.database).renumber(opened.id, &[uid])?;
            opened.forget_look();
            return Err(Trouble::Gone);
        }
        opened.views.push((uid, now.number()));
        Ok(())
    }

    fn note(&mut self) -> Result<(), Trouble> {
        let Some(opened) = &mut self.opened else { return Ok(()) };
        let views = std::mem::take(&mut opened.views);
        Ok(Uids::new(&self.database).note_views(opened.id, &views)?)
    }

    fn body(&mut self, uid: u32) -> Result<Body, Trouble> {
        let (mailbox, filed) = self.file(uid)?;
        body_of_file(mailbox, &mut filed.message)
    }

    fn structure(&mut self, _: u32) -> Result<Option<String>, Trouble> {
        Ok(None)
    }

    fn size(&mut self, _: u32) -> Result<Option<u64>, Trouble> {
        Ok(None)
    }

    /// In UTC.
    fn arrived(&mut self, uid: u32) -> Result<Arrived, Trouble> {
        let (mailbox, filed) = self.file(uid)?;
        let stat = mailbox.refresh(&mut filed.message)?.ok_or(Trouble::Gone)?;
        let moment = stat.modified().0;
        Ok(Arrived { text: DateTime::text_of_unix(moment), day: moment.div_euclid(86_400), unix: moment })
    }

    /// By the unique name, which outlasts numbers.
    fn filed(&self, uid: u32) -> Option<Filed> {
        let opened = self.opened.as_ref()?;
        let at = opened.files.binary_search_by_key(&uid, |filed| filed.uid).ok()?;
        let message = opened.files.get(at)?.message.unique().as_bytes().to_vec();
        Some(Filed { mailbox: names::wire_name(&opened.mailbox), message })
    }

    fn marks(&mut self, names: &[MailboxName]) -> Vec<Option<Vec<u8>>> {
        names.iter().map(|name| quiet_since(&self.find(name).ok()?)).collect()
    }

    fn stand(&self, _: &Selected) -> Option<Vec<u8>> {
        None
    }

    /// The file is looked for.
    fn lies_there(&mut self, mailbox: &str, message: &[u8], _: Option<Vec<u8>>) -> bool {
        let Ok(unique) = Unique::parse(message) else { return false };
        let mailbox = self.find(&MailboxName::from_wire(mailbox));
        mailbox.is_ok_and(|mailbox| mailbox.find(&unique).is_ok_and(|found| found.is_some()))
    }

    fn holds_its_own(&mut self, _: &str) -> bool {
        true
    }

    fn store(
        &mut self,
        selected: &mut Selected,
        places: &[usize],
        _: Option<u64>,
        kind: StoreKind,
        flags: &[Flag],
    ) -> Result<Stored, Answer> {
        let Some(opened) = &mut self.opened else { return Err(Answer::Bad("select a mailbox first")) };
        let failed = opened.store(&self.database, selected, places, kind, flags).map_err(|_| Answer::state())?;
        Ok(Stored { failed, ..Stored::default() })
    }

    fn expunge(&mut self, selected: &Selected, places: &[usize]) -> Result<(), Answer> {
        match self.opened()?.expunge(&selected.uids(places)) {
            0 => Ok(()),
            _ => Err(Answer::unreadable()),
        }
    }

    fn carry(
        &mut self,
        selected: &Selected,
        places: &[usize],
        to: &MailboxName,
        leave: Leave,
    ) -> Result<Carried, Answer> {
        let to = self.find(to)?;
        let Some(opened) = &mut self.opened else { return Err(Answer::Bad("select a mailbox first")) };
        let carried = opened.carry(&self.database, selected, places, &to, &self.maildir, leave);
        carried.map_err(|error| answer_of(&error))
    }

    fn may_append(&mut self, name: &MailboxName) -> Result<(), Answer> {
        self.find(name).map(drop)
    }

    fn append(&mut self, order: &AppendOrder, message: Scratched<File>) -> Answer {
        let mailbox = match self.find(&order.mailbox) {
            Ok(mailbox) => mailbox,
            Err(answer) => return answer,
        };
        let answer = append::store(self.means, &self.database, &self.maildir, &mailbox, order, message);
        if let Some(opened) = &mut self.opened {
            opened.forget_look();
        }
        answer
    }
}
