//! Whether a copy that is being put is still this node's.
//!
//! In: in whose name it was taken in hand. Out: leave to go on, or none. Whoever was stopped for longer than others wait, and goes on, must not finish
//! what they may have begun anew. For threads that may block; the spool is asked on the runtime's.

use std::sync::{Arc, mpsc};

use tokio::runtime::Handle;
use wire::imap::{Leave, Moment};

use crate::forward::spool::{Spool, Tenure};

/// Asks the spool.
pub(crate) struct Lease {
    spool: Arc<Spool>,
    runtime: Handle,
}

impl Lease {
    /// Within a runtime.
    pub(crate) fn of(spool: Arc<Spool>) -> Lease {
        Lease { spool, runtime: Handle::current() }
    }

    /// Whether there is anybody who could take over.
    pub(crate) fn can_end(&self) -> bool {
        self.spool.is_shared()
    }

    /// May it go on? At its end the spool itself is asked: the clock of a machine that was stopped tells nothing of that.
    pub(crate) fn leave(&self, tenure: Tenure, moment: Moment) -> Leave {
        let may = match moment {
            Moment::Begin => self.spool.holds(tenure),
            Moment::End => self.ask(tenure),
        };
        if may { Leave::Granted } else { Leave::Withdrawn }
    }

    fn ask(&self, tenure: Tenure) -> bool {
        let (answer, answered) = mpsc::channel();
        let spool = Arc::clone(&self.spool);
        // A runtime that ends drops the question, which is an answer.
        drop(self.runtime.spawn(async move { answer.send(spool.confirms(tenure).await) }));
        answered.recv().unwrap_or(false)
    }
}
