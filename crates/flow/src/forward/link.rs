//! What hands copies over: connections to a server that was named, or to those that a domain names.
//!
//! In: an envelope, a copy. Out: an answer, or what stood in the way.

use wire::smtp::client::{Content, NextHop, Pool};
use wire::smtp::{MailFrom, RcptTo, Reply};

use crate::forward::mx::{self, Exchanger, obstacle};
use crate::forward::obstacle::Obstacle;

/// Connections.
pub(crate) enum Link {
    Server(Pool),
    Domain(Box<Exchanger>),
}

impl Link {
    pub(crate) fn to_server(hop: NextHop) -> Link {
        Link::Server(Pool::new(hop))
    }

    pub(crate) fn to_domain(settings: mx::Settings) -> Link {
        Link::Domain(Box::new(Exchanger::new(settings)))
    }

    /// Octets of the largest copy that is taken there, as was said last.
    pub(crate) fn takes(&self) -> Option<u64> {
        match self {
            Link::Server(pool) => pool.takes(),
            Link::Domain(exchanger) => exchanger.takes(),
        }
    }

    /// Can anybody be reached there?
    pub(crate) async fn probe(&self) -> Result<(), Obstacle> {
        match self {
            Link::Server(pool) => pool.probe().await.map_err(|error| obstacle(&error)),
            Link::Domain(exchanger) => exchanger.probe().await,
        }
    }

    pub(crate) async fn deliver(
        &self,
        from: &MailFrom,
        to: &RcptTo,
        mut content: Content,
    ) -> Result<Vec<Reply>, Obstacle> {
        match self {
            Link::Server(pool) => {
                let delivered = pool.deliver(from, std::slice::from_ref(to), None, content).await;
                delivered.map_err(|error| obstacle(&error))
            }
            Link::Domain(exchanger) => exchanger.offer(from, to, &mut content).await,
        }
    }
}
