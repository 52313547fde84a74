//! FETCH: items of a message, written (RFC 3501 §6.4.5, §7.4.2).
//!
//! In: items, a message of the selected mailbox. Out: one FETCH response, or none and the reason. ENVELOPE, size and structure of a sealed message come
//! from its sealed header fields; everything else from its one opened original. Never part of a response of a message that does not open.

use std::collections::HashSet;
use std::io::{self, Write};

use mail::{HeaderSection, MAX_PREVIEW_INPUT, body, body_structure, envelope, preview};
use sealed::index::Index as ListView;
use wire::imap::server::{FetchItem, Flag, Haste, Names, Part, Section, SequenceSet, StoreKind, Which, push_string};

use super::headers::{Headers, is_of_header};
use super::section;
use super::section::{Decoded, Octets};
use crate::depot::{
    Access, Arrived, Bodies, Copies, Depot, Item, Look, Original, Selected, Trouble, View, flags, whole,
};
use crate::index::{Holding, Index};
use crate::settings::Settings;
use crate::vault::Ids;

/// The selected mailbox and what is open of it.
pub(crate) struct Desk<'b> {
    pub(crate) settings: &'b Settings,
    pub(crate) depot: Box<dyn Depot + 'b>,
    pub(crate) selected: Option<Selected>,
    /// Which of its messages lie twice.
    pub(crate) copies: Copies,
    /// Messages whose flags are to be told again.
    pub(crate) restless: Vec<u32>,
    /// The search index, if there is a key for it.
    pub(crate) index: Option<Index>,
    /// What the index says of the texts that are searched for just now.
    pub(crate) holding: Option<Holding>,
    headers: Headers,
    /// Bodies that will be asked for.
    bodies: Bodies,
    pub(crate) wishes: Wishes,
    /// How often a part was asked for whose transfer encoding nobody knows.
    pub(crate) unknown: usize,
    /// The originals that were opened last.
    open: Vec<(u32, Original)>,
}

/// What the mail program wants to be told beside the usual (RFC 5161, RFC 7162).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Change numbers, with flags that change.
    pub(crate) changes: bool,
    /// UIDs of what is gone, and not numbers.
    pub(crate) vanished: bool,
    /// Names of mailboxes in UTF-8, and no charset in SEARCH (RFC 6855).
    pub(crate) names: Names,
}

/// Originals that are kept open: programs fetch one in many pieces.
const MAX_OPEN: usize = 2;
/// Octets of an ENVELOPE or a structure.
const MAX_STRUCTURE: usize = 8 << 20;

/// One value of a response.
enum Value {
    Text(String),
    Section(String, Option<Octets>),
    /// For which no message was opened.
    AtHand(String, Octets),
    /// What may have a NUL in it (RFC 3516 §4.2).
    Binary(String, Octets),
    /// Told when nothing can fail any more.
    Flags,
    ModSeq,
}

impl<'b> Desk<'b> {
    pub(crate) fn new(settings: &'b Settings, depot: Box<dyn Depot + 'b>) -> Self {
        let index = Index::open(settings).ok();
        let headers = Headers::beside(index.as_ref());
        Self {
            settings,
            depot,
            selected: None,
            copies: Copies::default(),
            restless: Vec::new(),
            index,
            holding: None,
            headers,
            bodies: Bodies::default(),
            wishes: Wishes::default(),
            unknown: 0,
            open: Vec::new(),
        }
    }

    /// Takes a mailbox in the place of the one before; `None`: no other.
    pub(crate) fn take(&mut self, selected: Option<Selected>) {
        self.open.clear();
        self.restless.clear();
        if let Some(before) = &self.selected {
            self.copies.close(self.depot.as_ref(), before);
        }
        self.copies = Copies::default();
        self.selected = selected;
        self.tidy();
        if let Some(selected) = &mut self.selected {
            let ids = self.index.as_ref().map(|index| Ids::beside(&index.vault));
            self.copies = Copies::open(ids, self.depot.as_mut(), selected);
            for item in &mut selected.items {
                item.standing = self.copies.standing(item.uid);
            }
        }
    }

