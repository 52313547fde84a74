//! The second half of a batch: late changes carried over, originals removed against their proofs.
//!
//! In: proven copies. Out: what came of each. Never removes an original that the journal has not announced.

use std::collections::HashMap;

use wire::imap::{Fetched, UidSet};

use super::run::{BatchError, Run};
use crate::imap::flags;
use crate::imap::place::Key;
use crate::imap::remake::{Ending, Failure, Remake};
use crate::imap::remove::{Removal, deleted, ignore, remaining};
use crate::imap::stages::{Now, Orders, ProvedCopy};
use crate::journal::Announced;
use crate::step::Step;

/// Rounds in which flags are carried over before a message counts as restless.
const ROUNDS: usize = 5;

impl<R: Remake> Run<'_, '_, R> {
    /// Step 7: what others changed on the originals meanwhile goes to the copies. Gives those whose original is there, and
    /// those whose original is gone.
    #[expect(clippy::type_complexity, reason = "two lists of the same")]
    pub(super) fn carry(
        &mut self,
        copies: Vec<ProvedCopy<R::Proof>>,
    ) -> Result<(Vec<ProvedCopy<R::Proof>>, Vec<ProvedCopy<R::Proof>>), BatchError> {
        let now = self.look(&self.uids(copies.iter().map(|copy| copy.index)))?;
        let (mut here, mut vanished, mut withdrawn) = (Vec::new(), Vec::new(), UidSet::new());
        let mut orders = Orders::default();
        for mut copy in copies {
            let Some(entry) = self.batch.entries.get(copy.index) else { continue };
            let Some(seen) = now.get(&entry.job.uid) else {
                vanished.push(copy);
                continue;
            };
            if let Err(error) = self.how.may(&entry.job, &seen.flags) {
                withdrawn.insert(copy.uid);
                self.fail(copy.index, Failure::Refused(error));
                continue;
            }
            copy.modseq = seen.modseq.unwrap_or_default();
            orders.carry(&mut copy, seen);
            here.push(copy);
        }
        self.withdraw(&withdrawn)?;
        let refused = self.carry_out(orders)?;
        let (kept, lost): (Vec<_>, Vec<_>) = here.into_iter().partition(|copy| !refused.contains(copy.uid));
        self.withdraw(&refused)?;
        for copy in lost {
            self.fail(copy.index, Failure::Flags);
        }
        Ok((kept, vanished))
    }

    /// Gives the copies whose flags could not be set.
    pub(super) fn carry_out(&mut self, orders: Orders) -> Result<UidSet, BatchError> {
        let orders = orders.into_stores();
        let mut refused = UidSet::new();
        if orders.is_empty() {
            return Ok(refused);
        }
        let mut told: HashMap<u32, Vec<String>> = HashMap::new();
        let results = self.target()?.session().uid_stores(&orders, |fetched| {
            if let Some(flags) = fetched.flags {
                told.insert(fetched.uid, flags);
            }
        })?;
        for (order, result) in orders.iter().zip(results) {
            match result {
                Ok(_) => {}
                Err(error) if error.is_refusal() => order.set.iter().for_each(|uid| refused.insert(uid)),
                Err(error) => return Err(error.into()),
            }
            if order.item == "+FLAGS" {
                // quirk: a server may say OK and keep nothing.
                let lost = |uid: &u32| told.get(uid).is_some_and(|now| !flags::missing(&order.flags, now).is_empty());
                order.set.iter().filter(lost).for_each(|uid| refused.insert(uid));
            }
        }
        Ok(refused)
    }

