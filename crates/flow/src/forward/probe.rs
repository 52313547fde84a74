//! Whether a target can be reached and takes mail, without any mail; and if not, what is most likely wrong.
//!
//! In: a sink. Out: that it is good, or what stands in the way. An account is logged in to, and its mailbox opened for writing; a server is greeted.
//! Changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::fs::{Access, access};
use store::imap::Account;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use wire::smtp::Place;
use wire::smtp::client::{DeliverError, NextHop, Pool, Security};
use wire::tls::WrapError;
use wire::{Trust, imap, tls};

use crate::forward::append::connect;
use crate::forward::link::Link;
use crate::forward::met::Met;
use crate::forward::mx::obstacle;
use crate::forward::obstacle::Obstacle;
use crate::forward::settings::Sink;

/// How a target stands that nothing is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It takes mail.
    Now,
    /// Its mailbox, or Maildir, is not there, and is made by whoever runs the flow.
    OnceMade,
}

/// What stands in the way of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hitch {
    /// What the flow will make of it.
    pub obstacle: Obstacle,
    /// What is most likely wrong, if something more is known.
    pub likely: Option<Likely>,
    /// What was met, in our own words.
    pub met: Option<String>,
}

/// What is most likely wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// No such name is in the DNS.
    NoSuchName,
    /// The port speaks TLS from the first octet on, and we begin in clear.
    TlsAtOnce,
    /// The port begins in clear, and we speak TLS from the first octet on.
    ClearFirst,
    /// A login is to be used, and there is none.
    NoAuth,
}

/// How long one step may take. Whoever types `check` waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that speaks first may take to do so.
const GREETING: Duration = Duration::from_secs(3);

/// Tries it.
pub async fn probe(sink: Sink) -> Result<Ready, Hitch> {
    match sink {
        Sink::Maildir(path) => maildir(&path).map_err(Hitch::from),
        Sink::Domain { mx, .. } => match Link::to_domain(*mx).probe().await {
            Ok(()) => Ok(Ready::Now),
            Err(obstacle) => Err(obstacle.into()),
        },
        Sink::Hop { hop, .. } => server(hop).await,
        Sink::Account { mut account, mailbox } => {
            account.timeouts.connect = account.timeouts.connect.min(PATIENCE);
            let (endpoint, trust) = (account.endpoint.clone(), account.trust.clone());
            let opened = tokio::task::spawn_blocking(move || open(&account, &mailbox)).await;
            let met = match opened.unwrap_or(Err(Obstacle::Unreachable.into())) {
                Ok(ready) => return Ok(ready),
                Err(met) => met,
            };
            let speaks = match endpoint.security {
                imap::Security::Tls => Speaks::Tls,
                _ => Speaks::Clear,
            };
            let likely = match met.obstacle {
                Obstacle::Unreachable => likely(&place_of(&endpoint), speaks, &trust).await,
                _ => None,
            };
            Err(Hitch { likely, ..met.obstacle.into() })
        }
    }
}

fn place_of(endpoint: &imap::Endpoint) -> String {
    match endpoint.host.parse::<std::net::IpAddr>() {
        Ok(address) => std::net::SocketAddr::new(address, endpoint.port).to_string(),
        Err(_) => format!("{}:{}", endpoint.host, endpoint.port),
    }
}

impl From<Obstacle> for Hitch {
    fn from(obstacle: Obstacle) -> Hitch {
        Hitch { obstacle, likely: None, met: None }
    }
}

/// As `store::maildir::deliver` finds it: what is missing is made, with the folders above it.
fn maildir(path: &Path) -> Result<Ready, Obstacle> {
    let folders = ["new", "tmp"].map(|folder| path.join(folder));
    let is_one = folders.iter().all(|folder| folder.is_dir());
    let can_be_written = |folder: &Path| access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if is_one {
        let is_ours = folders.iter().all(|folder| can_be_written(folder));
        return is_ours.then_some(Ready::Now).ok_or(Obstacle::Unwritable);
    }
    let there = path.ancestors().find(|above| above.exists());
    let can_be_made = there.is_some_and(|above| above.is_dir() && can_be_written(above));
    can_be_made.then_some(Ready::OnceMade).ok_or(Obstacle::Unwritable)
}

/// Logs in and opens the mailbox for writing. Blocks.
fn open(account: &Account, name: &str) -> Result<Ready, Met> {
    let (mut session, mailbox) = connect(account, name, &Arc::<AtomicBool>::default())?;
    let selected = session.select(mailbox.wire(), imap::Access::Write);
    let ready = match selected {
        Ok(_) => Ok(Ready::Now),
        Err(error) if error.is_refusal() => {
            // What the server shows in its list is there, and may not be opened.
            let name = mailbox.wire();
            let listed = session.list("", name.wire());
            match listed.map_err(|error| Met::of_imap(&error))?.iter().any(|listed| listed.name == *name) {
                true => Err(Met::of_select(&error)),
                false => Ok(Ready::OnceMade),
            }
        }
        Err(error) => Err(Met::of_select(&error)),
    };
    session.logout();
    ready
}

/// Greets a server, and logs in if need be.
async fn server(mut hop: NextHop) -> Result<Ready, Hitch> {
    (hop.connect_time, hop.answer_time) = (hop.connect_time.min(PATIENCE), hop.answer_time.min(PATIENCE));
    let Err(error) = Pool::new(hop.clone()).probe().await else { return Ok(Ready::Now) };
    let speaks = match hop.security {
        Security::Tls => Speaks::Tls,
        Security::Plain | Security::StartTls => Speaks::Clear,
    };
    let likely = match (&error, &hop.place) {
        (DeliverError::NoAuth, _) => Some(Likely::NoAuth),
        (DeliverError::NotSent(_), Place::Tcp(place)) => likely(place, speaks, &hop.trust).await,
        _ => None,
    };
    Err(Hitch { obstacle: obstacle(&error), likely, met: Some(error.to_string()) })
}

/// How a connection begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Clear,
    Tls,
}

/// Why a server cannot be spoken to. `ours`: how we begin.
async fn likely(place: &str, ours: Speaks, trust: &Trust) -> Option<Likely> {
    if lookup_host(place).await.map_or(true, |mut addresses| addresses.next().is_none()) {
        return Some(Likely::NoSuchName);
    }
    let mut stream = timeout(PATIENCE, TcpStream::connect(place)).await.ok()?.ok()?;
    // A mail server that begins in clear speaks first.
    let mut first = [0; 1];
    let greets = matches!(timeout(GREETING, stream.read(&mut first)).await, Ok(Ok(1)));
    if greets {
        return (ours == Speaks::Tls).then_some(Likely::ClearFirst);
    }
    // Nothing was said so far.
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host).trim_matches(['[', ']']);
    let theirs = match timeout(PATIENCE, tls::wrap(stream, host, trust)).await {
        Ok(Ok(_) | Err(WrapError::Untrusted)) => Speaks::Tls,
        _ => return None,
    };
    (ours != theirs).then_some(Likely::TlsAtOnce)
}
