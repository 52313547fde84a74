//! Who is attended to at once: mail programs that have logged in, and newcomers. In: connections. Out: places for them. Newcomers never keep those out who log in: they
//! are counted apart, and when there are too many the one who has waited longest gives way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All places.
pub(crate) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// Those who have logged in.
    within: usize,
    /// Newcomers who may stay; who came first stands first.
    newcomers: VecDeque<Arc<AtomicBool>>,
    /// Newcomers who were told to go, and have not gone yet.
    leaving: usize,
}

/// A place; given back when it is dropped.
pub(crate) struct Place<'p> {
    places: &'p Places,
    /// Whether it must be given back.
    over: Arc<AtomicBool>,
    within: AtomicBool,
}

impl Places {
    /// So many may log in, and so many newcomers wait.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// A place for a newcomer; `None`: as many have logged in as may, or newcomers come faster than others go.
    pub(crate) fn take(&self) -> Option<Place<'_>> {
        let mut taken = self.taken();
        if taken.within >= self.most || taken.leaving >= self.most {
            return None;
        }
        if taken.newcomers.len() >= self.most
            && let Some(first) = taken.newcomers.pop_front()
        {
            first.store(true, Ordering::SeqCst);
            taken.leaving = taken.leaving.saturating_add(1);
        }
        let over = Arc::new(AtomicBool::new(false));
        taken.newcomers.push_back(Arc::clone(&over));
        Some(Place { places: self, over, within: AtomicBool::new(false) })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn forget(&mut self, over: &Arc<AtomicBool>) {
        match self.newcomers.iter().position(|other| Arc::ptr_eq(other, over)) {
            Some(at) => drop(self.newcomers.remove(at)),
            None => self.leaving = self.leaving.saturating_sub(1),
        }
    }
}

impl Place<'_> {
    /// Whether another one needs it more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) && !self.within.load(Ordering::SeqCst)
    }

    /// Its owner logs in; false: as many have as may.
    pub(crate) fn enter(&self) -> bool {
        let mut taken = self.places.taken();
        if taken.within >= self.places.most {
            return false;
        }
        if !self.within.swap(true, Ordering::SeqCst) {
            taken.forget(&self.over);
            taken.within = taken.within.saturating_add(1);
        }
        true
    }

    /// The owner has not come in after all.
    pub(crate) fn step_back(&self) {
        let mut taken = self.places.taken();
        if self.within.swap(false, Ordering::SeqCst) {
            taken.within = taken.within.saturating_sub(1);
            taken.newcomers.push_back(Arc::clone(&self.over));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if self.within.load(Ordering::SeqCst) {
            taken.within = taken.within.saturating_sub(1);
        } else {
            taken.forget(&self.over);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn newcomers_keep_nobody_out() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        let third = places.take().unwrap();
        assert!(first.is_over() && !second.is_over() && !third.is_over());
        drop(first);
        assert!(third.enter() && third.enter());
        let fourth = places.take().unwrap();
        assert!(!second.is_over() && fourth.enter());
        // Both are within: nobody else comes, and nobody of them goes.
        assert!(places.take().is_none() && !second.enter() && !third.is_over());
        drop(third);
        assert!(second.enter());
        second.step_back();
        let fifth = places.take().unwrap();
        assert!(fifth.enter() && !second.enter());
        drop((fourth, fifth));
        assert!(second.enter());
    }

    #[test]
    fn who_is_slow_to_go_makes_no_room_without_end() {
        let places = Places::new(2);
        let all: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(all.len(), 4);
        drop(all);
        assert!(places.take().is_some());
    }
}