    /// Step 8: the originals go, each against its proof. Gives those that are gone by us, and those that went by others.
    #[expect(clippy::type_complexity, reason = "two lists of the same")]
    pub(super) fn remove(
        &mut self,
        copies: Vec<ProvedCopy<R::Proof>>,
        announced: &Announced,
    ) -> Result<(Vec<ProvedCopy<R::Proof>>, Vec<ProvedCopy<R::Proof>>), BatchError> {
        let (covered, uncovered): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| announced.covers(&copy.place));
        for copy in uncovered {
            self.end(copy.index, Ending::Unsettled);
        }
        let (mut flagged, mut late, mut open) = (Vec::new(), Vec::new(), covered);
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            let flags = self.flag(&mut open)?;
            (self.watch)(Step::Flagged);
            let (done, others): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|copy| flags.contains(self.uid(copy.index)));
            flagged.extend(done.into_iter().map(|copy| ProvedCopy { flagged: true, ..copy }));
            // Their flags changed since they were read, or they went away.
            let (here, vanished) = match others.is_empty() {
                true => (others, Vec::new()),
                false => self.carry(others)?,
            };
            late.extend(vanished);
            open = here;
        }
        let restless: UidSet = open.iter().map(|copy| copy.uid).collect();
        for copy in open {
            self.fail(copy.index, Failure::Restless);
        }
        self.withdraw(&restless)?;
        if let Removal::Expunge = self.removal {
            let (gone, vanished) = self.expunge(flagged)?;
            flagged = gone;
            late.extend(vanished);
        } else {
            let uids = self.uids(flagged.iter().map(|copy| copy.index));
            self.removal.remove(self.desk, &uids)?;
        }
        (self.watch)(Step::Retired);
        Ok((flagged, late))
    }

    /// The originals go. What others changed on them between our `\\Deleted` and their end still goes to the copies. Gives those that went by us,
    /// and those that somebody was faster with.
    #[expect(clippy::type_complexity, reason = "two lists of the same")]
    fn expunge(
        &mut self,
        copies: Vec<ProvedCopy<R::Proof>>,
    ) -> Result<(Vec<ProvedCopy<R::Proof>>, Vec<ProvedCopy<R::Proof>>), BatchError> {
        if copies.is_empty() {
            return Ok((copies, Vec::new()));
        }
        // A round trip by itself: while commands are in the pipe, some servers do not tell what others did.
        self.desk.session().noop()?;
        let now = self.look(&self.uids(copies.iter().map(|copy| copy.index)))?;
        let (mut here, mut vanished) = (Vec::new(), Vec::new());
        let (mut stays, mut withdrawn) = (UidSet::new(), UidSet::new());
        for copy in copies {
            let uid = self.uid(copy.index);
            let Some(entry) = self.batch.entries.get(copy.index) else { continue };
            let Some(Now { flags, .. }) = now.get(&uid) else {
                vanished.push(copy);
                continue;
            };
            match self.how.may(&entry.job, &but_deleted(flags.clone())) {
                Ok(()) => here.push(copy),
                Err(error) => {
                    stays.insert(uid);
                    withdrawn.insert(copy.uid);
                    self.fail(copy.index, Failure::Refused(error));
                }
            }
        }
        if !stays.is_empty() {
            self.desk.session().uid_store(&stays, None, "-FLAGS.SILENT", &[deleted()], ignore)?;
            self.withdraw(&withdrawn)?;
        }
        let uids = self.uids(here.iter().map(|copy| copy.index));
        let mut last = now;
        if !uids.is_empty() {
            self.desk.session().uid_expunge_seen(&uids, |fetched| {
                if let (Some(flags), Some(known)) = (fetched.flags, last.get_mut(&fetched.uid)) {
                    known.flags = flags;
                }
            })?;
        }
        let mut orders = Orders::default();
        for copy in &mut here {
            if let Some(Now { flags, .. }) = last.remove(&self.uid(copy.index)) {
                let labels = copy.labels.clone();
                orders.carry(copy, &Now { flags: but_deleted(flags), modseq: None, labels });
            }
        }
        self.carry_out(orders)?;
        Ok((here, vanished))
    }

    /// Flags the originals as deleted, each only if nothing changed since it was last read. Gives those that are flagged.
    pub(super) fn flag(&mut self, open: &mut [ProvedCopy<R::Proof>]) -> Result<UidSet, BatchError> {
        let uids = self.uids(open.iter().map(|copy| copy.index));
        if let Removal::Through(_) = self.removal {
            return Ok(uids);
        }
        let (mut flagged, mut now) = (UidSet::new(), HashMap::new());
        if self.conditional {
            let latest = open.iter().map(|copy| copy.modseq).max().unwrap_or_default();
            let session = self.desk.session();
            // RFC 7162 §3.1.3: also a silent one is answered with the new MODSEQ of each message that it changed.
            let told = |fetched: Fetched<Vec<u8>>| flagged.insert(fetched.uid);
            let beaten = session.uid_store(&uids, Some(latest), "+FLAGS.SILENT", &[deleted()], told)?;
            let untold: UidSet = uids.iter().filter(|uid| !flagged.contains(*uid) && !beaten.contains(*uid)).collect();
            for (uid, seen) in self.look(&untold)? {
                if flags::has(&seen.flags, "\\Deleted") {
                    flagged.insert(uid);
                }
            }
            return Ok(flagged.iter().filter(|uid| !beaten.contains(*uid)).collect());
        }
        // The answer tells the flags as they are at this very moment (A13).
        self.desk.session().uid_store(&uids, None, "+FLAGS", &[deleted()], |fetched| {
            if let Some(flags) = fetched.flags.filter(|flags| flags::has(flags, "\\Deleted")) {
                now.insert(fetched.uid, flags);
            }
        })?;
        let mut orders = Orders::default();
        for copy in open.iter_mut() {
            let uid = self.uid(copy.index);
            if let Some(flags) = now.remove(&uid) {
                flagged.insert(uid);
                let labels = copy.labels.clone();
                orders.carry(copy, &Now { flags: but_deleted(flags), modseq: None, labels });
            }
        }
        self.carry_out(orders)?;
        Ok(flagged)
    }

    /// Step 9: see that they are gone.
    pub(super) fn settle(&mut self, removed: Vec<ProvedCopy<R::Proof>>) -> Result<(), BatchError> {
        let uids = self.uids(removed.iter().map(|copy| copy.index));
        let stubborn = remaining(self.desk.session(), &uids)?;
        if !stubborn.is_empty() {
            let flags = [deleted()];
            self.desk.session().uid_store(&stubborn, None, "-FLAGS.SILENT", &flags, ignore)?;
        }
        let validity = self.target()?.validity()?;
        for copy in removed {
            let uid = self.uid(copy.index);
            let ending = if stubborn.contains(uid) {
                Ending::Unsettled
            } else {
                let ProvedCopy { mark, length, internal_date, twins, .. } = copy;
                Ending::Replaced { copy: Key { validity, uid: copy.uid }, mark, length, internal_date, twins }
            };
            self.end(copy.index, ending);
        }
        Ok(())
    }
}

/// Without the mark that we set ourselves.
fn but_deleted(flags: Vec<String>) -> Vec<String> {
    flags.into_iter().filter(|flag| !flag.eq_ignore_ascii_case("\\Deleted")).collect()
}
