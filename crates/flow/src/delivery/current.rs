//! The settings that count at this moment.
//!
//! In: others, when the configuration was read again. Out: for each message the same ones from its beginning to its end.

use std::sync::{Arc, PoisonError, RwLock};

use crate::delivery::carry::Gateway;

/// The settings that count now.
pub(crate) struct Current(RwLock<Arc<Gateway>>);

impl Current {
    pub(crate) fn new(gateway: Gateway) -> Current {
        Current(RwLock::new(Arc::new(gateway)))
    }

    /// For one message, from its beginning to its end.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, gateway: Gateway) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(gateway);
    }
}
