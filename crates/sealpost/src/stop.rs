//! Whether somebody asked the program to end: Ctrl-C or SIGTERM.

#[cfg(feature = "open")]
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::{DoingWhat, Exit, Failure};

/// Signals are the process's, and so is what they leave.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether somebody asked the program to end.
#[cfg(feature = "open")]
pub fn is_stopped() -> bool {
    STOP.get().is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Becomes true when somebody asks the program to end: what is begun is finished first. Asked twice, it ends at once, and
/// the next run settles what was cut off.
pub fn asked_to_stop() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::clone(STOP.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM] {
        let registered = signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        registered.doing(Exit::Temporary, "cannot listen to signals")?;
    }
    Ok(stop)
}