    /// Whether a message's flags are not known without a look at it.
    pub(crate) fn is_unknown(&self, item: &Item) -> bool {
        item.view.is_none_or(|view| view == View::Original && !self.copies.knows(item.uid))
    }

    /// Places of messages whose flags are to be told again.
    pub(crate) fn take_restless(&mut self) -> Vec<usize> {
        let uids = std::mem::take(&mut self.restless);
        let items = self.items();
        uids.iter().filter_map(|uid| items.binary_search_by_key(uid, |item| item.uid).ok()).collect()
    }

    /// How these messages stand now; those that stand otherwise than before, but for the one that is answered for just now, are told of later.
    pub(crate) fn restand(&mut self, uids: &[u32], answered: Option<u32>) {
        let Some(selected) = &mut self.selected else { return };
        for uid in uids {
            let Ok(at) = selected.items.binary_search_by_key(uid, |item| item.uid) else { continue };
            let (Some(item), now) = (selected.items.get_mut(at), self.copies.standing(*uid)) else { continue };
            if item.standing != now {
                item.standing = now;
                self.restless.extend((Some(*uid) != answered).then_some(*uid));
            }
        }
    }

    /// The messages of the selected mailbox.
    pub(crate) fn items(&self) -> &[Item] {
        self.selected.as_ref().map(|selected| selected.items.as_slice()).unwrap_or_default()
    }

    /// Places of the messages that a set means; `None`: it names a number that no message has.
    pub(crate) fn places(&self, which: Which, set: &SequenceSet) -> Option<Vec<usize>> {
        self.selected.as_ref()?.places(which, set)
    }

    /// These items of messages will be asked for, in this order.
    pub(crate) fn announce(&mut self, places: &[usize], items: &[FetchItem]) {
        let Some(selected) = &self.selected else { return };
        let uids = selected.uids(places);
        let unknown = |place: &usize| selected.items.get(*place).is_some_and(|item| self.is_unknown(item));
        let (mut looks, mut opens, mut reads) = (false, false, false);
        for item in items {
            match item {
                FetchItem::Uid | FetchItem::ModSeq => {}
                FetchItem::Flags => looks |= places.iter().any(unknown),
                FetchItem::Section(section) if is_of_header(section) => reads = true,
                FetchItem::Section(_) | FetchItem::Binary(_) | FetchItem::BinarySize(_) | FetchItem::Body => {
                    opens = true
                }
                _ => looks = true,
            }
        }
        if looks || opens || reads {
            self.depot.prepare(&uids);
        }
        match (opens, reads, fields_of(items)) {
            (true, ..) => self.bodies.expect(uids),
            (false, true, fields) => {
                let uids = self.headers.lacking(uids, |uid| self.depot.filed(uid));
                match fields {
                    Some(fields) => self.bodies.expect_fields(uids, fields),
                    None => self.bodies.expect(uids),
                }
            }
            (false, false, _) => self.bodies.expect(Vec::new()),
        }
    }

