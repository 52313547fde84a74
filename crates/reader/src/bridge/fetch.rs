//! FETCH: items of a message, written (RFC 3501 §6.4.5, §7.4.2).
//!
//! In: items, a message of the selected mailbox. Out: one FETCH response, or none and the reason. ENVELOPE, size and structure of a sealed message come
//! from its sealed header fields; everything else from its one opened original. Never part of a response of a message that does not open.

use std::io::{self, Write};

use mail::{HeaderSection, body, body_structure, envelope};
use sealed::index::Index as ListView;
use store::{Database, Flags, Uids};
use wire::imap::server::{DateTime, FetchItem};

use super::flags;
use super::index::Index;
use super::original::Original;
use super::section::{self, Octets};
use super::selected::{Access, Selected};
use super::view::{Look, Trouble, View, look, whole};
use super::words::Words;
use crate::settings::Settings;

/// The selected mailbox and what is open of it.
pub(crate) struct Desk<'b> {
    pub(crate) settings: &'b Settings,
    pub(crate) database: &'b Database,
    pub(crate) selected: Selected,
    /// The originals that were opened last.
    open: Vec<(u32, Original)>,
    /// Views to be noted.
    views: Vec<(u32, u8)>,
    /// The search index, if there is one.
    index: Option<Index>,
}

/// Originals that are kept open: programs fetch one in many pieces.
const MAX_OPEN: usize = 2;
/// Octets of an ENVELOPE or a structure.
const MAX_STRUCTURE: usize = 8 << 20;

/// One value of a response.
enum Value {
    Text(String),
    Section(String, Option<Octets>),
}

impl<'b> Desk<'b> {
    pub(crate) fn new(settings: &'b Settings, database: &'b Database, selected: Selected) -> Self {
        Self { settings, database, selected, open: Vec::new(), views: Vec::new(), index: Index::open(settings).ok() }
    }

    /// Writes the items of the message at that place.
    pub(crate) fn fetch(
        &mut self,
        place: usize,
        items: &[FetchItem],
        out: &mut impl Write,
    ) -> io::Result<Result<(), Trouble>> {
        let prepared = match self.prepare(place, items) {
            Ok(prepared) => prepared,
            Err(trouble) => return Ok(Err(trouble)),
        };
        write!(out, "* {} FETCH (", place.saturating_add(1))?;
        for (at, value) in prepared.into_iter().enumerate() {
            if at > 0 {
                out.write_all(b" ")?;
            }
            match value {
                Value::Text(text) => out.write_all(text.as_bytes())?,
                // quirk: what is not there is empty, as Dovecot has it; RFC 3501 does not say.
                Value::Section(name, None) => write!(out, "{name} \"\"")?,
                Value::Section(name, Some(octets)) => {
                    write!(out, "{name} {{{}}}\r\n", octets.length())?;
                    let (_, original) = self.open.last_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
                    octets.write(original, out)?;
                }
            }
        }
        out.write_all(b")\r\n")?;
        Ok(Ok(()))
    }

    /// All that may fail.
    fn prepare(&mut self, place: usize, items: &[FetchItem]) -> Result<Vec<Value>, Trouble> {
        let shows =
            items.iter().any(|item| !matches!(item, FetchItem::Uid | FetchItem::Flags | FetchItem::InternalDate));
        let seen = items.iter().any(|item| matches!(item, FetchItem::Section(section) if !section.peek));
        let unknown = self.item(place)?.view.is_none() && items.contains(&FetchItem::Flags);
        let look = if shows || unknown { Some(self.look(place)?) } else { None };
        let mut values = Vec::with_capacity(items.len().saturating_add(1));
        for item in items {
            values.push(match item {
                FetchItem::Uid => Value::Text(format!("UID {}", self.item(place)?.uid)),
                FetchItem::Flags => Value::Text(String::new()),
                FetchItem::InternalDate => Value::Text(format!("INTERNALDATE \"{}\"", self.internal_date(place)?)),
                FetchItem::Size => Value::Text(format!("RFC822.SIZE {}", self.size(place, look.as_ref())?)),
                FetchItem::Envelope => Value::Text(format!("ENVELOPE {}", self.envelope(place, look.as_ref())?)),
                FetchItem::BodyStructure => {
                    Value::Text(format!("BODYSTRUCTURE {}", self.body_structure(place, look.as_ref())?))
                }
                FetchItem::Body => {
                    let original = self.original(place, look.as_ref())?;
                    Value::Text(format!("BODY {}", body(original.structure(), MAX_STRUCTURE).ok_or(Trouble::Io)?))
                }
                FetchItem::Section(section) => {
                    let original = self.original(place, look.as_ref())?;
                    Value::Section(section.name.clone(), section::find(original, section)?)
                }
            });
        }
        // Nothing can fail any more: now it counts as seen.
        let marked = seen && self.mark_seen(place)?;
        let flags = format!("FLAGS ({})", self.flags(place)?);
        let mut told = false;
        for value in &mut values {
            if matches!(value, Value::Text(text) if text.is_empty()) {
                *value = Value::Text(flags.clone());
                told = true;
            }
        }
        if marked && !told {
            values.push(Value::Text(flags));
        }
        Ok(values)
    }

    /// Looks at a message's header section. Shown otherwise than before, it is another message, which gets another UID.
    pub(crate) fn look(&mut self, place: usize) -> Result<Look, Trouble> {
        let id = self.selected.id;
        let item = self.selected.items.get_mut(place).ok_or(Trouble::Gone)?;
        let look = look(self.settings, &self.selected.mailbox, &mut item.message)?;
        match item.view {
            Some(view) if view.is_original() != look.view().is_original() => {
                Uids::new(self.database).renumber(id, &[item.uid]).map_err(|_| Trouble::Io)?;
                self.selected.forget_look();
                return Err(Trouble::Gone);
            }
            // Whether it opens again is seen when it is opened.
            Some(View::Broken) => {}
            Some(view) if view == look.view() => {}
            _ => {
                item.view = Some(look.view());
                self.views.push((item.uid, look.view().number()));
            }
        }
        Ok(look)
    }

