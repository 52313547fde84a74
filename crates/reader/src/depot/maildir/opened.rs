//! An open mailbox of a Maildir: its files by UID, and what changed since it was looked at. In: the Maildir as it is now. Out: items for a mail program's list. What
//! cannot be read changes nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use store::{Database, Mailbox, Message, Place};

use super::census::{LookError, census};
use crate::depot::flags;
use crate::depot::selected::{Access, Changes, Item, Recent, Selected, Standing};
use crate::depot::view::View;

/// An open mailbox.
pub(crate) struct Opened {
    pub(crate) mailbox: Mailbox,
    /// Its row in the state database.
    pub(crate) id: i64,
    /// By ascending UID.
    pub(crate) files: Vec<Held>,
    /// Views to be noted.
    pub(crate) views: Vec<(u32, u8)>,
    access: Access,
    looked: Option<SystemTime>,
}

/// A message.
pub(crate) struct Held {
    pub(crate) uid: u32,
    pub(crate) message: Message,
    pub(crate) keywords: Vec<String>,
}

/// A directory that was changed so short before we looked may have changed since within the same tick of its clock.
const TICK: Duration = Duration::from_secs(2);

impl Opened {
    /// Opens a mailbox. With [`Access::Write`], what is in `new/` is taken from there.
    pub(crate) fn open(
        database: &Database,
        root: &Path,
        mailbox: Mailbox,
        access: Access,
    ) -> Result<(Opened, Selected), LookError> {
        let mut opened = Opened { mailbox, id: 0, files: Vec::new(), views: Vec::new(), access, looked: None };
        let permanent = if access == Access::Write { flags::PERMANENT } else { "" };
        let mut selected = Selected {
            validity: 0,
            next: 1,
            access,
            permanent: permanent.to_owned(),
            highest: None,
            items: Vec::new(),
            saved: Vec::new(),
        };
        opened.refresh(database, root, &mut selected)?;
        Ok((opened, selected))
    }

    /// Looks whether anything changed. Cheap while nothing did.
    pub(crate) fn refresh(
        &mut self,
        database: &Database,
        root: &Path,
        selected: &mut Selected,
    ) -> Result<Changes, LookError> {
        let now = SystemTime::now();
        if self.is_as_it_was() {
            return Ok(Changes::default());
        }
        let census = census(database, root, &self.mailbox)?;
        self.id = census.numbered.id;
        selected.next = census.numbered.next;
        let validity = census.numbered.validity;
        if selected.validity == 0 {
            selected.validity = validity;
        }
        let mut items: Vec<Item> = Vec::with_capacity(census.numbered.messages.len());
        let mut files: Vec<Held> = Vec::with_capacity(census.numbered.messages.len());
        for (entry, mut message) in census.entries() {
            let recent = if message.place() == Place::New { Recent::Yes } else { Recent::No };
            if recent == Recent::Yes && self.access == Access::Write {
                self.mailbox.flag(&mut message, Clone::clone)?;
            }
            let view =
                entry.view.and_then(View::of_number).or_else(|| self.view_of_same(entry.uid, &message, selected));
            let flags = flags::of_file(&message.flags(), &entry.keywords);
            items.push(Item {
                uid: entry.uid,
                flags,
                view,
                recent,
                standing: Standing::Only,
                size: None,
                modseq: None,
            });
            files.push(Held { uid: entry.uid, message, keywords: entry.keywords });
        }
        self.files = files;
        self.looked = Some(now);
        if validity == selected.validity {
            return Ok(selected.replace(items));
        }
        // Numbers that mean nothing any more.
        let gone = selected.items.iter().map(|item| (1, item.uid)).collect();
        let exists = Some(items.len());
        selected.items = items;
        Ok(Changes { gone, exists, flagged: Vec::new() })
    }

    /// The next look is a real one.
    pub(crate) fn forget_look(&mut self) {
        self.looked = None;
    }

    /// A message.
    pub(crate) fn file(&mut self, uid: u32) -> Option<(&Mailbox, &mut Held)> {
        let at = self.files.binary_search_by_key(&uid, |filed| filed.uid).ok()?;
        Some((&self.mailbox, self.files.get_mut(at)?))
    }

    /// How the message was shown that has this number, if it is in the same file.
    fn view_of_same(&self, uid: u32, message: &Message, selected: &Selected) -> Option<View> {
        let at = self.files.binary_search_by_key(&uid, |filed| filed.uid).ok()?;
        let same = self.files.get(at)?.message.unique() == message.unique();
        let item = selected.items.binary_search_by_key(&uid, |item| item.uid).ok()?;
        selected.items.get(item).filter(|_| same)?.view
    }

    fn is_as_it_was(&self) -> bool {
        let Some(looked) = self.looked else { return false };
        changes(&self.mailbox).is_some_and(|changes| changes.into_iter().all(|changed| is_quiet(changed, looked)))
    }
}

/// When messages last came, went or were renamed; `None`: that cannot be told, or it was just now.
pub(crate) fn quiet_since(mailbox: &Mailbox) -> Option<Vec<u8>> {
    let now = SystemTime::now();
    let changes = changes(mailbox)?;
    let octets = |changed: SystemTime| {
        let since = changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        is_quiet(changed, now).then(|| since.as_nanos().to_be_bytes())
    };
    Some(changes.into_iter().map(octets).collect::<Option<Vec<_>>>()?.concat())
}

/// When the directories were changed; one without `new` has no new messages.
fn changes(mailbox: &Mailbox) -> Option<[SystemTime; 2]> {
    let changed = |place: &str| mailbox.dir().join(place).metadata().and_then(|metadata| metadata.modified());
    let new = match changed("new") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => SystemTime::UNIX_EPOCH,
        other => other.ok()?,
    };
    Some([new, changed("cur").ok()?])
}

fn is_quiet(changed: SystemTime, now: SystemTime) -> bool {
    changed.checked_add(TICK).is_some_and(|quiet| quiet < now)
}
