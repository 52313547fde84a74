//! Bodies that will be asked for, taken a few at a time: over a network each round trip costs more than a message. In: UIDs, in the order in which they will be opened.
//! Out: bodies. Never more of them than a few megabytes.

use std::collections::{HashMap, VecDeque};

use super::contract::Depot;
use super::view::{Body, Trouble};

/// Bodies, some of them at hand.
#[derive(Default)]
pub(crate) struct Bodies {
    ahead: VecDeque<u32>,
    /// Of these fields alone, where the list view does not hold them.
    fields: Option<Vec<Vec<u8>>>,
    at_hand: HashMap<u32, Result<Body, Trouble>>,
}

/// Messages that are taken at once, and their octets.
const TOGETHER: usize = 32;
const MAX_TOGETHER: u64 = 4 << 20;

impl Bodies {
    /// These will be asked for.
    pub(crate) fn expect(&mut self, uids: Vec<u32>) {
        self.at_hand.clear();
        self.ahead = uids.into();
        self.fields = None;
    }

    /// Of these messages fields will be asked for: bodies only where the list view does not hold them.
    pub(crate) fn expect_fields(&mut self, uids: Vec<u32>, fields: Vec<Vec<u8>>) {
        self.expect(uids);
        self.fields = Some(fields);
    }

    /// Whether the body of the next one will be asked for.
    fn is_wanted(&self, uid: u32, depot: &mut dyn Depot) -> bool {
        let Some(fields) = &self.fields else { return true };
        !depot.look(uid).is_ok_and(|look| look.shows(fields))
    }

    /// The body of a message as it lies.
    pub(crate) fn take(&mut self, uid: u32, depot: &mut dyn Depot) -> Result<Body, Trouble> {
        if let Some(body) = self.at_hand.remove(&uid) {
            return body;
        }
        self.at_hand.clear();
        if !self.ahead.contains(&uid) {
            return depot.body(uid);
        }
        while self.ahead.pop_front().is_some_and(|before| before != uid) {}
        let (mut uids, mut octets) = (vec![uid], depot.size(uid)?.unwrap_or(MAX_TOGETHER));
        while uids.len() < TOGETHER
            && let Some(next) = self.ahead.front().copied()
        {
            if !self.is_wanted(next, depot) {
                self.ahead.pop_front();
                continue;
            }
            // Where sizes are not known a round trip costs nothing.
            octets = octets.saturating_add(depot.size(next).ok().flatten().unwrap_or(MAX_TOGETHER));
            if octets > MAX_TOGETHER {
                break;
            }
            uids.push(next);
            self.ahead.pop_front();
        }
        self.at_hand = depot.bodies(&uids).into_iter().collect();
        self.at_hand.remove(&uid).unwrap_or(Err(Trouble::Gone))
    }
}
