//! `bridge`: an IMAP server on this machine, in which sealed mail of a Maildir or an account reads as if it were plain.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use reader::bridge::{Bridge, BridgeError, NewPassword, Password, SealWith, serve};

use crate::{
    accounts, args,
    config::{self, Config, Flow, Place},
    failure::{DoingWhat, Exit, Failure, with_causes},
    flows,
    home::{self, Home},
    keys::{Reading, Recipients},
    tell::tell,
};

/// Where it listens, unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1143);

/// Serves until asked to stop.
pub fn run(home: &Home, arguments: &args::Bridge) -> Result<(), Failure> {
    let stop = flows::asked_to_stop()?;
    let config = Config::read(home)?;
    let written = config.bridge.as_ref();
    let listen = arguments.listen.or_else(|| written.and_then(|bridge| bridge.listen)).unwrap_or(LISTEN);
    if !listen.ip().is_loopback() {
        return Err(Failure::from(BridgeError::NotLoopback));
    }
    let to = written.and_then(|bridge| bridge.to.as_deref());
    let user = user(home, written, to)?;
    let reading = Reading::find(home, None, None, arguments.passphrase.passphrase_file.as_deref())?;
    let mail = mail(home, &config, arguments.maildir.as_ref(), reading, &stop)?;
    let seal = seal_with(home, to)?;
    let listener = TcpListener::bind(listen)
        .doing(Exit::Unavailable, format_args!("cannot listen on {listen}"))
        .map_err(|failure| failure.hint("is another bridge running? name another port: --listen 127.0.0.1:1144"))?;
    let address = listener.local_addr().doing(Exit::Unavailable, "cannot listen")?;
    let (password, new) = password(home, arguments.new_password)?;
    tell(format_args!("sealpost: bridge: IMAP on {address}, user {user}, no TLS (it stays on this machine)"));
    if let Some(text) = new {
        tell(format_args!("sealpost: bridge: password {} (shown this once)", *text));
    }
    if seal.is_none() {
        tell("sealpost: bridge: no sealer key or owner here: mail programs can read and file, not store");
    }
    let bridge = Bridge { mail, user, password, seal };
    Ok(serve(&bridge, &listener, &stop)?)
}

/// What opens the mail that is meant: of the Maildir that was named, else of the account or Maildir in the config.
fn mail(
    home: &Home,
    config: &Config,
    named: Option<&PathBuf>,
    reading: Reading,
    stop: &Arc<AtomicBool>,
) -> Result<reader::Settings, Failure> {
    let written = config.bridge.as_ref().filter(|_| named.is_none());
    let Some(name) = written.and_then(|bridge| bridge.account.as_ref()) else {
        return Ok(settings(home, maildir(home, config, named)?, reading));
    };
    if written.is_some_and(|bridge| bridge.maildir.is_some()) {
        return Err(Failure::new(Exit::Config, "[bridge] names a Maildir and an account")
            .hint("keep one of the two; a second bridge can be given --maildir PATH"));
    }
    let account = accounts::account(home, config.account(name)?, stop)?;
    let source = reader::Source::Imap(reader::Imap { account, sink: None, sealers: reader::Sealers::MayRun });
    Ok(reader::Settings { flow: name.clone(), source, ..settings(home, PathBuf::new(), reading) })
}

/// What opens the mail of a Maildir.
pub fn settings(home: &Home, maildir: PathBuf, reading: Reading) -> reader::Settings {
    reader::Settings {
        flow: String::new(),
        source: reader::Source::Maildir(maildir),
        mailboxes: Vec::new(),
        state: home.state(),
        temporary: std::env::temp_dir(),
        keys: reading.keys,
        trust: reading.trust,
    }
}

/// The Maildir that was named, or the only one there is.
pub fn maildir(home: &Home, config: &Config, named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.clone());
    }
    if let Some(maildir) = config.bridge.as_ref().and_then(|bridge| bridge.maildir.as_ref()) {
        return Ok(home.at(maildir));
    }
    let mut of_flows: Vec<PathBuf> = config
        .flow
        .values()
        .filter_map(|flow| match flow {
            Flow::Mailboxes(flow) => match &flow.source.place {
                Place::Maildir(path) => Some(home.at(path)),
                Place::Account(_) => None,
            },
            Flow::Delivery(_) | Flow::Forward(_) => None,
        })
        .collect();
    of_flows.sort();
    of_flows.dedup();
    match of_flows.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(Failure::new(Exit::Usage, "it is not known which Maildir is meant")
            .hint("name it: --maildir PATH, or write [bridge] with maildir = \"PATH\" in config.toml")),
    }
}

/// The name to log in with: as written, or the owner's address.
fn user(home: &Home, written: Option<&config::Bridge>, to: Option<&str>) -> Result<String, Failure> {
    if let Some(user) = written.and_then(|bridge| bridge.user.as_deref()).or(to) {
        return Ok(user.to_owned());
    }
    Ok(home.owners()?.into_iter().next().unwrap_or_else(|| "sealpost".to_owned()))
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

/// The password as it is kept, and its text if it was made just now.
fn password(home: &Home, anew: bool) -> Result<(Password, Option<zeroize::Zeroizing<String>>), Failure> {
    let path = home.bridge_password();
    let kept = match std::fs::read_to_string(&path) {
        Ok(line) if !anew => Some(line),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::new(Exit::Config, format_args!("cannot read {}: {error}", path.display())));
        }
        Ok(_) | Err(_) => None,
    };
    if let Some(line) = kept {
        let password = Password::parse(&line).map_err(|error| {
            Failure::new(Exit::Config, error).hint("make a new one: `sealpost bridge --new-password`")
        })?;
        return Ok((password, None));
    }
    let NewPassword { text, password } = NewPassword::generate();
    home::replace(&path, password.write().as_bytes(), 0o600)?;
    Ok((password, Some(text)))
}

impl From<BridgeError> for Failure {
    fn from(error: BridgeError) -> Self {
        let hint = match &error {
            BridgeError::NotLoopback => "mail would leave this machine in clear: --listen 127.0.0.1:1143",
            BridgeError::Maildir(_) => "name a folder that has cur, new and tmp in it: --maildir PATH",
            _ => "`sealpost check` looks at config, keys and mailboxes",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}
