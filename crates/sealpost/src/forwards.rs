//! A flow of mail that is forwarded, wired: names become keys, addresses, sockets, a spool and settings.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use flow::delivery::Listen;
use flow::forward::{
    Own,
    checks::Checks,
    dkim::Signer,
    mx,
    mx::dns::{Dns, Dnssec},
    resolver::Resolver,
    return_path::ReturnPath,
    rewrite::Forwarder,
    verdict::Strictness,
};
use flow::forward::{Recipients, Schedule, Settings, Sink, Spool};
use seal::Padding;
use wire::smtp::{Dialect, server::Extension};

use crate::{
    accounts,
    config::{
        self, Compress, Config,
        forward::{Forward, Queue},
    },
    deliveries::{self, Sockets},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// The queue, unless the config names another one.
const SPOOL: &str = "sqlite:spool.db";

/// What domains say of their servers, as it was learned.
const POLICIES: &str = "mta-sts";

/// The settings of such a flow. `stop` ends a command that is asked for a password.
pub fn settings(
    home: &Home,
    config: &Config,
    name: &str,
    flow: &Forward,
    sockets: &Sockets,
    stop: &Arc<AtomicBool>,
) -> Result<Settings, Failure> {
    let options = &flow.door.options;
    let mut session = deliveries::session(home, Dialect::Smtp, options)?;
    // What becomes of a message is its owner's business: no reports to senders.
    session.withheld.push(Extension::Dsn);
    let place = deliveries::at_home(home, &flow.door.listen);
    let mut enrolment = home.owner(&flow.seal.to)?;
    if let Some(policy) = flow.seal.policy {
        enrolment.policy = policy;
    }
    if let Some(scheme) = flow.seal.scheme {
        enrolment = enrolment.of_scheme(scheme)?;
    }
    Ok(Settings {
        name: name.to_owned(),
        listen: Listen { socket: sockets.take(&place), place },
        checks: checks(flow, &session.hello)?,
        own: own(home, flow, &session.hello)?,
        sink: sink(home, config, flow, &session.hello, stop)?,
        session,
        recipients: Recipients::new(flow.recipients.clone()),
        rates: flow.rates,
        enrolment,
        sealer: home.sealer()?,
        trust: home.trust()?,
        dedup: home.dedup()?,
        compression: match flow.seal.compress {
            Compress::Auto => seal::Compression::Auto,
            Compress::Never => seal::Compression::Never,
        },
        padding: Padding::Bucket,
        authserv_id: options.authserv_id.clone(),
        spool: spool(home, name, &flow.queue)?,
        schedule: schedule(&flow.queue),
        lock: (!is_shared(&flow.queue)).then(|| home.root().to_path_buf()),
        sessions: deliveries::sessions(),
        temporary: std::env::temp_dir(),
    })
}

/// The queue of a flow; nothing is asked yet. Relative paths begin in the home.
pub fn spool(home: &Home, flow: &str, queue: &Queue) -> Result<Spool, Failure> {
    let named = queue.spool.as_deref().unwrap_or(SPOOL);
    if is_shared(queue) {
        return Spool::postgres(named, flow).doing(Exit::Config, "the spool cannot be used").map_err(|failure| {
            failure.hint("write \"postgres://user@host/database\"; a build for it: `--features postgres`")
        });
    }
    let path = named.strip_prefix("sqlite:").filter(|path| !path.is_empty()).ok_or_else(|| {
        Failure::new(Exit::Config, format_args!("flow {flow}: `spool` is \"sqlite:PATH\" or \"postgres://…\""))
            .hint("leave it out for \"sqlite:spool.db\" in the home")
    })?;
    Ok(Spool::sqlite(home.at(Path::new(path)), flow))
}

fn schedule(queue: &Queue) -> Schedule {
    let schedule = Schedule::new(queue.retry.clone(), queue.expire);
    let schedule = match queue.keep {
        Some(keep) => schedule.keeping(keep),
        None => schedule,
    };
    match queue.failed {
        Some(failed) => schedule.leaving(Some(failed).filter(|failed| !failed.is_zero())),
        None => schedule,
    }
}

/// The file of a queue that is one.
pub fn spool_file(home: &Home, queue: &Queue) -> Option<PathBuf> {
    let named = queue.spool.as_deref().unwrap_or(SPOOL);
    named.strip_prefix("sqlite:").map(|path| home.at(Path::new(path)))
}

fn is_shared(queue: &Queue) -> bool {
    let named = queue.spool.as_deref().unwrap_or(SPOOL);
    named.starts_with("postgres://") || named.starts_with("postgresql://")
}

/// Who is asked for a domain's servers.
fn exchangers(flow: &Forward, dnssec: config::forward::Dnssec) -> Result<Dns, Failure> {
    let dnssec = match dnssec {
        config::forward::Dnssec::Checked => Dnssec::Checked,
        config::forward::Dnssec::Off => Dnssec::Off,
    };
    Dns::new(flow.resolver, &dnssec).map_err(|error| {
        Failure::new(Exit::Config, error).hint("name a server in `source`: resolver = \"127.0.0.1:53\"")
    })
}

/// Who checks mail of strangers.
fn checks(flow: &Forward, hello: &str) -> Result<Option<(Checks, Strictness)>, Failure> {
    let Some(strictness) = flow.checks else { return Ok(None) };
    let resolver = match flow.resolver {
        Some(server) => Resolver::at(server),
        None => Resolver::system(),
    };
    let resolver = resolver.map_err(|error| {
        Failure::new(Exit::Config, error)
            .hint("name a server: resolver = \"127.0.0.1:53\"; or leave the checks to another server: checks = \"off\"")
    })?;
    Ok(Some((Checks::new(resolver, flow.door.options.authserv_id.as_deref().unwrap_or(hello)), strictness)))
}

/// In whose name mail goes on.
fn own(home: &Home, flow: &Forward, hello: &str) -> Result<Option<Own>, Failure> {
    let name = match &flow.sink {
        config::forward::Sink::Hop { own: Some(name), .. } | config::forward::Sink::Domain { own: name, .. } => name,
        _ => return Ok(None),
    };
    let wrong = |what: String| {
        Failure::new(Exit::Config, what).hint("docs/forwarder.md shows a whole config, and how the key is made")
    };
    let domain = name.from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let forwarder = Forwarder::new(&name.from, hello)
        .ok_or_else(|| wrong("`from` is a plain address, and `hello` the plain name of this server".to_owned()))?;
    let file = home.at(&name.key);
    let pem = std::fs::read(&file).doing(Exit::Config, format_args!("cannot read the dkim-key {}", file.display()))?;
    let mode = std::fs::metadata(&file).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        return Err(Failure::new(Exit::Config, format_args!("others can read the dkim-key {}", file.display()))
            .hint(format_args!("whoever has it writes in your name: chmod 600 {}", file.display())));
    }
    let signer = Signer::new(domain).and_then(|signer| signer.with_key(&name.selector, &pem));
    let signer = signer.map_err(|error| wrong(format!("`dkim-key`: {error}")))?;
    let return_path = ReturnPath::new(&home.dedup()?, domain);
    Ok(Some(Own { forwarder, signer, return_path }))
}

