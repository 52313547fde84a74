//! A flow of the config, wired: names become keys, paths and settings.

use std::sync::{Arc, atomic::AtomicBool};

use seal::Padding;
use store::UnixSeconds;

use crate::{
    accounts,
    config::{Compress, Config, Mailboxes, Place, Sink},
    failure::Failure,
    home::Home,
};

/// The settings of a named flow. `stop` ends a command that is asked for a password.
pub fn settings(home: &Home, config: &Config, name: &str, stop: &Arc<AtomicBool>) -> Result<flow::Settings, Failure> {
    home.must_exist()?;
    let flow = config.mailboxes(name)?;
    let Mailboxes { source, seal, .. } = flow;
    let mut enrolment = home.owner(&seal.to)?;
    if let Some(policy) = seal.policy {
        enrolment.policy = policy;
    }
    if let Some(scheme) = seal.scheme {
        enrolment = enrolment.of_scheme(scheme)?;
    }
    Ok(flow::Settings {
        name: name.to_owned(),
        route: route(home, config, name, flow, stop)?,
        mailboxes: source.mailboxes.clone(),
        grace: source.grace,
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

fn route(
    home: &Home,
    config: &Config,
    name: &str,
    flow: &Mailboxes,
    stop: &Arc<AtomicBool>,
) -> Result<flow::Route, Failure> {
    let account = match &flow.source.place {
        Place::Maildir(path) => return Ok(flow::Route::Maildir(home.at(path))),
        Place::Account(account) => account,
    };
    let keep = flow.backup;
    let backup = (!keep.is_zero()).then(|| flow::Backup { directory: home.backup(name), keep });
    Ok(flow::Route::Imap(flow::Imap {
        name: account.clone(),
        account: accounts::account(home, config.account(account)?, stop)?,
        sink: match &flow.sink {
            Sink::InPlace => flow::Sink::InPlace,
            Sink::Folder(name) => flow::Sink::Folder(name.clone()),
        },
        backup,
        most_losses: flow::settings::MOST_LOSSES,
    }))
}
