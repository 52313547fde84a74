//! A flow of mail that passes by, as it is written: where servers hand it in, to whom it is sealed, where it goes. In: TOML. Out: what is
//! meant, or an error that says what is missing. Addresses are read, nothing is opened.

use std::{collections::BTreeMap, path::PathBuf};

use flow::delivery::OnFailure;
use serde::Deserialize;
use wire::smtp::{Dialect, Place};

use super::{Compress, account::Password};

/// A flow of mail that passes by.
#[derive(Debug)]
pub struct Delivery {
    /// Where servers hand it in.
    pub door: Door,
    /// Whose keys it is sealed to: a folder, or a database.
    pub certificates: String,
    /// What happens to mail that cannot be sealed.
    pub on_failure: OnFailure,
    /// The same for an address, or for a domain with its `@`.
    pub exceptions: BTreeMap<String, OnFailure>,
    /// Where held mail goes.
    pub hold: Option<Hold>,
    /// `auto` or `never`.
    pub compress: Compress,
    /// Where it goes.
    pub sink: Sink,
}

/// Where servers hand mail in.
#[derive(Debug)]
pub struct Door {
    /// What is spoken.
    pub spoken: Spoken,
    /// Where.
    pub listen: Place,
    /// How.
    pub options: DoorOptions,
}

/// What servers speak that hand mail in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// LMTP or SMTP.
    Mail(Dialect),
    /// The milter protocol.
    Milter,
}

/// How servers are spoken to.
#[derive(Debug, Default)]
pub struct DoorOptions {
    /// Our own name.
    pub hello: Option<String>,
    /// Octets of the largest message.
    pub max_size: Option<u64>,
    /// Networks whose XFORWARD and XCLIENT are believed; not said: this machine.
    pub trusted: Option<Vec<String>>,
    /// Certificate and key for STARTTLS, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whose `Authentication-Results` are kept.
    pub authserv_id: Option<String>,
}

/// `hold = { certificate = "holding.enrolment", maildir = "held" }`
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The enrolment or certificate of whoever may release it.
    pub certificate: PathBuf,
    /// Where it is kept.
    pub maildir: PathBuf,
}

/// Where mail goes.
#[derive(Debug)]
pub enum Sink {
    /// To the next server.
    Hop(Hop),
    /// Into a Maildir.
    Maildir(PathBuf),
    /// Nowhere: a milter changes it where it is.
    Back,
}

/// The next server.
#[derive(Debug)]
pub struct Hop {
    /// By which protocol.
    pub dialect: Dialect,
    /// Where.
    pub place: Place,
    /// `off`, `starttls` or `tls`.
    pub tls: HopTls,
    /// More authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Who we say we are.
    pub login: Option<(String, Password)>,
}

/// How the next server is reached.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum HopTls {
    /// In clear: what is sent is sealed.
    Off,
    /// By STARTTLS, or not at all.
    Starttls,
    /// From the first octet.
    Tls,
}

/// What `source` says of such a flow.
pub(super) struct WrittenDoor {
    pub(super) lmtp: Option<String>,
    pub(super) smtp: Option<String>,
    pub(super) milter: Option<String>,
    pub(super) hello: Option<String>,
    pub(super) max_size: Option<u64>,
    pub(super) trusted: Option<Vec<String>>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) authserv_id: Option<String>,
}

/// What `seal` says of such a flow.
pub(super) struct WrittenKeys {
    pub(super) certificates: Option<String>,
    pub(super) on_failure: Option<OnFailure>,
    pub(super) exceptions: BTreeMap<String, String>,
    pub(super) hold: Option<Hold>,
}

/// `sink = { lmtp = "127.0.0.1:24" }`, and the other words of it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WrittenHop {
    pub(super) folder: Option<String>,
    pub(super) account: Option<String>,
    pub(super) mailbox: Option<String>,
    pub(super) auth: Option<String>,
    pub(super) to: Option<String>,
    pub(super) from: Option<String>,
    pub(super) dkim_selector: Option<String>,
    pub(super) dkim_key: Option<PathBuf>,
    pub(super) mx: Option<String>,
    pub(super) dnssec: Option<String>,
    lmtp: Option<String>,
    smtp: Option<String>,
    maildir: Option<PathBuf>,
    tls: Option<HopTls>,
    pub(super) ca_file: Option<PathBuf>,
    user: Option<String>,
    password: Option<Password>,
}

/// What a sink may be, written.
pub(super) enum WrittenSink {
    InPlace,
    Table(Box<WrittenHop>),
}

const DOOR: &str = "a source is one of `maildir`, `account`, `lmtp`, `smtp`, `milter`";
const TLS: &str = "`tls-certificate` and `tls-key` go together";

impl WrittenDoor {
    pub(super) fn door(self) -> Result<Door, String> {
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(TLS.to_owned()),
        };
        let (spoken, listen) = match (self.lmtp, self.smtp, self.milter) {
            (Some(listen), None, None) => (Spoken::Mail(Dialect::Lmtp), place(&listen)?),
            (None, Some(listen), None) => (Spoken::Mail(Dialect::Smtp), place(&listen)?),
            (None, None, Some(listen)) => (Spoken::Milter, place(&listen)?),
            _ => return Err(DOOR.to_owned()),
        };
        if spoken == Spoken::Milter && (self.hello.is_some() || self.trusted.is_some() || tls.is_some()) {
            let who = "the mail server speaks to its clients itself";
            return Err(format!("a milter has no `hello`, `trusted`, `tls-certificate` and `tls-key`: {who}"));
        }
        let options = DoorOptions {
            hello: self.hello,
            max_size: self.max_size,
            trusted: self.trusted,
            tls,
            authserv_id: self.authserv_id,
        };
        Ok(Door { spoken, listen, options })
    }
}

