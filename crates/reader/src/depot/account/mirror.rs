//! The list of messages upstream, followed message by message (RFC 3501 §7.3, §7.4). In: what the server tells. Out: changes, in the order in which they are to be told.
//!
//! A sealer that works at the same time puts a sealed copy at the end, and takes its original away a moment later; `$Sealing` marks the original in between. New messages are
//! held back for that moment, so that the copy comes when the original goes.

use std::time::{Duration, Instant};

use wire::UidSet;
use wire::imap::{Fetched, ImapError, Session, Tiding, Tidings};

use super::marks::Marks;
use super::upstream::Upstream;
use crate::depot::flags::of_server;
use crate::depot::selected::{Changes, Item, Recent, Selected, Standing};

/// Messages that are there and were not told of yet.
pub(crate) struct Mirror {
    held: Vec<Item>,
    since: Option<Instant>,
    /// What is asked of each message.
    items: &'static str,
    /// UIDs of messages whose flags changed while new messages were held back.
    waiting: Vec<u32>,
}

/// Whether changes of flags are told while new messages are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// They are.
    AsTheyCome,
    /// Not before what is held, which changed earlier: whoever takes the highest number that he was told to come back with would miss it (RFC 7162 §3.2.5).
    ByNumber,
}

/// So long new messages are held back at most: a sealer that died leaves its marks behind.
const MOST: Duration = Duration::from_secs(10);
/// So long a mailbox is waited for when it is selected in the middle of a replacement.
const AT_FIRST: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
/// How often a list is taken that others change meanwhile.
const TRIES: usize = 5;

impl Mirror {
    /// The messages of the mailbox that was just selected.
    /// `highest`: its highest change number, where changes are counted.
    pub(crate) fn open(
        upstream: &mut Upstream,
        highest: Option<u64>,
        marks: &mut Marks,
    ) -> Result<(Mirror, Vec<Item>), ImapError> {
        let began = Instant::now();
        let asked = if highest.is_some() { "UID FLAGS MODSEQ" } else { "UID FLAGS" };
        let mut items = census(upstream, asked)?;
        while marks.any_new(&items) && began.elapsed() < AT_FIRST {
            std::thread::sleep(PAUSE);
            upstream.ask(Session::noop)?;
            items = census(upstream, asked)?;
        }
        Ok((Mirror { held: Vec::new(), since: None, items: asked, waiting: Vec::new() }, items))
    }

    /// Takes in what the server has told. An error: it cannot be followed.
    pub(crate) fn follow(
        &mut self,
        upstream: &mut Upstream,
        selected: &mut Selected,
        order: Order,
        marks: &mut Marks,
    ) -> Result<Changes, ImapError> {
        let mut changes = Changes::default();
        let mut flagged = Vec::new();
        for _ in 0..TRIES {
            let session = upstream.told().ok_or(ImapError::Closed)?;
            let (tidings, exists) = (session.tidings(), session.exists());
            let exists = usize::try_from(exists).unwrap_or(usize::MAX);
            if !self.apply(tidings, selected, &mut changes, &mut flagged) {
                self.waiting.append(&mut flagged);
                return self.anew(upstream, selected, changes);
            }
            let known = selected.items.len().saturating_add(self.held.len());
            match exists.checked_sub(known) {
                Some(0) => {
                    self.waiting.append(&mut flagged);
                    self.release(selected, &mut changes, marks);
                    if self.held.is_empty() || order == Order::AsTheyCome {
                        changes.flagged = places(selected, &std::mem::take(&mut self.waiting));
                    }
                    return Ok(changes);
                }
                Some(_) => self.fetch_new(upstream, selected)?,
                None => {
                    self.waiting.append(&mut flagged);
                    return self.anew(upstream, selected, changes);
                }
            }
        }
        Err(ImapError::Protocol("a number of messages that does not fit"))
    }

