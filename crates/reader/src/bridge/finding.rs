//! SEARCH, SORT and THREAD as a mail program is answered (RFC 3501 §6.4.4, RFC 4731, RFC 5256, RFC 5267 §3). In: which messages, in what order, in which form. Out:
//! numbers.

use std::io;

use wire::imap::server::{Algorithm, Asked, FetchItem, Names, ReturnItem, SearchKey, SortKey, Which, number_set};

use super::fetch::Desk;
use super::search::{CHARSETS, Facts, counts, looks, prepare};
use super::session::Session;
use super::thread::{Member, TooDeep, by_references, by_subject};
use super::traits::{Trait, Traits, wanted};
use crate::answer::{Answer, untagged};
use crate::depot::{Pace, Trouble};

/// What was found.
struct Found {
    /// In the order of the result.
    numbers: Vec<u32>,
    /// What is wanted of each, if anything is.
    traits: Vec<Traits>,
    /// The highest change number of them, if the key asked for one (RFC 7162 §3.1.5).
    modseq: Option<u64>,
}

impl Session<'_> {
    pub(crate) fn search(&mut self, tag: &str, which: Which, asked: Asked) -> io::Result<Answer> {
        let Asked { returns, charset, key } = asked;
        let is_utf8 = self.desk.as_ref().is_some_and(|desk| desk.wishes.names == Names::Utf8);
        if charset.is_some() && is_utf8 {
            return Ok(Answer::Bad("after ENABLE UTF8=ACCEPT no charset is named"));
        }
        let save = returns.as_ref().filter(|returns| returns.contains(&ReturnItem::Save));
        let found = match self.find(which, charset.as_deref(), key, &[]) {
            Ok(found) => found,
            Err(answer) => {
                // What fails leaves nothing behind; what is no command leaves all as it is (RFC 5182 §2.1).
                if save.is_some() && matches!(answer, Answer::No(_)) {
                    self.save(which, &[]);
                }
                return Ok(answer);
            }
        };
        if let Some(returns) = save {
            self.save(which, &saved(&found.numbers, returns));
        }
        self.tell_found("SEARCH", tag, which, returns.as_deref(), &found)
    }

    pub(crate) fn sort(&mut self, tag: &str, which: Which, keys: &[SortKey], asked: Asked) -> io::Result<Answer> {
        let Asked { returns, charset, key } = asked;
        let found = match self.find(which, charset.as_deref(), key, &wanted(keys)) {
            Ok(found) => found,
            Err(answer) => return Ok(answer),
        };
        let mut both: Vec<(u32, Traits)> = found.numbers.into_iter().zip(found.traits).collect();
        both.sort_by(|(_, one), (_, other)| one.compare(other, keys));
        let numbers = both.into_iter().map(|(number, _)| number).collect();
        let found = Found { numbers, traits: Vec::new(), modseq: found.modseq };
        self.tell_found("SORT", tag, which, returns.as_deref(), &found)
    }

    pub(crate) fn thread(&mut self, which: Which, algorithm: Algorithm, asked: Asked) -> io::Result<Answer> {
        let wanted: &[Trait] = match algorithm {
            Algorithm::OrderedSubject => &[Trait::Subject, Trait::Sent],
            Algorithm::References => &[Trait::Subject, Trait::Sent, Trait::Ids],
        };
        let found = match self.find(which, asked.charset.as_deref(), asked.key, wanted) {
            Ok(found) => found,
            Err(answer) => return Ok(answer),
        };
        let member = |(number, traits): (u32, Traits)| {
            let Traits { sent, subject, answers, id, references, .. } = traits;
            Member { number, sent, subject, answers, id, references }
        };
        let members: Vec<Member> = found.numbers.into_iter().zip(found.traits).map(member).collect();
        let threads = match algorithm {
            Algorithm::OrderedSubject => Ok(by_subject(members)),
            Algorithm::References => by_references(&members),
        };
        let threads = match threads {
            Ok(threads) => threads,
            Err(TooDeep) => return Ok(Answer::no("[LIMIT] the messages refer to each other in too many ways")),
        };
        let line = if threads.is_empty() { "THREAD".to_owned() } else { format!("THREAD {threads}") };
        untagged(self.link.sink(), &line)?;
        self.after_finding(which)
    }

    /// What `$` means from now on.
    fn save(&mut self, which: Which, numbers: &[u32]) {
        let Some(selected) = self.desk.as_mut().and_then(|desk| desk.selected.as_mut()) else { return };
        selected.saved = match which {
            Which::Uids => numbers.to_vec(),
            Which::Numbers => {
                let place = |number: &u32| usize::try_from(*number).ok()?.checked_sub(1);
                selected.uids(&numbers.iter().filter_map(place).collect::<Vec<usize>>())
            }
        };
    }

    /// The numbers of the messages that match, in the order of the mailbox.
    fn find(&mut self, which: Which, charset: Option<&str>, key: SearchKey, wanted: &[Trait]) -> Result<Found, Answer> {
        let Some(desk) = &mut self.desk else { return Err(Answer::Bad("select a mailbox first")) };
        let Some(key) = prepare(key, charset) else {
            return Err(Answer::No(format!("[BADCHARSET ({CHARSETS})] this charset is not known")));
        };
        let places: Vec<usize> = (0..desk.items().len()).collect();
        if looks(&key) || !wanted.is_empty() {
            desk.announce(&places, &[FetchItem::Envelope]);
        }
        let counted = counts(&key);
        if counted {
            match desk.count_changes(&places) {
                Ok(true) => {}
                Ok(false) => return Err(Answer::Bad("changes are not counted here")),
                Err(_) => return Err(Answer::unreadable()),
            }
        }
        desk.consult(&key);
        let (mut numbers, mut traits, mut modseq) = (Vec::new(), Vec::new(), None);
        for place in places {
            let mut facts = Facts::default();
            // What is gone or does not open has no text.
            if desk.matches(place, &key, &mut facts).unwrap_or_default()
                && let Some(of_this) = traits_of(desk, place, wanted, &mut facts)
                && let Ok(item) = desk.item(place)
            {
                let number = match which {
                    Which::Numbers => u32::try_from(place.saturating_add(1)).unwrap_or(u32::MAX),
                    Which::Uids => item.uid,
                };
                numbers.push(number);
                if !wanted.is_empty() {
                    traits.push(of_this);
                }
                modseq = modseq.max(item.modseq.filter(|_| counted));
            }
        }
        Ok(Found { numbers, traits, modseq })
    }

    /// In the form that was asked for.
    fn tell_found(
        &mut self,
        verb: &str,
        tag: &str,
        which: Which,
        returns: Option<&[ReturnItem]>,
        found: &Found,
    ) -> io::Result<Answer> {
        // Whoever only saves is told nothing (RFC 5182 §2.1).
        if returns == Some(&[ReturnItem::Save]) {
            return self.after_finding(which);
        }
        let numbers = found.numbers.as_slice();
        let mut line = match returns {
            None => verb.to_owned(),
            Some(_) => format!("ESEARCH (TAG \"{tag}\")"),
        };
        match returns {
            None => {
                for number in numbers {
                    line.push(' ');
                    line.push_str(&number.to_string());
                }
            }
            Some(items) => {
                line.push_str(if which == Which::Uids { " UID" } else { "" });
                // In the order in which others tell them.
                let order = [ReturnItem::Min, ReturnItem::Max, ReturnItem::All, ReturnItem::Count];
                for item in order.iter().filter(|item| items.contains(item)) {
                    let told = match item {
                        ReturnItem::Min => numbers.first().map(|number| format!(" MIN {number}")),
                        ReturnItem::Max => numbers.last().map(|number| format!(" MAX {number}")),
                        ReturnItem::All if numbers.is_empty() => None,
                        ReturnItem::All => Some(format!(" ALL {}", number_set(numbers))),
                        ReturnItem::Count => Some(format!(" COUNT {}", numbers.len())),
                        ReturnItem::Save => None,
                    };
                    line.push_str(&told.unwrap_or_default());
                }
            }
        }
        match (found.modseq, returns) {
            (None, _) => {}
            (Some(modseq), None) => line.push_str(&format!(" (MODSEQ {modseq})")),
            (Some(modseq), Some(_)) => line.push_str(&format!(" MODSEQ {modseq}")),
        }
        untagged(self.link.sink(), &line)?;
        self.after_finding(which)
    }

    fn after_finding(&mut self, which: Which) -> io::Result<Answer> {
        let noted = self.desk.as_mut().map_or(Ok(()), |desk| {
            desk.copies.write();
            desk.depot.note()
        });
        if which == Which::Uids {
            self.tell_changes(Pace::Heard)?;
        }
        Ok(if noted.is_ok() { Answer::ok("done") } else { Answer::state() })
    }
}

/// What is saved of what was found: where only the ends are asked for, the ends (RFC 5182 §2.4).
fn saved(numbers: &[u32], returns: &[ReturnItem]) -> Vec<u32> {
    let asks = |item| returns.contains(&item);
    let ends = asks(ReturnItem::Min) || asks(ReturnItem::Max);
    if !ends || asks(ReturnItem::All) || asks(ReturnItem::Count) {
        return numbers.to_vec();
    }
    let min = numbers.first().filter(|_| asks(ReturnItem::Min));
    let max = numbers.last().filter(|_| asks(ReturnItem::Max));
    let mut ends: Vec<u32> = min.into_iter().chain(max).copied().collect();
    ends.dedup();
    ends
}

/// What cannot be looked into has nothing to be sorted by; what is gone is not told of.
fn traits_of(desk: &mut Desk<'_>, place: usize, wanted: &[Trait], facts: &mut Facts) -> Option<Traits> {
    match desk.traits(place, wanted, facts) {
        Ok(traits) => Some(traits),
        Err(Trouble::Gone) => None,
        Err(Trouble::Broken | Trouble::Io) => Some(Traits::default()),
    }
}