    /// Messages will be opened, in this order.
    pub(crate) fn expect_bodies(&mut self, uids: Vec<u32>) {
        self.bodies.expect(uids);
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
                Value::AtHand(name, octets) => {
                    write!(out, "{name} {{{}}}\r\n", octets.length())?;
                    octets.write_fields(out)?;
                }
                Value::Binary(name, octets) => {
                    let tilde = if octets.may_hold_nul() { "~" } else { "" };
                    write!(out, "{name} {tilde}{{{}}}\r\n", octets.length())?;
                    let (_, original) = self.open.last_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
                    octets.write(original, out)?;
                }
                Value::Flags => {
                    write!(out, "FLAGS ({})", flags::text(self.item(place).map_err(|_| io::ErrorKind::NotFound)?))?
                }
                Value::ModSeq => write!(out, "MODSEQ ({})", self.modseq(place).unwrap_or_default())?,
            }
        }
        out.write_all(b")\r\n")?;
        Ok(Ok(()))
    }

    /// All that may fail.
    fn prepare(&mut self, place: usize, items: &[FetchItem]) -> Result<Vec<Value>, Trouble> {
        let shows = items.iter().any(|item| {
            !matches!(item, FetchItem::Uid | FetchItem::Flags | FetchItem::InternalDate | FetchItem::ModSeq)
        });
        let seen = items
            .iter()
            .any(|item| matches!(item, FetchItem::Section(section) | FetchItem::Binary(section) if !section.peek));
        let unknown = self.is_unknown(self.item(place)?) && items.contains(&FetchItem::Flags);
        let look = if shows || unknown { Some(self.look(place)?) } else { None };
        let mut values = Vec::with_capacity(items.len().saturating_add(1));
        for item in items {
            values.push(match item {
                FetchItem::Uid => Value::Text(format!("UID {}", self.item(place)?.uid)),
                FetchItem::Flags => Value::Flags,
                FetchItem::ModSeq => {
                    self.modseq(place).ok_or(Trouble::Io)?;
                    Value::ModSeq
                }
                FetchItem::Preview(haste) => Value::Text(self.preview(place, look.as_ref(), *haste)?),
                FetchItem::Binary(section) => match self.decoded(place, look.as_ref(), section)? {
                    Some(octets) => Value::Binary(section.name.clone(), octets),
                    None => Value::Section(section.name.clone(), None),
                },
                FetchItem::BinarySize(section) => {
                    let octets = self.decoded(place, look.as_ref(), section)?;
                    Value::Text(format!("{} {}", section.name, octets.map_or(0, |octets| octets.length())))
                }
                FetchItem::InternalDate => Value::Text(format!("INTERNALDATE \"{}\"", self.arrived(place)?.text)),
                FetchItem::Size => Value::Text(format!("RFC822.SIZE {}", self.size(place, look.as_ref())?)),
                FetchItem::Envelope => Value::Text(format!("ENVELOPE {}", self.envelope(place, look.as_ref())?)),
                FetchItem::BodyStructure => {
                    Value::Text(format!("BODYSTRUCTURE {}", self.body_structure(place, look.as_ref())?))
                }
                FetchItem::Body => {
                    let original = self.original(place, look.as_ref())?;
                    Value::Text(format!("BODY {}", body(original.structure(), MAX_STRUCTURE).ok_or(Trouble::Io)?))
                }
                FetchItem::Section(section) if let Some(octets) = self.at_hand(place, look.as_ref(), section)? => {
                    Value::AtHand(section.name.clone(), octets)
                }
                FetchItem::Section(section) => {
                    let original = self.original(place, look.as_ref())?;
                    Value::Section(section.name.clone(), section::find(original, section)?)
                }
            });
        }
        // Nothing can fail any more: now it counts as seen.
        let marked = seen && self.mark_seen(place)?;
        let told = |wanted: &FetchItem| items.contains(wanted);
        if marked && !told(&FetchItem::Flags) {
            values.push(Value::Flags);
        }
        if marked && self.wishes.changes && !told(&FetchItem::ModSeq) && self.modseq(place).is_some() {
            values.push(Value::ModSeq);
        }
        Ok(values)
    }

    /// A section of the message at that place, if no body is needed for it.
    fn at_hand(&self, place: usize, look: Option<&Look>, section: &Section) -> Result<Option<Octets>, Trouble> {
        let filed = self.depot.filed(self.item(place)?.uid);
        Ok(self.headers.at_hand(filed.as_ref(), look, section))
    }

    /// Looks at a message's header section. Shown otherwise than before, it may be another message.
    pub(crate) fn look(&mut self, place: usize) -> Result<Look, Trouble> {
        let (uid, before) = (self.item(place)?.uid, self.item(place)?.view);
        let look = self.depot.look(uid)?;
        let now = look.view();
        match before {
            // Whether it opens again is seen when it is opened.
            Some(View::Broken) if now == View::Original => {}
            Some(before) if before == now => {}
            before => {
                self.depot.shown(uid, before, now)?;
                self.item_mut(place)?.view = Some(now);
            }
        }
        if let Look::Sealed(listed) = &look {
            let changed = self.copies.see(self.depot.as_mut(), uid, listed.id);
            self.restand(&changed, Some(uid));
        }
        Ok(look)
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
                let body = self.bodies.take(uid, self.depot.as_mut())?;
                let opened = whole(self.settings, body, look);
                let now = match &opened {
                    Err(Trouble::Broken) => View::Broken,
                    _ => look.view(),
                };
                if self.item(place)?.view != Some(now) {
                    self.depot.shown(uid, None, now)?;
                    self.item_mut(place)?.view = Some(now);
                }
                let original = opened?;
                self.item_mut(place)?.size = Some(original.length());
                if self.open.len() >= MAX_OPEN {
                    self.open.remove(0);
                }
                self.open.push((uid, original));
                if let Look::Sealed(index) = look
                    && let Some((_, original)) = self.open.last_mut()
                    && let Ok(header) = original.header()
                    && let Some(filed) = self.depot.filed(uid)
                {
                    self.headers.keep(&filed, &index.hash, &header);
                }
                self.learn(place);
            }
        }
        self.open.last_mut().map(|(_, original)| original).ok_or(Trouble::Io)
    }

    /// Puts the message that was opened last into the index. Whatever is in the way of that is in no reader's way.
    fn learn(&mut self, place: usize) {
        let Ok(Arrived { unix, .. }) = self.arrived(place) else { return };
        let Some((uid, original)) = self.open.last_mut() else { return };
        if let (Some(index), Some(filed)) = (&self.index, self.depot.filed(*uid))
            && !index.knows(&filed)
        {
            // What cannot be kept is found out again.
            let _ = index.learn(&filed, original, unix);
        }
    }

    /// What is kept of messages that are not there any more goes.
    fn tidy(&self) {
        let Some(first) = self.items().first().and_then(|item| self.depot.filed(item.uid)) else { return };
        let filed = self.items().iter().filter_map(|item| self.depot.filed(item.uid));
        let present: HashSet<Vec<u8>> = filed.map(|filed| filed.message).collect();
        for kept in self.index.iter().map(|index| &index.vault).chain(self.headers.vault()) {
            // It is in nobody's way.
            let _ = kept.tidy(&first.mailbox, |message| present.contains(message));
        }
    }

    /// RFC822.SIZE.
    pub(crate) fn size(&mut self, place: usize, seen: Option<&Look>) -> Result<u64, Trouble> {
        if let Some(size) = self.item(place)?.size {
            return Ok(size);
        }
        let size = match seen {
            Some(Look::Sealed(index)) if index.wire_length.is_some() => index.wire_length.unwrap_or_default(),
            Some(Look::File(..)) => {
                let uid = self.item(place)?.uid;
                match self.depot.size(uid)? {
                    Some(size) => size,
                    None => self.original(place, seen)?.length(),
                }
            }
            _ => self.original(place, seen)?.length(),
        };
        self.item_mut(place)?.size = Some(size);
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

    /// `BINARY[…]`
    fn decoded(&mut self, place: usize, seen: Option<&Look>, section: &Section) -> Result<Option<Octets>, Trouble> {
        match section::decoded(self.original(place, seen)?, section)? {
            Decoded::Nothing => Ok(None),
            Decoded::Octets(octets) => Ok(Some(octets)),
            Decoded::Unknown => {
                self.unknown = self.unknown.saturating_add(1);
                Err(Trouble::Io)
            }
        }
    }

    /// PREVIEW (RFC 8970 §3): what the list view has of it, else the beginning of the text.
    fn preview(&mut self, place: usize, seen: Option<&Look>, haste: Haste) -> Result<String, Trouble> {
        let at_hand = match seen {
            Some(Look::Sealed(index)) if !index.omitted.iter().any(|name| name == "preview") => {
                Some(index.preview.clone().unwrap_or_default())
            }
            _ => None,
        };
        let text = match (at_hand, haste) {
            (Some(text), _) => text,
            (None, Haste::Lazy) => return Ok("PREVIEW NIL".to_owned()),
            (None, Haste::Patient) => {
                let original = self.original(place, seen)?;
                let most = original.length().min(u64::try_from(MAX_PREVIEW_INPUT).unwrap_or(u64::MAX));
                preview(&original.read(0..most)?).unwrap_or_default()
            }
        };
        let mut told = b"PREVIEW ".to_vec();
        push_string(&mut told, text.as_bytes());
        Ok(String::from_utf8_lossy(&told).into_owned())
    }

    /// Its change number, if it is known.
    pub(crate) fn modseq(&self, place: usize) -> Option<u64> {
        self.item(place).ok()?.modseq
    }

    /// Finds out change numbers; false: they are not counted here.
    pub(crate) fn count_changes(&mut self, places: &[usize]) -> Result<bool, Trouble> {
        let Some(selected) = self.selected.as_mut().filter(|selected| selected.highest.is_some()) else {
            return Ok(false);
        };
        self.wishes.changes = true;
        self.depot.count_changes(selected, places)?;
        Ok(true)
    }

    fn body_structure(&mut self, place: usize, seen: Option<&Look>) -> Result<String, Trouble> {
        if let Some(Look::Sealed(index)) = seen
            && let (Some(_), Some(structure)) = (index.wire_length, &index.body_structure)
        {
            return Ok(structure.clone());
        }
        if let Some(Look::File(..)) = seen {
            let uid = self.item(place)?.uid;
            if let Some(structure) = self.depot.structure(uid)? {
                return Ok(structure);
            }
        }
        body_structure(self.original(place, seen)?.structure(), MAX_STRUCTURE).ok_or(Trouble::Io)
    }

    /// When it arrived.
    pub(crate) fn arrived(&mut self, place: usize) -> Result<Arrived, Trouble> {
        let uid = self.item(place)?.uid;
        self.depot.arrived(uid)
    }

    /// FLAGS, between parentheses.
    pub(crate) fn flags(&mut self, place: usize) -> Result<String, Trouble> {
        if self.is_unknown(self.item(place)?) {
            self.look(place)?;
        }
        Ok(flags::text(self.item(place)?))
    }

    pub(crate) fn item(&self, place: usize) -> Result<&Item, Trouble> {
        self.items().get(place).ok_or(Trouble::Gone)
    }

    fn item_mut(&mut self, place: usize) -> Result<&mut Item, Trouble> {
        self.selected.as_mut().and_then(|selected| selected.items.get_mut(place)).ok_or(Trouble::Gone)
    }

    /// Sets `\Seen`; false: it was set, or may not be.
    fn mark_seen(&mut self, place: usize) -> Result<bool, Trouble> {
        let Some(selected) = &mut self.selected else { return Ok(false) };
        let seen = selected.items.get(place).is_none_or(|item| item.has(Flag::Seen.text()));
        if seen || selected.access == Access::Read {
            return Ok(false);
        }
        let stored = self.depot.store(selected, &[place], None, StoreKind::Add, &[Flag::Seen]);
        Ok(stored.map_err(|_| Trouble::Io)?.failed.is_empty())
    }
}

/// The fields that are asked for, if no more of header sections is.
fn fields_of(items: &[FetchItem]) -> Option<Vec<Vec<u8>>> {
    let sections = items.iter().filter_map(|item| match item {
        FetchItem::Section(section) => Some(&section.part),
        _ => None,
    });
    let mut all = Vec::new();
    for part in sections {
        let Part::Fields(names) = part else { return None };
        all.extend(names.iter().cloned());
    }
    Some(all)
}

/// Fields that an ENVELOPE is made of, in lower case.
const OF_ENVELOPE: [&str; 10] =
    ["date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"];

/// Whether the list view holds all that an ENVELOPE needs (A10).
fn has_whole_envelope(index: &ListView) -> bool {
    !index.omitted.iter().any(|name| OF_ENVELOPE.contains(&name.as_str()))
}