    /// False: the count is lost.
    fn apply(
        &mut self,
        tidings: Tidings,
        selected: &mut Selected,
        changes: &mut Changes,
        flagged: &mut Vec<u32>,
    ) -> bool {
        let Some(told) = tidings.told() else { return false };
        for tiding in told {
            let (Tiding::Gone(number) | Tiding::Flags(number, ..)) = &tiding;
            let Some(place) = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1)) else {
                return false;
            };
            let beyond = place.checked_sub(selected.items.len());
            match (tiding, beyond) {
                (Tiding::Gone(_), None) => {
                    let gone = selected.items.remove(place);
                    changes.gone.push((place.saturating_add(1), gone.uid));
                }
                (Tiding::Gone(_), Some(at)) if at < self.held.len() => drop(self.held.remove(at)),
                (Tiding::Gone(_), Some(_)) => return false,
                (Tiding::Flags(_, flags, modseq), beyond) => {
                    selected.highest = selected.highest.map(|highest| highest.max(modseq.unwrap_or_default()));
                    let item = match beyond {
                        None => selected.items.get_mut(place),
                        Some(at) => self.held.get_mut(at),
                    };
                    // Of one that is not known yet it is asked.
                    let Some(item) = item else { continue };
                    flagged.extend(changed(item, flags, modseq).then_some(item.uid));
                }
            }
        }
        true
    }

    /// What was told, beside the answer to a command, of a message that it was not about.
    pub(crate) fn hear(&mut self, selected: &mut Selected, uid: u32, flags: Vec<String>, modseq: Option<u64>) {
        selected.highest = selected.highest.map(|highest| highest.max(modseq.unwrap_or_default()));
        let item = match selected.items.binary_search_by_key(&uid, |item| item.uid) {
            Ok(at) => selected.items.get_mut(at),
            Err(_) => self.held.iter_mut().find(|item| item.uid == uid),
        };
        self.waiting.extend(item.and_then(|item| changed(item, flags, modseq).then_some(uid)));
    }

    /// Messages whose changes are still to be told, when another takes its place.
    pub(crate) fn untold(self) -> Vec<u32> {
        self.waiting
    }

    fn fetch_new(&mut self, upstream: &mut Upstream, selected: &mut Selected) -> Result<(), ImapError> {
        let last = self.held.last().or(selected.items.last()).map_or(0, |item| item.uid);
        let Some(first) = last.checked_add(1) else { return Err(ImapError::Protocol("a UID beyond the last")) };
        let mut found: Vec<Item> = fetch(upstream, first, self.items)?.into_iter().map(|(_, item)| item).collect();
        // `*` means the last message, new or not (RFC 3501 §6.4.8).
        found.retain(|item| item.uid >= first);
        found.sort_by_key(|item| item.uid);
        found.dedup_by_key(|item| item.uid);
        self.held.extend(found);
        Ok(())
    }

    /// The highest change number that may be told: nothing that is held back has a lower one.
    pub(crate) fn highest(&self, selected: &Selected) -> Option<u64> {
        let waiting = self.waiting.iter().filter_map(|uid| {
            let at = selected.items.binary_search_by_key(uid, |item| item.uid).ok()?;
            selected.items.get(at)?.modseq
        });
        let untold = self.held.iter().filter_map(|item| item.modseq).chain(waiting).min();
        let highest = selected.highest?;
        Some(untold.map_or(highest, |untold| highest.min(untold.saturating_sub(1))))
    }

    /// Lets new messages go, unless a replacement is under way.
    fn release(&mut self, selected: &mut Selected, changes: &mut Changes, marks: &mut Marks) {
        if self.held.is_empty() {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if marks.any_new(&selected.items) && since.elapsed() < MOST {
            return;
        }
        for item in &self.held {
            selected.highest = selected.highest.map(|highest| highest.max(item.modseq.unwrap_or_default()));
        }
        selected.items.append(&mut self.held);
        self.since = None;
        changes.exists = Some(selected.items.len());
    }

    /// Takes the whole list anew.
    fn anew(
        &mut self,
        upstream: &mut Upstream,
        selected: &mut Selected,
        before: Changes,
    ) -> Result<Changes, ImapError> {
        let mut items = census(upstream, self.items)?;
        for item in &mut items {
            let old = selected.items.binary_search_by_key(&item.uid, |item| item.uid).ok();
            item.view = old.and_then(|at| selected.items.get(at)).and_then(|item| item.view);
        }
        self.held.clear();
        let mut changes = selected.replace(items);
        changes.gone.splice(0..0, before.gone);
        tell_too(&mut changes, selected, &std::mem::take(&mut self.waiting));
        Ok(changes)
    }
}

