//! A flow of mail that is forwarded, as it is written: for whom it is taken, to whom it is sealed, where it goes, how it waits. In: TOML. Out: what
//! is meant, or an error that says what is missing. Addresses are read, nothing is opened.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use flow::forward::{Rates, verdict::Strictness};
use serde::Deserialize;
use wire::smtp::Dialect;

use super::{
    Seal,
    delivery::{Door, Hop, Sink as Further, Spoken, WrittenDoor, WrittenHop, WrittenSink},
    value,
    whom::WrittenFor,
};

/// A flow of mail that is forwarded.
#[derive(Debug)]
pub struct Forward {
    /// Where servers hand it in.
    pub door: Door,
    /// For whom: addresses and domains with their `@`.
    pub recipients: Vec<String>,
    /// Messages a minute.
    pub rates: Rates,
    /// How strictly mail of strangers is checked; none: not at all.
    pub checks: Option<Strictness>,
    /// Which name server is asked; none: the system's.
    pub resolver: Option<SocketAddr>,
    /// For whom and how it is sealed.
    pub seal: Seal,
    /// Where it goes.
    pub sink: Sink,
    /// How it waits.
    pub queue: Queue,
}

/// Where forwarded mail goes.
#[derive(Debug)]
pub enum Sink {
    /// Into a mailbox of an account.
    Account {
        /// Name of an `[account.NAME]`.
        account: String,
        /// The mailbox.
        mailbox: String,
    },
    /// To another server.
    Hop {
        /// Which.
        hop: Box<Hop>,
        /// Name of an `[account.NAME]` whose user and password log in there.
        auth: Option<String>,
        /// To this address; none: to the one that it came for.
        to: Option<String>,
        /// In whose name it goes on; none: in its author's.
        own: Option<Name>,
    },
    /// To the mail servers of a domain.
    Domain {
        /// Which domain.
        domain: String,
        /// To this address.
        to: String,
        /// In whose name it goes on.
        own: Name,
        /// More authorities, PEM.
        ca_file: Option<PathBuf>,
        /// Whether the answers of the DNS are checked.
        dnssec: Dnssec,
    },
    /// Into a Maildir.
    Maildir(PathBuf),
}

/// Whether the answers of the DNS are checked where a domain's servers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dnssec {
    /// As the root says.
    Checked,
    /// Not at all.
    Off,
}

/// A forwarder's own name.
#[derive(Debug, Clone)]
pub struct Name {
    /// For From; its domain is where bounces come to, and what signs.
    pub from: String,
    /// Where the public key is in the DNS.
    pub selector: String,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// `queue = { spool = "sqlite:spool.db", retry = ["30s"], expire = "5d" }`
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// `sqlite:PATH` or `postgres://…`.
    pub spool: Option<String>,
    /// How long to wait after the first, second, … try; the last one is repeated.
    #[serde(default, deserialize_with = "value::durations")]
    pub retry: Vec<Duration>,
    /// After so long it is not tried by itself any more.
    #[serde(default, deserialize_with = "value::duration")]
    pub expire: Option<Duration>,
    /// For how long it is kept that the next server has taken in our name, and may give back; none at all: it goes at once.
    #[serde(default, deserialize_with = "value::duration_or_off")]
    pub keep: Option<Duration>,
    /// For how long what failed lies there; none at all (`off`): until somebody decides.
    #[serde(default, deserialize_with = "value::duration_or_off")]
    pub failed: Option<Duration>,
}

impl Forward {
    pub(super) fn new(
        whom: WrittenFor,
        door: WrittenDoor,
        seal: Seal,
        sink: Option<WrittenSink>,
        queue: Option<Queue>,
    ) -> Result<Forward, String> {
        let door = door.door()?;
        if door.spoken != Spoken::Mail(Dialect::Smtp) {
            return Err("`for` is for mail that is forwarded, which comes by `smtp`".to_owned());
        }
        let is_address = |one: &String| one.contains('@') && !one.ends_with('@') && !one.contains([' ', '%', '!']);
        if let Some(wrong) = whom.recipients.iter().find(|one| !is_address(one)) {
            return Err(format!(
                "`for` takes addresses and domains: \"me@my.example\", \"@my.example\"; not {wrong:?}"
            ));
        }
        if whom.recipients.is_empty() {
            return Err("`for` names nobody: it takes addresses and domains, [\"me@my.example\"]".to_owned());
        }
        let usual = Rates::default();
        let rates = Rates {
            per_ip: whom.per_ip.unwrap_or(usual.per_ip),
            per_sender: whom.per_sender.unwrap_or(usual.per_sender),
        };
        let checks = match whom.checks.as_deref() {
            None => Some(Strictness::default()),
            Some("off") => None,
            Some(word) => Some(word.parse().map_err(|_| "`checks` is \"reject\", \"tag\", \"report\" or \"off\"")?),
        };
        let sink = match sink {
            Some(WrittenSink::Table(table)) => target(*table)?,
            Some(WrittenSink::InPlace) => return Err(format!("forwarded mail has no place of its own: {SINK}")),
            None => return Err("missing field `sink`".to_owned()),
        };
        let queue = queue.unwrap_or_default();
        if queue.retry.iter().any(Duration::is_zero) || queue.expire.is_some_and(|expire| expire.is_zero()) {
            return Err(
                "`retry` and `expire` are longer than nothing: retry = [\"30s\", \"2m\"], expire = \"5d\"".to_owned()
            );
        }
        let resolver = whom.resolver;
        Ok(Forward { door, recipients: whom.recipients, rates, checks, resolver, seal, sink, queue })
    }

