//! SEARCH, answered here from what a mail program sees: decoded, in any charset, with the right dates (RFC 3501 §6.4.4).
//!
//! In: a search key, a message of the selected mailbox. Out: whether it matches. A sealed message is opened only where its list view does not answer. One that
//! does not open matches nothing in its text. Nothing of what is searched for leaves this process.

use mail::{HeaderSection, decode_charset, decode_words};
use store::UnixSeconds;
use wire::imap::server::{Date, SearchKey};
use zeroize::Zeroizing;

use super::fetch::Desk;
use super::traits::{Trait, Traits, first_mailbox};
use crate::depot::{Filed, Look, Trouble, View, flags};
use crate::index::{Holding, Needles, Place, Words, fold, holds, sent_day, words_of};

/// Charsets that are told to whoever names another.
pub(crate) const CHARSETS: &str = "US-ASCII UTF-8";

/// What is known of a message while it is searched.
#[derive(Default)]
pub(crate) struct Facts {
    look: Option<Look>,
    header: Option<Zeroizing<Vec<u8>>>,
    words: Option<Words>,
}

/// A key with its texts decoded and folded.
pub(crate) fn prepare(key: SearchKey, charset: Option<&str>) -> Option<SearchKey> {
    match charset {
        None | Some("US-ASCII" | "UTF-8") => {}
        Some(_) => return None,
    }
    let text = |octets: Vec<u8>| fold(&decode_charset(b"utf-8", &octets)).into_bytes();
    Some(each_text(key, &text))
}

fn each_text(key: SearchKey, change: &impl Fn(Vec<u8>) -> Vec<u8>) -> SearchKey {
    let boxed = |key: Box<SearchKey>| Box::new(each_text(*key, change));
    match key {
        SearchKey::And(keys) => SearchKey::And(keys.into_iter().map(|key| each_text(key, change)).collect()),
        SearchKey::Or(first, second) => SearchKey::Or(boxed(first), boxed(second)),
        SearchKey::Not(key) => SearchKey::Not(boxed(key)),
        SearchKey::Header(name, text) => SearchKey::Header(name, change(text)),
        SearchKey::Body(text) => SearchKey::Body(change(text)),
        SearchKey::Text(text) => SearchKey::Text(change(text)),
        other => other,
    }
}

/// Whether a key asks for more than numbers and flags.
pub(crate) fn looks(key: &SearchKey) -> bool {
    match key {
        SearchKey::All | SearchKey::Numbers(_) | SearchKey::Uids(_) | SearchKey::ModSeq(_) => false,
        SearchKey::Flag(flag) => flags::is_state(flag),
        SearchKey::And(keys) => keys.iter().any(looks),
        SearchKey::Or(first, second) => looks(first) || looks(second),
        SearchKey::Not(key) => looks(key),
        _ => true,
    }
}

/// Whether every message is opened for a key, unless the index knows it.
fn is_of_texts(key: &SearchKey) -> bool {
    match key {
        SearchKey::And(keys) => keys.iter().all(is_of_texts),
        SearchKey::Or(first, second) => is_of_texts(first) && is_of_texts(second),
        SearchKey::Not(key) => is_of_texts(key),
        SearchKey::Body(_) | SearchKey::Text(_) => true,
        _ => false,
    }
}

/// Whether a key asks for change numbers.
pub(crate) fn counts(key: &SearchKey) -> bool {
    match key {
        SearchKey::ModSeq(_) => true,
        SearchKey::And(keys) => keys.iter().any(counts),
        SearchKey::Or(first, second) => counts(first) || counts(second),
        SearchKey::Not(key) => counts(key),
        _ => false,
    }
}

