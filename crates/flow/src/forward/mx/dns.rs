//! What the DNS says of a domain's mail servers.
//!
//! In: a domain. Out: its servers in the order in which they are tried (RFC 5321 §5.1), their addresses, and what is to be known of their
//! certificates (RFC 7672 §2.2). An answer that DNSSEC finds false is no answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::rr::{RData, RecordType};
use rand::seq::SliceRandom;
use wire::Tlsa;

use crate::forward::resolver::{ResolverError, settings};

/// Servers of a domain that are looked at, and addresses of a server.
const MAX_HOSTS: usize = 16;
const MAX_ADDRESSES: usize = 8;

/// Asks the DNS for mail servers.
pub struct Dns(TokioResolver);

/// Whether answers are checked by DNSSEC.
#[derive(Clone, Default)]
pub enum Dnssec {
    /// From the keys of the root that everybody has.
    #[default]
    Checked,
    /// From these keys.
    From(Arc<TrustAnchors>),
    /// Not at all: nothing is known for certain, and no certificate is believed for its sake.
    Off,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nobody knows, or somebody lies.
    Fails,
    /// There is no such domain, or it takes no mail (RFC 7505).
    TakesNone,
}

/// Whether DNSSEC vouches for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vouched {
    Yes,
    No,
}

/// The names of a domain's servers, best first.
#[derive(Debug)]
pub(crate) struct Exchangers {
    pub(crate) names: Vec<String>,
    pub(crate) vouched: Vouched,
}

impl Dns {
    /// `server`: which one is asked; none: the system's.
    pub fn new(server: Option<SocketAddr>, dnssec: &Dnssec) -> Result<Dns, ResolverError> {
        let (config, mut options) = settings(server)?;
        options.validate = !matches!(dnssec, Dnssec::Off);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        if let Dnssec::From(keys) = dnssec {
            builder = builder.with_trust_anchor(Arc::clone(keys));
        }
        builder.build().map(Dns).map_err(|_| ResolverError)
    }

    /// Who takes a domain's mail.
    pub(crate) async fn exchangers(&self, domain: &str) -> Result<Exchangers, Silence> {
        let Some(found) = self.ask(domain, RecordType::MX).await? else {
            // RFC 5321 §5.1: a domain without any is its own. Whether that is so, DNSSEC does not tell us here.
            return Ok(Exchangers { names: vec![domain.to_owned()], vouched: Vouched::No });
        };
        let mut ordered: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for record in found.answers() {
            if let RData::MX(mx) = &record.data {
                let name = mx.exchange.to_ascii();
                ordered.entry(mx.preference).or_default().push(name.trim_end_matches('.').to_ascii_lowercase());
            }
        }
        let mut names = Vec::new();
        for mut same in ordered.into_values() {
            same.shuffle(&mut rand::thread_rng());
            names.extend(same);
        }
        names.retain(|name| !name.is_empty());
        names.truncate(MAX_HOSTS);
        if names.is_empty() {
            return Err(Silence::TakesNone);
        }
        Ok(Exchangers { names, vouched: vouched(&found) })
    }

    /// A host's addresses, and whether they are vouched for.
    pub(crate) async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Vouched), Silence> {
        let (mut all, mut sure, mut fails) = (Vec::new(), Vouched::Yes, None);
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.ask(host, kind).await {
                Ok(Some(found)) => {
                    all.extend(found.answers().iter().filter_map(|record| record.data.ip_addr()));
                    if vouched(&found) == Vouched::No {
                        sure = Vouched::No;
                    }
                }
                Ok(None) => {}
                Err(silence) => fails = Some(silence),
            }
        }
        all.truncate(MAX_ADDRESSES);
        match fails {
            _ if !all.is_empty() => Ok((all, sure)),
            Some(silence) => Err(silence),
            None => Err(Silence::TakesNone),
        }
    }

    /// What is to be known of a host's certificate. Asked only of hosts that are vouched for (RFC 7672 §2.2.2). Empty: nothing, or nothing usable.
    pub(crate) async fn certificates(&self, host: &str, port: u16) -> Result<Vec<Tlsa>, Silence> {
        let found = match self.ask(&format!("_{port}._tcp.{host}"), RecordType::TLSA).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(Silence::TakesNone) => return Ok(Vec::new()),
            Err(Silence::Fails) => return Err(Silence::Fails),
        };
        if vouched(&found) == Vouched::No {
            return Ok(Vec::new());
        }
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::TLSA(tlsa) => {
                let (usage, selector, matching) = (tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into());
                Tlsa::new(usage, selector, matching, &tlsa.cert_data)
            }
            _ => None,
        });
        Ok(records.collect())
    }

    /// Texts under a name.
    pub async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, Silence> {
        let found = match self.ask(name, RecordType::TXT).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(Silence::TakesNone) => return Ok(Vec::new()),
            Err(Silence::Fails) => return Err(Silence::Fails),
        };
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// None: the name is there, and has nothing of the kind.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Option<Lookup>, Silence> {
        match self.0.lookup(format!("{}.", name.trim_end_matches('.')), kind).await {
            Ok(found) => Ok(found.answers().iter().any(|record| record.record_type() == kind).then_some(found)),
            Err(NetError::Dns(DnsError::Nsec { proof, response, .. })) if proof.is_insecure() => {
                use hickory_resolver::proto::op::ResponseCode;
                if response.response_code == ResponseCode::NXDomain { Err(Silence::TakesNone) } else { Ok(None) }
            }
            Err(error) if error.is_nx_domain() => Err(Silence::TakesNone),
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(_) => Err(Silence::Fails),
        }
    }
}

/// All of it, or nothing.
fn vouched(found: &Lookup) -> Vouched {
    if found.answers().iter().all(|record| record.proof.is_secure()) { Vouched::Yes } else { Vouched::No }
}
