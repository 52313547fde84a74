//! A flow of the config, wired: names become keys, paths and settings.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use seal::Padding;
use store::UnixSeconds;

use crate::{
    config::{Compress, Config, Flow, Sink},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// The settings of a named flow.
pub fn settings(home: &Home, config: &Config, name: &str) -> Result<flow::Settings, Failure> {
    let Flow { source, seal, sink: Sink::InPlace } = config.flow(name)?;
    let mut enrolment = home.owner(&seal.to)?;
    if let Some(policy) = seal.policy {
        enrolment.policy = policy;
    }
    if let Some(scheme) = seal.scheme {
        enrolment.scheme = scheme;
    }
    Ok(flow::Settings {
        name: name.to_owned(),
        route: flow::Route::Maildir(source.maildir.clone()),
        mailboxes: source.mailboxes.clone(),
        grace: source.grace.unwrap_or(Duration::ZERO),
        since: source.since.map(UnixSeconds),
        max_size: source.max_size,
        enrolment,
        sealer: home.sealer()?,
        trust: home.trust()?,
        dedup: home.dedup()?,
        compression: match seal.compress {
            Compress::Auto => seal::Compression::Auto,
            Compress::Never => seal::Compression::Never,
        },
        padding: Padding::Bucket,
        state: home.state(),
        temporary: std::env::temp_dir(),
    })
}

/// Becomes true when somebody asks the program to end: what is begun is finished first. Asked twice, it ends at once, and
/// the next run settles what was cut off.
pub fn asked_to_stop() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let registered = signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        registered.doing(Exit::Temporary, "cannot listen to signals")?;
    }
    Ok(stop)
}
