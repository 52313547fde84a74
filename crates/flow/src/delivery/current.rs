//! The settings that count at this moment.
//!
//! In: others, when the configuration was read again. Out: for each message the same ones from its beginning to its end.

use std::sync::{Arc, PoisonError, RwLock};

/// What counts now.
pub(crate) struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub(crate) fn new(first: T) -> Current<T> {
        Current(RwLock::new(Arc::new(first)))
    }

    /// For one message, from its beginning to its end.
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, next: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}
