//! An account as a [`Depot`]. In: a connection upstream. Out: what the session's answers ask for.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sealed::scratch::{Scratch, Scratched};
use store::imap::{Account, ConnectError};
use wire::imap::server::{AppendOrder, DateTime, Flag, MAX_APPEND, Names, StatusItem, StoreKind};
use wire::imap::{Access as Way, ImapError, Listed, Session, Status};
use wire::{MailboxName, UidSet};

use super::elsewhere::{none_has_gone, views_of};
use super::heads::Heads;
use super::marks::Marks;
use super::mirror::{Mirror, Order, tell_too};
use super::upstream::{Upstream, answer_of};
use super::{append, names};
use crate::answer::Answer;
use crate::depot::append::no_sealer;
use crate::depot::contract::{Arrangement, Arrived, Carried, Depot, Filed, Leave, Listing, Pace, Stored};
use crate::depot::flags::{of_server, stored};
use crate::depot::selected::{Access, Changes, Selected};
use crate::depot::view::{Body, Look, Trouble, View};
use crate::means::Means;
use crate::vault::{Kind, Vault};

/// An account.
pub(crate) struct AccountDepot<'b> {
    means: Means<'b>,
    account: &'b Account,
    stop: Arc<AtomicBool>,
    upstream: Upstream,
    opened: Option<(Mirror, Heads)>,
    /// Where heads are kept, encrypted; none without a key for it.
    kept: Option<Vault>,
    order: Order,
    /// The open mailbox, or the last one that was.
    name: Option<MailboxName>,
    /// What was told of the server.
    offered: String,
    marks: Marks,
    /// Mailboxes that show what lies in others, once it was asked for.
    views: Option<HashSet<String>>,
    /// Of which other mailboxes it is known just now whether a message has gone.
    whole: HashMap<String, bool>,
}

impl<'b> AccountDepot<'b> {
    /// Connects and logs in upstream.
    pub(crate) fn connect(
        means: Means<'b>,
        account: &'b Account,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, ConnectError> {
        let session = account.connect(stop)?;
        let mut depot = Self {
            means,
            account,
            stop: Arc::clone(stop),
            upstream: Upstream::new(session),
            opened: None,
            kept: Vault::open(means.mail, Kind::Heads).ok(),
            order: Order::AsTheyCome,
            name: None,
            offered: String::new(),
            marks: Marks::default(),
            views: None,
            whole: HashMap::new(),
        };
        depot.offered = depot.offers();
        Ok(depot)
    }

    fn head(&mut self, uid: u32) -> Result<&mut super::head::Head, Trouble> {
        let (_, heads) = self.opened.as_mut().ok_or(Trouble::Gone)?;
        heads.head(uid, &mut self.upstream, self.kept.as_ref(), self.means.mail)
    }

    /// Whether the server is sure that there is no such mailbox.
    fn is_missing(&mut self, name: &MailboxName) -> bool {
        let listed = self.upstream.ask(|session| session.list_in_full(name.wire()));
        !name.wire().eq_ignore_ascii_case("INBOX")
            && listed.is_ok_and(|listed| listed.iter().all(|other| other.name != *name))
    }

    fn enter(&mut self, name: &MailboxName, access: Access) -> Result<Selected, ImapError> {
        let way = if access == Access::Read { Way::Read } else { Way::Write };
        let chosen = self.upstream.ask(|session| session.select(name, way))?;
        // A number without the capability is no promise; one of more than 63 bits cannot be given back (RFC 7162 §7).
        let counted = self.counts_changes();
        let highest = chosen.highest_modseq.filter(|highest| counted && i64::try_from(*highest).is_ok());
        if self.name.as_ref() != Some(name) {
            self.marks = Marks::default();
            self.name = Some(name.clone());
        }
        let (mirror, items) = Mirror::open(&mut self.upstream, highest, &mut self.marks)?;
        let heads = Heads::new(name.wire(), chosen.uid_validity);
        let uids: Vec<u32> = items.iter().map(|item| item.uid).collect();
        if let Some(kept) = &self.kept {
            heads.tidy(kept, &uids);
        }
        self.opened = Some((mirror, heads));
        let next = chosen.uid_next.unwrap_or(1).max(uids.last().map_or(1, |uid| uid.saturating_add(1)));
        let access = if chosen.read_only { Access::Read } else { access };
        let mut permanent = chosen.permanent_flags;
        permanent.extend(chosen.new_keywords.then(|| "\\*".to_owned()));
        let permanent = if access == Access::Read { String::new() } else { permanent.join(" ") };
        Ok(Selected { validity: chosen.uid_validity, next, access, permanent, highest, items, saved: Vec::new() })
    }
}

