//! `bridge`: an IMAP server on this machine, in which sealed mail of a Maildir or an account reads as if it were plain.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use reader::{
    Anew, ReachError, Source,
    bridge::{Bridge, BridgeError, Certificate, NewPassword, News, Newsroom, Password, Shield, serve},
};

use crate::{
    args, clock,
    config::{self, Config, Indexing, delivery::HopTls},
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::{self, Home},
    mailboxes, stop,
    tell::tell,
};

/// Where it listens, unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1143);

/// Between two looks for messages that are not indexed.
const PAUSE: Duration = Duration::from_secs(300);
/// Between two looks whether it shall end.
const STEP: Duration = Duration::from_millis(200);

/// Serves until asked to stop.
pub fn run(home: &Home, arguments: &args::Bridge) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let config = Config::read(home)?;
    let written = config.bridge.as_ref();
    let listen = arguments.listen.or_else(|| written.and_then(|bridge| bridge.listen)).unwrap_or(LISTEN);
    if !listen.ip().is_loopback() {
        return Err(Failure::from(BridgeError::NotLoopback));
    }
    let to = written.and_then(|bridge| bridge.to.as_deref());
    let user = user(home, written, to)?;
    let mail = mailboxes::settings(home, &config, &arguments.place, &stop)?;
    if let Source::Maildir(path) = &mail.source {
        // Said before it is said that anything is served.
        store::Maildir::open(path).map_err(|error| Failure::from(BridgeError::from(ReachError::from(error))))?;
    }
    let seal = mailboxes::seal_with(home, to)?;
    let listener = TcpListener::bind(listen)
        .doing(Exit::Unavailable, format_args!("cannot listen on {listen}"))
        .map_err(|failure| failure.hint("is another bridge running? name another port: --listen 127.0.0.1:1144"))?;
    let address = listener.local_addr().doing(Exit::Unavailable, "cannot listen")?;
    let new = new_password(home, arguments.new_password)?;
    let certificate = match written.and_then(|bridge| bridge.tls).unwrap_or(HopTls::Off) {
        HopTls::Off => None,
        spoken => Some((spoken, certificate(home)?)),
    };
    let protected = match &certificate {
        None => "no TLS (it stays on this machine)",
        Some((HopTls::Tls, _)) => "TLS",
        Some(_) => "STARTTLS",
    };
    tell(format_args!("sealpost: bridge: IMAP on {address}, user {user}, {protected}"));
    if let Some((_, certificate)) = &certificate {
        tell(format_args!("sealpost: bridge: certificate SHA-256 {}", certificate.fingerprint()));
    }
    if let Some(text) = new {
        tell(format_args!("sealpost: bridge: password {} (shown this once)", *text));
    }
    if seal.is_none() {
        tell("sealpost: bridge: no sealer key or owner here: mail programs can read and file, not store");
    }
    let shield = match certificate {
        None => Shield::Off,
        Some((HopTls::Tls, certificate)) => Shield::Tls(certificate.tls()),
        Some((_, certificate)) => Shield::StartTls(certificate.tls()),
    };
    let kept = home.bridge_password();
    // Read at each login: after `--new-password` the old one is of no use, in a bridge that runs, too.
    let password = Box::new(move || Password::parse(&std::fs::read_to_string(&kept).ok()?).ok());
    let bridge = Bridge { mail, user, password, seal, shield, news: Newsroom::new(tell_news) };
    // Of mail on this machine everything is indexed; of an account, what is opened: its owner decides whether all of it is fetched.
    let usual = if matches!(bridge.mail.source, Source::Maildir(_)) { Indexing::All } else { Indexing::Opened };
    let all = written.and_then(|bridge| bridge.index).unwrap_or(usual) == Indexing::All && bridge.seal.is_some();
    thread::scope(|scope| {
        if all {
            scope.spawn(|| keep_indexed(&bridge, &stop));
        }
        let served = serve(&bridge, &listener, &stop);
        stop.store(true, Ordering::Relaxed);
        Ok(served?)
    })
}