impl WrittenHop {
    pub(super) fn sink(self) -> Result<Sink, String> {
        const SINK: &str =
            "such mail goes to { lmtp = \"host:port\" }, { smtp = \"host:port\" } or { maildir = \"/path\" }";
        let (dialect, written) = match (self.folder, self.lmtp, self.smtp, self.maildir) {
            (None, Some(place), None, None) => (Dialect::Lmtp, place),
            (None, None, Some(place), None) => (Dialect::Smtp, place),
            (None, None, None, Some(path)) => {
                if self.tls.is_some() || self.ca_file.is_some() || self.user.is_some() || self.password.is_some() {
                    return Err("a Maildir has no `tls`, `ca-file`, `user` or `password`".to_owned());
                }
                return Ok(Sink::Maildir(path));
            }
            _ => return Err(SINK.to_owned()),
        };
        let login = match (self.user, self.password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => return Err("`user` and `password` go together".to_owned()),
        };
        let place = place(&written)?;
        let tls = self.tls.unwrap_or(if place.is_near() { HopTls::Off } else { HopTls::Starttls });
        if tls == HopTls::Off && !place.is_near() {
            return Err(
                "tls = \"off\" is taken for this machine only: what is not sealed would travel in clear".to_owned()
            );
        }
        Ok(Sink::Hop(Hop { dialect, place, tls, ca_file: self.ca_file, login }))
    }

    /// A folder of an account, if it says that and nothing else.
    pub(super) fn into_folder(mut self) -> Option<String> {
        let folder = self.folder.take();
        folder.filter(|_| self.is_bare() && !self.is_of_a_forwarder())
    }

    /// Does it say nothing of a server, a Maildir or a folder?
    pub(super) fn is_bare(&self) -> bool {
        let place = self.folder.is_some() || self.lmtp.is_some() || self.smtp.is_some() || self.maildir.is_some();
        let how = self.tls.is_some() || self.ca_file.is_some() || self.user.is_some() || self.password.is_some();
        !place && !how
    }

    fn is_of_a_forwarder(&self) -> bool {
        let name = self.from.is_some() || self.dkim_selector.is_some() || self.dkim_key.is_some();
        let domain = self.mx.is_some() || self.dnssec.is_some();
        name || domain || self.account.is_some() || self.mailbox.is_some() || self.auth.is_some() || self.to.is_some()
    }
}

impl Delivery {
    pub(super) fn new(
        door: WrittenDoor,
        compress: Compress,
        keys: WrittenKeys,
        sink: Option<WrittenSink>,
    ) -> Result<Delivery, String> {
        let door = door.door()?;
        let is_milter = door.spoken == Spoken::Milter;
        let sink = match sink {
            Some(WrittenSink::Table(hop)) if hop.is_of_a_forwarder() => {
                let keys = "`account`, `mailbox`, `auth`, `to`, `from`, `dkim-selector`, `dkim-key`, `mx` and `dnssec`";
                return Err(format!("{keys} are for mail that is forwarded, whose `source` says `for`"));
            }
            Some(WrittenSink::Table(hop)) => match hop.sink()? {
                Sink::Maildir(_) if is_milter => {
                    let way = "leave `sink` out, or name where copies are handed back: { smtp = \"host:port\" }";
                    return Err(format!("a milter changes mail where it is: {way}"));
                }
                sink => sink,
            },
            None if is_milter => Sink::Back,
            Some(WrittenSink::InPlace) => {
                return Err("mail that passes by has no place of its own: name the next server in `sink`".to_owned());
            }
            None => return Err("missing field `sink`".to_owned()),
        };
        let exceptions = keys.exceptions.into_iter().map(|(whom, answer)| {
            if whom.contains('@') {
                Ok((whom, answer.parse().map_err(|error: flow::delivery::policy::UnknownAnswer| error.to_string())?))
            } else {
                Err(format!("`exceptions` are for an address or for \"@domain\", not for {whom:?}"))
            }
        });
        let delivery = Delivery {
            door,
            certificates: keys.certificates.ok_or("`seal` of such a flow needs `certificates`")?,
            on_failure: keys.on_failure.unwrap_or_default(),
            exceptions: exceptions.collect::<Result<_, String>>()?,
            hold: keys.hold,
            compress,
            sink,
        };
        let holds = delivery.on_failure == OnFailure::Hold
            || delivery.exceptions.values().any(|answer| *answer == OnFailure::Hold);
        if holds && delivery.hold.is_none() {
            return Err("\"hold\" needs `hold = { certificate = \"…\", maildir = \"…\" }` in `seal`".to_owned());
        }
        Ok(delivery)
    }
}

fn place(text: &str) -> Result<Place, String> {
    text.parse().map_err(|_| format!("{text:?} is no address: write \"127.0.0.1:2424\" or \"unix:/path\""))
}
