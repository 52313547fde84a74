//! A flow of mail that passes by, wired: names become keys, addresses, sockets and settings.

use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flow::delivery::{Door, Hold, Listen, Policy, Settings, Sink, Socket};
use flow::directory::Directory;
use seal::{Enrolment, Padding};
use wire::milter::{self, Actions};
use wire::smtp::{
    Dialect, Place,
    client::{NextHop, Security},
    server,
};

use crate::{
    accounts, clock,
    config::{
        self, Compress,
        delivery::{Delivery, DoorOptions, Hop, HopTls, Spoken},
    },
    directories,
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// Octets of the largest message that is taken, unless the config says otherwise.
const MAX_MESSAGE: u64 = 100 * 1024 * 1024;

/// Sockets that systemd has opened for us (`LISTEN_FDS`), each handed out once.
#[derive(Default)]
pub struct Sockets {
    opened: Mutex<Vec<Socket>>,
    /// Places that a flow asked for, and that systemd has not opened.
    missed: Mutex<Vec<String>>,
}

impl Sockets {
    /// What there is. To be asked once, when the program begins.
    pub fn inherited() -> Self {
        let mut handed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..handed.len() {
            if let Ok(Some(socket)) = handed.take_tcp_listener(at) {
                sockets.push(Socket::Tcp(socket));
            } else if let Ok(Some(socket)) = handed.take_unix_listener(at) {
                sockets.push(Socket::Unix(socket));
            }
        }
        Self { opened: Mutex::new(sockets), ..Self::default() }
    }

    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Is there one at this address?
    #[cfg(feature = "forward")]
    pub fn has(&self, place: &Place) -> bool {
        lock(&self.opened).iter().any(|socket| is_at(socket, place))
    }

    /// What is to be said when all flows have taken theirs: a socket that systemd has opened and nobody took is a mistake in one of two places.
    pub fn mistake(&self) -> Option<String> {
        let shown = |socket: &Socket| match socket {
            Socket::Tcp(socket) => socket.local_addr().map(|address| address.to_string()),
            Socket::Unix(socket) => socket.local_addr().map(|address| match address.as_pathname() {
                Some(path) => path.display().to_string(),
                None => "a socket without a name".to_owned(),
            }),
        };
        let left: Vec<String> = lock(&self.opened).iter().filter_map(|socket| shown(socket).ok()).collect();
        if left.is_empty() {
            return None;
        }
        let own = lock(&self.missed);
        let own = if own.is_empty() { "no other place".to_owned() } else { own.join(", ") };
        Some(format!(
            "systemd has opened {}, where no flow listens; config.toml says {own}. Write the same address in `source` and in \
             ListenStream= of the socket unit: who connects to the other one is not answered",
            left.join(", ")
        ))
    }

    /// The one at this address.
    pub fn take(&self, place: &Place) -> Option<Socket> {
        let mut sockets = lock(&self.opened);
        let Some(at) = sockets.iter().position(|socket| is_at(socket, place)) else {
            lock(&self.missed).push(place.to_string());
            return None;
        };
        Some(sockets.swap_remove(at))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_at(socket: &Socket, place: &Place) -> bool {
    let tcp = |socket: &TcpListener, place: &str| {
        let own = socket.local_addr().ok();
        own.is_some_and(|own| place.parse() == Ok(own) || place == format!("localhost:{}", own.port()))
    };
    let unix = |socket: &UnixListener, path: &Path| {
        socket.local_addr().ok().is_some_and(|own| own.as_pathname() == Some(path))
    };
    match (socket, place) {
        (Socket::Tcp(socket), Place::Tcp(place)) => tcp(socket, place),
        (Socket::Unix(socket), Place::Unix(path)) => unix(socket, path),
        _ => false,
    }
}

/// The settings of such a flow.
pub fn settings(home: &Home, name: &str, flow: &Delivery, sockets: &Sockets) -> Result<Settings, Failure> {
    let options = &flow.door.options;
    Ok(Settings {
        name: name.to_owned(),
        door: door(home, &flow.door, sockets)?,
        sink: sink(home, &flow.sink, options.hello.as_deref())?,
        directory: Arc::new(directory(home, flow)?),
        policy: Policy::new(flow.on_failure, flow.exceptions.clone()),
        hold: flow.hold.as_ref().map(|hold| held(home, hold)).transpose()?,
        sealer: home.sealer()?,
        trust: home.trust()?,
        compression: match flow.compress {
            Compress::Auto => seal::Compression::Auto,
            Compress::Never => seal::Compression::Never,
        },
        padding: Padding::Bucket,
        authserv_id: options.authserv_id.clone(),
        sessions: sessions(),
        temporary: std::env::temp_dir(),
    })
}

/// File descriptors that one session may need: its own, its message's, a copy's and the next server's.
const DESCRIPTORS: u64 = 4;

/// As many sessions as there are file descriptors for. The limit is raised as far as it may be: usually it is meant for programs that hold a few.
pub fn sessions() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MANY).min(MANY).max(current.unwrap_or(MANY));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let there = if raised { wanted } else { current.unwrap_or(wanted) };
    usize::try_from(there / DESCRIPTORS).unwrap_or(usize::MAX)
}

/// File descriptors that are enough for every session there may be.
const MANY: u64 = 16_384;

/// The directory that the flow asks.
pub fn directory(home: &Home, flow: &Delivery) -> Result<Directory, Failure> {
    directories::open(home, &flow.certificates)
}

fn held(home: &Home, hold: &config::delivery::Hold) -> Result<Hold, Failure> {
    let file = home.at(&hold.certificate);
    let octets = std::fs::read(&file)
        .doing(Exit::Config, format_args!("cannot read the holding certificate {}", file.display()))
        .map_err(|failure| {
            failure.hint("make it on a machine that is no mail server: `sealpost init`, then `sealpost key enrolment`")
        })?;
    let enrolment = Arc::new(Enrolment::parse(&octets, clock::now())?);
    Ok(Hold { enrolment, maildir: home.at(&hold.maildir) })
}

fn door(home: &Home, door: &config::delivery::Door, sockets: &Sockets) -> Result<Door, Failure> {
    let place = at_home(home, &door.listen);
    let listen = Listen { socket: sockets.take(&place), place };
    Ok(match door.spoken {
        Spoken::Mail(dialect) => Door::Mail { listen, session: Arc::new(session(home, dialect, &door.options)?) },
        Spoken::Milter => {
            let changes = Actions::ADD_HEADERS.with(Actions::CHANGE_HEADERS).with(Actions::REPLACE_BODY);
            let mut settings = milter::Settings::new(changes);
            settings.max_message = door.options.max_size.unwrap_or(MAX_MESSAGE);
            Door::Milter { listen, session: Arc::new(settings) }
        }
    })
}

/// How sessions are led.
pub fn session(home: &Home, dialect: Dialect, options: &DoorOptions) -> Result<server::Settings, Failure> {
    let mut settings = server::Settings::new(dialect, options.hello.clone().unwrap_or_else(host));
    settings.max_message = options.max_size.unwrap_or(MAX_MESSAGE);
    let near = ["127.0.0.0/8".to_owned(), "::1".to_owned()];
    for network in options.trusted.as_deref().unwrap_or(&near) {
        let network = network.parse().map_err(|_| {
            Failure::new(Exit::Config, format_args!("`trusted`: {network:?} is no network"))
                .hint("write addresses or networks: [\"127.0.0.1\", \"10.1.0.0/16\", \"::1\"]")
        })?;
        settings.trusted.push(network);
    }
    if let Some((certificate, key)) = &options.tls {
        let read = |file: &Path| {
            let file = home.at(file);
            std::fs::read(&file).doing(Exit::Config, format_args!("cannot read {}", file.display()))
        };
        let tls = server::tls(&read(certificate)?, &read(key)?);
        settings.tls = Some(tls.doing(Exit::Config, "the certificate and key for STARTTLS cannot be used").map_err(
            |failure| failure.hint("`tls-certificate` is a PEM file with the whole chain, `tls-key` its private key"),
        )?);
    }
    Ok(settings)
}

fn sink(home: &Home, sink: &config::delivery::Sink, hello: Option<&str>) -> Result<Sink, Failure> {
    Ok(match sink {
        config::delivery::Sink::Hop(hop) => Sink::Hop(next_hop(home, hop, hello)?),
        config::delivery::Sink::Maildir(path) => Sink::Maildir(home.at(path)),
        config::delivery::Sink::Back => Sink::Back,
    })
}

/// A server that mail is handed to.
pub fn next_hop(home: &Home, hop: &Hop, hello: Option<&str>) -> Result<NextHop, Failure> {
    let mut next = NextHop::new(at_home(home, &hop.place), hop.dialect, hello.map_or_else(host, str::to_owned));
    next.security = match hop.tls {
        HopTls::Off => Security::Plain,
        HopTls::Starttls => Security::StartTls,
        HopTls::Tls => Security::Tls,
    };
    next.trust = accounts::trust(home, hop.ca_file.as_deref(), None)?;
    next.login = hop.login.as_ref().map(|(user, password)| accounts::asked_anew(home, user, password));
    Ok(next)
}

/// Relative paths begin in the home.
pub fn at_home(home: &Home, place: &Place) -> Place {
    match place {
        Place::Unix(path) => Place::Unix(home.at(path)),
        Place::Tcp(address) => Place::Tcp(address.clone()),
    }
}

/// This machine's name, for greetings.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.'));
    if plain && !name.is_empty() { name } else { "localhost".to_owned() }
}