impl Desk<'_> {
    /// Asks the index for the texts of a prepared key, all at once. Called before [`Desk::matches`].
    pub(crate) fn consult(&mut self, key: &SearchKey) {
        self.holding = None;
        let Some(first) = self.items().first().map(|item| item.uid) else { return };
        if let (Some(index), Some(filed), Some(needles)) = (&self.index, self.depot.filed(first), Needles::of(key)) {
            // What the index does not answer is looked for in the messages.
            self.holding = index.holding(&filed.mailbox, needles).ok();
        }
        if is_of_texts(key) {
            let uids = self.items().iter().map(|item| item.uid);
            let unknown = uids.filter(|uid| {
                let filed = self.depot.filed(*uid).zip(self.holding.as_ref());
                !filed.is_some_and(|(filed, holding)| holding.knows(&filed.message))
            });
            let unknown = unknown.collect();
            self.expect_bodies(unknown);
        }
    }

    fn indexed(&self, place: usize, field: Place, text: &str) -> Result<Option<bool>, Trouble> {
        Ok(self.held(place)?.and_then(|(holding, filed)| holding.says(&filed.message, field, text)))
    }

    /// What the index was asked for of a message.
    fn held(&self, place: usize) -> Result<Option<(&Holding, Filed)>, Trouble> {
        let Some(holding) = &self.holding else { return Ok(None) };
        let item = self.item(place)?;
        // What was opened once and does not open now is asked itself.
        let filed = self.depot.filed(item.uid).filter(|_| item.view != Some(View::Broken));
        Ok(filed.map(|filed| (holding, filed)))
    }

    /// What SORT and THREAD want to know of a message.
    pub(crate) fn traits(&mut self, place: usize, wanted: &[Trait], facts: &mut Facts) -> Result<Traits, Trouble> {
        let mut traits = Traits::default();
        for one in wanted {
            match one {
                Trait::Arrival => traits.arrival = self.arrived(place)?.unix,
                Trait::Cc => traits.cc = first_mailbox(&self.first(place, "Cc", facts)?.unwrap_or_default()),
                Trait::From => traits.from = first_mailbox(&self.first(place, "From", facts)?.unwrap_or_default()),
                Trait::To => traits.to = first_mailbox(&self.first(place, "To", facts)?.unwrap_or_default()),
                Trait::Size => traits.size = self.length(place, facts)?,
                Trait::Subject => {
                    traits.set_subject(&decode_words(&self.first(place, "Subject", facts)?.unwrap_or_default()));
                }
                Trait::Sent => {
                    let date = self.first(place, "Date", facts)?;
                    traits.set_sent(date.as_deref(), self.arrived(place)?.unix);
                }
                Trait::Ids => {
                    let mut of = |name: &str| self.first(place, name, facts);
                    let (id, references, in_reply_to) = (of("Message-ID")?, of("References")?, of("In-Reply-To")?);
                    traits.set_ids(id.as_deref(), references.as_deref(), in_reply_to.as_deref());
                }
            }
        }
        Ok(traits)
    }

    /// Whether the message at that place matches a prepared key.
    pub(crate) fn matches(&mut self, place: usize, key: &SearchKey, facts: &mut Facts) -> Result<bool, Trouble> {
        self.holds_for(place, key, facts)
    }

    fn holds_for(&mut self, place: usize, key: &SearchKey, facts: &mut Facts) -> Result<bool, Trouble> {
        let day_of = |date: &Date| date.days();
        Ok(match key {
            SearchKey::All => true,
            SearchKey::And(keys) => {
                for key in keys {
                    if !self.holds_for(place, key, facts)? {
                        return Ok(false);
                    }
                }
                true
            }
            SearchKey::Or(first, second) => {
                self.holds_for(place, first, facts)? || self.holds_for(place, second, facts)?
            }
            SearchKey::Not(key) => !self.holds_for(place, key, facts)?,
            SearchKey::Numbers(set) | SearchKey::Uids(set) if set.is_saved() => {
                let uid = self.item(place)?.uid;
                self.selected.as_ref().is_some_and(|selected| selected.saved.binary_search(&uid).is_ok())
            }
            SearchKey::Numbers(set) => {
                let largest = u32::try_from(self.items().len()).unwrap_or(u32::MAX);
                set.contains(u32::try_from(place.saturating_add(1)).unwrap_or(u32::MAX), largest)
            }
            SearchKey::Uids(set) => {
                let largest = self.items().last().map_or(0, |item| item.uid);
                set.contains(self.item(place)?.uid, largest)
            }
            SearchKey::Flag(flag) => {
                if flags::is_state(flag) && self.is_unknown(self.item(place)?) {
                    self.look_once(place, facts)?;
                }
                flags::has(flag, self.item(place)?)
            }
            SearchKey::Before(date) => self.arrived(place)?.day < day_of(date),
            SearchKey::On(date) => self.arrived(place)?.day == day_of(date),
            SearchKey::Since(date) => self.arrived(place)?.day >= day_of(date),
            SearchKey::SentBefore(date) => self.sent(place, facts)? < day_of(date),
            SearchKey::SentOn(date) => self.sent(place, facts)? == day_of(date),
            SearchKey::SentSince(date) => self.sent(place, facts)? >= day_of(date),
            SearchKey::Older(seconds) => self.age(place)? >= i64::from(*seconds),
            SearchKey::Younger(seconds) => self.age(place)? <= i64::from(*seconds),
            SearchKey::ModSeq(modseq) => self.modseq(place).is_some_and(|own| own >= *modseq),
            SearchKey::Larger(octets) => self.length(place, facts)? > u64::from(*octets),
            SearchKey::Smaller(octets) => self.length(place, facts)? < u64::from(*octets),
            SearchKey::Header(name, wanted) => {
                let wanted = String::from_utf8_lossy(wanted);
                let indexed = match Place::of_field(name) {
                    Some(field) => self.indexed(place, field, &wanted)?,
                    None => None,
                };
                match indexed {
                    Some(holds) => holds,
                    None => {
                        let values = self.fields(place, &String::from_utf8_lossy(name), facts)?;
                        values.iter().any(|value| holds(fold(value), &wanted))
                    }
                }
            }
            SearchKey::Body(wanted) => {
                let wanted = String::from_utf8_lossy(wanted);
                match self.indexed(place, Place::Body, &wanted)? {
                    Some(holds) => holds,
                    None => self.words(place, facts)?.is_some_and(|words| holds(words.body.as_str(), &wanted)),
                }
            }
            SearchKey::Text(wanted) => {
                let wanted = String::from_utf8_lossy(wanted);
                match self.indexed(place, Place::Text, &wanted)? {
                    Some(holds) => holds,
                    None => self.words(place, facts)?.is_some_and(|words| {
                        holds(words.header.as_str(), &wanted) || holds(words.body.as_str(), &wanted)
                    }),
                }
            }
        })
    }

    fn look_once(&mut self, place: usize, facts: &mut Facts) -> Result<(), Trouble> {
        if facts.look.is_none() {
            facts.look = Some(self.look(place)?);
        }
        Ok(())
    }

    fn length(&mut self, place: usize, facts: &mut Facts) -> Result<u64, Trouble> {
        if self.item(place)?.size.is_none() {
            self.look_once(place, facts)?;
        }
        self.size(place, facts.look.as_ref())
    }

    /// quirk: without a Date that can be read it was sent in 1970, as Dovecot has it; RFC 3501 does not say.
    fn sent(&mut self, place: usize, facts: &mut Facts) -> Result<i64, Trouble> {
        if let Some(day) = self.held(place)?.and_then(|(holding, filed)| holding.sent(&filed.message)) {
            return Ok(day);
        }
        Ok(self.fields(place, "Date", facts)?.first().and_then(|value| sent_day(value)).unwrap_or_default())
    }

    /// Seconds since it arrived (RFC 5032).
    fn age(&mut self, place: usize) -> Result<i64, Trouble> {
        Ok(UnixSeconds::now().0.saturating_sub(self.arrived(place)?.unix))
    }

    /// The decoded values of all fields of one name.
    fn fields(&mut self, place: usize, name: &str, facts: &mut Facts) -> Result<Vec<String>, Trouble> {
        let section = HeaderSection::parse(self.section_with(place, name, facts)?);
        Ok(section.all(name).map(|field| decode_words(&field.unfolded())).collect())
    }

    /// The first field of a name.
    fn first(&mut self, place: usize, name: &str, facts: &mut Facts) -> Result<Option<Vec<u8>>, Trouble> {
        let section = HeaderSection::parse(self.section_with(place, name, facts)?);
        Ok(section.first(name).map(|field| field.unfolded()))
    }

    /// A header section that holds all fields of a name: from the list view, if it has them.
    fn section_with<'f>(&mut self, place: usize, name: &str, facts: &'f mut Facts) -> Result<&'f [u8], Trouble> {
        self.look_once(place, facts)?;
        let is_enough = match &facts.look {
            Some(Look::Sealed(index)) => index.holds_all(name),
            Some(Look::File(_, header)) => header.is_some(),
            None => false,
        };
        if !is_enough {
            return self.header_once(place, facts);
        }
        Ok(match &facts.look {
            Some(Look::Sealed(index)) => index.fields.as_slice(),
            Some(Look::File(_, Some(header))) => header.as_slice(),
            _ => &[],
        })
    }

    fn header_once<'f>(&mut self, place: usize, facts: &'f mut Facts) -> Result<&'f [u8], Trouble> {
        if facts.header.is_none() {
            let header = self.original(place, facts.look.as_ref())?.header()?;
            facts.header = Some(header);
        }
        Ok(facts.header.as_deref().map(Vec::as_slice).unwrap_or_default())
    }

    fn words<'f>(&mut self, place: usize, facts: &'f mut Facts) -> Result<Option<&'f Words>, Trouble> {
        if facts.words.is_none() {
            self.look_once(place, facts)?;
            facts.words = Some(words_of(self.original(place, facts.look.as_ref())?)?);
        }
        Ok(facts.words.as_ref())
    }
}
