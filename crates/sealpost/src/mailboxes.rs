//! Which mailboxes are meant: what was named on the command line, else what the config says. In: arguments, config, home. Out: what reads them, what seals into them;
//! what to do when they are not reached.

use std::sync::{Arc, atomic::AtomicBool};

use reader::{AccountError, ReachError, SealWith};

use crate::{
    accounts,
    args::MailPlace,
    config::{Config, Flow, Place},
    explain::{of_connecting, of_server},
    failure::{Exit, Failure},
    home::Home,
    keys::{Reading, Recipients},
};

/// What opens the mail that is meant: what was named, else what `[bridge]` names, else the only Maildir or account that a flow seals.
pub fn settings(
    home: &Home,
    config: &Config,
    place: &MailPlace,
    stop: &Arc<AtomicBool>,
) -> Result<reader::Settings, Failure> {
    home.must_exist()?;
    let place_of_mail = meant(home, config, place)?;
    let reading = Reading::find(home, None, None, place.passphrase.passphrase_file.as_deref())?;
    let (flow, source) = match place_of_mail {
        Place::Maildir(path) => (String::new(), reader::Source::Maildir(path)),
        Place::Account(name) => {
            let account = accounts::account(home, config.account(&name)?, stop)?;
            let imap = reader::Imap { account, sink: None, sealers: reader::Sealers::MayRun };
            (name, reader::Source::Imap(imap))
        }
    };
    Ok(reader::Settings {
        flow,
        source,
        mailboxes: Vec::new(),
        state: home.state(),
        temporary: std::env::temp_dir(),
        keys: reading.keys,
        trust: reading.trust,
    })
}

fn meant(home: &Home, config: &Config, place: &MailPlace) -> Result<Place, Failure> {
    if let Some(path) = &place.maildir {
        return Ok(Place::Maildir(path.clone()));
    }
    if let Some(name) = &place.account {
        return Ok(Place::Account(name.clone()));
    }
    let written = config.bridge.as_ref();
    match written.map(|bridge| (&bridge.maildir, &bridge.account)) {
        Some((Some(_), Some(_))) => {
            return Err(Failure::new(Exit::Config, "[bridge] names a Maildir and an account")
                .hint("keep one of the two; the other can be named: --maildir PATH, --account NAME"));
        }
        Some((Some(path), None)) => return Ok(Place::Maildir(home.at(path))),
        Some((None, Some(name))) => return Ok(Place::Account(name.clone())),
        _ => {}
    }
    let mut of_flows: Vec<Place> = Vec::new();
    for flow in config.flow.values() {
        let Flow::Mailboxes(flow) = flow else { continue };
        let place = match &flow.source.place {
            Place::Maildir(path) => Place::Maildir(home.at(path)),
            Place::Account(name) => Place::Account(name.clone()),
        };
        if !of_flows.contains(&place) {
            of_flows.push(place);
        }
    }
    match of_flows.as_mut_slice() {
        [_] => Ok(of_flows.remove(0)),
        _ => Err(Failure::new(Exit::Usage, "it is not known which Maildir or account is meant")
            .hint("name it: --maildir PATH or --account NAME, or write [bridge] with one of them in config.toml")),
    }
}

/// What seals that mail programs store; none on a machine that has no sealer or no owner.
pub fn seal_with(home: &Home, to: Option<&str>) -> Result<Option<SealWith>, Failure> {
    if !home.is_initialised() || home.owners()?.is_empty() {
        return Ok(None);
    }
    let Recipients { enrolment, keys, account, sealer } = Recipients::find(home, &[], to, None)?;
    Ok(Some(SealWith {
        account,
        recipients: keys,
        sealer,
        profile: enrolment.profile(),
        policy: enrolment.policy,
        compression: seal::Compression::Auto,
    }))
}

/// What to do about mail that is not reached.
pub fn of_reaching(error: &ReachError) -> (Exit, &'static str) {
    match error {
        ReachError::Maildir(_) => (Exit::Config, "name a folder that has cur, new and tmp in it: --maildir PATH"),
        ReachError::Account(error) => (error.fate().into(), of_account(error)),
        _ => (error.fate().into(), "`sealpost check` looks at config, keys and mailboxes"),
    }
}

/// What to do about an account that is not reached.
pub fn of_account(error: &AccountError) -> &'static str {
    match error {
        AccountError::Connect(error) => of_connecting(error),
        AccountError::Server(error) => of_server(error),
        _ => "nothing is half done; run it again",
    }
}