impl Depot for AccountDepot<'_> {
    fn offers(&self) -> String {
        let offered = ["UIDPLUS", "MOVE", "CHILDREN", "SPECIAL-USE", "CONDSTORE"];
        let mut offered: Vec<&str> = offered.into_iter().filter(|name| self.upstream.has(name)).collect();
        // What is gone we know ourselves.
        offered.extend(self.counts_changes().then_some("QRESYNC"));
        offered.join(" ")
    }

    fn counts_changes(&self) -> bool {
        self.upstream.has("CONDSTORE")
    }

    fn keep_order(&mut self) {
        self.order = Order::ByNumber;
    }

    fn highest(&self, selected: &Selected) -> Option<u64> {
        let (mirror, _) = self.opened.as_ref()?;
        mirror.highest(selected)
    }

    fn count_changes(&mut self, selected: &mut Selected, places: &[usize]) -> Result<(), Trouble> {
        let is_unknown = |place: &&usize| selected.items.get(**place).is_some_and(|item| item.modseq.is_none());
        let unknown: Vec<usize> = places.iter().filter(is_unknown).copied().collect();
        if selected.highest.is_none() || unknown.is_empty() {
            return Ok(());
        }
        let set: UidSet = selected.uids(&unknown).into_iter().collect();
        let items = &mut selected.items;
        let asked = self.upstream.ask(|session| {
            session.uid_fetch(
                &set,
                "UID FLAGS MODSEQ",
                |_| Ok(io::sink()),
                |fetched| {
                    let at = items.binary_search_by_key(&fetched.uid, |item| item.uid).ok();
                    if let Some(item) = at.and_then(|at| items.get_mut(at)) {
                        item.modseq = fetched.modseq.or(item.modseq);
                    }
                },
            )
        });
        asked.map_err(|_| Trouble::Io)
    }

    fn append_limit(&self) -> u64 {
        // Sealed it is larger: written as text, and filled up.
        let limit = self.upstream.append_limit().map_or(MAX_APPEND, |limit| limit / 8 * 5);
        limit.min(MAX_APPEND)
    }

    fn is_over(&self) -> bool {
        self.upstream.is_over()
    }

    /// The same mailbox over another connection: the UIDs must still mean the same.
    fn recover(&mut self, selected: Option<&mut Selected>) -> Option<Changes> {
        if !self.upstream.may_connect_again() {
            return None;
        }
        let offered = std::mem::take(&mut self.offered);
        self.upstream = Upstream::new(self.account.connect(&self.stop).ok()?);
        self.offered = self.offers();
        // What was told cannot be taken back.
        if self.offered != offered {
            self.upstream.give_up();
            return None;
        }
        let Some(selected) = selected else { return Some(Changes::default()) };
        let name = self.name.clone()?;
        let untold = self.opened.take().map(|(mirror, _)| mirror.untold()).unwrap_or_default();
        match self.enter(&name, selected.access) {
            Ok(fresh) if fresh.validity == selected.validity && fresh.access == selected.access => {
                selected.highest = fresh.highest;
                selected.next = selected.next.max(fresh.next);
                let mut changes = selected.replace(fresh.items);
                tell_too(&mut changes, selected, &untold);
                Some(changes)
            }
            _ => {
                self.upstream.give_up();
                None
            }
        }
    }

    fn list(&mut self, listing: Listing, pattern: &str) -> Result<Vec<Listed>, Answer> {
        let listed = self.upstream.ask(|session| match listing {
            Listing::All => session.list_in_full(pattern),
            Listing::Subscribed => session.lsub(pattern),
        });
        listed.map_err(|error| answer_of(&error))
    }

    fn status(
        &mut self,
        name: &MailboxName,
        items: &[StatusItem],
        names: Names,
        out: &mut dyn Write,
    ) -> io::Result<Answer> {
        if items.contains(&StatusItem::HighestModSeq) && !self.counts_changes() {
            return Ok(Answer::Bad("changes are not counted here"));
        }
        let limit = self.append_limit();
        match self.upstream.ask(|session| session.status_of(name, &names::asked(items))) {
            Ok(status) => match names::status_line((name, names), items, &status, limit) {
                Some(line) => {
                    out.write_all(&line)?;
                    Ok(Answer::ok("done"))
                }
                None => Ok(Answer::unreadable()),
            },
            Err(error) => Ok(answer_of(&error)),
        }
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Answer> {
        let listed = self.upstream.ask(|session| session.list_in_full("*")).map_err(|error| answer_of(&error))?;
        let opens = |listed: &Listed| {
            let is = |word: &str| listed.attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(word));
            !is("\\Noselect") && !is("\\NonExistent")
        };
        Ok(listed.into_iter().filter(opens).map(|listed| listed.name).collect())
    }

    fn namespaces(&mut self) -> Result<String, Answer> {
        let namespaces = self.upstream.ask(Session::namespaces).map_err(|error| answer_of(&error))?;
        Ok(names::namespaces_text(&namespaces))
    }

    fn arrange(&mut self, order: &Arrangement) -> Answer {
        let done = self.upstream.ask(|session| match order {
            Arrangement::Create(name) => session.create(name),
            Arrangement::Delete(name) => session.delete(name),
            Arrangement::Rename(from, to) => session.rename(from, to),
            Arrangement::Subscribe(name) => session.subscribe(name),
            Arrangement::Unsubscribe(name) => session.unsubscribe(name),
        });
        done.map_or_else(|error| answer_of(&error), |()| Answer::ok("done"))
    }

    fn open(&mut self, name: &MailboxName, access: Access) -> Result<Selected, Answer> {
        self.opened = None;
        self.whole.clear();
        self.enter(name, access).map_err(|error| {
            if error.is_lost() {
                self.upstream.give_up();
            }
            // Not every server says why.
            if error.is_refusal() && self.is_missing(name) { Answer::nonexistent() } else { answer_of(&error) }
        })
    }

    fn leave(&mut self) {
        self.opened = None;
        // Whether it can be left or not: nothing of it is told any more.
        let _ = self.upstream.ask(Session::unselect);
    }

    fn refresh(&mut self, selected: &mut Selected, pace: Pace) -> Changes {
        self.whole.clear();
        let Some((mirror, _)) = &mut self.opened else { return Changes::default() };
        let asked = match pace {
            Pace::Heard => Ok(()),
            Pace::Asked => self.upstream.ask(Session::noop),
            Pace::Waiting => self.upstream.wait(),
        };
        match asked.and_then(|()| mirror.follow(&mut self.upstream, selected, self.order, &mut self.marks)) {
            Ok(changes) => changes,
            Err(error) => {
                if error.is_lost() {
                    self.upstream.give_up();
                }
                Changes::default()
            }
        }
    }

    fn prepare(&mut self, uids: &[u32]) {
        if let Some((_, heads)) = &mut self.opened {
            heads.prepare(uids);
        }
    }

    fn look(&mut self, uid: u32) -> Result<Look, Trouble> {
        Ok(self.head(uid)?.look.clone())
    }

    /// UIDs are upstream's: none is given anew.
    fn shown(&mut self, _: u32, _: Option<View>, _: View) -> Result<(), Trouble> {
        Ok(())
    }

    fn note(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    fn body(&mut self, uid: u32) -> Result<Body, Trouble> {
        self.bodies(&[uid]).pop().map_or(Err(Trouble::Gone), |(_, body)| body)
    }

    fn bodies(&mut self, uids: &[u32]) -> Vec<(u32, Result<Body, Trouble>)> {
        let spools = self.means.mail.spools();
        let mut found = HashMap::new();
        let set: UidSet = uids.iter().copied().collect();
        let place = |length| Ok(Scratch::new(length, Arc::clone(&spools)));
        let asked = self.upstream.ask(|session| {
            session.uid_fetch(&set, "UID BODY.PEEK[]", place, |fetched| {
                if let Some(octets) = fetched.body.filter(|_| set.contains(fetched.uid)) {
                    found.insert(fetched.uid, octets);
                }
            })
        });
        let each = |uid: &u32| {
            let body = match (found.remove(uid), &asked) {
                (Some(octets), _) => octets
                    .and_then(Scratch::finish)
                    .map(|octets: Scratched<File>| Body { length: octets.length(), octets: Box::new(octets) }),
                (None, Ok(_)) => return (*uid, Err(Trouble::Gone)),
                (None, Err(_)) => return (*uid, Err(Trouble::Io)),
            };
            (*uid, body.map_err(Trouble::from))
        };
        uids.iter().map(each).collect()
    }

    fn structure(&mut self, uid: u32) -> Result<Option<String>, Trouble> {
        let (_, heads) = self.opened.as_mut().ok_or(Trouble::Gone)?;
        heads.structure(uid, &mut self.upstream, self.kept.as_ref(), self.means.mail)
    }

    fn size(&mut self, uid: u32) -> Result<Option<u64>, Trouble> {
        Ok(Some(self.head(uid)?.size))
    }

    /// As the server tells it.
    fn arrived(&mut self, uid: u32) -> Result<Arrived, Trouble> {
        let text = self.head(uid)?.arrived.clone();
        let date = DateTime::of_text(&text).ok_or(Trouble::Io)?;
        Ok(Arrived { text, day: date.date.days(), unix: date.unix() })
    }

    fn filed(&self, uid: u32) -> Option<Filed> {
        self.opened.as_ref().map(|(_, heads)| heads.filed(uid))
    }

    /// No message comes without raising UIDNEXT, none goes without lowering MESSAGES.
    fn marks(&mut self, names: &[MailboxName]) -> Vec<Option<Vec<u8>>> {
        let mark = |status: Status| {
            let numbers = [status.uid_validity?, status.uid_next?, status.messages?];
            Some(numbers.iter().flat_map(|number| number.to_be_bytes()).collect())
        };
        match self.upstream.ask(|session| session.statuses(names)) {
            Ok(statuses) => statuses.into_iter().map(|status| status.and_then(mark)).collect(),
            Err(_) => vec![None; names.len()],
        }
    }

    fn stand(&self, selected: &Selected) -> Option<Vec<u8>> {
        let (_, heads) = self.opened.as_ref()?;
        Some(heads.stand(selected))
    }

    fn lies_there(&mut self, mailbox: &str, _: &[u8], stand: Option<Vec<u8>>) -> bool {
        if let Some(whole) = self.whole.get(mailbox) {
            return *whole;
        }
        let now = self.marks(&[MailboxName::from_wire(mailbox)]).pop().flatten();
        let whole = stand.zip(now).is_some_and(|(then, now)| none_has_gone(&then, &now));
        self.whole.insert(mailbox.to_owned(), whole);
        whole
    }

    /// Special uses say which mailboxes show what lies in others (RFC 6154 §2). With Gmail's labels any does.
    fn holds_its_own(&mut self, mailbox: &str) -> bool {
        if self.upstream.has("X-GM-EXT-1") {
            return false;
        }
        if self.views.is_none() {
            let listed = self.upstream.ask(|session| session.list_in_full("*"));
            self.views = listed.ok().map(|listed| views_of(&listed));
        }
        self.views.as_ref().is_some_and(|views| !views.contains(mailbox))
    }

    fn store(
        &mut self,
        selected: &mut Selected,
        places: &[usize],
        unchanged: Option<u64>,
        kind: StoreKind,
        flags: &[Flag],
    ) -> Result<Stored, Answer> {
        let words = stored(flags);
        let item = match kind {
            StoreKind::Add => "+FLAGS",
            StoreKind::Remove => "-FLAGS",
            StoreKind::Replace => "FLAGS",
        };
        // Those that say what the bridge knows are nobody's to store.
        if places.is_empty() || (words.is_empty() && kind != StoreKind::Replace) {
            return Ok(Stored::default());
        }
        let set: UidSet = selected.uids(places).into_iter().collect();
        let items = &mut selected.items;
        let mut others = Vec::new();
        let done = self.upstream.ask(|session| {
            session.uid_store(&set, unchanged, item, &words, |fetched| {
                if !set.contains(fetched.uid) {
                    others.extend(fetched.flags.map(|flags| (fetched.uid, flags, fetched.modseq)));
                    return;
                }
                let at = items.binary_search_by_key(&fetched.uid, |item| item.uid).ok();
                // What is told without flags is told for its number (RFC 7162 §3.1.3).
                if let (Some(item), None, Some(modseq)) =
                    (at.and_then(|at| items.get_mut(at)), &fetched.flags, fetched.modseq)
                {
                    item.modseq = Some(modseq);
                }
                if let (Some(item), Some(flags)) = (at.and_then(|at| items.get_mut(at)), fetched.flags) {
                    let flags = of_server(flags);
                    item.modseq = fetched.modseq.or(item.modseq.filter(|_| item.flags == flags));
                    item.flags = flags;
                }
            })
        });
        if let Some((mirror, _)) = &mut self.opened {
            for (uid, flags, modseq) in others {
                mirror.hear(selected, uid, flags, modseq);
            }
        }
        let modified = done.map_err(|error| answer_of(&error))?;
        let items = &selected.items;
        let is_modified = |place: &&usize| items.get(**place).is_some_and(|item| modified.contains(item.uid));
        Ok(Stored { failed: Vec::new(), modified: places.iter().filter(is_modified).copied().collect() })
    }

    fn expunge(&mut self, selected: &Selected, places: &[usize]) -> Result<(), Answer> {
        if places.is_empty() {
            return Ok(());
        }
        let set: UidSet = selected.uids(places).into_iter().collect();
        self.upstream.ask(|session| session.uid_expunge(&set)).map_err(|error| answer_of(&error))
    }

    fn carry(
        &mut self,
        selected: &Selected,
        places: &[usize],
        to: &MailboxName,
        leave: Leave,
    ) -> Result<Carried, Answer> {
        if places.is_empty() {
            return Ok(Carried { code: None, failed: 0 });
        }
        let set: UidSet = selected.uids(places).into_iter().collect();
        let copied = self.upstream.ask(|session| match leave {
            Leave::Stay => session.uid_copy(&set, to),
            Leave::Go => session.uid_move(&set, to),
        });
        let copied = copied.map_err(|error| answer_of(&error))?;
        let code = copied.map(|copied| format!("COPYUID {} {} {}", copied.validity, copied.from, copied.to));
        Ok(Carried { code, failed: 0 })
    }

    /// Whether there is such a mailbox the server says when it gets the message.
    fn may_append(&mut self, _: &MailboxName) -> Result<(), Answer> {
        if self.means.seal.is_some() { Ok(()) } else { Err(no_sealer()) }
    }

    fn append(&mut self, order: &AppendOrder, message: Scratched<File>) -> Answer {
        append::store(self.means, &mut self.upstream, order, message)
    }
}