    /// Writes down how messages were shown. To be called at the end of each command.
    pub(crate) fn note(&mut self) -> rusqlite::Result<()> {
        let views = std::mem::take(&mut self.views);
        Uids::new(self.database).note_views(self.selected.id, &views)
    }

    /// The message, opened; the last one of `open`.
    pub(crate) fn original(&mut self, place: usize, seen: Option<&Look>) -> Result<&mut Original, Trouble> {
        let uid = self.item(place)?.uid;
        match self.open.iter().position(|(other, _)| *other == uid) {
            Some(at) => {
                let kept = self.open.remove(at);
                self.open.push(kept);
            }
            None => {
                let fresh = match seen {
                    Some(_) => None,
                    None => Some(self.look(place)?),
                };
                let look = seen.or(fresh.as_ref()).ok_or(Trouble::Io)?;
                let item = self.selected.items.get_mut(place).ok_or(Trouble::Gone)?;
                let opened = whole(self.settings, &self.selected.mailbox, &mut item.message, look);
                let now = match &opened {
                    Err(Trouble::Broken) => View::Broken,
                    _ => look.view(),
                };
                if item.view != Some(now) {
                    item.view = Some(now);
                    self.views.push((uid, now.number()));
                }
                let original = opened?;
                item.size = Some(original.length());
                if self.open.len() >= MAX_OPEN {
                    self.open.remove(0);
                }
                self.open.push((uid, original));
            }
        }
        self.open.last_mut().map(|(_, original)| original).ok_or(Trouble::Io)
    }

    /// RFC822.SIZE.
    pub(crate) fn size(&mut self, place: usize, seen: Option<&Look>) -> Result<u64, Trouble> {
        if let Some(size) = self.item(place)?.size {
            return Ok(size);
        }
        let size = match seen {
            Some(Look::Sealed(index)) if index.wire_length.is_some() => index.wire_length.unwrap_or_default(),
            _ => self.original(place, seen)?.length(),
        };
        if let Some(item) = self.selected.items.get_mut(place) {
            item.size = Some(size);
        }
        Ok(size)
    }

    fn envelope(&mut self, place: usize, seen: Option<&Look>) -> Result<String, Trouble> {
        match seen {
            Some(Look::Sealed(index)) if has_whole_envelope(index) => {
                Ok(envelope(&HeaderSection::parse(&index.fields)))
            }
            Some(Look::File(_, Some(header))) => Ok(envelope(&HeaderSection::parse(header))),
            _ => {
                let header = self.original(place, seen)?.header()?;
                Ok(envelope(&HeaderSection::parse(&header)))
            }
        }
    }

    fn body_structure(&mut self, place: usize, seen: Option<&Look>) -> Result<String, Trouble> {
        if let Some(Look::Sealed(index)) = seen
            && let (Some(_), Some(structure)) = (index.wire_length, &index.body_structure)
        {
            return Ok(structure.clone());
        }
        body_structure(self.original(place, seen)?.structure(), MAX_STRUCTURE).ok_or(Trouble::Io)
    }

    /// INTERNALDATE, in UTC.
    fn internal_date(&mut self, place: usize) -> Result<String, Trouble> {
        Ok(DateTime::text_of_unix(self.arrived(place)?))
    }

    /// When it arrived, Unix seconds.
    pub(crate) fn arrived(&mut self, place: usize) -> Result<i64, Trouble> {
        let item = self.selected.items.get_mut(place).ok_or(Trouble::Gone)?;
        let stat = self.selected.mailbox.refresh(&mut item.message)?.ok_or(Trouble::Gone)?;
        Ok(stat.modified().0)
    }

    /// What the index has of a message.
    pub(crate) fn indexed(&self, place: usize) -> Result<Option<Words>, Trouble> {
        let Some(index) = &self.index else { return Ok(None) };
        let unique = self.item(place)?.message.unique();
        Ok(index.words(self.selected.mailbox.name(), unique.as_bytes()))
    }

    /// FLAGS, between parentheses.
    pub(crate) fn flags(&self, place: usize) -> Result<String, Trouble> {
        let item = self.item(place)?;
        Ok(flags::text(&item.message.flags(), &item.keywords, item.view, item.recent))
    }

    pub(crate) fn item(&self, place: usize) -> Result<&super::selected::Item, Trouble> {
        self.selected.items.get(place).ok_or(Trouble::Gone)
    }

    /// Sets `\Seen`; false: it was set, or may not be.
    fn mark_seen(&mut self, place: usize) -> Result<bool, Trouble> {
        let item = self.selected.items.get_mut(place).ok_or(Trouble::Gone)?;
        if self.selected.access == Access::Read || item.message.flags().contains(Flags::SEEN) {
            return Ok(false);
        }
        Ok(self.selected.mailbox.flag(&mut item.message, |flags| flags.with(Flags::SEEN))?)
    }
}

/// Fields that an ENVELOPE is made of, in lower case.
const OF_ENVELOPE: [&str; 10] =
    ["date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"];

/// Whether the list view holds all that an ENVELOPE needs (A10).
fn has_whole_envelope(index: &ListView) -> bool {
    !index.omitted.iter().any(|name| OF_ENVELOPE.contains(&name.as_str()))
}
