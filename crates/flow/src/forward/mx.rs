//! A domain's own mail servers: who they are, whether they are the right ones, which takes the copy.
//!
//! In: a domain; a copy. Out: the answer of the first server that gives one. The DNS is not believed where somebody could forge it: TLS is spoken
//! always, and a server proves its name by a certificate, or by what DNSSEC says of its certificate (DANE, RFC 7672). Which names may be its, the domain
//! says by MTA-STS (RFC 8461). There is no way to hand a copy over in clear.

pub mod dns;
pub mod policy;
mod fetch;
mod kept;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wire::smtp::client::{Content, DeliverError, NextHop, Pool, Security};
use wire::smtp::{Dialect, MailFrom, Place, RcptTo, Reply};
use wire::{Peer, Tlsa, Trust};

use self::dns::{Dns, Silence, Vouched};
use self::kept::Shelf;
use crate::forward::obstacle::Obstacle;

/// A domain whose servers take the copies.
pub struct Settings {
    /// The domain.
    pub domain: String,
    /// Our own name.
    pub hello: String,
    /// Who is asked.
    pub dns: Dns,
    /// Authorities that are trusted besides the system's.
    pub trust: Trust,
    /// A folder for what was learned of the domain.
    pub state: PathBuf,
    /// Where servers listen; not 25 in tests alone.
    pub smtp_port: u16,
    /// Where policies are asked for; not 443 in tests alone.
    pub https_port: u16,
}

/// The domain's servers, and connections to them.
pub(crate) struct Exchanger {
    settings: Settings,
    shelf: Shelf,
    open: Mutex<Vec<(Route, Arc<Pool>)>>,
    takes: Mutex<Option<u64>>,
}

/// One way to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    host: String,
    address: IpAddr,
    records: Vec<Tlsa>,
}

impl Exchanger {
    pub(crate) fn new(settings: Settings) -> Exchanger {
        let shelf = Shelf::open(&settings.domain, settings.https_port, &settings.state);
        Exchanger { settings, shelf, open: Mutex::default(), takes: Mutex::default() }
    }

    /// Octets of the largest copy that the server takes which was reached last, as it said.
    pub(crate) fn takes(&self) -> Option<u64> {
        *self.takes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Can one of them be reached?
    pub(crate) async fn probe(&self) -> Result<(), Obstacle> {
        let mut met = None;
        for pool in self.routes(&mut met).await? {
            match pool.probe().await {
                Ok(()) => {
                    self.learn(&pool);
                    return Ok(());
                }
                Err(error) => met = Some(worse(met, obstacle(&error))),
            }
        }
        Err(met.unwrap_or(Obstacle::Unreachable))
    }

    /// Hands a copy to the first that takes it or refuses it. Whoever may have it already is the last.
    pub(crate) async fn offer(
        &self,
        from: &MailFrom,
        to: &RcptTo,
        content: &mut Content,
    ) -> Result<Vec<Reply>, Obstacle> {
        let mut met = None;
        for pool in self.routes(&mut met).await? {
            match pool.offer(from, std::slice::from_ref(to), None, content).await {
                Ok(replies) => {
                    self.learn(&pool);
                    return Ok(replies);
                }
                Err(error @ (DeliverError::NotSent(_) | DeliverError::Untrusted)) => {
                    met = Some(worse(met, obstacle(&error)));
                }
                Err(error) => return Err(obstacle(&error)),
            }
        }
        Err(met.unwrap_or(Obstacle::Unreachable))
    }

    fn learn(&self, pool: &Pool) {
        *self.takes.lock().unwrap_or_else(PoisonError::into_inner) = pool.takes();
    }

    /// All ways, best first. `met`: what was met on the way to some of them.
    async fn routes(&self, met: &mut Option<Obstacle>) -> Result<Vec<Arc<Pool>>, Obstacle> {
        let Settings { domain, dns, trust, smtp_port, .. } = &self.settings;
        let exchangers = dns.exchangers(domain).await.map_err(|silence| match silence {
            Silence::Fails => Obstacle::Nameless,
            Silence::TakesNone => Obstacle::NoMailbox,
        })?;
        let policy = self.shelf.policy(dns, trust).await;
        let mut routes = Vec::new();
        for host in exchangers.names {
            if policy.as_ref().is_some_and(|policy| !policy.allows(&host)) {
                *met = Some(worse(*met, Obstacle::Untrusted));
                continue;
            }
            let found = match dns.addresses(&host).await {
                // RFC 7672 §2.2.1: nothing is known for certain of a host whose name is not.
                Ok((addresses, Vouched::Yes)) if exchangers.vouched == Vouched::Yes => {
                    dns.certificates(&host, *smtp_port).await.map(|records| (addresses, records))
                }
                other => other.map(|(addresses, _)| (addresses, Vec::new())),
            };
            match found {
                Ok((addresses, records)) => {
                    let route = |address| Route { host: host.clone(), address, records: records.clone() };
                    routes.extend(addresses.into_iter().map(route));
                }
                // Without this answer nobody knows what the host must prove.
                Err(_) => *met = Some(worse(*met, Obstacle::Nameless)),
            }
        }
        Ok(self.pools(routes))
    }

    /// Connections that are open stay, as long as their way is one.
    fn pools(&self, routes: Vec<Route>) -> Vec<Arc<Pool>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(route, _)| routes.contains(route));
        let of = |route: Route| match open.iter().find(|(known, _)| *known == route) {
            Some((_, pool)) => Arc::clone(pool),
            None => {
                let pool = Arc::new(Pool::new(self.hop(&route)));
                open.push((route, Arc::clone(&pool)));
                pool
            }
        };
        routes.into_iter().map(of).collect()
    }

    fn hop(&self, route: &Route) -> NextHop {
        let place = std::net::SocketAddr::new(route.address, self.settings.smtp_port).to_string();
        let mut hop = NextHop::new(Place::Tcp(place), Dialect::Smtp, self.settings.hello.clone());
        hop.security = Security::StartTls;
        let peer = Peer {
            name: route.host.clone(),
            other_names: vec![self.settings.domain.clone()],
            records: route.records.clone(),
        };
        hop.trust = Trust { peer: Some(Arc::new(peer)), ..self.settings.trust.clone() };
        hop
    }
}

/// What is to be told of several servers: that one did not prove its name says more than that another did not answer.
fn worse(met: Option<Obstacle>, now: Obstacle) -> Obstacle {
    let weight = |obstacle: &Obstacle| match obstacle {
        Obstacle::Untrusted => 2,
        Obstacle::Nameless => 1,
        _ => 0,
    };
    met.into_iter().chain([now]).max_by_key(weight).unwrap_or(now)
}

/// What stood in the way of a delivery.
pub(crate) fn obstacle(error: &DeliverError) -> Obstacle {
    match error {
        DeliverError::NotSent(_) => Obstacle::Unreachable,
        DeliverError::Untrusted => Obstacle::Untrusted,
        DeliverError::NoLogin(_) | DeliverError::NoAuth => Obstacle::Login,
        DeliverError::Unknown => Obstacle::Unknown,
        DeliverError::TooLarge => Obstacle::TooLarge,
        DeliverError::Lacks(_) => Obstacle::Lacks,
        DeliverError::Read(_) => Obstacle::Unwritable,
    }
}