/// The messages of the selected mailbox, each with its number; nothing is left out.
fn census(upstream: &mut Upstream, items: &str) -> Result<Vec<Item>, ImapError> {
    for _ in 0..TRIES {
        upstream.told().ok_or(ImapError::Closed)?.tidings();
        let mut found = fetch(upstream, 1, items)?;
        let session = upstream.told().ok_or(ImapError::Closed)?;
        if session.tidings().any_gone() {
            continue;
        }
        found.sort_by_key(|(number, _)| *number);
        found.dedup_by_key(|(number, _)| *number);
        let counted = found.iter().zip(1_u32..).all(|((number, _), count)| *number == count);
        let ascending = found.is_sorted_by(|(_, one), (_, other)| one.uid < other.uid);
        if !counted || !ascending {
            return Err(ImapError::Protocol("UIDs in no order"));
        }
        let enough = found.len() >= usize::try_from(session.exists()).unwrap_or(usize::MAX);
        if enough {
            return Ok(found.into_iter().map(|(_, item)| item).collect());
        }
    }
    Err(ImapError::Protocol("a list that is never whole"))
}

/// UIDs and flags from one UID on.
fn fetch(upstream: &mut Upstream, first: u32, items: &str) -> Result<Vec<(u32, Item)>, ImapError> {
    if upstream.told().is_some_and(|session| session.exists() == 0) {
        return Ok(Vec::new());
    }
    let mut set = UidSet::new();
    set.insert_range(first, u32::MAX);
    let mut found = Vec::new();
    upstream.ask(|session| {
        let no_body = |_| Ok(std::io::sink());
        session.uid_fetch(&set, items, no_body, |fetched| {
            let Fetched { number, uid, flags: Some(flags), modseq, .. } = fetched else { return };
            let (flags, recent) = apart(flags);
            found.push((number, Item { uid, flags, view: None, recent, standing: Standing::Only, size: None, modseq }));
        })
    })?;
    Ok(found)
}

/// Takes in what was told of a message; true: that is news.
fn changed(item: &mut Item, flags: Vec<String>, modseq: Option<u64>) -> bool {
    let (flags, _) = apart(flags);
    let counted = modseq.is_some() && item.modseq.is_some() && modseq != item.modseq;
    let is_news = flags != item.flags || counted;
    if is_news {
        item.flags = flags;
        item.modseq = modseq;
    }
    item.modseq = item.modseq.or(modseq);
    is_news
}

/// Changes of flags that were known and not told yet are told with the others.
pub(crate) fn tell_too(changes: &mut Changes, selected: &Selected, uids: &[u32]) {
    changes.flagged.extend(places(selected, uids));
    changes.flagged.sort_unstable();
    changes.flagged.dedup();
}

fn apart(flags: Vec<String>) -> (Vec<String>, Recent) {
    let recent = flags.iter().any(|flag| flag.eq_ignore_ascii_case("\\Recent"));
    let recent = if recent { Recent::Yes } else { Recent::No };
    let mut flags = of_server(flags);
    flags.shrink_to_fit();
    (flags, recent)
}

fn places(selected: &Selected, uids: &[u32]) -> Vec<usize> {
    let mut places: Vec<usize> =
        uids.iter().filter_map(|uid| selected.items.binary_search_by_key(uid, |item| item.uid).ok()).collect();
    places.sort_unstable();
    places.dedup();
    places
}
