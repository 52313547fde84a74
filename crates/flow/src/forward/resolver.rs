//! The DNS, as the checks ask it.
//!
//! In: the system's settings, or one server's address. Out: what mail-auth asks with. Every question ends within seconds.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::read_system_conf;
use mail_auth::MessageAuthenticator;

/// How long one try may take, and how many there are.
const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;

/// Asks the DNS.
pub struct Resolver(MessageAuthenticator);

/// There is no DNS to ask.
#[derive(Debug, thiserror::Error)]
#[error("the DNS settings of this system cannot be used")]
pub struct ResolverError;

impl Resolver {
    /// As the system is set up (`/etc/resolv.conf`).
    pub fn system() -> Result<Resolver, ResolverError> {
        Self::new(None)
    }

    /// One server: a resolver on this machine, which best checks DNSSEC.
    pub fn at(server: SocketAddr) -> Result<Resolver, ResolverError> {
        Self::new(Some(server))
    }

    fn new(server: Option<SocketAddr>) -> Result<Resolver, ResolverError> {
        let (config, options) = settings(server)?;
        MessageAuthenticator::new(config, options).map(Resolver).map_err(|_| ResolverError)
    }

    pub(crate) fn authenticator(&self) -> &MessageAuthenticator {
        &self.0
    }

    /// Whether it answers at all; that there is nothing of a name is an answer.
    pub(crate) async fn answers(&self) -> bool {
        match self.0.resolver().ns_lookup(".").await {
            Ok(_) => true,
            Err(error) => error.is_no_records_found() || error.is_nx_domain(),
        }
    }

    /// Whether a domain has more than one SPF record: then it has none that could be asked (RFC 7208 §4.5). mail-auth takes the first.
    pub(crate) async fn has_two_spf_records(&self, domain: &str) -> bool {
        let fqdn = format!("{}.", domain.trim_end_matches('.'));
        let Ok(found) = self.0.resolver().txt_lookup(fqdn).await else { return false };
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            hickory_resolver::proto::rr::RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        texts.filter(|text| text == b"v=spf1" || text.starts_with(b"v=spf1 ")).count() > 1
    }
}

/// Who is asked, and how; none: as the system is set up.
pub(crate) fn settings(server: Option<SocketAddr>) -> Result<(ResolverConfig, ResolverOpts), ResolverError> {
    let (config, mut options) = match server {
        None => read_system_conf().map_err(|_| ResolverError)?,
        Some(server) => {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
            name_server.connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
            (ResolverConfig::from_parts(None, Vec::new(), vec![name_server]), ResolverOpts::default())
        }
    };
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    // What others publish is not to be found in a file of this machine.
    options.use_hosts_file = ResolveHosts::Never;
    Ok((config, options))
}