    /// Whether it puts mail into a mailbox of that account.
    pub fn has_mailbox_in(&self, named: &str) -> bool {
        matches!(&self.sink, Sink::Account { account, .. } if account == named)
    }

    /// The accounts that it names: where it puts mail, and whose login it uses.
    pub fn accounts(&self) -> [Option<&String>; 2] {
        match &self.sink {
            Sink::Account { account, .. } => [Some(account), None],
            Sink::Hop { auth, .. } => [auth.as_ref(), None],
            Sink::Domain { .. } | Sink::Maildir(_) => [None, None],
        }
    }
}

const SINK: &str = "it goes to { account = \"NAME\", mailbox = \"INBOX\" }, { mx = \"domain\" }, { smtp = \"host:port\" }, \
                    { lmtp = \"host:port\" } or { maildir = \"/path\" }";

fn target(mut written: WrittenHop) -> Result<Sink, String> {
    let own = match (&written.from, &written.dkim_selector, &written.dkim_key) {
        (None, None, None) => None,
        (Some(from), Some(selector), Some(key)) => {
            Some(Name { from: from.clone(), selector: selector.clone(), key: key.clone() })
        }
        _ => return Err("`from`, `dkim-selector` and `dkim-key` go together".to_owned()),
    };
    if let Some(domain) = written.mx.take() {
        return exchangers(domain, own, written);
    }
    if written.dnssec.is_some() {
        return Err("`dnssec` goes with `mx`".to_owned());
    }
    let (account, mailbox, auth, to) = (&written.account, &written.mailbox, &written.auth, &written.to);
    match (account.clone(), mailbox.clone(), auth.clone(), to.clone()) {
        (Some(account), mailbox, None, None) => {
            if !written.is_bare() || own.is_some() {
                return Err(format!("an account is all that such a sink names: {SINK}"));
            }
            Ok(Sink::Account { account, mailbox: mailbox.unwrap_or_else(|| "INBOX".to_owned()) })
        }
        (None, None, auth, to) => match written.sink()? {
            Further::Hop(hop) if auth.is_some() && hop.login.is_some() => {
                Err("`auth` names an account to log in with; `user` and `password` do the same".to_owned())
            }
            Further::Hop(hop) => Ok(Sink::Hop { hop: Box::new(hop), auth, to, own }),
            Further::Maildir(_) if auth.is_some() || to.is_some() || own.is_some() => {
                Err("a Maildir has no `auth`, `to` and `from`".to_owned())
            }
            Further::Maildir(path) => Ok(Sink::Maildir(path)),
            Further::Back => Err(SINK.to_owned()),
        },
        _ => Err(format!("`mailbox` goes with `account`, `auth` and `to` with `smtp` or `lmtp`: {SINK}")),
    }
}

fn exchangers(domain: String, own: Option<Name>, mut written: WrittenHop) -> Result<Sink, String> {
    let ca_file = written.ca_file.take();
    if written.account.is_some() || written.mailbox.is_some() || written.auth.is_some() || !written.is_bare() {
        let tls = "TLS is always spoken";
        return Err(format!("with `mx` go `to`, `from`, `dkim-selector`, `dkim-key`, `ca-file` and `dnssec`; {tls}"));
    }
    let fits =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    if domain.len() > 253 || !domain.split('.').all(fits) || domain.parse::<std::net::IpAddr>().is_ok() {
        return Err(format!(
            "`mx` is the domain of a mail address, as the DNS knows it (\"provider.example\"), not {domain:?}"
        ));
    }
    let to = written.to.take().ok_or("`mx` needs `to`: your address there")?;
    // Whoever is not the author's server cannot speak in his name (format 13.4).
    let own =
        own.ok_or("`mx` needs `from`, `dkim-selector` and `dkim-key`: strangers take mail in your own name only")?;
    let dnssec = match written.dnssec.as_deref() {
        None => Dnssec::Checked,
        Some("off") => Dnssec::Off,
        Some(_) => return Err("`dnssec` is \"off\", or is left out".to_owned()),
    };
    Ok(Sink::Domain { domain: domain.to_ascii_lowercase(), to, own, ca_file, dnssec })
}