fn sink(home: &Home, config: &Config, flow: &Forward, hello: &str, stop: &Arc<AtomicBool>) -> Result<Sink, Failure> {
    Ok(match &flow.sink {
        config::forward::Sink::Account { account, mailbox } => Sink::Account {
            account: accounts::account(home, config.account(account)?, stop)?,
            mailbox: mailbox.clone(),
        },
        config::forward::Sink::Hop { hop, auth, to, .. } => {
            let mut next = deliveries::next_hop(home, hop, Some(hello))?;
            if let Some(account) = auth {
                let account = config.account(account)?;
                next.login = Some(accounts::asked_anew(home, &account.user, &account.password));
            }
            Sink::Hop { hop: next, to: to.clone() }
        }
        config::forward::Sink::Domain { domain, to, ca_file, dnssec, .. } => Sink::Domain {
            mx: Box::new(mx::Settings {
                domain: domain.clone(),
                hello: hello.to_owned(),
                dns: exchangers(flow, *dnssec)?,
                trust: accounts::trust(home, ca_file.as_deref(), None)?,
                state: home.at(Path::new(POLICIES)),
                smtp_port: 25,
                https_port: 443,
            }),
            to: to.clone(),
        },
        config::forward::Sink::Maildir(path) => Sink::Maildir(home.at(path)),
    })
}