/// Brings the index up to date, now and again and again.
fn keep_indexed(bridge: &Bridge, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match reader::index(&bridge.mail, bridge.seal.as_ref(), Anew::No, &mut Silent, stop) {
            Ok(indexed) if indexed.added > 0 => {
                tell(format_args!("sealpost: bridge: {} messages indexed in the background", indexed.added));
            }
            Ok(_) => {}
            // Searches open messages instead.
            Err(error) => {
                tell(format_args!("sealpost: bridge: the search index is not up to date: {}", with_causes(&error)))
            }
        }
        let began = Instant::now();
        while began.elapsed() < PAUSE && !stop.load(Ordering::Relaxed) {
            thread::sleep(STEP);
        }
    }
}

/// Progress that nobody waits for.
struct Silent;

impl reader::Progress for Silent {
    fn total(&mut self, _: u64, _: u64) {}
    fn done(&mut self, _: u64) {}
    fn failed(&mut self, _: &'static str) {}
}

/// The name to log in with: as written, or the owner's address.
fn user(home: &Home, written: Option<&config::Bridge>, to: Option<&str>) -> Result<String, Failure> {
    if let Some(user) = written.and_then(|bridge| bridge.user.as_deref()).or(to) {
        return Ok(user.to_owned());
    }
    Ok(home.owners()?.into_iter().next().unwrap_or_else(|| "sealpost".to_owned()))
}

/// What the owner hears of the way to the mail.
fn tell_news(news: News) {
    let text = match news {
        News::Refused => "the account's server refused the login: are `user` and `password` in config.toml right?",
        News::Unreachable => "the mail cannot be reached: `sealpost check` says more",
        News::Back => "the mail is there again",
        News::WrongPassword => {
            "a mail program gave a wrong user or password (said once a minute at most); `sealpost bridge --new-password` \
             makes another one"
        }
        _ => return,
    };
    tell(format_args!("sealpost: bridge: {text}"));
}

/// Makes sure that there is a password; its text, if it was made just now.
fn new_password(home: &Home, anew: bool) -> Result<Option<zeroize::Zeroizing<String>>, Failure> {
    let path = home.bridge_password();
    let kept = match std::fs::read_to_string(&path) {
        Ok(line) if !anew => Some(line),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::new(Exit::Config, format_args!("cannot read {}: {error}", path.display())));
        }
        Ok(_) | Err(_) => None,
    };
    if let Some(line) = kept {
        Password::parse(&line).map_err(|error| {
            Failure::new(Exit::Config, error).hint("make a new one: `sealpost bridge --new-password`")
        })?;
        return Ok(None);
    }
    let NewPassword { text, password } = NewPassword::generate();
    home::replace(&path, password.write().as_bytes(), 0o600)?;
    Ok(Some(text))
}

/// The bridge's certificate, made at the first use; beside it lies a copy without the key, for mail programs.
fn certificate(home: &Home) -> Result<Certificate, Failure> {
    let path = home.bridge_key();
    let pem = match std::fs::read(&path) {
        Ok(pem) => zeroize::Zeroizing::new(pem),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let pem = Certificate::generate(clock::now()).doing(Exit::Unavailable, "no TLS")?;
            home::replace(&path, pem.as_bytes(), 0o600)?;
            zeroize::Zeroizing::new(pem.as_bytes().to_vec())
        }
        Err(error) => return Err(Failure::new(Exit::Config, format_args!("cannot read {}: {error}", path.display()))),
    };
    let certificate = Certificate::parse(&pem).map_err(|error| {
        Failure::new(Exit::Config, error).hint(format_args!("remove {}: another one is made", path.display()))
    })?;
    let public = home.bridge_certificate();
    if std::fs::read(&public).ok().as_deref() != Some(certificate.pem().as_bytes()) {
        home::replace(&public, certificate.pem().as_bytes(), 0o644)?;
    }
    Ok(certificate)
}

impl From<BridgeError> for Failure {
    fn from(error: BridgeError) -> Self {
        if let BridgeError::Reach(reach) = &error {
            let (exit, hint) = mailboxes::of_reaching(reach);
            return Self::new(exit, with_causes(&error)).hint(hint);
        }
        let hint = match &error {
            BridgeError::NotLoopback => "mail would leave this machine in clear: --listen 127.0.0.1:1143",
            _ => "`sealpost check` looks at config, keys and mailboxes",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}
